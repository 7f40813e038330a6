"""``AwsS3Storage``, ``AzureBlobStorage``, ``GoogleCloudStorage``: what is read, what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from wherry import limits
from wherry.config import Config, load
from wherry.config.objects import AzureConfig, GoogleConfig, Hybrid, S3Config
from wherry.config.settings import processors
from wherry.errors import ConfigurationError

S3 = {"BucketName": "dicom", "Region": "eu-west-1"}
KEYS = {"AccessKey": "an-access-key", "SecretKey": "a-secret-key"}
AZURE = {"ConnectionString": " AccountName=a;AccountKey=c2VjcmV0 ", "ContainerName": " dicom "}


def read(
    tmp_path: Path, environ: Mapping[str, str] | None = None, /, **sections: Any
) -> tuple[Config, list[str]]:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(sections))
    return load([path], {"HOME": str(tmp_path), **(environ or {})})


def s3(tmp_path: Path, environ: Mapping[str, str] | None = None, /, **more: Any) -> S3Config:
    config, warnings = read(tmp_path, environ, AwsS3Storage=S3 | more)
    assert warnings == []
    assert isinstance(config.objects, S3Config)
    return config.objects


def test_without_a_section(tmp_path: Path) -> None:
    config, _ = read(tmp_path)
    assert config.objects is None
    assert config.wherry.worker_threads == processors() + 1


def test_every_key_of_s3_arrives(tmp_path: Path) -> None:
    assert s3(tmp_path) == S3Config(bucket_name="dicom", region="eu-west-1")
    found = s3(
        tmp_path,
        **KEYS,
        RootPath="some/where/",
        StorageStructure="legacy",
        EnableLegacyUnknownFiles=True,
        HybridMode="WriteToFileSystem",
        Endpoint="http://localhost:9000",
        VirtualAddressing=False,
        ConnectTimeout=3,
        RequestTimeout=4,
        MaxConnections=5,
        MaxRetries=0,
        EnableAwsSdkLogs=True,
        UseTransferManager=True,
        TransferPoolSize=3,
        TransferBufferSize=8,
        StorageClass="STANDARD_IA",
        Tags={"owner": "radiology"},
    )
    assert found == S3Config(
        root_path="some/where",
        legacy_names=True,
        legacy_unknown_files=True,
        hybrid=Hybrid.WRITE_TO_FILE_SYSTEM,
        connect_timeout_s=3,
        request_timeout_s=4,
        max_connections=5,
        max_retries=0,
        bucket_name="dicom",
        region="eu-west-1",
        access_key="an-access-key",
        secret_key="a-secret-key",
        endpoint="http://localhost:9000",
        virtual_addressing=False,
        storage_class="STANDARD_IA",
        tags={"owner": "radiology"},
        part_bytes=8 * limits.MIB,
    )


def test_the_documented_name_of_the_timeout_counts(tmp_path: Path) -> None:
    assert s3(tmp_path, ConnectionTimeout=7).connect_timeout_s == 7


def test_azure(tmp_path: Path) -> None:
    config, warnings = read(
        tmp_path,
        AzureBlobStorage=AZURE | {"CreateContainerIfNotExists": False, "AccessTier": "Cool"},
    )
    assert warnings == []
    assert config.objects == AzureConfig(
        connection_string="AccountName=a;AccountKey=c2VjcmV0",
        container_name="dicom",
        create_container=False,
        access_tier="Cool",
    )


def test_google(tmp_path: Path) -> None:
    (tmp_path / "account.json").write_text("{}")
    section = {"ServiceAccountFile": "account.json", "BucketName": "dicom"}
    config, _ = read(tmp_path, GoogleCloudStorage=section)
    assert config.objects == GoogleConfig(
        service_account_file=tmp_path / "account.json", bucket_name="dicom"
    )


def test_who_waits_for_a_network_has_more_threads(tmp_path: Path) -> None:
    config, _ = read(tmp_path, AwsS3Storage=S3)
    assert config.wherry.worker_threads >= limits.OBJECT_WORKER_THREADS
    config, _ = read(tmp_path, AwsS3Storage=S3, Wherry={"WorkerThreads": 3})
    assert config.wherry.worker_threads == 3


@pytest.mark.parametrize(
    ("more", "mode"),
    [
        ({}, Hybrid.DISABLED),
        ({"HybridMode": "WriteToObjectStorage"}, Hybrid.WRITE_TO_OBJECT_STORAGE),
        ({"MigrationFromFileSystemEnabled": True}, Hybrid.WRITE_TO_OBJECT_STORAGE),
        (
            {"MigrationFromFileSystemEnabled": True, "HybridMode": "WriteToFileSystem"},
            Hybrid.WRITE_TO_FILE_SYSTEM,
        ),
    ],
)
def test_hybrid_mode(tmp_path: Path, more: dict[str, Any], mode: Hybrid) -> None:
    assert s3(tmp_path, **more).hybrid is mode


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"AwsS3Storage": S3, "AzureBlobStorage": AZURE}, "keep one"),
        ({"AwsS3Storage": {"BucketName": "dicom"}}, 'lacks "Region"'),
        ({"AwsS3Storage": S3 | {"BucketName": ""}}, 'lacks "BucketName"'),
        ({"AzureBlobStorage": {"ContainerName": "dicom"}}, 'lacks "ConnectionString"'),
        ({"GoogleCloudStorage": {"BucketName": "dicom"}}, 'lacks "ServiceAccountFile"'),
        (
            {"GoogleCloudStorage": {"BucketName": "dicom", "ServiceAccountFile": "none.json"}},
            "not there",
        ),
        ({"AwsS3Storage": S3 | {"RootPath": "/archive"}}, "slash"),
        ({"AwsS3Storage": S3 | {"RootPath": "a//b"}}, "empty parts"),
        ({"AwsS3Storage": S3 | {"RootPath": "a/../b"}}, "empty parts"),
        ({"AwsS3Storage": S3 | {"StorageStructure": "deep"}}, "flat, legacy"),
        ({"AwsS3Storage": S3 | {"StorageClass": "COLD"}}, "STANDARD"),
        ({"AwsS3Storage": S3 | {"HybridMode": "Both"}}, "WriteToFileSystem"),
        ({"AwsS3Storage": S3 | {"AccessKey": "alone"}}, "both"),
        ({"AwsS3Storage": S3 | {"Tags": {"n": 1}}}, "text"),
        ({"AwsS3Storage": S3 | {"Tags": {str(n): "" for n in range(11)}}}, "more than 10"),
        ({"AwsS3Storage": S3 | {"TransferBufferSize": 4}}, "between 5"),
        ({"AzureBlobStorage": AZURE | {"AccessTier": "Warm"}}, "Hot"),
        ({"AwsS3Storage": []}, "object"),
    ],
)
def test_what_is_refused(tmp_path: Path, sections: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read(tmp_path, **sections)


def test_unknown_keys_are_reported(tmp_path: Path) -> None:
    _, warnings = read(tmp_path, AwsS3Storage=S3 | {"BuckettName": "x"})
    assert len(warnings) == 1
    assert "BuckettName" in warnings[0]
    assert "BucketName" in warnings[0]


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    shown = repr(read(tmp_path, AwsS3Storage=S3 | KEYS)[0])
    shown += repr(read(tmp_path, AzureBlobStorage=AZURE)[0])
    for secret in ("an-access-key", "a-secret-key", "c2VjcmV0"):
        assert secret not in shown


def test_the_environment_names_a_section(tmp_path: Path) -> None:
    environ = {
        "ORTHANC__AWS_S3_STORAGE__BUCKET_NAME": "dicom",
        "ORTHANC__AWS_S3_STORAGE__REGION": "eu-west-1",
        "ORTHANC__AWS_S3_STORAGE__SECRET_KEY": "12345",
        "ORTHANC__AWS_S3_STORAGE__ACCESS_KEY": "67890",
    }
    config, warnings = read(tmp_path, environ)
    assert warnings == []
    assert config.objects == S3Config(
        bucket_name="dicom", region="eu-west-1", access_key="67890", secret_key="12345"
    )


# --- credentials of the machine -----------------------------------------------------------------
FILE = """
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = s%cret

[other]
aws_access_key_id = AKIAOTHER
aws_secret_access_key = another
aws_session_token = a-token
"""


def credentials(config: S3Config) -> tuple[str, str, str]:
    return config.access_key, config.secret_key, config.session_token


def test_credentials_of_the_machine(tmp_path: Path) -> None:
    assert credentials(s3(tmp_path)) == ("", "", "")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(FILE)
    default = ("AKIADEFAULT", "s%cret", "")
    assert credentials(s3(tmp_path)) == default
    other = {"AWS_PROFILE": "other"}
    assert credentials(s3(tmp_path, other)) == ("AKIAOTHER", "another", "a-token")
    assert credentials(s3(tmp_path, {"AWS_PROFILE": "none"})) == ("", "", "")
    moved = tmp_path / "elsewhere"
    (tmp_path / ".aws" / "credentials").rename(moved)
    assert credentials(s3(tmp_path, {"AWS_SHARED_CREDENTIALS_FILE": str(moved)})) == default


def test_other_credentials_come_first(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(FILE)
    assert credentials(s3(tmp_path, **KEYS)) == ("an-access-key", "a-secret-key", "")
    assert credentials(s3(tmp_path, {"AWS_ACCESS_KEY_ID": "theirs"})) == ("", "", "")


def test_a_file_of_credentials_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("not a file of credentials, with a s3cret")
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        s3(tmp_path, {"AWS_SHARED_CREDENTIALS_FILE": str(file)})
    assert "s3cret" not in str(caught.value)
