"""Whether a server is started beside the store of an Orthanc that should be adopted first.

A module of its own, because every start asks, and adopting (``adoption``) needs much that a server
does not.
"""

from __future__ import annotations

from wherry.config import Config
from wherry.index import adopting
from wherry.index.database import Index
from wherry.index.orthanc.opening import NAME, seems_there


def overlooked(config: Config, index: Index) -> str:
    """A sentence for who starts an empty archive beside the index of an Orthanc; "" = it is none,
    or was adopted."""
    if not seems_there(config.index_directory):
        return ""
    with index.read() as tx:
        if adopting.adopted(tx) is not None or not adopting.is_empty(tx):
            return ""
    return (
        f"An Orthanc's index lies here ({config.index_directory / NAME}), this archive is empty:"
        " stop, and run `wherry adopt` first; it refuses once something is stored"
    )
