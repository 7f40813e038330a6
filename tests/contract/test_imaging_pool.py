"""Workers of images: what they are asked, and what becomes of those that misbehave."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import imaging_tasks
from tests.support.imaging import in_memory
from tests.support.jobs import eventually
from wherry import limits
from wherry.errors import ParameterOutOfRange, Unavailable, UndecodableImage
from wherry.imaging import process, work
from wherry.imaging.pool import ImagingPool, Source
from wherry.metrics import Metrics

_NAMES = [name for name in vars(imaging_tasks) if not name.startswith("_") and name.islower()]


@pytest.fixture(autouse=True)
def _tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _NAMES:
        monkeypatch.setitem(work.TASKS, name, f"tests.support.imaging_tasks:{name}")


@pytest.fixture
def pool() -> Iterator[ImagingPool]:
    made = ImagingPool(2, 512 * limits.MIB, Metrics(), patience_s=2)
    yield made
    made.close()
    assert made.pids() == []


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 64)
    with path.open("rb") as file:
        yield Source(file.fileno(), 100, 5000)


def _is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_nothing_is_started_before_it_is_needed(pool: ImagingPool) -> None:
    assert pool.pids() == []


def test_a_task_sees_its_range_and_writes_its_output(pool: ImagingPool, source: Source) -> None:
    result, output = in_memory(pool, "echo", {"a": [1, "é"]}, source)
    assert result == {"pid": pool.pids()[0], "size": 5000, "a": [1, "é"]}
    assert output == (bytes(range(256)) * 64)[100:5100]


def test_an_empty_input(pool: ImagingPool, source: Source) -> None:
    assert in_memory(pool, "echo", {}, Source(source.file, 7, 0))[1] == b""


def test_a_worker_is_used_again(pool: ImagingPool, source: Source) -> None:
    pids = {in_memory(pool, "echo", {}, source)[0]["pid"] for _ in range(3)}
    assert len(pids) == 1


def test_it_sees_neither_the_environment_nor_other_files(
    pool: ImagingPool, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "secret")
    seen = in_memory(pool, "environment", {}, source)[0]
    assert set(seen["environ"]) <= {*process._ENVIRONMENT, "LC_CTYPE"}
    files = {name for name in seen["files"] if not name.startswith(("/memfd", "socket"))}
    assert files == {os.readlink(f"/proc/self/fd/{source.file}")}
    assert sum(name.startswith("socket") for name in seen["files"]) == 1


def test_an_error_of_ours_arrives_as_it_was_raised(pool: ImagingPool, source: Source) -> None:
    with pytest.raises(ParameterOutOfRange, match="there is no such frame"):
        in_memory(pool, "refuse", {}, source)


def test_any_other_error_is_an_image_that_cannot_be_decoded(
    pool: ImagingPool, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UndecodableImage):
        in_memory(pool, "stumble", {}, source)
    assert "KeyError at" in caplog.text
    assert "Doe" not in caplog.text


@pytest.mark.parametrize("task", ["crash", "leave", "sleep", "spin", "allocate"])
def test_one_that_misbehaves_costs_its_task_and_is_replaced(
    pool: ImagingPool, source: Source, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = in_memory(pool, "echo", {}, source)[0]["pid"]
    if task in ("sleep", "spin"):
        monkeypatch.setattr(pool, "_patience_s", 0.1)
    with pytest.raises(UndecodableImage):
        in_memory(pool, task, {}, source)
    assert task == "allocate" or not _is_there(before)
    monkeypatch.setattr(pool, "_patience_s", 20)
    assert in_memory(pool, "echo", {}, source)[0]["size"] == 5000


def test_an_output_is_bounded(
    pool: ImagingPool, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAGING_OUTPUT_BYTES", 2**22)
    with (tmp_path / "sink").open("wb") as sink, pytest.raises(UndecodableImage):
        pool.run("flood", {}, source, sink.fileno())
    assert (tmp_path / "sink").stat().st_size <= 2**22


def test_one_that_has_grown_is_replaced(pool: ImagingPool, source: Source) -> None:
    grown = in_memory(pool, "grow", {}, source)[0]["pid"]
    assert not _is_there(grown)
    assert in_memory(pool, "echo", {}, source)[0]["pid"] != grown


def test_one_that_says_it_is_alive_has_more_time(pool: ImagingPool, source: Source) -> None:
    assert in_memory(pool, "go_on", {}, source)[0] == {}


def test_one_that_was_killed_while_idle_costs_nobody_anything(
    pool: ImagingPool, source: Source
) -> None:
    pid = in_memory(pool, "echo", {}, source)[0]["pid"]
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert in_memory(pool, "echo", {}, source)[0]["pid"] != pid


def test_idle_ones_end(source: Source) -> None:
    pool = ImagingPool(2, 512 * limits.MIB, Metrics(), idle_s=0.05)
    pid = in_memory(pool, "echo", {}, source)[0]["pid"]
    eventually(lambda: not _is_there(pid))
    assert pool.pids() == []
    assert in_memory(pool, "echo", {}, source)[0]["pid"] != pid
    pool.close()


def test_the_queue_is_bounded(
    pool: ImagingPool, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAGING_WAITING", 0)
    with pytest.raises(Unavailable):
        in_memory(pool, "echo", {}, source)


def test_more_tasks_than_workers_are_all_done(pool: ImagingPool, source: Source) -> None:
    pids: list[int] = []

    def ask() -> None:
        pids.append(in_memory(pool, "echo", {}, source)[0]["pid"])

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 20
    assert len(set(pids)) <= 2


def test_closing_ends_what_is_going_on(source: Source) -> None:
    pool = ImagingPool(1, 512 * limits.MIB, Metrics())
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            in_memory(pool, "sleep", {}, source)
        except Unavailable as error:
            caught.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: bool(pool.pids()))
    pid = pool.pids()[0]
    pool.close()
    for thread in threads:
        thread.join()
    assert len(caught) == 2
    assert not _is_there(pid)
    with pytest.raises(Unavailable):
        in_memory(pool, "echo", {}, source)


_ROOT = Path(__file__).parents[2]
_ASKS = """
import os, sys, tempfile
sys.path.append(os.getcwd())
from wherry import limits
from wherry.imaging.pool import ImagingPool, Source
from wherry.imaging.work import TASKS
from wherry.metrics import Metrics
TASKS["it"] = "tests.support.imaging_tasks:" + sys.argv[1]
pool = ImagingPool(1, 512 * limits.MIB, Metrics())
with tempfile.TemporaryFile() as source:
    pool.run("it", {}, Source.whole(source.fileno()), sys.stdout.fileno())
"""


@pytest.mark.parametrize("task", ["sleep", "spin"])
def test_a_hanging_one_dies_with_the_server(task: str, tmp_path: Path) -> None:
    with (tmp_path / "pid").open("w+") as pid:
        server = subprocess.Popen([sys.executable, "-c", _ASKS, task], stdout=pid, cwd=_ROOT)
        try:
            eventually(lambda: (tmp_path / "pid").read_text())
        finally:
            server.kill()
            server.wait()
    worker = int((tmp_path / "pid").read_text())
    eventually(lambda: not _is_there(worker))
