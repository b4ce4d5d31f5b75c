"""Migrating a store behind an engine: one transaction, or one for each step while others write.

Knows how long to wait for whom. Must never know what a step does.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from segmentflow_core.errors import StorageUnavailable
from segmentflow_sql.attempts import Attempts
from segmentflow_sql.exchange import Connection, LostRace
from segmentflow_sql.migrations.migration import MigrationReport, Step
from segmentflow_sql.migrations.running import (
    Move,
    be_brief,
    finish,
    lock,
    make,
    make_step,
    moves,
    plan,
)
from segmentflow_sql.migrations.script import script
from segmentflow_sql.transaction import SqlTransaction
from segmentflow_sql.waiting import check_wait

__all__ = ["Migrator"]

T = TypeVar("T")

_MIGRATED: Final = "being_migrated"
_IN_THE_WAY: Final = (None, "SQLITE_BUSY", _MIGRATED)
"""What is said of a store where others hold what a migration needs: that may take a while."""

_PAUSE: Final = 0.05
"""Seconds until it is asked again whether nobody else migrates any more."""


class Migrator:
    """Brings the tables of a store from one version to another.

    Args:
        attempts: of the store; runs work in transactions.
    """

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._way = attempts.way
        self._versions = attempts.versions

    async def plan(self, to: int | None = None) -> MigrationReport:
        """Say what `migrate` would do; write nothing.

        Args:
            to: the version to come to; None is this library's own.

        Raises:
            ConfigurationError: the store has no tables, those of a newer version, or such as
                are of no version; or there is no way back.
        """
        self._attempts.check_file()
        return await self._attempts.run(
            lambda transaction: plan(transaction.connection, self._way, self._versions, to),
            reads_only=True,
            version_needed=False,
        )

    async def script(self, to: int | None = None) -> str:
        """Write what `migrate` would run as SQL; as `plan`."""
        planned = await self.plan(to)
        found = moves(self._way, self._versions, planned.found, planned.version)
        return script(self._way, found)

    async def migrate(self, to: int | None = None, *, wait: float) -> MigrationReport:
        """Bring the tables to a version; say what was done.

        Args:
            to: as for `plan`.
            wait: seconds to wait for another process that migrates.
        """
        check_wait(wait)
        planned = await self.plan(to)
        deadline = time.monotonic() + wait
        for move in moves(self._way, self._versions, planned.found, planned.version):
            if move.migration.online:
                await self._with_traffic(move, deadline)
            else:
                await self._patiently(partial(self._whole, move), deadline)
        self._attempts.forget_version()
        return planned

    async def _whole(self, move: Move, transaction: SqlTransaction) -> None:
        await self._keep_others_out(transaction.connection)
        await make(transaction.connection, self._way, self._versions, move)

    async def _with_traffic(self, move: Move, deadline: float) -> None:
        for step in move.steps:
            while await self._patiently(partial(self._step, move, step), deadline):
                pass
        await self._patiently(partial(self._finished, move), deadline)

    async def _step(self, move: Move, step: Step, transaction: SqlTransaction) -> bool:
        """Make one step, or one batch of it; say whether it is to run again."""
        connection = transaction.connection
        made = partial(make_step, way=self._way, versions=self._versions, move=move, step=step)
        await self._keep_others_out(connection)
        if step.beside:
            return await self._attempts.beside(lambda other: made(other, beside=True))
        await be_brief(connection, self._way)
        return await made(connection, beside=False)

    async def _finished(self, move: Move, transaction: SqlTransaction) -> None:
        await self._keep_others_out(transaction.connection)
        await finish(transaction.connection, self._way, self._versions, move)

    async def _keep_others_out(self, connection: Connection) -> None:
        """Be the one who migrates until the transaction ends; wait for nobody.

        A server may have read its catalog to find the table that is locked, and an index that
        is built beside writers waits for everybody who has read before. So who waited here for
        the one who builds it would be waited for, and no server sees such a circle.
        """
        with suppress(LostRace):
            await lock(connection, self._way, None)
            return
        # Outside the handler, so that nothing internal becomes the context.
        raise StorageUnavailable(
            "Another process migrates this store. Try again.", details={"error": _MIGRATED}
        )

    async def _patiently(
        self, work: Callable[[SqlTransaction], Awaitable[T]], deadline: float
    ) -> T:
        """Run work, again for as long as others hold what it needs."""
        while True:
            try:
                return await self._attempts.run(work, version_needed=False)
            except StorageUnavailable as failure:
                is_held = failure.details.get("error") in _IN_THE_WAY
                if not is_held or time.monotonic() > deadline:
                    raise
            await self._attempts.pause(_PAUSE)
