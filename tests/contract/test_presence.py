"""Leases of processes, on every index: the dead are found, the living are left alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from wherry import clock, limits
from wherry.index import processes
from wherry.index.database import Index
from wherry.index.processes import ProcessRow
from wherry.presence import Presence


def register(index: Index, **fields: object) -> ProcessRow:
    """Another process, by default on another host."""
    values: dict[str, object] = {
        "id": "other",
        "host": "elsewhere",
        "pid": 1,
        "started": "1",
        "heartbeat_at": 1.0,
        **fields,
    }
    row = ProcessRow(**values)  # type: ignore[arg-type]
    index.write(lambda tx: processes.register(tx, row))
    return row


def my_row(index: Index, me: Presence) -> ProcessRow:
    with index.read() as tx:
        return next(row for row in processes.everyone(tx) if row.id == me.id)


def test_a_process_is_not_dead_to_itself_nor_to_its_neighbours(index: Index) -> None:
    one, two = Presence(index), Presence(index)
    one.register()
    two.register()
    assert one.dead() == []
    assert two.dead() == []


def test_a_process_of_this_host_that_ended_is_dead_at_once(index: Index) -> None:
    me = Presence(index)
    me.register()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    register(index, host=my_row(index, me).host, pid=child.pid)
    assert me.dead() == ["other"]
    me.bury("other")
    assert me.dead() == []


def test_a_process_id_that_was_given_again_does_not_keep_the_dead_alive(index: Index) -> None:
    me = Presence(index)
    me.register()
    register(index, host=my_row(index, me).host, pid=os.getpid(), started="12345")
    assert me.dead() == ["other"]


def test_elsewhere_a_row_that_does_not_change_for_a_lease_is_dead(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    me = Presence(index)
    me.register()
    boot = my_row(index, me).host.partition("/")[0]
    row = register(index, host=f"{boot}/pid:[1]")
    assert me.dead() == []
    now += limits.LEASE_S - 1
    assert me.dead() == []
    index.write(lambda tx: processes.renew(tx, row.id, 2.0))
    now += 2
    assert me.dead() == []
    now += limits.LEASE_S + 1
    assert me.dead() == ["other"]


def test_who_began_before_the_machine_did_is_dead_where_the_index_is_of_one_machine(
    index: Index,
) -> None:
    me = Presence(index)
    me.register()
    register(index)
    assert me.dead() == (["other"] if index.embedded else [])
    me.bury("other")
    register(index, heartbeat_at=clock.timestamp())  # another container of this machine
    assert me.dead() == []


def test_one_that_was_buried_alive_comes_back(index: Index) -> None:
    one, two = Presence(index), Presence(index)
    one.register()
    two.bury(one.id)
    one.renew()
    assert my_row(index, one).pid == os.getpid()
    one.leave()
    with index.read() as tx:
        assert processes.everyone(tx) == []
