"""Who may ask for what: the modalities that are known by a title, and what everybody may.

As in Orthanc a permission that everybody has (``DicomAlwaysAllow…``) cannot be withdrawn from one.
Of several modalities with one title, those at the address of the caller count, or all of them.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from wherry.model import Modality

if TYPE_CHECKING:
    from wherry.config.dimse import DimseConfig
    from wherry.modalities import ModalityBook


class Permission(StrEnum):
    """Fields of ``Modality``; most have a counterpart for everybody in ``DimseConfig``."""

    ECHO = "allow_echo"
    STORE = "allow_store"
    FIND = "allow_find"
    FIND_WORKLIST = "allow_find_worklist"
    GET = "allow_get"
    MOVE = "allow_move"
    N_ACTION = "allow_n_action"
    EVENT_REPORT = "allow_event_report"


@dataclass(frozen=True, slots=True)
class Rights:
    """What one caller may."""

    modalities: tuple[Modality, ...]
    """Those it may be; empty: nobody knows it."""
    permissions: frozenset[Permission]


def rights(config: DimseConfig, book: ModalityBook, calling: str, remote_ip: str) -> Rights:
    """What the caller with this title and address may. Blocking: asks the index, and with several
    modalities of one title the name service."""
    known = book.with_title(calling)
    if known and (config.check_modality_host or len(known) > 1):
        here = [one for one in known if is_at(one.host, remote_ip)]
        known = here if here or config.check_modality_host else known
        if not known:  # a known title from elsewhere
            return Rights((), frozenset())
    return Rights(
        tuple(known),
        frozenset(
            one
            for one in Permission
            if getattr(config, f"always_{one}", False) or any(getattr(m, one) for m in known)
        ),
    )


def is_at(host: str, remote_ip: str) -> bool:
    """Whether a host has this address. Blocking when it is a name."""
    try:
        remote = _plain(ipaddress.ip_address(remote_ip.partition("%")[0]))
    except ValueError:
        return False
    try:
        return _plain(ipaddress.ip_address(host)) == remote
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(
        _plain(ipaddress.ip_address(str(one[4][0]).partition("%")[0])) == remote for one in found
    )


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 address in the clothes of IPv6 without them."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
