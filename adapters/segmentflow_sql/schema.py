"""The tables. Every key leads with organization_id, ids are UUIDv7 text, times are UTC.

Knows names, types and uniqueness, and no statement.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

__all__ = [
    "SCHEMA_VERSION",
    "claims",
    "enrollments",
    "events",
    "journey_versions",
    "journeys",
    "metadata",
    "profiles",
    "schema",
]

SCHEMA_VERSION: Final = 1

metadata = MetaData()
"""Every table, for the host's own migrations."""

_ID: Final = String(36)
_NAME: Final = String(255)


def _instant(name: str, *, nullable: bool = False) -> Column[int]:
    """Microseconds since 1970 UTC: exact, sortable, and the same in every time zone."""
    return Column(name, BigInteger, nullable=nullable)


def _json(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


schema = Table(
    "segmentflow_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

claims = Table(
    "segmentflow_claims",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("operation", String(64), primary_key=True),
    Column("key", _NAME, primary_key=True),
    Column("event_id", _ID, nullable=False),
    Column("scheme", String(64), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    _json("paths"),
    _instant("claimed_at"),
    _instant("expires_at", nullable=True),
    Index("segmentflow_claims_expiry", "expires_at"),
    sqlite_with_rowid=False,
)

profiles = Table(
    "segmentflow_profiles",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("profile_id", _ID, primary_key=True),
    Column("email", String(320)),
    Column("external_id", _NAME),
    _json("properties"),
    _json("property_times"),
    _instant("created_at"),
    _instant("updated_at"),
    Index("segmentflow_profiles_email", "organization_id", "email", unique=True),
    Index("segmentflow_profiles_external_id", "organization_id", "external_id", unique=True),
    sqlite_with_rowid=False,
)

events = Table(
    "segmentflow_events",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("event_id", _ID, primary_key=True),
    Column("profile_id", _ID, nullable=False),
    Column("event", _NAME, nullable=False),
    _json("data"),
    _json("profile"),
    Column("reference_id", _NAME),
    _instant("occurred_at"),
    _instant("received_at"),
    _json("outcomes"),
    sqlite_with_rowid=False,
)

journeys = Table(
    "segmentflow_journeys",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("journey_id", _NAME, primary_key=True),
    Column("event", _NAME, nullable=False),
    Column("status", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    # With the version it answers alone what tracking asks, and so is the one SQLite takes.
    Index("segmentflow_journeys_listening", "organization_id", "event", "status", "version"),
    sqlite_with_rowid=False,
)

journey_versions = Table(
    "segmentflow_journey_versions",
    metadata,
    Column("organization_id", _NAME, primary_key=True),
    Column("journey_id", _NAME, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
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
    Column("entry_key", String(64)),
    _instant("entered_at"),
    Column("status", String(16), nullable=False),
    _instant("available_at", nullable=True),
    Column("attempts", Integer, nullable=False),
    _instant("lease_until", nullable=True),
    Column("token", _ID),
    _instant("completed_at", nullable=True),
    # NULL is distinct from NULL: entries that are not limited carry no key.
    Index(
        "segmentflow_enrollments_entry",
        "organization_id",
        "journey_id",
        "profile_id",
        "entry_key",
        unique=True,
    ),
    Index(
        "segmentflow_enrollments_latest",
        "organization_id",
        "journey_id",
        "profile_id",
        "entered_at",
    ),
    sqlite_with_rowid=False,
)
