"""Every row of a store, read through the database's driver alone.

SQLite and PostgreSQL give equal rows here: ids as text, instants as RFC 3339 with
microseconds, JSON as the value it says. Knows the columns of the first version of the
tables. Must never import the library: these rows say what a store holds, whatever the
library has become.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

__all__ = ["Rows", "exact", "postgresql_rows", "sqlite_rows", "write_instant"]

Rows = dict[str, list[dict[str, Any]]]
"""The rows of each table, as dictionaries by column, ordered by key."""

JSON_COLUMNS = frozenset(
    {"data", "definition", "outcomes", "paths", "profile", "properties", "property_times", "scopes"}
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def sqlite_rows(file: Path) -> Rows:
    """Read a SQLite store. Its file must be one that may be written: WAL mode asks for it."""
    connection = sqlite3.connect(file)
    try:
        listed = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'segmentflow%'"
        tables = [name for (name,) in connection.execute(listed)]
        return _tables(tables, connection, _from_sqlite)
    finally:
        connection.close()


def postgresql_rows(conninfo: str) -> Rows:
    """Read a PostgreSQL store."""
    with psycopg.connect(conninfo, options="-c TimeZone=UTC") as connection:
        listed = "SELECT tablename FROM pg_tables WHERE tablename LIKE 'segmentflow%'"
        tables = [name for (name,) in connection.execute(listed)]
        return _tables(tables, connection, _from_postgresql)


def exact(value: Any) -> str:
    """Write a value so that equal texts are equal values: Python takes True and 1.0 for 1."""
    return json.dumps(value, sort_keys=True)


def write_instant(moment: datetime) -> str:
    """Write an instant in UTC, always with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _tables(tables: Iterable[str], connection: Any, read: Any) -> Rows:
    rows: Rows = {}
    for table in sorted(tables):
        cursor = connection.execute(f"SELECT * FROM {table}")
        columns = [column[0] for column in cursor.description]
        # The columns of a table's key come first.
        found = [*_rows(cursor, columns, read)]
        rows[table] = sorted(map(_without_moment, found), key=lambda row: exact([*row.values()]))
    return rows


def _without_moment(row: dict[str, Any]) -> dict[str, Any]:
    """Leave out when a Journey was archived: a migration does it at its own moment.

    What waited in it was withdrawn then, by no event and by nobody's hand.
    """
    if row.get("archived_at") is not None:
        return {**row, "archived_at": "archived"}
    return row


def _rows(cursor: Any, columns: list[str], read: Any) -> Iterator[dict[str, Any]]:
    for row in cursor:
        yield {name: read(name, value) for name, value in zip(columns, row, strict=True)}


def _from_sqlite(column: str, value: Any) -> Any:
    if value is None:
        return None
    if column in JSON_COLUMNS:
        return json.loads(value)
    if column.endswith(("_at", "_until")):
        return write_instant(EPOCH + timedelta(microseconds=value))
    return value


def _from_postgresql(column: str, value: Any) -> Any:
    if column == "paths" and isinstance(value, str):
        return json.loads(value)
    if isinstance(value, datetime):
        return write_instant(value)
    return str(value) if isinstance(value, UUID) else value
