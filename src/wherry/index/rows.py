"""The rows of one staged instance in each table: columns and values, side by side.

Not here: which of them are written (``adding``).
"""

from __future__ import annotations

import orjson

from wherry import clock
from wherry.errors import BadFileFormat
from wherry.index import completeness
from wherry.index.keys import COLUMNS, STUDY_PATIENT_COLUMNS, column_keys, level_keys
from wherry.model import Attachment, Level, StagedInstance

type_row = tuple[object, ...]

PATIENT = ("id", "orthanc_id", "tags", "unprotected_at", *COLUMNS[Level.PATIENT].values())
STUDY = (
    "id",
    "parent",
    "orthanc_id",
    "tags",
    "patient_tags",
    *COLUMNS[Level.STUDY].values(),
    *STUDY_PATIENT_COLUMNS.values(),
)
SERIES = (
    "id",
    "parent",
    "orthanc_id",
    "tags",
    "expected_instances",
    "remote_aet",
    *COLUMNS[Level.SERIES].values(),
)
INSTANCE = (
    "id",
    "parent",
    "orthanc_id",
    "tags",
    "transfer_syntax",
    "sop_class_uid",
    "pixel_data_offset",
    "index_in_series",
    "reception_date",
    "origin",
    "remote_ip",
    "remote_aet",
    "called_aet",
    "username",
    *COLUMNS[Level.INSTANCE].values(),
)
ATTACHMENT = (
    "resource",
    "content_type",
    "uuid",
    "uncompressed_size",
    "uncompressed_md5",
    "compressed_size",
    "compressed_md5",
    "compression",
    "place",
    "revision",
    "uncompressed_blake3",
    "compressed_blake3",
)


def patient(staged: StagedInstance, row: int) -> type_row:
    """Of ``patients``."""
    tags = staged.summary.tags[0]
    ids = staged.summary.identifiers
    return (row, ids.patient, tags_text(tags), clock.timestamp(), *level_keys(Level.PATIENT, tags))


def study(staged: StagedInstance, row: int, parent: int) -> type_row:
    """Of ``studies``."""
    summary = staged.summary
    tags = summary.tags[1]
    return (
        row,
        parent,
        summary.identifiers.study,
        tags_text(tags),
        tags_text(summary.tags[0]),
        *level_keys(Level.STUDY, tags),
        *column_keys(STUDY_PATIENT_COLUMNS, summary.tags[0]),
    )


def series(staged: StagedInstance, row: int, parent: int) -> type_row:
    """Of ``series``."""
    tags = staged.summary.tags[2]
    return (
        row,
        parent,
        staged.summary.identifiers.series,
        tags_text(tags),
        expected_instances(staged),
        staged.origin.remote_aet,
        *level_keys(Level.SERIES, tags),
    )


def instance(staged: StagedInstance, row: int, parent: int) -> type_row:
    """Of ``instances``."""
    summary, origin = staged.summary, staged.origin
    tags = summary.tags[3]
    return (
        row,
        parent,
        summary.identifiers.instance,
        tags_text(tags),
        summary.transfer_syntax,
        summary.sop_class_uid,
        summary.pixel_data_offset,
        completeness.index_in_series(tags),
        staged.reception_date,
        origin.kind,
        origin.remote_ip,
        origin.remote_aet,
        origin.called_aet,
        origin.username,
        *level_keys(Level.INSTANCE, tags),
    )


def attachment(file: Attachment, resource: int) -> type_row:
    """Of ``attachments``."""
    return (
        resource,
        file.content_type,
        file.uuid,
        file.uncompressed_size,
        file.uncompressed_md5,
        file.compressed_size,
        file.compressed_md5,
        file.compression,
        file.place,
        file.revision,
        file.uncompressed_blake3,
        file.compressed_blake3,
    )


def expected_instances(staged: StagedInstance) -> int | None:
    """How many instances the series announces."""
    return completeness.expected_instances(staged.summary.tags)


def tags_text(tags: dict[str, str]) -> str:
    """The column ``tags``. Raises ``BadFileFormat``."""
    try:
        return orjson.dumps(tags).decode()
    except TypeError as error:
        raise BadFileFormat("A main DICOM tag is not valid Unicode") from error
