"""One attempt to hand a delivery to a program over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from wherry import clock, limits
from wherry.config import Config
from wherry.config.webhooks import Webhook
from wherry.errors import NetworkProtocol
from wherry.index.webhooks import Delivery
from wherry.model import Peer
from wherry.peers.bodies import BytesBody
from wherry.peers.client import PeerClient, Request, connect
from wherry.peers.refusal import PeerRefusal
from wherry.storage.base import type_read
from wherry.webhooks.signing import signed_headers

_JSON: Final = "application/json"
_PLAIN: Final = {"Accept-Encoding": "identity"}
"""The bytes of the answer mean nothing, but it should end where it says."""


class NotTaken(NetworkProtocol):
    """The program did not say yes; whatever the reason, it may say so later."""

    temporary = True


class _Enough(Exception):
    """It said yes, and then a lot."""


class Endpoint:
    """The address of a webhook, and connections to it. Close it in the end."""

    def __init__(self, config: Config, webhook: Webhook) -> None:
        """Raises ``ConfigurationError`` for an unusable certificate or proxy."""
        parts = urlsplit(webhook.url)
        self._webhook = webhook
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        peer = Peer(
            name=webhook.name,
            url=f"{parts.scheme}://{parts.netloc}/",
            http_headers=dict(webhook.http_headers),
            timeout_s=webhook.timeout_s,
        )
        self._client = connect(config, peer)

    @property
    def client(self) -> PeerClient:
        """For who must cut its connections, or close them."""
        return self._client

    def post(self, delivery: Delivery) -> None:
        """Returns when the program answered 2xx. Raises ``PeerUnavailable``, ``NotTaken``."""
        data = delivery.body.encode()
        timestamp = int(clock.timestamp())
        headers = signed_headers(self._webhook.secret, delivery.id, timestamp, data)
        try:
            self._send(BytesBody(data, _JSON), headers)
        except _Enough:
            pass
        except PeerRefusal as refusal:
            if not 200 <= refusal.status < 300:
                raise self._not_taken(refusal) from refusal

    def _send(self, body: BytesBody, headers: Mapping[str, str]) -> None:
        def take(read: type_read) -> None:
            buffer = memoryview(bytearray(limits.WEBHOOK_ANSWER_BYTES))
            received = 0
            while size := read(buffer):
                received += size
                if received > limits.WEBHOOK_ANSWER_BYTES:
                    raise _Enough

        request = Request("POST", self._target, "Delivery", body, {**headers, **_PLAIN})
        self._client.fetch(request, take)

    def _not_taken(self, refusal: PeerRefusal) -> NotTaken:
        hint = "; redirects are not followed" if 300 <= refusal.status < 400 else ""
        error = NotTaken(f"Webhook {self._webhook.name} answered {refusal.status}{hint}")
        error.retry_after_s = refusal.retry_after_s
        return error
