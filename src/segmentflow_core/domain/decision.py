"""The decision of `events.track`: one pure function over a batch.

In go the requests, what the store knows, the time and fresh ids. Out come the changes to
write, and one receipt or error for each item. Items are applied one after another to the
state so far; a single event is a batch of one. Must never read or write anything itself.

See docs/reference/rules/tracking.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from attrs import define, evolve

from segmentflow_core.domain.cancelling import (
    Withdrawal,
    cancellers_of,
    happened_at,
    still_awaited,
)
from segmentflow_core.domain.earlier_events import (
    EarlierEvent,
    EarlierEvents,
    HistoryProbe,
    Question,
    series_of,
)
from segmentflow_core.domain.event import (
    Enrollment,
    Outcome,
    OutcomeKind,
    Receipt,
    SkipReason,
    UserEvent,
)
from segmentflow_core.domain.fingerprint import FingerprintKeys
from segmentflow_core.domain.history import History
from segmentflow_core.domain.item import Item, answer_taken_key, claim_key
from segmentflow_core.domain.journey import Journey, PriorEntries
from segmentflow_core.domain.json_value import JsonObject
from segmentflow_core.domain.profile import (
    DEFAULT_PROFILE_LIMITS,
    Profile,
    ProfileLimits,
)
from segmentflow_core.domain.profiles_in_hand import ProfilesInHand
from segmentflow_core.domain.tracking import Changes, KeyClaim, Known, Probe
from segmentflow_core.domain.withdrawals import (
    NOTHING_LOOKED_UP,
    LookedUp,
    Questions,
    Withdrawals,
)
from segmentflow_core.errors import IdempotencyKeyReuse, SegmentflowError

__all__ = ["Decision", "decide"]


@define(repr=False)
class Decision:
    """The result of a batch.

    Attributes:
        results: for each item its receipt or its refusal.
        changes: what to write.
        probes: questions about earlier entries that were not answered.
        disputed: the ids of recorded events that were not given: the key of each was taken for
            another request than the one sent now.
        history_probes: questions about earlier events that were not answered.
        questions: about what events cancel, not answered; None where there are none.
        withdrawn: Enrollments of earlier batches that were withdrawn or marked, each as it was
            and as it is to be stored, sorted by id.

    While there are probes, disputed events or questions the rest is provisional: answer them and
    decide the batch again.
    """

    results: tuple[Receipt | SegmentflowError, ...]
    changes: Changes
    probes: tuple[Probe, ...] = ()
    disputed: tuple[str, ...] = ()
    history_probes: tuple[HistoryProbe, ...] = ()
    questions: Questions | None = None
    withdrawn: tuple[tuple[Enrollment, Enrollment], ...] = ()

    @property
    def final(self) -> bool:
        """Whether nothing is left to answer."""
        return not (self.probes or self.disputed or self.history_probes or self.questions)


_NOTHING_PRIOR: Final = PriorEntries()
_journey_id: Final = attrgetter("definition.journey_id")
_NOTHING_RECORDED: Final[Mapping[str, UserEvent | None]] = {}
_NOTHING_TOLD: Final[Mapping[Question, EarlierEvents]] = {}


def decide(
    items: Sequence[Item],
    known: Known,
    prior_entries: Mapping[Probe, PriorEntries],
    recorded: Mapping[str, UserEvent | None] = _NOTHING_RECORDED,
    earlier: Mapping[Question, EarlierEvents] = _NOTHING_TOLD,
    *,
    keys: FingerprintKeys | None,
    now: datetime,
    expires_at: datetime | None = None,
    new_id: Callable[[], str],
    create_without_email: bool = False,
    profile_limits: ProfileLimits = DEFAULT_PROFILE_LIMITS,
    looked_up: LookedUp = NOTHING_LOOKED_UP,
) -> Decision:
    """Decide a batch.

    Args:
        items: in the order they were sent. Two may share a key.
        known: what the store answered; every key it does not name as taken is this batch's.
        prior_entries: answers to the probes of an earlier run.
        recorded: the disputed events of an earlier run, by id; None for one that is gone.
        earlier: answers to the history probes of an earlier run, by question.
        keys: to compare with fingerprints made under an older key; None for a dry run, which
            takes no key and so meets none that is taken.
        now: when the batch was received.
        expires_at: when the keys it takes are free again; None keeps them for ever.
        new_id: gives a fresh id on every call.
        create_without_email: whether a new external id alone creates a Profile.
        profile_limits: how much a Profile may hold.
        looked_up: answers to the questions of an earlier run.
    """
    batch = _Batch(
        known,
        prior_entries,
        recorded,
        earlier,
        keys=keys,
        now=now,
        expires_at=expires_at,
        new_id=new_id,
        create_without_email=create_without_email,
        profile_limits=profile_limits,
        looked_up=looked_up,
    )
    results = tuple([batch.apply(item) for item in items])
    withdrawals = batch.withdrawals
    questions = None if withdrawals is None else withdrawals.questions
    if batch.probes or batch.disputed or batch.history_probes or questions:
        return Decision(
            results,
            Changes(),
            tuple(batch.probes),
            tuple(batch.disputed),
            tuple(batch.history_probes.values()),
            questions or None,
        )
    if withdrawals is None:
        return Decision(results, batch.changes())
    changed = withdrawals.changed
    withdrawn = tuple([changed[enrollment_id] for enrollment_id in sorted(changed)])
    return Decision(results, batch.changes(), withdrawn=withdrawn)


class _Batch:
    """The state of a batch while it is decided."""

    def __init__(
        self,
        known: Known,
        prior_entries: Mapping[Probe, PriorEntries],
        recorded: Mapping[str, UserEvent | None],
        earlier: Mapping[Question, EarlierEvents],
        *,
        keys: FingerprintKeys | None,
        now: datetime,
        expires_at: datetime | None,
        new_id: Callable[[], str],
        create_without_email: bool,
        profile_limits: ProfileLimits,
        looked_up: LookedUp,
    ) -> None:
        self.taken = known.taken
        self.prior_entries = prior_entries
        self.recorded = recorded
        self.earlier = earlier
        self.keys = keys
        self.now = now
        self.expires_at = expires_at
        self.new_id = new_id
        self.profiles = ProfilesInHand(
            known.profiles,
            known.blocked,
            now=now,
            new_id=new_id,
            create_without_email=create_without_email,
            limits=profile_limits,
        )
        self.journeys: dict[str, list[Journey]] = {}
        for journey in sorted(known.journeys, key=_journey_id):
            self.journeys.setdefault(journey.definition.trigger.event, []).append(journey)
        self.free: dict[str, None] = {}
        self.accepted: dict[str, tuple[Item, UserEvent, Receipt]] = {}
        self.events: list[UserEvent] = []
        self.enrollments: list[Enrollment] = []
        self.entered: dict[tuple[str, str], dict[str | None, int]] = {}
        self.probes: dict[Probe, None] = {}
        self.disputed: dict[str, None] = {}
        self.looked_up = looked_up
        self.withdrawals: Withdrawals | None = None
        self.history_probes: dict[Question, HistoryProbe] = {}
        self.named: dict[tuple[str, str], list[EarlierEvent]] = {}
        self.named_up_to = 0

    def apply(self, item: Item) -> Receipt | SegmentflowError:
        """Decide one item and add its effects to the batch."""
        key = item.key_digest
        taken = self.taken.get(key)
        if taken is not None:
            return self._replay(item, taken)
        accepted = self.accepted.get(key)
        if accepted is not None:
            first, event, receipt = accepted
            return self._replay(item, self._claim(first, receipt), event)
        try:
            event, unmatched = self._track(item)
        except SegmentflowError as refusal:
            self.free[key] = None
            return refusal
        receipt = Receipt.of(event, unmatched)
        self.accepted[key] = (item, event, receipt)
        return receipt

    def changes(self) -> Changes:
        """Collect what the batch writes."""
        accepted, profiles = self.accepted, self.profiles
        claims: tuple[KeyClaim, ...] = ()
        if self.keys is not None:
            claims = tuple(
                [self._claim(item, receipt) for _, (item, _, receipt) in sorted(accepted.items())]
            )
        return Changes(
            freed=tuple(sorted(self.free.keys() - accepted.keys())) if self.free else (),
            key_claims=claims,
            created_profiles=tuple(profiles.created.values()),
            changed_profiles=tuple(profiles.changed.values()),
            previous_profiles=profiles.previous(),
            new_versions=tuple(profiles.new_versions),
            events=tuple(self.events),
            enrollments=tuple(
                self.enrollments
                if self.withdrawals is None
                else self.withdrawals.final(self.enrollments)
            ),
        )

    def _withdrawals(self) -> Withdrawals:
        """Return what this batch withdraws; few batches have to do with it."""
        if self.withdrawals is None:
            locks = self.keys is not None
            self.withdrawals = Withdrawals(self.looked_up, self.now, locks=locks)
        return self.withdrawals

    def _claim(self, item: Item, receipt: Receipt) -> KeyClaim:
        assert self.keys is not None
        return claim_key(item, receipt, self.keys.current, self.now, self.expires_at)

    def _replay(
        self, item: Item, first: KeyClaim, event: UserEvent | None = None
    ) -> Receipt | SegmentflowError:
        """Answer a key that is taken; note its event as disputed where the answer needs it."""
        assert self.keys is not None
        event_id = first.receipt.event_id
        recorded = self.recorded if event is None else {event_id: event}
        answer = answer_taken_key(item, first, self.keys, recorded)
        if answer is None:
            self.disputed[event_id] = None
            return IdempotencyKeyReuse()
        return answer

    def _track(self, item: Item) -> tuple[UserEvent, tuple[str, ...]]:
        """Record a request; return its event and the redaction paths that match nothing."""
        request = item.request
        occurred_at = self.now if request.occurred_at is None else request.occurred_at
        profile = self.profiles.take(request)
        redacted = request.redaction.apply(request.data)
        profile_state = profile.state()
        state = {"event": redacted.data, "profile": profile_state}
        withdrew: tuple[Withdrawal, ...] = ()
        if profile.awaits:
            withdrew, awaits = self._withdrawals().cancel(
                profile,
                request.event,
                state,
                request.occurred_at,
                item.event_id,
                is_new=profile.profile_id in self.profiles.created,
            )
            profile = self.profiles.change_awaits(profile, awaits)
        outcomes: list[Outcome] = []
        history: History | None = None
        for journey in self.journeys.get(request.event, ()):
            if history is None and journey.rules.dids:
                history = self._history(state, profile, occurred_at)
            outcome = self._outcome(journey, state, profile, item, history=history)
            outcomes.append(outcome)
        event = UserEvent(
            item.event_id,
            profile.profile_id,
            profile.number,
            request.event,
            redacted.data,
            profile_state,
            profile.version,
            request.reference_id,
            occurred_at,
            self.now,
            tuple(outcomes),
            withdrew,
        )
        self.events.append(event)
        return event, redacted.unmatched

    def _outcome(
        self,
        journey: Journey,
        state: dict[str, Any],
        profile: Profile,
        item: Item,
        *,
        history: History | None,
    ) -> Outcome:
        journey_id = journey.definition.journey_id
        if profile.suppressed_at is not None:
            return Outcome(journey_id, journey.version, "skipped", SkipReason.SUPPRESSED)
        rules = journey.rules
        profile_id = profile.profile_id
        occurred_at = item.request.occurred_at or self.now
        told = history if rules.dids else None
        passage = rules.judge(state, occurred_at, self.now, profile_id, told)
        reason = passage.reason
        if reason is None and passage.needs_history:
            since = rules.since(self.now)
            probe = Probe(journey_id, profile_id, passage.entry_key, None, since)
            reason = rules.readmit(self._prior(probe, profile), self.now)
        if reason is None and rules.cancel_on:
            is_new = profile_id in self.profiles.created
            if self._withdrawals().is_cancelled(
                rules.cancel_on,
                profile,
                state,
                item.request.occurred_at,
                self.events,
                is_new=is_new,
            ):
                reason = SkipReason.CANCELLED
        # What is not known yet is decided again, and enrols then.
        if reason is None and not (told is not None and told.is_open):
            self._enroll(journey, profile, passage.entry_key, state, item)
        kind: OutcomeKind = "enrolled" if reason is None else "skipped"
        return Outcome(journey_id, journey.version, kind, reason)

    def _history(self, state: JsonObject, profile: Profile, occurred_at: datetime) -> History:
        """Return what is earlier than an event: of this batch, and of what the store knows."""
        profile_id = profile.profile_id
        is_new = profile_id in self.profiles.created
        return History(
            state,
            occurred_at,
            self.now,
            () if is_new else series_of(profile),
            answers=self.earlier,
            unanswered=self.history_probes,
            at_hand=lambda name: self._accepted(profile_id, name),
        )

    def _accepted(self, profile_id: str, name: str) -> Sequence[EarlierEvent]:
        """Return the events of this batch so far, of one Profile and name."""
        for event in self.events[self.named_up_to :]:
            named = self.named.setdefault((event.profile_id, event.event), [])
            named.append(EarlierEvent.of(event))
        self.named_up_to = len(self.events)
        return self.named.get((profile_id, name), ())

    def _prior(self, probe: Probe, profile: Profile) -> PriorEntries:
        """Return the earlier entries: those of this batch and those the store knows."""
        prior = _NOTHING_PRIOR
        profile_id, key = profile.profile_id, probe.entry_key
        if profile_id not in self.profiles.created:
            prior = self._known(probe)
            for series in profile.merged:
                prior = prior.joined(self._known(evolve(probe, profile_id=series.profile_id)))
        entered = self.entered.get((probe.journey_id, profile_id))
        if entered is not None:
            same = entered.get(key, 0)
            count = prior.count + same if probe.since is not None else 0
            prior = PriorEntries(self.now, prior.key_taken or same > 0, count)
        return prior

    def _known(self, probe: Probe) -> PriorEntries:
        """Return the store's answer to a probe; note it as one to ask where there is none yet."""
        answer = self.prior_entries.get(probe)
        if answer is None:
            self.probes[probe] = None
            return _NOTHING_PRIOR
        return answer

    def _enroll(
        self,
        journey: Journey,
        profile: Profile,
        entry_key: str | None,
        state: JsonObject,
        item: Item,
    ) -> None:
        rules, event_id = journey.rules, item.event_id
        occurred_at = item.request.occurred_at or self.now
        profile_id, journey_id = profile.profile_id, journey.definition.journey_id
        entered = self.entered.setdefault((journey_id, profile_id), {})
        entered[entry_key] = entered.get(entry_key, 0) + 1
        cancellers = None
        if rules.cancel_on:
            since = happened_at(occurred_at, self.now)
            cancellers = cancellers_of(rules.cancel_on, state, since)
        enrollment = Enrollment(
            self.new_id(),
            journey_id,
            journey.version,
            profile_id,
            event_id,
            profile.number,
            rules.kept_key(entry_key, event_id),
            self.now,
            available_at=rules.available_at(occurred_at, self.now),
            cancellers=cancellers,
            era=journey.era,
        )
        self.enrollments.append(enrollment)
        if cancellers is not None:
            self._withdrawals().add(enrollment)
            current = self.profiles.current(profile_id)
            met = still_awaited(rules.cancel_on, cancellers.digests)
            awaits = tuple(dict.fromkeys((*current.awaits, *met)))
            self.profiles.change_awaits(current, awaits)
