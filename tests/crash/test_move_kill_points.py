"""SIGKILL at every step of moves between the stores: durable calls of the process, requests to the
object store, and its answers. No file is lost, none is in two places for good, and who reads all
the while never gets an error from a server that lives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.crash.killing import DEAD, everywhere, rows, some, submit, until_its_end
from tests.crash.moves import HERE, THERE, Life, Reader, Stored, living, type_point
from tests.support.dicom_files import make_instance, make_series
from tests.support.jobs import eventually
from tests.support.swift import Swift

pytestmark = pytest.mark.crash

FILES = make_series(6)
PLACES = (
    "SELECT a.place FROM attachments a JOIN instances i ON i.id = a.resource"
    " JOIN series e ON e.id = i.parent WHERE e.parent = (SELECT min(id) FROM studies)"
)
"""Of the instances of the first study."""
LOOKED = "SELECT 1 FROM settings WHERE key = 'StoragePolicy.State'"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return Stored(tmp_path_factory.mktemp("stored") / "template").fill(FILES)


def move(life: Life, target: str) -> None:
    order = {"Resources": [life.stored.study], "TargetStorage": target}
    until_its_end(life.server, submit(life.server, "/move-storage", order))


def moved_before(life: Life) -> None:
    """Everything is in the object store when it begins."""
    order = {"Resources": [life.stored.study], "TargetStorage": THERE}
    life.server.json("POST", "/move-storage", order)
    eventually(life.settled, "the end of the first move")


def arrived(life: Life, data: bytes) -> None:
    """The instance is there, whatever happens to the server."""
    with suppress(*DEAD):
        assert life.server.request("POST", "/instances", data)[0] == 200


def all_in(life: Life, target: str) -> bool:
    """Whether the study is where it should be, and nothing is on its way."""
    wanted = "" if target == HERE else "object-storage:"
    places = rows(life.server, PLACES)
    return life.settled() and all(
        place == wanted or (wanted and place.startswith(wanted)) for (place,) in places
    )


def kill_everywhere(
    live: Callable[[Path, type_point], tuple[Life, str]],
    folder: Path,
    what: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Count the steps of a life that is not disturbed, then die at each of them."""
    life, killed = live(folder / "count", ("", 0))
    assert not killed
    counts = life.counts
    assert min(counts.values()) >= len(FILES), counts
    points: list[type_point] = [
        (kind, number)
        for kind in ("call", "before", "after")
        for number in some(range(1, counts[kind] + 1))
    ]

    def at(point: type_point) -> str:
        try:
            return live(folder / f"{point[0]}-{point[1]}", point)[1]
        except AssertionError as error:
            raise AssertionError(f"{what}, killed at {point}: {error}") from error

    kinds = Counter(filter(None, everywhere(at, points)))
    with capsys.disabled():
        told = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))
        print(f"\n{what}: {counts}, killed at {kinds.total()} of {len(points)} ({told})")
    # Requests of those who read are counted too, and how many they are is a matter of speed.
    assert kinds.total() >= len(points) * 0.5, "most points must really kill"


@pytest.mark.parametrize("target", [THERE, HERE])
def test_moves_that_people_order(
    tmp_path: Path,
    shim: Path,
    stored: Stored,
    s3_service: Swift,
    target: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def live(folder: Path, point: type_point) -> tuple[Life, str]:
        with living(stored, folder, shim, s3_service) as life:
            if target == HERE:
                moved_before(life)
            before = len(life.server.json("GET", "/jobs"))
            with Reader(life.server, stored) as reader:
                life.arm(point)
                move(life, target)
                if life.ended():
                    for found in life.server.json("GET", "/jobs"):
                        assert life.server.wait_for_job(found)["State"] == "Success"
                reads = reader.reads
                ordered = len(life.server.json("GET", "/jobs")) > before
                life.check(target if ordered else None)
                eventually(lambda: reader.reads >= reads + 2 * len(FILES) or reader.errors)
            assert not reader.errors, (reader.errors, life.server.log())
            return life, life.killed

    kill_everywhere(live, tmp_path, f"move to {target}", capsys)


@pytest.mark.parametrize("target", [THERE, HERE])
def test_moves_of_the_policy(
    tmp_path: Path,
    shim: Path,
    stored: Stored,
    s3_service: Swift,
    target: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Away: nearly nothing may stay. Back: a new study of the patient arrives."""
    rules: dict[str, Any] = {"PrefetchWithNewStudy": True}
    if target == THERE:
        rules = {"KeepLocalGB": 1}
    config = {"Wherry": {"StoragePolicy": rules}}
    newer = make_instance(2)

    def live(folder: Path, point: type_point) -> tuple[Life, str]:
        with living(stored, folder, shim, s3_service, **config) as life:
            server = life.server
            if target == HERE:
                moved_before(life)
                eventually(lambda: rows(server, LOOKED), "the first look of the policy")
            with Reader(server, stored) as reader:
                life.arm(point)
                if target == HERE:
                    arrived(life, newer)
                eventually(lambda: life.dies() or all_in(life, target), "the end of the move")
                if life.ended():
                    if target == HERE:
                        arrived(life, newer)
                    eventually(lambda: all_in(life, target), "the end of the move")
                life.check(target)
            assert not reader.errors, (reader.errors, server.log())
            return life, life.killed

    kill_everywhere(live, tmp_path, f"policy: to {target}", capsys)
