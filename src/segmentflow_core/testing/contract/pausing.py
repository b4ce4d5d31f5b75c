"""Pausing, activating and archiving Journeys, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/journeys.md.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import product
from typing import Any, Final

import pytest
from attrs import evolve

from segmentflow_core import Enrollment, EnrollmentStatus
from segmentflow_core.colour import settle
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.ports import (
    AVAILABLE_STATUSES,
    FINISHED_STATUSES,
    ClaimTerms,
    Found,
    ReleaseTerms,
    archived,
    deal,
)
from segmentflow_core.testing.builders import FixedClock, SequentialIds, a_journey, a_request
from segmentflow_core.testing.callers import AtOnce, Client
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.comparing import exact
from segmentflow_core.testing.contract.doors import Doors
from segmentflow_core.testing.contract.entries import claimed_ids
from segmentflow_core.usecases.stepwise import Stepwise, hand_over_of

__all__ = ["PausingContract", "PausingRaceContract"]

_MINUTE: Final = timedelta(minutes=1)
_ORGANIZATIONS: Final = ("acme", "default", "small")
_STEPS: Final[dict[str, Callable[[Any], Any]]] = {
    "by itself": hand_over_of,
    "in steps": lambda transaction: Stepwise(transaction.hand_over, transaction.events),
}

ways = pytest.mark.parametrize("way", list(_STEPS))


class PausingContract:
    """What waits in Journeys that are not active, one test for each promise."""

    @needs("pausing")
    @ways
    @pytest.mark.parametrize("status", ["paused", "draft", "archived"])
    def test_a_claim_passes_over_journeys_that_are_not_active_and_keeps_to_its_order(
        self,
        tracker: Any,
        clock: FixedClock,
        in_transaction: Callable[..., Any],
        status: str,
        way: str,
    ) -> None:
        """What waits in them came first, and there is more of it than a claim takes.

        What a claim takes of the others is what it would take if there were no others.
        """
        _enter(tracker, clock)
        stopped = [("acme", "a"), ("default", "a"), ("small", "b")]
        _set(tracker, stopped, status)
        waiting = _waiting(tracker)
        free = [at for at in waiting if (at[0], at[1].journey_id) not in stopped]
        assert 0 < len(free) < len(waiting)
        _assert_dealt(in_transaction, free, clock, way)
        _set(tracker, stopped, "active")
        assert len(_waiting(tracker)) == len(waiting)
        _assert_dealt(in_transaction, _waiting(tracker), clock, way)

    @needs("pausing", "finding", "people")
    @pytest.mark.parametrize("again", [False, True], ids=["archived", "active again"])
    def test_what_waits_in_an_archived_journey_reads_as_withdrawn_at_once_wherever_it_is_read(
        self, tracker: Any, clock: FixedClock, doors: Doors, again: bool
    ) -> None:
        """Its rows follow in batches, and nothing that is read changes by that."""
        tracker.journeys.publish([a_journey("a"), a_journey("b")])
        before = [tracker.track(a_request(), f"{number}") for number in range(5)]
        (held, done, dead) = tracker.enrollments.claim(limit=3, journey_id="a", lease=_MINUTE)
        tracker.enrollments.complete(done.lease)
        tracker.enrollments.release(dead.lease, max_attempts=1)
        as_they_were = {each.enrollment_id: each for each in tracker.enrollments.list()}
        clock.advance(seconds=1)
        at = clock.now()
        assert tracker.journeys.archive("a", by="me").change == "new_status"
        assert tracker.journeys.archive("a").change == "unchanged"
        assert tracker.journeys.get("a").archived_at == at
        clock.advance(seconds=1)
        if again:
            assert tracker.journeys.activate("a").journey.archived_at == at
        after = tracker.track(a_request(), "after")
        told = _told(tracker, doors, [*before, after])
        expected = {
            identifier: archived(entry, 1, at) if entry.journey_id == "a" else entry
            for identifier, entry in as_they_were.items()
        }
        new = {e.enrollment_id for e in told if e.event_id == after.event_id}
        assert len(new) == 1 + again
        assert exact({e.enrollment_id: e for e in told if e.enrollment_id not in new}) == exact(
            expected
        )
        counts = {s: sum(e.status is s for e in expected.values()) for s in EnrollmentStatus}
        assert counts == {"pending": 5, "claimed": 1, "completed": 1, "dead": 1, "withdrawn": 2}
        assert not [*doors.ask("pausing", "overdue", "acme", clock.now(), 9)]
        assert len([*doors.ask("pausing", "overdue", "default", clock.now(), 1)]) == 1
        assert tracker.journeys.finish_archiving(at_most=1) == 1
        assert exact(_told(tracker, doors, [*before, after])) == exact(told)
        assert tracker.journeys.finish_archiving() == 1
        assert exact(_told(tracker, doors, [*before, after])) == exact(told)
        # Whose worker is gone, follows once the lease has run out.
        clock.advance(minutes=1)
        assert tracker.journeys.finish_archiving() == 1
        gone = evolve(
            held.enrollment,
            status=EnrollmentStatus.WITHDRAWN,
            lease_until=None,
            withdrawn_at=at,
        )
        left = tracker.enrollments.get(held.enrollment.enrollment_id)
        assert exact(evolve(left, available_at=None)) == exact(evolve(gone, available_at=None))
        assert tracker.journeys.finish_archiving() == 0
        assert not [*doors.ask("pausing", "overdue", "default", clock.now(), 9)]
        taken = {e.enrollment.enrollment_id for e in tracker.enrollments.claim(journey_id="a")}
        assert taken == {e.enrollment_id for e in told if e.enrollment_id in new and again} - {
            e.enrollment_id for e in told if e.journey_id == "b"
        }

    @needs("pausing")
    @ways
    @pytest.mark.parametrize("became", ["paused", "archived", "archived, rows followed"])
    def test_a_worker_that_holds_an_enrollment_may_finish_it_whatever_its_journey_became(
        self,
        tracker: Any,
        clock: FixedClock,
        in_transaction: Callable[..., Any],
        became: str,
        way: str,
    ) -> None:
        """What is given back waits in a paused Journey, and is withdrawn in an archived one."""
        status, _, follow = became.partition(", ")
        tracker.journeys.publish([a_journey("a")])
        tracker.track_many([(a_request(), f"{number}") for number in range(6)])
        leases = [claimed.lease for claimed in tracker.enrollments.claim(lease=_MINUTE)]
        tracker.enrollments.release(leases[4], max_attempts=1)
        _set(tracker, [("default", "a")], status)
        now, later = clock.now(), clock.now() + _MINUTE
        if follow:
            tracker.journeys.finish_archiving()

        def call(name: str, *arguments: Any) -> Any:
            async def work(transaction: Any) -> Any:
                return await settle(getattr(_STEPS[way](transaction), name)(*arguments))

            return in_transaction(work)

        left = EnrollmentStatus.WITHDRAWN if status == "archived" else EnrollmentStatus.PENDING
        in_order = sorted(leases, key=lambda lease: lease.enrollment_id)
        terms = ReleaseTerms(now, later, 9, failed=True, error="no answer")
        again = evolve(terms, error="again")
        completed = call("complete", in_order[:1], now)
        extended = call("extend", in_order[1:2], later + _MINUTE)
        failed = call("release", in_order[2:3], terms)
        given_back = call("release", in_order[3:4], evolve(terms, failed=False, error=None))
        revived = call("revive", "default", [in_order[4].enrollment_id], later)
        answers = [*completed.values(), *extended.values(), *failed.values(), *given_back.values()]
        assert [each.status for each in answers] == ["completed", "claimed", left, left]
        assert len(revived) == (status == "paused")
        for answer in (*answers, *revived.values()):
            assert exact(tracker.enrollments.get(answer.enrollment_id)) == exact(answer)
        # A second time changes nothing, before rows follow and after it.
        assert exact(call("release", in_order[2:3], again)) == exact(failed)
        if follow:
            tracker.journeys.finish_archiving()
            assert exact(call("release", in_order[2:3], again)) == exact(failed)
        listed = {each.enrollment_id: each.status for each in tracker.enrollments.list()}
        assert listed[in_order[4].enrollment_id] == ("dead" if status == "archived" else "pending")
        clock.advance(minutes=9)
        assert tracker.enrollments.claim() == []
        _set(tracker, [("default", "a")], "active")
        count = 0 if status == "archived" else 5
        assert len(tracker.enrollments.claim()) == count

    @needs("pausing", "retention")
    def test_a_withdrawn_enrollments_event_goes_once_its_row_says_so(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """Retention lets the rows follow first."""
        tracker.journeys.publish([a_journey("a")])
        tracker.track_many([(a_request(), f"{number}") for number in range(3)])
        tracker.enrollments.claim(limit=1, lease=3 * _MINUTE)
        tracker.journeys.archive("a")
        clock.advance(minutes=2)
        gone = tracker.people.retain(events=_MINUTE, enrollments=_MINUTE)
        assert (gone.events, gone.held, gone.enrollments) == (2, 1, 2)


class PausingRaceContract:
    """Journeys whose status changes while others claim, enter and change it as well."""

    @needs("pausing", "concurrent_writers")
    def test_what_is_claimed_while_journeys_are_paused_was_active_and_what_is_left_waits(
        self, at_once: AtOnce, tracker: Any
    ) -> None:
        """Each Enrollment is handed over once; at the end those of paused Journeys wait."""
        tracker.journeys.publish([a_journey(name) for name in "abcd"])
        tracker.track_many([(a_request(), f"{number}") for number in range(20)])

        def worker(seed: int) -> Client:
            chance = random.Random(seed)  # noqa: S311 - a test's dice

            async def work(tracker: Any) -> list[str]:
                mine: list[str] = []
                for _ in range(8):
                    how = {"organization_id": chance.choice(["default", None])}
                    mine += claimed_ids(await _again(tracker.enrollments.claim, limit=2, **how))
                return mine

            return work

        async def pause(tracker: Any) -> list[str]:
            for name in "abab":
                await _again(tracker.journeys.pause, name)
                await _again(tracker.journeys.activate, name)
            for name in "ab":
                await _again(tracker.journeys.pause, name)
            await _again(tracker.journeys.archive, "c")
            return []

        taken = [each for mine in at_once([pause, *map(worker, range(4))]) for each in mine]
        assert len(set(taken)) == len(taken)
        entries = {each.enrollment_id: each for each in tracker.enrollments.list(limit=1000)}
        assert len(entries) == 80
        statuses = {"a": "pending", "b": "pending", "c": "withdrawn", "d": "pending"}
        for identifier, entry in entries.items():
            expected = "claimed" if identifier in taken else statuses[entry.journey_id]
            assert entry.status == expected
        left = [identifier for identifier in entries if identifier not in taken]
        free = {each for each in left if entries[each].journey_id == "d"}
        assert set(claimed_ids(tracker.enrollments.claim(limit=1000))) == free

    @needs("pausing", "concurrent_writers")
    def test_archivings_at_once_withdraw_all_that_entered_before_the_last_of_them(
        self, at_once: AtOnce, tracker: Any
    ) -> None:
        """Whoever archives, pauses or activates meanwhile brings nothing back."""
        tracker.journeys.publish([a_journey("a")])
        names = ("archive", "activate", "pause", "archive")

        async def enter(tracker: Any) -> None:
            for number in range(12):
                await _again(tracker.track, a_request(), f"{id(tracker)} {number}")

        def changing(seed: int) -> Client:
            chance = random.Random(seed)  # noqa: S311 - a test's dice

            async def change(tracker: Any) -> None:
                for _ in range(6):
                    await _again(getattr(tracker.journeys, chance.choice(names)), "a")
                    with suppress(StorageUnavailable):
                        await settle(tracker.journeys.finish_archiving(at_most=2))

            return change

        at_once([enter, *map(changing, range(4))])
        tracker.journeys.activate("a")
        tracker.track(a_request(), "before")
        waited = {e.enrollment_id for e in tracker.enrollments.list(limit=1000)}
        tracker.journeys.archive("a")
        assert {e.status for e in tracker.enrollments.list(limit=1000)} == {"withdrawn"}
        tracker.journeys.activate("a")
        (entered,) = [tracker.track(a_request(), "after")]
        (claimed,) = tracker.enrollments.claim(limit=1000)
        assert claimed.enrollment.event_id == entered.event_id
        tracker.journeys.finish_archiving()
        withdrawn = tracker.enrollments.list(limit=1000, status=EnrollmentStatus.WITHDRAWN)
        assert {e.enrollment_id for e in withdrawn} == waited


async def _again(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call until it is answered, as callers of a storage do that runs nothing again itself."""
    while True:
        with suppress(StorageUnavailable):
            return await settle(call(*arguments, **options))


def _set(tracker: Any, journeys: Sequence[tuple[str, str]], status: str) -> None:
    """Give Journeys another status; some by publishing them, some by a call."""
    calls = {
        "paused": tracker.journeys.pause,
        "active": tracker.journeys.activate,
        "archived": tracker.journeys.archive,
    }
    for number, (organization_id, journey_id) in enumerate(journeys):
        of: dict[str, Any] = {"organization_id": organization_id}
        if number and status in calls:
            calls[status](journey_id, **of)
        else:
            name = tracker.journeys.get(journey_id, **of).definition.name
            tracker.journeys.publish([a_journey(journey_id, name=name, status=status)], **of)


def _enter(tracker: Any, clock: FixedClock) -> None:
    """Let people enter two versions of Journeys of three Organizations."""
    for organization_id, count in zip(_ORGANIZATIONS, (3, 4, 1), strict=True):
        of: dict[str, Any] = {"organization_id": organization_id}
        for name, others in (("First", "ab"), ("Second", "bc")):
            tracker.journeys.publish([a_journey("a", name=name)], **of)
            tracker.journeys.publish([a_journey(each) for each in others], **of)
            for number in range(count):
                tracker.track(a_request(), f"{name} {number}", **of)
                clock.advance(seconds=number % 2)
        # Given back, one queues behind the others; a lease that has run out brings one back.
        (one, _) = tracker.enrollments.claim(limit=2, lease=_MINUTE, **of)
        tracker.enrollments.release(one.lease, delay=_MINUTE)
    clock.advance(minutes=2)


def _waiting(tracker: Any) -> list[Found]:
    return [
        (name, each)
        for name in _ORGANIZATIONS
        for each in tracker.enrollments.list(limit=1000, organization_id=name)
        if each.status in AVAILABLE_STATUSES
    ]


class _Undo(Exception):
    """Carries what was claimed out of a transaction, which it undoes."""

    def __init__(self, claimed: Sequence[Any]) -> None:
        super().__init__()
        self.claimed = claimed


def _assert_dealt(
    in_transaction: Callable[..., Any], free: Sequence[Found], clock: FixedClock, way: str
) -> None:
    """Claim in every way; each claim takes what `deal` makes of what is free, and is undone."""
    ids, now = SequentialIds(), clock.now()
    for of, journey_id, limit in product((None, "default"), (None, "a", "b", "d"), (2, 5, 100)):
        terms = ClaimTerms(of, journey_id, limit, now, now + _MINUTE, ids.new_id(), 9)

        async def work(transaction: Any, terms: ClaimTerms = terms) -> None:
            raise _Undo(await settle(_STEPS[way](transaction).claim(terms)))

        with pytest.raises(_Undo) as undone:
            in_transaction(work)
        taken = {(each.organization_id, each.enrollment) for each in undone.value.claimed}
        assert taken == {(each.organization_id, each.after) for each in deal(free, terms)}


def _told(tracker: Any, doors: Doors, receipts: Sequence[Any]) -> list[Enrollment]:
    """Read the Enrollments of these events in every way; each says the same."""
    listed: list[Enrollment] = tracker.enrollments.list(limit=100)
    by_id = {each.enrollment_id: each for each in listed}

    def found(entries: Iterable[Enrollment]) -> list[Enrollment]:
        return sorted(entries, key=lambda each: each.enrollment_id, reverse=True)

    whose = receipts[0].profile_id
    event_ids = [receipt.event_id for receipt in receipts]
    ways_to_read: dict[str, list[Enrollment]] = {
        "get": found(tracker.enrollments.get(each) for each in by_id),
        "by status": found(
            e
            for status in EnrollmentStatus
            for e in tracker.enrollments.list(status=status)
            if e.status is status
        ),
        "by Journey": found(
            e for name in "ab" for e in tracker.enrollments.list(journey_id=name, limit=100)
        ),
        "by Profile": tracker.enrollments.list(profile_id=whose, limit=100),
        "by event and status": found(
            e
            for event_id, status in product(event_ids, EnrollmentStatus)
            for e in tracker.enrollments.list(event_id=event_id, status=status, journey_id="a")
            if e.status is status
        )
        + found(e for e in listed if e.journey_id == "b"),
        "entries": found(doors.ask("finding", "entries", "default", whose, event_ids)),
        "locked": found(
            e
            for _, e in doors.ask(
                "hand_over", "lock", [("default", each) for each in sorted(by_id)]
            )
        ),
        "unfinished": found(
            [
                *doors.ask("people", "unfinished", "default", [whose]),
                *(e for e in listed if e.status in FINISHED_STATUSES),
            ]
        ),
    }
    for read in ways_to_read.values():
        assert exact(found(read)) == exact(listed)
    return listed
