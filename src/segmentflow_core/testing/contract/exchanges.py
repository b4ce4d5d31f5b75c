"""The ports' own promises, called as the core calls them: what no tracker's answer shows.

A part of `StorageContract`, whose fixtures it uses. `in_transaction` runs work in a
transaction of its own, in the storage's colour.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, TypeAlias

import pytest

from segmentflow_core.colour import driven, settle
from segmentflow_core.domain.idempotency_key import key_digest
from segmentflow_core.ports import Intent, Known, PriorEntries, Probe
from segmentflow_core.testing.builders import FixedClock, SequentialIds, a_journey, a_request
from segmentflow_core.testing.callers import is_asynchronous
from segmentflow_core.testing.contract.reading import EVERY_POLICY

__all__ = ["ExchangeContract"]

InTransaction: TypeAlias = Callable[[Callable[[Any], Coroutine[Any, Any, Any]]], Any]

_ORGANIZATION: Final = "default"


class ExchangeContract:
    """What crosses the ports, one test each."""

    def test_run_returns_what_the_work_returned(self, in_transaction: InTransaction) -> None:
        result = object()

        async def work(_: Any) -> object:
            return result

        assert in_transaction(work) is result

    @pytest.mark.parametrize("kind", [ConnectionResetError, TimeoutError, KeyError])
    def test_what_the_work_raises_comes_through(
        self, in_transaction: InTransaction, kind: type[Exception]
    ) -> None:
        raised = kind("raised by the work")

        async def work(_: Any) -> None:
            raise raised

        with pytest.raises(kind) as caught:
            in_transaction(work)
        assert caught.value is raised

    def test_a_key_claim_comes_back_as_it_was_written(
        self, tracker: Any, clock: FixedClock, in_transaction: InTransaction
    ) -> None:
        receipt = tracker.track(a_request(data={"orderId": "A"}), "key")

        async def work(transaction: Any) -> Known:
            known: Known = await settle(transaction.tracking.load(_ORGANIZATION, _intent("key")))
            return known

        digest = key_digest(_ORGANIZATION, "key")
        claim = in_transaction(work).taken[digest]
        expires_at = clock.now() + timedelta(days=30)
        assert (claim.key_digest, claim.receipt) == (digest, receipt)
        assert (claim.taken_at, claim.expires_at) == (clock.now(), expires_at)
        assert len(claim.fingerprint.digest) == 32
        assert sorted(claim.paths) == ["/profile/email"]

    def test_only_keys_that_were_taken_before_come_back(
        self, tracker: Any, in_transaction: InTransaction
    ) -> None:
        tracker.track_many([(a_request(), "a"), (a_request(), "c")])

        async def work(transaction: Any) -> None:
            intent = _intent("a", "b", "c", "d")
            raise _Undo(await settle(transaction.tracking.load(_ORGANIZATION, intent)))

        with pytest.raises(_Undo) as undone:
            in_transaction(work)
        assert undone.value.known.taken.keys() == {
            key_digest(_ORGANIZATION, key) for key in ("a", "c")
        }
        assert not tracker.track(a_request(), "b").replayed

    def test_of_many_events_those_that_are_there_come_back(
        self, tracker: Any, in_transaction: InTransaction
    ) -> None:
        receipts = [tracker.track(a_request(data={"n": n}), f"key {n}") for n in range(3)]
        others = tracker.track(a_request(), "key", organization_id="other")
        asked = [each.event_id for each in (receipts[0], receipts[2], others)]
        asked.append(SequentialIds().new_id())

        async def work(transaction: Any) -> list[dict[str, Any]]:
            get_many = transaction.events.get_many
            return [
                dict(await settle(get_many(_ORGANIZATION, ids))) for ids in (asked, asked[:1], [])
            ]

        several, one, none = in_transaction(work)
        data = {event_id: event.data for event_id, event in several.items()}
        assert data == {receipts[0].event_id: {"n": 0}, receipts[2].event_id: {"n": 2}}
        assert (list(one), none) == ([receipts[0].event_id], {})

    def test_a_profile_asked_for_twice_is_loaded_once(
        self, tracker: Any, in_transaction: InTransaction
    ) -> None:
        for name in ("A", "B", "C"):
            both = {"email": f"{name.lower()}@example.com", "externalId": name}
            tracker.track(a_request(profile=both), name)
        intent = _intent(
            emails=("a@example.com", "b@example.com", "nobody@example.com"),
            external_ids=("A", "nobody"),
        )

        async def work(transaction: Any) -> Known:
            known: Known = await settle(transaction.tracking.load(_ORGANIZATION, intent))
            return known

        loaded = [profile.external_id for profile in in_transaction(work).profiles]
        # Others do no harm, so a small store may load every Profile it has.
        assert {"A", "B"} <= set(loaded)
        assert len(loaded) == len(set(loaded))

    def test_only_active_journeys_of_the_events_asked_for_are_loaded(
        self, tracker: Any, in_transaction: InTransaction
    ) -> None:
        tracker.journeys.publish(EVERY_POLICY)
        tracker.journeys.publish(
            [a_journey("once", name="Second"), a_journey("paused", status="paused")]
        )
        tracker.journeys.publish([a_journey("other", trigger={"event": "other"})])

        async def load(transaction: Any, *events: str) -> list[tuple[str, int]]:
            intent = _intent(events=events)
            known = await settle(transaction.tracking.load(_ORGANIZATION, intent))
            return sorted((journey.journey_id, journey.version) for journey in known.journeys)

        loaded = in_transaction(lambda transaction: load(transaction, "order.created"))
        assert loaded == [("every", 1), ("once", 2), ("per-order", 1)]
        loaded = in_transaction(lambda transaction: load(transaction, "nothing", "other"))
        assert loaded == [("other", 1)]
        assert in_transaction(load) == []

    def test_every_probe_is_answered(
        self, tracker: Any, clock: FixedClock, in_transaction: InTransaction
    ) -> None:
        tracker.journeys.publish(EVERY_POLICY)
        first = tracker.track(a_request(data={"orderId": "A"}), "1")
        entered = clock.now()
        (key,) = (e.entry_key for e in tracker.enrollments.list() if e.journey_id == "per-order")
        clock.advance(hours=1)
        tracker.track(a_request(data={"orderId": "B"}), "2")
        profile_id, nobody = first.profile_id, SequentialIds().new_id()
        expected = {
            Probe("every", profile_id, None): PriorEntries(clock.now()),
            Probe("once", profile_id, ""): PriorEntries(entered, key_taken=True),
            Probe("per-order", profile_id, key): PriorEntries(clock.now(), key_taken=True),
            Probe("per-order", profile_id, "no such key"): PriorEntries(clock.now()),
            Probe("none", profile_id, ""): PriorEntries(),
            Probe("once", nobody, ""): PriorEntries(),
            Probe("once", profile_id, "", 1): PriorEntries(),
            Probe("once", profile_id, "", 2): PriorEntries(entered, key_taken=True),
            Probe("every", profile_id, None, 2): PriorEntries(entered),
            Probe("every", profile_id, None, 10**10): PriorEntries(clock.now()),
        }

        async def work(transaction: Any) -> dict[Probe, PriorEntries]:
            probes = list(expected)
            return dict(await settle(transaction.tracking.prior_entries(_ORGANIZATION, probes)))

        assert in_transaction(work) == expected

    def test_the_latest_entry_is_the_one_of_the_latest_time(
        self, tracker: Any, clock: FixedClock, in_transaction: InTransaction
    ) -> None:
        """A clock that was set back, or another machine's clock, wrote the later row."""
        tracker.journeys.publish([a_journey()])
        latest = clock.now()
        receipt = tracker.track(a_request(), "1")
        clock.advance(minutes=-10)
        tracker.track(a_request(), "2")
        probe = Probe("welcome", receipt.profile_id, None)

        async def work(transaction: Any) -> PriorEntries:
            answers = await settle(transaction.tracking.prior_entries(_ORGANIZATION, [probe]))
            answer: PriorEntries = answers[probe]
            return answer

        assert in_transaction(work).last_entered_at == latest

    def test_what_is_not_there_is_none(self, in_transaction: InTransaction) -> None:
        unknown = SequentialIds().new_id()

        async def work(transaction: Any) -> list[Any]:
            return [
                await settle(repository.get(_ORGANIZATION, unknown))
                for repository in (
                    transaction.profiles,
                    transaction.events,
                    transaction.journeys,
                    transaction.enrollments,
                )
            ]

        assert in_transaction(work) == [None] * 4

    @pytest.fixture
    def in_transaction(self, storage: Any, request: pytest.FixtureRequest) -> InTransaction:
        """Give a function that runs work in a transaction and returns its result."""
        if is_asynchronous(storage):
            run_async = request.getfixturevalue("run_async")
            return lambda work: run_async(storage.run(work))
        return lambda work: storage.run(driven(work))


class _Undo(Exception):
    """Carries what was read out of a transaction, which it undoes."""

    def __init__(self, known: Known) -> None:
        super().__init__()
        self.known = known


def _intent(
    *keys: str,
    emails: tuple[str, ...] = (),
    external_ids: tuple[str, ...] = (),
    events: tuple[str, ...] = (),
) -> Intent:
    digests = tuple(sorted(key_digest(_ORGANIZATION, key) for key in keys))
    return Intent(digests, emails, external_ids, events, FixedClock().now())
