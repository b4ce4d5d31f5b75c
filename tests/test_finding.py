"""Finding by the facade: what it refuses, and what it shows of whom."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from segmentflow_core import Enrollments, Records, Tracker
from segmentflow_core.domain.finding import EventFilter
from segmentflow_core.errors import ConfigurationError, NotFound
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_memory import MemoryStorage


@pytest.fixture
def storage():
    return MemoryStorage()


@pytest.fixture
def tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=FixedClock())


@pytest.fixture
def records(storage):
    return Records(storage)


@pytest.mark.parametrize(
    "who",
    [{}, {"who": "a", "email": "b"}, {"email": "a", "external_id": "b"}],
    ids=str,
)
def test_somebody_is_looked_for_by_one_thing(records, who):
    with pytest.raises(ConfigurationError, match="one of who, email and external_id"):
        records.find_profile(**who)


@pytest.mark.parametrize("who", ["", 1, "a\0b"], ids=repr)
def test_what_nobody_can_have_finds_nobody(records, who):
    for find in (records.find_profile, records.why):
        with pytest.raises(NotFound):
            find(who)


@pytest.mark.parametrize(
    ("filters", "fault"),
    [
        ({"profile_id": "x"}, "profile_id must be an id"),
        ({"event": 1}, "event must be a string"),
        ({"event": "a\0"}, "event must be a string"),
        ({"reference_id": "\ud800"}, "reference_id must be a string"),
        (
            {"since": datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)},
            "since must be an aware datetime",
        ),
        ({"until": "2026"}, "until must be an aware datetime"),
        ({"limit": 0, "event": "a"}, "limit must be"),
        ({"before": "x", "event": "a"}, "before must be"),
    ],
    ids=str,
)
def test_a_filter_that_breaks_its_rule_is_refused_by_name(records, filters, fault):
    with pytest.raises(ConfigurationError, match=fault):
        records.events(**filters)


@pytest.mark.parametrize("filters", [{"profile_id": "x"}, {"event_id": "x"}], ids=str)
def test_a_filter_of_enrollments_that_breaks_its_rule_is_refused_by_name(storage, filters):
    with pytest.raises(ConfigurationError, match="must be an id"):
        Enrollments(storage).list(**filters)


def test_a_bound_of_a_page_of_profiles_is_refused_by_name(records):
    with pytest.raises(ConfigurationError, match="limit"):
        records.profiles(limit=0)
    with pytest.raises(ConfigurationError, match="before"):
        records.profiles(before="x")


class FindsNothing(MemoryStorage):
    """A complete storage without the capability."""

    def run(self, work, **how):
        def without(transaction):
            vars(transaction).pop("finding", None)
            return work(transaction)

        return super().run(without, **how)


def test_a_storage_that_finds_nothing_lists_all_the_same(tracker):
    storage = FindsNothing()
    poor = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    poor.journeys.publish([a_journey()])
    receipt = poor.track(a_request(), "key")
    assert [event.event_id for event in poor.records.events()] == [receipt.event_id]
    assert len(poor.enrollments.list(journey_id="welcome")) == 1
    for asked in (
        lambda: poor.records.events(event="order.created"),
        lambda: poor.records.find_profile("alex@example.com"),
        poor.records.profiles,
        lambda: poor.records.why("alex@example.com"),
        lambda: poor.enrollments.list(profile_id=receipt.profile_id),
    ):
        with pytest.raises(ConfigurationError, match="finds nothing"):
            asked()


def test_a_word_is_an_id_before_it_is_an_email_and_an_email_before_it_is_an_external_id(
    tracker, records
):
    first = tracker.track(a_request(), "1")
    by_id = {"email": "b@example.com", "externalId": first.profile_id}
    second = tracker.track(a_request(profile=by_id), "2")
    by_email = {"email": "c@example.com", "externalId": "b@example.com"}
    third = tracker.track(a_request(profile=by_email), "3")
    assert records.find_profile(first.profile_id).profile_id == first.profile_id
    assert records.find_profile(external_id=first.profile_id).profile_id == second.profile_id
    assert records.find_profile("b@example.com").profile_id == second.profile_id
    assert records.find_profile(external_id="b@example.com").profile_id == third.profile_id
    nobodys_id = "019bf964-302b-7000-8000-00000000dead"
    fourth = tracker.track(
        a_request(profile={"email": "d@example.com", "externalId": nobodys_id}), "4"
    )
    assert records.find_profile(nobodys_id).profile_id == fourth.profile_id


def test_a_story_whose_version_is_gone_tells_the_outcome_without_why(tracker, storage, records):
    tracker.journeys.publish([a_journey()])
    tracker.track(a_request(), "key")
    storage._tables.versions.rows.clear()
    (told,) = records.why("alex@example.com", journey_id="welcome").events
    assert told.outcomes[0].enrollment is not None
    assert told.outcomes[0].explained is None


def test_a_story_names_nobody_where_it_is_shown_by_accident(tracker, records):
    tracker.journeys.publish([a_journey()])
    tracker.track(a_request(data={"secret": "s3cret"}), "key")
    story = records.why("alex@example.com")
    shown = repr(story) + repr(story.events) + repr(story.events[0].outcomes)
    assert "alex" not in shown
    assert "s3cret" not in shown
    assert "<ToldOutcome welcome enrolled>" in shown
    assert "alex" not in repr(EventFilter(reference_id="alex"))


def test_time_is_that_of_receipt(tracker, records):
    tracker.track(a_request(occurredAt="2020-01-01T00:00:00Z"), "key")
    (event,) = records.events(since=datetime(2026, 1, 1, tzinfo=UTC))
    assert event.occurred_at.year == 2020
    assert records.events(until=datetime(2026, 1, 1, tzinfo=UTC)) == []
