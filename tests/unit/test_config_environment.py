"""Variables in the naming of the Docker images."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.config import load
from wherry.errors import ConfigurationError


def test_names_and_values() -> None:
    config, warnings = load(
        [],
        {
            "ORTHANC__NAME": "12",
            "ORTHANC__STABLE_AGE": "30",
            "ORTHANC__OVERWRITE_INSTANCES": "true",
            "ORTHANC__REGISTERED_USERS": '{"alice": "x"}',
            "ORTHANC__TRANSFERS__BUCKET_SIZE": "8",
            "WHERRY__WHERRY__WORKER_THREADS": "3",
            "ORTHANC__HTTPS_C_A_CERTIFICATES": "",
            "UNRELATED": "x",
        },
    )
    assert warnings == []
    assert config.name == "12"
    assert config.stable_age_s == 30
    assert config.overwrite_instances
    assert config.registered_users == {"alice": "x"}
    assert config.transfers.bucket_size_bytes == 8192
    assert config.wherry.worker_threads == 3


def test_variables_win_over_files_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(
        '{"HttpPort": 1, "Transfers": {"Threads": 1, "BucketSize": 1}}'
    )
    config, _ = load(
        [tmp_path],
        {"ORTHANC__HTTP_PORT": "2", "WHERRY__HTTP_PORT": "3", "ORTHANC__TRANSFERS__THREADS": "4"},
    )
    assert config.http_port == 3
    assert (config.transfers.threads, config.transfers.bucket_size_bytes) == (4, 1024)


def test_a_peer_by_variables() -> None:
    config, _ = load([], {"ORTHANC__ORTHANC_PEERS__SITE_B__URL": "http://b:8042"})
    assert config.orthanc_peers["SiteB"].url == "http://b:8042/"


def test_unknown_variable_is_reported() -> None:
    _, (warning,) = load([], {"ORTHANC__STABLE_AG": "1"})
    assert warning == (
        'variable ORTHANC__STABLE_AG: "StableAg" is not a known key; did you mean "StableAge"?'
    )


def test_errors_name_the_variable() -> None:
    with pytest.raises(
        ConfigurationError, match=r'^variable ORTHANC__STABLE_AGE: "StableAge" must'
    ):
        load([], {"ORTHANC__STABLE_AGE": "soon"})
    with pytest.raises(ConfigurationError, match=r'"Name" is no object'):
        load([], {"ORTHANC__NAME": "x", "ORTHANC__NAME__INNER": "y"})


def test_whole_document(tmp_path: Path) -> None:
    environ = {"ORTHANC_JSON": '{"Name": "N", /* c */ "StorageDirectory": "s"}'}
    (tmp_path / "c.json").write_text("{}")
    config, _ = load([tmp_path], environ)
    assert (config.name, config.storage_directory) == ("N", tmp_path / "s")
    (tmp_path / "c.json").write_text('{"Name": "M"}')
    with pytest.raises(ConfigurationError, match="variable ORTHANC_JSON"):
        load([tmp_path], environ)
