"""Every statement, built with SQLAlchemy Core and compiled once for each kind of database.

Knows the tables and how each database takes a list; must never know what runs a
statement. Many values travel as one parameter, so that a batch of any size costs the
statements of a single call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from attrs import evolve, frozen
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Dialect,
    Integer,
    Select,
    String,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    column,
    delete,
    extract,
    func,
    literal_column,
    null,
    or_,
    select,
    table,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.postgresql.psycopg import dialect as postgresql_dialect
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.selectable import FromClause

from segmentflow_sql import outbox
from segmentflow_sql.schema import (
    INSTANT,
    api_keys,
    claims,
    enrollments,
    events,
    is_open,
    journey_versions,
    journeys,
    metadata,
    profiles,
    schema,
)

__all__ = [
    "DatabaseName",
    "FoundBy",
    "ProfilesFoundBy",
    "Reader",
    "RowStatement",
    "Statement",
    "Statements",
    "statements_for",
]

DatabaseName: TypeAlias = Literal["sqlite", "postgresql"]
Reader: TypeAlias = Callable[[bytes], Any]
_Values: TypeAlias = list[ColumnElement[Any]]

_LAST_ID: Final[ColumnElement[Any]] = literal_column("'ffffffff-ffff-ffff-ffff-ffffffffffff'")
# SQLite's compiler writes an OFFSET beside every LIMIT; a literal one needs no parameter.
_NO_OFFSET: Final[ColumnElement[Any]] = literal_column("0")


_SCHEMA_NAME: Final[ColumnElement[Any]] = literal_column(f"'{schema.name}'")


@frozen
class Statement:
    """One compiled statement.

    Attributes:
        name: which it is, to a server that keeps it prepared; empty for one that is not kept.
        text: SQL with positional parameters, ``?`` or ``$1`` as the database has them.
        parameters: what each place takes, by name, in order.
        readers: how the text of each result column becomes a value, where it comes as text.
    """

    name: str
    text: str
    parameters: tuple[str, ...]
    readers: tuple[Reader, ...]

    def arguments(self, **values: Any) -> list[Any]:
        """Put named values into the order the statement takes them in."""
        return [values[name] for name in self.parameters]


@frozen
class RowStatement:
    """A statement for rows of values, in two forms; each may take more parameters behind.

    Attributes:
        one: takes the values of one row as its parameters.
        many: takes any number of rows as one parameter, a JSON array of arrays.
    """

    one: Statement
    many: Statement


@frozen
class FoundBy:
    """A look-up by one value, the common case, and by any number of them.

    A server that keeps plans keeps the first one's: whatever the size of its tables, an
    equality leads to the right index. A list leads to it only while its length and the
    tables are known, so it is planned each time.
    """

    one: Statement
    many: Statement


@frozen
class ProfilesFoundBy:
    """A look-up of Profiles by one email, by one external id, or by any number of both.

    Attributes:
        email: takes an email.
        external_id: takes an external id.
        both: takes an email and an external id, and locks in the order of the Profiles' ids;
            None where one transaction writes at a time, and two look-ups do as well.
        many: takes a list of each.
    """

    email: Statement
    external_id: Statement
    both: Statement | None
    many: Statement


@frozen
class Statements:
    """Every statement there is, for one kind of database."""

    take_claims: RowStatement
    release_claims: Statement
    write_claims: RowStatement
    held_claims: FoundBy
    purge_claims: Statement
    look_for_profiles: ProfilesFoundBy
    lock_profiles: ProfilesFoundBy
    get_profile: Statement
    create_profiles: RowStatement
    change_profiles: RowStatement
    change_properties: RowStatement
    free_identities: Statement
    mark_profiles: Statement | None
    """None where no transaction reads an older state than it writes to."""
    write_events: RowStatement
    get_event: Statement
    list_events: Statement
    listening_journeys: FoundBy
    journey_versions: Statement
    list_journeys: Statement
    get_journey: Statement
    publish_journeys: RowStatement
    write_versions: RowStatement
    write_enrollments: RowStatement
    get_enrollment: Statement
    list_enrollments: Statement
    list_open_enrollments: Statement
    last_entries: Statement
    create_api_key: RowStatement
    find_api_keys: Statement
    list_api_keys: Statement
    revoke_api_key: Statement
    note_api_key_use: Statement
    claim_enrollments: Mapping[tuple[bool, bool], Statement]
    """By whether an Organization is named, and a Journey."""
    claimed_already: Statement | None
    """None where no connection is lost while it commits."""
    claimed_events: Statement | None
    """None where a claim returns the events itself."""
    complete_enrollments: RowStatement
    release_enrollments: RowStatement
    extend_enrollments: RowStatement
    revive_enrollments: Statement
    has_schema: Statement
    schema_version: Statement
    write_schema_version: Statement
    definitions: tuple[Statement, ...]


class _Sqlite:
    """Writes statements the way SQLite wants them; a list is a JSON array."""

    dialect: Dialect = sqlite_dialect(paramstyle="qmark")
    insert: Any = staticmethod(sqlite_insert)
    deal = staticmethod(outbox.deal_by_merging)
    has_lateral: bool = False
    reads_snapshots: bool = False
    is_remote: bool = False

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

    def read(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what to select so that every database answers alike."""
        return column

    def reader(self, _column: ColumnElement[Any]) -> Reader:
        """Return what reads a result column; SQLite's driver gives values, not text."""
        return bytes

    def find_profile(self, *, lock: bool) -> ClauseElement | None:
        """Leave it to one look-up for the email and one for the external id.

        Without statistics SQLite takes an OR as a reason to read the whole Organization.
        """
        del lock
        return None

    def find_profiles(self, *, lock: bool) -> ClauseElement:
        """Find Profiles by email or external id; one found by both is listed twice.

        An outer join, because SQLite keeps its order: from the list to the index. Without
        statistics it would take an IN, or an inner join, as a reason to read the whole
        Organization. An item that finds nothing gives a row of NULLs. Nothing needs a
        lock: one transaction writes at a time.
        """
        del lock
        return union_all(
            *(
                _looked_up(self, name, profiles, profiles.c[of])
                for name, of in (("emails", "email"), ("external_ids", "external_id"))
            )
        )

    def listening_journeys(self) -> ClauseElement:
        """Find what listens for events; a name nobody listens for gives a row of NULLs."""
        each = self.each("events")
        source = each.outerjoin(
            journeys,
            and_(
                _is(journeys, "organization_id", "status"),
                journeys.c.event == each.c.value,
            ),
        ).outerjoin(journey_versions, _CURRENT)
        return select(*_listening(self)).select_from(source)

    def expired_claims(self) -> Select[Any, Any, Any]:
        """Find keys to purge."""
        return _expired()

    def has_schema(self) -> ClauseElement:
        """Say whether the table of the schema's version is there."""
        master = table("sqlite_master", column("name"))
        return select(func.count()).select_from(master).where(master.c.name == _SCHEMA_NAME)


class _Postgresql:
    """Writes statements the way PostgreSQL wants them; a list is an array."""

    dialect: Dialect = postgresql_dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
    insert: Any = staticmethod(postgresql_insert)
    deal = staticmethod(outbox.deal_by_locking)
    has_lateral: bool = True
    reads_snapshots: bool = True
    is_remote: bool = True

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
        kind = like.type.dialect_impl(self.dialect)
        return value if isinstance(kind, String) else cast(value, kind)

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Say that a column has one of the values of a list."""
        kind: Any = column.type.dialect_impl(self.dialect)
        listed = ARRAY(Text if isinstance(kind, String) else kind)
        return column == any_(cast(bindparam(name, type_=Text), listed))

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

    def find_profile(self, *, lock: bool) -> ClauseElement | None:
        """Find who has an email or an external id: one Profile, or two that disagree."""
        return self._found(_is(profiles, "email"), _is(profiles, "external_id"), lock=lock)

    def find_profiles(self, *, lock: bool) -> ClauseElement:
        """Find Profiles by emails or external ids."""
        return self._found(
            self.among(profiles.c.email, "emails"),
            self.among(profiles.c.external_id, "external_ids"),
            lock=lock,
        )

    def _found(self, *either: ColumnElement[bool], lock: bool) -> ClauseElement:
        """Find Profiles; locks are taken in the order of their ids."""
        found = select(*_columns(self, profiles)).where(
            _is(profiles, "organization_id"), or_(*either)
        )
        return found.order_by(profiles.c.profile_id).with_for_update() if lock else found

    def listening_journeys(self) -> ClauseElement:
        """Find what listens for events."""
        return _listening_to(self, self.among(journeys.c.event, "events"))

    def expired_claims(self) -> Select[Any, Any, Any]:
        """Find keys to purge, passing over those in use; a CTE that locks runs only once."""
        found = _expired().with_for_update(skip_locked=True).cte("expired")
        return select(found)

    def has_schema(self) -> ClauseElement:
        """Say whether the table of the schema's version is there, on the search path."""
        known = func.to_regclass(_SCHEMA_NAME)
        return select(cast(known.is_not(None), Integer))


_Builder: TypeAlias = _Sqlite | _Postgresql

_PROPERTIES: Final = ("properties", "property_times", "updated_at")


def _is(table: Table, *names: str) -> ColumnElement[bool]:
    return and_(*(table.c[name] == bindparam(name, type_=table.c[name].type) for name in names))


def _columns(builder: _Builder, table: Table) -> _Values:
    return [builder.read(each) for each in table.c]


def _looked_up(
    builder: _Builder, name: str, table: Table, column: ColumnElement[Any]
) -> Select[Any]:
    each = builder.each(name)
    source = each.outerjoin(table, and_(_is(table, "organization_id"), column == each.c.value))
    return select(*_columns(builder, table)).select_from(source)


_SAME_JOURNEY: Final = and_(
    journey_versions.c.organization_id == journeys.c.organization_id,
    journey_versions.c.journey_id == journeys.c.journey_id,
)
_CURRENT: Final = and_(_SAME_JOURNEY, journey_versions.c.version == journeys.c.version)


def _listening(builder: _Builder) -> _Values:
    return [
        journeys.c.journey_id,
        journeys.c.status,
        journeys.c.version,
        journey_versions.c.digest,
        builder.read(journey_versions.c.published_at),
    ]


def _listening_to(builder: _Builder, which: ColumnElement[bool]) -> Select[Any]:
    return (
        select(*_listening(builder))
        .select_from(journeys.join(journey_versions, _CURRENT))
        .where(_is(journeys, "organization_id", "status"), which)
    )


def _held(builder: _Builder, which: ColumnElement[bool]) -> Select[Any]:
    own_event = and_(
        events.c.organization_id == claims.c.organization_id,
        events.c.event_id == claims.c.event_id,
    )
    return (
        select(*_columns(builder, claims), events.c.profile_id, events.c.outcomes)
        .join(events, own_event)
        .where(_is(claims, "organization_id", "operation"), which)
    )


def _profiles_found(builder: _Builder, *, lock: bool) -> ProfilesFoundBy:
    def by(name: str) -> Statement:
        found = select(*_columns(builder, profiles)).where(_is(profiles, "organization_id", name))
        what = "lock" if lock else "look_for"
        return _compiled(
            builder, f"{what}_profile_by_{name}", found.with_for_update() if lock else found
        )

    many = _compiled(builder, "find_profiles", builder.find_profiles(lock=lock))
    found = builder.find_profile(lock=lock)
    both = None if found is None else _compiled(builder, "find_profile_by_either", found)
    return ProfilesFoundBy(by("email"), by("external_id"), both, _planned_anew(many))


def _expired() -> Select[Any, Any, Any]:
    now = bindparam("now", type_=claims.c.expires_at.type)
    return (
        select(claims.c.organization_id, claims.c.operation, claims.c.key)
        .where(claims.c.expires_at <= now)
        .limit(bindparam("limit", type_=Integer))
        .offset(_NO_OFFSET)
    )


def _compiled(builder: _Builder, name: str, statement: ClauseElement) -> Statement:
    compiled: Any = statement.compile(dialect=builder.dialect)
    text = str(compiled)
    # What the statement gives back, as its own compiler says; nothing, where it is only run.
    given: Any = getattr(statement, "_all_selected_columns", None) or ()
    # Behind a pooler, another version's statement of the same name must not answer for this one.
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Statement(
        f"{name}_{digest}", text, tuple(compiled.positiontup), tuple(map(builder.reader, given))
    )


def _planned_anew(statement: Statement) -> Statement:
    """Let the server plan a statement each time, for the tables as they are.

    A plan kept from when they were small may take any index that leads with the
    Organization for as good as the key, and reads all of its history ever after.
    """
    return evolve(statement, name="")


def _rows(
    builder: _Builder,
    name: str,
    columns: Sequence[Column[Any]],
    statement: Callable[[FromClause | None, _Values], ClauseElement],
) -> RowStatement:
    """Build both forms; `statement` gets the rows' source, None for one row, and its values."""
    one: _Values = [
        bindparam(f"value_{index}", type_=each.type) for index, each in enumerate(columns)
    ]
    source = builder.each("rows")
    many = [
        builder.typed(builder.item(source.c.value, index), each)
        for index, each in enumerate(columns)
    ]
    return RowStatement(
        _compiled(builder, name, statement(None, one)),
        _compiled(builder, f"{name}_many", statement(source, many)),
    )


def _inserted(
    builder: _Builder,
    name: str,
    table: Table,
    finish: Callable[[Any], ClauseElement] = lambda insert: insert,
) -> RowStatement:
    """Build the INSERT of whole rows, their values in the order of the table's columns."""
    names = [each.name for each in table.c]

    def statement(source: FromClause | None, values: _Values) -> ClauseElement:
        insert = builder.insert(table)
        if source is None:
            return finish(insert.values(dict(zip(names, values, strict=True))))
        # SQLite needs a WHERE to tell an ON CONFLICT from the ON of a join.
        rows = select(*values).select_from(source).where(true())
        return finish(insert.from_select(names, rows))

    return _rows(builder, name, list(table.c), statement)


def _replacing(table: Table, insert: Any, where: ColumnElement[bool]) -> Any:
    return insert.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={each.name: insert.excluded[each.name] for each in table.c if not each.primary_key},
        where=where,
    )


def _page(
    builder: _Builder, table: Table, identifier: str, *more: ColumnElement[bool]
) -> Select[Any]:
    key = table.c[identifier]
    return (
        select(*_columns(builder, table))
        .where(
            _is(table, "organization_id"),
            key < func.coalesce(bindparam("before", type_=key.type), _LAST_ID),
            *more,
        )
        .order_by(key.desc())
        .limit(bindparam("limit", type_=Integer))
        .offset(_NO_OFFSET)
    )


def _journey(builder: _Builder) -> _Values:
    return [
        journeys.c.journey_id,
        journeys.c.status,
        journey_versions.c.version,
        journey_versions.c.digest,
        builder.read(journey_versions.c.published_at),
        journey_versions.c.definition,
    ]


def _versions(builder: _Builder) -> Select[Any]:
    """Read chosen versions: each row of the list is a Journey's id and a version."""
    each = builder.each("rows")
    journey_id, version = (
        builder.typed(builder.item(each.c.value, index), journey_versions.c[name])
        for index, name in enumerate(("journey_id", "version"))
    )
    source = each.outerjoin(
        journey_versions,
        and_(
            _is(journey_versions, "organization_id"),
            journey_versions.c.journey_id == journey_id,
            journey_versions.c.version == version,
        ),
    )
    names = ("journey_id", "version", "digest", "definition")
    return select(*(journey_versions.c[name] for name in names)).select_from(source)


def _last_entries(builder: _Builder) -> Select[Any, Any, Any]:
    """Answer probes: each row of the list is a position, then what a probe holds."""
    each = builder.each("rows")

    def given(index: int, like: Column[Any]) -> ColumnElement[Any]:
        return builder.typed(builder.item(each.c.value, index), like)

    key, before = given(3, enrollments.c.entry_key), given(4, enrollments.c.event_id)
    entries = and_(
        _is(enrollments, "organization_id"),
        enrollments.c.journey_id == given(1, enrollments.c.journey_id),
        enrollments.c.profile_id == given(2, enrollments.c.profile_id),
        or_(before.is_(None), enrollments.c.event_id < before),
    )
    last = select(func.max(enrollments.c.entered_at)).where(entries).scalar_subquery()
    taken = (
        select(func.count())
        .select_from(enrollments)
        .where(entries, enrollments.c.entry_key == key)
        .scalar_subquery()
    )
    position = cast(builder.item(each.c.value, 0), Integer)
    return select(position, builder.read(last), taken).select_from(each)


def _changed_profiles(builder: _Builder, name: str, columns: Sequence[str]) -> RowStatement:
    """Build the UPDATE of some columns of Profiles; the key they are found by comes last."""
    keys = ("organization_id", "profile_id")

    def statement(source: FromClause | None, values: _Values) -> ClauseElement:
        del source  # the values say where they come from
        by_name = dict(zip((*columns, *keys), values, strict=True))
        return (
            update(profiles)
            .where(*(profiles.c[key] == by_name[key] for key in keys))
            .values({column: by_name[column] for column in columns})
        )

    return _rows(builder, name, [profiles.c[each] for each in (*columns, *keys)], statement)


def _marking(builder: _Builder) -> ClauseElement:
    """Write rows as they are, so that no older snapshot can lock them any more."""
    return (
        update(profiles)
        .where(
            _is(profiles, "organization_id"), builder.among(profiles.c.profile_id, "profile_ids")
        )
        .values(updated_at=profiles.c.updated_at)
    )


def _finishing(builder: _Builder, name: str, change: outbox.Change) -> RowStatement:
    both = _rows(
        builder,
        name,
        [enrollments.c[each] for each in outbox.LEASE],
        lambda source, lease: outbox.finish(builder, change, source, lease),
    )
    return RowStatement(_planned_anew(both.one), _planned_anew(both.many))


@cache
def statements_for(database: DatabaseName) -> Statements:
    """Build and compile every statement for one kind of database; once for a process."""
    builder: _Builder = _Sqlite() if database == "sqlite" else _Postgresql()

    def compiled(name: str, statement: ClauseElement) -> Statement:
        return _compiled(builder, name, statement)

    now = bindparam("now", type_=claims.c.expires_at.type)
    journey_id = bindparam("journey_id", type_=enrollments.c.journey_id.type)
    status = bindparam("status", type_=enrollments.c.status.type)
    current = (
        select(*_journey(builder))
        .join(journey_versions, _CURRENT)
        .where(_is(journeys, "organization_id"))
    )
    keys = (claims.c.organization_id, claims.c.operation, claims.c.key)
    return Statements(
        take_claims=_inserted(
            builder,
            "take_claims",
            claims,
            lambda insert: _replacing(claims, insert, claims.c.expires_at <= now).returning(
                claims.c.key
            ),
        ),
        release_claims=_planned_anew(
            compiled(
                "release_claims",
                delete(claims).where(
                    _is(claims, "organization_id", "operation"), builder.among(claims.c.key, "keys")
                ),
            )
        ),
        write_claims=_inserted(builder, "write_claims", claims),
        held_claims=FoundBy(
            compiled("held_claim", _held(builder, _is(claims, "key"))),
            _planned_anew(
                compiled("held_claims", _held(builder, builder.among(claims.c.key, "keys")))
            ),
        ),
        purge_claims=compiled(
            "purge_claims",
            delete(claims)
            .where(tuple_(*keys).in_(builder.expired_claims()))
            .returning(claims.c.key),
        ),
        look_for_profiles=_profiles_found(builder, lock=False),
        lock_profiles=_profiles_found(builder, lock=True),
        get_profile=compiled(
            "get_profile",
            select(*_columns(builder, profiles)).where(
                _is(profiles, "organization_id", "profile_id")
            ),
        ),
        create_profiles=_inserted(builder, "create_profiles", profiles),
        change_profiles=_changed_profiles(
            builder, "change_profiles", ("email", "external_id", *_PROPERTIES)
        ),
        change_properties=_changed_profiles(builder, "change_properties", _PROPERTIES),
        free_identities=_planned_anew(
            compiled(
                "free_identities",
                update(profiles)
                .where(
                    _is(profiles, "organization_id"),
                    builder.among(profiles.c.profile_id, "profile_ids"),
                )
                .values(email=null(), external_id=null()),
            )
        ),
        mark_profiles=_planned_anew(compiled("mark_profiles", _marking(builder)))
        if builder.reads_snapshots
        else None,
        write_events=_inserted(builder, "write_events", events),
        get_event=compiled(
            "get_event",
            select(*_columns(builder, events)).where(_is(events, "organization_id", "event_id")),
        ),
        list_events=compiled("list_events", _page(builder, events, "event_id")),
        listening_journeys=FoundBy(
            compiled("listening_to_event", _listening_to(builder, _is(journeys, "event"))),
            _planned_anew(compiled("listening_journeys", builder.listening_journeys())),
        ),
        journey_versions=_planned_anew(compiled("journey_versions", _versions(builder))),
        list_journeys=compiled("list_journeys", current.order_by(journeys.c.journey_id)),
        get_journey=compiled(
            "get_journey",
            select(*_journey(builder))
            .join(journey_versions, _SAME_JOURNEY)
            .where(
                _is(journeys, "organization_id", "journey_id"),
                journey_versions.c.version
                == func.coalesce(
                    bindparam("version", type_=journeys.c.version.type), journeys.c.version
                ),
            ),
        ),
        publish_journeys=_inserted(
            builder,
            "publish_journeys",
            journeys,
            lambda insert: _replacing(
                journeys, insert, journeys.c.version <= insert.excluded.version
            ).returning(journeys.c.journey_id),
        ),
        write_versions=_inserted(
            builder,
            "write_versions",
            journey_versions,
            lambda insert: insert.on_conflict_do_nothing(),
        ),
        write_enrollments=_inserted(builder, "write_enrollments", enrollments),
        get_enrollment=compiled(
            "get_enrollment",
            select(*_columns(builder, enrollments)).where(
                _is(enrollments, "organization_id", "enrollment_id")
            ),
        ),
        list_enrollments=compiled(
            "list_enrollments",
            _page(
                builder,
                enrollments,
                "enrollment_id",
                or_(journey_id.is_(None), enrollments.c.journey_id == journey_id),
                or_(status.is_(None), enrollments.c.status == status),
            ),
        ),
        list_open_enrollments=compiled(
            "list_open_enrollments",
            _page(
                builder,
                enrollments,
                "enrollment_id",
                or_(journey_id.is_(None), enrollments.c.journey_id == journey_id),
                is_open(enrollments),
                enrollments.c.status == status,
            ),
        ),
        last_entries=compiled("last_entries", _last_entries(builder)),
        # A second run finds its own row where a commit went through unheard.
        create_api_key=_inserted(
            builder,
            "create_api_key",
            api_keys,
            lambda insert: insert.on_conflict_do_nothing(),
        ),
        find_api_keys=compiled(
            "find_api_keys", select(*_columns(builder, api_keys)).where(_is(api_keys, "lookup"))
        ),
        list_api_keys=compiled(
            "list_api_keys",
            select(*_columns(builder, api_keys))
            .where(_is(api_keys, "organization_id"))
            .order_by(api_keys.c.key_id.desc()),
        ),
        revoke_api_key=compiled(
            "revoke_api_key",
            update(api_keys)
            .where(_is(api_keys, "organization_id", "key_id"))
            .values(revoked_at=func.coalesce(api_keys.c.revoked_at, now))
            .returning(*_columns(builder, api_keys)),
        ),
        note_api_key_use=compiled(
            "note_api_key_use",
            update(api_keys)
            .where(
                _is(api_keys, "organization_id", "key_id"),
                or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < now),
            )
            .values(last_used_at=now),
        ),
        claim_enrollments={
            (organization, journey): _planned_anew(
                compiled(
                    "claim_enrollments",
                    outbox.claim(builder, organization=organization, journey=journey),
                )
            )
            for organization in (False, True)
            for journey in (False, True)
        },
        claimed_already=_planned_anew(compiled("claimed_already", outbox.claimed_already(builder)))
        if builder.is_remote
        else None,
        claimed_events=None
        if builder.has_lateral
        else compiled("claimed_events", outbox.claimed_events(builder)),
        complete_enrollments=_finishing(builder, "complete_enrollments", outbox.COMPLETED),
        release_enrollments=_finishing(builder, "release_enrollments", outbox.RELEASED),
        extend_enrollments=_finishing(builder, "extend_enrollments", outbox.EXTENDED),
        revive_enrollments=_planned_anew(compiled("revive_enrollments", outbox.revive(builder))),
        has_schema=compiled("has_schema", builder.has_schema()),
        schema_version=compiled("schema_version", select(func.max(schema.c.version))),
        write_schema_version=compiled(
            "write_schema_version",
            builder.insert(schema)
            .values(version=bindparam("version", type_=Integer))
            .on_conflict_do_nothing(),
        ),
        definitions=tuple(_definitions(builder)),
    )


def _definitions(builder: _Builder) -> Iterator[Statement]:
    """Write what creates every table and index that is missing."""
    for each in metadata.sorted_tables:
        creations: list[Any] = [CreateTable(each, if_not_exists=True)]
        creations += [
            CreateIndex(index, if_not_exists=True)
            for index in sorted(each.indexes, key=lambda index: str(index.name))
        ]
        for creation in creations:
            yield Statement("", str(creation.compile(dialect=builder.dialect)), (), ())
