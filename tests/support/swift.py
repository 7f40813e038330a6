"""A real S3 service for the tests: OpenStack Swift with its ``s3api``, on one disk.

Four programs, each a process of its own; what they keep lies in a temporary folder.
"""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError
from obstore.store import S3Store

from tests.support.installed import python_packages
from tests.support.processes import Program, running
from tests.support.server import free_port

ACCESS_KEY, SECRET_KEY, REGION = "test:tester", "testing", "us-east-1"
_PACKAGES = ("swift==2.38.*", "setuptools<81")
_RINGS = ("account", "container", "object")

_COMMON = """\
[swift-hash]
swift_hash_path_prefix = wherry
swift_hash_path_suffix = tests
[storage-policy:0]
name = gold
default = yes
"""
_KEEPER = """\
[DEFAULT]
devices = {home}/devices
mount_check = false
disable_fallocate = true
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {home}
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
_FILTERS = "catch_errors gatekeeper healthcheck listing_formats bulk slo dlo versioned_writes"
_PROXY = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {home}
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth slo dlo \
versioned_writes proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
check_bucket_owner = false
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:cache]
use = egg:swift#memcache
""" + "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in _FILTERS.split())


@dataclass(frozen=True)
class Swift:
    """A running service."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def section(self, bucket: str) -> dict[str, object]:
        """``AwsS3Storage`` of a configuration."""
        return {
            "BucketName": bucket,
            "Region": REGION,
            "AccessKey": ACCESS_KEY,
            "SecretKey": SECRET_KEY,
            "Endpoint": self.endpoint,
            "VirtualAddressing": False,
        }

    def store(self, bucket: str) -> S3Store:
        """A client for looking into a bucket."""
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            region=REGION,
            client_options={"allow_http": True},
        )

    def make(self, bucket: str) -> str:
        """A bucket, new if there was none; its name."""
        # The object "" of a bucket is the bucket; that the answer lacks a tag of the object, which
        # the client misses, does not matter.
        with suppress(GenericError, AlreadyExistsError):
            obstore.put(self.store(bucket), "", b"", use_multipart=False)
        return bucket


@contextmanager
def swift(folder: Path) -> Iterator[Swift]:
    """A service that keeps its data in ``folder``."""
    bin_folder = python_packages("swift-2.38", *_PACKAGES)
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(_COMMON)
    values = {"home": folder, "user": getpass.getuser()}
    programs = []
    for kind in (*_RINGS, "proxy"):
        port = free_port()
        text = _PROXY if kind == "proxy" else _KEEPER
        conf = folder / f"{kind}.conf"
        conf.write_text(text.format(kind=kind, port=port, **values))
        if kind != "proxy":
            _make_ring(bin_folder, folder, kind, port)
        command = (bin_folder / f"swift-{kind}-server", conf)
        programs.append(Program(command, port, folder / f"{kind}.log"))
    with running(programs):
        yield Swift(programs[-1].port)


def _make_ring(bin_folder: Path, folder: Path, kind: str, port: int) -> None:
    builder = [str(bin_folder / "swift-ring-builder"), str(folder / f"{kind}.builder")]
    for arguments in (
        ["create", "4", "1", "1"],
        ["add", f"r1z1-127.0.0.1:{port}/d1", "1"],
        ["rebalance"],
    ):
        subprocess.run([*builder, *arguments], check=True, capture_output=True)
