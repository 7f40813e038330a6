"""The servers that this one knows: those of the configuration, and those declared over REST
(``index.declared``).

With ``OrthancPeersInDatabase`` the configured peers are not looked at.

Not here: how peers are shown (``rest``), what is said to them (``client``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry import limits
from wherry.config.peers import read_peer
from wherry.errors import BadFileFormat, InexistentItem, UnknownResource
from wherry.index.database import Index
from wherry.index.declared import Declared
from wherry.model import Peer, type_json

if TYPE_CHECKING:
    from wherry.config import Config


class PeerBook:
    """All peers by name. Blocking; from any thread."""

    def __init__(self, config: Config, index: Index) -> None:
        configured = {} if config.orthanc_peers_in_database else config.orthanc_peers
        self._peers = Declared(index, "peers", configured, read_peer, limits.PEERS)

    def all(self) -> list[Peer]:
        """Every peer, sorted by name."""
        return list(self._peers.all().values())

    def names(self) -> list[str]:
        """Every name, sorted."""
        return list(self._peers.all())

    def get(self, name: str) -> Peer:
        """One peer. Raises ``UnknownResource``."""
        try:
            return self._peers.get(name)
        except InexistentItem:
            shown = name[: limits.PEER_NAME_CHARACTERS]
            raise UnknownResource(f"No peer is called {shown}") from None

    def put(self, name: str, entry: type_json) -> None:
        """Declare a peer, in one of the forms of ``OrthancPeers`` (``URL`` may stand for ``Url``).

        Raises ``BadFileFormat`` when it makes no sense, ``TooLarge`` when there are too many.
        """
        if isinstance(entry, dict) and "URL" in entry:
            entry = {**entry, "Url": entry["URL"]}
            del entry["URL"]
        _check_url(entry)
        self._peers.put(name, entry)

    def remove(self, name: str) -> None:
        """Forget a peer. Raises ``InexistentItem`` when there is none."""
        self._peers.remove(name)


def _check_url(entry: type_json) -> None:
    """Say it in the words of the original. Raises ``BadFileFormat``."""
    url = entry.get("Url", "") if isinstance(entry, dict) else entry
    if isinstance(entry, list):
        url = entry[0] if entry else ""
    if url == "":
        raise BadFileFormat("Empty URL")
    if isinstance(url, str) and not url.startswith(("http://", "https://")):
        raise BadFileFormat(f"Bad URL: {url[: limits.PEER_ERROR_CHARACTERS]}")
