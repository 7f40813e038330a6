"""Lines of columns, with notes to each: beside the columns where there is room, else beneath.

rich's own tables would squeeze the notes into a narrow column, or break the lines of all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

_GAP = 2
_ROOM = 36
"""Notes narrower than this are better read beneath."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    heading: str
    right: bool = False
    """Whether its cells end at one line, as numbers do."""
    least: int = 0
    """Its width, when nothing in it is wider."""
    most: int = 1000
    """Longer cells are cut."""


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one line, and what else is to be said of it."""

    cells: Sequence[Text]
    notes: Sequence[Text]


def lay_out(
    console: Console, columns: Sequence[Column], rows: Sequence[Row], width: int | None
) -> list[list[Text]]:
    """The headings, then each row: lines of at most ``width`` (None = one line a row)."""
    heads = [Text(column.heading, "bold") for column in columns]
    widths = [
        min(max([column.least, cell.cell_len, *(row.cells[n].cell_len for row in rows)]), most)
        for n, (column, cell) in enumerate(zip(columns, heads, strict=True))
        for most in (column.most,)
    ]
    main = sum(widths) + _GAP * (len(widths) - 1)
    longest = max([note.cell_len for row in rows for note in row.notes], default=0)
    title = Text("What", "bold") if longest else Text()
    if width is None:
        return [
            [_line(columns, widths, row.cells, Text(" " * _GAP).join([Text(), *row.notes]))]
            for row in [Row(heads, [title]), *rows]
        ]
    room = width - main - _GAP
    if room >= min(longest, _ROOM):
        blocks = [[_line(columns, widths, heads, Text(" " * _GAP) + title)]]
        return blocks + [_beside(console, columns, widths, row, room) for row in rows]
    indent = widths[0] + _GAP
    blocks = [[_line(columns, widths, heads, Text())]]
    for row in rows:
        notes = _wrapped(console, row.notes, max(width - indent, 1))
        lines = [_line(columns, widths, row.cells, Text())]
        blocks.append(lines + [Text(" " * indent) + note for note in notes])
    return blocks


def _beside(
    console: Console, columns: Sequence[Column], widths: Sequence[int], row: Row, room: int
) -> list[Text]:
    first, *others = _wrapped(console, row.notes, room) or [Text()]
    main = sum(widths) + _GAP * len(widths)
    line = _line(columns, widths, row.cells, Text(" " * _GAP) + first)
    return [line, *(Text(" " * main) + other for other in others)]


def _line(
    columns: Sequence[Column], widths: Sequence[int], cells: Sequence[Text], end: Text
) -> Text:
    padded = []
    for column, width, cell in zip(columns, widths, cells, strict=True):
        text = cell.copy()
        text.truncate(width, overflow="ellipsis")
        space = Text(" " * (width - text.cell_len))
        padded.append(space + text if column.right else text + space)
    line = Text(" " * _GAP).join(padded) + end
    line.rstrip()
    return line


def _wrapped(console: Console, notes: Sequence[Text], width: int) -> list[Text]:
    lines = [line for note in notes for line in note.wrap(console, width)]
    for line in lines:
        line.rstrip()
    return lines
