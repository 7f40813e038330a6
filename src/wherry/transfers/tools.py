"""What both kinds of transfer jobs are made with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from wherry import limits
from wherry.config import Config
from wherry.errors import CorruptedFile, WherryError
from wherry.model import Manifest, Peer
from wherry.peers import PeerBook
from wherry.peers.client import PeerClient, connect
from wherry.peers.patience import Patience
from wherry.peers.refusal import PeerRefusal
from wherry.storage.base import StorageArea
from wherry.transfers.pace import Pace, Paces
from wherry.transfers.progress import Retries
from wherry.transfers.protocol import render_push
from wherry.transfers.receipts import Receipts
from wherry.transfers.reception import Reception
from wherry.transfers.source import Source
from wherry.transfers.throttle import Throttles

_FAR_S = 0.05
_NEAR = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Tools:
    """The rooms and settings that a transfer job uses."""

    config: Config
    storage: StorageArea
    peers: PeerBook
    source: Source
    reception: Reception
    receipts: Receipts
    paces: Paces
    throttles: Throttles

    def pace(
        self, peer: Peer, compression: str, *, blocks: bool, answered_s: float = _FAR_S
    ) -> Pace:
        """The pace of a transfer; ``blocks``: whether the peer is a Wherry; ``answered_s``: how
        long its first answer took."""
        near = (urlsplit(peer.url).hostname or "") in _NEAR and answered_s < _FAR_S
        return self.paces.pace(peer.name, compression, blocks=blocks, near=near)

    def client(self, peer: Peer) -> PeerClient:
        """Connections to a peer. Raises ``ConfigurationError`` for an unusable certificate."""
        return connect(self.config, peer)

    def patience(self, wait: Callable[[float], None], retries: Retries) -> Patience:
        """How often requests are tried; ``retries`` counts."""
        most = max(limits.PEER_RETRIES, self.config.transfers.max_http_retries)
        return Patience(wait, most, doubting=True, again=retries.more)


def digest_of(manifest: Manifest) -> str:
    """Tells whether two manifests are the same."""
    return hashlib.sha256(render_push(manifest)).hexdigest()


def cause_of(error: WherryError) -> WherryError:
    """The error of a job for that of a request: what the peer found corrupted is corrupted."""
    if isinstance(error, PeerRefusal) and error.peer_code == CorruptedFile.code:
        return CorruptedFile(error.details)
    return error
