"""Folders and servers into servers: as users have always done it, and with our own commands.

Each pair of a Wherry and a real Orthanc, in both directions.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.support.dicom_files import make_instance
from tests.support.orthanc import ORTHANC, Orthanc
from tests.support.proxy import Message, proxied
from tests.support.server import Server, running

SCRIPTS = Path(__file__).parent / "scripts"
FILES = [make_instance(study, 1, number) for study in (1, 2) for number in range(1, 8)]
KINDS = {"wherry": Server, "orthanc": Orthanc}
PAIRS = [("wherry", "wherry"), ("orthanc", "wherry"), ("wherry", "orthanc")]


def server(kind: str, folder: Path, **config: object) -> Server:
    if kind == "orthanc" and ORTHANC is None:
        pytest.skip("there is no Orthanc to speak with: apt-get install orthanc")
    return KINDS[kind](folder, config=config)


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """A filled source and an empty target."""
    with ExitStack() as stack:
        source, target = (
            stack.enter_context(running(server(kind, tmp_path / role)))
            for kind, role in zip(request.param, ("source", "target"), strict=True)
        )
        for data in FILES:
            assert source.request("POST", "/instances", data)[0] == 200
        yield source, target


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with running(server(request.param, tmp_path / "target")) as one:
        yield one


def content(one: Server) -> dict[str, str]:
    return {
        name: hashlib.sha256(one.get(f"/instances/{name}/file")[1]).hexdigest()
        for name in one.json("GET", "/instances")
    }


def digests(files: list[bytes]) -> list[str]:
    return sorted(hashlib.sha256(data).hexdigest() for data in files)


def run(*command: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200", **environ},
    )


def wherry(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "wherry", *arguments, **environ)


def number(output: str, row: str) -> int:
    """The number in the row of the summary that begins so."""
    found = re.search(rf"│ {re.escape(row)}[^│]*│ +(\d+) │", output)
    assert found, output
    return int(found[1])


def a_folder(folder: Path) -> list[bytes]:
    """A folder with everything that is found in real ones; the files that belong to a server."""
    (folder / "a" / "b").mkdir(parents=True)
    for position, data in enumerate(FILES):
        (folder / ("a" if position % 2 else "a/b") / f"{position}.dcm").write_bytes(data)
    (folder / "again").write_bytes(FILES[0])
    (folder / "readme.txt").write_text("hello")
    (folder / "empty").touch()
    (folder / "a" / "loop").symlink_to("..")
    os.mkfifo(folder / "pipe")
    inside = [make_instance(3, 1, 1), make_instance(3, 1, 2)]
    with zipfile.ZipFile(folder / "disc.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one", inside[0])
        archive.writestr("folder/two", inside[1])
        archive.writestr("text", "no")
    return [*FILES, *inside]


# --- as users do it ------------------------------------------------------------------------
def test_the_usual_import_script(target: Server, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    (folder / "deep" / "er").mkdir(parents=True)
    for position, data in enumerate(FILES):
        (folder / ("deep" if position % 2 else "deep/er") / str(position)).write_bytes(data)
    (folder / "notes.txt").write_text("hello")
    found = run(SCRIPTS / "import_files.py", "127.0.0.1", target.port, folder)
    assert f"{len(FILES)} of {len(FILES) + 1} imported" in found.stdout, found
    assert "notes.txt: 400" in found.stdout
    assert sorted(content(target).values()) == digests(FILES)


def test_the_usual_import_script_with_a_password(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "1").write_bytes(FILES[0])
    users = {"me": "secret"}
    config = {"AuthenticationEnabled": True, "RegisteredUsers": users}
    with running(server("wherry", tmp_path / "target", **config)) as target:
        script = SCRIPTS / "import_files.py"
        found = run(script, "127.0.0.1", target.port, folder, "me", "wrong")
        assert "0 of 1 imported" in found.stdout
        found = run(script, "127.0.0.1", target.port, folder, "me", "secret")
        assert "1 of 1 imported" in found.stdout, found


@pytest.mark.parametrize("options", [(), ("--gzip",), ("--delete",)], ids=lambda o: "".join(o))
def test_the_usual_copy_script(pair: tuple[Server, Server], options: tuple[str, ...]) -> None:
    source, target = pair
    before = content(source)
    found = run(SCRIPTS / "copy_server.py", source.url, target.url, *options)
    assert found.returncode == 0, found
    assert content(target) == before
    assert len(source.json("GET", "/instances")) == (0 if "--delete" in options else len(FILES))


def test_the_usual_copy_script_with_passwords(tmp_path: Path) -> None:
    config = {"AuthenticationEnabled": True, "RegisteredUsers": {"me": "secret"}}
    with ExitStack() as stack:
        source, target = (
            stack.enter_context(running(server("wherry", tmp_path / role, **config)))
            for role in ("source", "target")
        )
        login = {"Authorization": "Basic bWU6c2VjcmV0"}
        assert source.request("POST", "/instances", FILES[0], login)[0] == 200
        there, here = (one.url.replace("//", "//me:secret@") for one in (source, target))
        found = run(SCRIPTS / "copy_server.py", there, here)
        assert found.returncode == 0, found
        assert b'"CountInstances": 1' in target.request("GET", "/statistics", None, login)[1]


# --- wherry import -------------------------------------------------------------------------
def test_import(target: Server, tmp_path: Path) -> None:
    files = a_folder(tmp_path / "files")
    found = wherry("import", tmp_path / "files", "--to", target.url)
    assert found.returncode == 0, found
    assert sorted(content(target).values()) == digests(files)
    assert number(found.stdout, "imported and compared") == len(files)
    assert number(found.stdout, "there already") == 1
    assert number(found.stdout, "skipped: not DICOM") == 2
    assert number(found.stdout, "skipped: empty") == 1
    assert number(found.stdout, "skipped: no regular file") == 1
    again = wherry("import", tmp_path / "files", "--to", target.url)
    assert again.returncode == 0
    assert number(again.stdout, "imported and compared") == 0
    assert number(again.stdout, "there already") == len(files) + 1


def test_import_says_what_failed_and_why(target: Server, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "good").write_bytes(FILES[0])
    (folder / "cut\x1b[31m").write_bytes(FILES[1][:400])
    (folder / "other").write_bytes(make_instance(1, 1, 1, PatientName="Else"))
    nameless = get_testdata_file("JPEGLSNearLossless_08.dcm", download=False)  # lacks its UIDs
    (folder / "nameless").write_bytes(Path(str(nameless)).read_bytes())
    (folder / "broken.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    assert target.request("POST", "/instances", FILES[0])[0] == 200
    found = wherry("import", folder, "--to", target.url)
    assert found.returncode == 1, found
    assert number(found.stdout, "there already") == 1
    assert number(found.stdout, "FAILED: the server has other bytes") == 1
    assert number(found.stdout, "FAILED: a damaged ZIP") == 1
    assert "answered 404" in " ".join(found.stdout.split())
    assert "Cannot parse an invalid DICOM file" in " ".join(found.stdout.split())
    assert "\x1b" not in found.stdout


def test_import_with_a_password(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "1").write_bytes(FILES[0])
    config = {"AuthenticationEnabled": True, "RegisteredUsers": {"me": "p@ss:/"}}
    with running(server("wherry", tmp_path / "target", **config)) as target:
        refused = wherry("import", folder, "--to", target.url)
        assert (refused.returncode, "401" in refused.stderr) == (2, True)
        secret = {"WHERRY_TO_USERNAME": "me", "WHERRY_TO_PASSWORD": "p@ss:/"}
        assert wherry("import", folder, "--to", target.url, **secret).returncode == 0
        url = target.url.replace("//", "//me:p%40ss%3A%2F@")
        found = wherry("import", folder, "--to", url)
        assert found.returncode == 0
        assert "p@ss" not in found.stdout + found.stderr
        assert number(found.stdout, "there already") == 1


def test_an_import_that_was_stopped_goes_on(tmp_path: Path) -> None:
    files = a_folder(tmp_path / "files")
    with running(server("wherry", tmp_path / "target")) as target, proxied(target.port) as proxy:
        seen: list[str] = []

        def stop(message: Message) -> None:
            if message.method == "POST":
                seen.append(message.path)
                if len(seen) == 6:
                    process.send_signal(signal.SIGINT)

        proxy.rule = stop
        command = [sys.executable, "-m", "wherry", "import", str(tmp_path / "files")]
        process = subprocess.Popen(
            [*command, "--to", proxy.url, "--connections", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 130, (output, errors)
        assert "Run the same command again" in errors
        assert "Summary" in output
        stored = len(target.json("GET", "/instances"))
        assert 0 < stored < len(files)
        proxy.rule = lambda _: None
        found = wherry("import", tmp_path / "files", "--to", proxy.url)
        assert found.returncode == 0
        assert number(found.stdout, "imported and compared") == len(files) - stored
        assert sorted(content(target).values()) == digests(files)


def test_a_server_that_goes_away(tmp_path: Path) -> None:
    a_folder(tmp_path / "files")
    with running(server("wherry", tmp_path / "target")) as target, proxied(target.port) as proxy:

        def refuse(message: Message) -> None:
            if message.method == "POST":
                message.status, message.answer = 507, b'{"Details":"No space"}'

        proxy.rule = refuse
        found = wherry("import", tmp_path / "files", "--to", proxy.url)
        assert found.returncode == 1
        assert "507: No space" in found.stderr
        assert "Run the same command again" in found.stderr


# --- wherry replicate ----------------------------------------------------------------------
def test_replicate(pair: tuple[Server, Server]) -> None:
    source, target = pair
    found = wherry("replicate", source.url, target.url)
    assert found.returncode == 0, found
    assert content(target) == content(source)
    assert number(found.stdout, "copied and compared") == len(FILES)
    extra = make_instance(9, 1, 1)
    assert source.request("POST", "/instances", extra)[0] == 200
    again = wherry("replicate", source.url, target.url)
    assert again.returncode == 0
    assert number(again.stdout, "copied and compared") == 1
    assert number(again.stdout, "there already") == len(FILES)
    assert content(target) == content(source)


def test_replicate_tells_of_other_bytes_under_the_same_name(pair: tuple[Server, Server]) -> None:
    source, target = pair
    other = make_instance(1, 1, 1, PatientName="Else")
    assert target.request("POST", "/instances", other)[0] == 200
    found = wherry("replicate", source.url, target.url)
    assert found.returncode == 1
    assert number(found.stdout, "FAILED: the target has other bytes") == 1
    assert number(found.stdout, "copied and compared") == len(FILES) - 1


def test_replicate_notices_bytes_that_changed_on_the_way(tmp_path: Path) -> None:
    with ExitStack() as stack:
        source, target = (
            stack.enter_context(running(server("wherry", tmp_path / role)))
            for role in ("source", "target")
        )
        for data in FILES[:3]:
            source.request("POST", "/instances", data)
        proxy = stack.enter_context(proxied(source.port))

        def corrupt(message: Message) -> bool:
            if message.path.endswith("/file"):
                message.answer = message.answer[:-1] + bytes([message.answer[-1] ^ 1])
            return True

        proxy.after = corrupt
        found = wherry("replicate", proxy.url, target.url)
        assert found.returncode == 1
        assert number(found.stdout, "FAILED: the source gives other bytes") == 3
        assert target.json("GET", "/instances") == []


def test_replicate_notices_a_target_that_stored_something_else(tmp_path: Path) -> None:
    with ExitStack() as stack:
        source, target = (
            stack.enter_context(running(server("wherry", tmp_path / role)))
            for role in ("source", "target")
        )
        for data in FILES[:3]:
            source.request("POST", "/instances", data)
        proxy = stack.enter_context(proxied(target.port))

        def lie(message: Message) -> bool:
            if message.path.endswith("/md5"):
                message.answer = b"0" * 32
            return True

        proxy.after = lie
        found = wherry("replicate", source.url, proxy.url)
        assert found.returncode == 1
        assert number(found.stdout, "FAILED: the target has stored something else") == 3
