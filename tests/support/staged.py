"""Staged instances made of thin air, for tests of the index: no file, no DICOM."""

from __future__ import annotations

from uuid import uuid4

from wherry.dicom.identifiers import identifiers
from wherry.model import Attachment, Origin, StagedInstance, Summary


def staged(
    patient: str = "P1",
    study: str = "1.2.1",
    series: str = "1.2.1.1",
    sop: str = "1.2.1.1.1",
    *,
    size: int = 1000,
    uuid: str | None = None,
    tags: tuple[dict[str, str], dict[str, str], dict[str, str], dict[str, str]] | None = None,
    origin: Origin | None = None,
) -> StagedInstance:
    """One instance. ``tags`` are added to those that follow from the other arguments."""
    more = tags or ({}, {}, {}, {})
    md5 = f"{size:032x}"
    return StagedInstance(
        summary=Summary(
            identifiers=identifiers(patient, study, series, sop),
            tags=(
                {"0010,0020": patient, "0010,0010": "DOE^JANE"} | more[0],
                {"0020,000d": study, "0008,0020": "20240131"} | more[1],
                {"0020,000e": series, "0008,0060": "CT"} | more[2],
                {"0008,0018": sop} | more[3],
            ),
            transfer_syntax="1.2.840.10008.1.2.1",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            pixel_data_offset=1024,
        ),
        attachment=Attachment(
            uuid=uuid or str(uuid4()),
            content_type=1,
            uncompressed_size=size,
            uncompressed_md5=md5,
            compressed_size=size,
            compressed_md5=md5,
        ),
        origin=origin or Origin("RestApi", "127.0.0.1", "alice"),
        reception_date="20240131T101112",
    )


def study(count: int, *, name: str = "1.2.7", series_size: int = 100) -> list[StagedInstance]:
    """A study of ``count`` instances in series of ``series_size``; numbered from 1."""
    return [
        staged(
            study=name,
            series=f"{name}.{number // series_size}",
            sop=f"{name}.{number // series_size}.{number}",
            tags=({}, {}, {}, {"0020,0013": str(number % series_size + 1)}),
        )
        for number in range(count)
    ]
