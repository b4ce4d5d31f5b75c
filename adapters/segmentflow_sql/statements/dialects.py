"""How each kind of database writes SQL: lists, JSON, instants, and what it can and cannot do.

Knows no table but the type of a column; what is asked for stands in the modules beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    Select,
    String,
    Text,
    any_,
    bindparam,
    cast,
    column,
    extract,
    func,
    literal_column,
    select,
    table,
)
from sqlalchemy import Dialect as SqlalchemyDialect
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.postgresql.psycopg import dialect as postgresql_dialect
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from segmentflow_sql.schema import INSTANT
from segmentflow_sql.statements.statement import Reader

__all__ = ["DIALECTS", "DatabaseName", "Dialect", "Postgresql", "Sqlite"]

DatabaseName: TypeAlias = Literal[
    "sqlite",
    "postgresql",
    "citus",
    "yugabytedb",
    "yugabytedb_serializable",
    "cockroachdb",
]
"""Each kind of database that statements are written for.

`python -m segmentflow_sql` takes these names, and so does an engine's execution option
`segmentflow_database`, but the one at SERIALIZABLE, which follows from the engine's level.
"""


class _SqliteCompiler(SQLiteCompiler):
    """SQLAlchemy's own, which passes over hints, but for them."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        """Return what is written behind a table: ``INDEXED BY`` and the index."""
        del table
        return text


class _SqliteDialect(SQLiteDialect_pysqlite):
    """SQLite's SQL with hints."""

    statement_compiler = _SqliteCompiler


class Sqlite:
    """Writes statements the way SQLite wants them; a list is a JSON array.

    Attributes:
        compiler: SQLAlchemy's own.
        insert: makes an INSERT that may say what to do on a conflict.
        one_writer: whether one transaction at a time writes, so that nothing needs a lock
            and no transaction reads an older state than it writes to.
        has_lateral: whether a join may look each row up, and an UPDATE return what it is
            joined to.
        is_remote: whether a connection may be lost while it commits.
        runs_each_row: whether what returns nothing is run for each of many rows, in the driver.
            Where nothing travels, that takes less than reading the rows from a list.
        needs_outer_join: whether only an outer join, whose order is kept, leads from a list
            to an index. Without statistics SQLite takes an OR, an IN or an inner join as a
            reason to read the whole Organization.
        one_organization: whether a statement that locks or changes rows names one
            Organization, as a parameter: the database keeps Organizations on different
            machines, and locks rows on one of them alone.
        claims_together: whether one statement claims from all Organizations; otherwise each is
            asked by a statement of its own.
        skips_locked: whether a statement may pass over what others hold locked; otherwise
            it waits for them.
    """

    compiler: SqlalchemyDialect = _SqliteDialect(paramstyle="qmark")
    insert: Any = staticmethod(sqlite_insert)
    one_writer: bool = True
    has_lateral: bool = False
    is_remote: bool = False
    runs_each_row: bool = True
    needs_outer_join: bool = True
    one_organization: bool = False
    claims_together: bool = False
    skips_locked: bool = True

    def each(self, name: str) -> Any:
        """Return a FROM item with the items of a list as its column ``value``."""
        return self.each_of(bindparam(name, type_=Text), name)

    def each_of(self, listed: ColumnElement[Any], name: str) -> Any:
        """Return a FROM item with the items of a column that is a JSON array, as ``value``."""
        return func.json_each(listed).table_valued("value", name=f"each_{name}")

    def item(self, row: ColumnElement[Any], index: int) -> ColumnElement[Any]:
        """Return one value of a row that came as a JSON array."""
        return func.json_extract(row, literal_column(f"'$[{index}]'"))

    def typed(self, value: ColumnElement[Any], like: Column[Any]) -> ColumnElement[Any]:
        """Give a value the type of a column; SQLite does that when it stores it."""
        del like
        return value

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Say that a column has one of the values of a list."""
        each = self.each(name)
        return column.in_(select(each.c.value))

    def one_of(self, column: ColumnElement[Any], values: Any) -> ColumnElement[bool]:
        """Say that a column has one of the values that a query gives."""
        return column.in_(values)

    def read(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what to select so that every database answers alike."""
        return column

    def reader(self, _column: ColumnElement[Any]) -> Reader:
        """Return what reads a result column; SQLite's driver gives values, not text."""
        return bytes

    def has_table(self, name: ColumnElement[Any]) -> Select[Any]:
        """Ask whether a table is there: one row with 1 or 0."""
        master = table("sqlite_master", column("name"))
        return select(func.count()).select_from(master).where(master.c.name == name)


class _Cockroachdb(postgresql_dialect):
    """PostgreSQL's SQL with the types that the tables have on CockroachDB."""

    name = "cockroachdb"


_EPOCH: Final[ColumnElement[Any]] = literal_column("TIMESTAMP '1970-01-01 00:00:00'")
_ONE_DAY: Final[ColumnElement[Any]] = literal_column("INTERVAL '1 day'")
_ONE_MICROSECOND: Final[ColumnElement[Any]] = literal_column("INTERVAL '1 microsecond'")
_UTC: Final[ColumnElement[Any]] = literal_column("'UTC'")
_SECOND: Final[ColumnElement[Any]] = literal_column("1000000")
_DAY: Final[ColumnElement[Any]] = literal_column("86400000000")
"""In microseconds."""


class Postgresql:
    """Writes statements the way PostgreSQL and its kin want them; a list is an array.

    Uses no function that depends on the session or on the moment: Citus refuses such in
    RETURNING and SET.

    Args:
        compiler: SQLAlchemy's own; its name tells which types the tables have.
        one_organization: see `Sqlite`.
        skips_locked: see `Sqlite`.
        extracts_exactly: whether EXTRACT gives an exact number. Otherwise it gives a double,
            which is exact to the microsecond only near 1970.

    Other attributes are those of `Sqlite`.
    """

    insert: Any = staticmethod(postgresql_insert)
    one_writer: bool = False
    has_lateral: bool = True
    is_remote: bool = True
    runs_each_row: bool = False
    needs_outer_join: bool = False

    def __init__(
        self,
        compiler: Callable[..., SqlalchemyDialect] = postgresql_dialect,
        *,
        one_organization: bool = False,
        skips_locked: bool = True,
        extracts_exactly: bool = True,
    ) -> None:
        self.compiler: SqlalchemyDialect = compiler(paramstyle="numeric_dollar")
        self.one_organization = one_organization
        self.claims_together = not one_organization
        self.skips_locked = skips_locked
        self._extracts_exactly = extracts_exactly

    def each(self, name: str) -> Any:
        """Return a FROM item with the items of a JSON array as its column ``value``."""
        return self.each_of(cast(bindparam(name, type_=Text), JSONB), name)

    def each_of(self, listed: ColumnElement[Any], name: str) -> Any:
        """Return a FROM item with the items of a column that is a JSON array, as ``value``."""
        items = func.jsonb_array_elements(listed)
        # The column is named as well: without, an engine may name it after the FROM item.
        return items.table_valued(column("value", JSONB)).render_derived(name=f"each_{name}")

    def item(self, row: ColumnElement[Any], index: int) -> ColumnElement[Any]:
        """Return one value, as text, of a row that came as a JSON array."""
        return row.op("->>")(literal_column(str(index)))

    def typed(self, value: ColumnElement[Any], like: Column[Any]) -> ColumnElement[Any]:
        """Give a value that is text the type of a column.

        Text stays as it is: a cast to VARCHAR(255) would cut what is longer, silently. An
        instant comes in microseconds since 1970: how a timestamp's text is read depends on
        the session.
        """
        if like.type is INSTANT:
            return _instant(cast(value, BigInteger))
        kind = like.type.dialect_impl(self.compiler)
        return value if isinstance(kind, String) else cast(value, kind)

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Say that a column has one of the values of a list."""
        kind: Any = column.type.dialect_impl(self.compiler)
        listed = ARRAY(Text if isinstance(kind, String) else kind)
        return column == any_(bindparam(name, type_=listed))

    def one_of(self, column: ColumnElement[Any], values: Any) -> ColumnElement[bool]:
        """Say that a column has one of the values that a query gives.

        As an array the query runs once, first; a lock that is waited for does not run it anew.
        """
        return column == any_(func.array(values.scalar_subquery()))

    def read(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what to select so that every database answers alike.

        How a timestamp is written depends on the session's settings; its distance from
        1970 does not, and is exact.
        """
        if column.type is not INSTANT:
            return column
        utc = column.op("AT TIME ZONE")(_UTC)
        if self._extracts_exactly:
            return cast(extract("epoch", utc) * _SECOND, BigInteger)
        # Whole seconds, and the microseconds within a minute, are exact as doubles too.
        seconds = cast(
            extract("epoch", func.date_trunc(literal_column("'second'"), utc)), BigInteger
        )
        within = cast(extract("microseconds", utc), BigInteger).op("%")(_SECOND)
        return seconds * _SECOND + within

    def reader(self, column: ColumnElement[Any]) -> Reader:
        """Return what turns the text of a result column into a value."""
        return int if isinstance(column.type, Integer) else bytes.decode

    def has_table(self, name: ColumnElement[Any]) -> Select[Any]:
        """Ask whether a table is there, on the search path: one row with 1 or 0."""
        return select(cast(func.to_regclass(name).is_not(None), Integer))


def _instant(microseconds: ColumnElement[Any]) -> ColumnElement[Any]:
    """Make an instant of microseconds since 1970, exact over the whole range.

    A single product is not: PostgreSQL multiplies an interval by a double. Days, and the
    microseconds within one, are few enough. What is divided leaves no rest, because `/` gives
    a fraction on CockroachDB.
    """
    rest = microseconds.op("%")(_DAY)
    days = cast((microseconds - rest).self_group().op("/")(_DAY), BigInteger)
    moment = _EPOCH + days.op("*")(_ONE_DAY) + rest.self_group().op("*")(_ONE_MICROSECOND)
    return moment.self_group().op("AT TIME ZONE")(_UTC)


Dialect: TypeAlias = Sqlite | Postgresql

DIALECTS: Final[dict[DatabaseName, Dialect]] = {
    "sqlite": Sqlite(),
    "postgresql": Postgresql(),
    "citus": Postgresql(one_organization=True),
    "yugabytedb": Postgresql(one_organization=True, extracts_exactly=False),
    "yugabytedb_serializable": Postgresql(
        one_organization=True, skips_locked=False, extracts_exactly=False
    ),
    "cockroachdb": Postgresql(_Cockroachdb, one_organization=True, extracts_exactly=False),
}
