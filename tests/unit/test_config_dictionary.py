"""``Dictionary``: tags that the operator declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wherry.config.dictionary import DeclaredTag, declared_tags
from wherry.config.place import Place, Source
from wherry.errors import ConfigurationError

PLACE = Place(Source("wherry.json", Path()), "Dictionary")


def test_public_and_private_tags() -> None:
    value = {
        "0014,1020": ["DA", "ValidationExpiryDate", 1, 1],
        "00E1-10c2": ["UI", "PET-CT Multi Modality Name", 1, 1, "ELSCINT1"],
        "70531003": ["ST", "Original Image Filename"],
    }
    assert declared_tags(value, PLACE) == (
        DeclaredTag(0x00141020, "DA", "ValidationExpiryDate", ""),
        DeclaredTag(0x00E110C2, "UI", "PET-CT Multi Modality Name", "ELSCINT1"),
        DeclaredTag(0x70531003, "ST", "Original Image Filename", ""),
    )
    assert declared_tags({}, PLACE) == ()


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"PatientName": ["PN", "Name"]},
        {"0014,1020": "DA"},
        {"0014,1020": ["DA"]},
        {"0014,1020": ["DA", "Name", 1, 1, "x", "y"]},
        {"0014,1020": ["ZZ", "Name"]},
        {"0014,1020": ["DA", ""]},
        {"0014,1020": ["DA", "Na\nme"]},
        {"0014,1020": [1, "Name"]},
        {"0014,1020": ["DA", "Name", "1", 1]},
        {"0014,1020": ["DA", "Name", 1, 1, "ACME"]},
        {"0014,1020": ["DA", "Name"], "0014,1021": ["DA", "Name"]},
    ],
)
def test_what_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="Dictionary"):
        declared_tags(value, PLACE)
