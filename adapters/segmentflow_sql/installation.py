"""The tables of a store: creating them, and telling whether they are of this version."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import URL

from segmentflow_core.errors import ConfigurationError
from segmentflow_sql.exchange import Call, Connection
from segmentflow_sql.migrations import MIGRATIONS, Versions
from segmentflow_sql.schema import SCHEMA_VERSION

__all__ = ["VERSIONS", "create_all", "missing_file", "require", "version", "version_and_place"]

VERSIONS: Final = Versions(SCHEMA_VERSION, MIGRATIONS)
"""The versions of the tables that this library knows."""


async def version(connection: Connection) -> int | None:
    """Return the version of the store's tables, or None where there are none."""
    statements = connection.kind.statements.installation
    (((there,),),) = await connection.exchange([Call(statements.has_schema, ())])
    if not there:
        return None
    (((found,),),) = await connection.exchange([Call(statements.schema_version, ())])
    known: int | None = found
    return known


async def create_all(connection: Connection, one_creator: list[Call], versions: Versions) -> int:
    """Create what is missing; return the version of the tables.

    Tables of the version before are left as they are: this library works with them.

    Args:
        connection: in a transaction of its own.
        one_creator: calls that keep every other creator out until the transaction ends.
        versions: that this library knows.

    Raises:
        ConfigurationError: the store has tables of another version.
    """
    await connection.exchange(list(one_creator))
    found = await version(connection)
    if found not in (None, versions.current):
        usable = found in versions.usable
        return versions.check(found, "" if usable else await connection.place())
    statements = connection.kind.statements
    await connection.exchange([Call(definition, ()) for definition in statements.definitions])
    write = statements.installation.write_schema_version
    await connection.exchange([Call(write, (versions.current,))])
    return versions.current


async def version_and_place(connection: Connection, versions: Versions) -> tuple[int | None, str]:
    """Return the version of the store's tables, and which store it is where that is refused."""
    found = await version(connection)
    return found, "" if found in versions.usable else await connection.place()


async def require(connection: Connection, needed: int, what: str) -> None:
    """Refuse what needs newer tables than the store has, until it is migrated.

    Args:
        connection: within a transaction.
        needed: the first version of the tables that has what it takes.
        what: what was asked for, as the subject of a sentence.

    Raises:
        ConfigurationError: the tables are older.
    """
    found = await version(connection)
    if found is None or found < needed:
        raise ConfigurationError(
            f"{what} needs tables of version {needed}, and the store's are of version {found}: "
            f"{await connection.place()}. Run `segmentflow migrate`, or migrate().",
            details={"found": found, "expected": needed},
        )


def missing_file(url: URL) -> str | None:
    """Return the path of a SQLite file that is not there; connecting would create it."""
    if url.get_backend_name() != "sqlite":
        return None
    path = url.database or ":memory:"
    if path.startswith((":", "file:")) or Path(path).exists():
        return None
    return str(Path(path).absolute())
