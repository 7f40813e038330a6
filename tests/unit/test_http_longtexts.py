from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry import limits
from wherry.dicom.creating.datauri import Blob
from wherry.errors import BadFileFormat, BadRequest, TooLarge
from wherry.http.longtexts import LongTexts
from wherry.http.spool import Spool

LONG = bytes(range(256)) * 8


def new_spool(folder: Path | str = "/tmp") -> Spool:
    return Spool(Path(folder), 1 << 30, lambda: 1 << 40)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = new_spool(tmp_path)
    yield found
    found.close()


def read(spool: Spool, body: bytes, step: int = 1 << 20) -> Any:
    texts = LongTexts(spool)
    for start in range(0, len(body), step):
        texts.write(body[start : start + step])
    return texts.finish()


def uri(data: bytes, mime: str = "a/b") -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def content(spool: Spool, blob: Any) -> bytes:
    assert isinstance(blob, Blob)
    return spool.read_at(blob.offset, blob.size)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000, 1 << 20])
@pytest.mark.parametrize("escaped", [b"/", b"\\/", b"\\u002F", b"\\u002f"])
def test_long_uris_go_to_the_spool(spool: Spool, step: int, escaped: bytes) -> None:
    document = {
        "Tags": {"a": 'quote " and \\ and /', "b": "x" * 5000, "c": [{"d": uri(LONG[:-1])}]},
        "Content": [uri(LONG, "image/png"), {"Content": uri(LONG * 2)}],
        "Short": uri(b"abc"),
    }
    body = json.dumps(document, ensure_ascii=False).encode().replace(b"/", escaped, 10_000)
    if escaped.startswith(b"\\u"):  # in the beginning of a URI only the slash may be escaped
        body = body.replace(b"data:image" + escaped, b"data:image/")
        body = body.replace(b"data:a" + escaped, b"data:a/")
    found = read(spool, body, step)
    assert content(spool, found["Content"][0]) == LONG
    assert found["Content"][0].mime == "image/png"
    assert content(spool, found["Content"][1]["Content"]) == LONG * 2
    assert content(spool, found["Tags"]["c"][0]["d"]) == LONG[:-1]
    assert found["Tags"]["a"] == document["Tags"]["a"]
    assert found["Tags"]["b"] == document["Tags"]["b"]
    assert found["Short"] == document["Short"]


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.text() | st.integers() | st.none() | st.binary(min_size=1000, max_size=3000).map(uri),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=6,
    ),
    st.integers(1, 5000),
    st.booleans(),
)
def test_any_document(document: Any, step: int, ascii_only: bool) -> None:
    spool = new_spool()
    body = json.dumps([document], ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    def same(found: Any, wanted: Any) -> None:
        if isinstance(found, Blob):
            assert uri(content(spool, found), found.mime) == wanted
        elif isinstance(wanted, dict):
            assert list(found) == list(wanted)
            for key in wanted:
                same(found[key], wanted[key])
        elif isinstance(wanted, list):
            for one, other in zip(found, wanted, strict=True):
                same(one, other)
        else:
            assert found == wanted

    same(read(spool, body, step), [document])
    spool.close()


def test_short_uris(spool: Spool) -> None:
    texts = LongTexts(spool)
    assert content(spool, texts.blob(uri(b"abc"))) == b"abc"
    assert content(spool, texts.blob(uri(b""))) == b""
    for text in ("", "abc", "data:,x", uri(b"abc") + "é", uri(b"abc") + "!", uri(b"ab") + "A"):
        with pytest.raises(BadFileFormat):
            texts.blob(text)


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize("spoiled", [b"!", b"\\\\", b"\\n", b" ", b"\\u00e9", b"\\x", b"=AAA"])
def test_long_base64_that_is_none(spool: Spool, spoiled: bytes, step: int) -> None:
    text = uri(LONG).encode()
    body = b'{"Content": "' + text[:2000] + spoiled + text[2000:] + b'"}'
    with pytest.raises(BadFileFormat):
        read(spool, body, step)


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a', b'{"Content": "' + uri(LONG).encode(), b"\xff"]
)
def test_what_is_no_json(spool: Spool, body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(spool, body)


def test_a_body_that_is_one_long_uri(spool: Spool) -> None:
    assert isinstance(read(spool, json.dumps(uri(LONG)).encode()), str)


def test_what_is_left_is_bounded(spool: Spool) -> None:
    body = b'{"a": "' + b"x" * limits.JSON_BODY_BYTES
    with pytest.raises(TooLarge):
        read(spool, body)


def test_a_text_that_looks_like_a_place(spool: Spool) -> None:
    """Nobody can name what another text of the body holds."""
    found = read(spool, json.dumps({"a": uri(LONG), "b": "0" * 32 + ":0"}).encode())
    assert found["b"] == "0" * 32 + ":0"
