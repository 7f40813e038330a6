"""Which peers have the transfers accelerator, and what else can be said of them.

Somebody waits in front of a dialog. So all peers are asked at once, each question has
``PeerConnectivityTimeout`` for all of it, and what has not answered in the end counts as out of
reach: neither a dead peer nor one that drips bytes hides the others. What no timeout reaches is the
look-up of a name; a thread that hangs there is left behind, and there is a bound on those.

Not here: what is done about a peer that is out of reach (the jobs try again).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Final

import orjson

from wherry import clock, limits
from wherry.config import Config
from wherry.errors import NetworkProtocol, WherryError
from wherry.model import Peer, type_json
from wherry.peers import PeerBook
from wherry.peers.client import PeerClient, Request
from wherry.transfers.plan import ask_what_is_missing

PLUGIN: Final = "transfers"
"""Name under which ``/plugins`` announces the accelerator."""
DISABLED, INSTALLED, BIDIRECTIONAL = "disabled", "installed", "bidirectional"


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of one peer."""

    state: str
    version: str = ""
    """Of its ``/system``."""
    dialect: str = ""
    """``wherry`` or ``stock``."""
    round_trip_ms: float | None = None
    """Of a small request over a connection that is open."""
    error: str = ""
    """Why it is disabled."""

    def shown(self) -> dict[str, type_json]:
        """As JSON; what is not known is left out."""
        members = {
            "State": self.state,
            "Version": self.version,
            "Dialect": self.dialect,
            "RoundTripMs": self.round_trip_ms,
            "Error": self.error,
        }
        return {name: value for name, value in members.items() if value not in ("", None)}


type_ask = Callable[[Request], bytes]
type_probe = Callable[[Peer, type_ask], Found]


class Probing:
    """Asks all peers. Blocking; from any thread."""

    def __init__(
        self, config: Config, peers: PeerBook, client: Callable[[Peer], PeerClient]
    ) -> None:
        """``client``: makes the connections to a peer."""
        transfers = config.transfers
        self._timeout_s = transfers.peer_connectivity_timeout_s or config.http_timeout_s
        self._peers = peers
        self._client = client
        self._threads = threading.BoundedSemaphore(limits.PEER_PROBES)

    def states(self) -> dict[str, str]:
        """``disabled``, ``installed`` or ``bidirectional`` for each peer."""
        return {name: found.state for name, found in self._ask_all(_look, 1).items()}

    def details(self) -> dict[str, dict[str, type_json]]:
        """State, version, dialect and round trip of each peer, and why it is disabled."""
        return {name: found.shown() for name, found in self._ask_all(_look_closer, 3).items()}

    def _ask_all(self, probe: type_probe, questions: int) -> dict[str, Found]:
        """``questions``: as many as ``probe`` has at most."""
        peers = self._peers.all()
        rounds = math.ceil(len(peers) / limits.PEER_PROBES)
        within_s = rounds * questions * self._timeout_s + limits.PEER_PROBE_SPARE_S
        end = clock.monotonic() + within_s
        answers: SimpleQueue[tuple[str, Found]] = SimpleQueue()
        for peer in peers:
            if not self._threads.acquire(timeout=_until(end)):
                break
            work = (peer, probe, answers)
            threading.Thread(target=self._ask, args=work, name="peer-probe", daemon=True).start()
        silent = Found(DISABLED, error=f"No answer within {within_s:g} seconds")
        found = {peer.name: silent for peer in peers}
        for _ in peers:
            try:
                name, answer = answers.get(timeout=_until(end))
            except Empty:
                break
            found[name] = answer
        return found

    def _ask(self, peer: Peer, probe: type_probe, answers: SimpleQueue[tuple[str, Found]]) -> None:
        try:
            with self._client(peer) as client:
                found = probe(peer, lambda request: client.ask(self._hasty(request)).body)
        except WherryError as error:
            found = Found(DISABLED, error=str(error))
        finally:
            self._threads.release()
        answers.put((peer.name, found))

    def _hasty(self, request: Request) -> Request:
        return replace(request, timeout_s=self._timeout_s, whole_s=self._timeout_s)


def _look(peer: Peer, ask: type_ask) -> Found:
    """One question. Raises ``WherryError`` when there is no answer."""
    plugins = _parsed(ask(Request("GET", "/plugins", "look for the accelerator")))
    if not isinstance(plugins, list) or PLUGIN not in plugins:
        return Found(DISABLED, error=f"Peer {peer.name} has no transfers accelerator")
    return Found(INSTALLED if peer.remote_self is None else BIDIRECTIONAL)


def _look_closer(peer: Peer, ask: type_ask) -> Found:
    """Three questions; the first one decides of the state. Raises ``WherryError``."""
    found = _look(peer, ask)
    began = clock.monotonic()
    try:
        system = _parsed(ask(Request("GET", "/system", "ask for /system")))
        round_trip_ms = round((clock.monotonic() - began) * 1000, 1)
        found = replace(found, version=_version(system), round_trip_ms=round_trip_ms)
        if found.state != DISABLED:
            found = replace(found, dialect=ask_what_is_missing(ask, ask, (), (), tuple)[1])
    except NetworkProtocol:  # it does not say; it has the accelerator all the same
        pass
    return found


def _version(system: type_json) -> str:
    text = system.get("Version") if isinstance(system, dict) else None
    if not isinstance(text, str) or not text.isprintable():
        return ""
    return text[: limits.PEER_VERSION_CHARACTERS]


def _parsed(body: bytes) -> type_json:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise NetworkProtocol("The peer does not answer with JSON: is it an Orthanc?") from None


def _until(end: float) -> float:
    return max(0.0, end - clock.monotonic())
