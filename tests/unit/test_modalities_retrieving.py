"""C-MOVE and C-GET as jobs: a whole server, and modalities that send well, badly, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom.presentation import build_context

from tests.support.dicom_files import make_instance, make_series
from tests.support.face import Face, serving
from tests.support.jobs import eventually
from tests.support.modality import (
    PATIENT_GET,
    PATIENT_MOVE,
    PENDING,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    Player,
    answer,
    playing,
)
from tests.support.rawscp import Line, RawScp, raw
from wherry import limits
from wherry.config.dimse import DimseConfig
from wherry.dicom.attributes import Attribute, write
from wherry.dicom.preamble import EXPLICIT, read_preamble
from wherry.dicom.wire.commands import Command, CommandField
from wherry.dicom.wire.messages import fragments, message
from wherry.errors import StorageFull
from wherry.model import Modality

ROOT = "1.2.826.0.1.3680043.10.1234"
STUDY = f"{ROOT}.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
SERIES = make_series(5)
IDS = {
    "Patient": {"PatientID": "PATIENT1"},
    "Study": {"StudyInstanceUID": STUDY},
    "Series": {"StudyInstanceUID": STUDY, "SeriesInstanceUID": f"{STUDY}.1"},
    "Instance": {
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": f"{STUDY}.1",
        "SOPInstanceUID": f"{STUDY}.1.1",
    },
}


def parsed(data: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(data))


@pytest.fixture(scope="module")
def listening() -> Iterator[Player]:
    with playing(storage=[build_context(CT, [EXPLICIT])]) as player:
        yield player


@pytest.fixture
def player(listening: Player) -> Player:
    player = listening.reset()
    player.get = lambda event: [len(SERIES), *((PENDING, parsed(one)) for one in SERIES)]
    return player


@pytest.fixture
def face(tmp_path: Path, player: Player) -> Iterator[Face]:
    with serving(tmp_path, dimse=configured(player.modality()), concurrent_jobs=1) as face:
        yield face


def configured(*modalities: Modality) -> DimseConfig:
    dead = Modality("dead", "DEAD", "127.0.0.1", 1)
    return DimseConfig(modalities={one.name: one for one in (*modalities, dead)})


def order(face: Face, route: str, name: str = "player", **more: Any) -> Any:
    """A retrieval of one study."""
    body = {"Level": "Study", "Resources": [IDS["Study"]], **more}
    return face.post_json(f"/modalities/{name}/{route}", body)


def error(reply: Any) -> tuple[int, int, str]:
    found = reply.json()
    return reply.status, found["OrthancStatus"], found.get("Details", "")


def ended(face: Face, job: str) -> Any:
    eventually(lambda: face.json(f"/jobs/{job}")["State"] in ("Success", "Failure"))
    return face.json(f"/jobs/{job}")


def stored(face: Face) -> list[str]:
    """Data sets of what is here, sorted."""
    found = []
    for one in face.json("/instances"):
        data = face.get(f"/instances/{one}/file").body
        found.append(data[read_preamble(data)[3] :])
    return sorted(found)


def data_sets(files: list[bytes]) -> list[bytes]:
    return sorted(data[read_preamble(data)[3] :] for data in files)


# --- C-GET ----------------------------------------------------------------------------------
def test_a_study_is_got(face: Face, player: Player) -> None:
    reply = order(face, "get")
    assert reply.status == 200, reply.body
    content = reply.json()
    received = content["Details"][0].pop("ReceivedInstancesIds")
    resource = {"0008,0052": "STUDY", "0020,000d": STUDY}
    assert content == {
        "Description": "REST API",
        "Details": [
            {
                "CompletedSuboperations": 5,
                "DimseErrorStatus": 0,
                "FailedSuboperations": 0,
                "Query": resource,
                "WarningSuboperations": 0,
            }
        ],
        "LocalAet": "ORTHANC",
        "Query": [resource],
        "RemoteAet": "PLAYER",
    }
    assert sorted(received) == sorted(face.json("/instances"))
    assert stored(face) == data_sets(SERIES)


def test_where_it_came_from(face: Face) -> None:
    order(face, "get", LocalAet="ME")
    one = face.json("/instances")[0]
    found = face.json(f"/instances/{one}/metadata?expand")
    assert (found["Origin"], found["RemoteAET"], found["CalledAET"], found["RemoteIP"]) == (
        *("DicomProtocol", "PLAYER"),
        *("ME", "127.0.0.1"),
    )
    header = face.json(f"/instances/{one}/header?simplify")
    assert header["MediaStorageSOPClassUID"] == CT
    assert header["TransferSyntaxUID"] == EXPLICIT
    assert header["SourceApplicationEntityTitle"] == "PLAYER"


@pytest.mark.parametrize("level", IDS)
def test_levels_of_a_get(face: Face, player: Player, level: str) -> None:
    extra = {"PatientName": "x*", "AccessionNumber": "A"}
    body = {"Level": level, "Resources": [IDS[level] | extra]}
    assert face.post_json("/modalities/player/get", body).status == 200
    (got,) = [one for one in player.asked if one.service == "get"]
    assert got.model == (PATIENT_GET if level == "Patient" else STUDY_GET)
    sent = {e.keyword: str(e.value) for e in got.identifier}
    word = "IMAGE" if level == "Instance" else level.upper()
    expected = {"SpecificCharacterSet": "ISO_IR 100", "QueryRetrieveLevel": word}
    assert sent == expected | IDS[level]


def test_what_is_large_is_streamed(face: Face, player: Player) -> None:
    big = make_instance(number=9, pixel_bytes=9 * limits.MIB)
    player.get = lambda event: [1, (PENDING, parsed(big))]
    assert order(face, "get").status == 200
    assert stored(face) == data_sets([big])


def test_what_is_here_already_is_no_failure(face: Face) -> None:
    face.upload(SERIES[0])
    assert order(face, "get").status == 200
    assert len(face.json("/instances")) == 5


def test_the_classes_are_asked_for_first(face: Face, player: Player) -> None:
    """Once for a study, and the association that is for them serves on."""
    player.find = lambda event: [(PENDING, answer(SOPClassesInStudy=CT))]
    series = [{**IDS["Series"], "SeriesInstanceUID": f"{STUDY}.{n}"} for n in (1, 2)]
    body = {"Level": "Series", "Resources": series}
    assert face.post_json("/modalities/player/get", body).status == 200
    (asked,) = [one for one in player.asked if one.service == "find"]
    sent = {e.keyword: str(e.value) for e in asked.identifier}
    assert (sent["StudyInstanceUID"], sent["SOPClassesInStudy"]) == (STUDY, "")
    assert [one.service for one in player.asked] == ["find", "get", "get"]
    assert player.associations == 2


def test_the_client_may_tell_the_classes(face: Face, player: Player) -> None:
    told = [{**IDS["Study"], "SOPClassesInStudy": CT}]
    assert order(face, "get", Resources=told).status == 200
    assert [one.service for one in player.asked] == ["get"]


def test_classes_that_nobody_tells(tmp_path: Path) -> None:
    """Who answers no queries is got from all the same."""
    with (
        playing(services=[STUDY_GET], storage=[build_context(CT, [EXPLICIT])]) as player,
        serving(tmp_path, dimse=configured(player.modality())) as face,
    ):
        player.get = lambda event: [1, (PENDING, parsed(SERIES[0]))]
        assert order(face, "get").status == 200
        assert len(face.json("/instances")) == 1


def test_who_sends_nothing(tmp_path: Path) -> None:
    with (
        playing(services=[STUDY_FIND]) as player,
        serving(tmp_path, dimse=configured(player.modality())) as face,
    ):
        status, code, details = error(order(face, "get"))
        assert (status, code) == (500, 9)
        assert "C-GET command is not supported" in details and "PLAYER" in details
        assert error(order(face, "move")) == (500, 2017, "Remote AET is PLAYER")


def test_what_was_not_agreed_on_fails(face: Face, player: Player) -> None:
    """The modality has an MR that it may not send."""
    other = make_instance(number=7, SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    player.get = lambda event: [2, (PENDING, parsed(SERIES[0])), (PENDING, parsed(other))]
    status, code, details = error(order(face, "get"))
    assert (status, code) == (500, 9)
    assert "0xB000, 1 instances did not arrive" in details
    assert len(face.json("/instances")) == 1


# --- C-GET from who does not keep to it -----------------------------------------------------
type_step = Callable[[Line], None]


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Callable[[type_step], Face]]:
    """A server, and a modality that answers the C-GET as a test says."""
    stack = []

    def make(step: type_step) -> Face:
        def script(line: Line) -> None:
            contexts = [one.abstract_syntax for one in line.request.contexts]
            while (head := line.hear()) is not None:
                if head.command.field is CommandField.C_GET_RQ:
                    assert CT in contexts
                    step(line)
                    return
                if head.command.field is CommandField.C_FIND_RQ:
                    line.say(0)

        scp = raw(script)
        known = scp.__enter__()
        server = serving(tmp_path, dimse=configured(known.modality("player")))
        face = server.__enter__()
        stack.extend([server, scp])
        return face

    yield make
    for one in stack:
        one.__exit__(None, None, None)


def store(
    line: Line,
    file: bytes,
    sop_class: str = CT,
    sop_instance: str | None = None,
    context_class: str = CT,
    until: int | None = None,
) -> Command | None:
    """Send an instance, or its beginning; the answer."""
    sop_instance = sop_instance or str(parsed(file).SOPInstanceUID)
    context = next(c for c in line.request.contexts if c.abstract_syntax == context_class)
    command = Command(
        CommandField.C_STORE_RQ,
        has_data_set=True,
        affected_sop_class=sop_class,
        affected_sop_instance=sop_instance,
        message_id=70,
        priority=0,
    )
    data = file[read_preamble(file)[3] :]
    line.send(*message(context.id, command, b"")[:2])
    asked = line.head
    for one in fragments(context.id, data[:until], 0, ends=until is None):
        line.send(one)
    answered = None if until is not None else line.hear()
    line.head = asked
    return None if answered is None else answered.command


def test_an_instance_that_is_not_the_one_that_was_announced(
    scripted: Callable[[type_step], Face],
) -> None:
    answers = []

    def step(line: Line) -> None:
        answers.append(store(line, SERIES[0], sop_instance="1.2.3"))
        answers.append(store(line, SERIES[1], sop_class="1.2.840.10008.5.1.4.1.1.4"))
        answers.append(store(line, SERIES[2]))
        line.say(0, completed=3, failed=0, warning=0)  # whatever we said

    face = scripted(step)
    status, code, details = error(order(face, "get"))
    assert (status, code) == (500, 9)
    assert "2 instances did not arrive" in details
    assert [one.status for one in answers if one] == [0xA900, 0x0122, 0]
    assert answers[0] is not None
    assert (answers[0].responded_to, answers[0].affected_sop_instance) == (70, "1.2.3")
    assert stored(face) == data_sets([SERIES[2]])
    assert len(face.files()) == 1


@pytest.mark.parametrize("size", [2_000, 3 * limits.MIB])
def test_garbage_is_refused_and_leaves_nothing(
    scripted: Callable[[type_step], Face], size: int
) -> None:
    file = make_instance(pixel_bytes=size)
    start = read_preamble(file)[3]
    broken = file[: start + 4] + b"\xff" * 40 + file[start + 44 :]
    answers = []

    def step(line: Line) -> None:
        answers.append(store(line, broken, sop_instance="1.2.3"))
        line.say(0xB000, completed=0, failed=1, warning=0)

    face = scripted(step)
    status, _, details = error(order(face, "get"))
    assert status == 500 and "0xB000, 1 instances did not arrive" in details
    assert answers[0] is not None and answers[0].status == 0xC000
    assert face.json("/instances") == []
    assert face.files() == []


def test_a_full_store_ends_it(
    scripted: Callable[[type_step], Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []

    def step(line: Line) -> None:
        heard.append(store(line, SERIES[0]))
        asked = line.head
        heard.append(line.hear())
        line.head = asked
        line.say(0xFE00, completed=0, failed=1, warning=0)

    face = scripted(step)
    monkeypatch.setattr(type(face.rooms.ingest), "store_now", _full)
    status, code, _ = error(order(face, "get", Permissive=True))
    assert (status, code) == (507, 19)
    answered, cancel = heard
    assert answered.status == 0xA700
    assert cancel.command.field is CommandField.C_CANCEL_RQ
    assert face.json("/instances") == []


def _full(*args: object) -> None:
    raise StorageFull("No space left in the storage area")


@pytest.mark.parametrize("size", [100, 2 * limits.MIB])
def test_a_modality_that_dies_leaves_nothing_half(
    scripted: Callable[[type_step], Face], size: int
) -> None:
    big = make_instance(number=3, pixel_bytes=3 * limits.MIB)

    def step(line: Line) -> None:
        assert store(line, SERIES[0])
        store(line, big, until=size)
        line.connection.shutdown(2)

    face = scripted(step)
    status, code, details = error(order(face, "get"))
    assert (status, code) == (500, 9)
    assert "RAW" in details
    assert stored(face) == data_sets([SERIES[0]])
    assert len(face.files()) == 1


WRONG: dict[str, type_step] = {
    "an answer to a C-FIND": lambda line: line.say(0, field=CommandField.C_FIND_RSP),
    "an answer to something else": lambda line: line.say(0, responded_to=5),
    "another question": lambda line: line.send(
        *message(1, Command(CommandField.C_ECHO_RQ, message_id=1))
    ),
    "a store without a data set": lambda line: line.send(
        *message(3, Command(CommandField.C_STORE_RQ, affected_sop_class=CT, message_id=1))
    ),
    "a store in no context": lambda line: line.send(
        *message(255, Command(CommandField.C_STORE_RQ, True, affected_sop_class=CT), b"x")
    ),
    "no PDU": lambda line: line.send(b"\0" * 100),
    "silence, and gone": lambda line: line.connection.shutdown(2),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_gets_that_make_no_sense(scripted: Callable[[type_step], Face], wrong: str) -> None:
    def step(line: Line) -> None:
        asked = line.head
        WRONG[wrong](line)
        if "store" in wrong:
            heard = line.hear()
            assert heard is not None and heard.command.status
            line.head = asked
            line.say(0, completed=1)

    face = scripted(step)
    assert error(order(face, "get"))[:2] == (500, 9)
    assert face.json("/instances") == []


# --- C-MOVE ---------------------------------------------------------------------------------
def moved(status: int, **counts: int) -> type_step:
    return lambda line: line.say(status, **counts)


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[tuple[RawScp, Face, list[Any]]]:
    """A server, a modality that answers each C-MOVE as ``steps`` say, and what it heard."""
    heard: list[Any] = []

    def script(line: Line) -> None:
        while (head := line.hear()) is not None:
            heard.append((head.command, line.data_set))
            scp.steps.pop(0)(line)  # type: ignore[attr-defined]

    with raw(script) as scp:
        scp.steps = []  # type: ignore[attr-defined]
        known = scp.modality("player")
        with serving(tmp_path, dimse=configured(known), concurrent_jobs=1) as face:
            yield scp, face, heard


type_moving = tuple[Any, Face, list[Any]]


def test_a_study_is_moved(moving: type_moving) -> None:
    scp, face, heard = moving

    def step(line: Line) -> None:
        line.say(PENDING, remaining=2, completed=1, failed=0, warning=0)
        line.say(PENDING, remaining=0, completed=3, failed=0, warning=0)
        line.say(0, completed=3, failed=0, warning=0)

    scp.steps = [step]
    reply = order(face, "move", TargetAet="OTHER")
    assert reply.status == 200, reply.body
    resource = {"0008,0052": "STUDY", "0020,000d": STUDY}
    assert reply.json() == {
        "Description": "REST API",
        "Details": [
            {
                "CompletedSuboperations": 3,
                "DimseErrorStatus": 0,
                "FailedSuboperations": 0,
                "Query": resource,
                "WarningSuboperations": 0,
            }
        ],
        "LocalAet": "ORTHANC",
        "Query": [resource],
        "RemoteAet": "RAW",
        "TargetAet": "OTHER",
    }
    ((command, data),) = heard
    assert (command.move_destination, command.affected_sop_class) == ("OTHER", STUDY_MOVE)
    assert data == write(
        {
            0x00080005: Attribute("CS", "ISO_IR 100"),
            0x00080052: Attribute("CS", "STUDY"),
            0x0020000D: Attribute("UI", STUDY),
        },
        EXPLICIT,
    )


def test_without_a_title_it_comes_here(moving: type_moving) -> None:
    scp, face, heard = moving
    scp.steps = [moved(0)]
    assert order(face, "move").json()["TargetAet"] == "ORTHANC"
    assert heard[0][0].move_destination == "ORTHANC"


def test_patients_are_moved_in_their_own_model(moving: type_moving) -> None:
    scp, face, heard = moving
    scp.steps = [moved(0)]
    body = {"Level": "Patient", "Resources": [IDS["Patient"]]}
    assert face.post_json("/modalities/player/move", body).status == 200
    assert heard[0][0].affected_sop_class == PATIENT_MOVE


@pytest.mark.parametrize(
    ("status", "counts", "words"),
    [
        (0, {}, ""),
        (0, {"completed": 3, "failed": 0}, ""),
        (0xB000, {"completed": 2, "warning": 1, "failed": 0}, ""),  # stored, with a remark
        (0, {"completed": 2, "failed": 1}, "0x0000, 1 instances did not arrive"),
        (0xB000, {"completed": 2, "failed": 1}, "0xB000, 1 instances did not arrive"),
        (0xB000, {}, "0xB000"),
        (0xA702, {"failed": 3}, "0xA702, 3 instances did not arrive"),
        (0xA801, {}, "0xA801"),
        (0xC000, {}, "0xC000 (unable to process - resource not found ?)"),
        (0xFE00, {}, "0xFE00"),
    ],
)
def test_how_a_move_ends(
    moving: type_moving, status: int, counts: dict[str, int], words: str
) -> None:
    scp, face, _ = moving
    scp.steps = [moved(status, **counts)] * 2
    reply = order(face, "move")
    if not words:
        assert reply.status == 200
        return
    expected = f'C-MOVE SCU to AET "RAW" has failed with DIMSE status {words}'
    assert error(reply) == (500, 9, expected)
    (job,) = face.json("/jobs?expand")
    assert job["Content"]["Details"][0]["DimseErrorStatus"] == status
    assert job["Content"]["Details"][0]["Error"] == expected
    permissive = order(face, "move", Permissive=True)
    assert permissive.status == 200
    assert permissive.json()["Details"][0]["Error"] == expected


def resources(count: int) -> list[dict[str, str]]:
    return [{"StudyInstanceUID": f"1.2.{number}"} for number in range(count)]


def test_several_resources_one_after_the_other(moving: type_moving) -> None:
    scp, face, heard = moving
    scp.steps = [moved(0), moved(0xA801), moved(0)]
    reply = order(face, "move", Resources=resources(3), Permissive=True)
    details = reply.json()["Details"]
    assert [one["DimseErrorStatus"] for one in details] == [0, 0xA801, 0]
    assert ["Error" in one for one in details] == [False, True, False]
    assert [command.message_id for command, _ in heard] == [1, 2, 3]  # on one association


def test_a_failure_ends_the_job(moving: type_moving) -> None:
    scp, face, heard = moving
    scp.steps = [moved(0), moved(0xA801), moved(0)]
    job = order(face, "move", Resources=resources(3), Synchronous=False).json()["ID"]
    found = ended(face, job)
    assert (found["State"], found["ErrorCode"], found["Progress"]) == ("Failure", 9, 33)
    assert [one["DimseErrorStatus"] for one in found["Content"]["Details"]] == [0, 0xA801]
    assert len(heard) == 2
    scp.steps = [moved(0), moved(0)]  # again from the beginning, as Orthanc does
    scp.steps.append(moved(0))
    face.request("POST", f"/jobs/{job}/resubmit")
    eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Success")
    assert len(heard) == 5


def test_an_association_that_breaks_is_replaced(moving: type_moving) -> None:
    scp, face, heard = moving
    scp.steps = [moved(0), lambda line: line.connection.shutdown(2), moved(0)]
    reply = order(face, "move", Resources=resources(3), Permissive=True)
    assert [one["DimseErrorStatus"] for one in reply.json()["Details"]] == [0, None, 0]
    assert [command.message_id for command, _ in heard] == [1, 2, 1]


def test_nothing_to_retrieve(moving: type_moving) -> None:
    _, face, heard = moving
    for route in ("move", "get"):
        reply = order(face, route, Resources=[])
        assert (reply.status, reply.json()["Query"]) == (200, [])
    assert heard == []


def test_what_is_missing_is_the_fault_of_the_client(moving: type_moving) -> None:
    scp, face, heard = moving
    scp.steps = [moved(0)]
    for level in ("Patient", "Study", "Series", "Instance"):
        body = {"Level": level, "Resources": [{"SeriesInstanceUID": "1.2"}]}
        assert error(face.post_json("/modalities/player/move", body)) == (400, 8, "")
    mixed = [{}, IDS["Study"]]
    reply = order(face, "move", Resources=mixed, Permissive=True)
    assert [one["DimseErrorStatus"] for one in reply.json()["Details"]] == [None, 0]
    assert len(heard) == 1


def test_the_job_shows_how_far_it_is(moving: type_moving) -> None:
    scp, face, _ = moving
    go_on = threading.Event()

    def step(line: Line) -> None:
        line.say(PENDING, remaining=1, completed=3, failed=0, warning=0)
        assert go_on.wait(60)
        line.say(0, completed=4, failed=0, warning=0)

    scp.steps = [moved(0), step]
    job = order(face, "move", Resources=resources(2), Asynchronous=True, Priority=4).json()["ID"]
    eventually(lambda: face.json(f"/jobs/{job}")["Progress"] == 88)
    found = face.json(f"/jobs/{job}")
    assert (found["State"], found["Type"], found["Priority"]) == ("Running", "DicomMoveScu", 4)
    assert len(found["Content"]["Details"]) == 1
    go_on.set()
    assert ended(face, job)["Progress"] == 100


def test_a_cancelled_job_calls_the_move_off(
    moving: type_moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    scp, face, heard = moving
    under_way = threading.Event()

    def step(line: Line) -> None:
        under_way.set()
        asked = line.head
        head = line.hear()
        assert head is not None
        heard.append((head.command, b""))
        line.head = asked
        line.say(0xFE00, completed=1, failed=0, warning=0)

    scp.steps = [step]
    job = order(face, "move", Synchronous=False).json()["ID"]
    assert under_way.wait(60)
    face.request("POST", f"/jobs/{job}/cancel")
    found = ended(face, job)
    assert (found["State"], found["ErrorCode"]) == ("Failure", 37)
    cancel = heard[1][0]
    assert (cancel.field, cancel.responded_to) == (CommandField.C_CANCEL_RQ, 1)


def test_a_paused_job_goes_on_with_the_next_resource(moving: type_moving) -> None:
    scp, face, heard = moving
    under_way = threading.Event()

    def step(line: Line) -> None:
        under_way.set()
        asked = line.head
        assert line.hear() is not None  # the C-CANCEL
        line.head = asked
        line.say(0xFE00)

    scp.steps = [moved(0), step, moved(0), moved(0)]
    job = order(face, "move", Resources=resources(3), Synchronous=False).json()["ID"]
    assert under_way.wait(60)
    face.request("POST", f"/jobs/{job}/pause")
    eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Paused")
    face.request("POST", f"/jobs/{job}/resume")
    found = ended(face, job)
    assert (found["State"], len(found["Content"]["Details"])) == ("Success", 3)
    uids = [data[-6:] for _, data in heard]
    assert uids == [b"1.2.0\0", b"1.2.1\0", b"1.2.1\0", b"1.2.2\0"]


def test_what_is_out_of_reach_is_tried_again(moving: type_moving) -> None:
    _, face, _ = moving
    job = order(face, "move", "dead", Synchronous=False).json()["ID"]
    eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Retry")
    face.request("POST", f"/jobs/{job}/cancel")
    status, code, details = error(order(face, "move", "dead"))
    assert (status, code) == (500, 9)
    assert 'AET "DEAD"' in details and "Connection refused" in details


def test_who_is_too_busy_is_asked_again(moving: type_moving) -> None:
    scp, face, _ = moving
    scp.steps = [moved(0), moved(0xA701)]
    job = order(face, "move", Resources=resources(2), Synchronous=False).json()["ID"]
    eventually(lambda: face.json(f"/jobs/{job}")["State"] == "Retry")
    face.request("POST", f"/jobs/{job}/cancel")


def test_the_told_has_bounds(moving: type_moving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RETRIEVED_TOLD", 2)
    scp, face, _ = moving
    scp.steps = [moved(0)] * 4
    assert len(order(face, "move", Resources=resources(4)).json()["Details"]) == 2


def test_a_modality_that_nobody_knows_any_more(moving: type_moving) -> None:
    """It was forgotten between the order and the run."""
    scp, face, _ = moving
    go_on = threading.Event()

    def step(line: Line) -> None:
        assert go_on.wait(60)
        line.say(0)

    scp.steps = [step]
    order(face, "move", Synchronous=False)  # the one worker is busy
    face.rooms.modalities.put("later", ["RAW", "127.0.0.1", scp.port])
    job = order(face, "get", "later", Synchronous=False).json()["ID"]
    face.rooms.modalities.remove("later")
    go_on.set()
    found = ended(face, job)
    assert (found["State"], found["ErrorCode"]) == ("Failure", 7)
    assert found["ErrorDetails"] == "No modality with symbolic name: later"
