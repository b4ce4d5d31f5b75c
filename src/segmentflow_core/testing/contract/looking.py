"""Looking without touching, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/explaining.md.
"""

from __future__ import annotations

from typing import Any

from segmentflow_core.testing.builders import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FixedClock,
    a_journey,
    a_request,
)
from segmentflow_core.testing.contract.comparing import check_same
from segmentflow_core.testing.contract.reading import EVERY_POLICY, everything

__all__ = ["LookingContract"]


class LookingContract:
    """Looking changes nothing, one test for each way to look."""

    def test_a_look_sees_profiles_and_journeys_and_changes_nothing(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        tracker.journeys.publish(EVERY_POLICY)
        receipt = tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        before = everything(tracker)
        clock.advance(days=1)
        explained = tracker.explain(DOCUMENTED_REQUEST)
        assert explained.profile_id == receipt.profile_id
        assert {journey.journey_id: journey.reason for journey in explained.journeys} == {
            "every": None,
            "once": "already_enrolled",
            "per-order": "already_enrolled",
        }
        assert tracker.explain(a_request(profile={"email": "new@example.com"})).profile_id is None
        assert everything(tracker) == before

    def test_what_is_done_to_what_a_look_shows_reaches_no_profile_and_no_event(
        self, tracker: Any
    ) -> None:
        """A condition shows the value that it found, which is not the one that is stored."""
        tags = {"path": "/profile/properties/tags", "op": "contains", "value": "a"}
        trigger = {"event": "order.created", "where": tags}
        tracker.journeys.publish({"journeys": [a_journey(trigger=trigger)]})
        profile = {"email": "alex@example.com", "properties": {"tags": ["a"]}}
        receipt = tracker.track(a_request(profile=profile), "key")
        for explained in (tracker.explain(a_request()), tracker.records.explain(receipt.event_id)):
            explained.journeys[0].condition.found.append("b")
        assert tracker.records.profile(receipt.profile_id).properties == {"tags": ["a"]}
        event = tracker.records.event(receipt.event_id)
        assert event.profile["properties"] == {"tags": ["a"]}

    def test_a_rehearsal_reads_a_period_oldest_first_and_changes_nothing(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        orders = [(a_request(data={"orderId": n % 3}), f"{n}") for n in range(600)]
        tracker.track_many(orders[:50])
        clock.advance(seconds=1)
        since = clock.now()
        tracker.track_many(orders[50:])
        before = everything(tracker)
        steps: list[tuple[int, int | None]] = []
        rehearsal = tracker.journeys.rehearse(
            EVERY_POLICY, since=since, on_progress=lambda *step: steps.append(step)
        )
        assert {journey.journey_id: journey.entered for journey in rehearsal.journeys} == {
            "every": 550,
            "once": 1,
            "per-order": 3,
        }
        assert steps[-1] == (rehearsal.events, 550)
        check_same(everything(tracker), before)

    def test_entries_caused_by_later_events_do_not_count_for_an_earlier_one(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        cooldown = {"policy": "cooldown", "duration": "P2D"}
        tracker.journeys.publish(EVERY_POLICY)
        tracker.journeys.publish([a_journey("cooldown", reentry=cooldown)])
        event_ids: list[str] = []
        for number, order in enumerate(("A", "A", "B", "A")):
            receipt = tracker.track(a_request(data={"orderId": order}), f"{number}")
            event_ids.append(receipt.event_id)
            clock.advance(days=1)
        clock.advance(days=365)
        for event_id in event_ids:
            recorded = [outcome.reason for outcome in tracker.records.event(event_id).outcomes]
            explained = tracker.records.explain(event_id)
            assert [journey.reason for journey in explained.journeys] == recorded

    def test_history_can_be_tracked_without_entering_journeys(self, tracker: Any) -> None:
        tracker.journeys.publish({"journeys": [a_journey()]})
        receipt = tracker.track(a_request(), "key", match_journeys=False)
        assert receipt.matched_journeys == 0
        assert not tracker.enrollments.list()
