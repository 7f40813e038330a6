"""``Wherry.ForbiddenPeerAddresses``: networks that no request to a peer may lead into."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from wherry.config import place as check
from wherry.config.place import Place

type_network = ipaddress.IPv4Network | ipaddress.IPv6Network

LINK_LOCAL: Final[tuple[type_network, ...]] = (
    ipaddress.IPv4Network("169.254.0.0/16"),
    ipaddress.IPv6Network("fe80::/10"),
    ipaddress.IPv6Network("fd00:ec2::254/128"),
)
"""No peer lives there, but at 169.254.169.254 most clouds hand out their credentials, and AWS at
the last one too."""


def networks(value: Any, place: Place) -> tuple[type_network, ...]:
    """Read a list of networks (``10.0.0.0/8``) and single addresses. Raises
    ``ConfigurationError``."""
    return tuple(_network(text, place) for text in check.strings(value, place))


def _network(text: str, place: Place) -> type_network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:  # its words quote the text, and name bits set behind the prefix
        raise place.error(f"must hold networks such as 10.0.0.0/8: {error}") from None
