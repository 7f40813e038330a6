"""Where a peer may be: the networks that ``Wherry.ForbiddenPeerAddresses`` closes.

Peers may be declared over REST, by name. So it is the address that counts which a connection is
about to be made to, not the one that a name had a moment ago: whoever may declare a peer, or
answers for its name, cannot turn this server against machines that only it can reach.

With an ``HttpProxy`` names are looked up by the proxy, which has rules of its own; addresses in
figures are looked at here all the same.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from wherry.config.networks import type_network
from wherry.errors import Forbidden

type_address = ipaddress.IPv4Address | ipaddress.IPv6Address

_UNSPECIFIED = {
    ipaddress.ip_address("0.0.0.0"): ipaddress.ip_address("127.0.0.1"),  # noqa: S104
    ipaddress.ip_address("::"): ipaddress.ip_address("::1"),
}
"""Who connects to no address in particular reaches this machine."""


class ForbiddenAddress(Forbidden):
    """The configuration does not allow to connect to where a peer is. Trying again is no use."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Holds addresses of one peer against the networks that are forbidden."""

    peer: str
    """Its name, for errors."""
    networks: tuple[type_network, ...] = ()

    def check(self, address: str) -> None:
        """Raises ``ForbiddenAddress`` when ``address``, in figures, lies in one of them."""
        for form in _forms(ipaddress.ip_address(address)):
            for network in self.networks:
                if form in network:
                    raise ForbiddenAddress(
                        f"Peer {self.peer} has an address in {network}, which "
                        '"Wherry.ForbiddenPeerAddresses" forbids'
                    )

    def check_literal(self, host: str) -> None:
        """The same for the host of a URL when it is an address, in any notation; a name passes.
        Raises ``ForbiddenAddress``."""
        host = host.removesuffix(".")
        try:
            address = str(ipaddress.ip_address(host))
        except ValueError:
            try:
                address = socket.inet_ntoa(socket.inet_aton(host))  # 2852039166, 0xa9.254.43518
            except (OSError, UnicodeError):
                return
        self.check(address)


def _forms(address: type_address) -> Iterator[type_address]:
    """The address, and what it is besides."""
    yield address
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
        yield address
    if address in _UNSPECIFIED:
        yield _UNSPECIFIED[address]
