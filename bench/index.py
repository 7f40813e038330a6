"""What the index costs: microseconds of CPU for each instance, by size of batch.

    python bench/index.py [sqlite] [postgresql]

One batch is one durable transaction, submitted by one thread. CPU is user + system time of this
process and, for PostgreSQL, of its server processes; wall time depends on the disk.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support import postgres
from tests.support.staged import study
from wherry.index import resources, search
from wherry.index.database import Index
from wherry.index.opening import IndexSettings, open_index
from wherry.model import Level

ROUNDS = ((1000, 20), (50, 100), (1, 1000))


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def server_cpu() -> float:
    """CPU of all running PostgreSQL processes and of those that ended, in seconds."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name == "postgres":
            ticks += sum(int(field) for field in rest.split()[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(label: str, count: int, work: Callable[[], object], server: bool) -> None:
    before, elsewhere, start = own_cpu(), server_cpu() if server else 0.0, time.perf_counter()
    work()
    wall, cpu = time.perf_counter() - start, own_cpu() - before
    text = f"  {label:34} {cpu / count * 1e6:8.1f} us CPU"
    if server:
        text += f" + {(server_cpu() - elsewhere) / count * 1e6:8.1f} server"
    print(f"{text} {wall / count * 1e6:10.1f} us wall")


def run(title: str, settings: IndexSettings) -> None:
    print(title)
    server = settings.postgresql is not None
    start = time.perf_counter()
    open_index(settings).close()
    middle = time.perf_counter()
    index = open_index(settings)
    fresh, again = middle - start, time.perf_counter() - middle
    print(f"  open: {fresh * 1e3:.0f} ms fresh, {again * 1e3:.1f} ms existing")
    for size, rounds in ROUNDS:
        batches = [study(size, name=f"1.2.{size}.{number}") for number in range(rounds)]
        if size == 1:
            one = study(rounds, name="1.2.1", series_size=rounds)
            batches = [[instance] for instance in one]
        measure(f"add, batch of {size}", size * rounds, lambda b=batches: add_all(index, b), server)
    measure("get one series", 500, lambda: read_series(index, 500), server)
    measure("find a study", 500, lambda: find(index, 500), server)
    measure("delete a study, each instance", 1000, lambda: delete(index), server)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"  peak memory of this process {peak / 1024:.0f} MiB")
    index.close()


def add_all(index: Index, batches: list[list[object]]) -> None:
    for batch in batches:
        index.write(lambda tx, b=batch: resources.add_instances(tx, b, overwrite=False))


def read_series(index: Index, times: int) -> None:
    with index.read() as tx:
        ids = resources.list_ids(tx, Level.SERIES, 0, 10)
    for number in range(times):
        with index.read() as tx:
            resources.get(tx, Level.SERIES, ids[number % len(ids)])


def find(index: Index, times: int) -> None:
    for number in range(times):
        with index.read() as tx:
            search.find(tx, Level.STUDY, {"0020,000d": f"1.2.1000.{number % 20}"})


def delete(index: Index) -> None:
    with index.read() as tx:
        target = resources.list_ids(tx, Level.STUDY, 0, 1)[0]
    index.write(lambda tx: resources.delete(tx, Level.STUDY, target))


def main() -> None:
    chosen = sys.argv[1:] or ["sqlite", "postgresql"]
    if "sqlite" in chosen:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            run("SQLite", IndexSettings(sqlite_path=Path(folder) / "index.db"))
    if "postgresql" in chosen:
        with postgres.cluster() as conninfo, postgres.database(conninfo) as database:
            run("PostgreSQL", IndexSettings(postgresql=database))


if __name__ == "__main__":
    main()
