"""From files to ``Config``: types, paths, warnings, and what is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest

from wherry import limits
from wherry.config import Config, load
from wherry.config.dimse import DimseConfig
from wherry.config.keys import DIMSE, GENERAL, SECTIONS, WITHOUT_EFFECT
from wherry.config.settings import TransfersConfig, WherryConfig, processors
from wherry.errors import ConfigurationError
from wherry.model import Manufacturer, Modality

type_loader = Callable[..., tuple[Config, list[str]]]


@pytest.fixture
def loaded(tmp_path: Path) -> type_loader:
    """Load keyword arguments as one file, ``c.json``."""

    def load_values(**values: object) -> tuple[Config, list[str]]:
        file = tmp_path / "c.json"
        file.write_text(json.dumps(values))
        return load([file], {})

    return load_values


def test_without_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config, warnings = load([], {})
    assert config == Config()
    assert warnings == []
    assert config.wherry.bind_address == "127.0.0.1"
    assert config.storage_directory == config.index_directory == tmp_path / "WherryStorage"
    assert config.postgresql is None


def test_every_honoured_key_arrives(loaded: type_loader, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    config, warnings = loaded(
        Name="N",
        StorageDirectory="s",
        IndexDirectory="/i",
        OverwriteInstances=True,
        StableAge=5,
        CaseSensitivePN=True,
        ConcurrentJobs=3,
        JobsHistorySize=7,
        HttpPort=1234,
        HttpDescribeErrors=False,
        MetricsEnabled=False,
        RemoteAccessAllowed=True,
        RegisteredUsers={"alice": "s3cret!"},
        HttpTimeout=9,
        HttpsCACertificates="ca.pem",
        DicomAet="AET",
        DicomPort=104,
        Transfers={
            "Threads": 2,
            "BucketSize": 8,
            "CacheSize": 1,
            "MaxPushTransactions": 5,
            "MaxHttpRetries": 6,
            "PeerConnectivityTimeout": 7,
            "PeerCommitTimeout": 8,
            "CommitThreadsCount": 9,
        },
        Wherry={
            "BindAddress": "10.0.0.1",
            "WorkerThreads": 4,
            "MaximumInstanceSize": 100,
            "MaximumTransferInstances": 11,
            "MaximumTransferSize": 12,
        },
    )
    assert warnings == []
    assert config == Config(
        name="N",
        storage_directory=tmp_path / "s",
        index_directory=Path("/i"),
        overwrite_instances=True,
        stable_age_s=5,
        case_sensitive_pn=True,
        concurrent_jobs=3,
        jobs_history_size=7,
        http_port=1234,
        http_describe_errors=False,
        metrics_enabled=False,
        remote_access_allowed=True,
        authentication_enabled=True,
        registered_users={"alice": "s3cret!"},
        http_timeout_s=9,
        https_ca_certificates=tmp_path / "ca.pem",
        dicom_aet="AET",
        dicom_port=104,
        transfers=TransfersConfig(2, 8192, 5, 6, 7, 8, 9),
        wherry=WherryConfig("10.0.0.1", 4, 100 * limits.MIB, 11, 12 * limits.MIB),
    )


def test_zero_means_by_processors(loaded: type_loader) -> None:
    config, _ = loaded(ConcurrentJobs=0, Wherry={"WorkerThreads": 0})
    assert config.concurrent_jobs == processors()
    assert config.wherry.worker_threads == processors() + 1


def test_index_lies_with_the_files_unless_told(loaded: type_loader, tmp_path: Path) -> None:
    assert loaded(StorageDirectory="here")[0].index_directory == tmp_path / "here"


def test_relative_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "etc"
    inner.mkdir()
    (inner / "c.json").write_text('{"StorageDirectory": "../data"}')
    monkeypatch.chdir(tmp_path)
    config, _ = load([Path("etc")], {})
    assert config.storage_directory.resolve() == tmp_path / "data"
    (inner / "c.json").write_text("{}")
    assert load([Path("etc")], {})[0].storage_directory == inner / "WherryStorage"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"HttpPort": "8042"}, '"HttpPort" must be a whole number (1 to 65535), not a text'),
        ({"HttpPort": 0}, '"HttpPort" must be between 1 and 65535'),
        ({"HttpPort": True}, '"HttpPort" must be a whole number'),
        ({"StableAge": 1.5}, '"StableAge" must be a whole number'),
        ({"Name": 5}, '"Name" must be a text in quotes, not a number'),
        ({"OverwriteInstances": 1}, '"OverwriteInstances" must be true or false'),
        ({"StorageDirectory": ""}, '"StorageDirectory" must not be empty'),
        ({"Transfers": []}, '"Transfers" must be an object in braces, not a list'),
        ({"Transfers": {"Threads": "6"}}, '"Transfers.Threads" must be a whole number'),
        ({"RegisteredUsers": {"a": 1}}, '"RegisteredUsers.a" must be a text in quotes'),
        ({"RegisteredUsers": {"a:b": "c"}}, "without a valid name"),
        ({"StorageCompression": "yes"}, '"StorageCompression" must be true or false'),
        ({"DicomModalities": []}, '"DicomModalities" must be an object'),
        ({"HttpsCACertificates": "nope.pem"}, "names a file that is not there"),
        ({"SslEnabled": True}, '"SslCertificate" names a file that is not there'),
        ({"SslCiphersAccepted": [1]}, '"SslCiphersAccepted" must be a text'),
        ({"ReadOnly": True}, '"ReadOnly" is not honoured yet, and to start without it'),
        ({"PostgreSQL": {"Port": "5432"}}, '"PostgreSQL.Port" must be a whole number'),
        ({"OrthancPeers": {"p": {}}}, '"OrthancPeers.p" must have a "Url"'),
    ],
)
def test_wrong_values_name_file_key_and_type(
    loaded: type_loader, values: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(**values)
    assert "c.json: " in str(caught.value)
    assert message in str(caught.value)


def test_passwords_are_never_shown(loaded: type_loader) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(RegisteredUsers={"alice": ["hunter2"]})
    assert "hunter2" not in str(caught.value)
    config, _ = loaded(
        RegisteredUsers={"alice": "hunter2"},
        AuthenticationEnabled=True,
        OrthancPeers={"p": ["http://h/", "u", "hunter2"]},
        PostgreSQL={"EnableIndex": True, "Password": "hunter2"},
    )
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"StableAgee": 1}, '"StableAgee" is not a known key; did you mean "StableAge"?'),
        ({"httpport": 1}, '"httpport" is not a known key; did you mean "HttpPort"?'),
        ({"Zebra": 1}, '"Zebra" is not a known key'),
        (
            {"Transfers": {"Thread": 1}},
            '"Transfers.Thread" is not a known key; did you mean "Threads"?',
        ),
        (
            {"Wherry": {"BindAdress": ""}},
            '"Wherry.BindAdress" is not a known key; did you mean "BindAddress"?',
        ),
        ({"StoreDicom": False}, '"StoreDicom" is not honoured yet'),
        ({"PostgreSQL": {"Host": "h"}}, "so the index is SQLite"),
    ],
)
def test_warnings(loaded: type_loader, values: dict[str, object], message: str) -> None:
    (warning,) = loaded(**values)[1]
    assert message in warning


def test_defaults_of_orthanc_need_no_word(loaded: type_loader) -> None:
    defaults = {
        name: key.default
        for name, key in GENERAL.items()
        if not key.attribute and not key.own_reader
    }
    assert loaded(**defaults, **dict.fromkeys(WITHOUT_EFFECT))[1] == []


@pytest.mark.skipif(which("Orthanc") is None, reason="Orthanc is not installed")
def test_default_configuration_of_orthanc(tmp_path: Path) -> None:
    text = subprocess.run(
        ["Orthanc", "--config=-"], capture_output=True, check=True, text=True
    ).stdout
    (tmp_path / "o.json").write_text(text)
    config, warnings = load([tmp_path / "o.json"], {})
    assert config.name == "MyOrthanc"
    assert warnings == []


def test_modalities(loaded: type_loader) -> None:
    config, (warning,) = loaded(
        DicomModalities={
            "short": ["AET", "host", 104],
            "quirky": ["AET", "host", 104, "GE"],
            "long": {
                "AET": "A",
                "Host": "h",
                "Port": "4243",
                "AllowStorageCommitment": False,
                "AllowEcho": False,
                "UseDicomTls": True,
                "LocalAet": "ME",
                "Timeout": 7,
                "RetrieveMethod": "C-GET",
                "AllowGett": True,
            },
        }
    )
    assert 'did you mean "AllowGet"?' in warning
    assert config.dimse.modalities == {
        "short": Modality("short", "AET", "host", 104),
        "quirky": Modality("quirky", "AET", "host", 104, Manufacturer.GE),
        "long": Modality(
            "long",
            "A",
            "h",
            4243,
            allow_echo=False,
            allow_n_action=False,
            allow_event_report=False,
            use_tls=True,
            local_aet="ME",
            timeout_s=7,
            retrieve_method="C-GET",
        ),
    }


@pytest.mark.parametrize(
    "entry",
    [
        "text",
        ["A", "h"],
        ["A", "h", 104, "GE", 1],
        ["A", "h", 0],
        ["A", "h", "x"],
        ["A", "h", True],
        ["A", "h", 104, "Nobody"],
        {"AET": "A", "Host": "h"},
        {"AET": "A", "Host": "h", "Port": 1, "AllowEcho": "yes"},
        {"AET": "A", "Host": "h", "Port": 1, "Timeout": -1},
        {"AET": "A", "Host": "h", "Port": 1, "RetrieveMethod": "C-FIND"},
    ],
)
def test_modalities_that_make_no_sense(loaded: type_loader, entry: object) -> None:
    with pytest.raises(ConfigurationError, match=r"DicomModalities\.m"):
        loaded(DicomModalities={"m": entry})


def test_dicom_tls_needs_its_files(loaded: type_loader, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="DicomTlsCertificate"):
        loaded(DicomTlsEnabled=True)
    names = ("DicomTlsCertificate", "DicomTlsPrivateKey", "DicomTlsTrustedCertificates")
    (tmp_path / "f.pem").write_text("")
    config, _ = loaded(DicomTlsEnabled=True, **dict.fromkeys(names, "f.pem"))
    assert config.dimse.tls_certificate == config.dimse.tls_private_key == tmp_path / "f.pem"


def test_open_to_the_network_without_users_is_refused(loaded: type_loader) -> None:
    with pytest.raises(ConfigurationError, match='"RemoteAccessAllowed" is true, but there are no'):
        loaded(RemoteAccessAllowed=True)
    with pytest.raises(ConfigurationError, match='"AuthenticationEnabled" is true, but there are'):
        loaded(AuthenticationEnabled=True)


def test_open_to_the_network_must_be_said_and_warns(loaded: type_loader) -> None:
    config, (warning,) = loaded(RemoteAccessAllowed=True, AuthenticationEnabled=False)
    assert config.wherry.bind_address == "0.0.0.0"
    assert not config.authentication_enabled
    assert "can read, change and delete everything" in warning


def test_guessable_password_warns(loaded: type_loader) -> None:
    (warning,) = loaded(RemoteAccessAllowed=True, RegisteredUsers={"orthanc": "orthanc"})[1]
    assert "anybody can guess" in warning


def test_local_server_binds_to_loopback_only(loaded: type_loader) -> None:
    config, _ = loaded(RegisteredUsers={"alice": "x"})
    assert config.wherry.bind_address == "127.0.0.1"
    assert not config.authentication_enabled


def test_tls_files_are_found(loaded: type_loader, tmp_path: Path) -> None:
    (tmp_path / "certificate.pem").write_text("")
    (tmp_path / "clients.pem").write_text("")
    config, _ = loaded(
        SslEnabled=True, SslVerifyPeers=True, SslTrustedClientCertificates="clients.pem"
    )
    assert config.ssl_certificate == tmp_path / "certificate.pem"
    assert config.ssl_trusted_client_certificates == tmp_path / "clients.pem"


def test_postgresql(loaded: type_loader) -> None:
    config, warnings = loaded(
        PostgreSQL={
            "EnableIndex": True,
            "Host": "db",
            "Port": 5433,
            "Database": "d",
            "Username": "u",
            "Password": r"it's a \ word",
            "EnableSsl": True,
            "IndexConnectionsCount": 3,
            "TransactionMode": "ReadCommitted",
        }
    )
    assert warnings == []
    assert config.postgresql == (
        r"host='db' port='5433' dbname='d' user='u' password='it\'s a \\ word' "
        "sslmode='require' application_name='wherry'"
    )
    uri = "postgresql://u@db/d"
    assert loaded(PostgreSQL={"EnableIndex": True, "ConnectionUri": uri})[0].postgresql == uri


def test_every_attribute_in_the_table_exists() -> None:
    for table, kind in (
        (GENERAL, Config),
        (DIMSE, DimseConfig),
        (SECTIONS["Transfers"], TransfersConfig),
        (SECTIONS["Wherry"], WherryConfig),
    ):
        for name, key in table.items():
            assert not key.attribute or key.attribute in kind.__slots__, name


def test_a_secret_that_can_be_guessed_is_refused(loaded: type_loader) -> None:
    config, _ = loaded(Wherry={"AnonymizationSecret": "0123456789abcdef01234567"})
    assert config.wherry.anonymization_secret == "0123456789abcdef01234567"
    assert "0123456789abcdef01234567" not in repr(config)
    for secret in ("short", "a" * 40, 5):
        with pytest.raises(ConfigurationError, match=r"Wherry\.AnonymizationSecret"):
            loaded(Wherry={"AnonymizationSecret": secret})


def test_every_honoured_key_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    for table in (GENERAL, DIMSE, *SECTIONS.values()):
        for name, key in table.items():
            if key.attribute or key.own_reader:
                assert f"`{name}`" in text, name


def test_environment_of_the_process_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORTHANC__NAME", "leaked")
    assert load([], {})[0].name == ""
