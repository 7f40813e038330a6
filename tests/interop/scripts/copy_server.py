"""How people copy a server: every instance of one is fetched and handed to the other.

    python copy_server.py http://user:password@source:8042 http://target:8042 [--gzip] [--delete]

Written for these tests from the description in the Orthanc Book (page "Replication and upgrade").
"""

from __future__ import annotations

import gzip
import json
import sys
import urllib.request
from urllib.parse import urlsplit


class Place:
    """A server, with an opener that answers its challenge."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = f"{parts.scheme}://{parts.hostname}:{parts.port}"
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        if parts.username:
            passwords.add_password(None, self.url, parts.username, parts.password or "")
        self._opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, names, method=method)
        with self._opener.open(request, timeout=60) as answer:
            content: bytes = answer.read()
            return content


def main(source_url: str, target_url: str, *options: str) -> None:
    source, target = Place(source_url), Place(target_url)
    for instance in json.loads(source.ask("GET", "/instances")):
        content = source.ask("GET", f"/instances/{instance}/file")
        if "--gzip" in options:
            packed = gzip.compress(content)
            target.ask("POST", "/instances", packed, Content_Encoding="gzip")
        else:
            target.ask("POST", "/instances", content, Content_Type="application/dicom")
        if "--delete" in options:
            source.ask("DELETE", f"/instances/{instance}")


if __name__ == "__main__":
    main(*sys.argv[1:])
