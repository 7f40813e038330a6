"""What the routes take and give, beyond their paths and docstrings: the table behind
``/openapi.json``.

The keys are ``METHOD path`` with ``{L}`` for one of the four levels and ``{}`` for any other
parameter. A route without a line takes nothing behind its question mark and no body, and answers
with JSON; a line without a route makes a test fail.

Not here: how the document is put together (``openapi``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from wherry.dicom.charsets import ENCODINGS
from wherry.dicom.editing.profiles import EDITIONS
from wherry.logs import CATEGORIES, Verbosity
from wherry.model import Manufacturer

type_schema = dict[str, Any]

JSON: Final = "application/json"
TEXT: Final = "text/plain"
DICOM: Final = "application/dicom"
BYTES: Final = "application/octet-stream"

STRING: Final[type_schema] = {"type": "string"}
BOOLEAN: Final[type_schema] = {"type": "boolean"}
COUNT: Final[type_schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[type_schema] = {"type": "number"}
OBJECT: Final[type_schema] = {"type": "object"}
ID: Final[type_schema] = {
    "type": "string",
    "pattern": "^([0-9a-f]{8}-){4}[0-9a-f]{8}$",
    "description": "An Orthanc identifier",
}


def list_of(schema: type_schema) -> type_schema:
    """A list."""
    return {"type": "array", "items": schema}


def one_of(*values: str) -> type_schema:
    """One of these words."""
    return {"type": "string", "enum": list(values)}


def members(required: tuple[str, ...] = (), **properties: type_schema) -> type_schema:
    """An object; further members are ignored."""
    found: type_schema = {"type": "object", "properties": properties}
    return found | {"required": list(required)} if required else found


@dataclass(frozen=True)
class Query:
    """Something behind the question mark."""

    name: str
    schema: type_schema
    about: str


@dataclass(frozen=True)
class Operation:
    """What one route takes and gives."""

    query: tuple[Query, ...] = ()
    body: type_schema | None = None
    body_type: str = JSON
    answer: type_schema | None = None
    answer_type: str = JSON


def _flag(name: str, about: str) -> Query:
    return Query(name, BOOLEAN, about)


EXPAND = _flag("expand", "Contents instead of names")
FORM = (
    _flag("short", "Tags as gggg,eeee"),
    _flag("full", "Tags as gggg,eeee with name and type"),
)
REQUESTED = Query("requested-tags", STRING, "Tags to add, separated by semicolons")
CONTENT = Query("response-content", STRING, "The only parts to show, separated by semicolons")
PAGE = (
    Query("since", COUNT, "Skip so many"),
    Query("limit", COUNT, "At most so many"),
)
IGNORE_LENGTH = Query("ignore-length", STRING, "A tag to show whatever its length")
WHOLE = _flag("whole", "Also what lies behind the pixel data")
SIMPLE = (_flag("simplify", "Keywords and bare values"), FORM[0], IGNORE_LENGTH)
FILENAME = Query("filename", STRING, "Name of the download")
SHOWN = (*FORM, REQUESTED, CONTENT)
CHILDREN = Operation((EXPAND, *SHOWN), answer=list_of({}))
TEXT_OUT = Operation(answer=STRING, answer_type=TEXT)
DONE = Operation(answer_type=TEXT)
TRANSCODE = Query("transcode", STRING, "UID of the transfer syntax that all files shall have")
QUALITY = Query("lossy-quality", {"type": "integer"}, "Where that loses something, 1 to 100")
FILE = Operation((FILENAME, TRANSCODE, QUALITY), answer_type=DICOM)
ARCHIVE: Final = "application/zip"
ZIP = Operation(answer_type=ARCHIVE)
RESOURCES = members(("Resources",), Resources=list_of(ID))
_JOB: Final[dict[str, type_schema]] = {
    "Asynchronous": BOOLEAN,
    "Synchronous": BOOLEAN,
    "Permissive": BOOLEAN,
    "Priority": {"type": "integer"},
    "UserData": {},
}
_TAGS = list_of({**STRING, "description": "A tag, or a path such as Sequence[0].Tag"})
_EDIT: Final[dict[str, type_schema]] = {
    "Replace": {"type": "object", "description": "Tag or path → text, items or data URI"},
    "Remove": _TAGS,
    "Keep": _TAGS,
    "Force": BOOLEAN,
    "PrivateCreator": STRING,
    "Transcode": STRING,
}
_CONTENT = {"type": "string", "description": "Data URI: picture, document or video"}
_CREATED = members(("Content",), Content=_CONTENT, Tags=OBJECT)
CREATE = members(
    (),
    Tags={"type": "object", "description": "Tag → text or items; without it, the body is the tags"},
    Content={"oneOf": [_CONTENT, list_of({"oneOf": [_CONTENT, _CREATED]})]},
    Parent=ID,
    Force=BOOLEAN,
    Encapsulate={"type": "boolean", "description": "Keep a JPEG, or any document, as it is"},
    InterpretBinaryTags=BOOLEAN,
    PrivateCreator=STRING,
)
_EDIT_MANY: Final[dict[str, type_schema]] = {
    **_JOB,
    "KeepSource": {**BOOLEAN, "description": "true"},
    "KeepLabels": BOOLEAN,
    "LossyQuality": COUNT,
}
_REGROUP: Final[dict[str, type_schema]] = {
    **_JOB,
    "KeepSource": {**BOOLEAN, "description": "false"},
    "KeepLabels": BOOLEAN,
}
_MODIFY: Final[dict[str, type_schema]] = {**_EDIT, "RemovePrivateTags": BOOLEAN}
_ANONYMIZE: Final[dict[str, type_schema]] = {
    **_EDIT,
    "KeepPrivateTags": BOOLEAN,
    "DicomVersion": one_of(*EDITIONS),
}

_QUALITY = Query("quality", COUNT, "Of a JPEG, 1 to 100")
_UNSUPPORTED = _flag("returnUnsupportedImage", "Redirect to a picture that says so, instead of 415")
_PICTURE = Operation((_QUALITY, _UNSUPPORTED), answer_type="image/png")
_IMAGES = {
    "preview": _PICTURE,
    "image-uint8": _PICTURE,
    "image-uint16": _PICTURE,
    "image-int16": _PICTURE,
    "rendered": Operation(
        (
            *_PICTURE.query,
            Query("window-center", NUMBER, "Centre of the window; of the file if not said"),
            Query("window-width", NUMBER, "Width of the window"),
            Query("width", COUNT, "At most so many pixels wide"),
            Query("height", COUNT, "At most so many pixels high"),
            _flag("smooth", "Smooth what gets smaller"),
        ),
        answer_type="image/png",
    ),
    "matlab": TEXT_OUT,
    "numpy": Operation(
        (
            _flag("rescale", "Values of the modality, as floating point; default true"),
            _flag("compress", "As .npz"),
        ),
        answer_type=BYTES,
    ),
}

WORKLIST_FORM = Query("format", one_of("Simplify", "Short", "Full"), "How tags are spelt")
_WORKLIST = members(("ID", "Path", "Tags"), ID=STRING, Path=STRING, Tags=OBJECT)
_WORKLIST_TAGS = members(("Tags",), Tags=OBJECT)

_QUERY: Final[type_schema] = {
    "type": "object",
    "description": "What DICOM tags must be: keyword or gggg,eeee → value, with * ? \\ and -",
    "propertyNames": {"pattern": "^([A-Z][A-Za-z0-9]*|[0-9A-Fa-f]{4}[,-]?[0-9A-Fa-f]{4})$"},
    "additionalProperties": STRING,
}
_FIND = {
    "Level": one_of("Patient", "Study", "Series", "Instance"),
    "Query": _QUERY,
    "CaseSensitive": BOOLEAN,
    "Labels": list_of(STRING),
    "LabelsConstraint": one_of("All", "Any", "None"),
    "MetadataQuery": {"type": "object", "additionalProperties": STRING},
    "ParentPatient": ID,
    "ParentStudy": ID,
    "ParentSeries": ID,
}
_ORDER = members(
    ("Type", "Key", "Direction"),
    Type=one_of("DicomTag", "Metadata"),
    Key=STRING,
    Direction=one_of("ASC", "DESC"),
)
_CONTENTS = (
    "MainDicomTags",
    "Metadata",
    "Children",
    "Parent",
    "Labels",
    "Status",
    "IsStable",
    "IsProtected",
    "Attachments",
    "RequestedTags",
)
FIND = members(
    ("Level", "Query"),
    **_FIND,
    Expand=BOOLEAN,
    Full=BOOLEAN,
    Short=BOOLEAN,
    Limit=COUNT,
    Since=COUNT,
    OrderBy=list_of(_ORDER),
    RequestedTags=list_of(STRING),
    ResponseContent=list_of(one_of(*_CONTENTS)),
)
_BULK = members(
    ("Resources",),
    Resources=list_of(ID),
    Level=one_of("Patient", "Study", "Series", "Instance"),
    Metadata=BOOLEAN,
    Full=BOOLEAN,
    Short=BOOLEAN,
)
_PEER = members(
    ("Url",),
    Url={"type": "string", "format": "uri"},
    Username=STRING,
    Password=STRING,
    HttpHeaders={"type": "object", "additionalProperties": STRING},
    Timeout=COUNT,
    RemoteSelf=STRING,
)
_PORT: Final[type_schema] = {"type": "integer", "minimum": 1, "maximum": 65535}
_TITLE: Final[type_schema] = {"type": "string", "minLength": 1, "maxLength": 16}
_MODALITY_FLAGS: Final = (
    "AllowEcho",
    "AllowEventReport",
    "AllowFind",
    "AllowFindWorklist",
    "AllowGet",
    "AllowMove",
    "AllowNAction",
    "AllowStorageCommitment",
    "AllowStore",
    "AllowTranscoding",
    "UseDicomTls",
)
_MODALITY_MEMBERS: Final[dict[str, type_schema]] = {
    "AET": _TITLE,
    "Host": STRING,
    "Port": _PORT,
    "Manufacturer": one_of(*Manufacturer),
    **dict.fromkeys(_MODALITY_FLAGS, BOOLEAN),
    "LocalAet": _TITLE,
    "RetrieveMethod": one_of("SystemDefault", "C-MOVE", "C-GET"),
    "Timeout": COUNT,
}
_REQUIRED = ("AET", "Host", "Port")
_MODALITY_LIST: Final[type_schema] = {
    "type": "array",
    "prefixItems": [_TITLE, STRING, _PORT, one_of(*Manufacturer)],
    "minItems": 3,
    "maxItems": 4,
}
_MODALITY = {"oneOf": [members(_REQUIRED, **_MODALITY_MEMBERS), _MODALITY_LIST]}
_ECHO = members(CheckFind=BOOLEAN, Timeout=COUNT)
_MODALITY_ECHO = {
    "oneOf": [members(_REQUIRED, **_MODALITY_MEMBERS, CheckFind=BOOLEAN), _MODALITY_LIST]
}
_MODALITY_STORE = {
    "oneOf": [
        ID,
        list_of(ID),
        members(
            ("Resources",),
            Resources=list_of(ID),
            Asynchronous=BOOLEAN,
            Synchronous=BOOLEAN,
            Permissive=BOOLEAN,
            Priority={"type": "integer"},
            UserData={},
            LocalAet=_TITLE,
            CalledAet=_TITLE,
            Host=STRING,
            Port=_PORT,
            Timeout=COUNT,
            MoveOriginatorAet=_TITLE,
            MoveOriginatorID={"type": "integer", "minimum": 0, "maximum": 65535},
            StorageCommitment=BOOLEAN,
        ),
    ]
}
_TRANSFER_RESOURCE = members(
    ("Level", "ID"), Level=one_of("Patient", "Study", "Series", "Instance"), ID=ID
)
_TRANSFER_INSTANCE = members(("ID", "Size", "MD5"), ID=ID, Size=COUNT, MD5=STRING)
_TRANSFER = members(
    ("Resources", "Compression", "Peer"),
    Resources=list_of(_TRANSFER_RESOURCE),
    Compression=one_of("none", "gzip"),
    Peer=STRING,
    Priority={"type": "integer"},
    SenderTransferID=STRING,
)
_ARCHIVE = members(
    Resources=list_of(ID),
    Asynchronous=BOOLEAN,
    Synchronous=BOOLEAN,
    Extended=BOOLEAN,
    Filename=STRING,
    Priority={"type": "integer"},
    Transcode=STRING,
    LossyQuality={"type": "integer"},
    UserData={},
)
_STORE = {
    "oneOf": [
        ID,
        list_of(ID),
        members(
            ("Resources",),
            Resources=list_of(ID),
            Asynchronous=BOOLEAN,
            Synchronous=BOOLEAN,
            Compress=BOOLEAN,
            Permissive=BOOLEAN,
            Priority={"type": "integer"},
            Transcode=STRING,
            LossyQuality={"type": "integer"},
        ),
    ]
}


_MOVE = members(
    ("Resources", "TargetStorage"),
    Resources=list_of(ID),
    TargetStorage=one_of("file-system", "object-storage"),
    Asynchronous=BOOLEAN,
    Synchronous=BOOLEAN,
    Priority={"type": "integer"},
    UserData={},
)
_LEVEL = one_of("Patient", "Study", "Series", "Instance")
_TIMEOUT = {"type": "integer", "minimum": 0, "description": "Seconds of silence; 0 = for ever"}
_ANSWER_FORM = (
    _flag("simplify", "Keywords and bare values"),
    _flag("short", "Tags as gggg,eeee and bare values"),
)
_ASKED = members(("ID", "Path"), ID=STRING, Path=STRING)
_MODALITY_QUERY = members(
    ("Level",),
    Level=_LEVEL,
    Query=_QUERY,
    Normalize={**BOOLEAN, "description": "Leave out what means nothing at the level (true)"},
    LocalAet=STRING,
    Timeout=_TIMEOUT,
)
_CHILD_QUERY = members(Query=_QUERY, Timeout=_TIMEOUT)
_JOB_OPTIONS = {
    "Asynchronous": BOOLEAN,
    "Synchronous": BOOLEAN,
    "Permissive": BOOLEAN,
    "Priority": {"type": "integer"},
    "UserData": {},
    "Timeout": _TIMEOUT,
    "Simplify": BOOLEAN,
    "Full": BOOLEAN,
}
_RETRIEVE = {
    "oneOf": [
        {"type": "string", "description": "TargetAet alone, as plain text"},
        members(
            (),
            TargetAet={"type": "string", "maxLength": 16},
            RetrieveMethod=one_of("SystemDefault", "C-MOVE", "C-GET"),
            **_JOB_OPTIONS,
        ),
    ]
}
_NAMED = members(
    ("Level", "Resources"),
    Level=_LEVEL,
    Resources=list_of(_QUERY),
    LocalAet=STRING,
    **_JOB_OPTIONS,
)
_MOVED = {
    **_NAMED,
    "properties": {**_NAMED["properties"], "TargetAet": {"type": "string", "maxLength": 16}},
}
_WORKLIST = members(
    Query={"type": "object", "description": "Tags; lists of objects for sequences"},
    Full=BOOLEAN,
    Short=BOOLEAN,
)


def _word(*values: str) -> Operation:
    """A setting of one word."""
    return Operation(body=one_of(*values), body_type=TEXT, answer_type=TEXT)


_LOG_LEVEL = _word(*Verbosity)
_SWITCH = _word("0", "1")

_SOP_INSTANCE: Final = members(
    ("SOPClassUID", "SOPInstanceUID"), SOPClassUID=STRING, SOPInstanceUID=STRING
)
_SOP_INSTANCE_AS_LIST: Final = {**list_of(STRING), "minItems": 2, "maxItems": 2}
_NOT_COMMITTED: Final = members(
    ("SOPClassUID", "SOPInstanceUID", "FailureReason", "Description"),
    SOPClassUID=STRING,
    SOPInstanceUID=STRING,
    FailureReason=COUNT,
    Description=STRING,
)

OPERATIONS: Final[dict[str, Operation]] = {
    "GET /": Operation(answer=STRING, answer_type="text/html"),
    "GET /plugins/explorer.js": Operation(answer=STRING, answer_type="application/javascript"),
    # resources
    "GET /{L}": Operation((EXPAND, *PAGE, *SHOWN), answer=list_of({})),
    "GET /{L}/{}": Operation(SHOWN, answer=OBJECT),
    "GET /{L}/{}/patient": Operation(SHOWN, answer=OBJECT),
    "GET /{L}/{}/study": Operation(SHOWN, answer=OBJECT),
    "GET /{L}/{}/studies": CHILDREN,
    "GET /{L}/{}/series": CHILDREN,
    "GET /{L}/{}/instances": CHILDREN,
    "GET /{L}/{}/instances-tags": Operation(SIMPLE),
    "GET /{L}/{}/shared-tags": Operation(SIMPLE),
    "GET /{L}/{}/module": Operation(SIMPLE),
    "GET /{L}/{}/module-patient": Operation(SIMPLE),
    "POST /{L}/{}/reconstruct": Operation(
        body=members(ReconstructFiles=BOOLEAN, LimitToThisLevelMainDicomTags=BOOLEAN),
        answer_type=TEXT,
    ),
    "POST /tools/reconstruct": Operation(body=members(ReconstructFiles=BOOLEAN), answer_type=TEXT),
    # instances
    "POST /{L}": Operation(body={}, body_type=BYTES),
    "GET /{L}/{}/file": FILE,
    "GET /{L}/{}/tags": Operation((*SIMPLE, WHOLE)),
    "GET /{L}/{}/simplified-tags": Operation((IGNORE_LENGTH, WHOLE)),
    "GET /{L}/{}/header": Operation(SIMPLE[:2]),
    "GET /{L}/{}/attachments/{}": Operation(answer=list_of(STRING)),
    **{
        f"POST /{{L}}/{{}}/attachments/{{}}/{name}": Operation(body={}, body_type=BYTES)
        for name in ("compress", "uncompress", "verify-md5")
    },
    "GET /{L}/{}/content/{}": Operation(answer_type=BYTES),
    "GET /{L}/{}/pdf": Operation(answer_type="application/pdf"),
    "GET /{L}/{}/frames/{}/raw": Operation(answer_type=BYTES),
    "GET /{L}/{}/frames/{}/raw.gz": Operation(answer_type="application/gzip"),
    **{
        f"GET /{{L}}/{{}}{frame}/{name}": operation
        for frame in ("", "/frames/{}")
        for name, operation in _IMAGES.items()
    },
    "POST /{L}/{}/export": Operation(body=STRING, body_type=TEXT),
    # metadata, attachments, labels
    "GET /{L}/{}/metadata": Operation((EXPAND, _flag("numeric", "Numbers instead of names"))),
    "GET /{L}/{}/metadata/{}": TEXT_OUT,
    "PUT /{L}/{}/metadata/{}": Operation(body=STRING, body_type=TEXT, answer_type=TEXT),
    "DELETE /{L}/{}/metadata/{}": DONE,
    "GET /{L}/{}/attachments": Operation((_flag("full", "Numbers beside the names"),)),
    "PUT /{L}/{}/attachments/{}": Operation(body={}, body_type=BYTES),
    "DELETE /{L}/{}/attachments/{}": DONE,
    "GET /{L}/{}/attachments/{}/data": Operation((FILENAME,), answer_type=BYTES),
    "GET /{L}/{}/attachments/{}/compressed-data": Operation((FILENAME,), answer_type=BYTES),
    **{
        f"GET /{{L}}/{{}}/attachments/{{}}/{name}": TEXT_OUT
        for name in ("size", "md5", "compressed-size", "compressed-md5", "is-compressed")
    },
    "GET /{L}/{}/labels/{}": DONE,
    "PUT /{L}/{}/labels/{}": DONE,
    "DELETE /{L}/{}/labels/{}": DONE,
    "GET /{L}/{}/protected": TEXT_OUT,
    "PUT /{L}/{}/protected": _SWITCH,
    # search
    "POST /tools/find": Operation(body=FIND, answer=list_of({})),
    "POST /tools/count-resources": Operation(
        body=members(("Level", "Query"), **_FIND), answer=members(("Count",), Count=COUNT)
    ),
    "POST /tools/lookup": Operation(body=STRING, body_type=TEXT, answer=list_of(OBJECT)),
    "POST /tools/bulk-content": Operation(body=_BULK, answer=list_of(OBJECT)),
    "POST /tools/bulk-delete": Operation(body=RESOURCES),
    # tracking
    "GET /changes": Operation(
        (
            *PAGE,
            Query("to", COUNT, "Not beyond this number"),
            Query("type", STRING, "Types of changes, separated by semicolons"),
            _flag("last", "The last one only"),
        )
    ),
    "DELETE /changes": DONE,
    "GET /exports": Operation((*PAGE, _flag("last", "The last one only"))),
    "DELETE /exports": DONE,
    "GET /jobs": Operation(
        (
            EXPAND,
            Query("state", STRING, "Only jobs in one of these states, separated by commas"),
            Query("type", STRING, "Only jobs of one of these types, separated by commas"),
            Query("limit", COUNT, "Only the newest so many, the newest first"),
        )
    ),
    "GET /jobs/events": Operation(
        (
            Query("job", STRING, "Of this job only"),
            Query("since", COUNT, "Behind the event of this number, as with Last-Event-ID"),
        ),
        answer_type="text/event-stream",
    ),
    "DELETE /jobs/{}": DONE,
    "GET /jobs/{}/{}": ZIP,
    "DELETE /jobs/{}/{}": DONE,
    # archives
    "GET /{L}/{}/archive": Operation((FILENAME, TRANSCODE, QUALITY), answer_type=ARCHIVE),
    "GET /{L}/{}/media": Operation(
        (FILENAME, TRANSCODE, QUALITY, _flag("extended", "More tags in the DICOMDIR")),
        answer_type=ARCHIVE,
    ),
    "POST /tools/create-dicom": Operation(body=CREATE, answer=OBJECT),
    "POST /{L}/{}/archive": Operation(body=_ARCHIVE, answer_type=ARCHIVE),
    "POST /{L}/{}/media": Operation(body=_ARCHIVE, answer_type=ARCHIVE),
    **{
        f"GET /tools/create-{name}": Operation(
            (
                Query("resources", STRING, "Identifiers, separated by commas"),
                FILENAME,
                TRANSCODE,
                QUALITY,
            ),
            answer_type=ARCHIVE,
        )
        for name in ("archive", "media", "media-extended")
    },
    **{
        f"POST /tools/create-{name}": Operation(
            body={"oneOf": [list_of(ID), {**_ARCHIVE, "required": ["Resources"]}]},
            answer_type=ARCHIVE,
        )
        for name in ("archive", "media", "media-extended")
    },
    # new resources of stored ones
    "POST /instances/{}/modify": Operation(body=members((), **_MODIFY), answer_type=DICOM),
    "POST /instances/{}/anonymize": Operation(body=members((), **_ANONYMIZE), answer_type=DICOM),
    **{
        f"POST /{{L}}/{{}}/{name}": Operation(
            body=members((), **_EDIT_MANY, **fields), answer=OBJECT
        )
        for name, fields in (("modify", _MODIFY), ("anonymize", _ANONYMIZE))
    },
    **{
        f"POST /tools/bulk-{name}": Operation(
            body=members(
                ("Resources",), Resources=list_of(ID), Level=_LEVEL, **_EDIT_MANY, **fields
            ),
            answer=OBJECT,
        )
        for name, fields in (("modify", _MODIFY), ("anonymize", _ANONYMIZE))
    },
    "POST /{L}/{}/split": Operation(
        body=members(
            (), Series=list_of(ID), Instances=list_of(ID), Replace=OBJECT, Remove=_TAGS, **_REGROUP
        ),
        answer=OBJECT,
    ),
    "POST /{L}/{}/merge": Operation(
        body=members(("Resources",), Resources=list_of(ID), **_REGROUP), answer=OBJECT
    ),
    # where files are
    "POST /move-storage": Operation(body=_MOVE, answer=OBJECT),
    "GET /{L}/{}/storage": Operation(answer=OBJECT),
    # modalities
    "GET /modalities": Operation((EXPAND,)),
    "PUT /modalities/{}": Operation(body=_MODALITY, answer_type=TEXT),
    "DELETE /modalities/{}": DONE,
    "POST /modalities/{}/echo": Operation(body=_ECHO, answer=OBJECT),
    "POST /modalities/{}/store": Operation(body=_MODALITY_STORE, answer=OBJECT),
    "POST /modalities/{}/store-straight": Operation(
        body={},
        body_type=BYTES,
        answer=members(
            ("SOPClassUID", "SOPInstanceUID"), SOPClassUID=STRING, SOPInstanceUID=STRING
        ),
    ),
    "POST /tools/dicom-echo": Operation(body=_MODALITY_ECHO, answer=OBJECT),
    # storage commitment
    "POST /modalities/{}/storage-commitment": Operation(
        body=members(
            Resources=list_of(ID),
            DicomInstances=list_of({"oneOf": [_SOP_INSTANCE, _SOP_INSTANCE_AS_LIST]}),
            Timeout={**COUNT, "description": "Seconds; 0 = for ever"},
        ),
        answer=members(("ID", "Path"), ID=STRING, Path=STRING),
    ),
    "GET /storage-commitment/{}": Operation(
        answer=members(
            ("RemoteAET", "Status"),
            RemoteAET=STRING,
            Status=one_of("Pending", "Success", "Failure"),
            Success=list_of(_SOP_INSTANCE),
            Failures=list_of(_NOT_COMMITTED),
        )
    ),
    "POST /storage-commitment/{}/remove": Operation(body={}, body_type=BYTES),
    # peers and transfers
    "GET /peers": Operation((EXPAND,)),
    "PUT /peers/{}": Operation(body=_PEER, answer_type=TEXT),
    "DELETE /peers/{}": DONE,
    "POST /peers/{}/store": Operation(body=_STORE),
    "POST /peers/{}/store-straight": Operation(body={}, body_type=BYTES),
    # modalities and queries
    "POST /modalities/{}/query": Operation(body=_MODALITY_QUERY, answer=_ASKED),
    "POST /modalities/{}/find-worklist": Operation(body=_WORKLIST, answer=list_of(OBJECT)),
    **{
        f"POST /modalities/{{}}/{name}": Operation(body=_QUERY, answer=list_of(OBJECT))
        for name in ("find", "find-patient", "find-study", "find-series", "find-instance")
    },
    "POST /modalities/{}/move": Operation(body=_MOVED),
    "POST /modalities/{}/get": Operation(body=_NAMED),
    "POST /queries/{}/retrieve": Operation(body=_RETRIEVE),
    "POST /queries/{}/answers/{}/retrieve": Operation(body=_RETRIEVE),
    "GET /queries": Operation((EXPAND,), answer=list_of({})),
    "GET /queries/{}": Operation(answer=list_of(STRING)),
    "DELETE /queries/{}": DONE,
    "GET /queries/{}/level": TEXT_OUT,
    "GET /queries/{}/modality": TEXT_OUT,
    "GET /queries/{}/query": Operation(_ANSWER_FORM, answer=OBJECT),
    "GET /queries/{}/answers": Operation((EXPAND, *_ANSWER_FORM), answer=list_of({})),
    "GET /queries/{}/answers/{}": Operation(answer=list_of(STRING)),
    "GET /queries/{}/answers/{}/content": Operation(_ANSWER_FORM, answer=OBJECT),
    **{
        f"POST /queries/{{}}/answers/{{}}/query-{name}": Operation(body=_CHILD_QUERY, answer=_ASKED)
        for name in ("studies", "series", "instances")
    },
    "GET /worklists": Operation((WORKLIST_FORM,), answer=list_of(_WORKLIST)),
    "GET /worklists/{}": Operation((WORKLIST_FORM,), answer=_WORKLIST),
    "PUT /worklists/{}": Operation(body=_WORKLIST_TAGS),
    "POST /worklists/create": Operation(body=_WORKLIST_TAGS),
    "POST /transfers/inventory": Operation(
        body=members(("Instances",), Instances=list_of(_TRANSFER_INSTANCE)),
        answer=members(("Missing",), Missing=STRING),
    ),
    "POST /transfers/lookup": Operation(body=list_of(_TRANSFER_RESOURCE)),
    "GET /transfers/chunks/{}": Operation(
        (
            Query("offset", COUNT, "First byte"),
            Query("size", COUNT, "Number of bytes"),
            Query("compression", one_of("none", "gzip"), "Of the answer"),
        ),
        answer_type=BYTES,
    ),
    "POST /transfers/push": Operation(
        body=members(
            ("Instances", "Buckets", "Compression"),
            Instances=list_of(_TRANSFER_INSTANCE),
            Buckets=list_of(
                list_of(members(("ID", "Offset", "Size"), ID=ID, Offset=COUNT, Size=COUNT))
            ),
            Compression=one_of("none", "gzip"),
        )
    ),
    "GET /transfers/peers": Operation((EXPAND,), answer=OBJECT),
    "GET /transfers/receipts": Operation(PAGE, answer=OBJECT),
    "GET /transfers/receipts/{}": Operation(answer=OBJECT),
    "GET /transfers/receipts/key": Operation(answer=OBJECT),
    "PUT /transfers/push/{}/{}": Operation(body={}, body_type=BYTES),
    "POST /transfers/send": Operation(body=_TRANSFER),
    "POST /transfers/pull": Operation(body=_TRANSFER),
    # tools
    "GET /tools/now": TEXT_OUT,
    "GET /tools/now-local": TEXT_OUT,
    "GET /tools/generate-uid": Operation(
        (Query("level", one_of("patient", "study", "series", "instance"), "Of what"),),
        answer=STRING,
        answer_type=TEXT,
    ),
    "GET /tools/default-encoding": TEXT_OUT,
    "PUT /tools/default-encoding": _word(*ENCODINGS),
    "GET /tools/dicom-conformance": TEXT_OUT,
    "POST /tools/invalidate-tags": DONE,
    "POST /tools/execute-script": Operation(body=STRING, body_type=TEXT, answer_type=TEXT),
    "GET /tools/log-level": TEXT_OUT,
    "PUT /tools/log-level": _LOG_LEVEL,
    **{f"GET /tools/log-level-{category}": TEXT_OUT for category in CATEGORIES},
    **{f"PUT /tools/log-level-{category}": _LOG_LEVEL for category in CATEGORIES},
    "GET /tools/metrics": TEXT_OUT,
    "PUT /tools/metrics": _SWITCH,
    "GET /tools/metrics-prometheus": TEXT_OUT,
    "GET /tools/accepted-transfer-syntaxes": Operation(answer=list_of(STRING)),
    "PUT /tools/accepted-transfer-syntaxes": Operation(
        body=list_of(STRING), answer=list_of(STRING)
    ),
    "GET /tools/accepted-sop-classes": Operation(answer=list_of(STRING)),
    "GET /tools/unknown-sop-class-accepted": TEXT_OUT,
    "PUT /tools/unknown-sop-class-accepted": _SWITCH,
}
