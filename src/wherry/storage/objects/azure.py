"""An Azure container: its connection string, and how it is made.

The store's own library neither reads such a string nor makes a container.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
from typing import Any
from urllib.parse import urlsplit

from wherry import clock
from wherry.errors import ConfigurationError, StorageUnavailable

_VERSION = "2021-08-06"
_CREATED, _EXISTS = 201, 409


class AzureContainer:
    """Raises ``ConfigurationError`` for a connection string that lacks what is needed."""

    def __init__(self, connection_string: str, container: str) -> None:
        parts = dict(
            part.strip().split("=", 1) for part in connection_string.split(";") if "=" in part
        )
        known = {name.lower(): value for name, value in parts.items()}
        self._container = container
        self._account = known.get("accountname", "")
        self._key = known.get("accountkey", "")
        self._signature = known.get("sharedaccesssignature", "").removeprefix("?")
        self._endpoint = known.get("blobendpoint", "").rstrip("/")
        if not self._endpoint:
            scheme = known.get("defaultendpointsprotocol", "https")
            suffix = known.get("endpointsuffix", "core.windows.net")
            self._endpoint = f"{scheme}://{self._account}.blob.{suffix}"
        if not self._account:
            self._account = (urlsplit(self._endpoint).hostname or "").partition(".")[0]
        if not self._account or not (self._key or self._signature):
            raise ConfigurationError(
                '"AzureBlobStorage.ConnectionString" must hold AccountName, and AccountKey or '
                "SharedAccessSignature"
            )

    def credentials(self) -> dict[str, Any]:
        """For the store."""
        secret = {"account_key": self._key} if self._key else {"sas_key": self._signature}
        return {"account_name": self._account, "endpoint": self._endpoint, **secret}

    def create(self, timeout_s: float) -> None:
        """Make the container unless it is there. Raises ``StorageUnavailable``,
        ``ConfigurationError``."""
        address = urlsplit(self._endpoint)
        kind = (
            http.client.HTTPConnection if address.scheme == "http" else http.client.HTTPSConnection
        )
        connection = kind(address.netloc, timeout=timeout_s)
        path = f"{address.path}/{self._container}"
        try:
            connection.request("PUT", f"{path}?{self._query()}", b"", self._headers(path))
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise StorageUnavailable("The object storage does not answer") from error
        finally:
            connection.close()
        if status not in (_CREATED, _EXISTS):
            raise ConfigurationError(
                f'"AzureBlobStorage.ContainerName": the container cannot be made ({status})'
            )

    def _query(self) -> str:
        signature = f"&{self._signature}" if self._signature and not self._key else ""
        return f"restype=container{signature}"

    def _headers(self, path: str) -> dict[str, str]:
        date = clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
        headers = {"x-ms-date": date, "x-ms-version": _VERSION}
        if self._key:
            # Shared Key: the verb, eleven standard headers that are empty, ours, the resource.
            named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
            text = f"PUT{12 * chr(10)}{named}/{self._account}{path}\nrestype:container"
            digest = hmac.digest(base64.b64decode(self._key), text.encode(), hashlib.sha256)
            signature = base64.b64encode(digest).decode("ascii")
            headers["Authorization"] = f"SharedKey {self._account}:{signature}"
        return headers
