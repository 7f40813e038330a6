"""Sealed files of any size, written and read in any pieces."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sealed import sealed_keys
from wherry.model import DICOM_CONTENT
from wherry.storage.filesystem import FilesystemStorage
from wherry.storage.sealed.area import SealedStorage

CHUNK = 64
NOISE = os.urandom(1_000_000)
near = st.integers(0, 9).flatmap(
    lambda chunks: st.integers(-2, 2).map(lambda beside: max(0, chunks * CHUNK + beside))
)
sizes = st.one_of(near, st.integers(0, 700))


@pytest.mark.parametrize("container", ["W1", "A1"])
@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(sizes, max_size=6), ranges=st.lists(st.tuples(sizes, sizes), max_size=8))
def test_round_trips(container: str, pieces: list[int], ranges: list[tuple[int, int]]) -> None:
    data = NOISE[: sum(pieces)]
    with tempfile.TemporaryDirectory() as folder:
        inner = FilesystemStorage(Path(folder))
        storage = SealedStorage(inner, sealed_keys(container), CHUNK)
        writer = storage.create(str(uuid.uuid4()), DICOM_CONTENT)
        at = 0
        for number, piece in enumerate(pieces):
            if number % 2:
                writer.write(data[at : at + piece])
            else:
                left = piece
                while left:
                    room = writer.room()
                    count = min(len(room), left)
                    start = at + piece - left
                    room[:count] = data[start : start + count]
                    writer.filled(count)
                    left -= count
            at += piece
            with writer.map() as view:
                assert view == data[:at]
        writer.sync()
        with writer.map() as view:
            assert view == data
        writer.close()
        for place in (writer.place, "*"):
            reader = storage.open(writer.uuid, place)
            assert reader.size == len(data)
            assert reader.place == writer.place
            for offset, size in ranges:
                assert reader.read_at(offset, size) == data[offset : offset + size]
            with reader.map() as view:
                assert view == data
            reader.close()
        sealed = inner.open(writer.uuid)
        chunks = max(1, -(-len(data) // CHUNK))
        more = {86} if container == "A1" else {92 + 16 * chunks, 92 + 16 * (chunks + 1)}
        assert sealed.size - len(data) in more
        sealed.close()


@settings(max_examples=30, deadline=None)
@given(
    order=st.permutations(range(6)),
    size=st.integers(1, 200_000),
    container=st.sampled_from(["W1", "A1"]),
)
def test_parts_in_any_order(order: list[int], size: int, container: str) -> None:
    data = NOISE[: 6 * size] if 6 * size <= len(NOISE) else bytes(6 * size)
    with tempfile.TemporaryDirectory() as folder:
        storage = SealedStorage(FilesystemStorage(Path(folder)), sealed_keys(container))
        writer = storage.create(str(uuid.uuid4()))
        for part in order:
            writer.write_at(data[part * size : (part + 1) * size], part * size)
        with writer.map() as view:
            assert view == data
        writer.sync()
        with writer.map() as view:
            assert view == data
        writer.close()
        reader = storage.open(writer.uuid, writer.place)
        assert reader.read_at(0, len(data)) == data
        reader.close()
