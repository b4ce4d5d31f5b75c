"""Storage on Django's connection: within `atomic` where the host is in one, else in one of its own.

Knows when Django's connections are in a transaction. What runs in it, `segmentflow_sql` knows.

See docs/how-to/django.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.ports import Transaction
from segmentflow_sql import BoundSqlStorage

__all__ = ["DjangoStorage"]

T = TypeVar("T")

_ATTEMPTS: Final = 3


class DjangoStorage:
    """Storage in a database of Django's `DATABASES`, on the connection of the calling thread.

    Within `transaction.atomic()` it takes part in that, never commits and never runs work again:
    what it wrote goes with what `atomic` commits or rolls back. Elsewhere it opens an `atomic` of
    its own, and runs work that lost a race again, three times in all.

    Args:
        using: the alias of the database.
        wait: seconds a call waits for a concurrent one; SQLite goes by the option `timeout`.

    Attributes:
        is_bound: that nobody else's calls may share its transaction.
    """

    is_bound: Final = True

    def __init__(self, using: str = DEFAULT_DB_ALIAS, *, wait: float = 2.0) -> None:
        self._using = using
        self._wait = wait

    def run(self, work: Callable[[Transaction], T], *, reads_only: bool = False) -> T:
        """Run `work` within the transaction there is, up to a savepoint, or within one of its own.

        Raises:
            ConfigurationError: the database has no tables of ours, or of another version, or is
                of a kind without this storage.
            IdempotencyInProgress: a concurrent call did not finish in time.
            StorageUnavailable: a race was lost, or the database gave an error.
            TransactionManagementError: of Django's: an error before has broken the transaction.
        """
        del reads_only
        connection: Any = connections[self._using]
        if connection.in_atomic_block:
            connection.validate_no_broken_transaction()
            return self._joined(connection, work)
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._alone(connection, work)
            except StorageUnavailable:
                _look_after(connection)
        return self._alone(connection, work)

    def after_commit(self, tell: Callable[[], object], /) -> None:
        """Call this once the transaction is committed; at once where there is none.

        Never where it is rolled back, or a savepoint that stands now is: of `atomic`, or of
        `transaction.savepoint()`. What SQL of a host's own rolls back to, Django does not know.
        Under `set_autocommit(False)` Django knows of no commit, and it is never called.
        """
        connection: Any = connections[self._using]
        if connection.in_atomic_block or connection.get_autocommit():
            transaction.on_commit(tell, using=self._using, robust=True)
        if connection.in_atomic_block:
            within, *rest = connection.run_on_commit.pop()
            connection.run_on_commit.append((_Until(within, connection.savepoint_state), *rest))

    def _alone(self, connection: Any, work: Callable[[Transaction], T]) -> T:
        with transaction.atomic(using=self._using):
            return self._joined(connection, work)

    def _joined(self, connection: Any, work: Callable[[Transaction], T]) -> T:
        return BoundSqlStorage(connection.connection, wait=self._wait).run(work)


class _Until(set[str]):
    """The savepoints up to now: what is written now goes where one of them is rolled back.

    Django asks whether the one that it rolled back is among those of a callback, and knows those
    of `atomic` alone. It numbers all that it makes, so the others are known by their numbers.

    Args:
        within: the savepoints of `atomic` that stand now.
        last: the number of the last one that was made.
    """

    def __init__(self, within: Iterable[str], last: int) -> None:
        super().__init__(within)
        self._last = last

    def __contains__(self, sid: object) -> bool:
        number = str(sid).rpartition("_x")[2]
        return super().__contains__(sid) or (number.isdecimal() and int(number) <= self._last)


def _look_after(connection: Any) -> None:
    """Let Django see whether the connection is of any more use: its driver was used beside it."""
    connection.errors_occurred = True
    connection.close_if_unusable_or_obsolete()
