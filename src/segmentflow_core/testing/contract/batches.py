"""Batches, as tests of a storage adapter: one transaction, one answer an item.

A part of `StorageContract`, whose fixtures it uses.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from segmentflow_core.testing.builders import (
    a_journey,
    a_request,
)
from segmentflow_core.testing.contract.comparing import check_same

__all__ = ["BatchContract"]


class BatchContract:
    """Every promise about batches, one test each."""

    def test_a_batch_answers_item_by_item_and_one_bad_item_hinders_no_other(
        self, tracker: Any
    ) -> None:
        results = tracker.track_many(
            [
                (a_request(), "1"),
                ({"event": ""}, "2"),
                (a_request(profile={"externalId": "unknown"}), "3"),
                (a_request(), None),
                (a_request(profile={"email": "b@example.com"}), "5"),
            ]
        )
        codes = [getattr(result, "code", "accepted") for result in results]
        assert codes == [
            "accepted",
            "invalid_request",
            "profile_email_required",
            "idempotency_key_required",
            "accepted",
        ]
        assert len(tracker.records.events()) == 2

    def test_a_key_twice_in_a_batch_is_one_event(self, tracker: Any) -> None:
        first, second, third = tracker.track_many(
            [(a_request(), "key"), (a_request(), "key"), (a_request("other"), "key")]
        )
        assert second == first
        assert second.replayed
        assert third.code == "idempotency_key_reuse"
        assert len(tracker.records.events()) == 1

    def test_a_key_refused_in_a_batch_is_free_for_the_next_item(self, tracker: Any) -> None:
        refused, accepted = tracker.track_many(
            [(a_request(profile={"externalId": "unknown"}), "key"), (a_request(), "key")]
        )
        assert refused.code == "profile_email_required"
        assert tracker.track(a_request(), "key") == accepted

    def test_events_of_one_new_profile_in_a_batch_share_it(self, tracker: Any) -> None:
        tracker.journeys.publish({"journeys": [a_journey(reentry={"policy": "once"})]})
        results = tracker.track_many([(a_request(), str(number)) for number in range(50)])
        assert len({receipt.profile_id for receipt in results}) == 1
        assert [receipt.enrolled_journeys for receipt in results] == [1] + [0] * 49

    def test_profiles_may_swap_their_emails_within_a_batch(self, tracker: Any) -> None:
        def who(email: str, external_id: str) -> dict[str, Any]:
            return a_request(profile={"email": email, "externalId": external_id})

        a, b = tracker.track_many(
            [(who("a@example.com", "A"), "1"), (who("b@example.com", "B"), "2")]
        )
        tracker.track_many(
            [
                (who("t@example.com", "A"), "3"),
                (who("a@example.com", "B"), "4"),
                (who("b@example.com", "A"), "5"),
            ]
        )
        assert tracker.records.profile(a.profile_id).email == "b@example.com"
        assert tracker.records.profile(b.profile_id).email == "a@example.com"

    def test_a_batch_of_a_thousand_is_tracked_and_replayed(self, tracker: Any) -> None:
        calls = [
            (a_request(profile={"email": f"p{number % 400}@example.com"}), str(number))
            for number in range(1000)
        ]
        first = tracker.track_many(calls)
        assert len({receipt.profile_id for receipt in first}) == 400
        again = tracker.track_many(calls[::-1])
        check_same([evolve(receipt, replayed=False) for receipt in again], first[::-1])
        assert all(receipt.replayed for receipt in again)
