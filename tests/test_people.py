"""An erasure that may do only so much at once, in both colours."""

from __future__ import annotations

import asyncio

import pytest

from segmentflow_core import AsyncPeople, People, Tracker
from segmentflow_core.errors import ConfigurationError, NotFound
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_core.wire import erasure_document, merge_document, suppression_document
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage


@pytest.fixture
def storage():
    return MemoryStorage()


@pytest.fixture
def tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


@pytest.fixture
def alex(tracker):
    """Track three events: six records say something of Alex, an event and its key each."""
    (profile_id,) = {
        tracker.track(a_request(data={"n": n}, referenceId=f"{n}"), f"key {n}").profile_id
        for n in range(3)
    }
    return profile_id


@pytest.fixture(params=["sync", "async"])
def erase(request, storage):
    """Erase in either colour."""
    if request.param == "sync":
        return People(storage).erase
    people = AsyncPeople(AsyncMemoryStorage(storage))
    return lambda *args, **kwargs: asyncio.run(people.erase(*args, **kwargs))


def test_an_erasure_in_parts_ends_as_one_in_one_piece_does(erase, tracker, alex):
    told = []
    first = erase("alex@example.com", block=True, at_most=4, on_progress=told.append)
    assert (first.profile_id, first.scrubbed, first.blocked, first.done) == (alex, 4, 1, False)
    assert told == [4]
    assert tracker.records.profile(alex).scrubbed_at is None
    # Whatever is left to be scrubbed, nothing leads to her any more.
    assert tracker.records.profile(alex).email is None
    second = erase(alex, at_most=4)
    assert (second.scrubbed, second.blocked, second.done) == (2, 0, True)
    assert tracker.records.profile(alex).scrubbed_at is not None
    assert all(not event.data for event in tracker.records.events(profile_id=alex))
    third = erase(alex, at_most=4)
    assert (third.scrubbed, third.done) == (0, True)


def test_without_a_bound_all_is_done_at_once(erase, alex):
    done = erase(alex)
    assert (done.scrubbed, done.done) == (6, True)


def test_those_that_were_merged_in_count_towards_the_bound(erase, tracker, alex):
    other = {"email": "b@example.com"}
    goes = tracker.track(a_request(profile=other, data={"n": 1}), "key b").profile_id
    tracker.people.merge(alex, goes)
    assert [erase(goes, at_most=5).done for _ in range(3)] == [False, True, True]
    assert all(not event.data for event in tracker.records.events())


@pytest.mark.parametrize("at_most", [0, -1, 1.5, "1", True])
def test_a_bound_is_a_positive_number(erase, tracker, alex, at_most):
    with pytest.raises(ConfigurationError, match="at_most must be"):
        erase(alex, at_most=at_most)
    assert tracker.records.profile(alex).erased_at is None


@pytest.mark.parametrize("block", ["false", 0, None])
def test_whether_to_block_is_said_by_a_boolean(erase, tracker, alex, block):
    with pytest.raises(ConfigurationError, match="block"):
        erase("alex@example.com", block=block)
    assert tracker.records.profile(alex).erased_at is None


def test_what_was_done_is_written_as_json(tracker, alex):
    other = {"email": "b@example.com"}
    goes = tracker.track(a_request(profile=other), "key b").profile_id
    merged = merge_document(tracker.people.merge(alex, goes))
    assert merged == {"profileId": alex, "changed": True, "withdrawn": 0}
    suppressed = suppression_document(tracker.people.suppress(alex))
    assert suppressed.pop("suppressedAt") is not None
    assert suppressed == {"profileId": alex, "changed": True, "withdrawn": 0}
    assert suppression_document(tracker.people.unsuppress(alex))["suppressedAt"] is None
    assert erasure_document(tracker.people.erase(alex, block=True)) == {
        "profileId": alex,
        "withdrawn": 0,
        "blocked": 2,
        "scrubbed": 8,
        "done": True,
    }


class HeardOnce(MemoryStorage):
    """It commits, its answer is lost, and the work runs again."""

    def run(self, work, **how):
        super().run(work, **how)
        return super().run(work, **how)


class KeepsNoRecord(HeardOnce):
    def run(self, work, **how):
        def without(transaction):
            transaction.audit = None
            return work(transaction)

        return super().run(without, **how)


def lived(storage):
    """Give People of a storage in which two Profiles have an Enrollment each that waits."""
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey("j", reentry={"policy": "once"})])
    for name in ("a", "b"):
        tracker.track(a_request(profile={"email": f"{name}@example.com"}), name)
    return People(storage), tracker.records


def test_what_ran_again_since_its_answer_was_lost_tells_what_was_done():
    people, records = lived(HeardOnce())
    profile_id = records.find_profile("a@example.com").profile_id
    suppressed = people.suppress("a@example.com")
    assert (suppressed.changed, suppressed.withdrawn) == (True, 1)
    lifted = people.unsuppress("a@example.com")
    assert (lifted.changed, lifted.withdrawn) == (True, 0)
    again = people.unsuppress("a@example.com")
    assert (again.changed, again.withdrawn) == (False, 0)
    merge = people.merge("a@example.com", "b@example.com")
    assert (merge.changed, merge.withdrawn, merge.profile.profile_id) == (True, 0, profile_id)
    assert people.merge("a@example.com", "b@example.com").changed is False
    # The email leads to nobody any more when the work runs again.
    erasure = people.erase("a@example.com", block=True)
    assert (erasure.profile_id, erasure.withdrawn, erasure.blocked) == (profile_id, 1, 2)
    assert erasure.done
    later = people.erase(profile_id)
    assert (later.withdrawn, later.blocked) == (0, 0)
    with pytest.raises(NotFound):
        people.erase("a@example.com")
    of_people = [r for r in records.audit() if r.action.startswith("profile")]
    told = [(str(record.action), dict(record.counts)) for record in of_people][::-1]
    assert told == [
        ("profile_suppressed", {"withdrawn": 1}),
        ("profile_unsuppressed", {"withdrawn": 0}),
        ("profiles_merged", {"withdrawn": 0}),
        ("profile_erased", {"profiles": 2, "withdrawn": 1, "blocked": 2}),
        *[("profile_scrubbed", {})] * 2,
    ]


def test_a_storage_without_a_record_cannot_tell_what_ran_before():
    people, _ = lived(KeepsNoRecord())
    suppressed = people.suppress("a@example.com")
    assert (suppressed.changed, suppressed.withdrawn) == (False, 0)


class Counted:
    """Ids that are no UUIDs, as a host's own may be in memory."""

    def __init__(self):
        self.made = 0

    def new_id(self):
        self.made += 1
        return f"id-{self.made}"


def test_ids_of_another_form_are_no_hindrance(tracker, storage, alex):
    people = People(storage, ids=Counted())
    assert people.suppress(alex).changed
    assert not people.suppress(alex).changed
