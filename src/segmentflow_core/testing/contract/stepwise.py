"""The two ways to hand over, as a test of a storage adapter: by itself, and in the core's steps.

A part of `StorageContract`, whose fixtures it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest
from attrs import evolve

from segmentflow_core import Enrollment, Lease
from segmentflow_core.colour import settle
from segmentflow_core.domain.hand_over import ClaimTerms, EnrollmentChange, ReleaseTerms, cancelled
from segmentflow_core.testing.builders import FixedClock, SequentialIds, a_journey, a_request
from segmentflow_core.usecases.stepwise import Stepwise, hand_over_of

__all__ = ["StepwiseContract"]

_MINUTE: Final = timedelta(minutes=1)
_CANCELLER: Final = "019bf964-302b-7000-8000-00000000ca7e"
_ORGANIZATIONS: Final = ("a", "b", "c")


class StepwiseContract:
    """What a storage does by itself is what the core makes of its steps."""

    def test_a_call_does_what_it_does_in_steps(
        self, tracker: Any, clock: FixedClock, in_transaction: Callable[..., Any]
    ) -> None:
        """A storage without calls of its own has only the steps, and passes."""
        leases = _every_standing(tracker, clock)
        _mark(in_transaction, leases)
        for call in (*_claims(clock.now()), *_changes(leases, clock.now())):
            outcomes = [
                _outcome(in_transaction, call, way)
                for way in (hand_over_of, lambda t: Stepwise(t.hand_over, t.events))
            ]
            assert outcomes[0] == outcomes[1]


class _Undo(Exception):
    """Carries what was read out of a transaction, which it undoes."""

    def __init__(self, read: Any) -> None:
        super().__init__()
        self.read = read


def _outcome(
    in_transaction: Callable[..., Any],
    call: Callable[[Any], Any],
    way: Callable[[Any], Any],
) -> Any:
    """Make a call in a transaction of its own; return its answer and what it left, and undo it."""

    async def work(transaction: Any) -> None:
        answer = await settle(call(way(transaction)))
        left = [
            sorted(await settle(transaction.enrollments.list(name, 1000)), key=_identifier)
            for name in _ORGANIZATIONS
        ]
        raise _Undo((_sorted(answer), left))

    with pytest.raises(_Undo) as undone:
        in_transaction(work)
    return undone.value.read


def _identifier(enrollment: Enrollment) -> str:
    return enrollment.enrollment_id


def _sorted(answer: Any) -> Any:
    if isinstance(answer, list | tuple):
        return sorted(
            answer, key=lambda each: (each.organization_id, each.enrollment.enrollment_id)
        )
    return dict(answer)


def _every_standing(tracker: Any, clock: FixedClock) -> list[Lease]:
    """Make Enrollments that stand in every way; return leases on them, wrong ones too."""
    leases: list[Lease] = []
    for name, count in zip(_ORGANIZATIONS, (9, 3, 1), strict=True):
        of: dict[str, Any] = {"organization_id": name}
        tracker.journeys.publish([a_journey("x"), a_journey("y")], **of)
        for number in range(count):
            tracker.track(a_request(), str(number), **of)
            clock.advance(seconds=number % 2)
        first = [
            claimed.lease for claimed in tracker.enrollments.claim(limit=6, lease=_MINUTE, **of)
        ]
        leases += first
        tracker.enrollments.complete_many(first[:1])
        tracker.enrollments.release_many(first[1:2], delay=3 * _MINUTE)
        tracker.enrollments.release_many(first[2:3], error="first")
        tracker.enrollments.release_many(first[3:4], max_attempts=1)
        clock.advance(minutes=1)
        leases += [c.lease for c in tracker.enrollments.claim(limit=2, lease=_MINUTE, **of)]
    unknown = SequentialIds().new_id()
    leases += [
        evolve(leases[0], token=unknown),
        evolve(leases[0], enrollment_id=unknown),
        evolve(leases[0], organization_id="b"),
    ]
    return leases


def _mark(in_transaction: Callable[..., Any], leases: list[Lease]) -> None:
    """Mark what is held, every second one, as an event does that cancels it."""
    named = sorted({(lease.organization_id, lease.enrollment_id) for lease in leases})

    async def work(transaction: Any) -> None:
        changes = [
            EnrollmentChange(whose, before, after)
            for whose, before in await settle(transaction.hand_over.lock(named))
            for after in [cancelled(before, _CANCELLER, datetime.min.replace(tzinfo=UTC))]
            if after is not None and before.lease_until is not None and before.attempts
        ]
        changes.sort(key=lambda each: (each.organization_id, each.after.enrollment_id))
        await settle(transaction.hand_over.save(changes[::2]))

    in_transaction(work)


def _claims(now: datetime) -> list[Callable[[Any], Any]]:
    ids = SequentialIds()
    later = now + timedelta(hours=1)
    return [
        _claim(ClaimTerms(of, journey, limit, at, later + _MINUTE, ids.new_id(), max_attempts))
        for of, journey, limit, at, max_attempts in product(
            (None, "a", "nobody"), (None, "x"), (1, 4, 100), (now, later), (1, 9)
        )
    ]


def _claim(terms: ClaimTerms) -> Callable[[Any], Any]:
    return lambda way: way.claim(terms)


def _changes(leases: list[Lease], now: datetime) -> list[Callable[[Any], Any]]:
    ordered = sorted(set(leases), key=lambda lease: (lease.organization_id, lease.enrollment_id))
    ids = sorted({lease.enrollment_id for lease in leases})
    later = now + _MINUTE
    return [
        lambda way: way.complete(ordered, now),
        lambda way: way.extend(ordered, later),
        lambda way: way.release(ordered, ReleaseTerms(now, later, 9, True)),
        lambda way: way.release(ordered, ReleaseTerms(now, later, 1, True, "second")),
        lambda way: way.release(ordered, ReleaseTerms(now, later, 9, False)),
        lambda way: way.revive("a", ids, now),
        lambda way: way.complete([], now),
        lambda way: way.revive("a", [], now),
    ]
