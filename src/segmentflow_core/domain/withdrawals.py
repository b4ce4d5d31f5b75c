"""The Enrollments that the events of a batch withdraw, one event after another.

Knows what waits for a Profile, as far as the store was asked, and what this batch made. Notes what
must still be asked; then what it decides is provisional. Must never read or write a store.

See docs/reference/rules/cancelling.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import define, field, frozen

from segmentflow_core.domain.cancelling import (
    LOOKED_AT,
    CancelOn,
    Withdrawal,
    cancel_digest,
    digests_of,
    happened_at,
    still_awaited,
)
from segmentflow_core.domain.event import Enrollment, EnrollmentStatus, UserEvent
from segmentflow_core.domain.hand_over import cancelled
from segmentflow_core.domain.json_value import JsonObject
from segmentflow_core.domain.profile import Profile
from segmentflow_core.domain.retention import GoneEvents

__all__ = [
    "NOTHING_LOOKED_UP",
    "LookedUp",
    "Questions",
    "RecordedProbe",
    "Withdrawals",
    "canceller_among",
    "may_have_gone",
    "probes_of_cancellers",
]


@frozen
class RecordedProbe:
    """A question about recorded events: which of a name happened, and were received, after when.

    Attributes:
        profile_id: whose events, as they were recorded.
        event: their name.
        since: they happened, and were received, after this instant.
        before: only those with lower numbers; None asks for all.
    """

    profile_id: str
    event: str
    since: datetime
    before: int | None = None


@define
class LookedUp:
    """What a store answered to `Questions` so far.

    Attributes:
        waiting: by Profile, the Enrollments of it and of what was merged into it that an event may
            withdraw.
        complete: whether all of them are there; otherwise those that `digests` are of are.
        digests: of the events that were asked about.
        series: by Profile, the ids that its Enrollments go by, of those in `waiting`.
        locked: Enrollments as they are, now that they are locked; None for one that is gone.
        recorded: events, by probe.
        leases_at: the instant by the clock that leases go by; None where that is the batch's.
    """

    waiting: Mapping[str, Sequence[Enrollment]] = field(factory=dict[str, Sequence[Enrollment]])
    locked: Mapping[str, Enrollment | None] = field(factory=dict[str, "Enrollment | None"])
    recorded: Mapping[RecordedProbe, Sequence[UserEvent]] = field(
        factory=dict[RecordedProbe, Sequence[UserEvent]]
    )
    leases_at: datetime | None = None
    complete: bool = True
    digests: frozenset[str] = frozenset()
    series: Mapping[str, tuple[str, ...]] = field(factory=dict[str, "tuple[str, ...]"])


NOTHING_LOOKED_UP: Final = LookedUp()


@define
class Questions:
    """What a store must still be asked.

    Attributes:
        waiting: what waits for these Profiles: by Profile, the ids its Enrollments go by.
        digests: of the events that may withdraw it.
        locks: ids of Enrollments to lock.
        recorded: probes.
    """

    waiting: dict[str, tuple[str, ...]] = field(factory=dict[str, "tuple[str, ...]"])
    locks: dict[str, None] = field(factory=dict[str, None])
    recorded: dict[RecordedProbe, None] = field(factory=dict[RecordedProbe, None])
    digests: set[str] = field(factory=set[str])

    def __bool__(self) -> bool:
        """Say whether there are any."""
        return bool(self.waiting or self.locks or self.recorded)


class Withdrawals:
    """What a batch withdraws while it is decided.

    Args:
        looked_up: what the store answered to earlier runs.
        now: when the batch was received.
        locks: whether what is withdrawn must be locked first; a dry run locks nothing.

    Attributes:
        questions: what must be asked, and the batch be decided again.
        changed: Enrollments of earlier batches by id, each as it was and as it is to be.
    """

    def __init__(self, looked_up: LookedUp, now: datetime, *, locks: bool) -> None:
        self._looked_up = looked_up
        self._now = now
        self._locks = locks
        self._made: dict[str, dict[str, Enrollment]] = {}
        self._seen: dict[tuple[CancelOn, ...], dict[str, set[str]]] = {}
        self.questions = Questions()
        self.changed: dict[str, tuple[Enrollment, Enrollment]] = {}

    def add(self, enrollment: Enrollment) -> None:
        """Note an Enrollment that this batch makes and that a later event may withdraw."""
        made = self._made.setdefault(enrollment.profile_id, {})
        made[enrollment.enrollment_id] = enrollment

    def final(self, enrollments: Iterable[Enrollment]) -> tuple[Enrollment, ...]:
        """Return the Enrollments of this batch as its last event leaves them."""
        made = {each: of for by_id in self._made.values() for each, of in by_id.items()}
        return tuple([made.get(each.enrollment_id, each) for each in enrollments])

    def cancel(
        self,
        profile: Profile,
        name: str,
        state: JsonObject,
        occurred_at: datetime | None,
        event_id: str,
        *,
        is_new: bool,
    ) -> tuple[tuple[Withdrawal, ...], tuple[CancelOn, ...]]:
        """Withdraw what an event of a Profile cancels.

        Args:
            profile: whose event.
            name: of the event.
            state: its state document.
            occurred_at: when it happened; None where the request does not say: then it is later
                than every event that is recorded.
            event_id: its id.
            is_new: whether this batch makes the Profile, so that the store knows nothing of it.

        Returns:
            What was done, sorted by Enrollment, and what the Profile waits for from now on.
        """
        digests = digests_of(profile.awaits, state, name)
        if not digests:
            return (), profile.awaits
        at = None if occurred_at is None else happened_at(occurred_at, self._now)
        done: list[Withdrawal] = []
        left: set[str] = set()
        for each in self._waiting(profile, digests, is_new=is_new):
            cancellers = each.cancellers
            if cancellers is None:
                continue
            is_met = not digests.isdisjoint(cancellers.digests) and (
                at is None or at >= cancellers.since
            )
            after = self._withdrawn(each, event_id) if is_met else None
            if after is None or after.status is not EnrollmentStatus.WITHDRAWN:
                left.update(cancellers.digests)
            if after is not None and after.cancelled_by == event_id:
                is_marked = after.status is not EnrollmentStatus.WITHDRAWN
                done.append(Withdrawal(each.enrollment_id, each.journey_id, is_marked))
        done.sort(key=lambda each: each.enrollment_id)
        is_known = is_new or self._looked_up.complete
        if not is_known or self.questions.waiting or self.questions.locks:
            return tuple(done), profile.awaits
        return tuple(done), still_awaited(profile.awaits, left)

    def _waiting(
        self, profile: Profile, digests: set[str], *, is_new: bool
    ) -> Iterator[Enrollment]:
        """Yield what an event of the Profile may withdraw, as it stands in this batch."""
        profile_id = profile.profile_id
        if not is_new:
            looked_up = self._looked_up
            known = looked_up.waiting.get(profile_id)
            if known is None or not (looked_up.complete or digests <= looked_up.digests):
                self.questions.waiting[profile_id] = profile.series
                self.questions.digests |= digests
                known = ()
            for each in known:
                change = self.changed.get(each.enrollment_id)
                yield each if change is None else change[1]
        yield from list(self._made.get(profile_id, {}).values())

    def _withdrawn(self, enrollment: Enrollment, event_id: str) -> Enrollment | None:
        """Return an Enrollment as the event leaves it; None where it leaves it as it is."""
        enrollment_id = enrollment.enrollment_id
        made = self._made.get(enrollment.profile_id, {})
        if enrollment_id in made:
            # Nobody holds it, and what was withdrawn waits for nothing.
            after = cancelled(enrollment, event_id, self._now)
            assert after is not None
            made[enrollment_id] = after
            return after
        change = self.changed.get(enrollment_id)
        if change is not None:
            before, current = change
        else:
            if self._locks and enrollment_id not in self._looked_up.locked:
                self.questions.locks[enrollment_id] = None
                return None
            locked = self._looked_up.locked.get(enrollment_id) if self._locks else enrollment
            if locked is None:
                return None
            before = current = locked
        after = cancelled(current, event_id, self._now, self._looked_up.leases_at)
        if after is not None:
            self.changed[enrollment_id] = (before, after)
        return after

    def is_cancelled(
        self,
        rules: Sequence[CancelOn],
        profile: Profile,
        state: JsonObject,
        occurred_at: datetime | None,
        events: Iterable[UserEvent],
        *,
        is_new: bool,
    ) -> bool:
        """Say whether an event that cancels an entry is recorded already.

        Args:
            rules: of the version that would be entered.
            profile: who would enter.
            state: of the event that would enrol.
            occurred_at: when that happened; None where the request does not say: then nothing
                that is recorded is later.
            events: of this batch so far.
            is_new: whether this batch makes the Profile.
        """
        if occurred_at is None or occurred_at >= self._now:
            return False
        own = [event for event in events if event.profile_id == profile.profile_id]
        recorded: list[UserEvent] = []
        for probe in probes_of_cancellers(rules, state, profile.series, occurred_at):
            answer = () if is_new else self._looked_up.recorded.get(probe)
            if answer is None:
                self.questions.recorded[probe] = None
                answer = ()
            recorded += _latest(probe, own, answer)
        later = _happened_after(recorded, occurred_at)
        digests = {cancel_digest(rule, state) for rule in rules}
        # An event of a batch may be later than each of the others.
        seen = self._seen.setdefault(tuple(rules), {})
        for event in later:
            its_digests = seen.get(event.event_id)
            if its_digests is None:
                its_digests = seen[event.event_id] = _digests_of_event(rules, event)
            if not digests.isdisjoint(its_digests):
                return True
        return False


def _latest(
    probe: RecordedProbe, own: Iterable[UserEvent], answer: Sequence[UserEvent]
) -> Sequence[UserEvent]:
    """Return what a store would answer once the events of a batch are recorded, too.

    So an explanation, for which they are, looks at the same events.
    """
    made = [
        event
        for event in _happened_after(own, probe.since)
        if (event.profile_id, event.event) == (probe.profile_id, probe.event)
    ]
    if not made:
        return answer
    return sorted((*answer, *made), key=_when, reverse=True)[:LOOKED_AT]


def _when(event: UserEvent) -> tuple[datetime, int]:
    return event.occurred_at, event.number


def probes_of_cancellers(
    rules: Sequence[CancelOn],
    state: JsonObject,
    series: Iterable[str],
    occurred_at: datetime,
    before: int | None = None,
) -> list[RecordedProbe]:
    """Return what to ask of recorded events before an entry.

    Args:
        rules: of the version that would be entered.
        state: of the event that would enrol.
        series: the ids that the Profile's events go by, its own first.
        occurred_at: when that event happened.
        before: its number, where only those of its own series count that are below.
    """
    names = {rule.event: None for rule in rules if cancel_digest(rule, state) is not None}
    return [
        RecordedProbe(profile_id, name, occurred_at, None if place else before)
        for place, profile_id in enumerate(series)
        for name in names
    ]


def canceller_among(
    rules: Sequence[CancelOn],
    state: JsonObject,
    occurred_at: datetime,
    events: Iterable[UserEvent],
) -> UserEvent | None:
    """Return the event that cancels an entry, if there is one: of several the latest.

    Args:
        rules: of the version that would be entered.
        state: of the event that would enrol.
        occurred_at: when that event happened.
        events: recorded before it.
    """
    digests = {cancel_digest(rule, state) for rule in rules}
    for event in sorted(_happened_after(events, occurred_at), key=_when, reverse=True):
        if not digests.isdisjoint(_digests_of_event(rules, event)):
            return event
    return None


def may_have_gone(probes: Iterable[RecordedProbe], gone: Iterable[GoneEvents]) -> bool:
    """Say whether retention may have removed an event that one of the probes asks for.

    Of several events that went nobody knows which of them had the lower numbers.
    """
    left = {(each.profile_id, each.event): each for each in gone}
    for probe in probes:
        each = left.get((probe.profile_id, probe.event))
        if each is not None and each.last_occurred_at > probe.since:
            are_later = probe.before is not None and each.highest_number > probe.before
            if not are_later or each.count > 1:
                return True
    return False


def _happened_after(events: Iterable[UserEvent], moment: datetime) -> Iterator[UserEvent]:
    return (e for e in events if happened_at(e.occurred_at, e.received_at) > moment)


def _digests_of_event(rules: Sequence[CancelOn], event: UserEvent) -> set[str]:
    return digests_of(rules, {"event": event.data, "profile": event.profile}, event.event)
