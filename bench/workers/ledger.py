"""What is noted of a store's Enrollments while workers work on them, and what it says at the end.

Triggers in the store's own database note each hand-over and each completion, in the transaction
that makes it, whatever the library says of it. What handlers do stands in tables beside: an effect
by the Enrollment's id, as a mail service would keep it, and each time that a handler made it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Engine, text

__all__ = ["PROMISES", "broken_promises", "completions", "make_effect", "prepare", "runs_again"]

PROMISES: Final = {
    "lost": "Enrollments not completed",
    "withoutEffect": "Enrollments without their effect",
    "strangeEffects": "effects of no Enrollment",
    "completedTwice": "Enrollments completed twice",
    "underLiveLease": "hand-overs under a live lease",
}
"""Every promise, and what is counted where it is broken."""

_TABLES: Final = (
    "CREATE TABLE bench_effects (enrollment_id TEXT PRIMARY KEY)",
    "CREATE TABLE bench_runs (enrollment_id TEXT NOT NULL, attempt INTEGER NOT NULL)",
    "CREATE TABLE bench_claims (enrollment_id TEXT NOT NULL, live INTEGER NOT NULL)",
    "CREATE TABLE bench_completions (enrollment_id TEXT NOT NULL)",
)
_CLAIMED: Final = "NEW.status = 'claimed' AND NEW.token {differs} OLD.token"
_COMPLETED: Final = "NEW.status = 'completed' AND OLD.status <> 'completed'"

# Its clock counts milliseconds: a claim may be made within the one in which a lease ended.
_SQLITE: Final = (
    f"""CREATE TRIGGER bench_claim AFTER UPDATE ON segmentflow_enrollments
        WHEN {_CLAIMED.format(differs="IS NOT")} BEGIN INSERT INTO bench_claims VALUES (
            NEW.enrollment_id,
            OLD.status = 'claimed' AND OLD.lease_until
                > (julianday('now') - 2440587.5) * 86400000000 + 1000
        ); END""",
    f"""CREATE TRIGGER bench_completion AFTER UPDATE ON segmentflow_enrollments
        WHEN {_COMPLETED} BEGIN INSERT INTO bench_completions VALUES (NEW.enrollment_id); END""",
)
_POSTGRESQL: Final = (
    """CREATE FUNCTION bench_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO bench_claims VALUES (NEW.enrollment_id,
            (OLD.status = 'claimed' AND OLD.lease_until > clock_timestamp())::integer);
        RETURN NULL; END $$""",
    f"""CREATE TRIGGER bench_claim AFTER UPDATE ON segmentflow_enrollments FOR EACH ROW
        WHEN ({_CLAIMED.format(differs="IS DISTINCT FROM")}) EXECUTE FUNCTION bench_claim()""",
    """CREATE FUNCTION bench_completion() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO bench_completions VALUES (NEW.enrollment_id); RETURN NULL; END $$""",
    f"""CREATE TRIGGER bench_completion AFTER UPDATE ON segmentflow_enrollments FOR EACH ROW
        WHEN ({_COMPLETED}) EXECUTE FUNCTION bench_completion()""",
)

_EFFECT: Final = text("INSERT INTO bench_effects VALUES (:id) ON CONFLICT DO NOTHING")
_RUN: Final = text("INSERT INTO bench_runs VALUES (:id, :attempt)")


def prepare(engine: Engine) -> None:
    """Add the tables and the triggers to a store's database."""
    triggers = _SQLITE if engine.dialect.name == "sqlite" else _POSTGRESQL
    with engine.begin() as connection:
        for statement in (*_TABLES, *triggers):
            connection.exec_driver_sql(statement)


def make_effect(engine: Engine, enrollment_id: str, attempt: int) -> None:
    """Do what a handler does: have an effect, once for an Enrollment's id."""
    with engine.begin() as connection:
        connection.execute(_EFFECT, {"id": enrollment_id})
        connection.execute(_RUN, {"id": enrollment_id, "attempt": attempt})


def completions(engine: Engine) -> int:
    """Count the Enrollments that were completed so far."""
    with engine.connect() as connection:
        return _count(connection, "bench_completions")


def runs_again(engine: Engine) -> tuple[int, int]:
    """Count how often a handler made an effect again, and an Enrollment was handed over again."""
    with engine.connect() as connection:
        again = _count(connection, "bench_runs") - _count(connection, "bench_effects")
        handed = "(SELECT DISTINCT enrollment_id FROM bench_claims) AS each_one"
        return again, _count(connection, "bench_claims") - _count(connection, handed)


def broken_promises(engine: Engine) -> dict[str, int]:
    """Count how often each promise is broken; all are zero where none is."""
    ids = "SELECT CAST(enrollment_id AS TEXT) FROM segmentflow_enrollments"
    twice = "SELECT enrollment_id FROM bench_completions GROUP BY 1 HAVING count(*) > 1"
    counted = {
        "lost": "segmentflow_enrollments WHERE status <> 'completed'",
        "withoutEffect": f"({ids} EXCEPT SELECT enrollment_id FROM bench_effects) AS without",
        "strangeEffects": f"(SELECT enrollment_id FROM bench_effects EXCEPT {ids}) AS strange",
        "completedTwice": f"({twice}) AS twice",
        "underLiveLease": "bench_claims WHERE live = 1",
    }
    with engine.connect() as connection:
        return {name: _count(connection, counted[name]) for name in PROMISES}


def _count(connection: Connection, rows: str) -> int:
    count: int = connection.exec_driver_sql(f"SELECT count(*) FROM {rows}").scalar_one()
    return count
