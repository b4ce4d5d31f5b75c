"""What a page of the admin consists of: cells, facts, tables, texts, a list with its fields.

Knows how values are written for a reader. Must never know where they come from. The templates
escape all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar, Self

from attrs import field, frozen
from django import conf
from django.utils.timezone import localtime

__all__ = ["Cell", "Facts", "Field", "Listing", "Page", "Section", "Table", "Text", "as_json"]


@frozen
class Cell:
    """One value, with the page it leads to, if any."""

    text: str
    url: str | None = None

    @classmethod
    def of(cls, value: object) -> Self:
        """Write a value; an instant in the current time zone of Django, with its offset."""
        if value is None:
            return cls("-")
        if isinstance(value, datetime):
            local = localtime(value) if conf.settings.USE_TZ else value
            return cls(local.isoformat(sep=" ", timespec="milliseconds"))
        return cls(str(value))


def _cell(value: Any) -> Cell:
    return value if isinstance(value, Cell) else Cell.of(value)


def _row(values: Iterable[Any]) -> tuple[Cell, ...]:
    return tuple(_cell(value) for value in values)


def _rows(rows: Iterable[Iterable[Any]]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(_row(row) for row in rows)


def _facts(facts: dict[str, Any]) -> tuple[tuple[str, Cell], ...]:
    return tuple((name, _cell(value)) for name, value in facts.items())


@frozen
class Facts:
    """Values by their names."""

    title: str
    facts: tuple[tuple[str, Cell], ...] = field(converter=_facts)
    kind: ClassVar[str] = "facts"


@frozen
class Table:
    """Rows below the names of their columns; it says `empty` where there are none."""

    title: str
    columns: Sequence[str]
    rows: tuple[tuple[Cell, ...], ...] = field(converter=_rows)
    empty: str = "There is nothing."
    kind: ClassVar[str] = "table"


@frozen
class Text:
    """A text as it is, such as JSON."""

    title: str
    text: str
    kind: ClassVar[str] = "text"


Section = Facts | Table | Text


@frozen
class Field:
    """A field by which a page is narrowed; with choices, one of them or any."""

    name: str
    label: str
    value: str
    choices: Sequence[str] = ()


@frozen
class Page:
    """The page of one record, or of one person's story.

    Attributes:
        title: which one it is.
        sections: what it shows.
        links: where it leads to.
        fields: by which it is narrowed.
        following: the address of the next page; None on the last.
    """

    title: str
    sections: Sequence[Section]
    links: Sequence[Cell | None] = ()
    fields: Sequence[Field] = ()
    following: str | None = None


@frozen
class Listing:
    """A page of a list.

    Attributes:
        table: its rows.
        fields: by which it is narrowed.
        following: the address of the next page; None on the last.
    """

    table: Table
    fields: Sequence[Field]
    following: str | None = None


def as_json(value: object) -> str:
    """Write a value for a reader."""
    return json.dumps(value, ensure_ascii=False, indent=2)
