"""Giving the space of removed rows back: SQLite's file only grows by itself."""

from __future__ import annotations

from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_sql.attempts import Attempts
from segmentflow_sql.exchange import Call, Connection, LostRace, plain
from segmentflow_sql.statements import Statement

__all__ = ["vacuum"]


async def vacuum(attempts: Attempts) -> None:
    """Write SQLite's file anew, and cut its log off.

    Raises:
        ConfigurationError: the store is on another kind of database.
        StorageUnavailable: another transaction reads or writes for too long.
    """
    if attempts.way.family != "sqlite":
        raise ConfigurationError(
            "Only a store on SQLite is vacuumed: PostgreSQL and its kin use the space of removed "
            "rows again by themselves."
        )
    attempts.check_file()
    try:
        await attempts.beside(_vacuum)
    except LostRace:
        pass
    else:
        return
    # Outside the handler, so that nothing internal becomes the context.
    raise StorageUnavailable("Another transaction uses the store. Try again.")


async def _vacuum(connection: Connection) -> None:
    checkpoint = Statement("", "PRAGMA wal_checkpoint(TRUNCATE)", readers=(int, int, int))
    await connection.exchange([plain("VACUUM")])
    ((answer,),) = await connection.exchange([Call(checkpoint, ())])
    if answer[0]:
        raise LostRace
