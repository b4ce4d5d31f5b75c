"""What PostgreSQL's SQLSTATEs mean to a caller.

The tables hold SQLSTATEs, or their beginnings, by what follows from them (PostgreSQL
documentation, appendix A). What is not named here may pass: `StorageUnavailable`.
"""

from __future__ import annotations

from typing import Final

from attrs import define

from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyInProgress,
    StorageRefused,
    StorageUnavailable,
)
from segmentflow_core.ports import StillHeld
from segmentflow_sql.exchange import ConnectionLost, Deadlock, LostRace, StalePlans
from segmentflow_sql.server import Driver, place_of

__all__ = [
    "CHANGED_RESULT",
    "COMPLETION_UNKNOWN",
    "LOCK_NOT_AVAILABLE",
    "PREPARED_ELSEWHERE",
    "RACES",
    "READ_ONLY",
    "SERVER_GOES",
    "VALUE_REFUSED",
    "WRONGLY_SET_UP",
    "Refused",
    "meaning",
]

RACES: Final = frozenset({"40001", "40P01", "23505"})
DEADLOCK: Final = "40P01"
LOCK_NOT_AVAILABLE: Final = "55P03"
PREPARED_ELSEWHERE: Final = frozenset({"26000", "42P05"})
CHANGED_RESULT: Final = "0A000"
READ_ONLY: Final = "25006"
_CANCELLED: Final = "57014"
COMPLETION_UNKNOWN: Final = "40003"
SERVER_GOES: Final = ("08", "57P")
VALUE_REFUSED: Final = ("22", "23", "27", "44", "54", "P0")
WRONGLY_SET_UP: Final = ("0A", "28", "3D", "3F", "42")

_NO_SCHEMA: Final = "3F000"
_UNABLE: Final = {
    READ_ONLY: "The database is read-only, and takes no writes.",
    _CANCELLED: (
        "The database cancelled a statement: on request, or because its statement_timeout is "
        "too short."
    ),
}


@define
class Refused(Exception):
    """The server refused a call. Holds nothing of what it said but codes.

    Attributes:
        sqlstate: why.
        fatal: whether the server ended the session.
        takes_keys: whether the call waited for a row that another transaction holds, and
            takes keys: then the other one holds such a key.
        prepared: whether it ran by a plan that was made in an earlier exchange.
    """

    sqlstate: str
    fatal: bool
    takes_keys: bool
    prepared: bool


def meaning(refused: Refused, driver: Driver, *, hurries: bool = False) -> Exception:
    """Say what follows from a refusal, without the server's words.

    Args:
        refused: what the server said.
        driver: the connection.
        hurries: whether the caller would not wait, nor run again, for what others hold.
    """
    sqlstate = refused.sqlstate
    if sqlstate in RACES:
        return Deadlock() if sqlstate == DEADLOCK else LostRace()
    if sqlstate == LOCK_NOT_AVAILABLE:
        if refused.takes_keys:
            return IdempotencyInProgress()
        return StillHeld(details={"error": sqlstate}) if hurries else LostRace()
    if sqlstate in PREPARED_ELSEWHERE or (sqlstate == CHANGED_RESULT and refused.prepared):
        return StalePlans()
    details = {"error": sqlstate}
    unable = StorageUnavailable(_UNABLE.get(sqlstate), details=details)
    if sqlstate == READ_ONLY and driver.read_only:
        return ConfigurationError("The engine's connections are set to read only.", details=details)
    if (
        refused.fatal
        or sqlstate in (READ_ONLY, COMPLETION_UNKNOWN)
        or sqlstate.startswith(SERVER_GOES)
    ):
        # After a failover, another connection may lead to the server that takes writes.
        return ConnectionLost(unable)
    if sqlstate.startswith(VALUE_REFUSED):
        return StorageRefused(details=details)
    if sqlstate.startswith(WRONGLY_SET_UP):
        return ConfigurationError(_wrongly_set_up(sqlstate, place_of(driver)), details=details)
    return unable


def _wrongly_set_up(sqlstate: str, place: str) -> str:
    if sqlstate == _NO_SCHEMA:
        return (
            f"The session has no schema to work in: {place}. Give its user or its database a "
            "search_path."
        )
    return (
        f"The database refuses a statement of ours (SQLSTATE {sqlstate}): {place}. Its tables "
        "or the user's privileges are not as this library needs them, or the session's "
        "search_path leads elsewhere."
    )
