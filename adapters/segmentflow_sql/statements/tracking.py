"""What a tracked batch asks and writes, and how expired keys are purged."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    cast,
    delete,
    func,
    null,
    or_,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_sql.identities import Leading
from segmentflow_sql.schema import (
    enrollments,
    events,
    identities,
    journey_versions,
    journeys,
    key_claims,
    profile_versions,
    profiles,
)
from segmentflow_sql.statements.building import (
    Values,
    changing,
    columns,
    compiled,
    equal_to_given,
    for_rows,
    inserting,
    leading,
    looked_up,
)
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.journeys import CURRENT_VERSION
from segmentflow_sql.statements.purging import expired_keys, purge_keys
from segmentflow_sql.statements.statement import FoundBy, RowStatement, Statement
from segmentflow_sql.statements.versions import CURRENT, PROFILES, profile_columns

__all__ = ["LIFE", "TrackingStatements", "tracking_statements"]

_COUNTED = (
    "number",
    "version",
    "email_first",
    "email_last",
    "email_last_received",
    "updated_at",
)
"""What every event changes of its Profile's row."""

LIFE: Final = (
    "created_at",
    "suppressed_at",
    "erased_at",
    "scrubbed_at",
    "merged_into",
    "joined",
    "awaits",
)
"""What a host changes of a Profile, and no event, in the order of the table's columns."""

_GONE = "gone_profile_id"
_CLAIM = tuple(
    each.name for each in key_claims.c if each.nullable and each.name not in {"expires_at", _GONE}
)
"""What a key claim says: all that is not known yet while the key is only taken."""


@frozen
class TrackingStatements:
    """The statements of tracking, in about the order a call runs them."""

    take_keys: RowStatement | None
    """None where one transaction writes at a time: a key that is looked for is taken."""
    taken_keys: FoundBy
    look_for_profiles: FoundBy
    lock_profiles: FoundBy
    reread_profiles: Statement
    """By ids."""
    blocked_identities: Statement
    """By hashes; gives the secrets of the hashes as well."""
    listening_journeys: FoundBy
    last_entries: Statement
    counted_entries: Statement
    """As `last_entries`, for probes that ask how many entries were made since an instant."""
    free_keys: Statement
    write_key_claims: RowStatement
    free_identities: Statement
    change_identities: RowStatement
    count_events: RowStatement
    change_lives: RowStatement
    """What no event changes of a Profile."""
    change_times: RowStatement
    add_identities: RowStatement
    remove_identities: RowStatement
    create_profiles: RowStatement
    create_versions: RowStatement
    write_events: RowStatement
    write_enrollments: RowStatement
    purge_keys: Statement
    expired_keys: Statement | None
    """None where a purge need not name an Organization."""


def tracking_statements(dialect: Dialect) -> TrackingStatements:
    """Build and compile the statements of tracking."""
    return TrackingStatements(
        take_keys=None if dialect.one_writer else _take_keys(dialect),
        taken_keys=FoundBy(
            compiled(
                dialect,
                "taken_key",
                select(*_claim_columns(dialect)).where(
                    equal_to_given(key_claims, "organization_id", "key_digest")
                ),
                takes_keys=dialect.one_writer,
            ),
            compiled(
                dialect,
                "taken_keys",
                looked_up(dialect, "keys", _claim_columns(dialect), key_claims.c.key_digest),
                prepared=False,
                takes_keys=dialect.one_writer,
            ),
        ),
        look_for_profiles=_profiles_found(dialect, "look_for", lock=False),
        lock_profiles=_profiles_found(dialect, "lock", lock=True),
        reread_profiles=compiled(dialect, "reread_profiles", _reread(dialect), prepared=False),
        blocked_identities=compiled(dialect, "blocked_identities", _blocked(dialect)),
        listening_journeys=FoundBy(
            compiled(
                dialect,
                "listening_to_event",
                _listening_to(dialect, equal_to_given(journeys, "event")),
            ),
            compiled(dialect, "listening_journeys", _listening_to_events(dialect), prepared=False),
        ),
        last_entries=compiled(dialect, "last_entries", _last_entries(dialect, counted=False)),
        counted_entries=compiled(dialect, "counted_entries", _last_entries(dialect, counted=True)),
        free_keys=compiled(
            dialect,
            "free_keys",
            delete(key_claims).where(
                equal_to_given(key_claims, "organization_id"),
                dialect.among(key_claims.c.key_digest, "keys"),
            ),
            prepared=False,
        ),
        write_key_claims=inserting(
            dialect,
            "write_key_claims",
            key_claims,
            of=[each for each in key_claims.c if each.name != _GONE],
        )
        if dialect.one_writer
        else changing(dialect, "write_key_claims", key_claims, _CLAIM),
        free_identities=compiled(
            dialect,
            "free_identities",
            update(profiles)
            .where(
                equal_to_given(profiles, "organization_id"),
                dialect.among(profiles.c.profile_id, "profile_ids"),
            )
            .values(email=null(), external_id=null()),
            prepared=False,
        ),
        change_identities=changing(
            dialect, "change_identities", profiles, ("email", "external_id", *_COUNTED)
        ),
        count_events=changing(dialect, "count_events", profiles, _COUNTED),
        change_lives=changing(dialect, "change_lives", profiles, LIFE),
        change_times=changing(
            dialect,
            "change_times",
            profile_versions,
            ("former_emails", "property_times", "last_number"),
        ),
        add_identities=inserting(dialect, "add_identities", identities),
        remove_identities=_removed(dialect, "remove_identities", identities),
        create_profiles=inserting(
            dialect,
            "create_profiles",
            profiles,
            of=[each for each in profiles.c if each.name != "scrubbed_to"],
        ),
        create_versions=inserting(dialect, "create_versions", profile_versions),
        write_events=inserting(dialect, "write_events", events),
        write_enrollments=inserting(dialect, "write_enrollments", enrollments),
        purge_keys=purge_keys(dialect),
        expired_keys=expired_keys(dialect) if dialect.one_organization else None,
    )


def _now() -> ColumnElement[Any]:
    return bindparam("now", type_=key_claims.c.expires_at.type)


# --- keys --------------------------------------------------------------------------------


def _claim_columns(dialect: Dialect) -> Values:
    return columns(dialect, key_claims, without=(_GONE,))


def _take_keys(dialect: Dialect) -> RowStatement:
    """Take keys that are new or expired; a key that is held gives no row."""
    keys = list(key_claims.primary_key.columns)
    expires_at = key_claims.c.expires_at

    def finish(insert: Any) -> ClauseElement:
        taken: ClauseElement = insert.on_conflict_do_update(
            index_elements=keys,
            set_={expires_at.name: insert.excluded[expires_at.name], _GONE: null()},
            where=expires_at <= _now(),
        ).returning(key_claims.c.key_digest)
        return taken

    return inserting(
        dialect, "take_keys", key_claims, finish, of=[*keys, expires_at], takes_keys=True
    )


# --- Profiles ----------------------------------------------------------------------------


def _profiles_found(dialect: Dialect, verb: str, *, lock: bool) -> FoundBy:
    """Find Profiles by what leads to them: their email or external id, or another identity.

    Emails that gave way and aliases are other identities.

    An email or an external id that is NULL finds nobody.
    """
    found = partial(_found, dialect, lock=lock)
    return FoundBy(
        compiled(
            dialect,
            f"{verb}_profile",
            found(
                *(
                    select(column).where(equal_to_given(column.table, *given))
                    for column, given in (
                        (profiles.c.profile_id, ("organization_id", "email")),
                        (profiles.c.profile_id, ("organization_id", "external_id")),
                    )
                ),
                *(
                    select(identities.c.profile_id).where(
                        equal_to_given(identities, "organization_id"),
                        identities.c.kind == leading(kind),
                        identities.c.value == bindparam(name, type_=identities.c.value.type),
                    )
                    for kind, name in (
                        (Leading.EMAIL, "email"),
                        (Leading.EXTERNAL_ID, "external_id"),
                    )
                ),
            ),
        ),
        compiled(
            dialect,
            f"{verb}_profiles",
            found(
                looked_up(dialect, "emails", [profiles.c.profile_id], profiles.c.email),
                looked_up(dialect, "external_ids", [profiles.c.profile_id], profiles.c.external_id),
                *(
                    looked_up(
                        dialect,
                        name,
                        [identities.c.profile_id],
                        identities.c.value,
                        more=identities.c.kind == leading(kind),
                    )
                    for kind, name in (
                        (Leading.EMAIL, "emails"),
                        (Leading.EXTERNAL_ID, "external_ids"),
                    )
                ),
            ),
            prepared=False,
        ),
    )


def _found(dialect: Dialect, *ids: Select[Any], lock: bool) -> Select[Any]:
    """Read the Profiles with these ids; locks are taken in the order of the ids.

    The ids are found first, in the state of before any lock. So a Profile whose identities
    change while its lock is waited for is read all the same, as it is after the wait: what
    leads to it by then, the decision finds out. Only the Profile's own row is locked and read
    anew, not what it is joined to: `seen` has the number and the version of before the wait, and
    where either is another one, the Profile has to be read again.
    """
    of_these = dialect.one_of(profiles.c.profile_id, union_all(*ids))
    organization = equal_to_given(profiles, "organization_id")
    if not lock or dialect.one_writer:
        found = select(*profile_columns(dialect), *_counts(profiles)).select_from(PROFILES)
        return found.where(organization, of_these)
    seen = profiles.alias("seen")
    keys = [seen.c[key.name] == key for key in profiles.primary_key.columns]
    # Said of both: of tables it knows nothing of yet, a planner takes the rows of an Organization
    # for about one, and would read all of them for each of them.
    those_seen = dialect.one_of(seen.c.profile_id, union_all(*ids))
    return (
        select(*profile_columns(dialect), *_counts(seen))
        .select_from(profiles.join(seen, and_(*keys)).outerjoin(profile_versions, CURRENT))
        .where(organization, of_these, those_seen)
        .order_by(profiles.c.profile_id)
        .with_for_update(of=profiles)
    )


def _counts(table: FromClause) -> Values:
    return [table.c.number, table.c.version]


def _blocked(dialect: Dialect) -> ClauseElement:
    """Find the secrets of an Organization's hashes, and those of its blocked identities asked for.

    It has no secret, and this finds nothing, unless something was blocked.
    """

    def of(kind: Leading) -> Select[Any, Any]:
        kept = select(identities.c.kind, identities.c.value)
        return kept.where(
            equal_to_given(identities, "organization_id"), identities.c.kind == leading(kind)
        )

    asked = of(Leading.BLOCKED).where(dialect.among(identities.c.value, "hashes"))
    return union_all(of(Leading.SECRET), asked)


def _reread(dialect: Dialect) -> Select[Any]:
    """Read Profiles that are locked already."""
    return (
        select(*profile_columns(dialect), *_counts(profiles))
        .select_from(PROFILES)
        .where(
            equal_to_given(profiles, "organization_id"),
            dialect.among(profiles.c.profile_id, "profile_ids"),
        )
    )


def _removed(dialect: Dialect, name: str, table: Table) -> RowStatement:
    """Build the DELETE of rows by their keys."""
    keys = list(table.primary_key.columns)

    def statement(source: FromClause | None, values: Values) -> ClauseElement:
        if source is None:
            return delete(table).where(
                *(key == value for key, value in zip(keys, values, strict=True))
            )
        listed = tuple_(*keys).in_(select(*values).select_from(source))
        # Named once more where that tells the database which machine the rows are on.
        of_one = [keys[0] == values[0]] if dialect.one_organization else []
        return delete(table).where(listed, *of_one)

    return for_rows(dialect, name, keys, statement, prepared=False)


# --- Journeys and entries ----------------------------------------------------------------


def _listening(dialect: Dialect) -> Values:
    return [
        journeys.c.journey_id,
        journeys.c.status,
        journeys.c.version,
        journey_versions.c.digest,
        dialect.read(journey_versions.c.published_at),
        journeys.c.era,
    ]


def _listening_to(dialect: Dialect, which: ColumnElement[bool]) -> Select[Any]:
    return (
        select(*_listening(dialect))
        .select_from(journeys.join(journey_versions, CURRENT_VERSION))
        .where(equal_to_given(journeys, "organization_id", "status"), which)
    )


def _listening_to_events(dialect: Dialect) -> Select[Any]:
    """Find what listens for events; a name without listeners may give a row of NULLs."""
    if not dialect.needs_outer_join:
        return _listening_to(dialect, dialect.among(journeys.c.event, "events"))
    each = dialect.each("events")
    source = each.outerjoin(
        journeys,
        and_(
            equal_to_given(journeys, "organization_id", "status"),
            journeys.c.event == each.c.value,
        ),
    ).outerjoin(journey_versions, CURRENT_VERSION)
    return select(*_listening(dialect)).select_from(source)


def _last_entries(dialect: Dialect, *, counted: bool) -> Select[Any]:
    """Answer probes: each row of the list is a position, then what a probe holds.

    A key is asked for as a range: what is behind it tells entries apart that share it.
    """
    each = dialect.each("rows")

    def given(index: int, like: Column[Any]) -> ColumnElement[Any]:
        return dialect.typed(dialect.item(each.c.value, index), like)

    key, beyond = (given(index, enrollments.c.entry_key) for index in (3, 4))
    before = given(5, enrollments.c.event_number)
    with_key = and_(enrollments.c.entry_key >= key, enrollments.c.entry_key < beyond)
    entries = and_(
        equal_to_given(enrollments, "organization_id"),
        enrollments.c.journey_id == given(1, enrollments.c.journey_id),
        enrollments.c.profile_id == given(2, enrollments.c.profile_id),
        or_(before.is_(None), enrollments.c.event_number < before),
    )
    last = select(func.max(enrollments.c.entered_at)).where(entries).scalar_subquery()
    taken = select(func.count()).select_from(enrollments).where(entries, with_key).scalar_subquery()
    position = cast(dialect.item(each.c.value, 0), Integer)
    answers: Values = [position, dialect.read(last), taken]
    if counted:
        since = given(6, enrollments.c.entered_at)
        recent = (
            select(func.count())
            .select_from(enrollments)
            .where(entries, enrollments.c.entered_at > since, or_(key.is_(None), with_key))
        )
        answers = [*answers, recent.scalar_subquery()]
    return select(*answers).select_from(each)
