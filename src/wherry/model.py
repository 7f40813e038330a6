"""The values that the rooms of Wherry hand to each other: small, frozen, without I/O.

Names follow the Orthanc Book and the DICOM Standard; the spelling in JSON is the face's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

type_json = Any
"""A value made of what ``json`` can hold."""

type_tags = dict[str, Any]
"""Tag ``gggg,eeee`` → Unicode value; for a sequence, which only ``ExtraMainDicomTags`` can name,
the list of its items as ``/tags?short`` shows them."""


class Level(IntEnum):
    """Level of the patient/study/series/instance hierarchy; the numbers are Orthanc's."""

    PATIENT = 1
    STUDY = 2
    SERIES = 3
    INSTANCE = 4

    @property
    def title(self) -> str:
        """``Patient``, ``Study``, ``Series``, ``Instance``: the value of ``Type`` in JSON."""
        return _TITLES[self]

    @property
    def plural(self) -> str:
        """``patients``, ``studies``, ``series``, ``instances``: the folder in a route."""
        return _PLURALS[self]


_TITLES = {1: "Patient", 2: "Study", 3: "Series", 4: "Instance"}
_PLURALS = {1: "patients", 2: "studies", 3: "series", 4: "instances"}


class StoreStatus(StrEnum):
    """What became of an instance that was handed in."""

    SUCCESS = "Success"
    ALREADY_STORED = "AlreadyStored"


class ChangeType(IntEnum):
    """Kinds of entries in the log of changes; the numbers are Orthanc's."""

    CompletedSeries = 1
    NewInstance = 2
    NewPatient = 3
    NewSeries = 4
    NewStudy = 5
    AnonymizedStudy = 6
    AnonymizedSeries = 7
    ModifiedStudy = 8
    ModifiedSeries = 9
    AnonymizedPatient = 10
    ModifiedPatient = 11
    StablePatient = 12
    StableStudy = 13
    StableSeries = 14
    UpdatedAttachment = 15
    UpdatedMetadata = 16
    StudyReceived = 1024
    """Not of Orthanc: all instances of the study that a sender declared are verified and here."""


class JobState(StrEnum):
    """States of a job; see ``jobs`` for the transitions."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESS = "Success"
    FAILURE = "Failure"
    PAUSED = "Paused"
    RETRY = "Retry"


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The four Orthanc identifiers of an instance (five groups of eight hex digits each)."""

    patient: str
    study: str
    series: str
    instance: str

    def at(self, level: Level) -> str:
        """The identifier at ``level``."""
        return (self.patient, self.study, self.series, self.instance)[level - 1]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a header scan knows of one DICOM file."""

    identifiers: Identifiers
    tags: tuple[type_tags, type_tags, type_tags, type_tags]
    """Main DICOM tags of patient, study, series and instance, only those present in the file. The
    UIDs and PatientID are among them."""
    transfer_syntax: str
    """UID, PS3.5 §10."""
    sop_class_uid: str
    pixel_data_offset: int | None
    """Byte offset of the element (7FE0,0010) in the file; None without pixel data, or when the
    data set is deflated."""

    @property
    def sop_instance_uid(self) -> str:
        """Of the data set."""
        return str(self.tags_at(Level.INSTANCE).get("0008,0018", ""))

    def tags_at(self, level: Level) -> type_tags:
        """Main DICOM tags of one level."""
        return self.tags[level - 1]


@dataclass(frozen=True, slots=True)
class Revision:
    """What tells one state of a piece of metadata, or of an attachment, from the one before."""

    number: int
    """0 for the first value, 1 more with each that replaces it."""
    md5: str
    """Of the bytes, lower-case hex; empty when digests are not shown."""

    @property
    def entity_tag(self) -> str:
        """The value of ``ETag``, ``If-Match`` and ``If-None-Match``."""
        return f'"{self.number}-{self.md5}"'


class Compression(IntEnum):
    """How the bytes of a stored file are compressed; the first two numbers are Orthanc's."""

    NONE = 1
    ZLIB = 2
    """Orthanc's format: ``storage.packed``."""
    ZSTD = 3
    """Ours: ``storage.blocks``."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that belongs to a resource."""

    uuid: str
    """Name in the storage area."""
    content_type: int
    """1 = DICOM, 1024…65535 = defined by the user."""
    uncompressed_size: int
    uncompressed_md5: str
    """Lower-case hex; empty as long as nobody has asked for it, as all digests here."""
    compressed_size: int
    compressed_md5: str
    compression: int = 1
    """See ``Compression``."""
    place: str = ""
    """Where the storage area put it, when its name alone does not tell."""
    revision: int = 0
    uncompressed_blake3: str = ""
    compressed_blake3: str = ""

    @property
    def digest(self) -> str:
        """Of the plain bytes (``digests``): the faster one of those that are known."""
        return self.uncompressed_blake3 or self.uncompressed_md5

    @property
    def stored_digest(self) -> str:
        """The same of the bytes as they are stored."""
        return self.compressed_blake3 or self.compressed_md5

    def has_digest(self, digest: str) -> bool:
        """Whether this is known to be a digest of the plain bytes."""
        return digest in (self.uncompressed_blake3, self.uncompressed_md5) and bool(digest)


NO_ATTACHMENT: int = 0
"""Number of what lies in the storage area beside the attachments."""

DICOM_CONTENT: int = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """Who brought an instance."""

    kind: str = "Unknown"
    """``RestApi``, ``DicomProtocol``, ``Plugins`` (Orthanc's word for the transfers accelerator),
    ``Unknown``."""
    remote_ip: str = ""
    username: str = ""
    remote_aet: str = ""
    called_aet: str = ""


@dataclass(frozen=True, slots=True)
class StagedInstance:
    """An instance whose bytes lie in the storage area, synced and verified, and that nobody can
    see yet."""

    summary: Summary
    attachment: Attachment
    origin: Origin
    reception_date: str
    """``YYYYMMDDTHHMMSS`` UTC."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer of the index for one instance of a commit."""

    identifiers: Identifiers
    status: StoreStatus


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log of changes."""

    seq: int
    change_type: ChangeType
    level: Level
    orthanc_id: str
    date: str


class Resource(NamedTuple):
    """One resource as the index knows it, with what its JSON needs (rest-api §3).

    A tuple, because lists have thousands of them, and a frozen dataclass takes eight times as long
    to make.
    """

    level: Level
    orthanc_id: str
    tags: Mapping[str, str]
    """Main DICOM tags of this level, ``gggg,eeee`` → value."""
    parent: str | None
    """None above a patient."""
    children: tuple[str, ...] = ()
    """Identifiers one level below, in order of arrival."""
    last_update: str = ""
    is_stable: bool = False
    is_protected: bool = False
    patient_tags: Mapping[str, str] = MappingProxyType({})
    """Studies only: patient tags of the instance that created the study."""
    expected_instances: int | None = None
    """Series only."""
    status: str = "Unknown"
    """Series only: ``Unknown``, ``Missing``, ``Complete``, ``Inconsistent``."""
    index_in_series: int | None = None
    """Instances only."""
    file_size: int = 0
    file_uuid: str = ""
    labels: tuple[str, ...] = ()
    """Sorted."""
    modified_from: str = ""
    anonymized_from: str = ""
    row: int = 0
    """Its number in the index, which ascends in order of arrival."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Totals of a part of the store, in resources and bytes."""

    patients: int
    studies: int
    series: int
    instances: int
    disk_bytes: int
    uncompressed_bytes: int
    dicom_disk_bytes: int = 0
    """Of DICOM files alone; only known of a single resource and what is below it."""
    dicom_uncompressed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Peer:
    """Another server over HTTP (``OrthancPeers``)."""

    name: str
    url: str
    """Ends with ``/``."""
    username: str = ""
    password: str = field(default="", repr=False)
    http_headers: dict[str, str] = field(default_factory=dict, repr=False)
    certificate_file: str = ""
    certificate_key_file: str = ""
    certificate_key_password: str = field(default="", repr=False)
    timeout_s: int = 0
    """0 = ``HttpTimeout``."""
    properties: dict[str, str] = field(default_factory=dict)
    """What the entry holds beyond that, for instance ``RemoteSelf``."""

    @property
    def remote_self(self) -> str | None:
        """The name under which this peer knows us; its presence means "let the peer pull"."""
        return self.properties.get("RemoteSelf")


class Manufacturer(StrEnum):
    """Peculiarities of other DICOM systems (``Manufacturer`` in ``DicomModalities``)."""

    GENERIC = "Generic"
    NO_WILDCARD_IN_DATES = "GenericNoWildcardInDates"
    """A ``*`` in a date of a query is sent as no condition."""
    NO_UNIVERSAL_WILDCARD = "GenericNoUniversalWildcard"
    """A lone ``*`` in a query is sent as no condition."""
    VITREA = "Vitrea"
    GE = "GE"


@dataclass(frozen=True, slots=True)
class Modality:
    """A DICOM application entity that this server knows (``DicomModalities``)."""

    name: str
    """Symbolic, in paths of REST."""
    aet: str
    """Its title; more than 16 characters are found out when it is used."""
    host: str
    port: int
    manufacturer: Manufacturer = Manufacturer.GENERIC
    allow_echo: bool = True
    """What it may ask for here; so the next ones."""
    allow_store: bool = True
    allow_find: bool = True
    allow_find_worklist: bool = True
    allow_get: bool = True
    allow_move: bool = True
    allow_n_action: bool = True
    allow_event_report: bool = True
    allow_transcoding: bool = True
    """Whether what is sent to it may be transcoded when it does not take it as it is."""
    use_tls: bool = False
    local_aet: str = ""
    """Our title towards it; "" = ``DicomAet``."""
    timeout_s: int = 0
    """0 = ``DicomScuTimeout``."""
    retrieve_method: str = "SystemDefault"
    """``C-MOVE``, ``C-GET`` or ``SystemDefault``."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the jobs table. See ``jobs`` for what the states mean."""

    id: str
    type: str
    state: JobState
    priority: int
    """Higher runs first; equal ones in order of submission."""
    parameters: dict[str, type_json]
    """As submitted; never changes. Holds no secrets."""
    content: dict[str, type_json]
    """Public ``Content`` of the REST answer."""
    checkpoint: dict[str, type_json]
    """What a resumed run needs; private."""
    progress: float
    """0…1."""
    created_at: datetime
    changed_at: datetime
    runtime_s: float
    """Time in state Running over all runs since the (re)submission."""
    completed_at: datetime | None = None
    error_code: int = 0
    error_details: str = ""
    owner: str = ""
    """Process that runs it; empty otherwise."""
    requested: str = ""
    """``cancel`` or ``pause`` while a running job has not obeyed yet."""
    username: str = ""
    user_data: type_json = None
    """What the submitter wants to find again; None = nothing."""
    may_retry: bool = True
    """Whether a temporary failure makes it wait for another attempt."""
    attempts: int = 0
    """Temporary failures in a row, without any progress in between."""
    retry_at: datetime | None = None
    """In state Retry: when the next attempt begins."""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A job came into a new state."""

    seq: int
    """Ascends; the log keeps the newest."""
    job_id: str
    type: str
    state: JobState
    error_code: int
    error_details: str
    happened_at: datetime


@dataclass(frozen=True, slots=True)
class JobOutput:
    """A file that a job has brought forth."""

    job_id: str
    key: str
    """Last part of its route: ``archive``."""
    uuid: str
    """Name in the storage area."""
    place: str
    """Where the storage area put it."""
    size: int
    media_type: str
    file_name: str
    """For whoever saves it."""


@dataclass(frozen=True, slots=True)
class ManifestInstance:
    """One instance of a manifest: what the sender promises."""

    orthanc_id: str
    size: int
    digest: str
    """Of the whole DICOM file (``digests``)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A byte range of one instance."""

    orthanc_id: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """A transfer unit: byte ranges of instances, concatenated in this order."""

    chunks: tuple[Chunk, ...]

    @property
    def size(self) -> int:
        """Uncompressed bytes."""
        return sum(chunk.size for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The instances of one transfer and how they are cut into buckets."""

    instances: tuple[ManifestInstance, ...]
    buckets: tuple[Bucket, ...]
    compression: str
    """``none``, ``gzip``, or ``auto``: each bucket says how it is packed."""
