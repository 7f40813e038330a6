"""The input files of a recording, and the bodies of requests made of them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydicom

LEVEL_TAGS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_BOUNDARY = "golden-boundary-0123456789"


def orthanc_id(*dicom_ids: str) -> str:
    """The Orthanc identifier of these DICOM identifiers, from the patient down."""
    digest = hashlib.sha1("|".join(dicom_ids).encode()).hexdigest()
    return "-".join(digest[i : i + 8] for i in range(0, 40, 8))


class Samples:
    """Files by name; remembers every identifier that they hold, so that these stay literal."""

    def __init__(self, files: Mapping[str, bytes] | Path) -> None:
        self._files = files
        self.uids: set[str] = set()
        self.ids: set[str] = set()

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        if isinstance(self._files, Path):
            return (self._files / name).read_bytes()
        return self._files[name]

    def learn(self, name: str) -> list[str]:
        """PatientID and the three UIDs of one DICOM file."""
        data = self.read(name)
        with warnings.catch_warnings(action="ignore"):  # some samples are wrong on purpose
            ds = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True)
            self._learn_uids(ds)
            self._learn_uids(ds.file_meta)
        self.uids.update(found.decode() for found in re.findall(rb"(?:\d+\.)+\d+", data[:20000]))
        identity = [str(ds.get(tag, "") or "").strip() for tag in LEVEL_TAGS]
        self.ids.update(orthanc_id(*identity[:level]) for level in range(1, 5))
        return identity

    def _learn_uids(self, ds: Any) -> None:
        for element in ds:
            if element.VR == "SQ":
                for item in element.value:
                    self._learn_uids(item)
            elif element.VR == "UI" and element.value:
                values = element.value
                self.uids.update([values] if isinstance(values, str) else map(str, values))

    def constants(self, names: Mapping[str, str]) -> dict[str, Any]:
        """``CT_P``, ``CT_ST``, ``CT_SE``, ``CT_I``, ``CT_PATIENTID``, ... of each DICOM file."""
        found: dict[str, Any] = {}
        for key, name in names.items():
            identity, prefix = self.learn(name), key.upper()
            for level, suffix in enumerate(("P", "ST", "SE", "I"), 1):
                found[f"{prefix}_{suffix}"] = orthanc_id(*identity[:level])
            for value, suffix in zip(
                identity, ("PATIENTID", "STUDYUID", "SERIESUID", "SOPUID"), strict=True
            ):
                found[f"{prefix}_{suffix}"] = value
        return found


def substitute(value: Any, variables: Mapping[str, Any]) -> Any:
    """``${NAME}`` in all texts of ``value`` replaced by what is known."""
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda m: str(variables.get(m.group(1), m.group(0))), value)
    if isinstance(value, list):
        return [substitute(v, variables) for v in value]
    if isinstance(value, dict):
        return {substitute(k, variables): substitute(v, variables) for k, v in value.items()}
    return value


def _filled(value: Any, samples: Samples) -> Any:
    """``{"$data": [MIME type, file]}`` as data URIs."""
    if isinstance(value, list):
        return [_filled(one, samples) for one in value]
    if not isinstance(value, dict):
        return value
    if "$data" in value:
        mime, name = value["$data"]
        return f"data:{mime};base64," + base64.b64encode(samples.read(name)).decode()
    return {key: _filled(one, samples) for key, one in value.items()}


def body_of(
    spec: Any, samples: Samples, variables: Mapping[str, Any]
) -> tuple[bytes | None, dict[str, str]]:
    """The body that ``spec`` stands for, and the headers that it needs."""
    if spec is None:
        return None, {}
    if "file" in spec:
        data = samples.read(spec["file"])
        return data[spec.get("skip", 0) : len(data) - spec.get("drop_tail", 0)], {}
    if "gzip_file" in spec:
        return gzip.compress(samples.read(spec["gzip_file"]), mtime=0), {}
    if "zip" in spec:
        return _zip(spec["zip"], samples), {}
    if "json" in spec:
        return json.dumps(substitute(spec["json"], variables)).encode(), {}
    if "json_with_file" in spec:
        body = _filled(substitute(spec["json_with_file"], variables), samples)
        return json.dumps(body).encode(), {}
    if "text" in spec:
        return str(substitute(spec["text"], variables)).encode(), {}
    if "response_of" in spec:
        raw: bytes = variables["raw:" + spec["response_of"]]
        return raw, {}
    raise NotImplementedError(f"a body of a later issue: {sorted(spec)}")


def _zip(items: list[dict[str, str]], samples: Samples) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for item in items:
            data = samples.read(item["file"]) if "file" in item else item["text"].encode()
            archive.writestr(zipfile.ZipInfo(item["as"], (2020, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()
