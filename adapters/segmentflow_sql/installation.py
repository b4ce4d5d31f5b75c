"""The tables of a store: creating them, and telling whether they are of this version."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL

from segmentflow_core.errors import ConfigurationError
from segmentflow_sql.exchange import Call, Connection
from segmentflow_sql.schema import SCHEMA_VERSION

__all__ = ["check_version", "create_all", "is_missing_file", "version"]


async def version(connection: Connection) -> int | None:
    """Return the version of the store's tables, or None where there are none."""
    statements = connection.kind.statements.installation
    (((there,),),) = await connection.exchange([Call(statements.has_schema, ())])
    if not there:
        return None
    (((found,),),) = await connection.exchange([Call(statements.schema_version, ())])
    known: int | None = found
    return known


async def create_all(connection: Connection, one_creator: list[Call]) -> int:
    """Create what is missing; return the version of the tables.

    Args:
        connection: in a transaction of its own.
        one_creator: calls that keep every other creator out until the transaction ends.

    Raises:
        ConfigurationError: the store has tables of another version.
    """
    await connection.exchange(list(one_creator))
    found = await version(connection)
    if found is not None:
        check_version(found)
    statements = connection.kind.statements
    await connection.exchange([Call(definition, ()) for definition in statements.definitions])
    write = statements.installation.write_schema_version
    await connection.exchange([Call(write, (SCHEMA_VERSION,))])
    return SCHEMA_VERSION


def check_version(found: int | None) -> None:
    """Refuse tables that are not ours.

    Raises:
        ConfigurationError: there are none, or they are of another version.
    """
    if found is None:
        raise ConfigurationError(
            "The store has no tables yet. Run `segmentflow init`, or create_all()."
        )
    if found != SCHEMA_VERSION:
        raise ConfigurationError(
            "The store's tables are of another version than this library's.",
            details={"found": found, "expected": SCHEMA_VERSION},
        )


def is_missing_file(url: URL) -> bool:
    """Say whether a SQLite file is not there; connecting would create it."""
    if url.get_backend_name() != "sqlite":
        return False
    path = url.database or ":memory:"
    return not path.startswith((":", "file:")) and not Path(path).exists()
