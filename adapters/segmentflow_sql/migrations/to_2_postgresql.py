"""The steps from version 1 to 2 on PostgreSQL: the tables stay, and change in place.

So they keep their owner, the privileges on them, their policies and what refers to them.
"""

from __future__ import annotations

from typing import Final

from segmentflow_sql.migrations.migration import Step

__all__ = ["STEPS"]

_ALL: Final = ", ".join(
    f"segmentflow_{name}"
    for name in (
        *("claims", "profiles", "events", "enrollments"),
        *("journeys", "journey_versions", "api_keys"),
    )
)

_NEW_TABLES: Final = (
    """CREATE TABLE segmentflow_profile_versions (
    organization_id VARCHAR(255) COLLATE "C" NOT NULL,
    profile_id UUID NOT NULL,
    version INTEGER NOT NULL,
    email VARCHAR(320) COLLATE "C",
    external_id VARCHAR(255) COLLATE "C",
    properties JSONB NOT NULL,
    former_emails JSONB NOT NULL,
    property_times JSONB NOT NULL,
    first_number BIGINT NOT NULL,
    last_number BIGINT,
    PRIMARY KEY (organization_id, profile_id, version)
)""",
    """CREATE TABLE segmentflow_gone_events (
    organization_id VARCHAR(255) COLLATE "C" NOT NULL,
    profile_id UUID NOT NULL,
    event VARCHAR(255) COLLATE "C" NOT NULL,
    count BIGINT NOT NULL,
    last_occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    highest_number BIGINT NOT NULL,
    PRIMARY KEY (organization_id, profile_id, event)
)""",
    """CREATE TABLE segmentflow_gone_versions (
    organization_id VARCHAR(255) COLLATE "C" NOT NULL,
    profile_id UUID NOT NULL,
    version INTEGER NOT NULL,
    events BIGINT NOT NULL,
    PRIMARY KEY (organization_id, profile_id, version)
)""",
    """CREATE TABLE segmentflow_identities (
    organization_id VARCHAR(255) COLLATE "C" NOT NULL,
    kind VARCHAR(16) COLLATE "C" NOT NULL,
    value VARCHAR(320) COLLATE "C" NOT NULL,
    profile_id UUID NOT NULL,
    PRIMARY KEY (organization_id, kind, value, profile_id)
)""",
    """CREATE TABLE segmentflow_audit (
    organization_id VARCHAR(255) COLLATE "C" NOT NULL,
    audit_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    action VARCHAR(32) COLLATE "C" NOT NULL,
    subjects JSONB NOT NULL,
    counts JSONB NOT NULL,
    done_by VARCHAR(255) COLLATE "C",
    PRIMARY KEY (organization_id, audit_id)
)""",
    # Who may use the Profiles, may use what was part of them, and keeps the record about them.
    """DO $$
DECLARE
    given record;
    new_table text;
BEGIN
    FOREACH new_table IN ARRAY ARRAY[
        'segmentflow_profile_versions', 'segmentflow_identities', 'segmentflow_audit',
        'segmentflow_gone_events', 'segmentflow_gone_versions'
    ]
    LOOP
        FOR given IN
            SELECT privilege_type AS kind, is_grantable AS passed_on,
                CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
                    AS whose
            FROM pg_class, aclexplode(relacl)
            WHERE pg_class.oid = 'segmentflow_profiles'::regclass AND grantee != relowner
        LOOP
            EXECUTE 'GRANT ' || given.kind || ' ON ' || new_table || ' TO ' || given.whose
                || CASE WHEN given.passed_on THEN ' WITH GRANT OPTION' ELSE '' END;
        END LOOP;
        EXECUTE 'ALTER TABLE ' || new_table || ' OWNER TO ' || (
            SELECT quote_ident(pg_get_userbyid(relowner))
            FROM pg_class
            WHERE oid = 'segmentflow_profiles'::regclass
        );
    END LOOP;
END $$""",
)

# As text, because JSONB takes 1 for equal to 1.0.
_NUMBERS: Final = """CREATE TEMPORARY TABLE segmentflow_1_numbers ON COMMIT DROP AS
SELECT organization_id, event_id, profile_id, number, is_first = 1 AS is_first,
    (sum(is_first) OVER (PARTITION BY organization_id, profile_id ORDER BY number))::integer
        AS version
FROM (
    SELECT organization_id, event_id, profile_id,
        row_number() OVER in_order AS number,
        CASE WHEN lag(profile::text) OVER in_order = profile::text THEN 0 ELSE 1 END AS is_first
    FROM segmentflow_events
    WINDOW in_order AS (
        PARTITION BY organization_id, profile_id ORDER BY received_at, event_id
    )
) AS numbered"""

_VERSIONS: Final = """INSERT INTO segmentflow_profile_versions
    (organization_id, profile_id, version, email, external_id, properties, former_emails,
    property_times, first_number, last_number)
SELECT n.organization_id, n.profile_id, n.version, e.profile->>'email', e.profile->>'externalId',
    e.profile->'properties', '{}', '{}', n.number,
    lead(n.number) OVER (PARTITION BY n.organization_id, n.profile_id ORDER BY n.version) - 1
FROM segmentflow_1_numbers AS n
JOIN segmentflow_events AS e
    ON e.organization_id = n.organization_id AND e.event_id = n.event_id
WHERE n.is_first"""

# Microseconds since 1970 UTC, as they are counted of Properties.
_EMAILS: Final = """CREATE TEMPORARY TABLE segmentflow_1_emails ON COMMIT DROP AS
SELECT organization_id, profile_id,
    (extract(epoch FROM first) * 1000000)::bigint AS first,
    (extract(epoch FROM happened) * 1000000)::bigint AS last,
    (extract(epoch FROM received_at) * 1000000)::bigint AS received
FROM (
    SELECT organization_id, profile_id, happened, received_at,
        min(happened) OVER (PARTITION BY organization_id, profile_id) AS first,
        row_number() OVER (
            PARTITION BY organization_id, profile_id
            ORDER BY happened DESC, received_at DESC
        ) AS place
    FROM (
        SELECT e.organization_id, e.profile_id, e.received_at,
            least(e.occurred_at, e.received_at) AS happened
        FROM segmentflow_events AS e
        JOIN segmentflow_profiles AS p
            ON p.organization_id = e.organization_id AND p.profile_id = e.profile_id
            AND p.email = e.profile->>'email' COLLATE "C"
    ) AS given
) AS placed
WHERE place = 1"""

# A Profile that differs from what its last event left gets one more version.
_LATEST: Final = """CREATE TEMPORARY TABLE segmentflow_1_latest ON COMMIT DROP AS
SELECT p.organization_id, p.profile_id, coalesce(l.number, 0) AS number,
    coalesce(l.version, 0) + CASE
        WHEN v.version IS NOT NULL AND v.email IS NOT DISTINCT FROM p.email
            AND v.external_id IS NOT DISTINCT FROM p.external_id
            AND v.properties::text = p.properties::text
        THEN 0 ELSE 1
    END AS version
FROM segmentflow_profiles AS p
LEFT JOIN (
    SELECT organization_id, profile_id, max(number) AS number, max(version) AS version
    FROM segmentflow_1_numbers
    GROUP BY organization_id, profile_id
) AS l ON l.organization_id = p.organization_id AND l.profile_id = p.profile_id
LEFT JOIN segmentflow_profile_versions AS v
    ON v.organization_id = p.organization_id AND v.profile_id = p.profile_id
    AND v.version = l.version"""

_LATEST_VERSIONS: Final = """INSERT INTO segmentflow_profile_versions
    (organization_id, profile_id, version, email, external_id, properties, former_emails,
    property_times, first_number)
SELECT p.organization_id, p.profile_id, l.version, p.email, p.external_id, p.properties, '{}',
    p.property_times, l.number + 1
FROM segmentflow_profiles AS p
JOIN segmentflow_1_latest AS l
    ON l.organization_id = p.organization_id AND l.profile_id = p.profile_id
ON CONFLICT (organization_id, profile_id, version)
DO UPDATE SET property_times = excluded.property_times"""

_LAST_NUMBERS: Final = """UPDATE segmentflow_profile_versions AS v SET last_number = l.number
FROM segmentflow_1_latest AS l
WHERE l.organization_id = v.organization_id AND l.profile_id = v.profile_id
    AND v.last_number IS NULL AND v.version < l.version"""

_PROFILES: Final = """UPDATE segmentflow_profiles AS p
SET number = l.number, version = l.version,
    email_first = CASE
        WHEN p.email IS NULL THEN 0
        ELSE coalesce(g.first, (extract(epoch FROM p.updated_at) * 1000000)::bigint)
    END,
    email_last = CASE
        WHEN p.email IS NULL THEN 0
        ELSE coalesce(g.last, (extract(epoch FROM p.updated_at) * 1000000)::bigint)
    END,
    email_last_received = CASE
        WHEN p.email IS NULL THEN 0
        ELSE coalesce(g.received, (extract(epoch FROM p.updated_at) * 1000000)::bigint)
    END
FROM segmentflow_1_latest AS l
LEFT JOIN segmentflow_1_emails AS g
    ON g.organization_id = l.organization_id AND g.profile_id = l.profile_id
WHERE p.organization_id = l.organization_id AND p.profile_id = l.profile_id"""

# SHA-256 of the three parts, each behind its length in four bytes; base64url unpadded.
# A key whose event was deleted by hand stays taken; nobody knows its Profile any more.
_CLAIMS: Final = """CREATE TEMPORARY TABLE segmentflow_1_claims ON COMMIT DROP AS
SELECT c.organization_id,
    rtrim(translate(encode(sha256(
        int4send(octet_length(convert_to(c.organization_id, 'UTF8')))
            || convert_to(c.organization_id, 'UTF8')
        || int4send(octet_length(convert_to(c.operation, 'UTF8')))
            || convert_to(c.operation, 'UTF8')
        || int4send(octet_length(convert_to(c.key, 'UTF8'))) || convert_to(c.key, 'UTF8')
    ), 'base64'), '+/', '-_'), '=') AS key_digest,
    c.expires_at, c.claimed_at, c.event_id,
    coalesce(e.profile_id, '00000000-0000-0000-0000-000000000000') AS profile_id,
    coalesce(jsonb_array_length(e.outcomes), 0) AS matched,
    (SELECT count(*) FROM jsonb_array_elements(e.outcomes) AS o WHERE o->>2 = 'enrolled')::integer
        AS enrolled,
    nullif(c.scheme, 'hmac-sha256/jcs/1') AS scheme, c.key_id,
    rtrim(encode(decode(c.digest, 'hex'), 'base64'), '=') AS digest,
    (
        SELECT coalesce(jsonb_object_agg(path, left(kept, 8)), '{}')::text
        FROM jsonb_each_text(c.paths) AS each (path, kept)
        WHERE starts_with(path || '/', '/profile/')
            OR starts_with(path || '/', '/redactedDataPaths/')
            OR starts_with(path || '/', '/occurredAt/')
            OR (path = '/data' AND e.data = '{}')
    ) AS paths
FROM segmentflow_claims AS c
LEFT JOIN segmentflow_events AS e
    ON e.organization_id = c.organization_id AND e.event_id = c.event_id"""

STEPS: Final = (
    Step(
        "Lock the tables of version 1, so that what writes to them waits, and then fails",
        (f"LOCK TABLE {_ALL} IN ACCESS EXCLUSIVE MODE",),
    ),
    Step("Create the new tables of version 2", _NEW_TABLES),
    Step(
        "Number the events of each Profile",
        (_NUMBERS, "ANALYZE segmentflow_1_numbers"),
        rows="SELECT count(*) FROM segmentflow_events",
    ),
    Step(
        "Hash the idempotency keys, and keep the receipt of each",
        (
            _CLAIMS,
            # TRUNCATE gives the file with the keys back at once.
            "TRUNCATE segmentflow_claims",
            """ALTER TABLE segmentflow_claims
    DROP COLUMN operation, DROP COLUMN key, DROP COLUMN event_id, DROP COLUMN scheme,
    DROP COLUMN key_id, DROP COLUMN digest, DROP COLUMN paths, DROP COLUMN claimed_at,
    DROP COLUMN expires_at,
    ADD COLUMN key_digest VARCHAR(43) COLLATE "C" NOT NULL,
    ADD COLUMN expires_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN taken_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN event_id UUID,
    ADD COLUMN profile_id UUID,
    ADD COLUMN matched INTEGER,
    ADD COLUMN enrolled INTEGER,
    ADD COLUMN scheme VARCHAR(64) COLLATE "C",
    ADD COLUMN key_id VARCHAR(64) COLLATE "C",
    ADD COLUMN digest VARCHAR(43) COLLATE "C",
    ADD COLUMN paths TEXT,
    ADD COLUMN gone_profile_id UUID""",
            """INSERT INTO segmentflow_claims
    (organization_id, key_digest, expires_at, taken_at, event_id, profile_id, matched, enrolled,
    scheme, key_id, digest, paths)
SELECT organization_id, key_digest, expires_at, claimed_at, event_id, profile_id, matched,
    enrolled, scheme, key_id, digest, paths
FROM segmentflow_1_claims""",
            "ALTER TABLE segmentflow_claims ADD PRIMARY KEY (organization_id, key_digest)",
            "CREATE INDEX segmentflow_claims_expiry ON segmentflow_claims (expires_at)",
            """CREATE INDEX segmentflow_claims_of_gone_events
    ON segmentflow_claims (organization_id, gone_profile_id)
    WHERE gone_profile_id IS NOT NULL""",
        ),
        rows="SELECT count(*) FROM segmentflow_claims",
    ),
    Step(
        "Keep each state of a Profile once, as a version",
        (
            _VERSIONS,
            _EMAILS,
            _LATEST,
            "ANALYZE segmentflow_1_latest",
            _LATEST_VERSIONS,
            _LAST_NUMBERS,
            """ALTER TABLE segmentflow_profiles
    DROP COLUMN properties, DROP COLUMN property_times,
    ADD COLUMN number BIGINT, ADD COLUMN version INTEGER, ADD COLUMN email_first BIGINT,
    ADD COLUMN email_last BIGINT, ADD COLUMN email_last_received BIGINT,
    ADD COLUMN suppressed_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN erased_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN scrubbed_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN merged_into UUID, ADD COLUMN joined JSONB, ADD COLUMN awaits JSONB,
    ADD COLUMN scrubbed_to UUID""",
            _PROFILES,
            """ALTER TABLE segmentflow_profiles
    ALTER COLUMN number SET NOT NULL, ALTER COLUMN version SET NOT NULL,
    ALTER COLUMN email_first SET NOT NULL, ALTER COLUMN email_last SET NOT NULL,
    ALTER COLUMN email_last_received SET NOT NULL""",
            """CREATE INDEX segmentflow_profiles_unscrubbed
    ON segmentflow_profiles (organization_id, erased_at)
    WHERE erased_at IS NOT NULL AND scrubbed_at IS NULL""",
        ),
        rows="SELECT count(*) FROM segmentflow_profiles",
    ),
    Step(
        "Let each event refer to the version of its Profile, and to its key claim",
        (
            # The column goes first, so that no row is written with it once more.
            """ALTER TABLE segmentflow_events
    DROP COLUMN profile, ADD COLUMN number BIGINT, ADD COLUMN profile_version INTEGER,
    ADD COLUMN withdrew JSONB, ADD COLUMN key_start VARCHAR(4) COLLATE "C" """,
            """UPDATE segmentflow_events AS e
SET number = n.number, profile_version = n.version, key_start = left(c.key_digest, 4)
FROM segmentflow_1_numbers AS n
LEFT JOIN segmentflow_1_claims AS c
    ON c.organization_id = n.organization_id AND c.event_id = n.event_id
WHERE e.organization_id = n.organization_id AND e.event_id = n.event_id""",
            """ALTER TABLE segmentflow_events
    ALTER COLUMN number SET NOT NULL, ALTER COLUMN profile_version SET NOT NULL""",
        ),
        rows="SELECT count(*) FROM segmentflow_events",
    ),
    Step(
        "Begin the second era of archived Journeys: what waits in them is withdrawn",
        (
            "DROP INDEX segmentflow_journeys_listening",
            """ALTER TABLE segmentflow_journeys
    ADD COLUMN era INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN archived_at TIMESTAMP WITH TIME ZONE""",
            """UPDATE segmentflow_journeys SET era = 1, archived_at = now()
WHERE status = 'archived'""",
            "ALTER TABLE segmentflow_journeys ALTER COLUMN era DROP DEFAULT",
            """CREATE INDEX segmentflow_journeys_listening
    ON segmentflow_journeys (organization_id, event, status, version, era)""",
        ),
        rows="SELECT count(*) FROM segmentflow_journeys",
    ),
    Step(
        "Give each Enrollment the number of its event",
        (
            # Built anew below: entries without a key are not in it any more, nor withdrawn ones.
            "DROP INDEX segmentflow_enrollments_entry",
            "DROP INDEX segmentflow_enrollments_open",
            # What waits stands in the line of its Journey and era now.
            "DROP INDEX segmentflow_enrollments_available",
            "DROP INDEX segmentflow_enrollments_available_of_journey",
            "DROP INDEX segmentflow_enrollments_latest",
            """ALTER TABLE segmentflow_enrollments
    ALTER COLUMN entry_key TYPE VARCHAR(101) COLLATE "C",
    ADD COLUMN event_number BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN era INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN last_failure VARCHAR(1000) COLLATE "C",
    ADD COLUMN withdrawn_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN cancellers JSONB,
    ADD COLUMN cancelled_by UUID""",
            """UPDATE segmentflow_enrollments AS r SET event_number = n.number
FROM segmentflow_1_numbers AS n
WHERE r.organization_id = n.organization_id AND r.event_id = n.event_id""",
            """ALTER TABLE segmentflow_enrollments
    ALTER COLUMN event_number DROP DEFAULT, ALTER COLUMN era DROP DEFAULT""",
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
        rows="SELECT count(*) FROM segmentflow_enrollments",
    ),
    Step(
        "Tell the planner how large the tables are",
        (
            """ANALYZE segmentflow_claims, segmentflow_profiles, segmentflow_profile_versions,
    segmentflow_events, segmentflow_enrollments""",
        ),
    ),
)
