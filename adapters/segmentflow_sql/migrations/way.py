"""How each kind of database is migrated: what keeps others out, and which tables it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from attrs import frozen

__all__ = ["WAYS", "Family", "Way"]

Family: TypeAlias = Literal["sqlite", "postgresql"]


@frozen
class Way:
    """What a migration needs to know of a kind of database.

    Attributes:
        family: of which its steps are.
        locks: returns statements that keep every other migration out until the transaction
            ends, and those that write pass; each waits so many seconds at most, or not at all
            where that is None.
        patience: returns a statement that bounds what every later one waits for a lock; empty
            where nothing needs it.
        begin: begins a transaction, in a script.
        columns: a query that lists the tables of ours with their columns.
        dependents: a query that lists a host's own views, and where tables are made anew its
            triggers, on tables of ours.
    """

    family: Family
    locks: Callable[[float | None], tuple[str, ...]]
    patience: Callable[[float], tuple[str, ...]]
    begin: str
    columns: str
    dependents: str


def _waits(seconds: float) -> tuple[str, ...]:
    return (f"SET LOCAL lock_timeout = {max(round(seconds * 1000), 1)}",)


def _locks(seconds: float | None) -> tuple[str, ...]:
    # LOCK takes no snapshot that lasts: what is read after a wait is what the others have left,
    # also at SERIALIZABLE.
    lock = "LOCK TABLE segmentflow_schema IN SHARE ROW EXCLUSIVE MODE"
    untimed = ("statement_timeout", "idle_in_transaction_session_timeout")
    settings = [f"SET LOCAL {setting} = 0" for setting in untimed]
    if seconds is None:
        return *settings, f"{lock} NOWAIT"
    return *_waits(seconds), *settings, lock


WAYS: Final[dict[Family, Way]] = {
    "sqlite": Way(
        family="sqlite",
        # Changes nothing, and makes this transaction the one that writes.
        locks=lambda _: ("UPDATE segmentflow_schema SET version = version",),
        patience=lambda _: (),
        begin="BEGIN IMMEDIATE",
        columns="SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c"
        " WHERE m.type = 'table' AND substr(m.name, 1, 12) = 'segmentflow_'",
        dependents="SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger')"
        " AND instr(sql, 'segmentflow_') ORDER BY name",
    ),
    "postgresql": Way(
        family="postgresql",
        locks=_locks,
        patience=_waits,
        begin="BEGIN",
        columns="SELECT c.relname::text, a.attname::text FROM pg_class AS c"
        " JOIN pg_attribute AS a ON a.attrelid = c.oid"
        " WHERE starts_with(c.relname, 'segmentflow_') AND c.relkind IN ('r', 'p')"
        " AND pg_table_is_visible(c.oid) AND a.attnum > 0 AND NOT a.attisdropped",
        dependents="SELECT DISTINCT r.ev_class::regclass::text FROM pg_depend AS d"
        " JOIN pg_rewrite AS r ON r.oid = d.objid JOIN pg_class AS c ON c.oid = d.refobjid"
        " WHERE d.classid = 'pg_rewrite'::regclass AND starts_with(c.relname, 'segmentflow_')"
        " AND pg_table_is_visible(c.oid) AND r.ev_class != c.oid ORDER BY 1",
    ),
}
