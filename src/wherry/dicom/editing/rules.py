"""What a request to modify or to anonymize asks for, parsed and checked.

What: the fields of the body that say how attributes change (``Replace``, ``Remove``, ``Keep``, …),
with the status and the code that Orthanc has for each mistake, and the rules on identifiers. They
are kept as JSON by jobs. Not here: what is done to a file (``plan``, ``editor``); the fields that
say how a job runs (``Synchronous``, ``KeepSource``, …).

Of one attribute, ``Keep`` wins over ``Replace``, and that over ``Remove``, as in Orthanc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from wherry import limits
from wherry.dicom.charsets import CharacterSet
from wherry.dicom.editing.encoding import Writing, element, owner
from wherry.dicom.editing.paths import Path, path_of
from wherry.dicom.editing.profiles import EDITIONS
from wherry.dicom.elements import EXPLICIT_LITTLE, PIXEL_DATA
from wherry.dicom.uids import TRANSFER_SYNTAXES
from wherry.errors import BadFileFormat, BadRequest, ParameterOutOfRange, TooLarge
from wherry.model import Level

PATIENT_ID, STUDY_UID, SERIES_UID, SOP_UID = 0x00100020, 0x0020000D, 0x0020000E, 0x00080018
IDENTIFIERS: Final = {
    Level.PATIENT: PATIENT_ID,
    Level.STUDY: STUDY_UID,
    Level.SERIES: SERIES_UID,
    Level.INSTANCE: SOP_UID,
}
"""Level → the tag that identifies what is there."""
_PATIENT_NAME: Final = 0x00100010
_NAMES: Final = {
    PATIENT_ID: "PatientID",
    STUDY_UID: "StudyInstanceUID",
    SERIES_UID: "SeriesInstanceUID",
    SOP_UID: "SOPInstanceUID",
}
_ANYHOW: Final = Writing(EXPLICIT_LITTLE, CharacterSet("utf-8"))
"""Values are tried in an encoding that takes all of them."""


@dataclass(frozen=True, slots=True)
class Rules:
    """One request."""

    level: Level
    """What is modified: this level and those below get new UIDs."""
    replace: tuple[tuple[Path, Any], ...] = ()
    """Where, and the value as JSON has it."""
    remove: tuple[Path, ...] = ()
    keep: tuple[Path, ...] = ()
    remove_private: bool = False
    private_creator: str = ""
    """Of private tags in ``replace``, where neither file nor request names one."""
    profile: str = ""
    """An edition of PS3.15 (``profiles.EDITIONS``), or "" = modify."""
    transcode: str = ""
    """The transfer syntax that is wanted, or ""."""

    @property
    def is_anonymization(self) -> bool:
        """Whether a profile is applied."""
        return bool(self.profile)

    @property
    def is_plain_profile(self) -> bool:
        """Whether nothing else than the profile is applied, so that it may be named."""
        changes = self.replace or self.remove or self.keep
        return self.is_anonymization and self.remove_private and not changes

    @property
    def names_patients(self) -> bool:
        """Whether patients get a name that nobody has chosen."""
        path = Path((), _PATIENT_NAME)
        said = (*self.keep, *self.remove, *(path for path, _ in self.replace))
        return self.is_anonymization and path not in said

    def keeps(self, tag: int) -> bool:
        """Whether the attribute ``tag`` of the data set is to be kept."""
        return Path((), tag) in self.keep

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "Level": self.level.title,
            "Replace": {str(path): value for path, value in self.replace},
            "Remove": list(map(str, self.remove)),
            "Keep": list(map(str, self.keep)),
            "RemovePrivateTags": self.remove_private,
            "PrivateCreator": self.private_creator,
            "DicomVersion": self.profile,
            "Transcode": self.transcode,
        }

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Rules:
        """What ``document`` was made of."""
        return Rules(
            next(level for level in Level if level.title == document["Level"]),
            tuple((path_of(path), value) for path, value in document["Replace"].items()),
            tuple(map(path_of, document["Remove"])),
            tuple(map(path_of, document["Keep"])),
            document["RemovePrivateTags"],
            document["PrivateCreator"],
            document["DicomVersion"],
            document["Transcode"],
        )


def rules_of(
    body: Mapping[str, Any],
    level: Level | None,
    *,
    anonymize: bool,
    default_profile: str,
) -> Rules:
    """What ``body`` asks for. ``level``: None = that of the highest identifier that is replaced, as
    it is for single instances and in bulk.

    Raises ``BadRequest`` (a field of the wrong kind, an identifier that may not change),
    ``BadFileFormat`` (… and its value), ``BadParameterType``, ``UnknownDicomTag``,
    ``ParameterOutOfRange``.
    """
    force = _flag(body, "Force")
    rules = Rules(
        Level.INSTANCE,
        tuple(_replace(body)),
        tuple(_paths(body, "Remove")),
        tuple(_paths(body, "Keep")),
        not _flag(body, "KeepPrivateTags") if anonymize else _flag(body, "RemovePrivateTags"),
        _text(body, "PrivateCreator"),
        _profile(body, default_profile) if anonymize else "",
        _transcode(body),
    )
    if len(rules.replace) + len(rules.remove) + len(rules.keep) > limits.EDIT_RULES:
        raise TooLarge(f"More than {limits.EDIT_RULES} attributes to edit")
    _try_values(rules)
    _check_identifiers(rules, force=force)
    rules = replace(rules, level=_highest(rules) if level is None else level)
    if not anonymize:
        _check_parents(rules)
    return rules


def _highest(rules: Rules) -> Level:
    given = {path.tag for path, _ in rules.replace if not path.parents}
    return min((one for one, tag in IDENTIFIERS.items() if tag in given), default=Level.INSTANCE)


def _replace(body: Mapping[str, Any]) -> list[tuple[Path, Any]]:
    values = body.get("Replace", {})
    if not isinstance(values, dict):
        raise BadRequest
    return [(path, one) for name, one in values.items() if _is_editable(path := path_of(name))]


def _paths(body: Mapping[str, Any], field: str) -> list[Path]:
    names = body.get(field, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRequest
    return [path for path in map(path_of, names) if _is_editable(path)]


def _is_editable(path: Path) -> bool:
    """File meta information and group lengths follow by themselves."""
    return bool(path.tag & 0xFFFF) and path.tag >> 16 != 2


def _flag(body: Mapping[str, Any], field: str) -> bool:
    value = body.get(field, False)
    if not isinstance(value, bool):
        raise BadFileFormat(f'Member "{field}" should be a Boolean value')
    return value


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body.get(field, "")
    if not isinstance(value, str):
        raise BadFileFormat(f"String value expected in field: {field}")
    return value


def _profile(body: Mapping[str, Any], default: str) -> str:
    edition = _text(body, "DicomVersion") if "DicomVersion" in body else default
    if edition not in EDITIONS:
        raise ParameterOutOfRange(f"Unknown specific version of the DICOM standard: {edition[:32]}")
    return edition


def _transcode(body: Mapping[str, Any]) -> str:
    if "Transcode" not in body:
        return ""
    syntax = _text(body, "Transcode")
    if syntax not in TRANSFER_SYNTAXES:
        raise ParameterOutOfRange(f"Unknown transfer syntax: {syntax[:64]}")
    return syntax


def _try_values(rules: Rules) -> None:
    """Whether they can be written: a job hears it before it begins."""
    named = {path.tag: value for path, value in rules.replace if not path.parents}
    for path, value in rules.replace:
        if path.tag == PIXEL_DATA:
            raise BadRequest("Pixel data cannot be replaced")
        creator = owner(path.tag, named) or rules.private_creator
        element(path.tag, value, _ANYHOW._replace(creator=creator))


def _check_identifiers(rules: Rules, *, force: bool) -> None:
    replaced = {path.tag for path, _ in rules.replace if not path.parents}
    asked = (
        ("removed", {path.tag for path in rules.remove if not path.parents}),
        ("replaced", replaced),
        ("kept", {path.tag for path in rules.keep if not path.parents}),
    )
    for what, tags in asked:
        for tag, name in _NAMES.items():
            if tag in tags and not force:
                raise BadRequest(
                    f'Marking tag "{name}" as to be {what} requires the "Force" option to be '
                    "set to true"
                )
            if tag in tags and what == "removed" and tag not in replaced:
                raise BadRequest(f"An instance cannot be without {name}")


def _check_parents(rules: Rules) -> None:
    """Who modifies a level leaves its parents as they are. (As in Orthanc from 1.11.3, a study may
    go to another patient, and a patient may keep her identifier.)"""
    level, given = rules.level, {path.tag for path, _ in rules.replace if not path.parents}
    if level is Level.PATIENT and not (PATIENT_ID in given or rules.keeps(PATIENT_ID)):
        raise BadRequest("When modifying a patient, her PatientID is required to be modified")
    for parent, tag in IDENTIFIERS.items():
        if parent < level and tag in given and (parent, level) != (Level.PATIENT, Level.STUDY):
            article = "an" if level is Level.INSTANCE else "a"
            raise BadRequest(
                f"When modifying {article} {level.title.lower()}, the parent {_NAMES[tag]} "
                "cannot be manually modified"
            )
