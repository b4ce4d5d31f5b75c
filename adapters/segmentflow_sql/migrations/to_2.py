"""From the tables of 0.1.0 to version 2: numbered events, versions of Profiles, hashed keys.

Made while nothing writes: 0.1.0 looks at the version of the tables once, when it starts. What
it would write afterwards fails, since the columns that it names are gone.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Final

from segmentflow_core.ports import encode_json, key_digest
from segmentflow_sql.migrations import to_2_postgresql, to_2_sqlite
from segmentflow_sql.migrations.migration import Migration

__all__ = ["TO_2"]

_TABLES: Final = {
    "segmentflow_schema": ("version",),
    "segmentflow_claims": (
        *("organization_id", "operation", "key", "event_id", "scheme", "key_id", "digest"),
        *("paths", "claimed_at", "expires_at"),
    ),
    "segmentflow_profiles": (
        *("organization_id", "profile_id", "email", "external_id", "properties"),
        *("property_times", "created_at", "updated_at"),
    ),
    "segmentflow_events": (
        *("organization_id", "event_id", "profile_id", "event", "data", "profile"),
        *("reference_id", "occurred_at", "received_at", "outcomes"),
    ),
    "segmentflow_journeys": ("organization_id", "journey_id", "event", "status", "version"),
    "segmentflow_journey_versions": (
        *("organization_id", "journey_id", "version", "digest", "definition", "published_at"),
    ),
    "segmentflow_enrollments": (
        *("organization_id", "enrollment_id", "journey_id", "version", "profile_id", "event_id"),
        *("entry_key", "entered_at", "status", "available_at", "attempts", "lease_until"),
        *("token", "completed_at"),
    ),
    "segmentflow_api_keys": (
        *("organization_id", "key_id", "digest", "lookup", "scopes", "label", "test"),
        *("created_at", "last_used_at", "revoked_at"),
    ),
}


def _key_digest(organization_id: str, key: str, operation: str) -> str:
    return key_digest(organization_id, key, operation)


def _base64(digest: str) -> str:
    return b64encode(bytes.fromhex(digest)).decode("ascii").rstrip("=")


_KEPT: Final = ("/profile/", "/redactedDataPaths/", "/occurredAt/")


def _unseen(paths: str, data: Any) -> str:
    """Keep the digests of what an event's row does not show as it was sent.

    Those of its data go: the row shows it, and what was redacted is not compared any more. Of
    each digest, as many digits are kept as are made now.
    """
    digests: dict[str, str] = json.loads(paths)
    return encode_json(
        {
            path: digest[:8]
            for path, digest in digests.items()
            if f"{path}/".startswith(_KEPT) or (path == "/data" and data == "{}")
        }
    )


TO_2: Final = Migration(
    version=2,
    tables=_TABLES,
    steps={"sqlite": to_2_sqlite.STEPS, "postgresql": to_2_postgresql.STEPS},
    why_not_back="version 1 keeps idempotency keys themselves, and a hash does not give one back",
    functions={
        "segmentflow_key_digest": _key_digest,
        "segmentflow_base64": _base64,
        "segmentflow_unseen": _unseen,
    },
)
