"""``StorageEncryption``: what is read, and that nothing malformed starts a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wherry.config import Config, load
from wherry.errors import ConfigurationError

VECTORS = json.loads((Path(__file__).parents[1] / "support/a1-vectors.json").read_text())
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"


def read(folder: Path, section: Any, **others: Any) -> tuple[Config, list[str]]:
    (folder / "key").write_text(KEY)
    (folder / "old").write_text("/" * 43 + "=\n")
    path = folder / "c.json"
    path.write_text(json.dumps({"Wherry": {"StorageEncryption": section}, **others}))
    return load([path], {})


def test_all_of_it(tmp_path: Path) -> None:
    config, warnings = read(
        tmp_path,
        {
            "Enable": True,
            "MasterKey": [3, "key"],
            "PreviousMasterKeys": [[4294967295, str(tmp_path / "old")]],
            "MaxConcurrentInputSize": 1024,
            "Container": "A1",
        },
    )
    assert warnings == []
    found = config.encryption
    assert found is not None
    assert (found.master.id, found.master.secret) == (3, bytes(range(32)))
    assert [(key.id, key.secret) for key in found.previous] == [(2**32 - 1, b"\xff" * 32)]
    assert found.container == "A1"
    assert "secret" not in repr(config).split("encryption=")[1].split("transfers=")[0]


def test_what_is_not_said(tmp_path: Path) -> None:
    config, _ = read(tmp_path, {"MasterKey": [1, "key"]})
    assert config.encryption is not None
    assert config.encryption.container == "W1"
    assert config.encryption.previous == ()
    assert Config().encryption is None


def test_off(tmp_path: Path) -> None:
    assert read(tmp_path, {"Enable": False})[0].encryption is None
    config, _ = read(tmp_path, {"Enable": False, "MasterKey": [1, "key"]})
    assert config.encryption is not None
    assert config.encryption.container == ""


def test_in_the_section_of_the_object_storage(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    path = tmp_path / "c.json"
    told = {"StorageEncryption": {"MasterKey": [1, "key"]}}
    bucket = {"BucketName": "b", "Region": "r"}
    path.write_text(json.dumps({"AwsS3Storage": told | bucket}))
    config, _ = load([path], {})
    assert config.encryption is not None
    for wrong in (
        {"AwsS3Storage": told | bucket, "Wherry": told},
        {"AwsS3Storage": bucket, "Wherry": told},
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(ConfigurationError):
            load([path], {})


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ([], "an object"),
        (True, "an object"),
        ({}, 'no "MasterKey"'),
        ({"Enable": "yes", "MasterKey": [1, "key"]}, "true or false"),
        ({"MasterKey": "key"}, "a pair"),
        ({"MasterKey": ["1", "key"]}, "a whole number"),
        ({"MasterKey": [-1, "key"]}, "between"),
        ({"MasterKey": [2**32, "key"]}, "between"),
        ({"MasterKey": [1, 2]}, "a text"),
        ({"MasterKey": [1, "key", 3]}, "a pair"),
        ({"MasterKey": [1, "nowhere"]}, "not there"),
        ({"MasterKey": [1, ""]}, "empty"),
        ({"MasterKey": [1, "key"], "PreviousMasterKeys": [2, "old"]}, "a pair"),
        ({"MasterKey": [1, "key"], "PreviousMasterKeys": "old"}, "a list"),
        ({"MasterKey": [1, "key"], "PreviousMasterKeys": [[2, "nowhere"]]}, "not there"),
        ({"MasterKey": [1, "key"], "PreviousMasterKeys": [[1, "old"]]}, "two master keys"),
        ({"MasterKey": [1, "key"], "PreviousMasterKey": []}, "none of"),
        ({"MasterKey": [1, "key"], "Container": "A2"}, "one of"),
        ({"MasterKey": [1, "key"], "MaxConcurrentInputSize": "1"}, "a whole number"),
        ({"Enable": False, "PreviousMasterKeys": [[1, "key"]]}, 'no "MasterKey"'),
    ],
)
def test_malformed_sections_are_refused(tmp_path: Path, section: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        read(tmp_path, section)


@pytest.mark.parametrize("vector", VECTORS["key_file_parsing"], ids=lambda v: v["name"][:20])
def test_key_files(tmp_path: Path, vector: dict[str, Any]) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"Wherry": {"StorageEncryption": {"MasterKey": [1, "k"]}}}))
    (tmp_path / "k").write_bytes(bytes.fromhex(vector["file_hex"]))
    if vector["recommended"] == "accept":
        found = load([path], {})[0].encryption
        assert found is not None
        assert found.master.secret.hex() == vector["key_hex"]
    else:
        with pytest.raises(ConfigurationError, match="base64"):
            load([path], {})
