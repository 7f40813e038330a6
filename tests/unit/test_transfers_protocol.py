"""The documents of the protocol: what is accepted, what is refused and with which code."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from wherry import limits
from wherry.errors import NetworkProtocol, TooLarge, UnknownResource, WherryError
from wherry.jobs import ranges
from wherry.model import Bucket, Chunk, Level, Manifest, ManifestInstance
from wherry.transfers import orders, protocol
from wherry.transfers.encoding import GZIP, NONE, Encoding

ID = "0a1b2c3d-00000000-11111111-22222222-33333333"
OTHER = "0a1b2c3d-00000000-11111111-22222222-44444444"
MD5 = "0123456789abcdef0123456789abcdef"
BLAKE3 = 2 * MD5
INSTANCE = {"ID": ID, "Size": "10", "MD5": MD5}
CHUNK = {"ID": ID, "Offset": "0", "Size": "10"}


def push(**changes: Any) -> bytes:
    document = {"Instances": [INSTANCE], "Buckets": [[CHUNK]], "Compression": "none"}
    document |= changes
    return orjson.dumps({key: value for key, value in document.items() if value is not None})


def transfer(**changes: Any) -> bytes:
    document = {"Resources": [], "Peer": "there", "Compression": "gzip"} | changes
    return orjson.dumps({key: value for key, value in document.items() if value is not None})


def code_of(error: pytest.ExceptionInfo[WherryError]) -> tuple[int, int]:
    return error.value.http_status, error.value.code


# --- resources and lookup ------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("Patient", Level.PATIENT),
        ("patients", Level.PATIENT),
        ("STUDY", Level.STUDY),
        ("Studies", Level.STUDY),
        ("series", Level.SERIES),
        ("Instance", Level.INSTANCE),
        ("instances", Level.INSTANCE),
        ("Image", Level.INSTANCE),
        ("iMaGeS", Level.INSTANCE),
    ],
)
def test_levels_are_case_insensitive(name: str, level: Level) -> None:
    assert protocol.parse_resources([{"Level": name, "ID": "x", "More": 1}]) == (
        protocol.ResourceName(level, "x"),
    )


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({}, 15),
        ("text", 15),
        (None, 15),
        ([1], 15),
        ([{"Level": "Study"}], 15),
        ([{"ID": "x"}], 15),
        ([{"Level": 1, "ID": "x"}], 15),
        ([{"Level": "Study", "ID": None}], 15),
        ([{"Level": "Planet", "ID": "x"}], 3),
    ],
)
def test_bad_resources_are_refused(value: Any, code: int) -> None:
    with pytest.raises(WherryError) as error:
        protocol.parse_resources(value)
    assert code_of(error) == (400, code)


def test_no_resources_are_legal() -> None:
    assert protocol.parse_resources([]) == ()


def test_a_lookup_answer_has_decimal_strings_and_comes_back() -> None:
    instances = (ManifestInstance(ID, 3 * limits.MIB // 2, MD5), ManifestInstance(OTHER, 7, MD5))
    text = protocol.render_lookup(instances, "me")
    assert json.loads(text) == {
        "Instances": [
            {"ID": ID, "Size": "1572864", "MD5": MD5},
            {"ID": OTHER, "Size": "7", "MD5": MD5},
        ],
        "Originator": "me",
        "CountInstances": 2,
        "TotalSize": "1572871",
        "TotalSizeMB": 2,
    }
    assert b" " not in text
    assert protocol.read_lookup(text) == (instances, "me")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        orjson.dumps({"Instances": [], "Originator": 1}),
        orjson.dumps({"Instances": [INSTANCE | {"ID": "../../etc"}], "Originator": "o"}),
        orjson.dumps({"Instances": [INSTANCE | {"MD5": MD5.upper()}], "Originator": "o"}),
        orjson.dumps({"Instances": [INSTANCE | {"Size": 10}], "Originator": "o"}),
        orjson.dumps({"Instances": [INSTANCE, INSTANCE | {"Size": "11"}], "Originator": "o"}),
    ],
)
def test_a_senseless_lookup_answer_is_the_peers_fault(answer: bytes) -> None:
    with pytest.raises(NetworkProtocol):
        protocol.read_lookup(answer)


def test_a_lookup_answer_is_sorted_and_distinct() -> None:
    other = INSTANCE | {"ID": OTHER}
    answer = orjson.dumps({"Instances": [other, INSTANCE, other], "Originator": "o"})
    assert [one.orthanc_id for one in protocol.read_lookup(answer)[0]] == [ID, OTHER]


def test_between_two_wherry_a_digest_may_be_a_blake3() -> None:
    instances = (ManifestInstance(ID, 3, BLAKE3), ManifestInstance(OTHER, 7, MD5))
    told = [{"ID": ID, "Size": "3", "BLAKE3": BLAKE3}, {"ID": OTHER, "Size": "7", "MD5": MD5}]
    text = protocol.render_lookup(instances, "me")
    assert json.loads(text)["Instances"] == told
    assert protocol.read_lookup(text) == (instances, "me")
    question = protocol.render_inventory(instances)
    assert protocol.parse_inventory(question, 2) == list(instances)
    manifest = Manifest(instances, (), "auto")
    assert protocol.parse_push(protocol.render_push(manifest), 2) == manifest
    with pytest.raises(TooLarge):
        protocol.parse_inventory(question, 1)
    with pytest.raises(TooLarge):
        protocol.parse_push(protocol.render_push(manifest), 1)


# --- push ----------------------------------------------------------------------------------
def test_a_push_comes_back() -> None:
    manifest = Manifest(
        (ManifestInstance(ID, 10, MD5), ManifestInstance(OTHER, 20, MD5)),
        (Bucket((Chunk(ID, 0, 10), Chunk(OTHER, 0, 12))), Bucket((Chunk(OTHER, 12, 8),))),
        "gzip",
    )
    text = protocol.render_push(manifest)
    assert protocol.parse_push(text) == manifest
    assert orjson.loads(text)["Buckets"][1] == [{"ID": OTHER, "Offset": "12", "Size": "8"}]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 15),
        (b"text", 15),
        (b"[]", 15),
        (push(Instances=None), 15),
        (push(Buckets=None), 15),
        (push(Compression=None), 15),
        (push(Compression=1), 15),
        (push(Compression="zip"), 3),
        (push(Compression="GZIP"), 3),
        (push(Instances={}), 15),
        (push(Instances=[1]), 15),
        (push(Instances=[INSTANCE | {"Size": 10}]), 15),
        (push(Instances=[INSTANCE | {"Size": "-1"}]), 15),
        (push(Instances=[INSTANCE | {"Size": "1e3"}]), 15),
        (push(Instances=[INSTANCE | {"Size": ""}]), 15),
        (push(Instances=[INSTANCE | {"Size": "٣"}]), 15),
        (push(Instances=[INSTANCE | {"Size": "9" * 40}]), 15),
        (push(Instances=[INSTANCE | {"ID": "a" * 65}]), 15),
        (push(Instances=[INSTANCE | {"ID": "a\0"}]), 15),
        (push(Instances=[{"ID": ID, "Size": "1"}]), 15),
        (push(Buckets=[CHUNK]), 15),
        (push(Buckets=[[CHUNK | {"Offset": 0}]]), 15),
        (push(Buckets=[[{"ID": ID, "Size": "1"}]]), 15),
        (push(Instances=[INSTANCE, INSTANCE | {"MD5": "f" * 32}]), 15),
    ],
)
def test_a_bad_declaration_is_refused(body: bytes, code: int) -> None:
    with pytest.raises(WherryError) as error:
        protocol.parse_push(body)
    assert code_of(error) == (400, code)


def test_what_upstream_accepts_is_accepted() -> None:
    chunks = [CHUNK, {"ID": "unknown", "Offset": "5", "Size": "99"}]
    manifest = protocol.parse_push(
        push(Instances=[INSTANCE, INSTANCE], Buckets=[chunks, [], chunks], More=[1])
    )
    assert len(manifest.instances) == 1
    assert [len(bucket.chunks) for bucket in manifest.buckets] == [2, 0, 2]


@pytest.mark.parametrize("filler", ["[],", "0,", '{"a":0},', '"",'])
def test_a_declaration_that_costs_memory_is_not_parsed(filler: str) -> None:
    count = limits.PUSH_MANIFEST_VALUES + 1
    body = '{"Buckets":[' + filler * count + "0]}"
    with pytest.raises(TooLarge):
        protocol.parse_push(body.encode())


def test_the_answer_to_a_declaration() -> None:
    answer = protocol.render_created("abc")
    assert answer == {"ID": "abc", "Path": "/transfers/push/abc"}
    assert protocol.read_created(orjson.dumps(answer)) == "/transfers/push/abc"
    assert protocol.read_created(b'{"Path":"//a/b"}') == "/a/b"


@pytest.mark.parametrize(
    "path", ["", "/", "transfers/push/1", "/a b", "/a?b", "/a\r\nX: y", "/../a", "http://x/", 7]
)
def test_an_unusable_path_of_a_peer_is_refused(path: object) -> None:
    with pytest.raises(NetworkProtocol):
        protocol.read_created(orjson.dumps({"ID": "1", "Path": path}))


@pytest.mark.parametrize(("text", "index"), [("0", 0), ("0007", 7), (str(2**64 - 1), 2**64 - 1)])
def test_bucket_indices(text: str, index: int) -> None:
    assert protocol.parse_bucket_index(text) == index


@pytest.mark.parametrize("text", ["", "-1", "a", "1.0", "+1", str(2**64), "1" * 40, "٣", " 1"])
def test_what_is_no_index_is_no_resource(text: str) -> None:
    with pytest.raises(UnknownResource):
        protocol.parse_bucket_index(text)


# --- chunks --------------------------------------------------------------------------------
def test_chunk_requests() -> None:
    assert protocol.parse_chunks(f"{ID}.{OTHER}", {}) == protocol.ChunkRequest(
        (ID, OTHER), 0, 0, NONE
    )
    request = protocol.parse_chunks(
        f"{ID}.", {"offset": str(2**40), "size": "7", "compression": "gzip", "x": "y"}
    )
    assert request == protocol.ChunkRequest((ID,), 2**40, 7, GZIP)
    request = protocol.parse_chunks(ID, {"compression": "blocks-5", "sealed": "1"})
    assert request == protocol.ChunkRequest((ID,), 0, 0, Encoding("blocks", -5), sealed=True)


@pytest.mark.parametrize(
    ("ids", "arguments", "expected"),
    [
        (ID.upper(), {}, (404, 17)),
        (f".{ID}", {}, (404, 17)),
        ("", {}, (404, 17)),
        (ID, {"offset": "-1"}, (400, 5)),
        (ID, {"offset": ""}, (400, 5)),
        (ID, {"size": "0x10"}, (400, 5)),
        (ID, {"size": "9" * 30}, (400, 5)),
        (ID, {"compression": "GZIP"}, (400, 3)),
        (ID, {"compression": "auto"}, (400, 3)),
        (ID, {"compression": "blocks"}, (400, 3)),
        (ID, {"compression": "blocks22"}, (400, 3)),
        (".".join([ID] * (limits.CHUNK_IDS + 1)), {}, (413, 8)),
    ],
)
def test_bad_chunk_requests(ids: str, arguments: dict[str, str], expected: tuple[int, int]) -> None:
    with pytest.raises(WherryError) as error:
        protocol.parse_chunks(ids, arguments)
    assert code_of(error) == expected


# --- send and pull -------------------------------------------------------------------------
def test_a_transfer_comes_back_from_its_parameters() -> None:
    resources = [{"Level": "Study", "ID": "x"}, "nonsense, which the job will find"]
    request = orders.parse_transfer(
        transfer(Resources=resources, Priority=-3, SenderTransferID="me 1", Originator="o")
    )
    assert request.priority == -3
    assert request.resources == resources
    kept = orders.from_parameters(json.loads(json.dumps(request.parameters())))
    assert kept.parameters() == request.parameters()


def test_the_compression_is_found_out_unless_it_is_named() -> None:
    assert orders.parse_transfer(transfer(Compression=None)).compression == "auto"
    assert orders.parse_transfer(transfer(Compression="auto")).compression == "auto"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Resources": None}, 15),
        ({"Resources": {}}, 15),
        ({"Peer": None}, 15),
        ({"Peer": ["there"]}, 15),
        ({"Compression": 7}, 15),
        ({"Metadata": 1}, 15),
        ({"Metadata": "true"}, 15),
        ({"Compression": "brotli"}, 3),
        ({"Priority": "1"}, 15),
        ({"Priority": 1.5}, 15),
        ({"Priority": True}, 15),
        ({"Priority": 2**31}, 3),
        ({"SenderTransferID": 7}, 15),
        ({"SenderTransferID": "a\r\nX: y"}, 3),
        ({"SenderTransferID": "a" * 257}, 3),
        ({"Originator": 7}, 15),
    ],
)
def test_bad_transfers_are_refused(changes: dict[str, Any], code: int) -> None:
    with pytest.raises(WherryError) as error:
        orders.parse_transfer(transfer(**changes))
    assert code_of(error) == (400, code)


def test_the_request_that_asks_a_peer_to_pull() -> None:
    request = orders.parse_transfer(transfer(Priority=2, SenderTransferID="s"))
    asked = orders.parse_transfer(orders.render_pull(request, "us", "origin"))
    assert (asked.peer, asked.originator, asked.priority) == ("us", "origin", 2)
    assert not asked.metadata


def test_the_wish_for_metadata_is_only_told_when_there_is_one() -> None:
    without, wanted = (orders.parse_transfer(transfer(Metadata=wish)) for wish in (False, True))
    assert "Metadata" not in without.parameters()
    assert b"Metadata" not in orders.render_pull(without, "us", "origin")
    assert orders.from_parameters(wanted.parameters()).metadata
    assert orders.parse_transfer(orders.render_pull(wanted, "us", "origin")).metadata


# --- ranges --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([0, 1, 2], "0-2"), ([5, 0, 1, 7, 6], "0-1,5-7")],
)
def test_ranges(numbers: list[int], text: str) -> None:
    assert ranges.to_text(numbers) == text
    assert ranges.parse(text, 10) == set(numbers)


@pytest.mark.parametrize("text", ["a", "1,", "-1", "1--2", "10", "3-10", "1-2-3"])
def test_bad_ranges(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        ranges.parse(text, 10)
