from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from segmentflow_core import AsyncRecords, Limits, ProfileLimits, Records, Tracker
from segmentflow_core.errors import NotFound, PayloadTooLarge, ProfileTooLarge, StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage


@pytest.fixture
def storage():
    return MemoryStorage()


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def tracker(storage, clock):
    return Tracker(
        storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock, key_lifetime=timedelta(hours=1)
    )


@pytest.fixture
def records(storage, clock):
    return Records(storage, clock=clock)


def test_what_was_tracked_is_read_without_the_secret(tracker, records):
    receipt = tracker.track(a_request(), "key")
    assert records.event(receipt.event_id) == tracker.records.event(receipt.event_id)
    assert records.profile(receipt.profile_id) == tracker.records.profile(receipt.profile_id)


def test_events_are_read_page_by_page(tracker, records, clock):
    ids = []
    for number in range(5):
        clock.advance(seconds=1)
        ids.insert(0, tracker.track(a_request(), f"{number}").event_id)
    first = [event.event_id for event in records.events(limit=2)]
    rest = [event.event_id for event in records.events(limit=9, before=first[-1])]
    assert [*first, *rest] == ids


def test_what_another_organization_has_is_not_found(tracker, records):
    receipt = tracker.track(a_request(), "key", organization_id="acme")
    assert records.events() == []
    for read, identifier in (
        (records.event, receipt.event_id),
        (records.explain, receipt.event_id),
        (records.profile, receipt.profile_id),
    ):
        with pytest.raises(NotFound):
            read(identifier)
        read(identifier, organization_id="acme")


def test_keys_are_purged_once_they_have_expired_so_many_at_a_time(tracker, records, clock):
    for number in range(3):
        tracker.track(a_request(), f"{number}")
    assert records.purge_keys() == 0
    clock.advance(hours=1)
    assert [records.purge_keys(limit=2) for _ in range(3)] == [2, 1, 0]
    assert not tracker.track(a_request(), "0").replayed


class Again(MemoryStorage):
    """Loses every race: runs work a hundred times."""

    def run(self, work, **how):
        for _ in range(99):
            super().run(work, **how)
        return super().run(work, **how)


def test_whether_a_store_takes_writes_is_known_after_a_few_tries():
    with pytest.raises(StorageUnavailable, match="took no write, 12 times"):
        Records(Again()).check_writes()


def test_a_store_that_takes_writes_is_left_as_it_was(storage, records):
    records.check_writes()
    asyncio.run(AsyncRecords(AsyncMemoryStorage()).check_writes())
    assert records.events() == []


def test_a_request_is_explained_with_the_settings_given(storage, tracker):
    tracker.journeys.publish([a_journey()])
    newcomer = a_request(profile={"externalId": "new"})
    (explained,) = Records(storage, create_without_email=True).explain_request(newcomer).journeys
    assert explained.outcome == "enrolled"
    with pytest.raises(PayloadTooLarge):
        Records(storage, limits=Limits(max_bytes=10)).explain_request(a_request())
    two = a_request(profile={"email": "a@b.example", "properties": {"a": 1, "b": 2}})
    with pytest.raises(ProfileTooLarge):
        Records(storage, profile_limits=ProfileLimits(max_properties=1)).explain_request(two)
    assert tracker.records.events() == []
