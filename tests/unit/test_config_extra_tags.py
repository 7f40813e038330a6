"""``ExtraMainDicomTags`` as a configuration says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wherry.config.extra_tags import extra_main_dicom_tags
from wherry.config.place import Place
from wherry.errors import ConfigurationError
from wherry.model import Level

PLACE = Place(Path("wherry.json"), "ExtraMainDicomTags")


def test_names_in_all_spellings_become_tags() -> None:
    value = {
        "Patient": [],
        "Study": ["PerformingPhysicianName", "RETIRED_StudyComments", "StudyDate"],
        "Series": ["0008,1030", "RequestAttributesSequence", "00081030"],
        "Instance": ["Rows", "0028-0011"],
    }
    assert extra_main_dicom_tags(value, PLACE) == {
        Level.STUDY: ("0008,1050", "0032,4000"),
        Level.SERIES: ("0008,1030", "0040,0275"),
        Level.INSTANCE: ("0028,0010", "0028,0011"),
    }
    assert extra_main_dicom_tags({}, PLACE) == {}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "an object"),
        ({"Studies": []}, "is no level"),
        ({"Study": "Rows"}, "a list of texts"),
        ({"Study": [1]}, "a text"),
        ({"Study": ["NoSuchName"]}, "no DICOM tag"),
        ({"Study": [""]}, "no DICOM tag"),
        ({"Study": ["0009,0010"]}, "private"),
        ({"Study": ["PixelData"]}, "not an attribute"),
        ({"Study": ["TransferSyntaxUID"]}, "not an attribute"),
        ({"Study": ["Rows"] * 101}, "more than 100"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(value: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as error:
        extra_main_dicom_tags(value, PLACE)
    assert "ExtraMainDicomTags" in str(error.value)
