"""A second process on the same data, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses. The other process opens the store by
`open_elsewhere`, and makes the calls of the functions below that are no tests.

See docs/reference/rules/storage.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

import pytest

from segmentflow_core import Receipt, SegmentflowError
from segmentflow_core.colour import settle
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.testing.builders import FixedClock, a_journey, a_request
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.entries import claim_until, claimed_ids, enrol
from segmentflow_core.testing.contract.reading import EVERY_POLICY, everything
from segmentflow_core.testing.faults import InjectedFault
from segmentflow_core.testing.neighbour import Neighbour, Opener, Refusal
from segmentflow_core.testing.overtaking import FAILED, Patience
from segmentflow_core.testing.port_calls import TappedStorage

__all__ = ["ProcessContract"]

Across: TypeAlias = Callable[..., list[Any]]
"""Makes a call in another process while a transaction is open here; returns both answers."""

_NEEDED: Final = ("concurrent_writers", "durable", "processes")


class ProcessContract:
    """What two processes on the same data may rely on, one test each."""

    @needs(*_NEEDED)
    def test_another_process_sees_what_was_committed_and_replays_it(
        self, neighbour: Neighbour, tracker: Any
    ) -> None:
        tracker.journeys.publish(EVERY_POLICY)
        receipt = tracker.track(a_request(data={"orderId": "A"}), "key")
        assert neighbour.call(_look, receipt.profile_id) == _looked(tracker, receipt.profile_id)
        again = neighbour.call(_track, a_request(data={"orderId": "A"}), "key")
        assert (again, again.replayed) == (receipt, True)
        other = neighbour.call(_track, a_request(data={"orderId": "B"}), "other")
        assert tracker.records.event(other.event_id).number == 2
        neighbour.call(_publish, [a_journey("every", status="paused")])
        assert tracker.track(a_request(data={"orderId": "B"}), "third").enrolled_journeys == 0

    @needs(*_NEEDED, "open_transactions")
    @pytest.mark.parametrize("calls", [1, 2], ids=["loaded", "written"])
    def test_a_duplicate_from_another_process_gets_the_same_receipt(
        self, across: Across, tracker: Any, calls: int
    ) -> None:
        first, duplicate = across(
            lambda tracker: tracker.track(a_request(), "key"),
            (_track, a_request(), "key"),
            calls=calls,
        )
        assert duplicate == first
        assert sorted([first.replayed, duplicate.replayed]) == [False, True]
        assert len(tracker.records.events()) == 1

    @needs(*_NEEDED, "open_transactions", "reruns")
    @pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
    def test_two_processes_that_change_one_profile_lose_nothing(
        self, across: Across, tracker: Any, known: bool
    ) -> None:
        if known:
            tracker.track(a_request(), "earlier")
        requests = [
            a_request(profile={"email": "alex@example.com", "properties": {name: 1}})
            for name in ("here", "there")
        ]
        first, second = across(
            lambda tracker: tracker.track(requests[0], "here"), (_track, requests[1], "there")
        )
        assert first.profile_id == second.profile_id
        assert tracker.records.profile(first.profile_id).properties == {"here": 1, "there": 1}
        numbers = sorted(event.number for event in tracker.records.events())
        assert numbers == list(range(1, 3 + known))

    @needs(*_NEEDED, "open_transactions")
    @pytest.mark.parametrize("call", ["track", "publish", "claim"])
    def test_what_is_not_committed_is_seen_by_no_other_process(
        self, across: Across, tracker: Any, call: str
    ) -> None:
        enrol(tracker, 2)
        known = tracker.track(a_request(), "known").profile_id
        changing: dict[str, Callable[[Any], Any]] = {
            "track": lambda t: t.track(a_request(profile={"email": "new@example.com"}), "new"),
            "publish": lambda t: t.journeys.publish([a_journey(name="New"), a_journey("new")]),
            "claim": lambda t: t.enrollments.claim(limit=1),
        }
        before = _looked(tracker, known)
        stops = 0
        while True:
            first, seen = across(changing[call], (_look, known), calls=stops + 1, fails=True)
            if first is not FAILED:
                break
            stops += 1
            # Where one transaction runs at a time, whoever reads is told to try again.
            assert seen in (Refusal(StorageUnavailable.code), before)
        assert stops > 0

    @needs(*_NEEDED, "open_transactions")
    @pytest.mark.parametrize("stop", [1, 2], ids=["loaded", "written"])
    def test_a_process_that_is_killed_leaves_nothing_and_holds_nobody_up(
        self, neighbour: Neighbour, tracker: Any, stop: int
    ) -> None:
        tracker.journeys.publish(EVERY_POLICY)
        tracker.track(a_request("other"), "earlier")
        before = everything(tracker)
        neighbour.start(_track, a_request(), "key", stop=stop)
        assert neighbour.has_stopped()
        neighbour.kill()
        assert everything(tracker) == before
        receipt = tracker.track(a_request(), "key")
        assert (receipt.replayed, tracker.records.event(receipt.event_id).number) == (False, 2)

    @needs(*_NEEDED, "open_transactions")
    def test_what_a_killed_process_was_claiming_is_handed_to_others(
        self, neighbour: Neighbour, tracker: Any
    ) -> None:
        entered = enrol(tracker, 2)
        neighbour.start(_claim_all, 2, stop=1)
        assert neighbour.has_stopped()
        neighbour.kill()
        claimed = claim_until(partial(_again_and_again, tracker.enrollments.claim), len(entered))
        assert sorted(claimed_ids(claimed)) == sorted(entered)
        assert {item.enrollment.attempts for item in claimed} == {1}

    @needs(*_NEEDED)
    def test_two_processes_with_the_same_keys_make_one_event_for_each(
        self, neighbour: Neighbour, tracker: Any
    ) -> None:
        calls = [
            (a_request(profile={"email": f"p{n % 3}@example.com"}, data={"n": n}), f"key {n}")
            for n in range(20)
        ]
        neighbour.start(_track_each, calls)
        assert neighbour.has_begun()
        here = [_again_and_again(tracker.track, *call) for call in calls[::-1]][::-1]
        there = neighbour.answer()
        assert here == there
        for mine, other in zip(here, there, strict=True):
            assert sorted([mine.replayed, other.replayed]) == [False, True]
        assert len(tracker.records.events(limit=1000)) == 20

    @needs(*_NEEDED)
    def test_workers_of_two_processes_share_nothing(
        self, neighbour: Neighbour, tracker: Any
    ) -> None:
        entered = enrol(tracker, 40)
        # Before the other one begins, which may leave none.
        claimed = tracker.enrollments.claim(limit=3)
        neighbour.start(_claim_all, 3)
        assert neighbour.has_begun()
        here: list[str] = []
        while claimed:
            here += claimed_ids(claimed)
            claimed = _again_and_again(tracker.enrollments.claim, limit=3)
        assert sorted([*here, *neighbour.answer()]) == sorted(entered)

    @pytest.fixture
    def open_elsewhere(self) -> Opener | None:
        """Give what opens the data of `storage` in another process, or None.

        It is pickled: a function of a module, or a `functools.partial` of one. It needs no
        arguments and returns a storage of either colour.
        """
        return None

    @pytest.fixture
    def neighbour(self, open_elsewhere: Opener | None, clock: FixedClock) -> Iterator[Neighbour]:
        """Give another process on the data of `storage`."""
        if open_elsewhere is None:
            pytest.skip("no open_elsewhere is given")
        neighbour = Neighbour(open_elsewhere, clock)
        yield neighbour
        neighbour.close()

    @pytest.fixture
    def across(
        self,
        storage: Any,
        neighbour: Neighbour,
        new_tracker: Callable[..., Any],
        patience: Patience,
    ) -> Across:
        """Give a function that makes a call in another process while one is open here.

        The call here stops after `calls` calls of a port, and goes on, or fails, when the one in
        the other process has ended or waits.
        """

        def run(
            first: Callable[[Any], Any],
            second: tuple[Any, ...],
            *,
            calls: int = 1,
            fails: bool = False,
        ) -> list[Any]:
            begun: list[bool] = []

            async def stop(number: int) -> None:
                if number != calls:
                    return
                if not begun:  # pragma: no branch - a lost race runs the work again
                    begun.append(True)
                    neighbour.start(*second)
                    await patience.outlast(neighbour.has_ended, lambda: neighbour.signs)
                if fails:
                    raise InjectedFault

            try:
                outcome = first(new_tracker(TappedStorage(storage, stop)))
            except InjectedFault:
                outcome = FAILED
            except SegmentflowError as refusal:  # pragma: no cover - where no work runs again
                outcome = refusal
            if not begun:
                neighbour.start(*second)
            return [outcome, neighbour.answer()]

        return run


# --- what the other process does ---------------------------------------------------------------
# A process that a test kills takes with it what was noted of the lines it had run for others.


async def _track(tracker: Any, request: Any, key: str) -> Receipt:  # pragma: no cover - over there
    receipt: Receipt = await settle(tracker.track(request, key))
    return receipt


async def _track_each(  # pragma: no cover - over there
    tracker: Any, calls: list[tuple[Any, str]]
) -> list[Receipt]:
    receipts: list[Receipt] = []
    while len(receipts) < len(calls):
        with suppress(StorageUnavailable):
            receipts.append(await _track(tracker, *calls[len(receipts)]))
    return receipts


async def _publish(tracker: Any, journeys: Any) -> None:  # pragma: no cover - over there
    await settle(tracker.journeys.publish(journeys))


async def _claim_all(tracker: Any, limit: int) -> list[str]:  # pragma: no cover - over there
    taken: list[str] = []
    claimed: Any = True
    while claimed:
        with suppress(StorageUnavailable):
            claimed = await settle(tracker.enrollments.claim(limit=limit))
            taken += claimed_ids(claimed)
    return taken


async def _look(  # pragma: no cover - over there
    tracker: Any, profile_id: str
) -> tuple[Any, ...]:
    return (
        await settle(tracker.records.events()),
        await settle(tracker.records.profile(profile_id)),
        await settle(tracker.journeys.list()),
        await settle(tracker.enrollments.list()),
    )


# --- what this one does -----------------------------------------------------------------------


def _looked(tracker: Any, profile_id: str) -> tuple[Any, ...]:
    return (
        tracker.records.events(),
        tracker.records.profile(profile_id),
        tracker.journeys.list(),
        tracker.enrollments.list(),
    )


def _again_and_again(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call until it is answered: a storage may be too busy for a while."""
    while True:
        with suppress(StorageUnavailable):
            return call(*arguments, **options)
