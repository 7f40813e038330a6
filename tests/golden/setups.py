"""The configuration that each profile of a recording needs, for either server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OF_PROFILE: dict[str, dict[str, Any]] = {
    "auth": {"AuthenticationEnabled": True, "RegisteredUsers": {"alice": "secret"}},
    "variant": {
        "HttpDescribeErrors": False,
        "StorageCompression": True,
        "OverwriteInstances": True,
        "StableAge": 1,
    },
    "revisions": {"CheckRevisions": True},
    "recycling": {"MaximumPatientCount": 2},
    "jobs": {"ConcurrentJobs": 1, "MediaArchiveSize": 10},
    "ingest": {"IngestTranscoding": "1.2.840.10008.1.2.1"},
}


def configuration(
    profile: str, server: str, ports: Mapping[str, int], dicom_ports: Mapping[str, int]
) -> dict[str, Any]:
    """Without folders and the server's own HTTP port. Orthanc does not try jobs again."""
    other = "B" if server == "A" else "A"
    return {
        "Name": f"golden-{server.lower()}",
        "DicomServerEnabled": True,
        "DicomPort": dicom_ports[server],
        "DicomAet": "ORTHANC" + server,
        "RemoteAccessAllowed": True,
        "AuthenticationEnabled": False,
        "StableAge": 3600,
        "LogExportedResources": True,
        "DicomScuTimeout": 5,
        "HttpTimeout": 10,
        "JobsHistorySize": 200,
        "ZipUseUtf8": False,
        "UserMetadata": {"my-meta": 4321},
        "UserContentType": {"my-att": [4400, "text/plain"]},
        "DicomModalities": {
            other.lower(): ["ORTHANC" + other, "127.0.0.1", dicom_ports[other]],
            "unreachable": ["NOBODY", "127.0.0.1", 1],
            "silent": ["SILENT", "127.0.0.1", ports.get("silent", 2)],
        },
        "OrthancPeers": {
            other.lower(): [f"http://127.0.0.1:{ports[other]}/"],
            "auth": ["http://127.0.0.1:1/", "alice", "secret"],
            "unreachable": ["http://127.0.0.1:1/"],
        },
        "Wherry": {"JobRetries": {"DicomModalityStore": {"Attempts": 0}}},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **(_OF_PROFILE.get(profile, {}) if server == "A" else {}),
    }
