"""A study, two servers that it travels between, and orders to let it."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any

from tests.support.dicom_files import make_instance, make_series
from tests.support.server import Server

FILES = [
    *make_series(9),
    make_instance(number=20, pixel_bytes=5000),
    make_instance(number=21, pixel_bytes=60_000),
    make_instance(number=22, pixel_bytes=150_000),
]
"""With buckets of 4 KiB: small ones together, one alone, two in several parts; the last one is no
small file any more."""

TRANSFERS = {"Transfers": {"BucketSize": 4, "Threads": 3, "MaxHttpRetries": 0}}
BUCKET = re.compile(r"/transfers/push/[^/]+/(\d+)")


def fill(server: Server) -> None:
    """Give it the study."""
    for data in FILES:
        assert server.request("POST", "/instances", data)[0] == 200


def content(server: Server) -> dict[str, str]:
    """MD5 of each instance."""
    return {
        name: hashlib.md5(server.get(f"/instances/{name}/file")[1]).hexdigest()
        for name in server.json("GET", "/instances")
    }


def start(server: Server, route: str = "send", **changes: Any) -> str:
    """Order a transfer of its study; the job."""
    study = changes.pop("study", None) or server.json("GET", "/studies")[0]
    order = {
        "Resources": [{"Level": "Study", "ID": study}],
        "Peer": "there",
        "Compression": "none",
    } | changes
    return str(server.json("POST", f"/transfers/{route}", order)["ID"])


def send(server: Server, **changes: Any) -> dict[str, Any]:
    """Send its study; the job when it has ended."""
    return server.wait_for_job(start(server, **changes))


def wait_until(condition: Callable[[], bool], within_s: float = 60) -> None:
    """Until it holds."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)  # polling other processes
