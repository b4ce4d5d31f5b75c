"""Profiles and events with the version of the Profile they refer to.

Outer joins, because only their order is kept by every database, and so that a row whose
version is gone is still read.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import FromClause, and_

from segmentflow_sql.schema import events, profile_versions, profiles
from segmentflow_sql.statements.building import Values, columns
from segmentflow_sql.statements.dialects import Dialect

__all__ = [
    "AS_IT_LEFT_IT",
    "CURRENT",
    "EVENTS",
    "PROFILES",
    "event_columns",
    "profile_columns",
]

CURRENT: Final = and_(
    profile_versions.c.organization_id == profiles.c.organization_id,
    profile_versions.c.profile_id == profiles.c.profile_id,
    profile_versions.c.version == profiles.c.version,
)
"""Leads from a Profile to its latest version."""

AS_IT_LEFT_IT: Final = and_(
    profile_versions.c.organization_id == events.c.organization_id,
    profile_versions.c.profile_id == events.c.profile_id,
    profile_versions.c.version == events.c.profile_version,
)
"""Leads from an event to the version of its Profile."""

PROFILES: Final[FromClause] = profiles.outerjoin(profile_versions, CURRENT)
EVENTS: Final[FromClause] = events.outerjoin(profile_versions, AS_IT_LEFT_IT)


def profile_columns(dialect: Dialect) -> Values:
    """Return what to select for whole Profiles, in the order that `rows` reads."""
    version = profile_versions.c
    kept = (version.properties, version.former_emails, version.property_times)
    return [*columns(dialect, profiles, without=("scrubbed_to",)), *kept]


def event_columns(dialect: Dialect) -> Values:
    """Return what to select for whole events, in the order that `rows` reads."""
    version = profile_versions.c
    own = columns(dialect, events, without=("key_start",))
    return [*own, version.email, version.external_id, version.properties]
