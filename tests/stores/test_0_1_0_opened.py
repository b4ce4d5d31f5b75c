"""What version 0.1.0 stored, opened with the library: refused, then migrated and read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import create_engine

from segmentflow_core import ApiKeys, Limits, Tracker
from segmentflow_core.errors import ConfigurationError, Unauthorized
from segmentflow_core.testing import FixedClock
from segmentflow_sql import SqlStorage
from stores.api_key_secrets import api_key_secret
from stores.made_by_0_1_0 import CALLS, DEFAULT, HOST, NOW, kept, rows_of
from stores.plain_rows import exact
from stores.records import claim_all, complete, fingerprint_keys, read_records, track_again

STORES = ("sqlite", "postgresql")


def open_store(url: str) -> SqlStorage:
    """Open a store that version 0.1.0 made, brought to this version's tables."""
    assert_refused(url)
    storage = SqlStorage(create_engine(url))
    storage.migrate()
    return storage


def assert_refused(url: str) -> None:
    storage = SqlStorage(create_engine(url))
    try:
        with pytest.raises(ConfigurationError, match="segmentflow migrate") as refusal:
            storage.run(lambda transaction: transaction.journeys.list(DEFAULT))
    finally:
        storage.close()
    assert refusal.value.details == {"found": 1, "expected": 2}


@pytest.fixture(params=STORES)
def url(request):
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('sqlite_file')}"
    postgres, name = map(request.getfixturevalue, ("postgres", "postgresql_database"))
    return postgres.url(name)


def test_a_store_of_0_1_0_is_refused(url):
    assert_refused(url)


@pytest.fixture
def storage(url):
    storage = open_store(url)
    yield storage
    storage.close()


@pytest.fixture
def clock():
    return FixedClock(datetime.fromisoformat(NOW))


@pytest.fixture
def tracker(storage, clock):
    # Version 0.1.0 took every external id.
    limits = Limits(allow_placeholder_ids=True)
    return Tracker(storage, fingerprint_key=fingerprint_keys(HOST), clock=clock, limits=limits)


@pytest.fixture
def api_keys(storage, clock):
    return ApiKeys(storage, clock=clock)


@pytest.fixture
def read(tracker, api_keys):
    def read() -> list[str]:
        return [exact(record) for record in read_records(tracker, api_keys, HOST["organizations"])]

    return read


NEWER = {
    "profile": {
        *("number", "version", "email_times", "former_emails"),
        *("aliases", "merged", "merged_into", "suppressed_at", "erased_at", "scrubbed_at"),
        "awaits",
    },
    "event": {"number", "profile_version", "withdrew"},
    "enrollment": {
        *("event_number", "last_failure", "withdrawn_at", "cancellers", "cancelled_by"),
        *("era", "archived_at"),
    },
    "journey": {"era", "archived_at"},
    "journey_version": {"era", "archived_at"},
}
"""What a record has since then."""


def as_0_1_0_read_it(line: dict[str, Any]) -> str:
    newer = NEWER.get(line["kind"], set())
    assert newer <= line["record"].keys()
    record = {name: value for name, value in line["record"].items() if name not in newer}
    if line["kind"] in ("journey", "journey_version"):
        definition = record["definition"]
        assert (definition.pop("delay"), definition.pop("cancel_on")) == (None, [])
        assert (definition["reentry"].pop("times"), definition["reentry"].pop("within")) == (
            None,
            None,
        )
    return exact({**line, "record": record})


def test_every_record_reads_as_0_1_0_read_it(tracker, api_keys):
    found = read_records(tracker, api_keys, HOST["organizations"])
    withdrawn = [line for line in found if line["record"].get("withdrawn_at") is not None]
    assert {line["record"]["journey_id"] for line in withdrawn} == {"archived-later"}
    for line in withdrawn:
        # What waits in an archived Journey is withdrawn since the migration.
        line["record"]["status"] = "pending"
    assert [as_0_1_0_read_it(line) for line in found] == [
        exact(line) for line in kept("records.ndjson")
    ]


def as_this_version_answers(call: dict[str, Any]) -> dict[str, Any]:
    """Say what is answered now: of a conflict, redacted paths apart from those that changed."""
    answered = {name: call[name] for name in ("receipt", "refusal") if name in call}
    if call.get("refusal", {}).get("code") == "idempotency_key_reuse":
        redacted = [
            f"/data{path.removeprefix('/event')}" for path in call["request"]["redactedDataPaths"]
        ]
        changed = call["refusal"]["details"]["changedPaths"]
        details = {
            "changedPaths": [path for path in changed if path not in redacted],
            "redactedPaths": redacted,
        }
        answered["refusal"] = {"code": "idempotency_key_reuse", "details": details}
    return answered


def test_a_call_made_again_gets_its_answer_again_and_changes_nothing(tracker, read):
    before = read()
    repeated = [call for call in CALLS if call.get("remembered") or "refusal" in call]
    assert len(repeated) > 70
    for call in repeated:
        expected = as_this_version_answers(call)
        assert exact(track_again(tracker, call)) == exact(expected), call["idempotency_key"]
    assert read() == before


def test_a_call_whose_key_has_expired_is_recorded_anew(tracker):
    (call,) = [c for c in CALLS if c["idempotency_key"] == "expires as the story ends"]
    assert call["remembered"] is False
    again = track_again(tracker, call)
    assert again["receipt"]["event_id"] != call["receipt"]["event_id"]


def test_keys_that_expired_are_purged_and_no_others(tracker):
    expired = [row for row in rows_of("claims") if row["expires_at"] and row["expires_at"] <= NOW]
    assert tracker.records.purge_keys() == len(expired)


def test_workers_are_handed_what_waited_and_what_was_claimed_too_long_ago(tracker):
    """Of active Journeys; 0.1.0 handed over what waited in the others as well."""
    waiting = {"pending", "claimed"}
    active = {
        (row["organization_id"], row["journey_id"])
        for row in rows_of("journeys")
        if row["status"] == "active"
    }
    due = [
        row
        for row in rows_of("enrollments")
        if row["status"] in waiting and row["available_at"] <= NOW
    ]
    handed_over = {
        row["enrollment_id"] for row in due if (row["organization_id"], row["journey_id"]) in active
    }
    assert len(handed_over) < len(due)
    assert claim_all(tracker) == handed_over


def test_a_worker_that_held_a_lease_completes_with_it(tracker):
    held = [row for row in rows_of("enrollments") if row["status"] == "claimed"]
    assert {complete(tracker, row) for row in held} == {"completed"}


@pytest.mark.parametrize("made", HOST["api_keys"], ids=lambda made: made["entropy"][-1])
def test_an_api_key_is_recognised_unless_it_was_revoked(api_keys, made):
    secret = api_key_secret(made["entropy"], test=made["test"])
    if made["revoked"]:
        with pytest.raises(Unauthorized):
            api_keys.authenticate(secret, "events:write")
    else:
        found = api_keys.authenticate(secret, "events:write")
        assert (found.organization_id, found.key_id) == (made["organization_id"], made["key_id"])
