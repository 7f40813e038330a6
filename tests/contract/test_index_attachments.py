"""Attachments in the index, on both databases: rows, journal of deletions, totals, changes."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from tests.support.staged import staged
from wherry.errors import BadRevision, UnknownResource
from wherry.index import attachments, deletions, resources
from wherry.index.database import Index
from wherry.model import Attachment, Level, Revision, StagedInstance


@pytest.fixture
def one(index: Index) -> StagedInstance:
    """An instance in the index, of 1,000 bytes."""
    one = staged()
    index.write(lambda tx: resources.add_instances(tx, [one], overwrite=False))
    return one


@pytest.fixture
def study(one: StagedInstance) -> str:
    return one.summary.identifiers.study


def made(number: int = 4400, size: int = 100, packed: int | None = None) -> Attachment:
    compressed = size if packed is None else packed
    return Attachment(
        str(uuid4()), number, size, f"{size:032x}", compressed, f"{compressed:032x}",
        1 if packed is None else 2,
    )  # fmt: skip


def put(
    index: Index,
    study: str,
    attachment: Attachment,
    claimed: Revision | None = None,
    *,
    required: bool = False,
) -> Attachment:
    return index.write(
        lambda tx: attachments.put(
            tx, Level.STUDY, study, attachment, claimed=claimed, required=required
        )
    )


def totals(index: Index) -> tuple[int, int]:
    with index.read() as tx:
        found = resources.statistics(tx)
    return found.disk_bytes, found.uncompressed_bytes


def journal(index: Index) -> set[str]:
    with index.read() as tx:
        return {uuid for uuid, _ in deletions.pending(tx, 100)}


def updates(index: Index) -> int:
    with index.read() as tx:
        return len(tx.all("SELECT resource FROM changes WHERE change_type = 15"))


def test_the_first_file(index: Index, study: str) -> None:
    file = made(size=100, packed=40)
    assert put(index, study, file, Revision(7, "x"), required=True) == file
    with index.read() as tx:
        assert attachments.of_one(tx, Level.STUDY, study) == {4400: file}
        assert attachments.get(tx, Level.STUDY, study, 4400) == file
    assert totals(index) == (1040, 1100)
    assert journal(index) == set()
    assert updates(index) == 1


def test_a_file_that_is_replaced(index: Index, study: str) -> None:
    first, second = made(size=100, packed=40), made(size=7)
    put(index, study, first)
    for wrong in (None, Revision(1, first.uncompressed_md5), Revision(0, second.uncompressed_md5)):
        with pytest.raises(BadRevision):
            put(index, study, second, wrong, required=True)
        with index.read() as tx, pytest.raises(BadRevision):
            attachments.check(tx, Level.STUDY, study, 4400, claimed=wrong, required=True)
    assert journal(index) == set()
    put_in = put(index, study, second, Revision(0, first.uncompressed_md5), required=True)
    assert put_in == replace(second, revision=1)
    with index.read() as tx:
        assert attachments.of_one(tx, Level.STUDY, study) == {4400: put_in}
    assert totals(index) == (1007, 1007)
    assert journal(index) == {first.uuid}
    assert updates(index) == 2


def test_a_file_that_is_taken_away(index: Index, study: str) -> None:
    file = made()

    def remove(claimed: Revision | None = None, *, required: bool = False) -> None:
        index.write(
            lambda tx: attachments.remove(
                tx, Level.STUDY, study, 4400, claimed=claimed, required=required
            )
        )

    with pytest.raises(UnknownResource):
        remove()
    put(index, study, file)
    with pytest.raises(BadRevision):
        remove(required=True)
    assert totals(index) == (1100, 1100)
    remove(Revision(0, file.uncompressed_md5), required=True)
    assert totals(index) == (1000, 1000)
    assert journal(index) == {file.uuid}
    assert updates(index) == 2
    with index.read() as tx, pytest.raises(UnknownResource):
        attachments.get(tx, Level.STUDY, study, 4400)


def test_the_same_content_in_another_file(index: Index, one: StagedInstance) -> None:
    instance = one.summary.identifiers.instance
    packed = made(1, size=1000, packed=400)

    def exchange(known: Attachment, new: Attachment) -> bool:
        return index.write(
            lambda tx: attachments.exchange(tx, Level.INSTANCE, instance, known, new)
        )

    assert not exchange(made(1), packed)
    assert not exchange(made(4400), made(4400))
    assert totals(index) == (1000, 1000)
    assert exchange(one.attachment, packed)
    with index.read() as tx:
        assert attachments.of_one(tx, Level.INSTANCE, instance) == {1: packed}
        assert resources.files_of(tx, [instance]) == {instance: packed}
    assert totals(index) == (400, 1000)
    assert journal(index) == {one.attachment.uuid}
    assert updates(index) == 0  # the DICOM file is what it was


def test_a_user_s_file_keeps_its_revision_when_it_is_packed(index: Index, study: str) -> None:
    put(index, study, made(size=10))
    known = put(index, study, made(size=100))
    packed = replace(made(size=100, packed=30), uncompressed_md5=known.uncompressed_md5)
    assert index.write(lambda tx: attachments.exchange(tx, Level.STUDY, study, known, packed))
    with index.read() as tx:
        assert attachments.get(tx, Level.STUDY, study, 4400).revision == 1
    assert updates(index) == 3


def test_order_and_unknown_resources(index: Index, study: str) -> None:
    numbers = [5000, 1024, 65535]
    for number in numbers:
        put(index, study, made(number))
    with index.read() as tx:
        assert list(attachments.of_one(tx, Level.STUDY, study)) == sorted(numbers)
        for level, name in ((Level.STUDY, "nope"), (Level.SERIES, study)):
            with pytest.raises(UnknownResource):
                attachments.of_one(tx, level, name)
            with pytest.raises(UnknownResource):
                attachments.get(tx, level, name, 1024)
            with pytest.raises(UnknownResource):
                attachments.check(tx, level, name, 1024)
    with pytest.raises(UnknownResource):
        put(index, "nope", made())


def test_files_go_with_their_resource(index: Index, study: str, one: StagedInstance) -> None:
    file = made()
    put(index, study, file)
    index.write(lambda tx: resources.delete(tx, Level.STUDY, study))
    assert totals(index) == (0, 0)
    assert journal(index) == {file.uuid, one.attachment.uuid}
