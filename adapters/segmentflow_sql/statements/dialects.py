"""How each kind of database writes SQL: lists, JSON, instants, and what it can and cannot do.

Knows no table but the type of a column; what is asked for stands in the modules beside it.
"""

from __future__ import annotations

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
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from segmentflow_sql.schema import INSTANT
from segmentflow_sql.statements.statement import Reader

__all__ = ["DIALECTS", "DatabaseName", "Dialect", "Postgresql", "Sqlite"]

DatabaseName: TypeAlias = Literal["sqlite", "postgresql"]


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
        needs_outer_join: whether only an outer join, whose order is kept, leads from a list
            to an index. Without statistics SQLite takes an OR, an IN or an inner join as a
            reason to read the whole Organization.
    """

    compiler: SqlalchemyDialect = sqlite_dialect(paramstyle="qmark")
    insert: Any = staticmethod(sqlite_insert)
    one_writer: bool = True
    has_lateral: bool = False
    is_remote: bool = False
    needs_outer_join: bool = True

    def each(self, name: str) -> Any:
        """Return a FROM item with the items of a list as its column ``value``."""
        given = bindparam(name, type_=Text)
        return func.json_each(given).table_valued("value", name=f"each_{name}")

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


class Postgresql:
    """Writes statements the way PostgreSQL wants them; a list is an array.

    Attributes are those of `Sqlite`.
    """

    compiler: SqlalchemyDialect = postgresql_dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
    insert: Any = staticmethod(postgresql_insert)
    one_writer: bool = False
    has_lateral: bool = True
    is_remote: bool = True
    needs_outer_join: bool = False

    def each(self, name: str) -> Any:
        """Return a FROM item with the items of a JSON array as its column ``value``."""
        given = cast(bindparam(name, type_=Text), JSONB)
        return func.jsonb_array_elements(given).table_valued(
            column("value", JSONB), name=f"each_{name}"
        )

    def item(self, row: ColumnElement[Any], index: int) -> ColumnElement[Any]:
        """Return one value, as text, of a row that came as a JSON array."""
        return row.op("->>")(literal_column(str(index)))

    def typed(self, value: ColumnElement[Any], like: Column[Any]) -> ColumnElement[Any]:
        """Give a value that is text the type of a column.

        Text stays as it is: a cast to VARCHAR(255) would cut what is longer, silently.
        """
        kind = like.type.dialect_impl(self.compiler)
        return value if isinstance(kind, String) else cast(value, kind)

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Say that a column has one of the values of a list."""
        kind: Any = column.type.dialect_impl(self.compiler)
        listed = ARRAY(Text if isinstance(kind, String) else kind)
        return column == any_(cast(bindparam(name, type_=Text), listed))

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
        if column.type is INSTANT:
            return cast(extract("epoch", column) * literal_column("1000000"), BigInteger)
        return column

    def reader(self, column: ColumnElement[Any]) -> Reader:
        """Return what turns the text of a result column into a value."""
        return int if isinstance(column.type, Integer) else bytes.decode

    def has_table(self, name: ColumnElement[Any]) -> Select[Any]:
        """Ask whether a table is there, on the search path: one row with 1 or 0."""
        return select(cast(func.to_regclass(name).is_not(None), Integer))


Dialect: TypeAlias = Sqlite | Postgresql

DIALECTS: Final[dict[DatabaseName, Dialect]] = {"sqlite": Sqlite(), "postgresql": Postgresql()}
