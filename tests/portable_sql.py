"""The written list: every clause, function, type and operator that a statement may use.

Each entry says what it is for, and which page of each engine's documentation allows it. Citus is
PostgreSQL wherever a statement names one Organization, whose rows are on one shard: its page is the
same for every entry but those that are named. What is not here is refused by `sql_lint`; so write
the entry first, with pages that you have read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

__all__ = ["CLAUSES", "FUNCTIONS", "OPERATORS", "SOURCES", "TYPES", "Allowed"]

SOURCES: Final = {
    "postgresql": "https://www.postgresql.org/docs/current/",
    "citus": "https://docs.citusdata.com/en/stable/develop/",
    "yugabytedb": "https://docs.yugabyte.com/stable/",
    "cockroachdb": "https://www.cockroachlabs.com/docs/stable/",
}
"""Where each engine's pages begin."""


@frozen
class Allowed:
    """What a statement may use.

    Attributes:
        reason: what it is for.
        pages: the page of each engine's documentation that allows it.
        never_on: for which databases no statement may use it, and why.
        stable: whether it is a function whose result depends on the session or the moment:
            allowed where rows are neither changed nor returned from a change.
    """

    reason: str
    pages: Mapping[str, str]
    never_on: Mapping[str, str] = {}
    stable: bool = False


_ONE_SHARD = "reference_workarounds.html"
_YSQL = "api/ysql/the-sql-language/statements/"


def _allowed(
    reason: str,
    postgresql: str,
    yugabytedb: str,
    cockroachdb: str | None,
    never_on: Mapping[str, str] | None = None,
    *,
    stable: bool = False,
) -> Allowed:
    pages = {
        "postgresql": f"{postgresql}.html",
        "citus": _ONE_SHARD,
        "yugabytedb": f"{yugabytedb}/",
    }
    if cockroachdb is not None:
        pages["cockroachdb"] = cockroachdb
    return Allowed(reason, pages, never_on or {}, stable)


_SELECT = ("sql-select", f"{_YSQL}dml_select", "selection-queries")
_INSERT = ("sql-insert", f"{_YSQL}dml_insert", "insert")
_UPDATE = ("sql-update", f"{_YSQL}dml_update", "update")
_DELETE = ("sql-delete", f"{_YSQL}dml_delete", "delete")
_TABLE = ("sql-createtable", f"{_YSQL}ddl_create_table", "create-table")
_INDEX = ("sql-createindex", f"{_YSQL}ddl_create_index", "create-index")
_WITH = ("queries-with", "api/ysql/the-sql-language/with-clause", "common-table-expressions")
_EXPRESSION = ("sql-expressions", "api/ysql/exprs", "scalar-expressions")
_LOCK = ("sql-select", "explore/transactions/explicit-locking", "select-for-update")
_BEGIN = ("sql-begin", f"{_YSQL}txn_begin", "begin-transaction")
_SAVEPOINT = ("sql-savepoint", f"{_YSQL}savepoint_create", "savepoint")
_AGGREGATE = (
    "functions-aggregate",
    "api/ysql/exprs/aggregate_functions",
    "functions-and-operators",
)
_JSON = (
    "functions-json",
    "api/ysql/datatypes/type_json/functions-operators",
    "functions-and-operators",
)
_MOMENTS = (
    "functions-datetime",
    "api/ysql/datatypes/type_datetime/functions",
    "functions-and-operators",
)

_ONLY_TOGETHER = "only a claim from all Organizations at once uses it"
_NOT_ACROSS = {
    "citus": _ONLY_TOGETHER,
    "yugabytedb": _ONLY_TOGETHER,
    "yugabytedb_serializable": _ONLY_TOGETHER,
    "cockroachdb": _ONLY_TOGETHER,
}

CLAUSES: Final[dict[str, Allowed]] = {
    "SELECT": _allowed("reads", *_SELECT),
    "SELECT DISTINCT": _allowed("lists the Organizations that have work", *_SELECT),
    "FROM": _allowed("names what is read", *_SELECT),
    "WHERE": _allowed("says which rows", *_SELECT),
    "GROUP BY": _allowed("counts shares", *_SELECT),
    "PARTITION BY": _allowed(
        "numbers what each Organization has",
        "tutorial-window",
        "api/ysql/exprs/window_functions",
        "window-functions",
        _NOT_ACROSS,
    ),
    "ORDER BY": _allowed("orders queues, pages and locks", *_SELECT),
    "DESC": _allowed("newest first", *_SELECT),
    "LIMIT": _allowed("bounds what is read", *_SELECT),
    "OFFSET": _allowed("SQLAlchemy's compiler of SQLite needs one; it is 0", *_SELECT),
    "UNION ALL": _allowed("finds a Profile by whatever leads to it", *_SELECT),
    "OVER": _allowed(
        "numbers the Organizations, and bounds what is read of a history",
        "tutorial-window",
        "api/ysql/exprs/window_functions",
        "window-functions",
    ),
    "JOIN": _allowed(
        "leads to events and versions",
        "queries-table-expressions",
        "api/ysql/the-sql-language/statements/dml_select",
        "joins",
    ),
    "LEFT OUTER JOIN": _allowed(
        "keeps a row whose version is gone",
        "queries-table-expressions",
        "api/ysql/the-sql-language/statements/dml_select",
        "joins",
    ),
    "JOIN LATERAL": _allowed(
        "looks up a few rows of each",
        "queries-table-expressions",
        "api/ysql/the-sql-language/statements/dml_select",
        "joins",
    ),
    "LATERAL": _allowed(
        "locks no more of a line than is taken of it",
        "queries-table-expressions",
        "api/ysql/the-sql-language/statements/dml_select",
        "joins",
    ),
    "ON": _allowed("says what a join or an index is on", *_SELECT),
    "AS": _allowed("names a column, a table or the type of a cast", *_SELECT),
    "WITH": _allowed("names a step", *_WITH),
    "WITH RECURSIVE": _allowed("walks from Organization to Organization", *_WITH, _NOT_ACROSS),
    "AS MATERIALIZED": _allowed("keeps a step apart, whatever the planner guesses", *_WITH),
    "FOR UPDATE": _allowed("locks the rows that will be changed", *_LOCK),
    "OF": _allowed("locks a Profile and not its version", *_LOCK),
    "SKIP LOCKED": _allowed(
        "passes over what others hold",
        *_LOCK,
        {
            "yugabytedb_serializable": "https://github.com/yugabyte/yugabyte-db/issues/11761",
        },
    ),
    "INSERT INTO": _allowed("writes rows", *_INSERT),
    "VALUES": _allowed("writes one row", *_INSERT),
    "ON CONFLICT": _allowed("takes a key that nobody holds", *_INSERT),
    "DO NOTHING": _allowed("leaves the row that is there", *_INSERT),
    "DO UPDATE SET": _allowed("replaces a row that may be replaced", *_INSERT),
    "UPDATE": _allowed("changes rows", *_UPDATE),
    "SET": _allowed("says what changes", *_UPDATE),
    "DELETE FROM": _allowed("removes rows", *_DELETE),
    "RETURNING": _allowed("answers with the rows as changed", *_UPDATE),
    "AND": _allowed("joins conditions", *_EXPRESSION),
    "OR": _allowed("joins conditions", *_EXPRESSION),
    "IN": _allowed("compares with a list", *_EXPRESSION),
    "NOT IN": _allowed("leaves out what is taken already", *_EXPRESSION),
    "ANY": _allowed("compares with an array, which is one parameter", *_EXPRESSION),
    "NULL": _allowed("says that there is nothing", *_EXPRESSION),
    "IS NULL": _allowed("asks whether there is nothing", *_EXPRESSION),
    "IS NOT NULL": _allowed("asks whether there is something", *_EXPRESSION),
    "CASE": _allowed("changes rows by what they are", *_EXPRESSION),
    "WHEN": _allowed("is part of CASE", *_EXPRESSION),
    "THEN": _allowed("is part of CASE", *_EXPRESSION),
    "ELSE": _allowed("is part of CASE", *_EXPRESSION),
    "END": _allowed("is part of CASE", *_EXPRESSION),
    "CAST": _allowed("gives text from JSON its type", *_EXPRESSION),
    "EXTRACT": _allowed("counts the time since 1970, of a time without a zone", *_MOMENTS),
    "AT TIME ZONE": _allowed("takes an instant to UTC and back; immutable", *_MOMENTS),
    "CREATE TABLE IF NOT EXISTS": _allowed("creates what is missing", *_TABLE),
    "CREATE INDEX IF NOT EXISTS": _allowed("creates what is missing", *_INDEX),
    "CREATE UNIQUE INDEX IF NOT EXISTS": _allowed("keeps identities and entries apart", *_INDEX),
    "PRIMARY KEY": _allowed("leads with the Organization", *_TABLE),
    "NOT NULL": _allowed("says that there is always something", *_TABLE),
    "COLLATE": _allowed(
        "compares by code point, whatever the database's own collation",
        "collation",
        "explore/ysql-language-features/advanced-features/collations",
        None,
        {"cockroachdb": "https://github.com/cockroachdb/cockroach/issues/95667"},
    ),
    "BEGIN": _allowed("begins a transaction", *_BEGIN),
    "ISOLATION LEVEL READ UNCOMMITTED": _allowed("is what the host asked for", *_BEGIN),
    "ISOLATION LEVEL READ COMMITTED": _allowed("is what the host asked for", *_BEGIN),
    "ISOLATION LEVEL REPEATABLE READ": _allowed("is what the host asked for", *_BEGIN),
    "ISOLATION LEVEL SERIALIZABLE": _allowed("is what the host asked for", *_BEGIN),
    "READ ONLY": _allowed("is what the host asked for", *_BEGIN),
    "READ WRITE": _allowed("is what the host asked for", *_BEGIN),
    "DEFERRABLE": _allowed("is what the host asked for", "sql-begin", f"{_YSQL}txn_begin", None),
    "NOT DEFERRABLE": _allowed(
        "is what the host asked for", "sql-begin", f"{_YSQL}txn_begin", None
    ),
    "COMMIT": _allowed(
        "ends a transaction", "sql-commit", f"{_YSQL}txn_commit", "commit-transaction"
    ),
    "ROLLBACK": _allowed(
        "undoes a transaction", "sql-rollback", f"{_YSQL}txn_rollback", "rollback-transaction"
    ),
    "SET LOCAL": _allowed("bounds waits for locks", "sql-set", f"{_YSQL}cmd_set", "set-vars"),
    "SAVEPOINT": _allowed("begins our part of a host's transaction", *_SAVEPOINT),
    "RELEASE SAVEPOINT": _allowed(
        "ends our part", "sql-release-savepoint", f"{_YSQL}savepoint_release", "release-savepoint"
    ),
    "ROLLBACK TO SAVEPOINT": _allowed(
        "undoes our part", "sql-rollback-to", f"{_YSQL}savepoint_rollback", "rollback-transaction"
    ),
}

FUNCTIONS: Final[dict[str, Allowed]] = {
    "array": _allowed("makes a query run once, before its rows are locked", *_EXPRESSION),
    "coalesce": _allowed("takes the first that is something", *_EXPRESSION),
    "nullif": _allowed("tells an empty setting", *_EXPRESSION),
    "count": _allowed("counts entries", *_AGGREGATE),
    "max": _allowed("finds the latest entry", *_AGGREGATE),
    "sum": _allowed("adds up how large a history is", *_AGGREGATE),
    "length": _allowed(
        "says how large JSON is",
        "functions-string",
        "api/ysql/exprs",
        "functions-and-operators",
    ),
    "row_number": _allowed(
        "numbers the Organizations",
        "functions-window",
        "api/ysql/exprs/window_functions",
        "window-functions",
        _NOT_ACROSS,
    ),
    "jsonb_array_elements": _allowed("makes rows of one parameter", *_JSON),
    "date_trunc": _allowed("leaves whole seconds, of a time without a zone", *_MOMENTS),
    "to_regclass": _allowed(
        "tells whether there are tables",
        "functions-info",
        "api/ysql/exprs",
        "functions-and-operators",
        stable=True,
    ),
    "set_config": _allowed(
        "gives a host its own setting back",
        "functions-admin",
        "api/ysql/exprs",
        "functions-and-operators",
        stable=True,
    ),
    "clock_timestamp": _allowed(
        "tells workers the time",
        "functions-datetime",
        "api/ysql/datatypes/type_datetime/functions",
        "functions-and-operators",
        stable=True,
    ),
    "current_setting": _allowed(
        "reads a setting", "functions-admin", "api/ysql/exprs", "row-level-security", stable=True
    ),
    "pg_advisory_xact_lock": _allowed(
        "lets one process create tables",
        "functions-admin",
        "explore/transactions/explicit-locking",
        None,
        stable=True,
    ),
}

_PLAIN = ("datatype", "api/ysql/datatypes", "data-types")

TYPES: Final[dict[str, Allowed]] = {
    "VARCHAR": _allowed("holds names and keys", *_PLAIN),
    "TEXT": _allowed("is what arrays of names are of", *_PLAIN),
    "INTEGER": _allowed("counts", *_PLAIN),
    "BIGINT": _allowed("counts events and microseconds", *_PLAIN),
    "UUID": _allowed("holds ids", "datatype-uuid", "api/ysql/datatypes/type_uuid", "uuid"),
    "JSONB": _allowed("holds JSON", "datatype-json", "api/ysql/datatypes/type_json", "jsonb"),
    "TIMESTAMP WITH TIME ZONE": _allowed("holds instants", *_MOMENTS),
    "TIMESTAMP": _allowed("is an instant's time in UTC, of a literal", *_MOMENTS),
    "INTERVAL": _allowed("is a day or a microsecond, of a literal", *_MOMENTS),
}

OPERATORS: Final[dict[str, Allowed]] = {
    **{
        each: _allowed(
            "compares", "functions-comparison", "api/ysql/exprs", "functions-and-operators"
        )
        for each in ("=", "!=", "<", "<=", ">", ">=")
    },
    **{
        each: _allowed("counts", "functions-math", "api/ysql/exprs", "functions-and-operators")
        for each in ("+", "-", "*", "%")
    },
    "/": _allowed(
        "divides what leaves no rest: CockroachDB gives a fraction otherwise",
        "functions-math",
        "api/ysql/exprs",
        "postgresql-compatibility",
    ),
    "->>": _allowed("takes text out of JSON", *_JSON),
    "::": _allowed("says which type a parameter has", *_EXPRESSION),
}
