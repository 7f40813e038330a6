"""Entries by name that the configuration has and REST may change: peers, modalities.

What REST changes is kept in the index, so that it survives a restart and every process sees it; it
lies over the configuration: an entry of the same name hides the configured one, and a deletion
hides it too.

Not here: what an entry means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from wherry import limits
from wherry.errors import BadFileFormat, ConfigurationError, InexistentItem, TooLarge
from wherry.index import settings
from wherry.index.database import Index, Transaction
from wherry.model import type_json

T = TypeVar("T")


class Declared(Generic[T]):
    """All entries of one kind. Blocking; from any thread."""

    def __init__(
        self,
        index: Index,
        key: str,
        configured: Mapping[str, T],
        read: Callable[[str, type_json], T],
        most: int,
    ) -> None:
        """``key``: of the document in the index. ``read`` makes a value of name and entry, and
        raises ``ConfigurationError`` when it makes no sense. ``most``: of declared ones."""
        self._index = index
        self._key = key
        self._configured = dict(configured)
        self._read = read
        self._most = most

    def all(self) -> dict[str, T]:
        """Every entry, sorted by name."""
        found = dict(self._configured)
        for name, entry in self._documents().items():
            if entry is None:
                found.pop(name, None)
            else:
                found[name] = self._read(name, entry)
        return dict(sorted(found.items()))

    def get(self, name: str) -> T:
        """One entry. Raises ``InexistentItem``."""
        declared = self._documents()
        if name in declared:
            if declared[name] is not None:
                return self._read(name, declared[name])
        elif name in self._configured:
            return self._configured[name]
        raise InexistentItem(f"Nothing is called {name[: limits.PEER_NAME_CHARACTERS]}")

    def put(self, name: str, entry: type_json) -> None:
        """Declare one. Raises ``BadFileFormat`` when it makes no sense, ``TooLarge`` when there
        are too many."""
        if not name or len(name) > limits.PEER_NAME_CHARACTERS or not name.isprintable():
            raise BadFileFormat("A name is 1 to 128 printable characters")
        try:
            self._read(name, entry)
        except ConfigurationError as error:
            raise BadFileFormat(error.details) from None

        def work(tx: Transaction) -> None:
            declared = settings.get(tx, self._key) or {}
            declared[name] = entry
            if len(declared) > self._most:
                raise TooLarge(f"At most {self._most} may be declared")
            settings.put(tx, self._key, declared)

        self._index.write(work)

    def remove(self, name: str) -> None:
        """Forget one. Raises ``InexistentItem`` when there is none."""

        def work(tx: Transaction) -> None:
            declared = settings.get(tx, self._key) or {}
            known = declared[name] is not None if name in declared else name in self._configured
            if not known:
                raise InexistentItem(f"Nothing is called {name[: limits.PEER_NAME_CHARACTERS]}")
            if name in self._configured:
                declared[name] = None
            else:
                del declared[name]
            settings.put(tx, self._key, declared)

        self._index.write(work)

    def _documents(self) -> dict[str, type_json]:
        with self._index.read() as tx:
            return dict(settings.get(tx, self._key) or {})
