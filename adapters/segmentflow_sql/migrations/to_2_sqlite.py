"""The steps from version 1 to 2 on SQLite: new tables, filled from the old ones.

The functions whose names start with `segmentflow_` are Python's.
"""

from __future__ import annotations

from typing import Final

from segmentflow_sql.migrations.migration import Step

__all__ = ["STEPS"]

_REBUILT: Final = ("claims", "profiles", "events", "journeys", "enrollments")
_OLD_INDEXES: Final = (
    *("claims_expiry", "profiles_email", "profiles_external_id"),
    *("enrollments_entry", "enrollments_latest", "enrollments_available"),
    *("enrollments_available_of_journey", "enrollments_open", "journeys_listening"),
)

_TABLES: Final = (
    """CREATE TABLE segmentflow_claims (
    organization_id VARCHAR(255) NOT NULL,
    key_digest VARCHAR(43) NOT NULL,
    expires_at BIGINT,
    taken_at BIGINT,
    event_id VARCHAR(36),
    profile_id VARCHAR(36),
    matched INTEGER,
    enrolled INTEGER,
    scheme VARCHAR(64),
    key_id VARCHAR(64),
    digest VARCHAR(43),
    paths TEXT,
    gone_profile_id VARCHAR(36),
    PRIMARY KEY (organization_id, key_digest)
) WITHOUT ROWID""",
    """CREATE TABLE segmentflow_profiles (
    organization_id VARCHAR(255) NOT NULL,
    profile_id VARCHAR(36) NOT NULL,
    number BIGINT NOT NULL,
    version INTEGER NOT NULL,
    email VARCHAR(320),
    external_id VARCHAR(255),
    email_first BIGINT NOT NULL,
    email_last BIGINT NOT NULL,
    email_last_received BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    suppressed_at BIGINT,
    erased_at BIGINT,
    scrubbed_at BIGINT,
    merged_into VARCHAR(36),
    joined TEXT,
    awaits TEXT,
    scrubbed_to VARCHAR(36),
    PRIMARY KEY (organization_id, profile_id)
) WITHOUT ROWID""",
    """CREATE TABLE segmentflow_profile_versions (
    organization_id VARCHAR(255) NOT NULL,
    profile_id VARCHAR(36) NOT NULL,
    version INTEGER NOT NULL,
    email VARCHAR(320),
    external_id VARCHAR(255),
    properties TEXT NOT NULL,
    former_emails TEXT NOT NULL,
    property_times TEXT NOT NULL,
    first_number BIGINT NOT NULL,
    last_number BIGINT,
    PRIMARY KEY (organization_id, profile_id, version)
) WITHOUT ROWID""",
    """CREATE TABLE segmentflow_gone_events (
    organization_id VARCHAR(255) NOT NULL,
    profile_id VARCHAR(36) NOT NULL,
    event VARCHAR(255) NOT NULL,
    count BIGINT NOT NULL,
    last_occurred_at BIGINT NOT NULL,
    highest_number BIGINT NOT NULL,
    PRIMARY KEY (organization_id, profile_id, event)
) WITHOUT ROWID""",
    """CREATE TABLE segmentflow_gone_versions (
    organization_id VARCHAR(255) NOT NULL,
    profile_id VARCHAR(36) NOT NULL,
    version INTEGER NOT NULL,
    events BIGINT NOT NULL,
    PRIMARY KEY (organization_id, profile_id, version)
) WITHOUT ROWID""",
    """CREATE TABLE segmentflow_identities (
    organization_id VARCHAR(255) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    value VARCHAR(320) NOT NULL,
    profile_id VARCHAR(36) NOT NULL,
    PRIMARY KEY (organization_id, kind, value, profile_id)
) WITHOUT ROWID""",
    """CREATE TABLE segmentflow_events (
    organization_id VARCHAR(255) NOT NULL,
    event_id VARCHAR(36) NOT NULL,
    profile_id VARCHAR(36) NOT NULL,
    number BIGINT NOT NULL,
    profile_version INTEGER NOT NULL,
    event VARCHAR(255) NOT NULL,
    data TEXT NOT NULL,
    reference_id VARCHAR(255),
    occurred_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    outcomes TEXT NOT NULL,
    withdrew TEXT,
    key_start VARCHAR(4),
    PRIMARY KEY (organization_id, event_id)
) WITHOUT ROWID""",
    """CREATE TABLE segmentflow_journeys (
    organization_id VARCHAR(255) NOT NULL,
    journey_id VARCHAR(255) NOT NULL,
    event VARCHAR(255) NOT NULL,
    status VARCHAR(16) NOT NULL,
    version INTEGER NOT NULL,
    era INTEGER NOT NULL,
    archived_at BIGINT,
    PRIMARY KEY (organization_id, journey_id)
) WITHOUT ROWID""",
    """CREATE TABLE segmentflow_enrollments (
    organization_id VARCHAR(255) NOT NULL,
    enrollment_id VARCHAR(36) NOT NULL,
    journey_id VARCHAR(255) NOT NULL,
    version INTEGER NOT NULL,
    profile_id VARCHAR(36) NOT NULL,
    event_id VARCHAR(36) NOT NULL,
    event_number BIGINT NOT NULL,
    entry_key VARCHAR(101),
    entered_at BIGINT NOT NULL,
    era INTEGER NOT NULL,
    status VARCHAR(16) NOT NULL,
    available_at BIGINT,
    attempts INTEGER NOT NULL,
    lease_until BIGINT,
    token VARCHAR(36),
    completed_at BIGINT,
    last_failure VARCHAR(1000),
    withdrawn_at BIGINT,
    cancellers TEXT,
    cancelled_by VARCHAR(36),
    PRIMARY KEY (organization_id, enrollment_id)
) WITHOUT ROWID""",
    """CREATE TABLE segmentflow_audit (
    organization_id VARCHAR(255) NOT NULL,
    audit_id VARCHAR(36) NOT NULL,
    at BIGINT NOT NULL,
    action VARCHAR(32) NOT NULL,
    subjects TEXT NOT NULL,
    counts TEXT NOT NULL,
    done_by VARCHAR(255),
    PRIMARY KEY (organization_id, audit_id)
) WITHOUT ROWID""",
    # For this transaction alone.
    """CREATE TABLE segmentflow_1_numbers (
    organization_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    profile_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    version INTEGER NOT NULL,
    is_first INTEGER NOT NULL,
    PRIMARY KEY (organization_id, event_id)
) WITHOUT ROWID""",
)

_NUMBERS: Final = """INSERT INTO segmentflow_1_numbers
SELECT organization_id, event_id, profile_id, number,
    sum(is_first) OVER (PARTITION BY organization_id, profile_id ORDER BY number),
    is_first
FROM (
    SELECT organization_id, event_id, profile_id,
        row_number() OVER in_order AS number,
        lag(profile) OVER in_order IS NOT profile AS is_first
    FROM segmentflow_1_events
    WINDOW in_order AS (
        PARTITION BY organization_id, profile_id ORDER BY received_at, event_id
    )
)"""

_VERSIONS: Final = """INSERT INTO segmentflow_profile_versions
SELECT n.organization_id, n.profile_id, n.version,
    json_extract(e.profile, '$.email'), json_extract(e.profile, '$.externalId'),
    json_extract(e.profile, '$.properties'), '{}', '{}', n.number,
    lead(n.number) OVER (PARTITION BY n.organization_id, n.profile_id ORDER BY n.version) - 1
FROM segmentflow_1_numbers AS n
JOIN segmentflow_1_events AS e
    ON e.organization_id = n.organization_id AND e.event_id = n.event_id
WHERE n.is_first
ORDER BY n.organization_id, n.profile_id, n.version"""

# A Profile that differs from what its last event left gets one more version.
_PROFILES: Final = """INSERT INTO segmentflow_profiles
SELECT p.organization_id, p.profile_id, coalesce(l.number, 0),
    coalesce(l.version, 0) + (
        v.version IS NULL OR v.email IS NOT p.email OR v.external_id IS NOT p.external_id
        OR v.properties IS NOT p.properties
    ),
    p.email, p.external_id,
    coalesce(g.first, iif(p.email IS NULL, 0, p.updated_at)),
    coalesce(g.last, iif(p.email IS NULL, 0, p.updated_at)),
    coalesce(g.received, iif(p.email IS NULL, 0, p.updated_at)),
    p.created_at, p.updated_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM segmentflow_1_profiles AS p
LEFT JOIN (
    SELECT organization_id, profile_id, max(number) AS number, max(version) AS version
    FROM segmentflow_1_numbers
    GROUP BY organization_id, profile_id
) AS l ON l.organization_id = p.organization_id AND l.profile_id = p.profile_id
LEFT JOIN segmentflow_profile_versions AS v
    ON v.organization_id = p.organization_id AND v.profile_id = p.profile_id
    AND v.version = l.version
LEFT JOIN (
    SELECT organization_id, profile_id, first, happened AS last, received_at AS received
    FROM (
        SELECT organization_id, profile_id, happened, received_at,
            min(happened) OVER (PARTITION BY organization_id, profile_id) AS first,
            row_number() OVER (
                PARTITION BY organization_id, profile_id
                ORDER BY happened DESC, received_at DESC
            ) AS place
        FROM (
            SELECT e.organization_id, e.profile_id, e.received_at,
                min(e.occurred_at, e.received_at) AS happened
            FROM segmentflow_1_events AS e
            JOIN segmentflow_1_profiles AS o
                ON o.organization_id = e.organization_id AND o.profile_id = e.profile_id
                AND o.email = json_extract(e.profile, '$.email')
        )
    )
    WHERE place = 1
) AS g ON g.organization_id = p.organization_id AND g.profile_id = p.profile_id
ORDER BY p.organization_id, p.profile_id"""

_LATEST: Final = """INSERT INTO segmentflow_profile_versions
SELECT o.organization_id, o.profile_id, p.version, o.email, o.external_id, o.properties,
    '{}', o.property_times, p.number + 1, NULL
FROM segmentflow_1_profiles AS o
JOIN segmentflow_profiles AS p
    ON p.organization_id = o.organization_id AND p.profile_id = o.profile_id
WHERE true
ON CONFLICT (organization_id, profile_id, version)
DO UPDATE SET property_times = excluded.property_times"""

_LAST_NUMBERS: Final = """UPDATE segmentflow_profile_versions AS v SET last_number = p.number
FROM segmentflow_profiles AS p
WHERE p.organization_id = v.organization_id AND p.profile_id = v.profile_id
    AND v.last_number IS NULL AND v.version < p.version"""

# SQLite makes an index for itself, by which an event leads to its claim.
_EVENTS: Final = """INSERT INTO segmentflow_events
SELECT e.organization_id, e.event_id, e.profile_id, n.number, n.version, e.event, e.data,
    e.reference_id, e.occurred_at, e.received_at, e.outcomes, NULL, substr(c.key_digest, 1, 4)
FROM segmentflow_1_events AS e
JOIN segmentflow_1_numbers AS n
    ON n.organization_id = e.organization_id AND n.event_id = e.event_id
LEFT JOIN segmentflow_claims AS c
    ON c.organization_id = e.organization_id AND c.event_id = e.event_id
ORDER BY e.organization_id, e.event_id"""

# Microseconds since 1970 UTC, as instants are counted.
_JOURNEYS: Final = """INSERT INTO segmentflow_journeys
SELECT organization_id, journey_id, event, status, version, status = 'archived',
    CASE WHEN status = 'archived' THEN CAST(strftime('%s', 'now') AS INTEGER) * 1000000 END
FROM segmentflow_1_journeys
ORDER BY organization_id, journey_id"""

_ENROLLMENTS: Final = """INSERT INTO segmentflow_enrollments
SELECT r.organization_id, r.enrollment_id, r.journey_id, r.version, r.profile_id, r.event_id,
    coalesce(n.number, 0), r.entry_key, r.entered_at, 0, r.status, r.available_at, r.attempts,
    r.lease_until, r.token, r.completed_at, NULL, NULL, NULL, NULL
FROM segmentflow_1_enrollments AS r
LEFT JOIN segmentflow_1_numbers AS n
    ON n.organization_id = r.organization_id AND n.event_id = r.event_id
ORDER BY r.organization_id, r.enrollment_id"""

# A key whose event was deleted by hand stays taken; nobody knows its Profile any more.
_CLAIMS: Final = """INSERT INTO segmentflow_claims
SELECT c.organization_id, segmentflow_key_digest(c.organization_id, c.key, c.operation) AS hashed,
    c.expires_at, c.claimed_at, c.event_id,
    coalesce(e.profile_id, '00000000-0000-0000-0000-000000000000'),
    coalesce(json_array_length(e.outcomes), 0),
    (SELECT count(*) FROM json_each(e.outcomes) AS o
        WHERE json_extract(o.value, '$[2]') = 'enrolled'),
    nullif(c.scheme, 'hmac-sha256/jcs/1'), c.key_id, segmentflow_base64(c.digest),
    segmentflow_unseen(c.paths, e.data), NULL
FROM segmentflow_1_claims AS c
LEFT JOIN segmentflow_1_events AS e
    ON e.organization_id = c.organization_id AND e.event_id = c.event_id
ORDER BY c.organization_id, hashed"""

STEPS: Final = (
    Step(
        "Set the tables of version 1 aside, so that what writes to them fails",
        (
            *(f"DROP INDEX segmentflow_{name}" for name in _OLD_INDEXES),
            *(f"ALTER TABLE segmentflow_{n} RENAME TO segmentflow_1_{n}" for n in _REBUILT),
        ),
    ),
    Step("Create the tables of version 2", _TABLES),
    Step(
        "Number the events of each Profile",
        (_NUMBERS,),
        rows="SELECT count(*) FROM segmentflow_events",
    ),
    Step(
        "Keep each state of a Profile once, as a version",
        (_VERSIONS, _PROFILES, _LATEST, _LAST_NUMBERS),
        rows="SELECT count(*) FROM segmentflow_profiles",
    ),
    Step(
        "Begin the second era of archived Journeys: what waits in them is withdrawn",
        (_JOURNEYS,),
        rows="SELECT count(*) FROM segmentflow_journeys",
    ),
    Step(
        "Give each Enrollment the number of its event",
        (_ENROLLMENTS,),
        rows="SELECT count(*) FROM segmentflow_enrollments",
    ),
    Step(
        "Hash the idempotency keys, and keep the receipt of each",
        (_CLAIMS,),
        rows="SELECT count(*) FROM segmentflow_claims",
    ),
    Step(
        "Let each event refer to the version of its Profile, and to its key claim",
        (_EVENTS,),
        rows="SELECT count(*) FROM segmentflow_events",
    ),
    Step(
        "Drop the tables of version 1",
        (
            *(f"DROP TABLE segmentflow_1_{name}" for name in _REBUILT),
            "DROP TABLE segmentflow_1_numbers",
        ),
    ),
    Step(
        "Create the indexes of version 2",
        (
            "CREATE INDEX segmentflow_claims_expiry ON segmentflow_claims (expires_at)",
            """CREATE INDEX segmentflow_claims_of_gone_events
    ON segmentflow_claims (organization_id, gone_profile_id)
    WHERE gone_profile_id IS NOT NULL""",
            """CREATE UNIQUE INDEX segmentflow_profiles_email
    ON segmentflow_profiles (organization_id, email)""",
            """CREATE UNIQUE INDEX segmentflow_profiles_external_id
    ON segmentflow_profiles (organization_id, external_id)""",
            """CREATE INDEX segmentflow_profiles_unscrubbed
    ON segmentflow_profiles (organization_id, erased_at)
    WHERE erased_at IS NOT NULL AND scrubbed_at IS NULL""",
            """CREATE INDEX segmentflow_journeys_listening
    ON segmentflow_journeys (organization_id, event, status, version, era)""",
            """CREATE INDEX segmentflow_enrollments_available
    ON segmentflow_enrollments (organization_id, journey_id, era, available_at, enrollment_id)
    WHERE status IN ('claimed', 'pending')""",
            """CREATE UNIQUE INDEX segmentflow_enrollments_entry
    ON segmentflow_enrollments (organization_id, journey_id, profile_id, entry_key)
    WHERE entry_key IS NOT NULL""",
            """CREATE INDEX segmentflow_enrollments_latest
    ON segmentflow_enrollments (organization_id, profile_id, journey_id, entered_at)""",
            """CREATE INDEX segmentflow_enrollments_completed
    ON segmentflow_enrollments (organization_id, completed_at)
    WHERE completed_at IS NOT NULL""",
            """CREATE INDEX segmentflow_enrollments_withdrawn
    ON segmentflow_enrollments (organization_id, withdrawn_at)
    WHERE withdrawn_at IS NOT NULL""",
            """CREATE INDEX segmentflow_enrollments_cancellable
    ON segmentflow_enrollments (organization_id, profile_id)
    WHERE cancellers IS NOT NULL""",
            """CREATE INDEX segmentflow_enrollments_open
    ON segmentflow_enrollments (organization_id, status, enrollment_id)
    WHERE status != 'completed' AND status != 'withdrawn'""",
            """CREATE INDEX segmentflow_enrollments_of_profile
    ON segmentflow_enrollments (organization_id, profile_id, enrollment_id)""",
            """CREATE INDEX segmentflow_events_of_profile
    ON segmentflow_events (organization_id, profile_id, event_id)""",
            """CREATE INDEX segmentflow_events_of_name
    ON segmentflow_events (organization_id, event, event_id)""",
            """CREATE INDEX segmentflow_events_of_reference
    ON segmentflow_events (organization_id, reference_id, event_id)
    WHERE reference_id IS NOT NULL""",
            """CREATE INDEX segmentflow_events_received
    ON segmentflow_events (organization_id, received_at)""",
            """CREATE INDEX segmentflow_events_occurred
    ON segmentflow_events (organization_id, profile_id, event, occurred_at, number)""",
        ),
    ),
)
