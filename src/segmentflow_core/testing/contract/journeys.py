"""Journeys, their versions and re-entry, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/journeys.md and docs/reference/rules/reentry.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from segmentflow_core.explanation import SKIP_REASONS
from segmentflow_core.ports import SkipReason
from segmentflow_core.testing.builders import (
    FixedClock,
    a_journey,
    a_request,
)
from segmentflow_core.wire import event_document, published_document

__all__ = ["JourneyContract"]


class JourneyContract:
    """Every promise about Journeys, one test each."""

    def test_only_active_journeys_that_listen_for_the_event_match(self, tracker: Any) -> None:
        tracker.journeys.publish(
            {
                "journeys": [
                    *(a_journey(s, status=s) for s in ("draft", "active", "paused", "archived")),
                    a_journey("other", trigger={"event": "Order.created"}),
                ]
            }
        )
        receipt = tracker.track(a_request(), "key")
        assert (receipt.matched_journeys, receipt.enrolled_journeys) == (1, 1)
        assert [e.journey_id for e in tracker.enrollments.list()] == ["active"]

    def test_outcomes_are_stored_with_the_event_and_the_version_that_decided(
        self, tracker: Any
    ) -> None:
        where = {"path": "/event/total", "op": "gte", "value": 40}
        trigger = {"event": "order.created", "where": where}
        tracker.journeys.publish({"journeys": [a_journey("big", trigger=trigger), a_journey()]})
        tracker.journeys.publish({"journeys": [a_journey(name="Welcome!")]})
        receipt = tracker.track(a_request(data={"total": 39}), "key")
        assert event_document(tracker.records.event(receipt.event_id))["outcomes"] == [
            {
                "journeyId": "big",
                "version": 1,
                "outcome": "skipped",
                "reason": "condition_not_met",
            },
            {"journeyId": "welcome", "version": 2, "outcome": "enrolled", "reason": None},
        ]
        assert (receipt.matched_journeys, receipt.skipped_journeys) == (2, 1)

    def test_a_version_entered_stays_readable(self, tracker: Any) -> None:
        tracker.journeys.publish({"journeys": [a_journey(name="First")]})
        tracker.track(a_request(), "key")
        tracker.journeys.publish({"journeys": [a_journey(name="Second", status="paused")]})
        (enrollment,) = tracker.enrollments.list()
        entered = tracker.journeys.get(enrollment.journey_id, enrollment.version)
        assert (entered.version, entered.definition.name) == (1, "First")
        assert published_document(tracker.journeys.get("welcome"))["version"] == 2

    def test_publishing_twice_changes_nothing_and_a_status_is_no_version(
        self, tracker: Any
    ) -> None:
        active = {"journeys": [a_journey()]}
        changes = [
            tracker.journeys.publish(document)[0].change
            for document in (active, active, {"journeys": [a_journey(status="paused")]}, active)
        ]
        assert changes == ["created", "unchanged", "new_status", "new_status"]
        assert tracker.journeys.get("welcome").version == 1

    def test_a_dry_run_publishes_nothing(self, tracker: Any) -> None:
        (plan,) = tracker.journeys.publish({"journeys": [a_journey()]}, dry_run=True)
        assert plan.change == "created"
        assert not tracker.journeys.list()

    def test_once_lets_a_profile_in_once(self, tracker: Any) -> None:
        tracker.journeys.publish({"journeys": [a_journey(reentry={"policy": "once"})]})
        enrolled = [tracker.track(a_request(), str(n)).enrolled_journeys for n in range(3)]
        assert enrolled == [1, 0, 0]
        other = a_request(profile={"email": "other@example.com"})
        assert tracker.track(other, "other").enrolled_journeys == 1

    def test_once_counts_entries_made_under_another_policy(self, tracker: Any) -> None:
        tracker.journeys.publish({"journeys": [a_journey()]})
        tracker.track(a_request(), "1")
        tracker.journeys.publish({"journeys": [a_journey(reentry={"policy": "once"})]})
        receipt = tracker.track(a_request(), "2")
        (outcome,) = tracker.records.event(receipt.event_id).outcomes
        assert outcome.reason == "already_enrolled"

    def test_once_per_key_lets_a_profile_in_once_for_each_key(self, tracker: Any) -> None:
        reentry = {"policy": "once_per_key", "key": ["/event/orderId", "/event/line"]}
        tracker.journeys.publish({"journeys": [a_journey(reentry=reentry)]})
        orders: list[dict[str, Any]] = [
            {"orderId": "A", "line": 1},
            {"orderId": "A", "line": 1.0},
            {"orderId": "A", "line": "1"},
            {"orderId": "B", "line": 1},
            {"orderId": "B"},
        ]
        receipts = [tracker.track(a_request(data=data), str(n)) for n, data in enumerate(orders)]
        reasons = [tracker.records.event(r.event_id).outcomes[0].reason for r in receipts]
        assert reasons == [None, "already_enrolled", None, None, "entry_key_missing"]

    def test_a_cooldown_counts_from_the_last_entry(self, tracker: Any, clock: FixedClock) -> None:
        reentry = {"policy": "cooldown", "duration": "PT1H"}
        tracker.journeys.publish({"journeys": [a_journey(reentry=reentry)]})
        enrolled: list[int] = []
        for minutes in (0, 30, 30, 59, 1):
            clock.advance(minutes=minutes)
            receipt = tracker.track(a_request(), f"{len(enrolled)}")
            enrolled.append(receipt.enrolled_journeys)
        assert enrolled == [1, 0, 1, 0, 1]

    def test_at_most_so_many_entries_are_let_in_within_a_period(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """Counted by key or not; whatever let them in, entries count until their period is over."""
        twice = {"policy": "at_most", "times": 2, "within": "PT1H"}
        by_order = {"policy": "at_most", "times": 1, "within": "PT1H", "key": "/event/orderId"}
        once_per_order = {"policy": "once_per_key", "key": "/event/orderId"}
        by_id = {"any": twice, "order": by_order, "earlier": once_per_order, "later": by_order}
        tracker.journeys.publish([a_journey(name, reentry=r) for name, r in by_id.items()])

        def told(order: str) -> tuple[str | None, ...]:
            clock.advance(minutes=20)
            receipt = tracker.track(a_request(data={"orderId": order}), f"{clock.now()}")
            outcomes = tracker.records.event(receipt.event_id).outcomes
            return tuple(o.reason and str(o.reason) for o in outcomes)

        full, taken = "limit_reached", "already_enrolled"
        # By Journey id: any, earlier, later, order.
        assert told("a") == (None, None, None, None)
        assert told("a") == (None, taken, full, full)
        assert told("b") == (full, None, None, None)
        # The first entries of all are exactly an hour old.
        assert told("a") == (None, taken, None, None)
        tracker.journeys.publish(
            [a_journey("earlier", reentry=by_order), a_journey("later", reentry=once_per_order)]
        )
        assert told("b") == (None, full, taken, full)
        assert told("c") == (full, None, None, None)
        assert told("c") == (None, full, taken, full)

    def test_a_paused_journey_stops_matching_at_once_and_an_active_one_begins(
        self, tracker: Any
    ) -> None:
        enrolled: list[int] = []
        for status in ("active", "paused", "active", "archived"):
            tracker.journeys.publish([a_journey(status=status)])
            enrolled.append(tracker.track(a_request(), str(len(enrolled))).enrolled_journeys)
        assert enrolled == [1, 0, 1, 0]

    def test_a_journey_that_listens_for_another_event_has_left_the_first(
        self, tracker: Any
    ) -> None:
        tracker.journeys.publish([a_journey()])
        tracker.journeys.publish([a_journey(trigger={"event": "other"})])
        for event, matched in (("order.created", 0), ("other", 1)):
            assert tracker.track(a_request(event), event).matched_journeys == matched

    def test_journeys_are_listed_by_id_whatever_their_status(self, tracker: Any) -> None:
        tracker.journeys.publish(
            [a_journey("b", status="draft"), a_journey("a"), a_journey("B", status="archived")]
        )
        assert [journey.journey_id for journey in tracker.journeys.list()] == ["B", "a", "b"]

    def test_an_older_version_has_the_current_status(self, tracker: Any) -> None:
        tracker.journeys.publish([a_journey(name="First")])
        tracker.journeys.publish([a_journey(name="Second", status="paused")])
        older = tracker.journeys.get("welcome", 1)
        assert (older.definition.name, older.definition.status) == ("First", "paused")

    def test_a_version_is_as_it_was_published_whatever_came_after(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        published = clock.now()
        tracker.journeys.publish([a_journey(name="First")])
        for name, status in (("First", "paused"), ("Second", "active"), ("Second", "paused")):
            clock.advance(days=1)
            tracker.journeys.publish([a_journey(name=name, status=status)])
        first, second = (tracker.journeys.get("welcome", version) for version in (1, 2))
        assert (first.published_at, first.definition.name) == (published, "First")
        assert second.published_at == published + timedelta(days=2)

    def test_a_definition_comes_back_as_it_was(self, tracker: Any) -> None:
        leaf = {"path": "/event/n", "op": "in", "value": [1, 1.5, "1", True]}
        document = a_journey(
            "welcome/\u00e9",
            trigger={"event": "order.created", "where": {"all": [leaf]}},
            reentry={"policy": "once_per_key", "key": ["/event/a~1b", "/profile/email"]},
            window={"from": "2026-01-01T00:00:00.000Z", "until": "2027-01-01T00:00:00.000Z"},
            maxLateness="P3DT4H",
            sample={"percent": 12.5, "seed": "s"},
        )
        (published,) = tracker.journeys.publish([document])
        assert tracker.journeys.get("welcome/\u00e9").definition == published.journey.definition
        (again,) = tracker.journeys.publish([document])
        assert again.change == "unchanged"

    def test_entries_into_every_version_count(self, tracker: Any, clock: FixedClock) -> None:
        policies = {
            "once": {"policy": "once"},
            "order": {"policy": "once_per_key", "key": "/event/orderId"},
            "cooldown": {"policy": "cooldown", "duration": "P1D"},
            "limit": {"policy": "at_most", "times": 1, "within": "P1D"},
        }
        for name in ("First", "Second"):
            tracker.journeys.publish(
                [a_journey(each, name=name, reentry=reentry) for each, reentry in policies.items()]
            )
            tracker.track(a_request(data={"orderId": "A"}), name)
            clock.advance(hours=1)
        (second, _) = tracker.records.events()
        reasons = {outcome.journey_id: outcome.reason for outcome in second.outcomes}
        assert reasons == {
            "once": "already_enrolled",
            "order": "already_enrolled",
            "cooldown": "cooling_down",
            "limit": "limit_reached",
        }

    def test_every_reason_to_skip_is_stored(self, tracker: Any, clock: FixedClock) -> None:
        leaf = {"path": "/event/total", "op": "eq", "value": 1}
        event = "order.created"
        journeys: tuple[dict[str, Any], ...] = (
            {"window": {"from": "2027-01-01T00:00Z"}},
            {"maxLateness": "PT1H"},
            {"sample": {"percent": 0, "seed": "s"}},
            {"trigger": {"event": event, "where": leaf}},
            {"trigger": {"event": event, "where": {**leaf, "path": "/event/none"}}},
            {"reentry": {"policy": "once_per_key", "key": "/event/none"}},
            {"reentry": {"policy": "once"}},
            {"reentry": {"policy": "cooldown", "duration": "P1D"}},
            {"reentry": {"policy": "at_most", "times": 1, "within": "P1D"}},
        )
        tracker.journeys.publish(
            [a_journey(str(number), **fields) for number, fields in enumerate(journeys)]
        )
        late = a_request(data={"total": 2}, occurredAt="2026-05-31T12:00:00Z")
        tracker.track(late, "first")
        clock.advance(hours=1)
        stored = tracker.records.event(tracker.track(late, "second").event_id)
        assert [outcome.reason for outcome in stored.outcomes] == [
            reason
            for reason in SKIP_REASONS
            # These take what not every storage has: see `people` and `cancelling`.
            if reason not in (SkipReason.SUPPRESSED, SkipReason.CANCELLED)
        ]
