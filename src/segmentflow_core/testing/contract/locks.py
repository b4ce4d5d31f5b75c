"""What a call locks and what others see of it meanwhile, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses; `hold` is that of `overlaps`.

See docs/reference/rules/storage.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from segmentflow_core import Enrollment, Receipt
from segmentflow_core.colour import settle
from segmentflow_core.errors import LeaseLost, StorageUnavailable
from segmentflow_core.testing.builders import FixedClock, a_journey, a_request
from segmentflow_core.testing.callers import AtOnce, Client
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.entries import enrol
from segmentflow_core.testing.contract.overlaps import Hold
from segmentflow_core.testing.overtaking import FAILED

__all__ = ["LockContract"]

_MINUTE: Final = timedelta(minutes=1)
_EMAIL: Final = {"email": "alex@example.com"}
_EXTERNAL_ID: Final = {"externalId": "alex"}
_BOTH: Final = _EMAIL | _EXTERNAL_ID


class LockContract:
    """What is locked, in which order, and what stays unseen until the commit; one test each."""

    @needs("concurrent_writers", "open_transactions")
    @pytest.mark.parametrize(
        "identities",
        [(_EMAIL, _EXTERNAL_ID), (_EXTERNAL_ID, _EMAIL)],
        ids=["email-first", "external-id-first"],
    )
    def test_a_profile_is_locked_by_whichever_identity_led_to_it(
        self, hold: Hold, tracker: Any, identities: tuple[dict[str, Any], dict[str, Any]]
    ) -> None:
        founded = tracker.track(a_request(profile=_EMAIL | _EXTERNAL_ID), "founded")
        first, second = hold(
            *(
                (a_request(profile={**identity, "properties": {f"p{number}": 1}}), f"{number}")
                for number, identity in enumerate(identities)
            )
        )
        assert first.profile_id == second.profile_id == founded.profile_id
        profile = tracker.records.profile(founded.profile_id)
        assert (profile.properties, profile.number) == ({"p0": 1, "p1": 1}, 3)
        assert sorted(event.number for event in tracker.records.events()) == [1, 2, 3]

    @needs("concurrent_writers", "open_transactions", "reruns")
    @pytest.mark.parametrize("calls", [1, 2], ids=["loaded", "written"])
    @pytest.mark.parametrize("heir", ["known", "new"])
    @pytest.mark.parametrize("who", [_EMAIL, _BOTH], ids=["email", "both"])
    def test_an_identity_that_moves_while_a_call_waits_leads_where_it_leads_now(
        self,
        hold: Hold,
        tracker: Any,
        clock: FixedClock,
        *,
        who: dict[str, Any],
        heir: str,
        calls: int,
    ) -> None:
        """An email goes from one Profile to another while a second call waits for the first."""
        start = clock.now() - timedelta(hours=1)
        heirs = {"email": "heir@example.com", "externalId": "heir"}
        tracker.track(a_request(profile=_BOTH, occurredAt=start), "founded")
        if heir == "known":
            tracker.track(a_request(profile=heirs, occurredAt=start), "heir")
        moving = _tracking(
            a_request(profile=_BOTH | {"email": "moved@x.org"}, occurredAt=start + _MINUTE),
            a_request(profile=heirs | _EMAIL, occurredAt=start + 2 * _MINUTE),
        )
        (moved, inherited), landed = hold(moving, (a_request(profile=who), "late"), calls=calls)
        events = {event.event_id: event for event in tracker.records.events()}
        if not isinstance(landed, Receipt):
            assert (who, landed.code) == (_BOTH, "identity_conflict")
        elif landed.profile_id == moved.profile_id:
            # Decided before the move: nothing was held up, and the first call ran again. The
            # email may then stay, since an event that occurred later confirmed it.
            assert events[landed.event_id].number < events[moved.event_id].number
            return
        else:
            assert (who, landed.profile_id) == (_EMAIL, inherited.profile_id)
        assert moved.profile_id != inherited.profile_id

    @needs("concurrent_writers", "open_transactions")
    @pytest.mark.parametrize("call", ["track", "publish", "claim", "complete", "release"])
    def test_what_is_not_committed_is_seen_by_nobody(
        self, hold: Hold, tracker: Any, call: str
    ) -> None:
        """A call is stopped after each call of a port and fails in the end; another reads."""
        enrol(tracker, 2)
        known = tracker.track(a_request(), "known")
        (held,) = tracker.enrollments.claim(limit=1)
        changing: dict[str, Callable[[Any], Any]] = {
            "track": lambda t: t.track(a_request(profile=_BOTH), "new"),
            "publish": lambda t: t.journeys.publish([a_journey(name="New"), a_journey("new")]),
            "claim": lambda t: t.enrollments.claim(limit=1),
            "complete": lambda t: t.enrollments.complete(held.lease),
            "release": lambda t: t.enrollments.release(held.lease),
        }

        async def change(tracker: Any) -> Any:
            return await settle(changing[call](tracker))

        async def look(tracker: Any) -> tuple[Any, ...]:
            return (
                await settle(tracker.records.events()),
                await settle(tracker.records.profile(known.profile_id)),
                await settle(tracker.journeys.list()),
                await settle(tracker.enrollments.list()),
                await settle(tracker.enrollments.list(status="pending")),
            )

        before = (
            tracker.records.events(),
            tracker.records.profile(known.profile_id),
            tracker.journeys.list(),
            tracker.enrollments.list(),
            tracker.enrollments.list(status="pending"),
        )
        stops = 0
        while True:
            first, seen = hold(change, look, calls=stops + 1, fails=True)
            if first is not FAILED:
                break
            stops += 1
            # Where one transaction runs at a time, whoever reads is told to try again.
            assert isinstance(seen, StorageUnavailable) or seen == before
        assert stops > 0
        assert seen != before

    @needs("concurrent_writers", "open_transactions")
    @pytest.mark.parametrize("call", ["complete", "release", "extend"])
    def test_what_a_worker_is_finishing_is_handed_to_no_other(
        self, hold: Hold, tracker: Any, clock: FixedClock, call: str
    ) -> None:
        """Its lease has run out; either it finishes all the same, or another one claims."""
        enrol(tracker, 1)
        (late,) = tracker.enrollments.claim(lease=_MINUTE)
        clock.advance(minutes=1)
        finishing: dict[str, Callable[[Any], Any]] = {
            "complete": lambda t: t.enrollments.complete(late.lease),
            "release": lambda t: t.enrollments.release(late.lease, delay=_MINUTE),
            "extend": lambda t: t.enrollments.extend(late.lease, by=_MINUTE),
        }

        async def finish(tracker: Any) -> Any:
            return await settle(finishing[call](tracker))

        async def claim(tracker: Any) -> Any:
            return await settle(tracker.enrollments.claim())

        finished, claimed = hold(finish, claim)
        assert isinstance(finished, LeaseLost) is (len(claimed) == 1)
        assert isinstance(finished, (Enrollment, LeaseLost))

    @needs("concurrent_writers", "reruns")
    def test_crossed_batches_that_move_identities_come_to_an_end(
        self, at_once: AtOnce, tracker: Any
    ) -> None:
        """Half of the batches give the same Profiles new emails in the other order."""
        names = [f"x{number}" for number in range(20)]
        founding = [(a_request(profile=_contact(name)), name) for name in names]
        founded = [receipt.profile_id for receipt in tracker.track_many(founding)]

        def batch(number: int) -> Client:
            requests = [a_request(profile=_contact(name, f"{number}-")) for name in names]
            track = _tracking(*requests[:: 1 if number % 2 else -1], name=f"{number}")

            async def call(tracker: Any) -> list[str]:
                found = [receipt.profile_id for receipt in await track(tracker)]
                return found if number % 2 else found[::-1]

            return call

        assert at_once([batch(number) for number in range(4)]) == [founded] * 4
        for name, profile_id in zip(names, founded, strict=True):
            profile = tracker.records.profile(profile_id)
            assert (profile.external_id, profile.number) == (name, 5)

    @needs("concurrent_writers", "reruns")
    @pytest.mark.parametrize("call", ["extend_many", "complete_many", "release_many"])
    def test_crossed_batches_of_leases_come_to_an_end(
        self, at_once: AtOnce, tracker: Any, call: str
    ) -> None:
        enrol(tracker, 40)
        leases = [item.lease for item in tracker.enrollments.claim(limit=40)]

        def batch(number: int) -> Client:
            crossed = leases[:: 1 if number % 2 else -1]

            async def finish(tracker: Any) -> list[Any]:
                answers = await settle(getattr(tracker.enrollments, call)(crossed))
                return [getattr(a, "code", None) or a.enrollment_id for a in answers]

            return finish

        expected = [lease.enrollment_id for lease in leases]
        answers = at_once([batch(number) for number in range(4)])
        assert answers == [expected[::-1], expected] * 2


def _contact(name: str, prefix: str = "") -> dict[str, Any]:
    return {"externalId": name, "email": f"{prefix}{name}@example.com"}


def _tracking(*requests: dict[str, Any], name: str = "batch") -> Client:
    """Return a client that tracks these requests as one batch."""
    keyed = [(request, f"{name} {number}") for number, request in enumerate(requests)]

    async def track(tracker: Any) -> Any:
        return await settle(tracker.track_many(keyed))

    return track
