"""The document of what travels beside the instances, between two Wherry: JSON in, values out.

    { "Extras": [ { "Level": "Study", "ID": …, "Metadata": { name: text }, "Labels": [ … ],
                    "Attachments": [ { "Name": name, "Size": decimal, "MD5": hex } ] }, … ] }

Metadata and attachments of users alone are in it (numbers from 1024); what a server notes by itself
it notes anew. They travel by name, because two servers may have given different numbers to one
name; a number without a name travels in digits. A name that the receiver does not know is refused.

The bytes of attachments are not in it: they are asked for, or sent, one by one, each by its
position among all attachments of the document. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from wherry import limits
from wherry.config import Config
from wherry.config.names import NUMBERS_OF_USERS
from wherry.errors import BadFileFormat, BadRequest, TooLarge
from wherry.index.extras import Extras
from wherry.index.labels import is_label
from wherry.model import Attachment, Level, type_json
from wherry.transfers.protocol import a_text, an_array, an_object, parse_json, parse_resources

HEADER: Final = "wherry-extras"
"""Header of the answers that tell a Wherry from others, of one that gives and takes extras."""

_NAME_CHARACTERS: Final = 256
_ORTHANC_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_SIZE: Final = re.compile(r"[0-9]{1,18}")
_MD5: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Listed:
    """An attachment that travels."""

    name: str
    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class Enclosure:
    """What travels of one resource, by the names of the sender."""

    level: Level
    orthanc_id: str
    metadata: tuple[tuple[str, str], ...]
    labels: tuple[str, ...]
    attachments: tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """Names of a server for the numbers of its users."""

    metadata: Mapping[str, int]
    attachments: Mapping[str, int]

    @staticmethod
    def of(config: Config) -> Names:
        """Those that the configuration gives."""
        contents = {name: number for name, (number, _) in config.user_content_type.items()}
        return Names(config.user_metadata, contents)


# --- from the store, and back ----------------------------------------------------------------
def enclose(extras: Sequence[Extras], names: Names) -> list[Enclosure]:
    """What is read here, as it travels; attachments stay in their order."""
    metadata = {number: name for name, number in names.metadata.items()}
    contents = {number: name for name, number in names.attachments.items()}
    return [
        Enclosure(
            one.level,
            one.orthanc_id,
            tuple((metadata.get(n, str(n)), value) for n, value in sorted(one.metadata.items())),
            one.labels,
            tuple(
                Listed(
                    contents.get(file.content_type, str(file.content_type)),
                    file.uncompressed_size,
                    file.uncompressed_md5,
                )
                for file in one.attachments
            ),
        )
        for one in extras
    ]


def resolve(enclosures: Sequence[Enclosure], names: Names) -> list[Extras]:
    """What has come, by the numbers of this server; attachments without a file.

    Raises ``BadRequest`` with the name that is unknown here, or that means what another one means.
    """
    found = []
    for one in enclosures:
        values = [
            (_number(name, names.metadata, "UserMetadata"), text) for name, text in one.metadata
        ]
        files = tuple(
            Attachment(
                uuid="",
                content_type=_number(file.name, names.attachments, "UserContentType"),
                uncompressed_size=file.size,
                uncompressed_md5=file.md5,
                compressed_size=file.size,
                compressed_md5=file.md5,
            )
            for file in one.attachments
        )
        for numbers in ([n for n, _ in values], [file.content_type for file in files]):
            if len(set(numbers)) < len(numbers):
                raise BadRequest("Two names stand for the same metadata or attachment here")
        found.append(Extras(one.level, one.orthanc_id, dict(values), one.labels, files))
    return found


def _number(name: str, known: Mapping[str, int], option: str) -> int:
    number = known.get(name)
    if number is None and name.isascii() and name.isdigit():
        number = int(name) if len(name) <= len(str(NUMBERS_OF_USERS[-1])) else 0
    if number is None or number not in NUMBERS_OF_USERS:
        raise BadRequest(f'"{name}" is not known to the receiver: declare it in its {option}')
    return number


# --- JSON ------------------------------------------------------------------------------------
def render(enclosures: Sequence[Enclosure]) -> bytes:
    """The document: members sorted, those without anything left out. Raises ``TooLarge``."""
    body = orjson.dumps(
        {"Extras": [_rendered(one) for one in enclosures]}, option=orjson.OPT_SORT_KEYS
    )
    if len(body) > limits.EXTRAS_BYTES:
        raise TooLarge(
            f"The metadata and labels have more than {limits.EXTRAS_BYTES} bytes together:"
            " send the resources in several transfers"
        )
    return body


def digest(enclosures: Sequence[Enclosure]) -> str:
    """SHA-256 of the document, in hex: what a receipt says of it. The order of the resources, of
    labels, metadata and attachments does not matter."""
    ordered = [
        Enclosure(
            one.level,
            one.orthanc_id,
            tuple(sorted(one.metadata)),
            tuple(sorted(one.labels)),
            tuple(sorted(one.attachments, key=lambda file: file.name)),
        )
        for one in sorted(enclosures, key=lambda one: (one.level, one.orthanc_id))
    ]
    return hashlib.sha256(render(ordered)).hexdigest()


def count(enclosures: Sequence[Enclosure]) -> dict[str, int]:
    """How much of each kind there is."""
    return {
        "CountMetadata": sum(len(one.metadata) for one in enclosures),
        "CountLabels": sum(len(one.labels) for one in enclosures),
        "CountAttachments": sum(len(one.attachments) for one in enclosures),
    }


def parse(body: bytes) -> list[Enclosure]:
    """A document of somebody else. Raises ``BadFileFormat``, ``ParameterOutOfRange`` for an unknown
    level, ``TooLarge``."""
    if body.count(b",") + body.count(b"[") + body.count(b"{") > limits.PUSH_MANIFEST_VALUES:
        raise TooLarge("The metadata and labels have too many members")
    items = an_array(an_object(parse_json(body), "Body").get("Extras"), "Extras")
    found = [_parsed(item) for item in items]
    if len({(one.level, one.orthanc_id) for one in found}) < len(found):
        raise BadFileFormat("Extras name a resource twice")
    if sum(len(one.attachments) for one in found) > limits.EXTRAS_ATTACHMENTS:
        raise TooLarge(f"A transfer may have at most {limits.EXTRAS_ATTACHMENTS} attachments")
    return found


def render_question(instances: Sequence[str]) -> bytes:
    """The body of ``/transfers/extras``: what hangs on these instances and on all above them?"""
    return orjson.dumps({"Instances": instances})


def parse_question(body: bytes, max_instances: int) -> list[str]:
    """The identifiers asked about. Raises ``BadFileFormat``, ``TooLarge``."""
    names = an_array(an_object(parse_json(body), "Body").get("Instances"), "Instances")
    if len(names) > max_instances:
        raise TooLarge(f"A transfer may have at most {max_instances} instances")
    if not all(isinstance(name, str) and _ORTHANC_ID.fullmatch(name) for name in names):
        raise BadFileFormat("Instances must be Orthanc identifiers")
    return names


def _rendered(one: Enclosure) -> dict[str, type_json]:
    members: dict[str, type_json] = {"Level": one.level.title, "ID": one.orthanc_id}
    if one.metadata:
        members["Metadata"] = dict(one.metadata)
    if one.labels:
        members["Labels"] = one.labels
    if one.attachments:
        members["Attachments"] = [
            {"Name": file.name, "Size": str(file.size), "MD5": file.md5} for file in one.attachments
        ]
    return members


def _parsed(item: type_json) -> Enclosure:
    members = an_object(item, "Extras")
    resource = parse_resources([item])[0]
    metadata = an_object(members.get("Metadata", {}), "Metadata")
    labels = an_array(members.get("Labels", []), "Labels")
    files = an_array(members.get("Attachments", []), "Attachments")
    _check_metadata(metadata)
    if len(set(map(str, labels))) < len(labels) or len(labels) > limits.LABELS_OF_RESOURCE:
        raise BadFileFormat("Labels of a resource are too many, or name one twice")
    for label in labels:
        if not isinstance(label, str) or not is_label(label):
            raise BadFileFormat("Labels must be letters, digits, '-' and '_'")
    listed = tuple(
        Listed(
            a_text(file, "Name"), int(_matching(file, "Size", _SIZE)), _matching(file, "MD5", _MD5)
        )
        for file in files
    )
    for name in [*metadata, *(file.name for file in listed)]:
        if not 0 < len(name) <= _NAME_CHARACTERS or not name.isprintable():
            raise BadFileFormat("A name of metadata or attachments is none")
    _matching(item, "ID", _ORTHANC_ID)
    return Enclosure(
        resource.level, resource.orthanc_id, tuple(metadata.items()), tuple(labels), listed
    )


def _matching(item: type_json, name: str, pattern: re.Pattern[str]) -> str:
    text = a_text(item, name)
    if not pattern.fullmatch(text):
        raise BadFileFormat(f"{name} is malformed")
    return text


def _check_metadata(metadata: Mapping[str, type_json]) -> None:
    """What ``PUT`` of each would refuse."""
    if len(metadata) > limits.METADATA_OF_RESOURCE:
        raise TooLarge(f"A resource has at most {limits.METADATA_OF_RESOURCE} metadata")
    for value in metadata.values():
        if not isinstance(value, str) or "\0" in value:
            raise BadFileFormat("Metadata must be texts without a NUL character")
        if len(value.encode()) > limits.METADATA_BYTES:
            raise TooLarge(f"A piece of metadata has at most {limits.METADATA_BYTES} bytes")
