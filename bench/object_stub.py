"""An object store that costs nothing but time: the S3 calls that Wherry makes, kept in memory.

    python -m bench.object_stub --delay-ms 20

prints its port and answers until it is ended. A real store on the machine of the benchmark would
take the processors that are measured; this one takes some 0.1 ms for a request and answers it after
the delay. It believes everybody and checks nothing: what is right, the tests show on a real store.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import re
import sys
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import httptools
import uvloop

_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")
_DATE: Final = "Thu, 01 Jan 2026 00:00:00 GMT"

objects: dict[str, bytes] = {}
parts: dict[tuple[str, int], bytes] = {}
counts: dict[str, int] = {}


class Connection(asyncio.Protocol):
    """One request after the other."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._target, self._headers, self._body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        counts[method] = counts.get(method, 0) + 1
        target = urlsplit(self._target.decode())
        query = {k: v[0] for k, v in parse_qs(target.query, keep_blank_values=True).items()}
        key = unquote(target.path)
        answer = _answer(method, key, query, self._headers, b"".join(self._body))
        asyncio.get_running_loop().call_later(self._delay_s, self._tell, method, *answer)

    def _tell(self, method: str, status: int, headers: dict[str, str], body: bytes) -> None:
        told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        length = headers.get("Content-Length") or str(len(body))
        told += "" if "Content-Length" in headers else f"Content-Length: {length}\r\n"
        self._transport.write(f"HTTP/1.1 {status} X\r\n{told}\r\n".encode())
        if method != "HEAD":
            self._transport.write(body)


type_answer = tuple[int, dict[str, str], bytes]


def _answer(
    method: str, key: str, query: dict[str, str], headers: dict[str, str], body: bytes
) -> type_answer:
    match method:
        case "PUT" if "partNumber" in query:
            parts[query["uploadId"], int(query["partNumber"])] = body
            return 200, {"ETag": '"part"'}, b""
        case "PUT":
            if headers.get("if-none-match") == "*" and key in objects:
                return 412, {}, b""
            objects[key] = body
            return 200, {"ETag": f'"{len(objects)}"'}, b""
        case "POST" if "uploads" in query:
            upload = hashlib.md5(f"{key}{len(parts)}".encode()).hexdigest()
            text = f"<I><UploadId>{upload}</UploadId></I>"
            return 200, {}, text.encode()
        case "POST":
            mine = sorted(number for upload, number in parts if upload == query["uploadId"])
            objects[key] = b"".join(parts.pop((query["uploadId"], number)) for number in mine)
            return 200, {}, b"<C><ETag>x</ETag></C>"
        case "DELETE":
            objects.pop(key, None)
            return 204, {}, b""
        case "GET" if "list-type" in query:
            return 200, {}, _listing(key.strip("/"), query)
    if key not in objects:
        return 404, {}, b""
    return _content(objects[key], headers, head=method == "HEAD")


def _content(data: bytes, headers: dict[str, str], *, head: bool) -> type_answer:
    told = {"ETag": '"x"', "Last-Modified": _DATE}
    if head:
        return 200, told | {"Content-Length": str(len(data))}, b""
    found = _RANGE.fullmatch(headers.get("range", ""))
    if found is None:
        return 200, told, data
    start, end = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
    if start > end:
        return 416, {}, b""
    return 206, told | {"Content-Range": f"bytes {start}-{end}/{len(data)}"}, data[start : end + 1]


def _listing(bucket: str, query: dict[str, str]) -> bytes:
    prefix, after = query.get("prefix", ""), query.get("start-after", "")
    names = sorted(key.removeprefix(f"/{bucket}/") for key in objects)
    found = [name for name in names if name.startswith(prefix) and name > after][:1000]
    rows = "".join(
        f"<Contents><Key>{name}</Key><Size>{len(objects[f'/{bucket}/{name}'])}</Size>"
        "<ETag>x</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for name in found
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>".encode()


async def _serve(delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(delay_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> int:
    """Until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    uvloop.run(_serve(parser.parse_args().delay_ms / 1000))
    return 0


if __name__ == "__main__":
    sys.exit(main())
