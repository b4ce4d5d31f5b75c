"""A store that is out of reach or loses a connection, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses. `line` says how to lose what the driver and
its store tell each other; every exchange of a call is lost once, on its way there and on its way
back, so also the commit.

See docs/reference/rules/storage.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

import pytest

from segmentflow_core import SegmentflowError
from segmentflow_core.errors import IdempotencyInProgress, StorageUnavailable
from segmentflow_core.testing.builders import FixedClock, a_journey, a_request
from segmentflow_core.testing.contract.entries import claim_until, claimed_ids, enrol
from segmentflow_core.testing.contract.reading import EVERY_POLICY
from segmentflow_core.testing.lines import Line

__all__ = ["OutageContract"]

_MINUTE: Final = timedelta(minutes=1)
_ARGUMENTS: Final[dict[str, dict[str, Any]]] = {
    "complete": {},
    "release": {"delay": _MINUTE},
    "extend": {"by": _MINUTE},
}
_BOTH_WAYS: Final = pytest.mark.parametrize("answer", [False, True], ids=["question", "answer"])


class OutageContract:
    """What a caller may rely on when the store cannot be reached, one test each."""

    @pytest.mark.parametrize("warm", [False, True], ids=["at-first", "later"])
    def test_a_store_out_of_reach_is_unavailable_and_serves_again_afterwards(
        self, line: Line, distant: Any, tracker: Any, warm: bool
    ) -> None:
        enrol(tracker, 1)
        if warm:
            distant.track(a_request(), "warm")
        line.cut()
        for call, *arguments in (
            (distant.track, a_request(), "key"),
            (distant.records.events,),
            (distant.enrollments.claim,),
        ):
            assert isinstance(_answer(call, *arguments), StorageUnavailable)
        line.restore()
        assert not distant.track(a_request(), "key").replayed
        assert len(distant.enrollments.claim()) == 2 + warm

    @_BOTH_WAYS
    def test_a_call_that_lost_an_exchange_is_recorded_once(
        self, line: Line, distant: Any, tracker: Any, answer: bool
    ) -> None:
        tracker.journeys.publish(EVERY_POLICY)
        number = -1
        lost = True
        while lost:
            number += 1
            order = a_request(profile={"email": f"p{number}@example.com"}, data={"n": number})
            before = _lose(line, number, answer=answer)
            told = _answer(distant.track, order, f"key {number}")
            receipt = tracker.track(order, f"key {number}")
            if not isinstance(told, SegmentflowError):
                assert (told, told.replayed, receipt.replayed) == (receipt, False, True)
            recorded = [e for e in tracker.records.events(limit=1000) if e.data["n"] == number]
            assert [event.event_id for event in recorded] == [receipt.event_id]
            entered = [e.event_id for e in tracker.enrollments.list(limit=1000)]
            assert entered.count(receipt.event_id) == receipt.enrolled_journeys == 2
            lost = line.lost > before
        assert number > 0

    @_BOTH_WAYS
    def test_a_publication_that_lost_an_exchange_makes_one_version(
        self, line: Line, distant: Any, tracker: Any, answer: bool
    ) -> None:
        tracker.journeys.publish([a_journey()])
        number = 1
        lost = True
        while lost:
            number += 1
            journeys = [a_journey(name=f"Version {number}")]
            before = _lose(line, number - 2, answer=answer)
            _answer(distant.journeys.publish, journeys)
            (published,) = tracker.journeys.publish(journeys)
            assert published.journey.version == tracker.journeys.get("welcome").version == number
            lost = line.lost > before
        assert number > 2

    @_BOTH_WAYS
    def test_a_claim_that_lost_an_exchange_loses_nothing(
        self, line: Line, distant: Any, tracker: Any, clock: FixedClock, *, answer: bool
    ) -> None:
        number = -1
        lost = True
        while lost:
            number += 1
            of = f"organization {number}"
            entered = enrol(tracker, 3, organization_id=of)
            before = _lose(line, number, answer=answer)
            terms: dict[str, Any] = {"limit": 2, "lease": _MINUTE, "organization_id": of}
            told = _answer(distant.enrollments.claim, **terms)
            lost = line.lost > before
            clock.advance(minutes=1)
            claim = partial(tracker.enrollments.claim, lease=_MINUTE, organization_id=of)
            later = claim_until(claim, len(entered))
            assert sorted(claimed_ids(later)) == sorted(entered)
            again = {*claimed_ids([item for item in later if item.enrollment.attempts == 2])}
            if isinstance(told, SegmentflowError):
                assert len(again) in (0, 2)
            else:
                # A storage may have run the claim again and given others than the first run took.
                assert {*claimed_ids(told)} <= again
        assert number > 0

    @_BOTH_WAYS
    @pytest.mark.parametrize("call", list(_ARGUMENTS))
    def test_a_lease_whose_exchange_was_lost_may_be_shown_again(
        self, line: Line, distant: Any, tracker: Any, call: str, *, answer: bool
    ) -> None:
        arguments: dict[str, Any] = {
            "complete": {},
            "release": {"delay": _MINUTE},
            "extend": {"by": _MINUTE},
        }[call]
        number = -1
        lost = True
        while lost:
            number += 1
            of = f"organization {number}"
            enrol(tracker, 1, organization_id=of)
            (claimed,) = tracker.enrollments.claim(lease=_MINUTE, organization_id=of)
            before = _lose(line, number, answer=answer)
            told = _answer(getattr(distant.enrollments, call), claimed.lease, **arguments)
            done = getattr(tracker.enrollments, call)(claimed.lease, **arguments)
            if not isinstance(told, SegmentflowError):
                assert told == done
            assert done.attempts == 1
            lost = line.lost > before
        assert number > 0

    @pytest.fixture
    def line(self) -> Line | None:
        """Give a line to the data of `storage` that can be made to lose what goes over it."""
        return None

    @pytest.fixture
    def line_storage(self, line: Line | None) -> Any:
        """Give a connection to the data of `storage` over `line`, in the storage's colour."""
        raise NotImplementedError(  # pragma: no cover - for an author who forgets it
            "Give a fixture named `line_storage` where `line` is given."
        )

    @pytest.fixture
    def distant(
        self, line: Line | None, new_tracker: Callable[..., Any], request: pytest.FixtureRequest
    ) -> Any:
        """Give a tracker over the line."""
        if line is None:
            pytest.skip("no line is given")
        return new_tracker(request.getfixturevalue("line_storage"))


def _lose(line: Line, exchange: int, *, answer: bool) -> int:
    """Lose an exchange from now on; return how many were lost before."""
    line.lose(exchange, answer=answer)
    return line.lost


def _answer(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what a call returned, or its refusal, which must show nothing of the driver."""
    try:
        return call(*arguments, **options)
    except (StorageUnavailable, IdempotencyInProgress) as refused:
        shown: BaseException | None = refused
        while shown is not None:
            assert isinstance(shown, SegmentflowError), f"{type(shown)} is shown as well"
            shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
        return refused
