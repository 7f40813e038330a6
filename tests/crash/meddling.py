"""Two servers that are killed at random moments while a study travels between them, again and
again, and somebody who watches the receiver all the while.

Between the servers stands a proxy: a line slow enough that a transfer takes seconds, on which the
bytes of buckets are counted.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.crash.journeys import Template
from tests.crash.killing import DEAD, copied
from tests.support.proxy import Message, Proxy, proxied
from tests.support.server import Server, running
from wherry import limits

BUCKET_KIB = 16
WORKERS = limits.TRANSFER_THREADS
"""The most that a transfer uses when it looks for its pace."""
BUCKET_DELAY_S = 0.3
"""What the slow line adds to each bucket: about 90 of them travel sixteen at a time, or fewer."""
PAUSE_S = 1.2
"""The longest time from a restart to the next kill."""
KILLS_A_TRANSFER = 5

_RETRIES = {"FirstDelay": 1, "LongestDelay": 2}
CONFIG: dict[str, Any] = {
    "Transfers": {"BucketSize": BUCKET_KIB, "Threads": WORKERS},
    "Wherry": {"JobRetries": {"PushTransfer": _RETRIES, "PullTransfer": _RETRIES}},
    "StableAge": 3600,
}


class Line:
    """Counts the buckets that travel, and slows them down."""

    def __init__(self, proxy: Proxy, port: int) -> None:
        """``port`` of the server behind the proxy."""
        self._port = port
        self._lock = threading.Lock()
        self._largest: dict[str, int] = {}
        self._sent_bytes = 0
        self._cuts = 0
        self._turns = itertools.count()
        self.again_after_answer = 0
        """Buckets that were sent although the answer to them was on its way already."""
        self._answered: set[str] = set()
        proxy.rule = self._before
        proxy.after = self._after

    def resent_bytes(self) -> int:
        """Bytes of buckets beyond those of the one transaction that ended well. Starts afresh."""
        with self._lock:
            transaction = [re.split(r"/\d+$", path)[0] for path in self._largest]
            last = transaction[-1] if transaction else ""
            needed = sum(
                size
                for path, size in self._largest.items()
                if path.startswith((last, "/transfers/chunks/"))
            )
            resent = self._sent_bytes - needed
            self._largest.clear()
            self._answered.clear()
            self._sent_bytes = 0
            return resent

    def cut(self) -> None:
        """Somebody dies: of the buckets on the line, every second arrives all the same."""
        self._cuts += 1

    def _before(self, message: Message) -> None:
        if not _is_bucket(message):
            return
        if not self._is_up():
            message.status = 502
            return
        if message.method == "PUT":
            self._count(message.path, len(message.body))
        cuts = self._cuts
        time.sleep(BUCKET_DELAY_S)  # the line is slow
        if cuts != self._cuts and next(self._turns) % 2:
            message.status = 502

    def _after(self, message: Message) -> bool:
        if _is_bucket(message) and message.status == 200:
            if message.method == "GET":
                self._count(message.path, len(message.answer))
            with self._lock:
                self._answered.add(message.path)
        return message.status != 502  # nobody is there: no answer

    def _count(self, path: str, size: int) -> None:
        with self._lock:
            self.again_after_answer += path in self._answered
            self._sent_bytes += size
            self._largest[path] = max(size, self._largest.get(path, 0))

    def _is_up(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=5):
            return True
        return False


def _is_bucket(message: Message) -> bool:
    return message.method == "PUT" or message.path.startswith("/transfers/chunks/")


class Watcher:
    """A client that asks the receiver for what it holds, as fast as it answers."""

    def __init__(self, server: Server, study: str, count: int) -> None:
        self._server = server
        self._study = study
        self._count = count
        self._stop = threading.Event()
        self._whole_from_now = False
        """The whole study has been seen: it must not go away."""
        self.partial: list[str] = []
        self.looks: Counter[str] = Counter()
        """How often nothing, or everything, was seen."""
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(120)

    def expect_removal(self) -> None:
        """The study is about to be removed."""
        self._whole_from_now = False

    def _run(self) -> None:
        while not self._stop.is_set():
            for look in (self._instances, self._statistics, self._one_study):
                before = self._whole_from_now
                with suppress(*DEAD):
                    seen = look()
                    self._note(look.__name__, seen, before)

    def _note(self, name: str, seen: int, before: bool) -> None:
        if seen not in (0, self._count):
            self.partial.append(f"{name}: {seen} of {self._count}")
        if before and self._whole_from_now and not seen:
            self.partial.append(f"{name}: gone after it was there")
        self.looks["everything" if seen else "nothing"] += 1

    def see_whole(self) -> None:
        """The job has said Success: from now on nothing else may be seen."""
        self._whole_from_now = True

    def _instances(self) -> int:
        return len(self._server.json("GET", "/instances"))

    def _statistics(self) -> int:
        found = self._server.json("GET", "/statistics")
        counts = [found[f"Count{level}"] for level in ("Patients", "Studies", "Series")]
        assert len(set(counts)) == 1 and counts[0] in (0, 1), found
        return int(found["CountInstances"])

    def _one_study(self) -> int:
        status, answer = self._server.get(f"/studies/{self._study}/statistics")
        return int(json.loads(answer)["CountInstances"]) if status == 200 else 0


@dataclass
class Account:
    """What was done to the servers, and what came of it."""

    struck: Counter[str] = field(default_factory=Counter)
    transfers: int = 0
    resent_bytes: int = 0

    @property
    def kills(self) -> int:
        return self.struck.total()


class World:
    """A sender that has a study, a receiver, the line between them."""

    def __init__(
        self, direction: str, template: Template, sender: Server, receiver: Server, line: Line
    ) -> None:
        self.direction = direction
        self.template = template
        self.sender = sender
        self.receiver = receiver
        self.line = line
        self.owner = sender if direction == "push" else receiver
        """Whose job it is."""
        self.files = {hashlib.sha256(data).hexdigest() for data in template.instances}
        self.watcher = Watcher(receiver, template.study, len(template.instances))

    def meddle(self, random: Random, kills: int) -> Account:
        """Transfers, one after the other, until so many kills have struck them on their way."""
        account = Account()
        while account.kills < kills:
            before = account.kills
            job = self._order()
            for _ in range(min(KILLS_A_TRANSFER, kills - account.kills)):
                time.sleep(random.uniform(0, PAUSE_S))  # until a moment that nobody has chosen
                if self._state(job) in ("Success", "Failure"):
                    break
                self._strike(random, account)
            self._check(job, account.kills - before, account)
            account.transfers += 1
            assert account.transfers <= 3 * kills, "transfers are too short to be struck"
            if account.kills < kills:
                self.watcher.expect_removal()
                self.receiver.json("DELETE", f"/studies/{self.template.study}")
        return account

    def _strike(self, random: Random, account: Account) -> None:
        """Every fourth time both ends die."""
        whom = "both" if account.kills % 4 == 3 else random.choice(("sender", "receiver"))
        victims = [self.sender, self.receiver] if whom == "both" else [getattr(self, whom)]
        self.line.cut()
        for server in victims:
            assert server.process is not None
            server.process.kill()
        for server in victims:
            server.kill()
            server.start()
        account.struck[whom] += 1

    def _order(self) -> str:
        what = {"Level": "Study", "ID": self.template.study}
        order = {"Resources": [what], "Peer": "there", "Compression": "none"}
        path = "/transfers/send" if self.direction == "push" else "/transfers/pull"
        return str(self.owner.json("POST", path, order)["ID"])

    def _state(self, job: str) -> str:
        return str(self.owner.json("GET", f"/jobs/{job}")["State"])

    def _check(self, job: str, kills: int, account: Account) -> None:
        """It ends well without help; everything is there, signed for, and little came twice."""
        ended = self.owner.wait_for_job(job)
        assert ended["State"] == "Success", (ended, self.owner.log())
        self.watcher.see_whole()
        shown = self.receiver.json("GET", "/instances?expand")
        assert len(shown) == len(self.template.instances)
        stored = {self._digest(one["FileUuid"]) for one in shown}
        assert stored == self.files
        receipt = ended["Content"]["Receipt"]
        there = self.receiver.json("GET", f"/transfers/receipts/{receipt}")
        assert there["Receipt"]["CountInstances"] == len(shown)
        assert there["Receipt"]["CountHeldBefore"] == 0
        if self.direction == "push":
            assert self.sender.json("GET", f"/transfers/receipts/{receipt}") == there
        resent = self.line.resent_bytes()
        assert resent <= kills * WORKERS * BUCKET_KIB * limits.KIB, f"{resent} for {kills} kills"
        account.resent_bytes += resent

    def _digest(self, uuid: str) -> str:
        path = self.receiver.storage / uuid[:2] / uuid[2:4] / uuid
        return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def world(
    direction: str, template: Template, folder: Path, receiver_config: dict[str, Any]
) -> Iterator[World]:
    """The two servers, running, with somebody who watches."""
    sender = Server(copied(template.folder, folder / "sender"))
    receiver = Server(folder / "receiver")
    target = receiver if direction == "push" else sender
    with proxied(target.port) as proxy:
        peers = {"OrthancPeers": {"there": [proxy.url]}}
        sender.config = {**CONFIG, **(peers if direction == "push" else {})}
        receiver.config = {**CONFIG, **receiver_config, **({} if direction == "push" else peers)}
        with running(sender), running(receiver):
            found = World(direction, template, sender, receiver, Line(proxy, target.port))
            with found.watcher.watching():
                yield found
