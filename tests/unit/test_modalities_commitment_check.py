"""What is read of instances that are to be committed, and how far it is noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.control import Control
from tests.support.dicom_files import make_instance
from tests.support.face import Face, serving
from wherry import clock, limits
from wherry.dicom.commitment import (
    CLASS_CONFLICT,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    Reference,
)
from wherry.jobs.handler import Interrupted
from wherry.modalities.commitment.check import CommitmentCheck
from wherry.model import Attachment

CT = "1.2.840.10008.5.1.4.1.1.2"
ROOT = "1.2.826.0.1.3680043.10.1234.1.1"


def reference(number: int, sop_class: str = CT) -> Reference:
    return Reference(sop_class, f"{ROOT}.{number}")


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    with serving(tmp_path) as face:
        yield face


@pytest.fixture
def looked_at(face: Face, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read."""
    names: list[str] = []
    attachments = face.rooms.ingest.attachments
    intact = attachments.is_intact

    def noted(file: Attachment, read: Callable[[int], None]) -> bool:
        names.append(file.uuid)
        return intact(file, read)

    monkeypatch.setattr(attachments, "is_intact", noted)
    return names


def check_of(face: Face, references: list[Reference], control: Control) -> CommitmentCheck:
    return CommitmentCheck(
        face.rooms.index,
        face.rooms.ingest.attachments,
        references,
        {"Description": ""},
        control,  # type: ignore[arg-type]
    )


def found(face: Face, *references: Reference) -> dict[int, int]:
    return check_of(face, list(references), Control()).run()


def path_of(face: Face, orthanc_id: str) -> Path:
    uuid = face.json(f"/instances/{orthanc_id}")["FileUuid"]
    return face.folder / "storage" / uuid[:2] / uuid[2:4] / str(uuid)


# --- what is found -----------------------------------------------------------------------------
def test_intact_unknown_and_of_another_class(face: Face) -> None:
    face.upload(make_instance(number=1))
    face.upload(make_instance(number=2))
    wanted = [reference(1), reference(9), reference(2, "1.2.3"), reference(2)]
    assert found(face, *wanted) == {1: NO_SUCH_INSTANCE, 2: CLASS_CONFLICT}
    assert found(face) == {}


def test_one_flipped_bit(face: Face) -> None:
    for number in (1, 2, 3):
        stored = face.upload(make_instance(number=number))
        if number == 2:
            path = path_of(face, stored["ID"])
    data = bytearray(path.read_bytes())
    for place in (0, len(data) // 2, len(data) - 1):
        data[place] ^= 1
        path.write_bytes(data)
        assert found(face, *map(reference, (1, 2, 3))) == {1: PROCESSING_FAILURE}, place
        data[place] ^= 1
    path.write_bytes(data)
    assert found(face, *map(reference, (1, 2, 3))) == {}


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"])
def test_a_file_of_another_length(face: Face, change: Callable[[bytes], bytes]) -> None:
    path = path_of(face, face.upload(make_instance())["ID"])
    path.write_bytes(change(path.read_bytes()))
    assert found(face, reference(1)) == {0: PROCESSING_FAILURE}


def test_a_file_that_is_missing(face: Face) -> None:
    path_of(face, face.upload(make_instance())["ID"]).unlink()
    assert found(face, reference(1)) == {0: NO_SUCH_INSTANCE}


def test_a_file_that_cannot_be_read(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    face.upload(make_instance())

    def broken(*_: object) -> bool:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(face.rooms.ingest.attachments, "is_intact", broken)
    assert found(face, reference(1)) == {0: PROCESSING_FAILURE}


@pytest.mark.parametrize("place", [0, 8, 100, -1])
def test_a_damaged_compressed_file(tmp_path: Path, place: int) -> None:
    with serving(tmp_path, storage_compression=True) as face:
        path = path_of(face, face.upload(make_instance())["ID"])
        assert found(face, reference(1)) == {}
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)
        assert found(face, reference(1)) == {0: PROCESSING_FAILURE}


def test_one_name_for_two_instances(face: Face) -> None:
    """Both must be sound, since nobody knows which is meant; those of another class are not."""
    face.upload(make_instance(patient_id="ONE"))
    second = path_of(face, face.upload(make_instance(patient_id="TWO"))["ID"])
    other = make_instance(patient_id="THREE", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    third = path_of(face, face.upload(other)["ID"])
    third.unlink()
    assert found(face, reference(1)) == {}
    second.write_bytes(b"something else")
    assert found(face, reference(1)) == {0: PROCESSING_FAILURE}


# --- steps -------------------------------------------------------------------------------------
def test_every_step_is_noted(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COMMITMENT_STEP_INSTANCES", 2)
    for number in range(1, 6):
        face.upload(make_instance(number=number))
    control = Control()
    wanted = [reference(9), *map(reference, range(1, 6))]
    assert check_of(face, wanted, control).run() == {0: NO_SUCH_INSTANCE}
    assert [one["Done"] for one in control.saved] == [2, 4, 6, 6]
    assert [bool(one["FinishedAt"]) for one in control.saved] == [False, False, False, True]
    assert control.progress == sorted(control.progress)
    assert 0.98 < control.progress[-1] < 1
    assert control.contents[-1] == {
        "Description": "",
        "InstancesCount": 6,
        "FailedInstancesCount": 1,
    }


def test_large_files_are_steps_of_their_own(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COMMITMENT_STEP_BYTES", 5_000)
    for number in range(1, 5):
        face.upload(make_instance(number=number))  # 3 KB
    control = Control()
    check_of(face, list(map(reference, range(1, 5))), control).run()
    assert [one["Done"] for one in control.saved] == [2, 4, 4]


def test_an_interruption_loses_no_step(
    face: Face, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "COMMITMENT_STEP_INSTANCES", 1)
    numbers = range(1, 6)
    for number in numbers:
        face.upload(make_instance(number=number))
    wanted = [*map(reference, numbers), reference(9)]
    control = Control()
    control.interrupt_at = 6  # one after each piece of a file, and one after each file
    with pytest.raises(Interrupted):
        check_of(face, wanted, control).run()
    assert control.saved[-1]["Done"] == 3
    assert len(looked_at) == 3
    later = Control(control.saved[-1])
    assert check_of(face, wanted, later).run() == {5: NO_SUCH_INSTANCE}
    assert len(looked_at) == 5, "what was looked at before is not looked at again"


def test_a_large_file_does_not_hold_up_an_interruption(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "READ_CHUNK_BYTES", 1_000)
    face.upload(make_instance(pixel_bytes=100_096))
    control = Control()
    control.interrupt_at = 50
    with pytest.raises(Interrupted):
        check_of(face, [reference(1)], control).run()
    assert control.saved == []


# --- what changes meanwhile --------------------------------------------------------------------
def test_an_instance_that_goes_while_others_are_read(face: Face, looked_at: list[str]) -> None:
    first = face.upload(make_instance(number=1))["ID"]
    for number in (2, 3):
        face.upload(make_instance(number=number))
    control = Control()

    def delete_the_first() -> None:
        if len(looked_at) == 2 and first in face.json("/instances"):
            assert face.request("DELETE", f"/instances/{first}").status == 200

    control.each_check = delete_the_first
    wanted = list(map(reference, (1, 2, 3)))
    assert check_of(face, wanted, control).run() == {0: NO_SUCH_INSTANCE}


def test_a_verdict_that_waited_is_given_only_for_the_same_files(
    face: Face, looked_at: list[str]
) -> None:
    stored = [face.upload(make_instance(number=number))["ID"] for number in (1, 2)]
    wanted = list(map(reference, (1, 2, 3)))
    control = Control()
    assert check_of(face, wanted, control).run() == {2: NO_SUCH_INSTANCE}
    assert len(looked_at) == 2
    [*_, checkpoint] = control.saved
    assert check_of(face, wanted, Control(checkpoint)).run() == {2: NO_SUCH_INSTANCE}
    assert len(looked_at) == 2, "nothing has changed"
    face.upload(make_instance(number=3))
    assert check_of(face, wanted, Control(checkpoint)).run() == {}
    face.request("DELETE", f"/instances/{stored[0]}")
    found = check_of(face, wanted, Control(checkpoint)).run()
    assert found == {0: NO_SUCH_INSTANCE}


@pytest.mark.parametrize(
    ("later_s", "again"),
    [(limits.COMMITMENT_FRESH_S - 60, 0), (limits.COMMITMENT_FRESH_S + 1, 1), (-3600, 1)],
)
def test_an_old_verdict_is_not_given_any_more(
    face: Face,
    looked_at: list[str],
    monkeypatch: pytest.MonkeyPatch,
    later_s: float,
    again: int,
) -> None:
    path = path_of(face, face.upload(make_instance())["ID"])
    control = Control()
    assert check_of(face, [reference(1)], control).run() == {}
    path.write_bytes(bytes(len(path.read_bytes())))
    now = clock.timestamp()
    monkeypatch.setattr(clock, "timestamp", lambda: now + later_s)
    looked_at.clear()
    verdict = check_of(face, [reference(1)], Control(control.saved[-1])).run()
    assert len(looked_at) == again
    assert verdict == ({0: PROCESSING_FAILURE} if again else {})
