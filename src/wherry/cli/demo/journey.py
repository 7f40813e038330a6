"""The demonstration itself: make and upload, send, compare, tell."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from rich.console import Console
from rich.progress import Progress

from wherry import clock
from wherry.cli.demo import show, study
from wherry.cli.demo.client import Client
from wherry.cli.demo.servers import TARGET, DemoServer, two_servers
from wherry.cli.demo.show import Step
from wherry.errors import WherryError

T = TypeVar("T")

_CONNECTIONS = 4
_POLL_S = 0.1
_FRAME_BYTES = study.SIDE * study.SIDE * 2


@dataclass(frozen=True)
class Plan:
    """What to demonstrate."""

    slices: int
    frames: int
    compression: str
    keep: bool


@dataclass
class Uploaded:
    """What the source said of the files it was given."""

    study: str = ""
    size_bytes: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    """Instance → SHA-256 of the file as it was made."""


def demonstrate(plan: Plan) -> int:
    """Run it. 0 when every byte arrived, 1 otherwise, 130 on Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False)
    try:
        with two_servers() as (source, target):
            console.print(f"{source.name}: {source.url}/   {target.name}: {target.url}/")
            verified = _travel(plan, source, target, console)
            if verified and plan.keep:
                _keep(console, source, target)
            return 0 if verified else 1
    except KeyboardInterrupt:
        console.print("stopped")
        return 130
    except WherryError as error:
        console.print(f"The demonstration failed: {error}", style="red", markup=False)
        return 1


def _travel(plan: Plan, source: DemoServer, target: DemoServer, console: Console) -> bool:
    with show.bars(console) as bars:
        uploaded, upload_s = _upload(plan, source, bars)
        send_s = _send(plan, source, uploaded, bars)
        different, verify_s = _verify(source, target, uploaded, bars)
    count = len(uploaded.digests)
    console.print(
        show.summary(
            [
                Step("made and uploaded", count, uploaded.size_bytes, upload_s),
                Step(f"sent ({plan.compression})", count, uploaded.size_bytes, send_s),
                Step("compared, both sides", count, 2 * uploaded.size_bytes, verify_s),
            ]
        )
    )
    for orthanc_id, problem in sorted(different.items())[:10]:
        console.print(f"  {orthanc_id}: {problem}", style="red")
    console.print(
        f"verified: {len(uploaded.digests.keys() - different)} of {count} instances identical",
        style="red" if different else "bold green",
    )
    return not different and count > 0


def _upload(plan: Plan, source: DemoServer, bars: Progress) -> tuple[Uploaded, float]:
    """Make the files and upload them at once, over several connections."""
    uploaded = Uploaded()
    files = _Shared(_files(plan))
    lock = threading.Lock()
    total = (plan.slices + plan.frames) * _FRAME_BYTES
    bar = bars.add_task(f"upload to {source.name}", total=total)

    def work() -> None:
        with Client(source.url) as client:
            for file in files:
                answer = client.store(file)
                digest = hashlib.sha256(file).hexdigest()
                with lock:
                    uploaded.study = answer["ParentStudy"]
                    uploaded.digests[answer["ID"]] = digest
                    uploaded.size_bytes += len(file)
                bars.update(bar, advance=len(file))

    start = clock.monotonic()
    _in_parallel([work] * _CONNECTIONS)
    seconds = clock.monotonic() - start
    bars.update(bar, total=uploaded.size_bytes, completed=uploaded.size_bytes)
    return uploaded, seconds


def _files(plan: Plan) -> Iterator[bytes]:
    yield from study.ct_series(plan.slices)
    yield study.enhanced_ct(plan.frames)


class _Shared(Generic[T]):
    """An iterator that several threads may use."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._lock = threading.Lock()

    def __iter__(self) -> _Shared[T]:
        return self

    def __next__(self) -> T:
        with self._lock:
            return next(self._items)


def _send(plan: Plan, source: DemoServer, uploaded: Uploaded, bars: Progress) -> float:
    """Send the study and follow the job; the seconds it ran."""
    bar = bars.add_task(f"send to {TARGET}", total=uploaded.size_bytes)
    with Client(source.url) as client:
        start = clock.monotonic()
        submitted = client.post(
            "/transfers/send",
            {
                "Resources": [{"Level": "Study", "ID": uploaded.study}],
                "Compression": plan.compression,
                "Peer": TARGET,
            },
        )
        while True:
            job: dict[str, Any] = client.get(f"/jobs/{submitted['ID']}")
            bars.update(bar, completed=uploaded.size_bytes * job["Progress"] // 100)
            if job["State"] == "Success":
                break
            if job["State"] not in ("Pending", "Running", "Retry"):
                cause = job.get("ErrorDetails") or job.get("ErrorDescription") or ""
                raise WherryError(f"the transfer ended with {job['State']}: {cause}")
            time.sleep(_POLL_S)
    return float(job.get("EffectiveRuntime") or clock.monotonic() - start)


def _verify(
    source: DemoServer, target: DemoServer, uploaded: Uploaded, bars: Progress
) -> tuple[dict[str, str], float]:
    """Download everything from both sides; instances that are not as they were made, and why."""
    bar = bars.add_task("compare both sides", total=2 * uploaded.size_bytes)
    start = clock.monotonic()
    with Client(target.url) as client:
        arrived = set(client.get("/instances"))
    different = dict.fromkeys(arrived - uploaded.digests.keys(), "was never sent")
    waiting = _Shared(iter(uploaded.digests))
    share = 2 * uploaded.size_bytes / max(1, len(uploaded.digests))

    def work() -> None:
        with Client(source.url) as here, Client(target.url) as there:
            for orthanc_id in waiting:
                if problem := _compare(orthanc_id, arrived, uploaded, here, there):
                    different[orthanc_id] = problem
                bars.update(bar, advance=share)

    _in_parallel([work] * _CONNECTIONS)
    bars.update(bar, completed=2 * uploaded.size_bytes)
    return different, clock.monotonic() - start


def _compare(
    orthanc_id: str, arrived: set[str], uploaded: Uploaded, here: Client, there: Client
) -> str:
    """What is wrong with one instance; "" = nothing."""
    path = f"/instances/{orthanc_id}/file"
    if orthanc_id not in arrived:
        return "did not arrive"
    if here.digest(path) != uploaded.digests[orthanc_id]:
        return "differs at the sender"
    if there.digest(path) != uploaded.digests[orthanc_id]:
        return "differs at the receiver"
    return ""


def _in_parallel(tasks: list[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(tasks)) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()


def _keep(console: Console, *servers: DemoServer) -> None:
    """Wait for Ctrl-C, or for the end of a server."""
    console.print("\nBoth servers keep running. Try:")
    for server in servers:
        console.print(f"  curl {server.url}/studies?expand     [dim]# {server.name}[/dim]")
    console.print("Ctrl-C stops them and removes their data.")
    try:
        while all(server.process.poll() is None for server in servers):
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("stopped")
        return
    raise WherryError("a server ended by itself")
