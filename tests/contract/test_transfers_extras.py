"""Receiving what travels beside the instances, on every index: with them, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.contract.test_transfers_reception import House, Study, put_all
from tests.support.areas import Area
from tests.support.dicom_files import make_series
from wherry import clock, limits
from wherry.dicom.scan import scan
from wherry.errors import (
    CorruptedFile,
    DatabaseUnavailable,
    NoRoom,
    ParameterOutOfRange,
    StorageFull,
    TooLarge,
    Unavailable,
    UnknownResource,
)
from wherry.index import extras, labels, metadata, transfer_extras
from wherry.index.database import Index
from wherry.index.extras import Extras
from wherry.index.recycling import Bounds
from wherry.model import Attachment, Compression, Level
from wherry.storage.content import open_content
from wherry.transfers.declaring import Quota
from wherry.transfers.extras import Names, enclose

FILES = make_series(3)
IDS = scan(FILES[0]).identifiers
REPORT, LARGE = b"%PDF report", bytes(range(256)) * 2000
NONE = Names({}, {})


@pytest.fixture(params=[Compression.NONE, Compression.ZLIB], ids=["plain", "packed"])
def house(index: Index, area: Area, request: pytest.FixtureRequest) -> Iterator[House]:
    house = House(index, area, compression=request.param)
    yield house
    house.ingest.close()


def told(number: int, data: bytes) -> Attachment:
    md5 = hashlib.md5(data).hexdigest()
    return Attachment("", number, len(data), md5, len(data), md5)


STUDY = Extras(
    Level.STUDY, IDS.study, {1024: "x"}, ("urgent",), (told(1100, REPORT), told(1101, LARGE))
)


def opened(house: House, *brought: Extras, study: Study | None = None) -> str:
    """A push with all its buckets; what it brings besides is declared."""
    study = study or Study(FILES)
    transfer = house.reception.open_push(study.manifest)
    put_all(house, study, transfer)
    declare(house, transfer, *brought)
    return transfer


def declare(house: House, transfer: str, *brought: Extras) -> list[int]:
    return house.reception.extras.declare(transfer, enclose(brought, NONE), brought)


def attach(house: House, transfer: str, position: int, data: bytes) -> None:
    incoming = house.reception.extras.attachment(transfer, position)
    try:
        for start in range(0, len(data), 100_000):
            incoming.write(data[start : start + 100_000])
        incoming.finish()
    finally:
        incoming.abort()


def found(house: House) -> list[Extras]:
    with house.index.read() as tx:
        return extras.around(tx, [IDS.instance])


def bytes_of(house: House, attachment: Attachment) -> bytes:
    reader = open_content(house.storage, attachment)
    try:
        return reader.read_at(0, reader.size)
    finally:
        reader.close()


def test_it_becomes_visible_with_the_instances(house: House) -> None:
    transfer = opened(house, STUDY)
    attach(house, transfer, 1, LARGE)
    with pytest.raises(CorruptedFile, match="attachment 1100 was not sent"):
        house.reception.commit(transfer)
    attach(house, transfer, 0, REPORT)
    assert found(house) == []
    with house.index.read() as tx:
        assert labels.all_labels(tx) == []
    house.reception.commit(transfer)
    (study,) = found(house)
    assert (study.metadata, study.labels) == (STUDY.metadata, STUDY.labels)
    assert [bytes_of(house, file) for file in study.attachments] == [REPORT, LARGE]
    assert {file.compression for file in study.attachments} == {house.ingest.compression}
    assert len(house.files()) == len(FILES) + 2
    house.reception.expire()
    with house.index.read() as tx:
        assert transfer_extras.document(tx, transfer) is None
        assert transfer_extras.attachments(tx, transfer) == []
    receipt = house.reception.receipts.body(transfer)
    assert (receipt["CountMetadata"], receipt["CountLabels"]) == (1, 1)
    assert house.reception.commit(transfer) is False


def test_declared_again_what_has_arrived_stays(house: House) -> None:
    transfer = opened(house, STUDY)
    attach(house, transfer, 1, LARGE)
    assert declare(house, transfer, STUDY) == [0]
    series = Extras(Level.SERIES, IDS.series, {}, ("more",))
    other = replace(STUDY, metadata={1024: "y"}, attachments=STUDY.attachments[::-1])
    assert declare(house, transfer, series, other) == [1]
    attach(house, transfer, 1, REPORT)
    house.reception.commit(transfer)
    assert {(one.level, one.labels) for one in found(house)} == {
        (Level.STUDY, ("urgent",)),
        (Level.SERIES, ("more",)),
    }
    assert found(house)[0].metadata == {1024: "y"}
    assert declare_fails(house, transfer)


def declare_fails(house: House, transfer: str) -> bool:
    with pytest.raises(UnknownResource):
        declare(house, transfer, STUDY)
    with pytest.raises(UnknownResource):
        house.reception.extras.attachment(transfer, 0)
    return True


def test_another_process_goes_on(house: House) -> None:
    transfer = opened(house, STUDY)
    attach(house, transfer, 0, REPORT)
    other = House(house.index, house.area, "process-2", compression=house.ingest.compression)
    assert declare(other, transfer, STUDY) == [1]
    attach(other, transfer, 1, LARGE)
    other.reception.commit(transfer)
    assert len(found(house)[0].attachments) == 2


def test_what_is_discarded_leaves_nothing(house: House) -> None:
    transfer = opened(house, STUDY)
    attach(house, transfer, 0, REPORT)
    begun = house.reception.extras.attachment(transfer, 1)
    begun.write(LARGE[:400_000])
    house.reception.discard(transfer)
    with pytest.raises(Unavailable):
        begun.write(LARGE[400_000:])
    begun.abort()
    assert house.files() == set()
    assert house.bare()
    assert declare_fails(house, transfer)


def test_a_crash_after_the_file_and_before_the_index(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = opened(house, STUDY)

    def die(*_: object) -> None:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(transfer_extras, "stage", die)
    with pytest.raises(DatabaseUnavailable):
        attach(house, transfer, 0, REPORT)
    monkeypatch.undo()
    assert declare(house, transfer, STUDY) == [0, 1]
    attach(house, transfer, 0, REPORT)
    attach(house, transfer, 1, LARGE)
    attach(house, transfer, 1, LARGE)  # its answer was lost
    house.reception.commit(transfer)
    house.reception.expire()
    assert len(house.files()) == len(FILES) + 2
    assert [bytes_of(house, file) for file in found(house)[0].attachments] == [REPORT, LARGE]


def test_of_two_attempts_the_later_one_counts(house: House) -> None:
    transfer = opened(house, STUDY)
    first = house.reception.extras.attachment(transfer, 0)
    first.write(REPORT[:3])
    attach(house, transfer, 0, REPORT)
    with pytest.raises(Unavailable):
        first.write(REPORT[3:])
    first.abort()
    assert declare(house, transfer, STUDY) == [1]


def test_what_does_not_fit_its_declaration(house: House) -> None:
    transfer = opened(house, STUDY)
    before = house.files()
    for wrong in (REPORT[:-1], REPORT[::-1], b""):
        with pytest.raises(CorruptedFile):
            attach(house, transfer, 0, wrong)
    with pytest.raises(TooLarge):
        attach(house, transfer, 0, REPORT + b"x")
    assert house.files() == before
    for position in (2, 2**63):
        with pytest.raises(ParameterOutOfRange):
            house.reception.extras.attachment(transfer, position)
    assert declare(house, transfer, STUDY) == [0, 1]


def test_of_another_user(house: House) -> None:
    transfer = house.reception.open_push(Study(FILES).manifest, username="alice")
    for user in ("bob", ""):
        with pytest.raises(UnknownResource):
            house.reception.extras.declare(transfer, [], [], user)
        with pytest.raises(UnknownResource):
            house.reception.extras.attachment(transfer, 0, user)
    assert house.reception.extras.declare(transfer, [], [], "alice") == []


def test_what_is_there_is_not_sent(house: House) -> None:
    first = opened(house, STUDY)
    attach(house, first, 0, REPORT)
    attach(house, first, 1, LARGE)
    house.reception.commit(first)
    study = Study(FILES)
    second = house.reception.open_push(replace(study.manifest, buckets=()))
    more = replace(STUDY, attachments=(*STUDY.attachments, told(1102, b"more")))
    assert declare(house, second, more) == [2]
    attach(house, second, 2, b"more")
    files = house.files()
    house.reception.commit(second)
    assert house.files() == files
    assert len(found(house)[0].attachments) == 3


def test_a_file_that_became_needless_goes(house: House) -> None:
    """Somebody puts one there while it is sent."""
    first = opened(house)
    house.reception.commit(first)
    second = house.reception.open_push(replace(Study(FILES).manifest, buckets=()))
    declare(house, second, replace(STUDY, attachments=STUDY.attachments[:1]))
    attach(house, second, 0, REPORT)
    before = house.files()
    deposit = house.ingest.attachments.deposit(1100)
    deposit.write(b"ours")
    house.ingest.attachments.attach(Level.STUDY, IDS.study, deposit)
    house.reception.commit(second)
    assert bytes_of(house, found(house)[0].attachments[0]) == b"ours"
    assert len(house.files()) == len(before)
    assert house.reception.receipts.body(second)["CountKeptExtras"] == 1


def test_quotas_and_room(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    transfer = opened(house)
    extras_reception = house.reception.extras
    monkeypatch.setattr(extras_reception, "_quota", Quota(instance_bytes=len(LARGE) - 1))
    with pytest.raises(TooLarge):
        declare(house, transfer, STUDY)
    monkeypatch.setattr(extras_reception, "_quota", Quota(total_bytes=len(LARGE)))
    with pytest.raises(TooLarge):
        declare(house, transfer, STUDY)
    monkeypatch.undo()
    free = limits.FREE_DISK_BYTES + len(LARGE)
    monkeypatch.setattr(house.storage, "free_bytes", lambda: free)
    with pytest.raises(StorageFull):
        declare(house, transfer, STUDY)
    small = replace(STUDY, attachments=STUDY.attachments[1:])
    assert declare(house, transfer, small) == [0]
    assert declare(house, transfer, small) == [0]
    other = house.reception.open_push(replace(Study([]).manifest, buckets=()))
    with pytest.raises(Unavailable):
        declare(house, other, small)


def test_a_full_store(index: Index, area: Area) -> None:
    """All or nothing also when it is the attachments that do not fit."""
    bounds = Bounds(maximum_bytes=sum(map(len, FILES)) + len(LARGE))
    house = House(index, area, bounds=bounds)
    transfer = opened(house, STUDY)
    attach(house, transfer, 0, REPORT)
    attach(house, transfer, 1, LARGE)
    with pytest.raises(NoRoom):
        house.reception.commit(transfer)
    assert house.visible() == set()
    house.reception.discard(transfer)
    assert house.bare()
    house.ingest.close()


def test_an_idle_transfer_is_not_idle_while_an_attachment_arrives(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = opened(house, STUDY)
    incoming = house.reception.extras.attachment(transfer, 0)
    now = clock.timestamp() + 2 * house.reception.quota.idle_s
    monkeypatch.setattr(clock, "timestamp", lambda: now)
    assert house.reception.expire() == 0
    incoming.abort()
    now += 2 * house.reception.quota.idle_s
    assert house.reception.expire() == 1


def test_without_a_declaration_nothing_is_said_of_it(house: House) -> None:
    transfer = house.reception.open_push(Study(FILES).manifest)
    put_all(house, Study(FILES), transfer)
    house.reception.commit(transfer)
    assert "ExtrasDigest" not in house.reception.receipts.body(transfer)
    with house.index.read() as tx:
        entries = metadata.of_one(tx, Level.STUDY, IDS.study)
    assert entries is not None
    assert 1024 not in entries
