"""Names of tags."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wherry.dicom.tags import MAIN_DICOM_TAGS, keyword_of, tag_of
from wherry.errors import UnknownDicomTag
from wherry.model import Level


@pytest.mark.parametrize(
    "name",
    ["PatientID", "0010,0020", "0010-0020", "00100020"],
)
def test_every_spelling_of_a_tag(name: str) -> None:
    assert tag_of(name) == "0010,0020"


def test_spellings_are_lower_case() -> None:
    assert tag_of("0008,103E") == "0008,103e"


@pytest.mark.parametrize("name", ["SliceThickness", "RETIRED_OtherPatientIDs", "OtherPatientIDs"])
def test_a_keyword_and_its_tag_belong_together(name: str) -> None:
    assert keyword_of(tag_of(name)) == name.removeprefix("RETIRED_")


@pytest.mark.parametrize(
    "name", ["", "PatientId", "0010.0020", "0010,002", "00100020 ", "gggg,eeee"]
)
def test_unknown_names(name: str) -> None:
    with pytest.raises(UnknownDicomTag):
        tag_of(name)


@pytest.mark.parametrize("tag", ["0009,1001", "nonsense", ""])
def test_tags_without_a_keyword(tag: str) -> None:
    with pytest.raises(UnknownDicomTag):
        keyword_of(tag)


def test_main_tags_are_those_of_the_dictionary() -> None:
    from pydicom.datadict import keyword_for_tag

    for level in Level:
        tags = MAIN_DICOM_TAGS[level]
        assert list(tags) == sorted(tags)
        for tag in tags:
            assert keyword_of(tag) == keyword_for_tag(int(tag.replace(",", ""), 16))


def test_main_tags_do_not_need_pydicom() -> None:
    """pydicom costs 21 MB and 0.1 s; a server that never meets an odd file does not pay them."""
    program = (
        "import sys; from wherry.dicom import scan, tags, json;"
        "tags.keyword_of(tags.tag_of('PatientID'));"
        "sys.exit('pydicom' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
