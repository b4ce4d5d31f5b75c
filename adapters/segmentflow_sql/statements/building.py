"""What statements are built from, and how one is compiled.

Many values travel as one parameter, so that a batch of any size costs the statements of a
single call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    func,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

from segmentflow_sql.identities import Leading
from segmentflow_sql.schema import key_claims
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.statement import RowStatement, Statement

__all__ = [
    "NO_OFFSET",
    "Values",
    "before",
    "changing",
    "claim_of_event",
    "columns",
    "compiled",
    "equal_to_given",
    "for_rows",
    "inserting",
    "leading",
    "looked_up",
    "page",
    "replacing",
]

Values: TypeAlias = list[ColumnElement[Any]]

_LAST_ID: Final[ColumnElement[Any]] = literal_column("'ffffffff-ffff-ffff-ffff-ffffffffffff'")
NO_OFFSET: Final[ColumnElement[Any]] = literal_column("0")
"""SQLite's compiler writes an OFFSET beside every LIMIT; a literal one needs no parameter."""


def compiled(
    dialect: Dialect,
    name: str,
    statement: ClauseElement,
    *,
    prepared: bool = True,
    takes_keys: bool = False,
) -> Statement:
    """Compile a statement.

    Args:
        dialect: for which database.
        name: says to a reader which statement it is.
        statement: of SQLAlchemy.
        prepared: whether a server may keep it prepared, with its plan. A plan kept from when
            the tables were small may take any index that leads with the Organization for as
            good as the key, and reads all of its history ever after: a statement at risk is
            planned anew each time.
        takes_keys: whether it takes idempotency keys.
    """
    done: Any = statement.compile(dialect=dialect.compiler)
    text = str(done)
    # What the statement gives back, as its own compiler says; nothing, where it is only run.
    given: Any = getattr(statement, "_all_selected_columns", None) or ()
    # Behind a pooler, another version's statement of the same name must not answer for this one.
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Statement(
        name,
        text,
        tuple(done.positiontup),
        tuple(map(dialect.reader, given)),
        f"{name}_{digest}" if prepared else "",
        takes_keys,
    )


def equal_to_given(table: FromClause, *names: str) -> ColumnElement[bool]:
    """Say that each of these columns equals the parameter of its name."""
    return and_(*(table.c[name] == bindparam(name, type_=table.c[name].type) for name in names))


def claim_of_event() -> ColumnElement[bool]:
    """Find the key claim of an event among those whose digest begins as the event says."""
    digest = key_claims.c.key_digest
    return and_(
        equal_to_given(key_claims, "organization_id", "event_id"),
        digest >= bindparam("first", type_=digest.type),
        digest < bindparam("beyond", type_=digest.type),
    )


def leading(kind: Leading) -> ColumnElement[Any]:
    """Write out a kind of identity: whatever plan is kept, it knows which kind is looked for."""
    return literal_column(f"'{kind}'")


def columns(dialect: Dialect, table: Table, *, without: Collection[str] = ()) -> Values:
    """Return what to select for whole rows of a table, or for all but some columns of them."""
    return [dialect.read(each) for each in table.c if each.name not in without]


def for_rows(
    dialect: Dialect,
    name: str,
    like: Sequence[Column[Any]],
    statement: Callable[[FromClause | None, Values], ClauseElement],
    *,
    prepared: bool = True,
    takes_keys: bool = False,
) -> RowStatement:
    """Build and compile both forms of a statement for rows.

    Args:
        dialect: for which database.
        name: of the form for one row; that of the other, where there is one, has ``_many``.
        like: the columns whose types the values of a row have, in order.
        statement: is given the rows' source, None for one row, and the values of a row.
        prepared: as for `compiled`.
        takes_keys: as for `compiled`.
    """

    def form(name: str, source: FromClause | None, values: Values) -> Statement:
        built = statement(source, values)
        return compiled(dialect, name, built, prepared=prepared, takes_keys=takes_keys)

    places: Values = [bindparam(f"value_{i}", type_=each.type) for i, each in enumerate(like)]
    one = form(name, None, places)
    if dialect.runs_each_row and not one.readers:
        return RowStatement(one, None)
    source = dialect.each("rows")
    items = [dialect.typed(dialect.item(source.c.value, i), each) for i, each in enumerate(like)]
    organization_at = None
    if dialect.one_organization:
        organization_at = [each.name for each in like].index("organization_id")
        type_ = like[organization_at].type
        items[organization_at] = bindparam("organization_id", type_=type_)
    return RowStatement(one, form(f"{name}_many", source, items), organization_at)


def inserting(
    dialect: Dialect,
    name: str,
    table: Table,
    finish: Callable[[Any], ClauseElement] = lambda insert: insert,
    *,
    of: Sequence[Column[Any]] | None = None,
    takes_keys: bool = False,
) -> RowStatement:
    """Build the INSERT of rows: whole ones in the order of the table's columns, or some columns."""
    like = list(table.c) if of is None else list(of)
    names = [each.name for each in like]

    def statement(source: FromClause | None, values: Values) -> ClauseElement:
        insert = dialect.insert(table)
        if source is None:
            return finish(insert.values(dict(zip(names, values, strict=True))))
        # SQLite needs a WHERE to tell an ON CONFLICT from the ON of a join.
        rows = select(*values).select_from(source).where(true())
        return finish(insert.from_select(names, rows))

    return for_rows(dialect, name, like, statement, takes_keys=takes_keys)


def changing(dialect: Dialect, name: str, table: Table, changed: Sequence[str]) -> RowStatement:
    """Build the UPDATE of some columns of rows, in the order of the table's columns.

    The key they are found by comes last.
    """
    keys = [each.name for each in table.primary_key.columns]
    changed = [each.name for each in table.c if each.name in changed]

    def statement(source: FromClause | None, values: Values) -> ClauseElement:
        del source  # the values say where they come from
        by_name = dict(zip((*changed, *keys), values, strict=True))
        return (
            update(table)
            .where(*(table.c[key] == by_name[key] for key in keys))
            .values({column: by_name[column] for column in changed})
        )

    return for_rows(dialect, name, [table.c[each] for each in (*changed, *keys)], statement)


def replacing(table: Table, insert: Any, where: ColumnElement[bool]) -> Any:
    """Let an INSERT replace the row it conflicts with, where that row allows it."""
    return insert.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={each.name: insert.excluded[each.name] for each in table.c if not each.primary_key},
        where=where,
    )


def looked_up(
    dialect: Dialect,
    name: str,
    selected: Values,
    column: Column[Any],
    *joined: tuple[Table, ColumnElement[bool]],
    more: ColumnElement[bool] | None = None,
) -> Select[Any]:
    """Look up an Organization's rows by a list of values of a column.

    Where an outer join is needed, a value that finds nothing gives a row of NULLs.

    Args:
        dialect: for which database.
        name: of the list.
        selected: what to select.
        column: has one of the values.
        joined: further tables, each with what leads to it; joined outwards.
        more: what else the rows must be.
    """
    table: Table = column.table
    rows = equal_to_given(table, "organization_id")
    if more is not None:
        rows = and_(rows, more)
    if dialect.needs_outer_join:
        each = dialect.each(name)
        source: FromClause = each.outerjoin(table, and_(rows, column == each.c.value))
        which = None
    else:
        source = table
        which = and_(rows, dialect.among(column, name))
    for other, leads_to_it in joined:
        source = source.outerjoin(other, leads_to_it)
    found = select(*selected).select_from(source)
    return found if which is None else found.where(which)


def before(key: ColumnElement[Any], kind: TypeEngine[Any]) -> ColumnElement[bool]:
    """Say that an id is below the one that a page starts before, if it starts before any."""
    return key < func.coalesce(bindparam("before", type_=kind), _LAST_ID)


def page(
    selected: Values, source: FromClause, key: Column[Any], *more: ColumnElement[bool]
) -> Select[Any]:
    """Read a page of an Organization's rows, newest first by id."""
    return (
        select(*selected)
        .select_from(source)
        .where(
            equal_to_given(key.table, "organization_id"),
            before(key, key.type),
            *more,
        )
        .order_by(key.desc())
        .limit(bindparam("limit", type_=Integer))
        .offset(NO_OFFSET)
    )
