"""Asking a store what events cancel: what waits for a Profile, and what is recorded already.

Knows in which order it is asked. What an answer means, `domain.withdrawals` says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Generic, TypeVar, cast

from attrs import frozen

from segmentflow_core.colour import settle
from segmentflow_core.domain.event import Enrollment, UserEvent
from segmentflow_core.domain.hand_over import EnrollmentChange
from segmentflow_core.domain.journey import Journey
from segmentflow_core.domain.json_value import JsonObject
from segmentflow_core.domain.profile import Profile
from segmentflow_core.domain.retention import GoneEvents
from segmentflow_core.domain.withdrawals import (
    LookedUp,
    Questions,
    RecordedProbe,
    canceller_among,
    may_have_gone,
    probes_of_cancellers,
)
from segmentflow_core.ports import TellsTime, Transaction
from segmentflow_core.ports.cancelling import CancellingRepository
from segmentflow_core.ports.retention import RetentionRepository
from segmentflow_core.usecases.capabilities import capability
from segmentflow_core.usecases.history import merged_before

__all__ = [
    "Entering",
    "RecordedCancellers",
    "can_cancel",
    "look_up",
    "recorded_cancellers",
    "recorded_events",
    "save_withdrawn",
]

K = TypeVar("K")

_AT_ONCE: Final = 20
"""For how many entries cancellers are looked for at once: each may find 1,000 events of a name."""


def can_cancel(transaction: Transaction) -> bool:
    """Say whether a store keeps what cancels Enrollments."""
    return getattr(transaction, "cancelling", None) is not None


async def look_up(
    transaction: Transaction,
    organization_id: str,
    questions: Questions,
    known: LookedUp,
    *,
    by_store: bool,
) -> LookedUp:
    """Answer questions, and return the answers with those that were known.

    Args:
        transaction: in which the batch is decided.
        organization_id: whose batch.
        questions: to be answered.
        known: earlier answers.
        by_store: whether leases go by the store's own clock, where it has one.
    """
    leases_at = known.leases_at
    waiting, locked, recorded = known.waiting, dict(known.locked), dict(known.recorded)
    complete, digests, series = known.complete, known.digests, known.series
    if questions.waiting:
        # All of them again, so that one answer is complete, or is not.
        series = {**series, **questions.waiting}
        digests = digests | questions.digests
        whose = {each: who for who, ids in series.items() for each in ids}
        asked = _cancelling(transaction).cancellable(
            organization_id, sorted(whose), sorted(digests)
        )
        answer = await settle(asked)
        complete = answer.complete
        found: dict[str, list[Enrollment]] = {who: [] for who in series}
        for enrollment in answer.enrollments:
            found[whose[enrollment.profile_id]].append(enrollment)
        waiting = found
    if questions.locks:
        named = [(organization_id, enrollment_id) for enrollment_id in sorted(questions.locks)]
        locked |= dict.fromkeys(questions.locks)
        for _, enrollment in await settle(transaction.hand_over.lock(named)):
            locked[enrollment.enrollment_id] = enrollment
            is_held = enrollment.lease_until is not None
            if is_held and by_store and leases_at is None and hasattr(transaction, "now"):
                leases_at = await settle(cast("TellsTime", transaction).now())
    if questions.recorded:
        recorded |= await recorded_events(transaction, organization_id, list(questions.recorded))
    return LookedUp(waiting, locked, recorded, leases_at, complete, digests, series)


async def recorded_events(
    transaction: Transaction, organization_id: str, probes: Sequence[RecordedProbe]
) -> dict[RecordedProbe, Sequence[UserEvent]]:
    """Answer probes about recorded events; without any, nothing is asked."""
    if not probes:
        return {}
    return dict(await settle(_cancelling(transaction).recorded(organization_id, probes)))


async def save_withdrawn(
    transaction: Transaction,
    organization_id: str,
    withdrawn: Sequence[tuple[Enrollment, Enrollment]],
) -> None:
    """Save what events withdrew or marked, which is locked, sorted by id."""
    changes = [EnrollmentChange(organization_id, *change) for change in withdrawn]
    await settle(transaction.hand_over.save(changes))


@frozen(repr=False)
class Entering:
    """An event that is recorded, or might be, as one that enters a Journey.

    Attributes:
        journey: the Journey.
        event: the event.
        before: its number, where only what was recorded earlier counts; None counts everything.
    """

    journey: Journey
    event: UserEvent
    before: int | None


@frozen(repr=False)
class RecordedCancellers(Generic[K]):
    """What is known of the events that cancel entries already.

    Attributes:
        found: the event that cancels each entry; those that none cancels are not named.
        unclear: entries of recorded events that none cancels which is still there as it was: one
            may be gone, or erased.
    """

    found: Mapping[K, UserEvent] = {}
    unclear: Collection[K] = ()


async def recorded_cancellers(
    transaction: Transaction,
    organization_id: str,
    asked: Mapping[K, Entering],
    profiles: dict[str, Profile | None],
) -> RecordedCancellers[K]:
    """Find the event that cancels each entry already.

    What retention removed cancels nothing from then on. So it is unclear only of recorded events
    what cancelled them when they were decided.

    Args:
        transaction: to ask in.
        organization_id: whose events.
        asked: entries by what they are asked for.
        profiles: those that were read already, by id; filled here.
    """
    probes: dict[K, list[RecordedProbe]] = {}
    for key, entering in asked.items():
        event, rules = entering.event, entering.journey.rules.cancel_on
        # An event that happened when it was received is later than all that is recorded.
        if rules and event.occurred_at < event.received_at:
            who, before = event.profile_id, entering.before
            merged = await merged_before(transaction, organization_id, who, before, profiles)
            probes[key] = probes_of_cancellers(
                rules, _state(event), (who, *merged), event.occurred_at, before
            )
    found: dict[K, UserEvent] = {}
    keys = list(probes)
    for place in range(0, len(keys), _AT_ONCE):
        some = keys[place : place + _AT_ONCE]
        together = dict.fromkeys(probe for key in some for probe in probes[key])
        answers = await recorded_events(transaction, organization_id, list(together))
        for key in some:
            event, rules = asked[key].event, asked[key].journey.rules.cancel_on
            recorded = [each for probe in probes[key] for each in answers[probe]]
            canceller = canceller_among(rules, _state(event), event.occurred_at, recorded)
            if canceller is not None:
                found[key] = canceller
    left = [key for key in keys if key not in found and asked[key].before is not None]
    gone = await _gone(transaction, organization_id, [each for key in left for each in probes[key]])
    unclear = {
        key for key in left if may_have_gone(probes[key], gone) or _is_erased(asked[key], profiles)
    }
    return RecordedCancellers(found, unclear)


def _is_erased(entering: Entering, profiles: Mapping[str, Profile | None]) -> bool:
    """Say whether the values that had to be equal were erased."""
    profile = profiles[entering.event.profile_id]
    asks_values = any(rule.same for rule in entering.journey.rules.cancel_on)
    return asks_values and profile is not None and profile.erased_at is not None


async def _gone(
    transaction: Transaction, organization_id: str, probes: Iterable[RecordedProbe]
) -> Iterable[GoneEvents]:
    """Return what retention left of the events of those whom probes ask about."""
    whose = sorted({probe.profile_id for probe in probes})
    retention: RetentionRepository | None = getattr(transaction, "retention", None)
    if retention is None or not whose:
        return ()
    return await settle(retention.gone(organization_id, whose))


def _state(event: UserEvent) -> JsonObject:
    return {"event": event.data, "profile": event.profile}


def _cancelling(transaction: Transaction) -> CancellingRepository:
    lacking = "This storage keeps no Journeys with cancelOn."
    repository: CancellingRepository = capability(transaction, "cancelling", lacking)
    return repository
