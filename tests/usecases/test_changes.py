"""What the core asks of a store's tracking port and tells it to write; a strict store takes it."""

from __future__ import annotations

import pytest

from segmentflow_core import Tracker
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    Capabilities,
    FixedClock,
    SequentialIds,
    StorageContract,
    a_journey,
    a_request,
)
from strict_storage import StrictStorage

EMAIL, EXTERNAL_ID = "alex@example.com", "cus_1"


@pytest.fixture
def storage():
    return StrictStorage()


@pytest.fixture
def tracker(storage):
    return Tracker(
        storage, fingerprint_key=FINGERPRINT_SECRET, clock=FixedClock(), ids=SequentialIds()
    )


@pytest.mark.once
@pytest.mark.same_values
class TestStrictStorage(StorageContract):
    """Whatever the kit does, what is called new is new."""

    capabilities = Capabilities(durable=False)

    @pytest.fixture
    def storage(self):
        return StrictStorage()


@pytest.mark.parametrize("together", [False, True], ids=["one-by-one", "in-a-batch"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"email": EMAIL}, {"email": EMAIL, "externalId": EXTERNAL_ID}),
        ({"email": EMAIL, "externalId": EXTERNAL_ID}, {"externalId": EXTERNAL_ID}),
        (
            {"email": EMAIL, "externalId": EXTERNAL_ID},
            {"email": "new@example.com", "externalId": EXTERNAL_ID},
        ),
        ({"email": EMAIL}, {"email": EMAIL, "properties": {"plan": "Pro"}}),
    ],
    ids=["new-external-id", "external-id-alone", "new-email", "property"],
)
def test_a_profile_is_created_once_and_enters_once_whatever_it_is_given_next(
    tracker, storage, first, second, together
):
    tracker.journeys.publish([a_journey(reentry={"policy": "once"})])
    calls = [(a_request(profile=first), "1"), (a_request(profile=second), "2")]
    batches = [calls] if together else [[call] for call in calls]
    receipts = [receipt for batch in batches for receipt in tracker.track_many(batch)]
    written = [given for name, given in storage.asked if name == "write"]
    assert receipts[0].profile_id == receipts[1].profile_id
    assert [len(changes.created_profiles) for changes in written] == [1, 0][: len(batches)]
    assert [receipt.enrolled_journeys for receipt in receipts] == [1, 0]
    assert len(tracker.enrollments.list()) == 1


def names(storage):
    told = [name for name, _ in storage.asked]
    storage.asked.clear()
    return told


@pytest.mark.parametrize(
    ("reentry", "exchanges"),
    [
        ({"policy": "every_event"}, ["load", "write"]),
        ({"policy": "once"}, ["load", "prior_entries", "write"]),
        ({"policy": "cooldown", "duration": "P1D"}, ["load", "prior_entries", "write"]),
        (
            {"policy": "once_per_key", "key": "/event/order"},
            ["load", "prior_entries", "write"],
        ),
    ],
    ids=lambda value: value["policy"] if isinstance(value, dict) else "",
)
def test_only_a_policy_that_looks_back_asks_for_history(tracker, storage, reentry, exchanges):
    tracker.track(a_request("other"), "0")
    tracker.journeys.publish([a_journey(reentry=reentry)])
    names(storage)
    tracker.track(a_request(data={"order": 1}), "1")
    assert names(storage) == exchanges
    tracker.track_many([(a_request(data={"order": n}), f"batch {n}") for n in range(3)])
    assert names(storage) == exchanges


def test_a_retry_is_one_exchange_and_a_conflict_writes_nothing(tracker, storage):
    tracker.track(a_request(), "key")
    names(storage)
    tracker.track(a_request(), "key")
    tracker.track_many([(a_request(), "key"), (a_request("other"), "key")])
    assert names(storage) == ["load", "load"]


def test_keys_and_identities_are_named_sorted_and_once_whatever_the_order_of_a_batch(
    tracker, storage
):
    """In the order in which to lock them; so two batches that cross do not lock each other out."""
    profiles = [{"email": f"{name}@Example.com", "externalId": name} for name in "cabca"]
    calls = [(a_request(profile=profile), profile["externalId"]) for profile in profiles]
    tracker.track_many(calls)
    tracker.track_many([(request, f"again {key}") for request, key in calls[::-1]])
    loads = [intent for name, intent in storage.asked if name == "load"]
    for intent in loads:
        assert list(intent.keys) == sorted(intent.keys)
        assert len(intent.keys) == 3
        assert intent.emails == ("a@example.com", "b@example.com", "c@example.com")
        assert intent.external_ids == ("a", "b", "c")
    assert len(loads) == 2
