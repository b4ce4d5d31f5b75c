"""The databases that speak PostgreSQL's protocol, and what repositories need to know of each."""

from __future__ import annotations

from typing import Final

from segmentflow_sql import codecs
from segmentflow_sql.exchange import DatabaseKind
from segmentflow_sql.statements import DatabaseName, statements_for

__all__ = ["KIN", "KIND", "kind_of"]

KIN: Final[tuple[DatabaseName, ...]] = ("postgresql", "citus", "yugabytedb", "cockroachdb")
"""By the names that a host gives them."""

KIND: Final = DatabaseKind(statements_for("postgresql"), codecs.POSTGRESQL)
"""PostgreSQL itself."""


def kind_of(database: DatabaseName, *, serializable: bool) -> DatabaseKind:
    """Return what to know of one of the kin, at SERIALIZABLE or at another level."""
    if database == "postgresql":
        return KIND
    if database == "yugabytedb" and serializable:
        database = "yugabytedb_serializable"
    return DatabaseKind(statements_for(database), codecs.POSTGRESQL)
