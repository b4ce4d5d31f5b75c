"""Callers at once, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses. Each test is written once for both
colours: its clients run on threads over a synchronous storage, as tasks over an asynchronous
one, in turn on `storage` and on `other_storage`.

See docs/reference/rules/idempotency.md and docs/reference/rules/storage.md.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import pytest

from segmentflow_core import Receipt
from segmentflow_core.colour import settle
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.testing.builders import a_journey, a_request
from segmentflow_core.testing.callers import AtOnce, Client, is_asynchronous
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.reading import EVERY_POLICY, everything
from segmentflow_core.testing.history import History, Stored, contradictions

__all__ = ["RaceContract"]

_CLIENTS: Final = 8


class RaceContract:
    """What callers at once may rely on, one test each."""

    @needs("concurrent_writers")
    def test_callers_with_one_key_at_once_make_one_event(
        self, at_once: AtOnce, tracker: Any
    ) -> None:
        async def call(tracker: Any) -> Receipt:
            receipt: Receipt = await settle(tracker.track(a_request(), "key"))
            return receipt

        receipts = at_once([call] * _CLIENTS)
        assert len({receipt.event_id for receipt in receipts}) == 1
        assert sorted(receipt.replayed for receipt in receipts) == [False] + [True] * 7
        assert len(tracker.records.events()) == 1

    @needs("concurrent_writers")
    @pytest.mark.parametrize("seed", range(3))
    def test_a_race_leaves_a_history_without_contradiction(
        self, at_once: AtOnce, tracker: Any, seed: int
    ) -> None:
        """Each client sends every key, in its own order; some send another request under a key."""
        tracker.journeys.publish(EVERY_POLICY)
        history = History()

        def client(number: int) -> Client:
            keys = [f"key {key}" for key in range(10)]
            random.Random(f"{seed} {number}").shuffle(keys)  # noqa: S311 - a test's dice

            async def calls(tracker: Any) -> None:
                for key in keys:
                    email = f"p{len(key) + int(key[-1]) % 3}@example.com"
                    await history.track(tracker, key, number % 4 // 3, email=email)

            return calls

        at_once([client(number) for number in range(_CLIENTS)])
        stored = Stored(tracker.records.events(limit=1000), tracker.enrollments.list(limit=1000))
        assert len(history.calls) == 10 * _CLIENTS
        assert len(stored.events) == 10
        assert contradictions(history.calls, stored) == []

    @needs("concurrent_writers")
    def test_callers_at_once_at_a_limit_enter_so_many_times_and_no_more(
        self, at_once: AtOnce, tracker: Any
    ) -> None:
        """Of one Profile, for several keys, by single calls and by batches."""
        three = {"policy": "at_most", "times": 3, "within": "P1D"}
        tracker.journeys.publish(
            [
                a_journey("any", reentry=three),
                a_journey("order", reentry={**three, "times": 2, "key": "/event/orderId"}),
            ]
        )

        def client(number: int) -> Client:
            async def calls(tracker: Any) -> None:
                orders = [a_request(data={"orderId": order}) for order in "AB"]
                await _again_and_again(tracker.track, orders[number % 2], f"{number}")
                batch = [(order, f"{number} {place}") for place, order in enumerate(orders)]
                await _again_and_again(tracker.track_many, batch)

            return calls

        at_once([client(number) for number in range(_CLIENTS)])
        events = {event.event_id: event for event in tracker.records.events(limit=1000)}
        entries = tracker.enrollments.list(limit=1000)
        entered = [(e.journey_id, events[e.event_id].data["orderId"]) for e in entries]
        assert [journey_id for journey_id, _ in entered].count("any") == 3
        assert [entered.count(("order", order)) for order in "AB"] == [2, 2]

    @needs("concurrent_writers")
    @pytest.mark.parametrize("seed", range(2))
    def test_explaining_what_a_race_recorded_agrees_with_it(
        self, at_once: AtOnce, tracker: Any, seed: int
    ) -> None:
        """An event's id is drawn before its turn comes; only its number tells which was first."""
        cooldown = {"policy": "cooldown", "duration": "PT1H"}
        tracker.journeys.publish(EVERY_POLICY)
        tracker.journeys.publish([a_journey("cooldown", reentry=cooldown)])

        def client(number: int) -> Client:
            chance = random.Random(f"{seed} {number}")  # noqa: S311 - a test's dice

            async def calls(tracker: Any) -> None:
                for turn in range(5):
                    who: dict[str, Any] = {"email": f"p{chance.randrange(2)}@example.com"}
                    who |= chance.choice([{}, {"properties": {"turn": turn}}])
                    order = a_request(profile=who, data={"orderId": chance.randrange(4)})
                    await _again_and_again(tracker.track, order, f"{number} {turn}")

            return calls

        at_once([client(number) for number in range(_CLIENTS)])
        events = tracker.records.events(limit=1000)
        assert len(events) == 5 * _CLIENTS
        for event in events:
            explained = tracker.records.explain(event.event_id)
            recorded = [(outcome.journey_id, outcome.reason) for outcome in event.outcomes]
            assert [(j.journey_id, j.reason) for j in explained.journeys] == recorded

    @needs("concurrent_writers")
    def test_events_of_a_profile_are_numbered_without_gaps_in_a_race(
        self, at_once: AtOnce, tracker: Any
    ) -> None:
        """Retries, refusals and batches among them: only what is recorded takes a number."""

        def client(number: int) -> Client:
            async def calls(tracker: Any) -> None:
                for turn in range(3):
                    key = f"{number // 2} {turn}"
                    await _again_and_again(tracker.track, a_request(), key)
                    requests = [
                        (a_request(profile={"email": f"p{n % 2}@example.com"}), f"{key} {n}")
                        for n in range(4)
                    ]
                    unknown = (a_request(profile={"externalId": "unknown"}), f"{number} unknown")
                    await _again_and_again(tracker.track_many, [*requests, unknown])

            return calls

        at_once([client(number) for number in range(_CLIENTS)])
        numbers: dict[str, list[int]] = {}
        for event in tracker.records.events(limit=1000):
            numbers.setdefault(event.profile_id, []).append(event.number)
        assert sorted(map(len, numbers.values())) == [12, 24, 24]
        for profile_id, found in numbers.items():
            assert sorted(found) == list(range(1, len(found) + 1))
            assert tracker.records.profile(profile_id).number == len(found)

    @needs("concurrent_writers")
    def test_crossed_batches_with_the_same_keys_wait_for_each_other_and_come_to_an_end(
        self, at_once: AtOnce, tracker: Any
    ) -> None:
        calls = [
            (a_request(profile={"email": f"p{n % 5}@example.com"}, data={"n": n}), f"key {n}")
            for n in range(40)
        ]

        def batch(number: int) -> Client:
            crossed = calls if number % 2 else calls[::-1]

            async def call(tracker: Any) -> list[Any]:
                answers: list[Any] = await settle(tracker.track_many(crossed))
                return answers if number % 2 else answers[::-1]

            return call

        answers = at_once([batch(number) for number in range(4)])
        assert all(answer == answers[0] for answer in answers)
        assert len(tracker.records.events(limit=1000)) == 40

    @needs("concurrent_writers", "reruns")
    def test_crossed_batches_about_the_same_profiles_come_to_an_end(self, at_once: AtOnce) -> None:
        """Half of the batches name the same new emails and external ids in the other order."""

        def batch(number: int) -> Client:
            requests = [
                a_request(profile={"email": f"p{n}@example.com", "externalId": f"x{20 - n}"})
                for n in range(20)
            ]
            crossed = requests if number % 2 else requests[::-1]

            async def call(tracker: Any) -> list[str]:
                keyed = [(request, f"{number} {place}") for place, request in enumerate(crossed)]
                answers = await settle(tracker.track_many(keyed))
                profiles = [receipt.profile_id for receipt in answers]
                return profiles if number % 2 else profiles[::-1]

            return call

        answers = at_once([batch(number) for number in range(4)])
        assert all(answer == answers[0] for answer in answers)
        assert len(set(answers[0])) == 20

    @needs("concurrent_writers", "reruns")
    def test_publications_at_once_make_a_version_each(self, at_once: AtOnce, tracker: Any) -> None:
        tracker.journeys.publish([a_journey()])

        def client(number: int) -> Client:
            async def publish(tracker: Any) -> Any:
                return await settle(tracker.journeys.publish([a_journey(name=f"Name {number}")]))

            return publish

        published = at_once([client(number) for number in range(4)])
        names = {item.journey.version: item.journey.definition.name for (item,) in published}
        assert sorted(names) == [2, 3, 4, 5]
        for version, name in names.items():
            assert tracker.journeys.get("welcome", version).definition.name == name
        assert tracker.journeys.get("welcome").version == 5

    @needs("concurrent_writers")
    def test_purging_at_once_removes_each_expired_key_once(
        self, at_once: AtOnce, tracker: Any, clock: Any
    ) -> None:
        tracker.track_many([(a_request(), f"key {number}") for number in range(30)])
        clock.advance(days=30)

        async def purge(tracker: Any) -> int:
            return sum([await settle(tracker.records.purge_keys(limit=4)) for _ in range(4)])

        removed_at_once = sum(at_once([purge] * 4))
        # A purge may skip the rows that another one holds.
        removed_after = sum(iter(tracker.records.purge_keys, 0))
        assert removed_at_once + removed_after == 30

    @needs("durable")
    def test_what_was_acknowledged_is_there_for_another_connection(
        self, storage: Any, other_storage: Any, new_tracker: Callable[..., Any]
    ) -> None:
        if other_storage is storage:
            pytest.skip("no other_storage is given")
        first, second = new_tracker(storage), new_tracker(other_storage)
        first.journeys.publish(EVERY_POLICY)
        receipt = first.track(a_request(data={"orderId": "A"}), "key")
        assert everything(second) == everything(first)
        again = second.track(a_request(data={"orderId": "A"}), "key")
        assert (again, again.replayed) == (receipt, True)
        second.journeys.publish([a_journey("every", status="paused")])
        assert first.track(a_request(data={"orderId": "B"}), "other").enrolled_journeys == 1

    @needs("concurrent_writers", "cancellation")
    def test_a_call_cancelled_anywhere_leaves_nothing_or_everything(
        self,
        storage: Any,
        native_tracker: Callable[..., Any],
        tracker: Any,
        request: pytest.FixtureRequest,
    ) -> None:
        """Each call is cancelled after more turns of the loop, until one ends before that."""
        if not is_asynchronous(storage):
            pytest.skip("only asynchronous calls are cancelled")
        run_async = request.getfixturevalue("run_async")
        tracker.journeys.publish([a_journey(reentry={"policy": "once"})])
        cancelled = native_tracker()
        turns, finished = 0, False
        while not finished:
            key = f"key {turns}"
            order = a_request(profile={"email": f"p{turns}@example.com"}, data={"key": key})
            finished = run_async(_cancel_after(turns, cancelled.track(order, key)))
            recorded = [e for e in tracker.records.events(limit=1000) if e.data["key"] == key]
            entered = [
                e for e in tracker.enrollments.list(limit=1000) if e.version == 1 and recorded
            ]
            caused = [e for e in entered if e.event_id == recorded[0].event_id]
            assert len(recorded) == len(caused) <= 1
            assert tracker.track(order, key).replayed is bool(recorded)
            turns += 1 + turns // 8


async def _again_and_again(call: Callable[..., Any], *arguments: Any) -> None:
    """Call until it is answered, as callers of a storage do that runs nothing again itself."""
    while True:
        with suppress(StorageUnavailable):
            await settle(call(*arguments))
            return


async def _cancel_after(turns: int, call: Coroutine[Any, Any, Any]) -> bool:
    """Cancel a call after so many turns of the loop; say whether it ended before that."""
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
        if task.done():
            break
    finished = not task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return False
    return finished
