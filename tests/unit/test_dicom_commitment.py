"""Data sets of storage commitment: written, read back, and read by pydicom."""

from __future__ import annotations

import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset

from wherry import limits
from wherry.dicom.attributes import Attribute, write
from wherry.dicom.commitment import (
    CLASS_CONFLICT,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    CommitmentReport,
    CommitmentRequest,
    Failure,
    Reference,
    describe,
    is_uid,
    read_report,
    read_request,
    write_report,
    write_request,
)
from wherry.dicom.preamble import BIG_ENDIAN, EXPLICIT, IMPLICIT
from wherry.dicom.wire.refusals import InvalidArgument

A, B = Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3"), Reference("1.2.4", "1.2.3.4")
REQUEST = CommitmentRequest("2.25.1", (A, B))
REPORT = CommitmentReport("2.25.1", (A,), (Failure(B, NO_SUCH_INSTANCE),))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_what_is_written_is_read(syntax: str) -> None:
    assert read_request(write(write_request(REQUEST), syntax), syntax) == REQUEST
    assert read_report(write(write_report(REPORT), syntax), syntax) == REPORT


def test_pydicom_reads_it() -> None:
    found = read_dataset(
        DicomBytesIO(write(write_report(REPORT), EXPLICIT)),
        is_implicit_VR=False,
        is_little_endian=True,
    )
    assert found.TransactionUID == "2.25.1"
    assert [item.ReferencedSOPInstanceUID for item in found.ReferencedSOPSequence] == ["1.2.3"]
    [failed] = found.FailedSOPSequence
    assert (failed.ReferencedSOPClassUID, failed.FailureReason) == ("1.2.4", 0x0112)


def test_a_report_has_no_empty_sequences_but_when_nothing_was_asked() -> None:
    def tags(report: CommitmentReport) -> set[int]:
        return set(write_report(report))

    assert tags(CommitmentReport("1", (A,), ())) == {0x00081195, 0x00081199}
    assert tags(CommitmentReport("1", (), (Failure(A, 1),))) == {0x00081195, 0x00081198}
    assert tags(CommitmentReport("1", (), ())) == {0x00081195, 0x00081199}


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {0x00081195: Attribute("UI", "2.25.1")},
        {0x00081199: Attribute("SQ", ())},
        {0x00081195: Attribute("UI", ""), 0x00081199: Attribute("SQ", ())},
        {0x00081195: Attribute("UI", "1\\2"), 0x00081199: Attribute("SQ", ())},
        {0x00081195: Attribute("UI", "1" * 65), 0x00081199: Attribute("SQ", ())},
        {0x00081195: Attribute("UI", "1"), 0x00081199: Attribute("SQ", ({},))},
        {
            0x00081195: Attribute("UI", "1"),
            0x00081199: Attribute("SQ", ({0x00081155: Attribute("UI", "1.2")},)),
        },
        {
            0x00081195: Attribute("UI", "1"),
            0x00081199: Attribute("SQ", ({0x00081150: Attribute("UI", "1.2")},)),
        },
        {0x00081195: Attribute("UI", "1"), 0x00081199: Attribute("UI", "1.2")},
    ],
)
def test_requests_that_make_no_sense(attributes: dict[int, Attribute]) -> None:
    with pytest.raises(InvalidArgument):
        read_request(write(attributes, EXPLICIT), EXPLICIT)


@pytest.mark.parametrize("data", [b"\1", b"\x08\0\x95\x11UI\xff\xff2.25", bytes(100)])
def test_bytes_that_make_no_sense(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        read_request(data, EXPLICIT)
    with pytest.raises(InvalidArgument):
        read_report(data, EXPLICIT)


@pytest.mark.parametrize("reason", [None, Attribute("US", ""), Attribute("LO", "why not")])
def test_a_failure_without_a_reason_is_a_failure(reason: Attribute | None) -> None:
    item = {0x00081150: Attribute("UI", "1.2"), 0x00081155: Attribute("UI", "1.3")}
    if reason is not None:
        item[0x00081197] = reason
    data = write({0x00081195: Attribute("UI", "1"), 0x00081198: Attribute("SQ", (item,))}, EXPLICIT)
    assert read_report(data, EXPLICIT).failed == (
        Failure(Reference("1.2", "1.3"), PROCESSING_FAILURE),
    )


def test_as_many_as_fit_with_the_longest_uids() -> None:
    """What the network takes holds the largest report."""
    uids = [f"{number:064d}" for number in range(limits.COMMITMENT_INSTANCES)]
    failed = tuple(Failure(Reference(uid, uid), CLASS_CONFLICT) for uid in uids)
    data = write(write_report(CommitmentReport(uids[0], (), failed)), EXPLICIT)
    assert len(data) < limits.QUERY_BYTES
    assert read_report(data, EXPLICIT).failed == failed


def test_more_are_refused() -> None:
    references = tuple(
        Reference("1.2", str(number)) for number in range(limits.COMMITMENT_INSTANCES + 1)
    )
    data = write(write_request(CommitmentRequest("1", references)), EXPLICIT)
    with pytest.raises(InvalidArgument, match="More than 10000 instances"):
        read_request(data, EXPLICIT)


def test_reasons_in_words() -> None:
    assert describe(NO_SUCH_INSTANCE).startswith("One or more of the elements")
    assert describe(0xABCD) == "Unknown reason: 0xabcd"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("1.2.3", True),
        ("1.2.A-3", True),
        ("not a uid", False),
        ("1" * 64, True),
        ("1" * 65, False),
        ("", False),
        (" 1.2", False),
        ("1.2 ", False),
        ("1\\2", False),
        ("1\0", False),
        ("1.é", False),
    ],
)
def test_what_can_be_sent_as_a_uid(text: str, good: bool) -> None:
    assert is_uid(text) is good
