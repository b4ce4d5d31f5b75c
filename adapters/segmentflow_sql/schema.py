"""The tables. Every key leads with organization_id, ids are UUIDv7, times are UTC.

Knows names, types and uniqueness, and no statement. PostgreSQL has types of its own for
ids, instants and JSON; SQLite keeps them as text, microseconds and text.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    FromClause,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    literal_column,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID
from sqlalchemy.types import TypeEngine

from segmentflow_core.ports import AVAILABLE_STATUSES, FINISHED_STATUSES

__all__ = [
    "FINISHED",
    "FINISH_TIMES",
    "INSTANT",
    "SCHEMA_VERSION",
    "api_keys",
    "audit",
    "enrollments",
    "events",
    "gone_events",
    "gone_versions",
    "identities",
    "is_available",
    "is_listed",
    "is_open",
    "is_unscrubbed",
    "journey_versions",
    "journeys",
    "key_claims",
    "metadata",
    "profile_versions",
    "profiles",
    "schema",
]

SCHEMA_VERSION: Final = 2

metadata = MetaData()
"""Every table, for the host's own migrations."""


def _text(length: int) -> String:
    """Text that is compared and sorted by code point, in whatever database it is.

    CockroachDB refuses a column of collation "C", and compares bytes without one.
    """
    return String(length).with_variant(String(length, collation="C"), "postgresql")


_KIN: Final = ("postgresql", "cockroachdb")
"""SQLAlchemy's names of the dialects that have PostgreSQL's types."""

_ID: Final = String(36).with_variant(UUID(as_uuid=False), *_KIN)
_NAME: Final = _text(255)
_JSON: Final[TypeEngine[str]] = Text().with_variant(JSONB(), *_KIN)
INSTANT: Final = BigInteger().with_variant(TIMESTAMP(timezone=True), *_KIN)
"""Exact to the microsecond: counted since 1970 UTC where there is no type for it."""


def _instant(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, INSTANT, nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, _JSON, nullable=nullable)


schema = Table(
    "segmentflow_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

key_claims = Table(
    "segmentflow_claims",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    # Of the key, the Organization and the operation; the key itself is nowhere.
    Column("key_digest", _text(43), primary_key=True),
    _instant("expires_at", nullable=True),
    # What follows is NULL until the transaction that took the key writes the claim. Of an erased
    # event, the fingerprint is NULL again: scheme, key_id and digest. NULL beside a digest is the
    # scheme of every version so far.
    _instant("taken_at", nullable=True),
    Column("event_id", _ID),
    Column("profile_id", _ID),
    Column("matched", Integer),
    Column("enrolled", Integer),
    Column("scheme", _text(64)),
    Column("key_id", _text(64)),
    Column("digest", _text(43)),
    # JSON that is only read whole, in half the bytes of JSONB.
    Column("paths", Text),
    # Whose event it was, once retention removed that: an erasure finds the claim by it. A column
    # of its own, so that PostgreSQL need not write an index when a key that was taken is claimed.
    Column("gone_profile_id", _ID),
    Index("segmentflow_claims_expiry", "expires_at"),
    sqlite_with_rowid=False,
)

Index(
    "segmentflow_claims_of_gone_events",
    key_claims.c.organization_id,
    key_claims.c.gone_profile_id,
    sqlite_where=key_claims.c.gone_profile_id.is_not(None),
    postgresql_where=key_claims.c.gone_profile_id.is_not(None),
)

# Narrow, because every event of a Profile writes its row: the number of the latest one.
profiles = Table(
    "segmentflow_profiles",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("profile_id", _ID, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("email", _text(320)),
    Column("external_id", _NAME),
    # When events gave the email, counted as the times of Properties are.
    Column("email_first", BigInteger, nullable=False),
    Column("email_last", BigInteger, nullable=False),
    Column("email_last_received", BigInteger, nullable=False),
    _instant("created_at"),
    _instant("updated_at"),
    # NULL, unless a host suppressed, erased or merged it.
    _instant("suppressed_at", nullable=True),
    _instant("erased_at", nullable=True),
    _instant("scrubbed_at", nullable=True),
    Column("merged_into", _ID),
    # The aliases and the series that merges brought.
    _json("joined", nullable=True),
    # The rules by which an event may withdraw an Enrollment; NULL where none may.
    _json("awaits", nullable=True),
    # The last of the ids of events and Enrollments that are scrubbed already.
    Column("scrubbed_to", _ID),
    Index("segmentflow_profiles_email", "organization_id", "email", unique=True),
    Index("segmentflow_profiles_external_id", "organization_id", "external_id", unique=True),
    sqlite_with_rowid=False,
)

# What a Profile was after each change, which its events refer to.
profile_versions = Table(
    "segmentflow_profile_versions",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("profile_id", _ID, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("email", _text(320)),
    Column("external_id", _NAME),
    _json("properties"),
    # These two of the latest version alone; emptied when another follows.
    _json("former_emails"),
    _json("property_times"),
    # The numbers of the events that refer to it: from the first one on, and up to the last one,
    # which is NULL as long as the version is the latest.
    Column("first_number", BigInteger, nullable=False),
    Column("last_number", BigInteger),
    sqlite_with_rowid=False,
)

# What leads to a Profile beside its own email and external id; and what is blocked.
identities = Table(
    "segmentflow_identities",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("kind", _text(16), primary_key=True),
    Column("value", _text(320), primary_key=True),
    Column("profile_id", _ID, primary_key=True),
    sqlite_with_rowid=False,
)

events = Table(
    "segmentflow_events",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("event_id", _ID, primary_key=True),
    Column("profile_id", _ID, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("profile_version", Integer, nullable=False),
    Column("event", _NAME, nullable=False),
    _json("data"),
    Column("reference_id", _NAME),
    _instant("occurred_at"),
    _instant("received_at"),
    _json("outcomes"),
    # The Enrollments that it withdrew; NULL where it withdrew none.
    _json("withdrew", nullable=True),
    # Of the digest of its key, the first characters: they lead to its key claim.
    Column("key_start", _text(4)),
    # A page is read by one of the first two, newest first; a period by the third. By the last it
    # is counted what a Profile did.
    Index("segmentflow_events_of_profile", "organization_id", "profile_id", "event_id"),
    Index("segmentflow_events_of_name", "organization_id", "event", "event_id"),
    Index("segmentflow_events_received", "organization_id", "received_at"),
    Index(
        "segmentflow_events_occurred",
        "organization_id",
        "profile_id",
        "event",
        "occurred_at",
        "number",
    ),
    sqlite_with_rowid=False,
)

Index(
    "segmentflow_events_of_reference",
    events.c.organization_id,
    events.c.reference_id,
    events.c.event_id,
    sqlite_where=events.c.reference_id.is_not(None),
    postgresql_where=events.c.reference_id.is_not(None),
)

# What retention leaves of the events it removed, by Profile and name.
gone_events = Table(
    "segmentflow_gone_events",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("profile_id", _ID, primary_key=True),
    Column("event", _NAME, primary_key=True),
    Column("count", BigInteger, nullable=False),
    _instant("last_occurred_at"),
    Column("highest_number", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# How many of the events that refer to a version retention removed. Beside the versions, so that
# it locks no row that tracking writes.
gone_versions = Table(
    "segmentflow_gone_versions",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("profile_id", _ID, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("events", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

journeys = Table(
    "segmentflow_journeys",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("journey_id", _NAME, primary_key=True),
    Column("event", _NAME, nullable=False),
    Column("status", _text(16), nullable=False),
    Column("version", Integer, nullable=False),
    # How often it was archived, and when it last was.
    Column("era", Integer, nullable=False),
    _instant("archived_at", nullable=True),
    # With version and era in it, this index alone answers tracking, so SQLite chooses it.
    Index("segmentflow_journeys_listening", "organization_id", "event", "status", "version", "era"),
    sqlite_with_rowid=False,
)

journey_versions = Table(
    "segmentflow_journey_versions",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("journey_id", _NAME, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", _text(64), nullable=False),
    _json("definition"),
    _instant("published_at"),
    sqlite_with_rowid=False,
)

enrollments = Table(
    "segmentflow_enrollments",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("enrollment_id", _ID, primary_key=True),
    Column("journey_id", _NAME, nullable=False),
    Column("version", Integer, nullable=False),
    Column("profile_id", _ID, nullable=False),
    Column("event_id", _ID, nullable=False),
    Column("event_number", BigInteger, nullable=False),
    # A digest, and behind a hyphen an event's id where several entries have it.
    Column("entry_key", _text(101)),
    _instant("entered_at"),
    # Of its Journey: what entered in an earlier one than the Journey has now is withdrawn.
    Column("era", Integer, nullable=False),
    Column("status", _text(16), nullable=False),
    _instant("available_at", nullable=True),
    Column("attempts", Integer, nullable=False),
    _instant("lease_until", nullable=True),
    Column("token", _ID),
    _instant("completed_at", nullable=True),
    Column("last_failure", _text(1_000)),
    _instant("withdrawn_at", nullable=True),
    # Since when which events withdraw it, by their digests; NULL where none does.
    _json("cancellers", nullable=True),
    Column("cancelled_by", _ID),
    # Not by Journey first: a planner that knows nothing yet would read a line's history by it.
    Index(
        "segmentflow_enrollments_latest",
        "organization_id",
        "profile_id",
        "journey_id",
        "entered_at",
    ),
    Index("segmentflow_enrollments_of_profile", "organization_id", "profile_id", "enrollment_id"),
    sqlite_with_rowid=False,
)

api_keys = Table(
    "segmentflow_api_keys",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    # Text, unlike the other ids: people type it, and a text that is no UUID is no error.
    Column("key_id", _text(36), primary_key=True),
    Column("digest", _text(64), nullable=False),
    Column("lookup", _text(16), nullable=False),
    _json("scopes"),
    Column("label", _NAME),
    Column("test", Integer, nullable=False),
    _instant("created_at"),
    _instant("last_used_at", nullable=True),
    _instant("revoked_at", nullable=True),
    # Not unique: a database that is sharded by Organization cannot enforce it.
    Index("segmentflow_api_keys_lookup", "lookup"),
    sqlite_with_rowid=False,
)


# What was done to people, Journeys and API Keys; holds no personal data.
audit = Table(
    "segmentflow_audit",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("audit_id", _ID, primary_key=True),
    _instant("at"),
    Column("action", _text(32), nullable=False),
    _json("subjects"),
    _json("counts"),
    Column("done_by", _NAME),
    sqlite_with_rowid=False,
)


def is_available(table: FromClause) -> ColumnElement[bool]:
    """Say of Enrollments that they are handed over from `available_at` on."""
    listed: list[Any] = [literal_column(f"'{status}'") for status in sorted(AVAILABLE_STATUSES)]
    return table.c.status.in_(listed)


FINISHED: Final = tuple(sorted(FINISHED_STATUSES))
"""In the one order in which statements and indexes name them."""


def is_open(table: FromClause) -> ColumnElement[bool]:
    """Say of Enrollments that they may yet be handed over, now or after a revival."""
    return and_(*(table.c.status != literal_column(f"'{each}'") for each in FINISHED))


def is_unscrubbed(table: FromClause) -> ColumnElement[bool]:
    """Say of Profiles that they are erased, and what their events hold is not yet scrubbed."""
    return and_(table.c.erased_at.is_not(None), table.c.scrubbed_at.is_(None))


Index(
    "segmentflow_profiles_unscrubbed",
    profiles.c.organization_id,
    profiles.c.erased_at,
    sqlite_where=is_unscrubbed(profiles),
    postgresql_where=is_unscrubbed(profiles),
)


def is_listed(table: FromClause) -> ColumnElement[bool]:
    """Say of Enrollments that they are more than the entry that retention left of one.

    Such a row has the version 0. It says when who entered which Journey with which key, so that
    what tracking asks and what is unique are the same before and after.
    """
    return table.c.version > literal_column("0")


FINISH_TIMES: Final = ("completed_at", "withdrawn_at")
"""What says when an Enrollment finished; one of them at most."""

# What retention looks for. The entry that it leaves has finished at no time, and is not in it.
for _name in FINISH_TIMES:
    Index(
        f"segmentflow_enrollments_{_name.removesuffix('_at')}",
        enrollments.c.organization_id,
        enrollments.c[_name],
        sqlite_where=enrollments.c[_name].is_not(None),
        postgresql_where=enrollments.c[_name].is_not(None),
    )

# What an event of a Profile may withdraw.
Index(
    "segmentflow_enrollments_cancellable",
    enrollments.c.organization_id,
    enrollments.c.profile_id,
    sqlite_where=enrollments.c.cancellers.is_not(None),
    postgresql_where=enrollments.c.cancellers.is_not(None),
)

# Entries that are not limited carry no key, and are not in it.
Index(
    "segmentflow_enrollments_entry",
    *(enrollments.c[each] for each in ("organization_id", "journey_id", "profile_id", "entry_key")),
    unique=True,
    sqlite_where=enrollments.c.entry_key.is_not(None),
    postgresql_where=enrollments.c.entry_key.is_not(None),
)

# Finished Enrollments are in none of these, so that an index grows with what waits alone.
for _name, _names, _part in (
    (
        "available",
        ("journey_id", "era", "available_at", "enrollment_id"),
        is_available(enrollments),
    ),
    ("open", ("status", "enrollment_id"), is_open(enrollments)),
):
    Index(
        f"segmentflow_enrollments_{_name}",
        *(enrollments.c[each] for each in ("organization_id", *_names)),
        sqlite_where=_part,
        postgresql_where=_part,
    )
