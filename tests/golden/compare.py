"""The differences of two described answers, and which of them are explained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REASONS = Path(__file__).with_name("differences.json")

_ADDED_LATER = frozenset(
    (
        "0008,0201",
        "Attachments",
        "Capabilities",
        "DatabaseServerIdentifier",
        "DicomDefaultRetrieveMethod",
        "First",
        "HasLabels",
        "IngestTranscoding",
        "IsProtected",
        "Labels",
        "MainDicomTags",
        "MainDicomTagsSignature",
        "MaximumPatientCount",
        "MaximumStorageMode",
        "MaximumStorageSize",
        "Metadata",
        "OverwriteInstances",
        "PatientLevelEnabled",
        "ReadOnly",
        "RequestedTags",
        "Resources",
        "RetrieveMethod",
        "StorageCompression",
        "TimezoneOffsetFromUTC",
        "UserData",
        "UserMetadata",
        "WherryVersion",
    )
)
"""Members that releases after the recorded one add."""
_NOT_COMPARED = frozenset({"Version", "ApiVersion", "DatabaseVersion", "Description", "0012,0063"})
_SHOWN = 100


def differences(
    expected: Any, actual: Any, path: str = "", *, subset: bool = False
) -> Iterable[str]:
    """One line for each; ``subset``: more than what was recorded is fine."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted({*expected, *actual}):
            if key not in actual:
                yield f"{path}/{key}: missing"
            elif key not in expected:
                if not subset and key not in _ADDED_LATER:
                    yield f"{path}/{key}: unexpected {_short(actual[key])}"
            elif key not in _NOT_COMPARED:
                yield from differences(expected[key], actual[key], f"{path}/{key}", subset=subset)
    elif isinstance(expected, list) and isinstance(actual, list) and subset:
        for value in expected:
            if value not in actual:
                yield f"{path}: lacks {_short(value)}"
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{path}: {len(actual)} items instead of {len(expected)}"
        for number, (one, other) in enumerate(zip(expected, actual, strict=False)):
            yield from differences(one, other, f"{path}/{number}")
    elif expected != actual:
        yield f"{path}: {_short(actual)} instead of {_short(expected)}"


def _short(value: Any) -> str:
    return json.dumps(value)[:_SHOWN]


@dataclass
class Reason:
    """Why some differences are meant: of records whose name matches ``name`` (and section, when
    given), those whose line matches ``difference``."""

    why: str
    name: re.Pattern[str]
    difference: re.Pattern[str]
    recording: str = ""
    used: bool = field(default=False, compare=False)

    def explains(self, recording: str, record: dict[str, Any], line: str) -> bool:
        """Whether it does; remembers that it was needed."""
        mine = self.recording in ("", recording)
        found = bool(
            mine
            and self.name.fullmatch(f"{record['section']}: {record['name']}")
            and self.difference.fullmatch(line)
        )
        self.used = self.used or found
        return found


def load_reasons(path: Path = REASONS) -> list[Reason]:
    """The list in ``differences.json``, or in another file of its form."""
    return [
        Reason(
            entry["why"],
            re.compile(entry["record"]),
            re.compile(entry["difference"], re.DOTALL),
            entry.get("recording", ""),
        )
        for entry in json.loads(path.read_text())
    ]


def unexplained(
    recording: str, record: dict[str, Any], actual: dict[str, Any], reasons: Sequence[Reason]
) -> list[str]:
    """Differences of one answer that no reason explains."""
    subset = record.get("match") == "subset" or record.get("compare") == "metrics"
    return [
        line
        for line in differences(record["response"], actual, subset=subset)
        if not any(reason.explains(recording, record, line) for reason in reasons)
    ]
