"""Which PostgreSQL database a connection leads to, and whether it can hold every text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from segmentflow_core.errors import ConfigurationError

if TYPE_CHECKING:
    import psycopg

__all__ = ["Driver", "check_encoding", "place_of"]

Driver: TypeAlias = "psycopg.Connection[Any] | psycopg.AsyncConnection[Any]"

_UTF8: Final = "UTF8"


def check_encoding(driver: Driver) -> None:
    """Refuse a database that cannot hold every text; the server has said which encoding it has.

    Raises:
        ConfigurationError: its encoding is not UTF8.
    """
    found = driver.info.parameter_status("server_encoding")
    if found not in (None, _UTF8):
        raise ConfigurationError(
            f"The encoding of a database must be UTF8, and is {found}: {place_of(driver)}.",
            details={"found": found, "expected": _UTF8},
        )


def place_of(driver: Driver) -> str:
    """Say which database a connection leads to: never a password."""
    info = driver.info
    return f'database "{info.dbname}" at {info.host}:{info.port}'
