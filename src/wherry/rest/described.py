"""What the routes take and give, beyond their paths and docstrings: the table behind
``/openapi.json``.

The keys are ``METHOD path`` with ``{L}`` for one of the four levels and ``{}`` for any other
parameter. A route without a line takes nothing behind its question mark and no body, and answers
with JSON; a line without a route makes a test fail.

Not here: the schemas (``payloads``), how the document is put together (``openapi``).
"""

from __future__ import annotations

from typing import Final

from wherry.dicom.charsets import ENCODINGS
from wherry.logs import CATEGORIES
from wherry.rest.payloads import (
    ANONYMIZE,
    ANSWER_FORM,
    ARCHIVE,
    ARCHIVE_ORDER,
    ASKED,
    BOOLEAN,
    BULK,
    BYTES,
    CHILD_QUERY,
    CHILDREN,
    COUNT,
    CREATE,
    DICOM,
    DONE,
    ECHO,
    EDIT_MANY,
    EXPAND,
    FILE,
    FILENAME,
    FIND,
    FIND_TERMS,
    ID,
    IGNORE_LENGTH,
    IMAGES,
    LEVEL,
    LOG_LEVEL,
    MODALITY,
    MODALITY_ECHO,
    MODALITY_QUERY,
    MODALITY_STORE,
    MODIFY,
    MOVE,
    MOVED,
    NAMED,
    NOT_COMMITTED,
    OBJECT,
    PAGE,
    PEER,
    QUALITY,
    QUERY,
    REGROUP,
    RESOURCES,
    RETRIEVE,
    SHOWN,
    SIMPLE,
    SOP_INSTANCE,
    SOP_INSTANCE_AS_LIST,
    STORE,
    STRING,
    SWITCH,
    TAGS,
    TEXT,
    TEXT_OUT,
    TRANSCODE,
    TRANSFER,
    TRANSFER_INSTANCE,
    TRANSFER_RESOURCE,
    WHOLE,
    WORKLIST,
    WORKLIST_FORM,
    WORKLIST_QUERY,
    WORKLIST_TAGS,
    ZIP,
    Operation,
    Query,
    list_of,
    members,
    one_of,
    switch,
    word,
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
        for name, operation in IMAGES.items()
    },
    "POST /{L}/{}/export": Operation(body=STRING, body_type=TEXT),
    # metadata, attachments, labels
    "GET /{L}/{}/metadata": Operation((EXPAND, switch("numeric", "Numbers instead of names"))),
    "GET /{L}/{}/metadata/{}": TEXT_OUT,
    "PUT /{L}/{}/metadata/{}": Operation(body=STRING, body_type=TEXT, answer_type=TEXT),
    "DELETE /{L}/{}/metadata/{}": DONE,
    "GET /{L}/{}/attachments": Operation((switch("full", "Numbers beside the names"),)),
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
    "PUT /{L}/{}/protected": SWITCH,
    # search
    "POST /tools/find": Operation(body=FIND, answer=list_of({})),
    "POST /tools/count-resources": Operation(
        body=members(("Level", "Query"), **FIND_TERMS), answer=members(("Count",), Count=COUNT)
    ),
    "POST /tools/lookup": Operation(body=STRING, body_type=TEXT, answer=list_of(OBJECT)),
    "POST /tools/bulk-content": Operation(body=BULK, answer=list_of(OBJECT)),
    "POST /tools/bulk-delete": Operation(body=RESOURCES),
    # tracking
    "GET /changes": Operation(
        (
            *PAGE,
            Query("to", COUNT, "Not beyond this number"),
            Query("type", STRING, "Types of changes, separated by semicolons"),
            switch("last", "The last one only"),
        )
    ),
    "DELETE /changes": DONE,
    "GET /exports": Operation((*PAGE, switch("last", "The last one only"))),
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
        (FILENAME, TRANSCODE, QUALITY, switch("extended", "More tags in the DICOMDIR")),
        answer_type=ARCHIVE,
    ),
    "POST /tools/create-dicom": Operation(body=CREATE, answer=OBJECT),
    "POST /{L}/{}/archive": Operation(body=ARCHIVE_ORDER, answer_type=ARCHIVE),
    "POST /{L}/{}/media": Operation(body=ARCHIVE_ORDER, answer_type=ARCHIVE),
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
            body={"oneOf": [list_of(ID), {**ARCHIVE_ORDER, "required": ["Resources"]}]},
            answer_type=ARCHIVE,
        )
        for name in ("archive", "media", "media-extended")
    },
    # new resources of stored ones
    "POST /instances/{}/modify": Operation(body=members((), **MODIFY), answer_type=DICOM),
    "POST /instances/{}/anonymize": Operation(body=members((), **ANONYMIZE), answer_type=DICOM),
    **{
        f"POST /{{L}}/{{}}/{name}": Operation(
            body=members((), **EDIT_MANY, **fields), answer=OBJECT
        )
        for name, fields in (("modify", MODIFY), ("anonymize", ANONYMIZE))
    },
    **{
        f"POST /tools/bulk-{name}": Operation(
            body=members(("Resources",), Resources=list_of(ID), Level=LEVEL, **EDIT_MANY, **fields),
            answer=OBJECT,
        )
        for name, fields in (("modify", MODIFY), ("anonymize", ANONYMIZE))
    },
    "POST /{L}/{}/split": Operation(
        body=members(
            (), Series=list_of(ID), Instances=list_of(ID), Replace=OBJECT, Remove=TAGS, **REGROUP
        ),
        answer=OBJECT,
    ),
    "POST /{L}/{}/merge": Operation(
        body=members(("Resources",), Resources=list_of(ID), **REGROUP), answer=OBJECT
    ),
    # where files are
    "POST /move-storage": Operation(body=MOVE, answer=OBJECT),
    "GET /{L}/{}/storage": Operation(answer=OBJECT),
    # modalities
    "GET /modalities": Operation((EXPAND,)),
    "PUT /modalities/{}": Operation(body=MODALITY, answer_type=TEXT),
    "DELETE /modalities/{}": DONE,
    "POST /modalities/{}/echo": Operation(body=ECHO, answer=OBJECT),
    "POST /modalities/{}/store": Operation(body=MODALITY_STORE, answer=OBJECT),
    "POST /modalities/{}/store-straight": Operation(
        body={},
        body_type=BYTES,
        answer=members(
            ("SOPClassUID", "SOPInstanceUID"), SOPClassUID=STRING, SOPInstanceUID=STRING
        ),
    ),
    "POST /tools/dicom-echo": Operation(body=MODALITY_ECHO, answer=OBJECT),
    # storage commitment
    "POST /modalities/{}/storage-commitment": Operation(
        body=members(
            Resources=list_of(ID),
            DicomInstances=list_of({"oneOf": [SOP_INSTANCE, SOP_INSTANCE_AS_LIST]}),
            Timeout={**COUNT, "description": "Seconds; 0 = for ever"},
        ),
        answer=members(("ID", "Path"), ID=STRING, Path=STRING),
    ),
    "GET /storage-commitment/{}": Operation(
        answer=members(
            ("RemoteAET", "Status"),
            RemoteAET=STRING,
            Status=one_of("Pending", "Success", "Failure"),
            Success=list_of(SOP_INSTANCE),
            Failures=list_of(NOT_COMMITTED),
        )
    ),
    "POST /storage-commitment/{}/remove": Operation(body={}, body_type=BYTES),
    # peers and transfers
    "GET /peers": Operation((EXPAND,)),
    "PUT /peers/{}": Operation(body=PEER, answer_type=TEXT),
    "DELETE /peers/{}": DONE,
    "POST /peers/{}/store": Operation(body=STORE),
    "POST /peers/{}/store-straight": Operation(body={}, body_type=BYTES),
    # modalities and queries
    "POST /modalities/{}/query": Operation(body=MODALITY_QUERY, answer=ASKED),
    "POST /modalities/{}/find-worklist": Operation(body=WORKLIST_QUERY, answer=list_of(OBJECT)),
    **{
        f"POST /modalities/{{}}/{name}": Operation(body=QUERY, answer=list_of(OBJECT))
        for name in ("find", "find-patient", "find-study", "find-series", "find-instance")
    },
    "POST /modalities/{}/move": Operation(body=MOVED),
    "POST /modalities/{}/get": Operation(body=NAMED),
    "POST /queries/{}/retrieve": Operation(body=RETRIEVE),
    "POST /queries/{}/answers/{}/retrieve": Operation(body=RETRIEVE),
    "GET /queries": Operation((EXPAND,), answer=list_of({})),
    "GET /queries/{}": Operation(answer=list_of(STRING)),
    "DELETE /queries/{}": DONE,
    "GET /queries/{}/level": TEXT_OUT,
    "GET /queries/{}/modality": TEXT_OUT,
    "GET /queries/{}/query": Operation(ANSWER_FORM, answer=OBJECT),
    "GET /queries/{}/answers": Operation((EXPAND, *ANSWER_FORM), answer=list_of({})),
    "GET /queries/{}/answers/{}": Operation(answer=list_of(STRING)),
    "GET /queries/{}/answers/{}/content": Operation(ANSWER_FORM, answer=OBJECT),
    **{
        f"POST /queries/{{}}/answers/{{}}/query-{name}": Operation(body=CHILD_QUERY, answer=ASKED)
        for name in ("studies", "series", "instances")
    },
    "GET /worklists": Operation((WORKLIST_FORM,), answer=list_of(WORKLIST)),
    "GET /worklists/{}": Operation((WORKLIST_FORM,), answer=WORKLIST),
    "PUT /worklists/{}": Operation(body=WORKLIST_TAGS),
    "POST /worklists/create": Operation(body=WORKLIST_TAGS),
    "POST /transfers/inventory": Operation(
        body=members(("Instances",), Instances=list_of(TRANSFER_INSTANCE)),
        answer=members(("Missing",), Missing=STRING),
    ),
    "POST /transfers/lookup": Operation(body=list_of(TRANSFER_RESOURCE)),
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
            Instances=list_of(TRANSFER_INSTANCE),
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
    "POST /transfers/send": Operation(body=TRANSFER),
    "POST /transfers/pull": Operation(body=TRANSFER),
    # tools
    "GET /tools/now": TEXT_OUT,
    "GET /tools/now-local": TEXT_OUT,
    "GET /tools/generate-uid": Operation(
        (Query("level", one_of("patient", "study", "series", "instance"), "Of what"),),
        answer=STRING,
        answer_type=TEXT,
    ),
    "GET /tools/default-encoding": TEXT_OUT,
    "PUT /tools/default-encoding": word(*ENCODINGS),
    "GET /tools/dicom-conformance": TEXT_OUT,
    "POST /tools/invalidate-tags": DONE,
    "POST /tools/execute-script": Operation(body=STRING, body_type=TEXT, answer_type=TEXT),
    "GET /tools/log-level": TEXT_OUT,
    "PUT /tools/log-level": LOG_LEVEL,
    **{f"GET /tools/log-level-{category}": TEXT_OUT for category in CATEGORIES},
    **{f"PUT /tools/log-level-{category}": LOG_LEVEL for category in CATEGORIES},
    "GET /tools/metrics": TEXT_OUT,
    "PUT /tools/metrics": SWITCH,
    "GET /tools/metrics-prometheus": TEXT_OUT,
    "GET /tools/accepted-transfer-syntaxes": Operation(answer=list_of(STRING)),
    "PUT /tools/accepted-transfer-syntaxes": Operation(
        body=list_of(STRING), answer=list_of(STRING)
    ),
    "GET /tools/accepted-sop-classes": Operation(answer=list_of(STRING)),
    "GET /tools/unknown-sop-class-accepted": TEXT_OUT,
    "PUT /tools/unknown-sop-class-accepted": SWITCH,
}
