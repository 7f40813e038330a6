"""Orthanc-style JSON configuration: read, merged, checked and typed, before anything starts.

The only room that reads the environment. ``load`` is called once by the command line; everybody
else receives a finished ``Config`` and can rely on it: types, ranges and files were checked.

    document     text of files → merged JSON values that know where they were said
    environment  ``ORTHANC__STABLE_AGE=30`` → the same
    keys         the table of known keys, ours and those of Orthanc not honoured yet
    settings     the frozen dataclasses
    security     who may come in, and what is refused there
    loading      one into the other; warnings

Not here: the state that REST changes at run time (peers that were PUT live in the index).
"""

from wherry.config.loading import load
from wherry.config.peers import read_peer
from wherry.config.settings import Config, TransfersConfig, WherryConfig

__all__ = ["Config", "TransfersConfig", "WherryConfig", "load", "read_peer"]
