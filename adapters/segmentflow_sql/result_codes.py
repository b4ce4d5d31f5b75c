"""What SQLite's result codes mean to a caller.

An error's code and class are read, never its message, which may hold what was being written.
The codes are those of SQLite's documentation, "Result and Error Codes". What is not named here
may pass: `StorageUnavailable`.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from segmentflow_core.errors import ConfigurationError, StorageRefused, StorageUnavailable
from segmentflow_sql.exchange import LostRace

__all__ = [
    "RACES",
    "VALUE_REFUSED",
    "WRONGLY_SET_UP",
    "busy",
    "is_busy",
    "meaning",
    "moved",
    "place_of_file",
]

RACES: Final = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT_UNIQUE,
        sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
        sqlite3.SQLITE_CONSTRAINT_ROWID,
        sqlite3.SQLITE_BUSY_SNAPSHOT,
    }
)
VALUE_REFUSED: Final = frozenset(
    {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH}
)
WRONGLY_SET_UP: Final = {
    sqlite3.SQLITE_ERROR: (
        "SQLite refuses a statement of ours: the tables are not as this library needs them"
    ),
    sqlite3.SQLITE_READONLY: "The store may not be written to",
    sqlite3.SQLITE_PERM: "The store may not be opened",
    sqlite3.SQLITE_CANTOPEN: "The store cannot be opened or created",
    sqlite3.SQLITE_NOTADB: "This is no database of SQLite's",
    sqlite3.SQLITE_CORRUPT: "The database is damaged",
}


def meaning(error: sqlite3.Error, file: str) -> Exception:
    """Say what an error of the driver means, without the driver's words.

    Args:
        error: the driver's.
        file: the database's; empty for one in memory.
    """
    code: int = getattr(error, "sqlite_errorcode", 0)
    primary = code & 0xFF
    # A cache shared by connections locks tables at once, and knows no busy timeout. A host
    # that has read before another one wrote can write no more: no waiting helps.
    if code in RACES or primary == sqlite3.SQLITE_LOCKED:
        return LostRace()
    # The name of the code, such as SQLITE_FULL, holds nothing of what was written.
    details = {"error": getattr(error, "sqlite_errorname", type(error).__name__)}
    if primary == sqlite3.SQLITE_BUSY:
        return busy(file)
    if primary in VALUE_REFUSED or isinstance(error, sqlite3.DataError):
        return StorageRefused(details=details)
    if primary in WRONGLY_SET_UP:
        return ConfigurationError(
            f"{WRONGLY_SET_UP[primary]}: {place_of_file(file)}.", details=details
        )
    return StorageUnavailable(details=details)


def busy(file: str) -> StorageUnavailable:
    """Say that a wait for a concurrent writer was in vain."""
    return StorageUnavailable(
        f"Another transaction keeps writing to {place_of_file(file)}. Try again.",
        details={"error": "SQLITE_BUSY"},
    )


def moved(file: str) -> StorageUnavailable:
    """Say that another file, or none, is where the store was."""
    return StorageUnavailable(
        f"The store's file was deleted or replaced after it had been opened: {file}. What would be "
        "written now would be lost. Put the file back, or restart what uses it.",
        details={"error": "SQLITE_READONLY_DBMOVED"},
    )


def place_of_file(file: str) -> str:
    """Say which database a file's name stands for."""
    return f"the file {file}" if file else "a database in memory"


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether another connection was in the way."""
    return _is(error, sqlite3.SQLITE_BUSY) or _is(error, sqlite3.SQLITE_LOCKED)


def _is(error: sqlite3.Error, primary: int) -> bool:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF == primary
