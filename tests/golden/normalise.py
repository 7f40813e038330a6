"""What legitimately changes from run to run gets a symbol: dates, UUIDs, ports, counters."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from tests.golden.bodies import Samples

_STAMP = re.compile(r"\b\d{8}T\d{6}(?:\.\d+)?\b")
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_ORTHANC_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{8}){4}\b")
_UID = re.compile(r"\b(?:1\.2\.276\.0\.7230010\.3\.1\.\d|2\.25)(?:\.\d+)+\b")
_PORTS = ("A_HTTP", "B_HTTP", "A_DICOM", "B_DICOM")
_UNORDERED = {"Success", "Failures", "Studies", "Series", "Instances", "Resources"}
_VOLATILE = {"EffectiveRuntime", "HttpPort", "DicomPort", "Port", "ArchiveSize", "Size"}
_LONG = 12


class Normaliser:
    """Applied to recorded and to actual answers alike."""

    def __init__(self, samples: Samples, variables: Mapping[str, Any]) -> None:
        self._samples = samples
        self._variables = variables
        self._today = {
            time.strftime("%Y%m%d", clock(time.time() - days))
            for clock in (time.gmtime, time.localtime)
            for days in (0, 86400)
        }

    def text(self, value: str) -> str:
        """One text."""
        for name, content in self._variables.items():
            if name.isupper() and isinstance(content, str) and len(content) >= _LONG:
                value = value.replace(content, "${" + name + "}")
        value = re.sub(r"\bAnonymized\d+\b", "Anonymized<N>", value)
        value = _UUID.sub("<UUID>", _STAMP.sub("<DATETIME>", value))
        value = _ORTHANC_ID.sub(
            lambda m: m.group(0) if m.group(0) in self._samples.ids else "<ORTHANC-ID>", value
        )
        value = _UID.sub(
            lambda m: m.group(0) if m.group(0) in self._samples.uids else "<UID>", value
        )
        for name in _PORTS:
            if name in self._variables:
                port = rf"(?<!\d){self._variables[name]}(?!\d)"
                value = re.sub(port, "${" + name + "}", value)
        return value

    def json(self, value: Any, key: str | None = None) -> Any:
        """One JSON value, found under ``key``."""
        if isinstance(value, str):
            return "<NUMBER>" if key in _VOLATILE and value.isdigit() else self.text(value)
        if isinstance(value, list):
            found = [self.json(v) for v in value]
            if key in _UNORDERED:
                found.sort(key=lambda v: json.dumps(v, sort_keys=True))
            return found
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            if key in _VOLATILE:
                return "<NUMBER>"
            return float(f"{value:.6g}") if isinstance(value, float) else value
        return value

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        found = {self.text(k): self.json(v, k) for k, v in sorted(value.items())}
        if "FileSize" in found and str(found.get("ID")).endswith("ORTHANC-ID>"):
            found["FileSize"] = "<NUMBER>"  # depends on the length of generated identifiers
        for name in found:
            if name.endswith("Date") and found[name] in self._today:
                found[name], found[name[:-4] + "Time"] = "<TODAY>", "<NOW>"
        return found
