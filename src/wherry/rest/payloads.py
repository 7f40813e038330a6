"""The words of the table of routes: schemas of bodies and answers, and what stands behind a
question mark, each said once.

Not here: which route takes which (``described``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from wherry.dicom.editing.profiles import EDITIONS
from wherry.logs import Verbosity
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


def switch(name: str, about: str) -> Query:
    """An argument that is given or not."""
    return Query(name, BOOLEAN, about)


EXPAND = switch("expand", "Contents instead of names")
FORM = (
    switch("short", "Tags as gggg,eeee"),
    switch("full", "Tags as gggg,eeee with name and type"),
)
REQUESTED = Query("requested-tags", STRING, "Tags to add, separated by semicolons")
CONTENT = Query("response-content", STRING, "The only parts to show, separated by semicolons")
PAGE = (
    Query("since", COUNT, "Skip so many"),
    Query("limit", COUNT, "At most so many"),
)
IGNORE_LENGTH = Query("ignore-length", STRING, "A tag to show whatever its length")
WHOLE = switch("whole", "Also what lies behind the pixel data")
SIMPLE = (switch("simplify", "Keywords and bare values"), FORM[0], IGNORE_LENGTH)
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
TAGS = list_of({**STRING, "description": "A tag, or a path such as Sequence[0].Tag"})
_EDIT: Final[dict[str, type_schema]] = {
    "Replace": {"type": "object", "description": "Tag or path → text, items or data URI"},
    "Remove": TAGS,
    "Keep": TAGS,
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
EDIT_MANY: Final[dict[str, type_schema]] = {
    **_JOB,
    "KeepSource": {**BOOLEAN, "description": "true"},
    "KeepLabels": BOOLEAN,
    "LossyQuality": COUNT,
}
REGROUP: Final[dict[str, type_schema]] = {
    **_JOB,
    "KeepSource": {**BOOLEAN, "description": "false"},
    "KeepLabels": BOOLEAN,
}
MODIFY: Final[dict[str, type_schema]] = {**_EDIT, "RemovePrivateTags": BOOLEAN}
ANONYMIZE: Final[dict[str, type_schema]] = {
    **_EDIT,
    "KeepPrivateTags": BOOLEAN,
    "DicomVersion": one_of(*EDITIONS),
}

_QUALITY = Query("quality", COUNT, "Of a JPEG, 1 to 100")
_UNSUPPORTED = switch("returnUnsupportedImage", "Redirect to a picture that says so; else 415")
_PICTURE = Operation((_QUALITY, _UNSUPPORTED), answer_type="image/png")
IMAGES = {
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
            switch("smooth", "Smooth what gets smaller"),
        ),
        answer_type="image/png",
    ),
    "matlab": TEXT_OUT,
    "numpy": Operation(
        (
            switch("rescale", "Values of the modality, as floating point; default true"),
            switch("compress", "As .npz"),
        ),
        answer_type=BYTES,
    ),
}

WORKLIST_FORM = Query("format", one_of("Simplify", "Short", "Full"), "How tags are spelt")
WORKLIST = members(("ID", "Path", "Tags"), ID=STRING, Path=STRING, Tags=OBJECT)
WORKLIST_TAGS = members(("Tags",), Tags=OBJECT)

QUERY: Final[type_schema] = {
    "type": "object",
    "description": "What DICOM tags must be: keyword or gggg,eeee → value, with * ? \\ and -",
    "propertyNames": {"pattern": "^([A-Z][A-Za-z0-9]*|[0-9A-Fa-f]{4}[,-]?[0-9A-Fa-f]{4})$"},
    "additionalProperties": STRING,
}
FIND_TERMS = {
    "Level": one_of("Patient", "Study", "Series", "Instance"),
    "Query": QUERY,
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
    **FIND_TERMS,
    Expand=BOOLEAN,
    Full=BOOLEAN,
    Short=BOOLEAN,
    Limit=COUNT,
    Since=COUNT,
    OrderBy=list_of(_ORDER),
    RequestedTags=list_of(STRING),
    ResponseContent=list_of(one_of(*_CONTENTS)),
)
BULK = members(
    ("Resources",),
    Resources=list_of(ID),
    Level=one_of("Patient", "Study", "Series", "Instance"),
    Metadata=BOOLEAN,
    Full=BOOLEAN,
    Short=BOOLEAN,
)
PEER = members(
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
MODALITY = {"oneOf": [members(_REQUIRED, **_MODALITY_MEMBERS), _MODALITY_LIST]}
ECHO = members(CheckFind=BOOLEAN, Timeout=COUNT)
MODALITY_ECHO = {
    "oneOf": [members(_REQUIRED, **_MODALITY_MEMBERS, CheckFind=BOOLEAN), _MODALITY_LIST]
}
MODALITY_STORE = {
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
TRANSFER_RESOURCE = members(
    ("Level", "ID"), Level=one_of("Patient", "Study", "Series", "Instance"), ID=ID
)
TRANSFER_INSTANCE = members(("ID", "Size"), ID=ID, Size=COUNT, MD5=STRING, BLAKE3=STRING)
TRANSFER = members(
    ("Resources", "Compression", "Peer"),
    Resources=list_of(TRANSFER_RESOURCE),
    Compression=one_of("none", "gzip"),
    Peer=STRING,
    Priority={"type": "integer"},
    SenderTransferID=STRING,
)
ARCHIVE_ORDER = members(
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
STORE = {
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


MOVE = members(
    ("Resources", "TargetStorage"),
    Resources=list_of(ID),
    TargetStorage=one_of("file-system", "object-storage"),
    Asynchronous=BOOLEAN,
    Synchronous=BOOLEAN,
    Priority={"type": "integer"},
    UserData={},
)
LEVEL = one_of("Patient", "Study", "Series", "Instance")
_TIMEOUT = {"type": "integer", "minimum": 0, "description": "Seconds of silence; 0 = for ever"}
ANSWER_FORM = (
    switch("simplify", "Keywords and bare values"),
    switch("short", "Tags as gggg,eeee and bare values"),
)
ASKED = members(("ID", "Path"), ID=STRING, Path=STRING)
MODALITY_QUERY = members(
    ("Level",),
    Level=LEVEL,
    Query=QUERY,
    Normalize={**BOOLEAN, "description": "Leave out what means nothing at the level (true)"},
    LocalAet=STRING,
    Timeout=_TIMEOUT,
)
CHILD_QUERY = members(Query=QUERY, Timeout=_TIMEOUT)
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
RETRIEVE = {
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
NAMED = members(
    ("Level", "Resources"),
    Level=LEVEL,
    Resources=list_of(QUERY),
    LocalAet=STRING,
    **_JOB_OPTIONS,
)
MOVED = {
    **NAMED,
    "properties": {**NAMED["properties"], "TargetAet": {"type": "string", "maxLength": 16}},
}
WORKLIST_QUERY = members(
    Query={"type": "object", "description": "Tags; lists of objects for sequences"},
    Full=BOOLEAN,
    Short=BOOLEAN,
)


def word(*values: str) -> Operation:
    """A setting of one word."""
    return Operation(body=one_of(*values), body_type=TEXT, answer_type=TEXT)


LOG_LEVEL = word(*Verbosity)
SWITCH = word("0", "1")

SOP_INSTANCE: Final = members(
    ("SOPClassUID", "SOPInstanceUID"), SOPClassUID=STRING, SOPInstanceUID=STRING
)
SOP_INSTANCE_AS_LIST: Final = {**list_of(STRING), "minItems": 2, "maxItems": 2}
NOT_COMMITTED: Final = members(
    ("SOPClassUID", "SOPInstanceUID", "FailureReason", "Description"),
    SOPClassUID=STRING,
    SOPInstanceUID=STRING,
    FailureReason=COUNT,
    Description=STRING,
)
