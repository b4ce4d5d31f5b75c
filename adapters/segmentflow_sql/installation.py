"""The tables of a store: creating them, and telling whether they are of this version."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL

from segmentflow_core.errors import ConfigurationError
from segmentflow_sql.exchange import Call, Connection
from segmentflow_sql.schema import SCHEMA_VERSION

__all__ = ["check_version", "create_all", "missing_file", "version_and_place"]


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
    if found not in (None, SCHEMA_VERSION):
        check_version(found, await connection.place())
    statements = connection.kind.statements
    await connection.exchange([Call(definition, ()) for definition in statements.definitions])
    write = statements.installation.write_schema_version
    await connection.exchange([Call(write, (SCHEMA_VERSION,))])
    return SCHEMA_VERSION


async def version_and_place(connection: Connection) -> tuple[int | None, str]:
    """Return the version of the store's tables, and which store it is where that is refused."""
    found = await version(connection)
    return found, "" if found == SCHEMA_VERSION else await connection.place()


def check_version(found: int | None, place: str) -> None:
    """Refuse tables that are not ours.

    Args:
        found: the tables' version.
        place: which store it is.

    Raises:
        ConfigurationError: there are none, or they are of another version.
    """
    if found is None:
        raise ConfigurationError(
            f"The store has no tables yet: {place}. Run `segmentflow init`, or create_all()."
        )
    if found != SCHEMA_VERSION:
        raise ConfigurationError(
            f"The store's tables are of another version, {found}, than this library's, "
            f"{SCHEMA_VERSION}: {place}.",
            details={"found": found, "expected": SCHEMA_VERSION},
        )


def missing_file(url: URL) -> str | None:
    """Return the path of a SQLite file that is not there; connecting would create it."""
    if url.get_backend_name() != "sqlite":
        return None
    path = url.database or ":memory:"
    if path.startswith((":", "file:")) or Path(path).exists():
        return None
    return str(Path(path).absolute())
