"""The servers that this one knows: those of the configuration, and those declared over REST.

What REST changes is kept in the index, so that it survives a restart and every process sees it; it
lies over the configuration: an entry of the same name hides the configured one, and a deletion
hides it too.

With ``OrthancPeersInDatabase`` the configured peers are not looked at.

Not here: how peers are shown (``rest``), what is said to them (``client``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry import limits
from wherry.config.peers import read_peer
from wherry.errors import (
    BadFileFormat,
    ConfigurationError,
    InexistentItem,
    TooLarge,
    UnknownResource,
)
from wherry.index import settings
from wherry.index.database import Index, Transaction
from wherry.model import Peer, type_json

if TYPE_CHECKING:
    from wherry.config import Config

_KEY = "peers"


class PeerBook:
    """All peers by name. Blocking; from any thread."""

    def __init__(self, config: Config, index: Index) -> None:
        in_database = config.orthanc_peers_in_database
        self._configured = {} if in_database else dict(config.orthanc_peers)
        self._index = index

    def all(self) -> list[Peer]:
        """Every peer, sorted by name."""
        found = dict(self._configured)
        for name, entry in self._declared().items():
            if entry is None:
                found.pop(name, None)
            else:
                found[name] = read_peer(name, entry)
        return [found[name] for name in sorted(found)]

    def names(self) -> list[str]:
        """Every name, sorted."""
        return [peer.name for peer in self.all()]

    def get(self, name: str) -> Peer:
        """One peer. Raises ``UnknownResource``."""
        declared = self._declared()
        if name in declared:
            if declared[name] is not None:
                return read_peer(name, declared[name])
        elif name in self._configured:
            return self._configured[name]
        raise UnknownResource(f"No peer is called {name[: limits.PEER_NAME_CHARACTERS]}")

    def put(self, name: str, entry: type_json) -> None:
        """Declare a peer, in one of the forms of ``OrthancPeers`` (``URL`` may stand for ``Url``).

        Raises ``BadFileFormat`` when it makes no sense, ``TooLarge`` when there are too many.
        """
        if isinstance(entry, dict) and "URL" in entry:
            entry = {**entry, "Url": entry["URL"]}
            del entry["URL"]
        if not name or len(name) > limits.PEER_NAME_CHARACTERS or not name.isprintable():
            raise BadFileFormat("The name of a peer is 1 to 128 printable characters")
        _check_url(entry)
        try:
            read_peer(name, entry)
        except ConfigurationError as error:
            raise BadFileFormat(error.details) from None

        def work(tx: Transaction) -> None:
            declared = settings.get(tx, _KEY) or {}
            declared[name] = entry
            if len(declared) > limits.PEERS:
                raise TooLarge(f"At most {limits.PEERS} peers may be declared")
            settings.put(tx, _KEY, declared)

        self._index.write(work)

    def remove(self, name: str) -> None:
        """Forget a peer. Raises ``InexistentItem`` when there is none."""

        def work(tx: Transaction) -> None:
            declared = settings.get(tx, _KEY) or {}
            known = declared[name] is not None if name in declared else name in self._configured
            if not known:
                raise InexistentItem(f"No peer is called {name[: limits.PEER_NAME_CHARACTERS]}")
            if name in self._configured:
                declared[name] = None
            else:
                del declared[name]
            settings.put(tx, _KEY, declared)

        self._index.write(work)

    def _declared(self) -> dict[str, type_json]:
        with self._index.read() as tx:
            return dict(settings.get(tx, _KEY) or {})


def _check_url(entry: type_json) -> None:
    """Say it in the words of the original. Raises ``BadFileFormat``."""
    url = entry.get("Url", "") if isinstance(entry, dict) else entry
    if isinstance(entry, list):
        url = entry[0] if entry else ""
    if url == "":
        raise BadFileFormat("Empty URL")
    if isinstance(url, str) and not url.startswith(("http://", "https://")):
        raise BadFileFormat(f"Bad URL: {url[: limits.PEER_ERROR_CHARACTERS]}")
