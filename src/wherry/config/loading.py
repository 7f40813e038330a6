"""From files and environment to a ``Config``, with what the operator should know.

What is refused, not only reported: wrong types, values out of range, files that are not there,
and what ``security`` refuses.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wherry import limits
from wherry.config import place as check
from wherry.config.dictionary import declared_tags
from wherry.config.dimse import DimseConfig, tls_files
from wherry.config.document import Document, read_files
from wherry.config.encryption import encryption
from wherry.config.environment import add_environment
from wherry.config.extra_tags import extra_main_dicom_tags
from wherry.config.keys import (
    DIMSE,
    GENERAL,
    SECTION_WITHOUT_EFFECT,
    SECTIONS,
    TRANSFER_SYNTAX_GROUPS,
    WITHOUT_EFFECT,
    Key,
    Kind,
    known_names,
)
from wherry.config.links import link_limits
from wherry.config.modalities import read_modality
from wherry.config.names import user_content_type, user_metadata
from wherry.config.networks import networks
from wherry.config.objects import ObjectsConfig, objects, section_of
from wherry.config.peers import read_peer
from wherry.config.place import Place
from wherry.config.postgresql import connection_string
from wherry.config.retries import job_retries
from wherry.config.security import advice, authentication, secret, tls
from wherry.config.settings import (
    EVERYWHERE,
    LOOPBACK,
    Config,
    TransfersConfig,
    WherryConfig,
    processors,
)
from wherry.config.storage_policy import StoragePolicy, storage_policy
from wherry.config.webhooks import webhooks
from wherry.config.worklists import WorklistsConfig
from wherry.errors import ConfigurationError
from wherry.model import Compression, Modality, Peer

_CODECS = {"zlib": Compression.ZLIB, "zstd": Compression.ZSTD}


def load(paths: Sequence[Path], environ: Mapping[str, str]) -> tuple[Config, list[str]]:
    """Read files and folders, then the environment. Answers the warnings to show too.

    Raises ``ConfigurationError``.
    """
    folder = _home(paths)
    document = read_files(paths, environ)
    add_environment(document, environ, folder)
    _report_unknown(document)

    values = _read(document, "", GENERAL)
    values |= _places(document, folder)
    values |= authentication(document, values)
    values |= tls(document, values)
    values["orthanc_peers"] = _peers(document)
    for name, attribute, read in (
        ("UserMetadata", "user_metadata", user_metadata),
        ("UserContentType", "user_content_type", user_content_type),
        ("ExtraMainDicomTags", "extra_main_dicom_tags", extra_main_dicom_tags),
        ("Dictionary", "dictionary", declared_tags),
    ):
        if name in document.values:
            values[attribute] = read(document.values[name], document.place(name))
    values["postgresql"] = _postgresql(document)
    values["encryption"] = encryption(document)
    values["objects"] = _objects(document, environ)
    values["transfers"] = _transfers(document)
    values["dimse"] = _dimse(document)
    values["worklists"] = WorklistsConfig(**_read(document, "Worklists", SECTIONS["Worklists"]))
    values["wherry"] = _wherry(document, values)
    if "ConcurrentJobs" in document.values:
        jobs = check.integer(
            document.values["ConcurrentJobs"], document.place("ConcurrentJobs"), 0, 256
        )
        values["concurrent_jobs"] = jobs or processors()

    values["rejected_transfer_syntax_groups"] = _rejected_groups(document)
    if "DicomDefaultRetrieveMethod" in document.values:
        place = document.place("DicomDefaultRetrieveMethod")
        method = check.string(document.values["DicomDefaultRetrieveMethod"], place)
        if method not in ("C-MOVE", "C-GET"):
            raise place.error("must be C-MOVE or C-GET")
        values["dicom_default_retrieve_method"] = method
    if values.get("accepted_sop_classes") == ():  # Orthanc's way to say: all
        del values["accepted_sop_classes"]

    config = Config(**values)
    if config.wherry.storage_policy != StoragePolicy() and not config.has_two_stores:
        raise document.place("Wherry.StoragePolicy").error(
            'takes a file system and an object storage: see "HybridMode"'
        )
    document.warnings += advice(config)
    return config, document.warnings


def _home(paths: Sequence[Path]) -> Path:
    """Where relative paths start that no file has said: beside the first file."""
    if not paths:
        return Path.cwd()
    first = paths[0].absolute()
    return first if first.is_dir() else first.parent


def _section(document: Document, section: str) -> dict[str, Any]:
    if not section:
        return document.values
    if section not in document.values:
        return {}
    return check.mapping(document.values[section], document.place(section))


def _read(document: Document, section: str, table: Mapping[str, Key]) -> dict[str, Any]:
    """The honoured values of one section by attribute; keys not honoured are checked too."""
    found: dict[str, Any] = {}
    for name, value in _section(document, section).items():
        key = table.get(name)
        if key is None or key.own_reader:
            continue
        place = document.place(f"{section}.{name}" if section else name)
        checked = _checked(value, key, place)
        if key.attribute:
            found[key.attribute] = checked
        elif checked != key.default:
            if key.refused:
                raise place.error("is not honoured yet, and to start without it would do harm")
            document.warnings.append(
                f'{place.source.name}: "{place.key}" is not honoured yet and has no effect'
            )
    return found


def _checked(value: Any, key: Key, place: Place) -> Any:
    match key.kind:
        case Kind.BOOLEAN:
            return check.boolean(value, place)
        case Kind.INTEGER:
            return check.integer(value, place, key.low, key.high) * key.unit
        case Kind.STRING:
            return check.choice(check.string(value, place), place, key.choices)
        case Kind.PATH:
            return check.path(value, place)
        case Kind.FILE:
            return check.existing_file(value, place) if value != "" else None
        case Kind.STRINGS:
            return check.strings(value, place)
        case Kind.OBJECT:
            return check.mapping(value, place)
        case Kind.LIST:
            if not isinstance(value, list):
                raise place.wrong_type("a list", value)
            return value


def _report_unknown(document: Document) -> None:
    sections: dict[str, Any] = {"": document.values}
    sections |= {name: document.values.get(name) for name in SECTIONS}
    for section, values in sections.items():
        if not isinstance(values, dict):
            continue  # absent, or refused when it is read
        known = SECTIONS[section] if section else GENERAL | DIMSE
        silent = SECTION_WITHOUT_EFFECT.get(section, frozenset()) if section else WITHOUT_EFFECT
        names = {name.lower(): name for name in known_names(section or None)}
        for key in values:
            if key in known or key in silent:
                continue
            near = difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.7)
            hint = f'; did you mean "{names[near[0]]}"?' if near else ""
            place = document.place(f"{section}.{key}" if section else key)
            document.warnings.append(f'{place.source.name}: "{place.key}" is not a known key{hint}')


def _places(document: Document, folder: Path) -> dict[str, Any]:
    values = document.values
    storage = folder / "WherryStorage"
    if "StorageDirectory" in values:
        storage = check.path(values["StorageDirectory"], document.place("StorageDirectory"))
    index = storage
    if values.get("IndexDirectory", "") != "":
        index = check.path(values["IndexDirectory"], document.place("IndexDirectory"))
    for name, found in (("StorageDirectory", storage), ("IndexDirectory", index)):
        if found.exists() and not found.is_dir():
            raise ConfigurationError(f'"{name}": {found} is not a folder')
    return {"storage_directory": storage, "index_directory": index}


def _rejected_groups(document: Document) -> tuple[str, ...]:
    """Groups of transfer syntaxes whose key is false: ``JpipTransferSyntaxAccepted``."""
    found = {
        group: check.boolean(document.values[key], document.place(key))
        for group in TRANSFER_SYNTAX_GROUPS
        if (key := f"{group}TransferSyntaxAccepted") in document.values
    }
    return tuple(group for group, accepted in found.items() if not accepted)


def _peers(document: Document) -> dict[str, Peer]:
    if "OrthancPeers" not in document.values:
        return {}
    place = document.place("OrthancPeers")
    return {
        name: read_peer(name, value, place.inner(name), document.warnings)
        for name, value in check.mapping(document.values["OrthancPeers"], place).items()
    }


def _dimse(document: Document) -> DimseConfig:
    found = _read(document, "", DIMSE)
    found |= tls_files(document, found)
    found["modalities"] = _modalities(document)
    return DimseConfig(**found)


def _modalities(document: Document) -> dict[str, Modality]:
    if "DicomModalities" not in document.values:
        return {}
    place = document.place("DicomModalities")
    return {
        name: read_modality(name, value, place.inner(name), document.warnings)
        for name, value in check.mapping(document.values["DicomModalities"], place).items()
    }


def _postgresql(document: Document) -> str | None:
    section = _section(document, "PostgreSQL")
    _read(document, "PostgreSQL", SECTIONS["PostgreSQL"])  # checks
    connection = connection_string(section)
    if section and connection is None:
        document.warnings.append(
            f'{document.place("PostgreSQL").source.name}: "PostgreSQL" has no '
            '"EnableIndex": true, so the index is SQLite'
        )
    return connection


def _objects(document: Document, environ: Mapping[str, str]) -> ObjectsConfig | None:
    name = section_of(document)
    if name is None:
        return None
    checked = _read(document, name, SECTIONS[name])
    return objects(name, _section(document, name), checked, document.place(name), environ)


def _transfers(document: Document) -> TransfersConfig:
    found = _read(document, "Transfers", SECTIONS["Transfers"])
    section = _section(document, "Transfers")
    if "Peers" in section:
        found["links"] = link_limits(section["Peers"], document.place("Transfers.Peers"))
    return TransfersConfig(**found)


def _wherry(document: Document, values: Mapping[str, Any]) -> WherryConfig:
    found = _read(document, "Wherry", SECTIONS["Wherry"])
    section = _section(document, "Wherry")
    if "JobRetries" in section:
        place = document.place("Wherry.JobRetries")
        found["job_retries"] = job_retries(section["JobRetries"], place)
    if "ForbiddenPeerAddresses" in section:
        place = document.place("Wherry.ForbiddenPeerAddresses")
        found["forbidden_peer_addresses"] = networks(section["ForbiddenPeerAddresses"], place)
    if "Webhooks" in section:
        place = document.place("Wherry.Webhooks")
        found["webhooks"] = webhooks(section["Webhooks"], place, document.warnings)
    if "StoragePolicy" in section:
        place = document.place("Wherry.StoragePolicy")
        found["storage_policy"] = storage_policy(section["StoragePolicy"], place)
    if "AnonymizationSecret" in section:
        place = document.place("Wherry.AnonymizationSecret")
        found["anonymization_secret"] = secret(section["AnonymizationSecret"], place)
    if "StorageCodec" in section:
        place = document.place("Wherry.StorageCodec")
        codec = check.string(section["StorageCodec"], place)
        if codec not in _CODECS:
            raise place.error(f"must be one of: {', '.join(_CODECS)}")
        found["storage_codec"] = _CODECS[codec]
    if not found.get("bind_address"):
        remote = values.get("remote_access_allowed", False)
        found["bind_address"] = EVERYWHERE if remote else LOOPBACK
    if not found.get("worker_threads"):
        found["worker_threads"] = processors() + 1
        if values["objects"] is not None:
            found["worker_threads"] = max(processors() + 1, limits.OBJECT_WORKER_THREADS)
    return WherryConfig(**found)
