"""C-FIND as others answer it: many answers, slow ones, wrong ones, none."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.support.jobs import eventually
from tests.support.modality import (
    IMPLICIT,
    PATIENT_FIND,
    PENDING,
    STUDY_FIND,
    WORKLIST_FIND,
    Player,
    answer,
    playing,
    texts,
)
from tests.support.rawscp import Line, element, raw
from wherry import limits
from wherry.dicom.attributes import Attribute, write
from wherry.dicom.preamble import EXPLICIT
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.messages import message
from wherry.dicom.wire.pdu import Abort
from wherry.dicom.wire.writing import encode
from wherry.errors import FindNotSupported, NetworkProtocol
from wherry.modalities.asking.finding import Finder
from wherry.modalities.asking.identifiers import identifier
from wherry.modalities.associations.connection import ModalityUnavailable, Target
from wherry.modalities.associations.failure import DimseFailure
from wherry.model import Level

QUERY = identifier(Level.STUDY, {0x00100010: "Zoé*"})
ECHO = "1.2.840.10008.1.1"


class Enough(Exception):
    """Nobody wants the answer any more."""


def target(port: int, timeout_s: float | None = 30) -> Target:
    return Target("PLAYER", "WHERRY", "127.0.0.1", port, timeout_s)


def ask(
    port: int,
    check: Callable[[], None] = lambda: None,
    level: Level = Level.STUDY,
    timeout_s: float | None = 30,
) -> list[dict[int, Attribute]]:
    with Finder(target(port, timeout_s)) as finder:
        return list(finder.find(level, identifier(level, {}), check))


@pytest.fixture(scope="module")
def listening() -> Iterator[Player]:
    with playing() as player:
        yield player


@pytest.fixture
def player(listening: Player) -> Player:
    return listening.reset()


# --- what is said ---------------------------------------------------------------------------
def test_a_query_and_its_answers(player: Player) -> None:
    found = [answer(PatientID="1", PatientName="A"), answer(PatientID="2", StudyDescription="B")]
    player.find = lambda event: [(PENDING, one) for one in found]
    with Finder(target(player.port)) as finder:
        answers = list(finder.find(Level.STUDY, QUERY))
    assert [{t: one.text for t, one in each.items()} for each in answers] == [
        {0x00100010: "A", 0x00100020: "1"},
        {0x00081030: "B", 0x00100020: "2"},
    ]
    (asked,) = player.asked
    assert (asked.model, asked.calling) == (STUDY_FIND, "WHERRY")
    assert texts(asked.identifier) == {
        "SpecificCharacterSet": "ISO_IR 100",
        "AccessionNumber": "",
        "QueryRetrieveLevel": "STUDY",
        "PatientName": "Zoé*",
        "PatientID": "",
        "StudyInstanceUID": "",
    }
    eventually(lambda: "released" in player.ends)


def test_each_answer_has_its_own_letters(player: Player) -> None:
    names = {"ISO_IR 100": "Zoé", "ISO_IR 192": "山田", "ISO_IR 144": "Люк", "ISO_IR 126": "Διο"}
    player.find = lambda event: [
        (PENDING, answer(SpecificCharacterSet=term, PatientName=name))
        for term, name in names.items()
    ]
    assert [one[0x00100010].text for one in ask(player.port)] == list(names.values())


def test_sequences_come_whole(player: Player) -> None:
    code = answer(CodeValue="x", CodeMeaning="Knie")
    player.find = lambda event: [(PENDING, answer(ProcedureCodeSequence=[code, Dataset()]))]
    (found,) = ask(player.port)
    items = found[0x00081032].value
    assert isinstance(items, tuple)
    assert [{t: one.text for t, one in item.items()} for item in items] == [
        {0x00080100: "x", 0x00080104: "Knie"},
        {},
    ]


@pytest.mark.parametrize("level", Level)
def test_the_model_begins_with_patients_only_when_they_are_asked_for(
    player: Player, level: Level
) -> None:
    ask(player.port, level=level)
    assert player.asked[0].model == (PATIENT_FIND if level is Level.PATIENT else STUDY_FIND)


def test_who_has_one_model_is_asked_in_that() -> None:
    with playing(services=[PATIENT_FIND], syntaxes=[IMPLICIT]) as player:
        ask(player.port)
        assert [one.model for one in player.asked] == [PATIENT_FIND]


def test_who_has_no_patients() -> None:
    with playing(services=[STUDY_FIND]) as player:
        with pytest.raises(FindNotSupported, match="Remote AET is PLAYER"):
            ask(player.port, level=Level.PATIENT)
        assert player.asked == []


@pytest.mark.parametrize("worklist", [False, True])
def test_who_answers_no_queries(worklist: bool) -> None:
    services = [ECHO, STUDY_FIND] if worklist else [ECHO, WORKLIST_FIND]
    with (
        playing(services=services) as player,
        pytest.raises(FindNotSupported, match="Remote AET is PLAYER"),
    ):
        Finder(target(player.port), worklist=worklist)


def test_a_worklist(player: Player) -> None:
    step = {0x00080060: Attribute("CS", "MR")}
    player.find = lambda event: [(PENDING, answer(PatientID="1")), (0xFF01, answer(PatientID="2"))]
    with Finder(target(player.port), worklist=True) as finder:
        answers = list(finder.find_worklist({0x00400100: Attribute("SQ", (step,))}))
    assert [one[0x00100020].text for one in answers] == ["1", "2"]
    assert player.asked[0].model == WORKLIST_FIND
    assert player.identifiers == [{"ScheduledProcedureStepSequence": [{"Modality": "MR"}]}]


def test_several_queries_on_one_association(player: Player) -> None:
    player.find = lambda event: [(PENDING, answer(PatientID="1"))]
    with Finder(target(player.port)) as finder:
        for _ in range(3):
            assert len(list(finder.find(Level.STUDY, QUERY))) == 1
    assert (player.associations, len(player.asked)) == (1, 3)


# --- how much, how fast ---------------------------------------------------------------------
def test_answers_are_there_before_the_last_one_is(player: Player) -> None:
    """Two thousand of them, and nobody holds them all."""
    rest = threading.Event()

    def answers(event: object) -> Iterator[tuple[int, Dataset]]:
        for number in range(2_000):
            yield PENDING, answer(PatientID=str(number))
            if number == 99:
                assert rest.wait(60)

    player.find = answers
    with Finder(target(player.port)) as finder:
        found = finder.find(Level.STUDY, QUERY)
        assert [one[0x00100020].text for one in islice(found, 100)] == [str(n) for n in range(100)]
        rest.set()
        assert sum(1 for _ in found) == 1_900


@pytest.mark.parametrize("size", [0, limits.PDU_LEAST_BYTES, 5_001, 16_382, 200_000])
def test_pdus_of_any_size(size: int) -> None:
    """Also a query that needs a hundred of them."""
    wanted = "\\".join(f"1.2.{number}" for number in range(2_000))
    with playing(maximum_pdu_bytes=size) as player:
        player.find = lambda event: [(PENDING, answer(PatientComments="x" * 10_000))]
        with Finder(target(player.port)) as finder:
            query = identifier(Level.STUDY, {0x0020000D: wanted})
            (found,) = finder.find(Level.STUDY, query)
        assert found[0x00104000].text == "x" * 10_000
        assert player.identifiers[0]["StudyInstanceUID"] == wanted


def test_somebody_looks_while_the_modality_thinks(
    player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ASSOCIATION_LOOK_S", 0.01)
    looks = 0
    thought = threading.Event()

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            thought.set()

    def answers(event: object) -> Iterator[tuple[int, Dataset]]:
        assert thought.wait(60)
        yield PENDING, answer(PatientID="1")

    player.find = answers
    assert len(ask(player.port, look)) == 1
    assert looks >= 3


def test_a_modality_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ASSOCIATION_LOOK_S", 0.01)
    with (
        raw(lambda line: None) as scp,
        pytest.raises(ModalityUnavailable, match="it took too long"),
    ):
        ask(scp.port, timeout_s=0.2)


def test_answers_without_end_in_time(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "QUERY_S", 0.0)
    player.find = lambda event: [(PENDING, answer(PatientID="1"))] * 50
    with pytest.raises(NetworkProtocol, match="takes too long to answer"):
        ask(player.port)


# --- calling it off -------------------------------------------------------------------------
def test_a_query_that_is_called_off(player: Player) -> None:
    seen = threading.Event()

    def answers(event: object) -> Iterator[tuple[int, Dataset]]:
        yield PENDING, answer(PatientID="1")
        while True:  # until it hears of it
            seen.wait(0.001)
            yield PENDING, answer(PatientID="more")

    def check() -> None:
        if seen.is_set():
            raise Enough

    player.find = answers
    with pytest.raises(Enough), Finder(target(player.port)) as finder:
        for _ in finder.find(Level.STUDY, QUERY, check):
            seen.set()
    assert player.cancelled.wait(60)


def test_called_off_while_the_modality_thinks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not obey, and is not waited for."""
    monkeypatch.setattr(limits, "ASSOCIATION_LOOK_S", 0.01)
    monkeypatch.setattr(limits, "CANCEL_S", 0.05)

    def check() -> None:
        raise Enough

    with raw(lambda line: None) as scp, pytest.raises(Enough):
        ask(scp.port, check)


def test_the_cancel_names_the_query() -> None:
    heard: list[Command] = []

    def script(line: Line) -> None:
        line.hear()
        line.say(PENDING, write({0x00100020: Attribute("LO", "1")}, EXPLICIT))
        asked = line.head
        line.hear()
        heard.append(line.head.command)
        line.head = asked
        line.say(0xFE00)

    def check() -> None:
        raise Enough

    with raw(script) as scp, pytest.raises(Enough):
        ask(scp.port, check)
    (cancel,) = heard
    assert (cancel.field, cancel.responded_to) == (CommandField.C_CANCEL_RQ, 1)
    assert not cancel.has_data_set


# --- what goes wrong ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("status", "words", "http_status"),
    [
        (0xA700, "0xA700", 500),
        (0xA900, "0xA900: mind the gap", 500),
        (0xC000, "0xC000 (unable to process - invalid query ?): mind the gap", 422),
        (0xC001, "0xC001: mind the gap", 500),
        (0x0122, "0x0122: mind the gap", 500),
        (0xFE00, "0xFE00: mind the gap", 500),
        (0x0001, "0x0001: mind the gap", 500),
    ],
)
def test_a_modality_that_says_no(player: Player, status: int, words: str, http_status: int) -> None:
    told = answer(Status=status, ErrorComment="mind the gap")
    player.find = lambda event: [(PENDING, answer(PatientID="1")), (told, None)]
    with pytest.raises(DimseFailure) as caught:
        ask(player.port)
    assert (
        caught.value.details == f'C-FIND SCU to AET "PLAYER" has failed with DIMSE status {words}'
    )
    assert (caught.value.code, caught.value.http_status) == (9, http_status)
    assert caught.value.temporary == (status == 0xA700)


def good() -> bytes:
    return write({0x00100020: Attribute("LO", "1")}, EXPLICIT)


def store_request(line: Line) -> None:
    command = Command(CommandField.C_STORE_RQ, True, affected_sop_class="1.2", message_id=9)
    line.send(*message(line.head.context_id, command, good()))


WRONG: dict[str, Callable[[Line], None]] = {
    "no data set at all": lambda line: line.say(PENDING),
    "a data set that ends too soon": lambda line: line.say(PENDING, good()[:-1]),
    "a value longer than its data set": lambda line: line.say(
        PENDING, element(0x00100020, "LO", b"1")[:6] + b"\xff\xff1"
    ),
    "garbage": lambda line: line.say(PENDING, b"\xde\xad\xbe\xef" * 5),
    "sequences without end": lambda line: line.say(
        PENDING, b"\x08\0\x10\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 40
    ),
    "an answer to something else": lambda line: line.say(PENDING, good(), responded_to=77),
    "the answer of another service": lambda line: line.say(
        PENDING, good(), field=CommandField.C_MOVE_RSP
    ),
    "no status": lambda line: line.say(None, good()),
    "a question": store_request,
    "bytes that are no PDU": lambda line: line.send(b"HTTP/1.1 200 OK\r\n\r\n"),
    "more than anybody holds": lambda line: line.say(PENDING, bytes(limits.QUERY_BYTES + 2)),
    "an abort": lambda line: line.send(encode(Abort(2, 0))),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_answers_that_make_no_sense(wrong: str) -> None:
    def script(line: Line) -> None:
        line.hear()
        line.say(PENDING, good())
        WRONG[wrong](line)

    with raw(script) as scp, Finder(target(scp.port)) as finder:
        answers = finder.find(Level.STUDY, QUERY)
        assert next(answers)[0x00100020].text == "1"
        with pytest.raises(NetworkProtocol):
            next(answers)


def test_a_modality_that_is_gone() -> None:
    def script(line: Line) -> None:
        line.hear()
        line.connection.shutdown(2)

    with raw(script) as scp, pytest.raises(ModalityUnavailable):
        ask(scp.port)


def test_nobody_there() -> None:
    with pytest.raises(ModalityUnavailable, match="cannot be reached: Connection refused"):
        ask(1)


# --- over TLS -------------------------------------------------------------------------------
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates")
def test_over_tls_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking meanwhile whether the answer is still wanted."""
    monkeypatch.setattr(limits, "ASSOCIATION_LOOK_S", 0.01)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", *made, "-subj", "/CN=player", "-days", "2"],
        check=True,
        capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(certificate)
    with playing(tls=server) as player:
        player.find = lambda event: ((PENDING, answer(PatientID=str(n))) for n in range(300))
        called = replace(target(player.port), tls=client)
        with Finder(called) as finder:
            found = [one[0x00100020].text for one in finder.find(Level.STUDY, QUERY)]
        assert found == [str(n) for n in range(300)]
