"""The record of what was done, in both colours: kept with the work, read page by page."""

from __future__ import annotations

import asyncio

import pytest

from segmentflow_core import (
    ApiKeys,
    AsyncApiKeys,
    AsyncJourneys,
    AsyncRecords,
    Journeys,
    Records,
)
from segmentflow_core.errors import ConfigurationError, InvalidJourney, NotFound
from segmentflow_core.people import AuditAction
from segmentflow_core.testing import FixedClock, a_journey
from segmentflow_core.wire import audit_document
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage


@pytest.fixture
def storage():
    return MemoryStorage()


@pytest.fixture(params=["sync", "async"])
def host(request, storage):
    """Give the facades of either colour, each call of which returns its result."""
    clock = FixedClock()
    if request.param == "sync":
        return Host(Journeys(storage, clock=clock), ApiKeys(storage, clock=clock), Records(storage))
    shared = AsyncMemoryStorage(storage)
    facades = (
        AsyncJourneys(shared, clock=clock),
        AsyncApiKeys(shared, clock=clock),
        AsyncRecords(shared),
    )
    return Host(*map(Awaited, facades))


class Host:
    def __init__(self, journeys, api_keys, records):
        self.journeys, self.api_keys, self.records = journeys, api_keys, records

    def kept(self):
        return [
            (record.action, record.subjects, dict(record.counts), record.by)
            for record in self.records.audit()
        ]


class Awaited:
    def __init__(self, facade):
        self._facade = facade

    def __getattr__(self, name):
        call = getattr(self._facade, name)
        return lambda *args, **kwargs: asyncio.run(call(*args, **kwargs))


def published(*journey_ids, created=0, new_versions=0, new_statuses=0, by=None):
    counts = {"created": created, "newVersions": new_versions, "newStatuses": new_statuses}
    return (AuditAction.JOURNEYS_PUBLISHED, journey_ids, counts, by)


def test_a_publication_is_kept_where_it_changed_something(host):
    first = [a_journey("b"), a_journey("a"), a_journey("c")]
    host.journeys.publish(first, dry_run=True, by="nobody")
    assert host.kept() == []
    host.journeys.publish(first, by="carol")
    host.journeys.publish(first, by="nobody")
    second = [a_journey("c", status="paused"), a_journey("b", name="B 2"), a_journey("d")]
    host.journeys.publish(second)
    assert host.kept() == [
        published("b", "c", "d", created=1, new_versions=1, new_statuses=1),
        published("a", "b", "c", created=3, by="carol"),
    ]


def test_a_refused_publication_leaves_no_record(host):
    with pytest.raises(InvalidJourney):
        host.journeys.publish([a_journey(), {}], by="carol")
    assert host.kept() == []


def test_an_api_key_is_on_record_when_it_is_made_and_when_it_is_revoked(host):
    key_id = host.api_keys.create(["events:write"], label="canary", by="carol").api_key.key_id
    host.api_keys.revoke(key_id, by="dan")
    host.api_keys.revoke(key_id, by="erin")
    with pytest.raises(NotFound):
        host.api_keys.revoke("unheard-of", by="erin")
    assert host.kept() == [
        (AuditAction.API_KEY_REVOKED, (key_id,), {}, "dan"),
        (AuditAction.API_KEY_CREATED, (key_id,), {}, "carol"),
    ]
    assert "canary" not in str([audit_document(record) for record in host.records.audit()])


def test_a_record_keeps_the_time_of_what_it_records(host):
    created = host.api_keys.create(["events:write"]).api_key
    (record,) = host.records.audit()
    assert record.at == created.created_at
    assert audit_document(record) == {
        "auditId": record.audit_id,
        "at": "2026-06-01T12:00:00.123456Z",
        "action": "api_key_created",
        "subjects": [created.key_id],
        "counts": {},
        "by": None,
    }


def test_the_record_comes_in_pages_and_organizations_are_apart(host):
    for number in range(3):
        host.journeys.publish([a_journey(f"{number}")])
    host.journeys.publish([a_journey("theirs")], organization_id="acme")
    newest, second, third = host.records.audit()
    assert [each.subjects for each in (newest, second, third)] == [("2",), ("1",), ("0",)]
    assert host.records.audit(limit=1, before=newest.audit_id) == [second]
    assert host.records.audit(before=third.audit_id) == []
    (theirs,) = host.records.audit(organization_id="acme")
    assert theirs.subjects == ("theirs",)


@pytest.mark.parametrize("by", ["", "x" * 256, "\0", 1])
def test_who_does_it_is_a_short_text(host, by):
    for call in (
        lambda: host.journeys.publish([a_journey()], by=by),
        lambda: host.api_keys.create(["events:write"], by=by),
        lambda: host.api_keys.revoke("x", by=by),
    ):
        with pytest.raises(ConfigurationError, match="by must"):
            call()
    assert host.kept() == []


@pytest.mark.parametrize("arguments", [{"limit": 0}, {"before": "x"}, {"organization_id": ""}])
def test_an_argument_that_breaks_its_rule_is_refused(host, arguments):
    with pytest.raises(ConfigurationError):
        host.records.audit(**arguments)


def test_a_storage_that_keeps_no_record_publishes_all_the_same(host, storage):
    vars(storage._transaction).pop("audit")
    host.journeys.publish([a_journey()], by="carol")
    host.api_keys.create(["events:write"])
    assert [journey.journey_id for journey in host.journeys.list()] == ["welcome"]
    with pytest.raises(ConfigurationError, match="keeps no record"):
        host.records.audit()
