"""What a migration is: numbered steps from one version of the tables to the next.

Knows no database and no statement of any step. Written once and released, a migration never
changes: its SQL is text, and follows no later change of the tables' definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from segmentflow_core.errors import ConfigurationError
from segmentflow_sql.migrations.way import Family

__all__ = ["Function", "Migration", "MigrationReport", "ReportedStep", "Step", "Versions"]

Function: TypeAlias = Callable[..., Any]
"""A function of Python's that SQLite calls by its name."""


@frozen
class Step:
    """One part of a migration.

    Attributes:
        name: says to people what the step does, as a command.
        sql: its statements, in order.
        rows: a query that counts the rows it touches, while it has not run; empty where it
            touches none.
        done: a query that gives 1 where the step has been made already, else 0. A step of a
            migration that is `online` needs one, unless it is a batch or does no harm twice.
        batch: how many rows its only statement touches at most; it is run again while it
            returns so many. What others write meanwhile must need no step. Online, each run is
            a transaction of its own. 0 is no batch.
        beside: statements that do the same outside any transaction, and let traffic pass, as
            PostgreSQL builds an index. Interrupted, they may leave a part: the first ones
            remove it.
    """

    name: str
    sql: tuple[str, ...]
    rows: str = ""
    done: str = ""
    batch: int = 0
    beside: tuple[str, ...] = ()


@frozen
class Migration:
    """The way from one version of the tables to the next, for each kind of database.

    Attributes:
        version: the version that it leads to.
        tables: the tables of the version before, with the names of their columns.
        steps: in order. They are one transaction, unless the migration is `online`.
        back: the steps of the way back; none at all where something would be lost.
        why_not_back: what would be lost.
        online: whether it runs while others write. Then each step is a transaction of its own,
            which waits only a moment for a lock, and a killed run goes on where it stopped.
        functions: what the SQL for SQLite calls, by name.
    """

    version: int
    tables: Mapping[str, tuple[str, ...]]
    steps: Mapping[Family, tuple[Step, ...]]
    back: Mapping[Family, tuple[Step, ...]] = field(factory=dict)
    why_not_back: str = ""
    online: bool = False
    functions: Mapping[str, Function] = field(factory=dict)


@frozen
class ReportedStep:
    """One step of a migration that was made, or that is to be made.

    Attributes:
        version: the version that its migration leads to.
        name: what it does.
        rows: how many rows it touches; None where that is not known before.
        sql: its statements.
    """

    version: int
    name: str
    rows: int | None
    sql: tuple[str, ...] = field(repr=False)


@frozen
class MigrationReport:
    """What a migration did, or would do.

    Attributes:
        found: the version of the store's tables before.
        version: their version afterwards.
        steps: in order; none where nothing is to be done.
    """

    found: int
    version: int
    steps: tuple[ReportedStep, ...] = ()


_FIRST_WITH_TRAFFIC: Final = 2
"""From this version on, a library works with the version before its own."""


@frozen
class Versions:
    """The versions of the tables that a library knows.

    Attributes:
        current: what it creates, and what `migrate` leads to.
        migrations: from version 1 on, in order.
    """

    current: int
    migrations: tuple[Migration, ...]

    @property
    def usable(self) -> range:
        """The versions that it works with: its own and the one before."""
        return range(max(self.current - 1, _FIRST_WITH_TRAFFIC), self.current + 1)

    def between(self, found: int, to: int) -> tuple[Migration, ...]:
        """Return the migrations that lead from one version up to another."""
        return tuple(each for each in self.migrations if found < each.version <= to)

    def check(self, found: int | None, place: str) -> int:
        """Refuse tables that this library does not work with; return their version.

        Args:
            found: the tables' version; None where there are none.
            place: which store it is.

        Raises:
            ConfigurationError: there are none, or they are of another version.
        """
        known = self.check_migratable(found, place)
        if known not in self.usable:
            raise self._other(
                known, place, "Run `segmentflow migrate`, or migrate(), to bring them up"
            )
        return known

    def check_migratable(self, found: int | None, place: str) -> int:
        """Refuse tables that no migration leads on from; return their version.

        Raises:
            ConfigurationError: there are none, or they are of a newer version.
        """
        if found is None:
            raise ConfigurationError(
                f"The store has no tables yet: {place}. Run `segmentflow init`, or create_all()."
            )
        if found > self.current:
            raise self._other(found, place, "They are newer: install a newer version of it")
        return found

    def _other(self, found: int, place: str, advice: str) -> ConfigurationError:
        return ConfigurationError(
            f"The store's tables are of another version, {found}, than this library's, "
            f"{self.current}: {place}. {advice}.",
            details={"found": found, "expected": self.current},
        )
