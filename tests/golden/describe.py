"""An answer as JSON that can be compared: status, the headers that matter, and its body by kind."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from typing import Any

import pydicom

from tests.golden.normalise import Normaliser

_KEPT_NAMES = (
    "Content-Type",
    "Content-Disposition",
    "Content-Encoding",
    "ETag",
    "Location",
    "WWW-Authenticate",
    "Allow",
    "Content-Range",
    "Accept-Ranges",
    "Set-Cookie",
    "Cache-Control",
    "Content-Location",
)
_KEPT = {name.lower(): name for name in _KEPT_NAMES}
_LINKS = (0x00041400, 0x00041410, 0x00041420)
_LONG_TEXT, _HEAD = 4000, 600


def describe(
    status: int,
    headers: Iterable[tuple[str, str]],
    data: bytes,
    mode: str,
    normaliser: Normaliser,
    *,
    unordered: bool = False,
) -> dict[str, Any]:
    """``mode`` is the record's word for how its body is compared (``auto`` by default)."""
    kept = {_KEPT[k.lower()]: normaliser.text(v) for k, v in headers if k.lower() in _KEPT}
    if mode == "volatile-etag" and "ETag" in kept:
        kept["ETag"] = "<ETAG>"  # ends with the MD5 of a value that changes
    body = _body(data, mode, normaliser, unordered)
    return {"status": status, "headers": dict(sorted(kept.items())), "body": body}


def _body(data: bytes, mode: str, normaliser: Normaliser, unordered: bool) -> dict[str, Any]:
    if mode == "metrics":
        return _metrics(data)
    if mode == "ignore":
        return {"kind": "ignored"}
    if not data:
        return {"kind": "empty"}
    if mode == "size-only":
        return {"kind": "binary", "length": "<ANY>"}
    if data[:4] == b"PK\x03\x04":
        return _zip(data, normaliser)
    if data[:8] == b"\x89PNG\r\n\x1a\n" or data[:3] == b"\xff\xd8\xff":
        return _image(data)
    if mode == "dicom-tags" and data[128:132] == b"DICM":
        return _dicom(data, normaliser)
    if data[128:132] == b"DICM":
        return {"kind": "dicom", **_digest(data)}
    if mode == "binary":
        return {"kind": "binary", **_digest(data)}
    return _json(data, normaliser, unordered) or _text(data, normaliser)


def _json(data: bytes, normaliser: Normaliser, unordered: bool) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except ValueError:
        return None
    if not isinstance(value, dict | list):
        return None
    value = normaliser.json(value)
    if unordered and isinstance(value, list):
        value.sort(key=lambda v: json.dumps(v, sort_keys=True))
    return {"kind": "json", "value": value}


def _text(data: bytes, normaliser: Normaliser) -> dict[str, Any]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"kind": "binary", **_digest(data)}
    if len(text) > _LONG_TEXT:
        return {"kind": "text", "length": len(text), "head": normaliser.text(text[:_HEAD])}
    return {"kind": "text", "value": normaliser.text(text)}


def _dicom(data: bytes, normaliser: Normaliser) -> dict[str, Any]:
    """Every attribute of a file that was made for the answer."""
    file = pydicom.dcmread(io.BytesIO(data))
    return {
        "kind": "dicom",
        "transfer_syntax": str(file.file_meta.get("TransferSyntaxUID", "")),
        "tags": _tags(file, normaliser),
    }


def _tags(data_set: pydicom.Dataset, normaliser: Normaliser) -> dict[str, Any]:
    tags: dict[str, Any] = {}
    for element in data_set:
        name = f"{element.tag.group:04x},{element.tag.element:04x}"
        if element.VR == "SQ":
            tags[name] = [_tags(item, normaliser) for item in element.value]
        elif not element.tag.element:
            tags[name] = f"{element.VR}:<NUMBER>"
        elif isinstance(element.value, bytes):
            digest = hashlib.sha256(element.value).hexdigest()[:16]
            tags[name] = f"{element.VR}:{len(element.value)} bytes:{digest}"
        else:
            text = normaliser.text(str(element.value))
            tags[name] = f"{element.VR}:" + (text if len(text) < 200 else text[:200] + "...")
    return tags


def _digest(data: bytes) -> dict[str, Any]:
    return {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _metrics(data: bytes) -> dict[str, Any]:
    lines = [line.split(" ") for line in data.decode().splitlines() if line.strip()]
    return {
        "kind": "metrics",
        "names": [cells[0] for cells in lines],
        "cells_per_line": sorted({len(cells) for cells in lines}),
    }


def _zip(data: bytes, normaliser: Normaliser) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [_entry(archive, info, normaliser) for info in archive.infolist()]
    return {"kind": "zip", "entries": entries}


def _entry(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, normaliser: Normaliser
) -> dict[str, Any]:
    found = {"name": normaliser.text(info.filename), "compression": info.compress_type}
    content = archive.read(info)
    if info.filename == "DICOMDIR":
        return found | {"dicomdir": _dicomdir(content, normaliser)}
    return found | {"size": info.file_size, "sha256": hashlib.sha256(content).hexdigest()}


def _dicomdir(data: bytes, normaliser: Normaliser) -> dict[str, Any]:
    """The records, without what leads from one to the next."""
    file = pydicom.dcmread(io.BytesIO(data))
    records = [
        {
            f"{element.tag.group:04x},{element.tag.element:04x}": normaliser.text(
                str(element.value)
            )
            for element in record
            if element.tag not in _LINKS
        }
        for record in file.DirectoryRecordSequence
    ]
    return {"fileset": str(file.FileSetID), "records": records}


def _image(data: bytes) -> dict[str, Any]:
    from PIL import Image

    image = Image.open(io.BytesIO(data))
    image.load()
    found = {
        "kind": "image",
        "format": image.format,
        "mode": image.mode,
        "size": list(image.size),
    }
    if image.format == "PNG":
        found["pixels_sha256"] = hashlib.sha256(image.tobytes()).hexdigest()
    return found
