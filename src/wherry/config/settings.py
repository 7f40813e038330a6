"""What the rest of Wherry sees of the configuration: frozen values, units in their names.

The defaults here are those of a server without any configuration.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wherry import limits
from wherry.config.dictionary import DeclaredTag
from wherry.config.dimse import DimseConfig
from wherry.config.encryption import EncryptionConfig
from wherry.config.links import LinkLimits
from wherry.config.networks import LINK_LOCAL, type_network
from wherry.config.objects import Hybrid, ObjectsConfig
from wherry.config.retries import JobRetries
from wherry.config.storage_policy import StoragePolicy
from wherry.config.webhooks import Webhook
from wherry.config.worklists import WorklistsConfig
from wherry.model import Compression, Level, Peer

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104  only when RemoteAccessAllowed says so


def processors() -> int:
    """Processors of this machine."""
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class TransfersConfig:
    """Section ``Transfers``: the keys of Orthanc's transfers accelerator."""

    threads: int = 6
    """Connections that one transfer uses at once (``Threads``)."""
    bucket_size_bytes: int = 4096 * limits.KIB
    """Uncompressed size that buckets aim at (``BucketSize``, KiB)."""
    max_push_transactions: int = 4
    """Pushes that a receiver holds open at once (``MaxPushTransactions``)."""
    max_http_retries: int = 0
    """Times that a failed request is made again (``MaxHttpRetries``)."""
    peer_connectivity_timeout_s: int = 2
    """Wait for the answer of a peer that is only asked whether it is there."""
    peer_commit_timeout_s: int = 600
    """Wait for the answer of a peer that commits (``PeerCommitTimeout``)."""
    commit_threads_count: int = 1
    """Commits of pushes that run at once (``CommitThreadsCount``)."""
    links: Mapping[str, LinkLimits] = field(default_factory=dict)
    """How fast transfers with a peer may be (``Peers``; ours)."""


@dataclass(frozen=True, slots=True)
class WherryConfig:
    """Section ``Wherry``: what Orthanc has no word for."""

    bind_address: str = LOOPBACK
    """Address the HTTP port listens on (``BindAddress``). Not said: this machine only, and every
    interface with ``RemoteAccessAllowed``."""
    worker_threads: int = field(default_factory=lambda: processors() + 1)
    """Threads for blocking work (``WorkerThreads``); 0 = one more than processors."""
    maximum_instance_bytes: int = limits.INSTANCE_BYTES
    """Largest DICOM file taken in (``MaximumInstanceSize``, MiB)."""
    maximum_transfer_instances: int = limits.TRANSFER_INSTANCES
    """Instances that one push may declare (``MaximumTransferInstances``)."""
    maximum_transfer_bytes: int = limits.TRANSFER_BYTES
    """Bytes that one push may declare (``MaximumTransferSize``, MiB)."""
    transfer_memory_bytes: int = limits.TRANSFER_MEMORY_BYTES
    """What buckets on their way in may hold together (``TransferMemory``, MiB)."""
    transfer_idle_s: int = limits.TRANSFER_IDLE_S
    """A transfer that nobody has touched for this long is discarded (``TransferIdleTime``)."""
    job_retries: JobRetries = field(default_factory=JobRetries)
    """How jobs are tried again after a temporary failure (``JobRetries``)."""
    store_associations: int = limits.MODALITY_STORE_ASSOCIATIONS
    """Over which one ``/modalities/{}/store`` sends at once (``StoreAssociations``)."""
    storage_codec: Compression = Compression.ZLIB
    """How files are compressed that are to be (``StorageCodec``)."""
    forbidden_peer_addresses: tuple[type_network, ...] = LINK_LOCAL
    """Networks that no request to a peer may lead into (``ForbiddenPeerAddresses``)."""
    webhooks: tuple[Webhook, ...] = ()
    """Programs that are told what happens (``Webhooks``)."""
    study_received_changes: bool = True
    """A committed transfer is a change ``StudyReceived``, and its studies are stable at once
    (``StudyReceivedChanges``); False: as Orthanc."""
    storage_policy: StoragePolicy = field(default_factory=StoragePolicy)
    """What moves between the file system and the object storage by itself (``StoragePolicy``)."""
    anonymization_secret: str = field(default="", repr=False)
    """What anonymized identifiers are made of (``AnonymizationSecret``); "" = others each time."""
    dicom_bind_address: str = ""
    """Address the DICOM port listens on (``DicomBindAddress``); "" = every interface, because
    modalities are other machines."""


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration. ``Config()`` = all defaults."""

    name: str = ""
    storage_directory: Path = field(default_factory=lambda: Path.cwd() / "WherryStorage")
    objects: ObjectsConfig | None = None
    """Object storage; None = there is only the file system."""
    index_directory: Path = field(default_factory=lambda: Path.cwd() / "WherryStorage")
    overwrite_instances: bool = False
    maximum_storage_bytes: int = 0
    """Bytes of all files together (``MaximumStorageSize``, MiB); 0 = no limit."""
    maximum_patient_count: int = 0
    """Patients stored at once; 0 = no limit."""
    maximum_storage_mode: str = "Recycle"
    """At these limits: the oldest unprotected patients go (``Recycle``), or what arrives is
    refused (``Reject``)."""
    log_exported_resources: bool = False
    """What is sent to peers and modalities is written down (``/exports``)."""
    storage_compression: bool = False
    """New files are stored compressed (``StorageCompression``)."""
    store_md5_for_attachments: bool = True
    """False: digests are kept for our own checks, but not shown (``StoreMD5ForAttachments``)."""
    check_revisions: bool = False
    """To change metadata and attachments takes their entity tag (``CheckRevisions``)."""
    user_metadata: Mapping[str, int] = field(default_factory=dict)
    """Name → number, 1024…65535."""
    user_content_type: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """Name → number, 1024…65535, and media type or empty."""
    stable_age_s: int = 60

    maximum_storage_cache_bytes: int = 128 * limits.MIB
    """Memory for files that were read lately (``MaximumStorageCacheSize``, MiB)."""

    http_port: int = 8042
    http_describe_errors: bool = True
    http_compression_enabled: bool = False
    """Texts of some length are sent as gzip or deflate to clients that take it."""
    metrics_enabled: bool = True
    remote_access_allowed: bool = False
    """False: requests from other machines are answered 401."""
    authentication_enabled: bool = False
    registered_users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """User → password."""
    ssl_enabled: bool = False
    ssl_certificate: Path = Path("certificate.pem")
    """PEM with certificate and private key; it lies there when ``ssl_enabled``."""
    ssl_verify_peers: bool = False
    """Clients must show a certificate signed by ``ssl_trusted_client_certificates``."""
    ssl_trusted_client_certificates: Path | None = None
    ssl_minimum_protocol_version: int = 4
    """Orthanc's numbers: 4 = TLS 1.2, 5 = TLS 1.3."""
    ssl_ciphers_accepted: tuple[str, ...] = ()
    """OpenSSL names; () = the defaults of the library."""

    http_timeout_s: int = 60
    """Outgoing requests."""
    https_verify_peers: bool = True
    https_ca_certificates: Path | None = None
    """None = the authorities of the operating system."""
    orthanc_peers: Mapping[str, Peer] = field(default_factory=dict)
    orthanc_peers_in_database: bool = False
    """Peers are those declared over REST only; ``orthanc_peers`` are not looked at."""
    http_proxy: str = field(default="", repr=False)
    """``[user:password@]host:port`` for outgoing requests; "" = none."""

    concurrent_jobs: int = 2
    jobs_history_size: int = 10
    limit_jobs: int = 0
    """Jobs that may wait at once (``LimitJobs``); 0 = ``limits.PENDING_JOBS``."""
    save_jobs: bool = True
    """False: jobs that an earlier life of the server left waiting are cancelled at its start."""
    media_archive_size: int = 1
    """Archives made by jobs that are kept (``MediaArchiveSize``)."""
    synchronous_zip_stream: bool = True
    """False: archives are made on disk before they are sent, so that their length is known."""
    zip_use_utf8: bool = True
    """Names in archives keep their letters; False: what is not ASCII is dropped."""

    dicom_aet: str = "ORTHANC"
    """Our application entity title."""
    dicom_port: int = 4242
    dimse: DimseConfig = field(default_factory=DimseConfig)
    """How associations are answered and made."""
    default_encoding: str = "Latin1"
    """Assumed of files that name no character set: a key of ``dicom.charsets.ENCODINGS``."""
    dictionary: tuple[DeclaredTag, ...] = ()
    """Tags that the operator has given names."""
    load_private_dictionary: bool = True
    """Whether private tags have the names that are built in."""
    default_private_creator: str = ""
    """Of private tags in files that name none."""
    case_sensitive_pn: bool = False
    """Whether ``/tools/find`` compares person names by case."""
    extra_main_dicom_tags: Mapping[Level, tuple[str, ...]] = field(default_factory=dict)
    """Tags ``gggg,eeee`` that the index keeps beside the main ones (``ExtraMainDicomTags``)."""
    storage_access_on_find: str = "Always"
    """Whether searches look into stored files for tags that the index does not hold: ``Always``,
    ``Never``, or ``Answers``: only for what is shown of the matches."""
    limit_find_results: int = 0
    """Most patients, studies or series that one search answers; 0 = no limit."""
    limit_find_instances: int = 0
    """Most instances that one search answers; 0 = no limit."""

    accepted_transfer_syntaxes: tuple[str, ...] = ("1.2.840.10008.1.*",)
    """Of what DICOM systems send, with ``*`` and ``?``."""
    rejected_transfer_syntax_groups: tuple[str, ...] = ()
    """Names of ``dicom.uids.GROUPS``: those whose ``…TransferSyntaxAccepted`` is false."""
    accepted_sop_classes: tuple[str, ...] = ("*",)
    rejected_sop_classes: tuple[str, ...] = ()
    unknown_sop_class_accepted: bool = False
    dicom_default_retrieve_method: str = "C-MOVE"
    """How queries are retrieved."""
    database_server_identifier: str = ""
    """Of this server among those that share an index; "" = made of its name and ports."""
    execute_lua_enabled: bool = False
    """Whether ``/tools/execute-script`` is answered, and does nothing."""
    rest_api_write_to_file_system_enabled: bool = False
    """Whether ``/instances/{id}/export`` may write wherever this process may."""

    postgresql: str | None = field(default=None, repr=False)
    """Connection string of libpq; None = SQLite in ``index_directory``."""

    encryption: EncryptionConfig | None = None
    """Stored files are sealed (``StorageEncryption``)."""
    transfers: TransfersConfig = field(default_factory=TransfersConfig)
    worklists: WorklistsConfig = field(default_factory=WorklistsConfig)
    wherry: WherryConfig = field(default_factory=WherryConfig)

    @property
    def compression(self) -> Compression:
        """Of new files (``StorageCompression``)."""
        return self.wherry.storage_codec if self.storage_compression else Compression.NONE

    @property
    def has_two_stores(self) -> bool:
        """Whether files may be in a file system or in an object store (``HybridMode``)."""
        return self.objects is not None and self.objects.hybrid is not Hybrid.DISABLED
