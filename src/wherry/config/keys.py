"""The table of configuration keys. To add a key: a line here, an attribute in ``settings``.

Three kinds of entries:

* honoured: ``attribute`` names the field of the dataclass in ``settings``;
* not honoured yet: no attribute; reported when the value differs from ``default``, because the
  server then does something else than what was asked for;
* ``WITHOUT_EFFECT``: knobs of Orthanc's implementation that change nothing that can be observed
  here; accepted in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from wherry import limits

_INT_HIGH: Final = 2**31 - 1
_DAY_S: Final = 24 * 3600


class Kind(StrEnum):
    """JSON type of a value."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    STRING = "string"
    PATH = "path"
    FILE = "file"
    """A path where a file must lie; empty = absent."""
    STRINGS = "strings"
    OBJECT = "object"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of one key."""

    kind: Kind
    attribute: str = ""
    """Field of the dataclass; "" = not honoured yet."""
    default: Any = None
    """Of Orthanc, for keys that are not honoured: the value that needs no warning."""
    low: int = 0
    high: int = _INT_HIGH
    unit: int = 1
    """Bytes or seconds of one unit in the file."""
    refused: bool = False
    """Not honoured, and to go on without it would do harm: the server does not start."""
    choices: tuple[str, ...] = ()
    """The only texts allowed; () = any."""
    own_reader: bool = False
    """Read by a function of ``loading``, because other keys matter too."""


def _flag(attribute: str) -> Key:
    return Key(Kind.BOOLEAN, attribute)


def _number(attribute: str, low: int = 0, high: int = _INT_HIGH, unit: int = 1) -> Key:
    return Key(Kind.INTEGER, attribute, low=low, high=high, unit=unit)


def _own(kind: Kind) -> Key:
    return Key(kind, own_reader=True)


def _later(default: Any) -> Key:
    match default:
        case bool():
            return Key(Kind.BOOLEAN, default=default)
        case int():
            return Key(Kind.INTEGER, default=default, low=-_INT_HIGH)
        case str():
            return Key(Kind.STRING, default=default)
        case list():
            return Key(Kind.LIST, default=default)
        case _:
            return Key(Kind.OBJECT, default=default)


TRANSFER_SYNTAX_GROUPS: Final = (
    "Deflated",
    "Jpeg",
    "JpegLossless",
    "Jpeg2000",
    "Jpip",
    "Mpeg2",
    "Mpeg4",
    "H265",
    "Rle",
)
"""Transfer syntaxes that can be refused together."""

GENERAL: Final[dict[str, Key]] = {
    # General and storage
    "Name": Key(Kind.STRING, "name"),
    "StorageDirectory": _own(Kind.PATH),
    "IndexDirectory": _own(Kind.PATH),
    "MaximumStorageCacheSize": _number(
        "maximum_storage_cache_bytes", high=1024 * limits.KIB, unit=limits.MIB
    ),
    "MaximumStorageSize": _number("maximum_storage_bytes", unit=limits.MIB),
    "MaximumPatientCount": _number("maximum_patient_count"),
    "MaximumStorageMode": Key(Kind.STRING, "maximum_storage_mode", choices=("Recycle", "Reject")),
    "ExtraMainDicomTags": _own(Kind.OBJECT),
    "LogExportedResources": _flag("log_exported_resources"),
    "OverwriteInstances": _flag("overwrite_instances"),
    "StorageCompression": _flag("storage_compression"),
    "StoreMD5ForAttachments": _flag("store_md5_for_attachments"),
    "DatabaseServerIdentifier": Key(Kind.STRING, "database_server_identifier"),
    "CheckRevisions": _flag("check_revisions"),
    "UserMetadata": _own(Kind.OBJECT),
    "UserContentType": _own(Kind.OBJECT),
    "StableAge": _number("stable_age_s", low=1, high=365 * _DAY_S),
    "CaseSensitivePN": _flag("case_sensitive_pn"),
    "StorageAccessOnFind": Key(
        Kind.STRING, "storage_access_on_find", choices=("Always", "Never", "Answers")
    ),
    "LimitFindResults": _number("limit_find_results"),
    "LimitFindInstances": _number("limit_find_instances"),
    "ConcurrentJobs": _own(Kind.INTEGER),
    "JobsHistorySize": _number("jobs_history_size"),
    "LimitJobs": _number("limit_jobs"),
    "SaveJobs": _flag("save_jobs"),
    "MediaArchiveSize": _number("media_archive_size", low=1, high=100_000),
    "SynchronousZipStream": _flag("synchronous_zip_stream"),
    "ZipUseUtf8": _flag("zip_use_utf8"),
    "MetricsEnabled": _flag("metrics_enabled"),
    # HTTP server
    "HttpPort": _number("http_port", low=1, high=65535),
    "HttpDescribeErrors": _flag("http_describe_errors"),
    "HttpCompressionEnabled": _flag("http_compression_enabled"),
    "RemoteAccessAllowed": _flag("remote_access_allowed"),
    "AuthenticationEnabled": _own(Kind.BOOLEAN),
    "RegisteredUsers": _own(Kind.OBJECT),
    "SslEnabled": _flag("ssl_enabled"),
    "SslCertificate": _own(Kind.PATH),
    "SslMinimumProtocolVersion": _number("ssl_minimum_protocol_version", high=5),
    "SslCiphersAccepted": Key(Kind.STRINGS, "ssl_ciphers_accepted"),
    "SslVerifyPeers": _flag("ssl_verify_peers"),
    "SslTrustedClientCertificates": _own(Kind.PATH),
    # Outgoing HTTP
    "HttpTimeout": _number("http_timeout_s", low=1, high=_DAY_S),
    "HttpsVerifyPeers": _flag("https_verify_peers"),
    "HttpsCACertificates": Key(Kind.FILE, "https_ca_certificates"),
    "OrthancPeers": _own(Kind.OBJECT),
    "OrthancPeersInDatabase": _flag("orthanc_peers_in_database"),
    "HttpProxy": Key(Kind.STRING, "http_proxy"),
    # DICOM
    "DicomAet": Key(Kind.STRING, "dicom_aet"),
    "DicomPort": _number("dicom_port", low=1, high=65535),
    "DefaultEncoding": Key(Kind.STRING, "default_encoding"),
    "Dictionary": _own(Kind.OBJECT),
    "LoadPrivateDictionary": _flag("load_private_dictionary"),
    "DefaultPrivateCreator": Key(Kind.STRING, "default_private_creator"),
    # Sections
    "PostgreSQL": _own(Kind.OBJECT),
    "Transfers": _own(Kind.OBJECT),
    "Worklists": _own(Kind.OBJECT),
    "AwsS3Storage": _own(Kind.OBJECT),
    "AzureBlobStorage": _own(Kind.OBJECT),
    "GoogleCloudStorage": _own(Kind.OBJECT),
    "Wherry": _own(Kind.OBJECT),
    # Known, not honoured yet
    "TemporaryDirectory": _later(""),
    "StoreDicom": _later(True),
    "SyncStorageArea": _later(True),
    "IngestTranscoding": _later(""),
    "IngestTranscodingOfUncompressed": _later(True),
    "IngestTranscodingOfCompressed": _later(True),
    "DicomLossyTranscodingQuality": _later(90),
    "ExternalDictionaries": _later([]),
    "ReadOnly": Key(Kind.BOOLEAN, default=False, refused=True),
    "LuaScripts": _later([]),
    "LuaHeartBeatPeriod": _later(0),
    "ExecuteLuaEnabled": _flag("execute_lua_enabled"),
    "RestApiWriteToFileSystemEnabled": _flag("rest_api_write_to_file_system_enabled"),
    "DeidentifyLogs": _later(True),
    "HttpServerEnabled": _later(True),
    "WebDavDeleteAllowed": _later(False),
    "AcceptedTransferSyntaxes": Key(Kind.STRINGS, "accepted_transfer_syntaxes"),
    **{f"{group}TransferSyntaxAccepted": _own(Kind.BOOLEAN) for group in TRANSFER_SYNTAX_GROUPS},
    "UnknownSopClassAccepted": _flag("unknown_sop_class_accepted"),
    "AcceptedSopClasses": Key(Kind.STRINGS, "accepted_sop_classes"),
    "RejectedSopClasses": Key(Kind.STRINGS, "rejected_sop_classes"),
    "DicomDefaultRetrieveMethod": _own(Kind.STRING),
    "DicomModalities": _own(Kind.OBJECT),
    "DicomTlsCertificate": _own(Kind.FILE),
    "DicomTlsPrivateKey": _own(Kind.FILE),
    "DicomTlsTrustedCertificates": _own(Kind.FILE),
    "DicomWeb": _later({}),
    "Housekeeper": _later({}),
    "DelayedDeletion": _later({}),
    "OrthancExplorer2": _later({}),
}

DIMSE: Final[dict[str, Key]] = {
    "DicomServerEnabled": _flag("server_enabled"),
    "DicomCheckCalledAet": _flag("check_called_aet"),
    "StrictAetComparison": _flag("strict_aet_comparison"),
    "DicomCheckModalityHost": _flag("check_modality_host"),
    "DicomScpTimeout": _number("scp_timeout_s", high=_DAY_S),
    "DicomScuTimeout": _number("scu_timeout_s", high=_DAY_S),
    "MaximumPduLength": _number("maximum_pdu_bytes", low=4 * limits.KIB, high=128 * limits.KIB),
    "DicomAlwaysAllowEcho": _flag("always_allow_echo"),
    "DicomAlwaysAllowStore": _flag("always_allow_store"),
    "DicomAlwaysAllowFind": _flag("always_allow_find"),
    "DicomAlwaysAllowFindWorklist": _flag("always_allow_find_worklist"),
    "DicomAlwaysAllowGet": _flag("always_allow_get"),
    "DicomAlwaysAllowMove": _flag("always_allow_move"),
    "TranscodeDicomProtocol": _flag("transcode"),
    "DicomScuPreferredTransferSyntax": Key(Kind.STRING, "preferred_transfer_syntax"),
    "DicomEchoChecksFind": _flag("echo_checks_find"),
    "SynchronousCMove": _flag("synchronous_move"),
    "QueryRetrieveSize": _number("queries", low=1, high=10_000),
    "StorageCommitmentReportsSize": _number("commitment_reports", low=1, high=10_000),
    "DicomAssociationCloseDelay": _number("association_close_delay_s", high=3600),
    "DicomModalitiesInDatabase": _flag("modalities_in_database"),
    "DicomTlsEnabled": _flag("tls_enabled"),
    "DicomTlsRemoteCertificateRequired": _flag("tls_remote_certificate_required"),
}
"""At the top of the file as well; attributes of ``dimse.DimseConfig``."""

WITHOUT_EFFECT: Final = frozenset(
    {
        "BuiltinDecoderTranscoderOrder",
        "DeidentifyLogsDicomVersion",
        "DicomThreadsCount",
        "HttpRequestTimeout",
        "HttpThreadsCount",
        "HttpVerbose",
        "KeepAlive",
        "KeepAliveTimeout",
        "Locale",
        "MallocArenaMax",
        "OrthancExplorerEnabled",
        "Pkcs11",
        "Plugins",
        "TcpNoDelay",
        "Warnings",
        "WebDavEnabled",
        "WebDavUploadAllowed",
        "ZipLoaderThreads",
    }
)

_OBJECTS: Final[dict[str, Key]] = {
    "RootPath": _own(Kind.STRING),
    "StorageStructure": _own(Kind.STRING),
    "EnableLegacyUnknownFiles": _flag("legacy_unknown_files"),
    "HybridMode": _own(Kind.STRING),
    "MigrationFromFileSystemEnabled": _own(Kind.BOOLEAN),
    "StorageEncryption": _own(Kind.OBJECT),
}
"""What the sections of object storage have in common."""

_S3_CLASSES: Final = (
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "OUTPOSTS",
    "GLACIER_IR",
    "SNOW",
)
_AZURE_TIERS: Final = ("Hot", "Cool", "Cold", "Archive", "Premium")

SECTIONS: Final[dict[str, dict[str, Key]]] = {
    "Transfers": {
        "Threads": _number("threads", low=1, high=64),
        "BucketSize": _number("bucket_size_bytes", low=1, high=512 * limits.KIB, unit=limits.KIB),
        "MaxPushTransactions": _number("max_push_transactions", low=1, high=10_000),
        "MaxHttpRetries": _number("max_http_retries", high=1000),
        "PeerConnectivityTimeout": _number("peer_connectivity_timeout_s", low=1, high=_DAY_S),
        "PeerCommitTimeout": _number("peer_commit_timeout_s", low=1, high=_DAY_S),
        "CommitThreadsCount": _number("commit_threads_count", low=1, high=64),
        "Peers": _own(Kind.OBJECT),
    },
    "Worklists": {
        "Enable": _flag("enable"),
        "Database": Key(Kind.PATH, "folder"),
        "Directory": Key(Kind.PATH, "folder"),
        "FilterIssuerAet": _flag("filter_issuer_aet"),
        "LimitAnswers": _number("limit_answers"),
        "SaveInOrthancDatabase": _flag("save_in_database"),
        "SetStudyInstanceUidIfMissing": _flag("set_study_instance_uid"),
        "DeleteWorklistsOnStableStudy": _flag("delete_on_stable_study"),
        "HousekeepingInterval": _number("housekeeping_s", low=1, high=_DAY_S),
        "DeleteWorklistsDelay": _number("delete_after_s", high=100 * 365 * 24, unit=3600),
    },
    "Wherry": {
        "BindAddress": Key(Kind.STRING, "bind_address"),
        "DicomBindAddress": Key(Kind.STRING, "dicom_bind_address"),
        "WorkerThreads": _number("worker_threads", high=256),
        "MaximumInstanceSize": _number(
            "maximum_instance_bytes",
            low=1,
            high=limits.INSTANCE_BYTES // limits.MIB,
            unit=limits.MIB,
        ),
        "MaximumTransferInstances": _number("maximum_transfer_instances", low=1, high=10_000_000),
        "MaximumTransferSize": _number("maximum_transfer_bytes", low=1, unit=limits.MIB),
        "TransferMemory": _number(
            "transfer_memory_bytes", low=16, high=64 * limits.KIB, unit=limits.MIB
        ),
        "TransferIdleTime": _number("transfer_idle_s", low=60, high=365 * _DAY_S),
        "JobRetries": _own(Kind.OBJECT),
        "StoreAssociations": _number("store_associations", low=1, high=16),
        "ForbiddenPeerAddresses": _own(Kind.STRINGS),
        "StudyReceivedChanges": _flag("study_received_changes"),
        "Webhooks": _own(Kind.LIST),
        "StorageCodec": _own(Kind.STRING),
        "AnonymizationSecret": _own(Kind.STRING),
        "StoragePolicy": _own(Kind.OBJECT),
        "StorageEncryption": _own(Kind.OBJECT),
    },
    "PostgreSQL": {
        "EnableIndex": Key(Kind.BOOLEAN, "enable_index"),
        "ConnectionUri": Key(Kind.STRING, "connection_uri"),
        "Host": Key(Kind.STRING, "host"),
        "Port": _number("port", low=1, high=65535),
        "Database": Key(Kind.STRING, "database"),
        "Username": Key(Kind.STRING, "username"),
        "Password": Key(Kind.STRING, "password"),
        "EnableSsl": Key(Kind.BOOLEAN, "enable_ssl"),
        "ApplicationName": Key(Kind.STRING, "application_name"),
        # Known, not honoured yet
        "EnableStorage": _later(False),
        "Schema": _later("public"),
        "MaximumConnectionRetries": _later(10),
        "ConnectionRetryInterval": _later(5),
        "Lock": _later(False),
    },
    "AwsS3Storage": _OBJECTS
    | {
        "BucketName": Key(Kind.STRING, "bucket_name"),
        "Region": Key(Kind.STRING, "region"),
        "AccessKey": Key(Kind.STRING, "access_key"),
        "SecretKey": Key(Kind.STRING, "secret_key"),
        "Endpoint": Key(Kind.STRING, "endpoint"),
        "VirtualAddressing": _flag("virtual_addressing"),
        "ConnectionTimeout": _number("connect_timeout_s", low=1, high=3600),
        "ConnectTimeout": _number("connect_timeout_s", low=1, high=3600),
        "RequestTimeout": _number("request_timeout_s", low=1, high=_DAY_S),
        "MaxConnections": _number("max_connections", low=1, high=1000),
        "MaxRetries": _number("max_retries", high=100),
        "TransferBufferSize": _number("part_bytes", low=5, high=1024, unit=limits.MIB),
        "StorageClass": Key(Kind.STRING, "storage_class", choices=_S3_CLASSES),
        "Tags": _own(Kind.OBJECT),
    },
    "AzureBlobStorage": _OBJECTS
    | {
        "ConnectionString": Key(Kind.STRING, "connection_string"),
        "ContainerName": Key(Kind.STRING, "container_name"),
        "CreateContainerIfNotExists": _flag("create_container"),
        "AccessTier": Key(Kind.STRING, "access_tier", choices=_AZURE_TIERS),
    },
    "GoogleCloudStorage": _OBJECTS
    | {
        "ServiceAccountFile": Key(Kind.FILE, "service_account_file"),
        "BucketName": Key(Kind.STRING, "bucket_name"),
    },
}

SECTION_WITHOUT_EFFECT: Final[dict[str, frozenset[str]]] = {
    "Transfers": frozenset({"CacheSize"}),
    "AwsS3Storage": frozenset({"EnableAwsSdkLogs", "TransferPoolSize", "UseTransferManager"}),
    "Worklists": frozenset({"LogMatchedWorklistIds"}),
    "PostgreSQL": frozenset(
        {
            "AllowInconsistentChildCounts",
            "EnableVerboseLogs",
            "HousekeepingInterval",
            "IndexConnectionsCount",
            "PrepareIndex",
            "TransactionMode",
            "UseDynamicConnectionPool",
        }
    ),
}


def known_names(section: str | None) -> Iterable[str]:
    """Every key that has a meaning at the top (None) or in a section."""
    if section is None:
        return [*GENERAL, *DIMSE, *WITHOUT_EFFECT]
    return [*SECTIONS.get(section, {}), *SECTION_WITHOUT_EFFECT.get(section, ())]
