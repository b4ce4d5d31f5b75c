"""How the earlier events of Profiles are found, each series by one look into its index.

No more of a history is read than is asked for. Events and what retention left of others are read by
one statement, so that neither is missed nor read twice while old events go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    cast,
    func,
    lateral,
    literal_column,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_core.ports import Reads
from segmentflow_sql.schema import events, gone_events, profile_versions
from segmentflow_sql.statements.building import NO_OFFSET, Values, compiled, equal_to_given
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.statement import Statement

__all__ = ["PROBE", "HistoryStatements", "history_statements"]

PROBE: Final = ("profile_id", "event", "since", "until", "before")
"""What a probe says, in the order in which a row of a list has it behind its position."""

_LIKE: Final[Mapping[str, Column[Any]]] = {
    "profile_id": events.c.profile_id,
    "event": events.c.event,
    "since": events.c.occurred_at,
    "until": events.c.occurred_at,
    "before": events.c.number,
}

_Given = Callable[[str], ColumnElement[Any]]


@frozen
class HistoryStatements:
    """The statements that read what Profiles did.

    Attributes:
        earlier: by what is read of each event. Gives of each event the position of its probe, its
            id, number and time, how many were found, its data and its version of the Profile; and
            a row without an id where retention removed any: the highest number, the latest time,
            and how many went.
        takes_list: whether it takes any number of probes, as a list; otherwise one.
    """

    earlier: Mapping[Reads, Statement]
    takes_list: bool


def history_statements(dialect: Dialect) -> HistoryStatements:
    """Build and compile the statements that read what Profiles did."""
    levels: tuple[Reads, ...] = ("nothing", "data", "state")
    return HistoryStatements(
        {
            reads: compiled(
                dialect, f"earlier_events_{reads}", _earlier(dialect, reads), prepared=False
            )
            for reads in levels
        },
        dialect.has_lateral,
    )


def _earlier(dialect: Dialect, reads: Reads) -> ClauseElement:
    if not dialect.has_lateral:
        position: ColumnElement[Any] = bindparam("position", type_=Integer)

        def given(name: str) -> ColumnElement[Any]:
            return bindparam(name, type_=_LIKE[name].type)

        found: Any = _found(dialect, reads, given).subquery("found")
        gone: Any = _gone(dialect, given).subquery("gone")
        return union_all(_of(position, found), _of(position, gone))
    each = dialect.each("rows")
    position = cast(dialect.item(each.c.value, 0), Integer)

    def item(name: str) -> ColumnElement[Any]:
        return dialect.typed(dialect.item(each.c.value, PROBE.index(name) + 1), _LIKE[name])

    found = lateral(_found(dialect, reads, item, each), name="found")
    # Each by itself, too: of a table it knows nothing of yet, a planner would read all.
    gone = lateral(_gone(dialect, item), name="gone")
    return union_all(
        _of(position, found).select_from(each.join(found, true())),
        _of(position, gone).select_from(each.join(gone, true())),
    )


_ANSWER: Final = (
    *("event_id", "number", "occurred", "found"),
    *("data", "email", "external_id", "properties"),
)
"""What is given of each event behind the position of its probe, in this order."""


def _of(position: ColumnElement[Any], source: Any) -> Select[Any]:
    """Give what a source has of an answer, and nothing of what it has not."""
    # A NULL within the source would be taken for text, whatever the other rows have there.
    columns: Values = [
        source.c[name] if name in source.c else null().label(name) for name in _ANSWER
    ]
    return select(position, *columns)


def _newest(reads: Reads, given: _Given, *of: FromClause) -> Select[Any]:
    """Read the newest of the events that a probe asks for, of those that are listed elsewhere."""
    occurred_at, number = events.c.occurred_at, events.c.number
    newest = (
        select(
            events.c.organization_id,
            events.c.profile_id,
            events.c.event_id,
            number,
            occurred_at,
            # Without these, the index has all that is wanted.
            *([] if reads == "nothing" else [events.c.data, events.c.profile_version]),
        )
        .where(
            equal_to_given(events, "organization_id"),
            events.c.profile_id == given("profile_id"),
            events.c.event == given("event"),
            occurred_at >= given("since"),
            occurred_at <= given("until"),
            number < given("before"),
        )
        .order_by(occurred_at.desc(), number.desc())
        .limit(bindparam("limit", type_=Integer))
        .offset(NO_OFFSET)
    )
    return newest.correlate(*of) if of else newest


def _found(dialect: Dialect, reads: Reads, given: _Given, *of: FromClause) -> Select[Any]:
    """Read of the newest events what is needed, and no more than there is room for."""
    newest = _newest(reads, given, *of).subquery("newest")
    of_each = [newest.c.event_id, newest.c.number, dialect.read(newest.c.occurred_at)]
    counted = func.count().over().label("found")
    if reads == "nothing":
        return select(*_named(of_each), counted)
    size = _size(newest.c.data)
    source: FromClause = newest
    version: Values = []
    if reads == "state":
        source = newest.outerjoin(profile_versions, _as_it_left_it(newest))
        size = size + func.coalesce(_size(profile_versions.c.properties), _NO_SIZE)
        version = [profile_versions.c[name] for name in _VERSION]
    before = func.sum(size).over(order_by=(newest.c.occurred_at.desc(), newest.c.number.desc()))
    columns = [*_named(of_each), counted, newest.c.data, *version]
    sized = select(*columns, (before - size).label("before_it")).select_from(source)
    fitting = sized.subquery("sized")
    wanted: Values = [each for each in fitting.c if each.name != "before_it"]
    return select(*wanted).where(fitting.c.before_it < bindparam("room", type_=Integer))


_VERSION: Final = ("email", "external_id", "properties")
_ONE: Final[ColumnElement[Any]] = literal_column("1", Integer)
_NO_SIZE: Final[ColumnElement[Any]] = literal_column("0", Integer)


def _named(of_each: Values) -> Values:
    event_id, number, occurred_at = of_each
    return [event_id, number, occurred_at.label("occurred")]


def _size(json: ColumnElement[Any]) -> ColumnElement[Any]:
    """Count the characters of JSON as text; SQLite counts bytes only since 3.43."""
    return func.length(cast(json, Text), type_=Integer)


def _as_it_left_it(newest: Subquery) -> ColumnElement[bool]:
    return and_(
        profile_versions.c.organization_id == newest.c.organization_id,
        profile_versions.c.profile_id == newest.c.profile_id,
        profile_versions.c.version == newest.c.profile_version,
    )


def _gone(dialect: Dialect, given: _Given) -> Select[Any]:
    """Read what retention left of the events of a probe's name."""
    left: Values = [
        gone_events.c.highest_number.label("number"),
        dialect.read(gone_events.c.last_occurred_at).label("occurred"),
        gone_events.c.count.label("found"),
    ]
    return (
        select(*left)
        .where(
            equal_to_given(gone_events, "organization_id"),
            gone_events.c.profile_id == given("profile_id"),
            gone_events.c.event == given("event"),
        )
        .limit(_ONE)
        .offset(NO_OFFSET)
    )
