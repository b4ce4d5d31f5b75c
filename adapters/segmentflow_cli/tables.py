"""Tables for people, as wide as there is room: ids and times get short before anything is left out.

A terminal has so much room. Where nobody said how much there is, as in a pipe, every row is one
line with everything in it, whole.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

from attrs import evolve, frozen
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Column", "laid_out", "room", "say", "short_id", "shortened_ids", "visible"]

Kind: TypeAlias = Literal["text", "word", "id", "ids", "time", "day"]

_GAP: Final = 2
_NARROWEST: Final = 80
"""A terminal that is narrower folds lines itself."""

_LONGEST_WORD: Final = 40
"""Before a longer word is folded, a spare column is left out."""

_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LAST_GROUP: Final = 12
_FRACTION: Final = re.compile(r"(?<=:[0-9]{2})\.[0-9]+(?=Z)")
_OF_THE_DAY: Final = re.compile(r"(?<=[0-9]{4}-[0-9]{2}-[0-9]{2})T.*", re.DOTALL)
_FOLDED: Final[tuple[Kind, ...]] = ("text", "ids")
_WITH_IDS: Final[tuple[Kind, ...]] = ("id", "ids")


@frozen
class Column:
    """One column of a table.

    Attributes:
        name: its head.
        kind: ``text`` is folded, ``word`` never is, ``id`` and ``time`` get short, ``ids`` are
            several ids in one cell, and a ``day`` is a time whose date alone will do.
        spare: it is left out where there is no room, the last of them first.
    """

    name: str
    kind: Kind = "text"
    spare: bool = False


@frozen
class _Page:
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]

    def each(self, kinds: tuple[Kind, ...], change: Callable[[str], str]) -> _Page:
        """Return the page with the cells of these kinds changed."""
        changes = [change if column.kind in kinds else _same for column in self.columns]
        rows = (
            tuple(change(cell) for change, cell in zip(changes, row, strict=True))
            for row in self.rows
        )
        return evolve(self, rows=tuple(rows))

    def without(self, index: int) -> _Page:
        """Return the page without one column."""
        rows = (row[:index] + row[index + 1 :] for row in self.rows)
        return _Page(self.columns[:index] + self.columns[index + 1 :], tuple(rows))

    def table(self, widths: Sequence[int]) -> Table:
        """Return the page as rich prints it."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column, width in zip(self.columns, widths, strict=True):
            folded = column.kind in _FOLDED
            table.add_column(column.name, no_wrap=not folded, overflow="fold", width=width)
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        # However wide the console is: who lays out the page has measured the room.
        table.width = sum(widths) + _GAP * (len(widths) - 1)
        return table

    def natural(self) -> list[int]:
        """Return how wide each column is with every row on one line."""
        return [max(map(cell_len, cells)) for cells in self._cells()]

    def least(self) -> list[int]:
        """Return how wide each column is with its texts folded, if it may be, between words."""
        return [
            max(min(cell_len(word), _LONGEST_WORD) for cell in cells for word in cell.split(" "))
            if column.kind in _FOLDED
            else max(map(cell_len, cells))
            for column, cells in zip(self.columns, self._cells(), strict=True)
        ]

    def room(self, width: int) -> int:
        """Return how much of a width is left for cells."""
        return width - _GAP * (len(self.columns) - 1)

    def _cells(self) -> Iterable[tuple[str, ...]]:
        heads = tuple(column.name for column in self.columns)
        return zip(heads, *self.rows, strict=True)


def _same(cell: str) -> str:
    return cell


def room(console: Console) -> int | None:
    """Return how many columns there are to fill; None where nobody said: a pipe, or a file."""
    return console.width if console.is_terminal or os.environ.get("COLUMNS") else None


def say(console: Console, line: str | Text, style: str = "default", *, end: str = "\n") -> None:
    """Print a sentence, folded between words where there is little room; no word is broken."""
    text = Text(visible(line), style) if isinstance(line, str) else line
    width = room(console)
    if width is None:
        console.print(text, soft_wrap=True, end=end)
        return
    longest = max(map(cell_len, text.plain.split()), default=0)
    console.print(text, width=max(width, longest), crop=False, end=end)


def laid_out(columns: Sequence[Column], rows: Iterable[Sequence[Any]], width: int | None) -> Table:
    """Lay out rows as a table no wider than `width`; None is as wide as needed.

    What does not fit gets shorter in this order: times lose their fractions, ids all but their
    last group, then texts are folded, once days and spare columns have made room for that. No id
    of a record is ever cut or folded, nor any other word that is not longer than `_LONGEST_WORD`
    where there is room for it.
    """
    page = _Page(tuple(columns), tuple(tuple(_cell(cell) for cell in row) for row in rows))
    if width is None:
        return page.table(page.natural())
    width = max(width, _NARROWEST)
    page = _fitted(page, width)
    return page.table(_widths(page, page.room(width)))


def _fitted(page: _Page, width: int) -> _Page:
    for shorten in (_without_fractions, _with_short_ids):
        if sum(page.natural()) <= page.room(width):
            return page
        page = shorten(page)
    if sum(page.least()) > page.room(width):
        page = page.each(("day",), lambda cell: _OF_THE_DAY.sub("", cell))
    while sum(page.least()) > page.room(width):
        spare = [index for index, column in enumerate(page.columns) if column.spare]
        if not spare:
            break
        page = page.without(spare[-1])
    return page


def _widths(page: _Page, width: int) -> list[int]:
    """Give each column what it needs at least, and what is left to those that want more."""
    widths, natural = page.least(), page.natural()
    folded = [index for index, column in enumerate(page.columns) if column.kind in _FOLDED]
    while sum(widths) > width and any(widths[index] > 1 for index in folded):
        widths[max(folded, key=widths.__getitem__)] -= 1
    wanting = [index for index in folded if widths[index] < natural[index]]
    while wanting and sum(widths) < width:
        widths[min(wanting, key=widths.__getitem__)] += 1
        wanting = [index for index in wanting if widths[index] < natural[index]]
    return widths


def _cell(cell: Any) -> str:
    return visible(str(cell)).replace("\n", "\\u000a")


def _without_fractions(page: _Page) -> _Page:
    return page.each(("time", "day"), lambda cell: _FRACTION.sub("", cell))


def _with_short_ids(page: _Page) -> _Page:
    # Of all columns together: no two ids of one page look alike.
    cells = [
        row[index]
        for index, column in enumerate(page.columns)
        if column.kind in _WITH_IDS
        for row in page.rows
    ]
    short = shortened_ids(found for cell in cells for found in _ID.findall(cell))
    return page.each(_WITH_IDS, lambda cell: _ID.sub(lambda found: short[found[0]], cell))


def short_id(identifier: str) -> str:
    """Return the last group of an id, which no other id shares but by a rare chance."""
    return identifier[-_LAST_GROUP:] if _ID.fullmatch(identifier) else identifier


def shortened_ids(ids: Iterable[str]) -> dict[str, str]:
    """Return each id's short form; one that two of them would share is no short form of either."""
    known = set(ids)
    times = Counter(map(short_id, known))
    return {each: each if times[short_id(each)] > 1 else short_id(each) for each in known}


def visible(text: str) -> str:
    """Write control characters and marks of direction as escapes.

    An event's name may hold anything, and a terminal would obey it.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\n" else f"\\u{ord(char):04x}" for char in text
    )
