"""Names of tags: public, private, and those that the operator has declared."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dicom_bytes import IMPLICIT, data_set, meta
from tests.support.face import serving
from wherry.config.dictionary import DeclaredTag
from wherry.dicom import private
from wherry.dicom.dictionary import Entry, OwnEntry, configure, lookup, lookup_private
from wherry.dicom.json import to_json
from wherry.dicom.tags import keyword_of, tag_of
from wherry.dicom.usual import USUAL
from wherry.errors import ConfigurationError, UnknownDicomTag


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    configure()


def test_private_tags_lie_in_any_block() -> None:
    for block in (0x10, 0x11, 0xFF):
        tag = 0x00090000 | block << 8 | 0x27
        assert lookup_private(tag, "GEMS_IDEN_01") == ("ImageActualDate", "SL")
    assert lookup_private(0x00091027, "gems_iden_01") == ("Unknown Tag & Data", "UN")
    assert lookup_private(0x000B1027, "GEMS_IDEN_01") == ("Unknown Tag & Data", "UN")


def test_private_tags_of_one_block_and_of_several_groups() -> None:
    assert private.lookup(0x00251010, "CMR42 CIRCLECVI") == ("WorkspaceID", "LO")
    assert private.lookup(0x00251110, "CMR42 CIRCLECVI") is None
    for group in (0x7001, 0x70FF):
        assert private.lookup(group << 16 | 0x1004, "DLX_ANNOT_01") == ("TextAnnotation", "ST")
    assert private.lookup(0x71011004, "DLX_ANNOT_01") is None


def test_names_have_no_spaces() -> None:
    assert lookup_private(0x00191014, "GEMS_ACQU_01") == ("EndNumberForBaseline", "SS")


def test_what_the_operator_declares() -> None:
    configure(
        [
            OwnEntry(0x00141020, Entry("MyDate", "DA"), ""),
            OwnEntry(0x00E110C2, Entry("MyName", "LO"), "ACME"),
        ]
    )
    assert lookup(0x00141020) == ("MyDate", "DA")
    assert lookup_private(0x00E111C2, "ACME") == ("MyName", "LO")
    assert tag_of("MyDate") == "0014,1020"
    assert tag_of("MyName") == "00e1,10c2"
    assert keyword_of("00e1,10c2") == "MyName"
    file = meta(IMPLICIT) + data_set(
        (0x00E10010, "", b"ACME"), (0x00E110C2, "", b"abcd"), vrs=False
    )
    assert to_json(file, "simplify")["MyName"] == "abcd"
    configure()
    assert to_json(file, "simplify")["Unknown Tag & Data"] is None
    with pytest.raises(UnknownDicomTag):
        tag_of("MyName")


def test_private_tags_without_a_creator() -> None:
    configure(default_creator="GEMS_IDEN_01")
    assert lookup_private(0x00091027, "") == ("ImageActualDate", "SL")
    configure(load_private=False)
    assert lookup_private(0x00091027, "GEMS_IDEN_01") == ("Unknown Tag & Data", "UN")


def test_a_server_reads_its_dictionary(tmp_path: Path) -> None:
    declared = (DeclaredTag(0x00141020, "DA", "MyDate", ""),)
    with serving(tmp_path, dictionary=declared, default_encoding="Greek") as face:
        path = face.upload(
            meta() + data_set((0x00100010, "PN", b"\xc1 "), (0x00141020, "DA", b"20200101"))
        )["Path"]
        shown = face.json(f"{path}/simplified-tags")
        assert (shown["PatientName"], shown["MyDate"]) == ("Α", "20200101")
        assert face.get(f"{path}/content/MyDate").body == b"20200101"
    with serving(tmp_path):
        pass  # and the next one its own


def test_a_server_refuses_an_encoding_that_does_not_exist(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="Latin1"),
        serving(tmp_path, default_encoding="Nope"),
    ):
        pass


def test_the_usual_tags_are_those_of_the_dictionary() -> None:
    from pydicom.datadict import get_entry

    for tag, (keyword, vr) in USUAL.items():
        found_vr, _, _, retired, found = get_entry(tag)
        assert (found, found_vr, bool(retired)) == (keyword, vr, keyword == "OtherPatientIDs")


def test_queries_for_usual_tags_load_no_dictionary() -> None:
    code = (
        "import sys; from wherry.dicom.attributes import read, write, of_texts, vr_of;"
        "from wherry.index.keys import is_name, is_datetime, moment;"
        "from wherry.dicom.usual import USUAL;"
        "[f(f'{t >> 16:04x},{t & 0xffff:04x}') for t in USUAL"
        " for f in (is_name, is_datetime, moment)];"
        "read(write(of_texts(dict.fromkeys(USUAL, '')), '1.2.840.10008.1.2'), '1.2.840.10008.1.2');"
        "sys.exit('pydicom' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
