"""Jobs that carry instances from a sender that dies to a receiver that lives on.

Between the two stands a proxy that notes what arrives. The sender begins with a copy of a folder
that holds the instances already.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.killing import copied, submit, until_its_end
from tests.crash.killpoints import KillPoints
from tests.support.proxy import Message, Proxy, proxied
from tests.support.server import Server, running


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Template:
    """What all senders begin with."""

    folder: Path
    instances: list[bytes]
    study: str = ""

    def fill(self) -> Template:
        with running(Server(self.folder)) as server:
            for data in self.instances:
                status, answer = server.request("POST", "/instances", data)
                assert status == 200, answer
                self.study = json.loads(answer)["ParentStudy"]
            server.stop()
        return self


class Journey:
    """One job, from the order to the restart that lets it end."""

    def __init__(
        self, template: Template, sender: Server, receiver: Server, proxy: Proxy, points: KillPoints
    ) -> None:
        self.template = template
        self.sender = sender
        self.receiver = receiver
        self.proxy = proxy
        self.points = points
        self.job: str | None = None
        self.arrived: Counter[str] = Counter()
        """How often the proxy saw each piece of work."""
        proxy.rule = self._count

    def go(self) -> None:
        """Order the job; until it has ended or the sender has."""
        self.job = self.order()
        until_its_end(self.sender, self.job)

    def restart(self) -> None:
        """The sender comes back, and cannot die any more."""
        self.sender.environ = {}
        self.sender.start()

    def check(self) -> None:
        """The job ends well by itself and everything is there; an order that was never answered
        may be unknown."""
        found = self.sender.json("GET", "/jobs")
        assert found == [self.job] if self.job else len(found) <= 1
        for job in found:
            ended = self.sender.wait_for_job(job)
            assert ended["State"] == "Success", ended
        expected = self.template.instances if found else []
        stored = [path.read_bytes() for path in self.receiver.storage.glob("??/*/*")]
        assert Counter(map(digest, stored)) == Counter(map(digest, expected))
        assert len(self.receiver.json("GET", "/instances")) == len(expected)

    @property
    def repeated(self) -> int:
        """Pieces of work that arrived a second time."""
        return sum(self.arrived.values()) - len(self.arrived)

    def order(self) -> str | None:
        raise NotImplementedError

    def work(self, message: Message) -> str | None:
        """The name of the piece of work that a request carries; None = none."""
        raise NotImplementedError

    def _count(self, message: Message) -> None:
        name = self.work(message)
        if name is not None:
            with self.proxy.lock:
                self.arrived[name] += 1


class Store(Journey):
    """``/peers/{}/store``: each instance in a request of its own."""

    config: dict[str, Any] = {}

    def order(self) -> str | None:
        return submit(self.sender, "/peers/there/store", {"Resources": [self.template.study]})

    def work(self, message: Message) -> str | None:
        return digest(message.body) if message.path == "/instances" else None


class Push(Journey):
    """``/transfers/send``: buckets, then a commit."""

    config: dict[str, Any] = {"Transfers": {"BucketSize": 4, "Threads": 2}}

    def order(self) -> str | None:
        what = {"Level": "Study", "ID": self.template.study}
        order = {"Resources": [what], "Peer": "there", "Compression": "none"}
        return submit(self.sender, "/transfers/send", order)

    def work(self, message: Message) -> str | None:
        return message.path if message.method == "PUT" else None


@contextmanager
def travelling(
    kind: type[Journey], template: Template, folder: Path, shim: Path
) -> Iterator[Journey]:
    """A journey that can begin."""
    folder.mkdir()
    points = KillPoints(folder, shim)
    with (
        running(Server(folder / "receiver", kind.config)) as receiver,
        proxied(receiver.port) as proxy,
    ):
        sender = Server(
            copied(template.folder, folder / "sender"),
            {**kind.config, "OrthancPeers": {"there": [proxy.url]}},
            environ=points.environ,
        )
        with running(sender):
            yield kind(template, sender, receiver, proxy, points)
