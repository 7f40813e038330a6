"""An Orthanc that has lived is adopted: what it answered before, Wherry answers after it, and it
can be started again.

What differs is in ``adopt_differences.json`` beside this file, with a reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.golden.compare import Reason, differences, load_reasons
from tests.interop.adopt_store import COUNT, SAMPLES, Question, answer, fill, questions, upload
from tests.support import postgres
from tests.support.dicom_files import make_series
from tests.support.orthanc import Orthanc, needs_orthanc
from tests.support.server import Server, running

pytestmark = needs_orthanc

REASONS = Path(__file__).with_name("adopt_differences.json")
SHOWN = 100
type_answers = list[tuple[Question, dict[str, Any]]]


def wherry(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wherry", "adopt", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Adopted:
    """A Wherry on the store of an Orthanc."""

    original: Orthanc
    answers: type_answers
    """What the Orthanc said."""
    server: Server
    digest: str = ""
    """Of the index of the Orthanc, before anything was done with it."""

    @property
    def index(self) -> Path:
        return self.original.folder / "index" / "index"


@pytest.fixture(scope="module")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adopted]:
    original = fill(tmp_path_factory.mktemp("orthanc"))
    with running(original) as running_original:
        answers = [(one, answer(original, one)) for one in questions(running_original)]
        config = str(original.folder / "config.json")
        refused = wherry("--from", config)
        assert refused.returncode == 2
        assert "stop it first" in refused.stderr
        original.stop()
    server = Server(original.folder, original.config, port=original.port)
    found = Adopted(original, answers, server)
    found.digest = digest(found.index)
    dry = wherry("--from", config, "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, ""), dry.stdout + dry.stderr
    assert "Nothing would be lost" in dry.stdout
    assert not found.index.with_name("wherry.db").exists()
    done = wherry("--from", config, "--verify")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    again = wherry("--from", config)
    assert "adopted already" in again.stdout
    with running(server):
        yield found


def explained(question: Question, line: str, reasons: list[Reason]) -> bool:
    record = {"section": question.method, "name": question.kind}
    found = [reason for reason in reasons if reason.explains("", record, line)]
    return bool(found)


def test_what_was_answered_before_is_answered_now(adopted: Adopted) -> None:
    reasons = load_reasons(REASONS)
    assert len(adopted.answers) > 20 * COUNT
    found = []
    for question, before in adopted.answers:
        now = answer(adopted.server, question)
        found += [
            f"{question.kind} {question.body or ''} {line}"
            for line in differences(before, now)
            if not explained(question, line, reasons)
        ]
    assert not found, f"{len(found)}:\n" + "\n".join(found[:SHOWN])
    if SAMPLES:  # some are of these files
        assert [reason.why for reason in reasons if not reason.used] == []


def test_nothing_is_announced_and_the_index_of_the_orthanc_is_untouched(adopted: Adopted) -> None:
    last = next(now for question, now in adopted.answers if question.path == "/changes?last")
    assert adopted.server.json("GET", "/changes?last")["Last"] == last["body"]["Last"]
    assert digest(adopted.index) == adopted.digest
    assert sorted(path.name for path in adopted.index.parent.glob("index*")) == ["index"]


def test_the_orthanc_can_be_started_again_and_is_sent_a_study(
    adopted: Adopted, tmp_path: Path
) -> None:
    server, original = adopted.server, adopted.original
    places = {
        "StorageDirectory": str(original.storage),
        "IndexDirectory": str(original.folder / "index"),
    }
    new = make_series(5, study=99, patient_id="NEW")
    ids = [upload(server, data) for data in new]
    with running(Orthanc(tmp_path, {**original.config, **places})) as back:
        for question, before in adopted.answers:
            if question.kind.startswith(("/instances/{}", "/studies/{}")):
                assert answer(back, question) == before
        peer = json.dumps([f"{back.url}/"]).encode()
        assert server.request("PUT", "/peers/back", peer)[0] == 200
        study = server.json("GET", f"/instances/{ids[0]}/study")["ID"]
        server.json("POST", "/peers/back/store", study)
        for one, data in zip(ids, new, strict=True):
            assert back.get(f"/instances/{one}/file") == (200, data)
        assert back.stop() == 0


def test_what_a_crash_left_in_the_journal_is_adopted_too(tmp_path: Path) -> None:
    original = Orthanc(tmp_path)
    with running(original):
        ids = [upload(original, data) for data in make_series(5)]
        original.kill()
    folder = tmp_path / "index"
    before = {path.name: digest(path) for path in folder.iterdir()}
    assert "index-wal" in before
    done = wherry("--from", str(tmp_path / "config.json"), "--verify")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert {name: digest(folder / name) for name in before} == before
    assert not (folder / "wherry-adopts-a-copy").exists()
    with running(Server(tmp_path, original.config, port=original.port)) as server:
        assert server.json("GET", "/instances") == ids
    with running(original):
        assert original.json("GET", "/instances") == ids


def test_what_changes_after_it_was_adopted_is_not_adopted_again(tmp_path: Path) -> None:
    original = Orthanc(tmp_path)
    with running(original):
        first, second = make_series(2)
        upload(original, first)
        original.stop()
        assert wherry("--from", str(tmp_path / "config.json")).returncode == 0
        original.start()
        upload(original, second)
        original.stop()
    again = wherry("--from", str(tmp_path / "config.json"))
    assert again.returncode == 1
    assert "has changed since" in again.stderr


def test_into_postgresql(tmp_path: Path, postgresql_conninfo: str) -> None:
    original = Orthanc(tmp_path / "orthanc")
    files = make_series(3)
    with running(original):
        ids = [upload(original, data) for data in files]
        original.stop()
    with postgres.database(postgresql_conninfo) as conninfo:
        more = tmp_path / "more.json"
        section = {"EnableIndex": True, "ConnectionUri": conninfo}
        more.write_text(json.dumps({"PostgreSQL": section}))
        config = str(original.folder / "config.json")
        for dry in (["--dry-run"], []):
            done = wherry("--from", config, str(more), *dry)
            assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        assert not (original.folder / "index" / "wherry.db").exists()
        server = Server(original.folder, {**original.config, "PostgreSQL": section})
        with running(server):
            for one, data in zip(ids, files, strict=True):
                assert server.get(f"/instances/{one}/file") == (200, data)
