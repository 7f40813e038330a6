"""What is taken from other DICOM systems."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom._uid_dict import UID_dictionary

from wherry.config import Config, load
from wherry.config.keys import TRANSFER_SYNTAX_GROUPS
from wherry.dicom import uids
from wherry.errors import ConfigurationError
from wherry.receiving import Receiving, matching

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"


def test_everything_in_numerical_order_by_default() -> None:
    rules = Receiving(Config())
    found = rules.transfer_syntaxes
    assert len(found) == len(set(found)) == 42
    assert found[:2] == [IMPLICIT, EXPLICIT]
    assert found.index("1.2.840.10008.1.2.4.95") < found.index("1.2.840.10008.1.2.4.100")
    assert CT in rules.sop_classes()
    assert not rules.unknown_sop_class_accepted


def test_patterns() -> None:
    rules = Receiving(Config(accepted_transfer_syntaxes=(IMPLICIT, "*.4.9?")))
    assert rules.transfer_syntaxes == [IMPLICIT] + [f"{IMPLICIT}.4.{n}" for n in range(90, 96)]
    rules.accept_transfer_syntaxes([EXPLICIT, "nope"])
    assert rules.transfer_syntaxes == [EXPLICIT]
    rules.accept_transfer_syntaxes([])
    assert rules.transfer_syntaxes == []


def test_brackets_are_no_wildcards_and_stars_cost_nothing() -> None:
    assert matching(["[ab]"], ["a", "b", "[ab]"]) == {"[ab]"}
    assert not matching(["*a" * 64], ["a" * 63])
    assert matching(["a?"], ["a", "ab", "abc", "a\n"]) == {"ab", "a\n"}


def test_groups() -> None:
    assert set(uids.GROUPS) >= set(TRANSFER_SYNTAX_GROUPS)
    rules = Receiving(Config(rejected_transfer_syntax_groups=TRANSFER_SYNTAX_GROUPS))
    rest = [IMPLICIT, EXPLICIT, f"{IMPLICIT}.2", f"{IMPLICIT}.6.1", f"{IMPLICIT}.6.2"]
    assert rules.transfer_syntaxes == rest
    jpeg_ls = Receiving(Config(rejected_transfer_syntax_groups=("JpegLossless",)))
    assert f"{IMPLICIT}.4.80" not in jpeg_ls.transfer_syntaxes
    assert f"{IMPLICIT}.4.70" in jpeg_ls.transfer_syntaxes


def test_sop_classes() -> None:
    only = Receiving(Config(accepted_sop_classes=("1.2.840.10008.5.1.4.1.1.2*",)))
    assert CT in only.sop_classes()
    assert "1.2.840.10008.5.1.4.1.1.4" not in only.sop_classes()
    but = Receiving(Config(rejected_sop_classes=(CT,)))
    assert CT not in but.sop_classes()
    assert len(but.sop_classes()) == len(uids.storage_classes()) - 1


def test_storage_classes_are_things_that_can_be_stored() -> None:
    found = uids.storage_classes()
    assert found[CT] == "CTImageStorage"
    assert "1.2.840.10008.1.20.1" not in found  # storage commitment
    assert "1.2.840.10008.1.3.10" not in found  # a DICOMDIR
    assert len(found) > 150


def test_storage_classes_are_those_of_pydicom() -> None:
    named = {
        uid: keyword
        for uid, (_, kind, _, _, keyword) in UID_dictionary.items()
        if kind == "SOP Class"
        and "Storage" in keyword
        and not keyword.startswith(("StorageCommitment", "MediaStorage"))
    }
    assert uids.storage_classes() == named


# --- from the configuration ----------------------------------------------------------------
def loaded(folder: Path, **values: object) -> Config:
    file = folder / "c.json"
    file.write_text(json.dumps(values))
    config, warnings = load([file], {})
    assert warnings == []
    return config


def test_what_is_configured(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        AcceptedTransferSyntaxes=["1.2.840.10008.1.2.4.*"],
        JpegTransferSyntaxAccepted=False,
        RleTransferSyntaxAccepted=True,
        AcceptedSopClasses=[],
        RejectedSopClasses=["1.2.3"],
        UnknownSopClassAccepted=True,
        DicomDefaultRetrieveMethod="C-GET",
    )
    rules = Receiving(config)
    assert rules.transfer_syntaxes[0] == "1.2.840.10008.1.2.4.80"
    assert len(rules.sop_classes()) == len(uids.storage_classes())
    assert rules.unknown_sop_class_accepted
    assert config.rejected_sop_classes == ("1.2.3",)
    assert config.dicom_default_retrieve_method == "C-GET"


@pytest.mark.parametrize(
    "wrong",
    [
        {"DicomDefaultRetrieveMethod": "C-STORE"},
        {"JpegTransferSyntaxAccepted": 1},
        {"AcceptedTransferSyntaxes": "1.2"},
        {"AcceptedSopClasses": [1]},
    ],
)
def test_mistakes_name_the_key(wrong: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        loaded(tmp_path, **wrong)
