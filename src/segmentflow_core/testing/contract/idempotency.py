"""Idempotency keys, as tests of a storage adapter: claim, replay, expiry, purge.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/idempotency.md.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from segmentflow_core import FingerprintKey, FingerprintKeys
from segmentflow_core.errors import IdempotencyKeyReuse, InvalidRequest, ProfileEmailRequired
from segmentflow_core.testing.builders import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FixedClock,
    a_journey,
    a_request,
)
from segmentflow_core.testing.contract.reading import EVERY_POLICY, everything

__all__ = ["IdempotencyContract"]


class IdempotencyContract:
    """Every promise about idempotency keys, one test each."""

    def test_the_documented_request_is_recorded_without_its_secret(self, tracker: Any) -> None:
        receipt = tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        event = tracker.records.event(receipt.event_id)
        assert event.data == {
            "orderId": "ord_9421",
            "total": 49,
            "payment": {"token": "[REDACTED]"},
        }
        assert event.profile_id == receipt.profile_id
        assert (event.event, event.reference_id) == ("order.created", "ord_9421")
        assert (receipt.matched_journeys, receipt.replayed) == (0, False)

    def test_a_retry_gets_the_same_receipt_and_writes_nothing(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        tracker.journeys.publish(EVERY_POLICY)
        first = tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        before = everything(tracker)
        clock.advance(days=1)
        again = tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        assert again == first
        assert again.replayed
        assert everything(tracker) == before

    def test_another_request_under_a_used_key_is_refused_and_names_what_changed(
        self, tracker: Any
    ) -> None:
        tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        before = everything(tracker)
        changed = copy.deepcopy(dict(DOCUMENTED_REQUEST))
        changed["data"]["payment"]["token"] = "tok_live_xyz"
        with pytest.raises(IdempotencyKeyReuse) as refusal:
            tracker.track(changed, DOCUMENTED_KEY)
        assert refusal.value.details == {
            "changedPaths": [],
            "redactedPaths": ["/data/payment/token"],
        }
        changed.update(event="order.paid", referenceId="other", occurredAt="2026-05-31T12:01Z")
        changed["profile"] = {"email": "Alex@example.com", "properties": {"plan": "Free"}}
        changed["data"]["total"] = 50
        with pytest.raises(IdempotencyKeyReuse) as refusal:
            tracker.track(changed, DOCUMENTED_KEY)
        assert refusal.value.details["changedPaths"] == [
            "/data/total",
            "/event",
            "/occurredAt",
            "/profile/email",
            "/profile/externalId",
            "/profile/properties/firstName",
            "/profile/properties/plan",
            "/referenceId",
        ]
        assert everything(tracker) == before

    def test_a_conflict_does_not_tell_whether_a_redacted_value_was_guessed(
        self, tracker: Any
    ) -> None:
        """Of a card's number of four digits, someone who knows the key could try them all."""

        def request(pin: str, **data: Any) -> dict[str, Any]:
            return a_request(data={"pin": pin, **data}, redactedDataPaths=["/event/pin"])

        tracker.track_many([(request("1234", total=1), "key")])
        answers = []
        for pin in ("1234", "4321"):
            with pytest.raises(IdempotencyKeyReuse) as refusal:
                tracker.track(request(pin, total=2), "key")
            answers.append(refusal.value.details)
        told = {"changedPaths": ["/data/total"], "redactedPaths": ["/data/pin"]}
        assert answers == [told, told]

    def test_a_refused_request_leaves_its_key_unused(self, tracker: Any) -> None:
        with pytest.raises(ProfileEmailRequired):
            tracker.track(a_request(profile={"externalId": "new"}), "key")
        assert not tracker.track(a_request(), "key").replayed

    def test_an_invalid_request_leaves_its_key_unused(self, tracker: Any) -> None:
        with pytest.raises(InvalidRequest):
            tracker.track(a_request(occurredAt="2025-02-29T00:00Z"), "key")
        assert not tracker.records.events()
        assert not tracker.track(a_request(), "key").replayed

    def test_keys_that_differ_in_case_are_different_keys(self, tracker: Any) -> None:
        assert tracker.track(a_request(), "key") != tracker.track(a_request(), "KEY")

    def test_a_key_of_every_printable_character_is_kept_as_it_is(self, tracker: Any) -> None:
        key = "".join(map(chr, range(0x20, 0x7F)))
        first = tracker.track(a_request(), key)
        assert tracker.track(a_request(), key) == first

    def test_an_expired_key_is_free_though_nothing_purged_it(
        self, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        tracker = new_tracker(key_lifetime=timedelta(hours=1))
        first = tracker.track(a_request(), "key")
        clock.advance(hours=1, microseconds=-1)
        assert tracker.track(a_request(), "key") == first
        clock.advance(microseconds=1)
        second = tracker.track(a_request(), "key")
        assert second.event_id != first.event_id
        assert len(tracker.records.events()) == 2

    def test_a_key_without_a_lifetime_is_kept_for_ever(
        self, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        tracker = new_tracker(key_lifetime=None)
        first = tracker.track(a_request(), "key")
        clock.advance(days=36500)
        assert tracker.records.purge_keys() == 0
        assert tracker.track(a_request(), "key") == first

    def test_purge_removes_expired_keys_only_and_no_more_than_asked(
        self, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        tracker = new_tracker(key_lifetime=timedelta(hours=1))
        for number in range(5):
            tracker.track(a_request(), f"old {number}")
        clock.advance(hours=1)
        kept = tracker.track(a_request(), "new")
        assert [tracker.records.purge_keys(limit=2) for _ in range(4)] == [2, 2, 1, 0]
        assert tracker.track(a_request(), "new") == kept
        assert len(tracker.records.events()) == 6

    def test_a_rotated_fingerprint_key_still_recognises_older_requests(
        self, new_tracker: Callable[..., Any]
    ) -> None:
        old, new = (FingerprintKey(name, name.encode() * 16) for name in ("old", "new"))
        first = new_tracker(fingerprint_key=old).track(a_request(), "key")
        rotated = new_tracker(fingerprint_key=FingerprintKeys(new, (old,)))
        assert rotated.track(a_request(), "key") == first
        with pytest.raises(IdempotencyKeyReuse):
            rotated.track(a_request(data={"other": 1}), "key")

    def test_an_expired_key_serves_another_request_and_replays_that_one(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        tracker.track(a_request(), "key")
        clock.advance(days=30)
        second = tracker.track(a_request("other"), "key")
        assert (tracker.track(a_request("other"), "key"), second.replayed) == (second, False)
        with pytest.raises(IdempotencyKeyReuse):
            tracker.track(a_request(), "key")

    def test_a_replay_makes_its_key_last_no_longer(self, tracker: Any, clock: FixedClock) -> None:
        first = tracker.track(a_request(), "key")
        clock.advance(days=20)
        assert tracker.track(a_request(), "key") == first
        clock.advance(days=10)
        assert tracker.track(a_request(), "key") != first

    def test_a_purged_key_is_free(self, tracker: Any, clock: FixedClock) -> None:
        first = tracker.track(a_request(), "key")
        clock.advance(days=30)
        assert tracker.records.purge_keys() == 1
        second = tracker.track(a_request(), "key")
        assert not second.replayed
        assert tracker.records.event(first.event_id).event_id != second.event_id

    def test_purge_serves_every_organization(self, tracker: Any, clock: FixedClock) -> None:
        for name in ("a", "b"):
            tracker.track(a_request(), "key", organization_id=name)
        clock.advance(days=30)
        assert tracker.records.purge_keys() == 2

    def test_a_key_is_told_from_others_by_every_character(self, tracker: Any) -> None:
        keys = ["key", " key", "key ", "key  key", "key key", "x" * 254, "x" * 255]
        receipts = [tracker.track(a_request(), key) for key in keys]
        assert len({receipt.event_id for receipt in receipts}) == len(keys)
        assert [tracker.track(a_request(), key) for key in keys] == receipts

    def test_a_replay_knows_what_the_journeys_did_then(self, tracker: Any) -> None:
        tracker.journeys.publish(EVERY_POLICY)
        tracker.track(a_request(data={"orderId": "A"}), "1")
        second = tracker.track(a_request(data={"orderId": "A"}), "2")
        counts = (second.matched_journeys, second.enrolled_journeys, second.skipped_journeys)
        assert counts == (3, 1, 2)
        tracker.journeys.publish([a_journey("more")])
        assert tracker.track(a_request(data={"orderId": "A"}), "2") == second
