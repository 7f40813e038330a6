"""The index of an earlier version, with what a later one holds as far as it knew of it."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.index import schema
from wherry.index.database import Index, Transaction
from wherry.index.opening import IndexSettings, open_index

_FIRST = ("patients", "studies", "series", "transfers", "queries")
"""Tables that others refer to."""
_RENAMED = {("transfer_instances", "md5"): "digest"}
"""Columns that have another name in this version."""


def versions() -> list[str]:
    """All before this one."""
    return [version for version in schema.versions() if version != schema.VERSION]


def make(settings: IndexSettings, version: str, source: Index) -> None:
    """An index of ``version`` in the place of ``settings``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "VERSION", version)
        index = open_index(settings)
        with source.read() as tx:
            everything = {table: (names, rows(tx, table, names)) for table, names in known(tx)}
        index.write(lambda tx: _fill(tx, everything))
        index.close()


def known(tx: Transaction) -> list[tuple[str, tuple[str, ...]]]:
    """Tables and their columns."""
    if tx.dialect == "sqlite":
        found = tx.all(
            "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c"
            " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%'"
        )
    else:
        found = tx.all(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public'"
        )
    tables: dict[str, list[str]] = {}
    for table, column in found:
        tables.setdefault(table, []).append(column)
    del tables["alembic_version"]
    order = {table: position for position, table in enumerate(_FIRST)}
    return [
        (table, tuple(sorted(names)))
        for table, names in sorted(tables.items(), key=lambda one: order.get(one[0], len(order)))
    ]


def named_now(table: str, column: str) -> str:
    """The name of a column in this version."""
    return _RENAMED.get((table, column), column)


def rows(tx: Transaction, table: str, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """All of a table, sorted."""
    found = tx.all(f"SELECT {', '.join(columns)} FROM {table}")
    return sorted(found, key=repr)


def _fill(
    tx: Transaction, everything: dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]]
) -> None:
    tx.run("DELETE FROM totals")
    for table, columns in known(tx):
        names, content = everything.get(table, ((), []))
        common = tuple(name for name in columns if named_now(table, name) in names)
        places = [names.index(named_now(table, name)) for name in common]
        if content and common:
            tx.insert(table, common, [tuple(row[at] for at in places) for row in content])
