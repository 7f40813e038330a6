"""Three nodes that share nothing but a database and a bucket; one of them dies every five seconds.

Whoever was told that something is stored finds it, nobody sees a part of a study, every job ends.
``WHERRY_CRASH_STRIDE`` = 1 takes a minute (``make crash-nightly``), else a quarter of it.
"""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.crash.cluster import (
    Account,
    Caller,
    Cluster,
    Follower,
    Watcher,
    WherrySender,
    archivist,
    cluster,
    digest,
    hiding,
    stock_sender,
    type_work,
    uploader,
)
from tests.crash.killing import STRIDE
from tests.support import postgres
from tests.support.balancer import balanced
from tests.support.server import running
from tests.support.swift import Swift

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1200)]

EVERY_S = 5.0
KILLS = 12 if STRIDE == 1 else 3
END_S = 120.0


@contextmanager
def at_work(works: Sequence[type_work]) -> Iterator[list[BaseException]]:
    """Each again and again in a thread of its own; at the end, what they have begun is done."""
    over = threading.Event()
    errors: list[BaseException] = []

    def run(work: type_work) -> None:
        try:
            while not over.is_set() and not errors:
                work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield errors
    finally:
        over.set()
        for thread in threads:
            thread.join(END_S)
    assert not any(thread.is_alive() for thread in threads)


def kill_one_after_the_other(nodes: Cluster, errors: list[BaseException]) -> None:
    """Each comes back at once."""
    for number in range(KILLS):
        time.sleep(EVERY_S)  # how often is part of what is promised
        assert not errors, errors
        node = nodes.nodes[number % len(nodes.nodes)]
        node.kill()
        node.start()


def test_nothing_is_lost_and_nothing_is_partial(
    tmp_path: Path,
    postgresql_conninfo: str,
    s3_service: Swift,
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = Account()
    with (
        postgres.database(postgresql_conninfo) as conninfo,
        cluster(tmp_path, conninfo, s3_service, f"nodes-{uuid4().hex[:8]}") as nodes,
        balanced(nodes.ports) as balancer,
        hiding(nodes.ports) as stock_like,
    ):
        caller = Caller(balancer.url)
        wherry = WherrySender(tmp_path / "wherry", balancer.url)
        plain = WherrySender(tmp_path / "plain", stock_like.url)
        watcher, follower = Watcher(account, caller), Follower(caller)
        with running(wherry.server), running(plain.server):
            works = [
                uploader(account, caller),
                uploader(account, caller),
                stock_sender(account, caller),
                wherry.work(account, "wherry"),
                plain.work(account, "wherry, stock dialect"),
                archivist(account, caller),
                watcher.work,
                follower.work,
            ]
            with at_work(works) as errors:
                kill_one_after_the_other(nodes, errors)
            assert not errors, errors
        jobs_end(account, caller, nodes)
        follower.work()
        with capsys.disabled():
            print(f"\n{KILLS} kills: {account.done}, looked {watcher.looks} times")
        assert watcher.wrong == []
        assert all_wherry_words(account)
        everything_is_there(account, nodes)
        changes_were_seen_in_order(follower, account, nodes)
        archives_are_whole(account, caller)
        every_object_is_known(nodes)


def all_wherry_words(account: Account) -> bool:
    """Everybody has got something done."""
    return {*account.done} == {"upload", "stock", "wherry", "wherry, stock dialect", "archive"}


def jobs_end(account: Account, caller: Caller, nodes: Cluster) -> None:
    end = time.monotonic() + END_S
    others = "SELECT state, type, error_code, error_details FROM jobs WHERE state <> 'Success'"
    while found := nodes.rows(others):
        assert time.monotonic() < end, found
        time.sleep(0.2)  # polling other processes
    listed = json.loads(caller.until("GET", "/jobs")[1])
    assert {*listed} >= {*account.jobs}


def everything_is_there(account: Account, nodes: Cluster) -> None:
    for number, (name, md5) in enumerate(account.instances.items()):
        status, data = nodes.nodes[number % len(nodes.nodes)].get(f"/instances/{name}/file")
        assert (status, digest(data)) == (200, md5)
    for node in nodes.nodes:
        assert {*node.json("GET", "/instances")} >= {*account.instances}


def changes_were_seen_in_order(follower: Follower, account: Account, nodes: Cluster) -> None:
    """Nothing came into the log behind what had been read, and nothing twice."""
    logged = [seq for (seq,) in nodes.rows("SELECT seq FROM changes ORDER BY seq")]
    assert follower.seen == logged
    query = "SELECT resource, count(*) FROM changes WHERE change_type = 2 GROUP BY resource"
    new = dict(nodes.rows(query))
    assert set(new.values()) == {1}
    assert len(new) >= len(account.instances)


def archives_are_whole(account: Account, caller: Caller) -> None:
    for job, count in account.jobs.items():
        _, data = caller.until("GET", f"/jobs/{job}/archive")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert len(archive.namelist()) == count


def every_object_is_known(nodes: Cluster) -> None:
    """... to the index: as a file of something, or by the block of its name."""
    known = "SELECT uuid FROM attachments UNION ALL SELECT uuid FROM job_outputs"
    files = {uuid for (uuid,) in nodes.rows(known)}
    going = {uuid for (uuid,) in nodes.rows("SELECT uuid FROM deleted_files")}
    blocks = tuple(prefix for (prefix,) in nodes.rows("SELECT prefix FROM staging_blocks"))
    objects = nodes.objects()
    assert files <= objects
    unknown = {one for one in objects - files - going if not one.startswith(blocks or ("-",))}
    assert not unknown
