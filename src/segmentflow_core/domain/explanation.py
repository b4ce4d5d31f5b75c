"""Why an event lets its Profile into a Journey, or does not: every fact behind the outcome.

The outcome comes from the Journey's own `Rules`, which tracking uses too. Beside it stands
every fact those rules look at, even one that no longer mattered. Knows one event as it is
stored, or would be, and earlier entries. Must never ask the time, nor see a value from
before redaction.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from attrs import evolve, field, frozen

from segmentflow_core.domain.cancelling import Withdrawal
from segmentflow_core.domain.condition import Explanation, Reason, why_unknown
from segmentflow_core.domain.condition.reading import read
from segmentflow_core.domain.event import Enrollment, Outcome, OutcomeKind, SkipReason, UserEvent
from segmentflow_core.domain.history import History, Recalls
from segmentflow_core.domain.journey import (
    Journey,
    JourneyStatus,
    PriorEntries,
    Reentry,
    ReentryPolicy,
    Rules,
    Sample,
    Window,
    in_sample,
    is_within,
)
from segmentflow_core.domain.json_value import JsonObject, JsonValue, Missing
from segmentflow_core.domain.pointer import Tokens, format_pointer, parse_pointer
from segmentflow_core.domain.redaction import REDACTED
from segmentflow_core.domain.tracking import Probe

__all__ = [
    "CancelFact",
    "CancelRule",
    "DelayFact",
    "ExplainedEvent",
    "ExplainedJourney",
    "KeyPart",
    "LatenessFact",
    "ReentryFact",
    "SampleFact",
    "SilentJourney",
    "WindowFact",
    "explain_journey",
    "outcome_of",
    "probe_for",
]

_END: Final = datetime.max.replace(tzinfo=UTC)


@frozen
class WindowFact:
    """The active window, and whether the event happened in it.

    Attributes:
        window: the definition's.
        met: whether the event happened in it.
    """

    window: Window
    met: bool


@frozen
class LatenessFact:
    """The maximum lateness, and how late the event was received.

    Attributes:
        limit: the definition's ISO 8601 duration.
        lateness: the time from occurrence to receipt; negative where it happened later.
        met: whether it was received in time.
    """

    limit: str
    lateness: timedelta
    met: bool


@frozen
class SampleFact:
    """The sample, and whether the Profile is in it.

    Attributes:
        sample: the definition's.
        met: whether the Profile is in it. None for a Profile that does not exist yet: its id
            decides, and it has none.
    """

    sample: Sample
    met: bool | None


@frozen
class KeyPart:
    """One part of an entry key.

    Attributes:
        path: JSON Pointer into the state document.
        found: what the state has there; the redaction marker where that place or a parent of
            it is redacted.
        reason: why the value cannot be a part of a key; None where it can.
    """

    path: str
    found: JsonValue | Missing = field(repr=False)
    reason: Reason | None = None


@frozen
class ReentryFact:
    """The re-entry policy, and the Profile's earlier entries into the Journey.

    Attributes:
        policy: the definition's.
        key: the parts of the entry key; only where the policy has one.
        duration: the cooldown as an ISO 8601 duration; only for `cooldown`.
        last_entered_at: when the latest earlier entry was made, with any key; None for
            `every_event`, which does not look at earlier entries.
        key_taken: whether an earlier entry has the same key.
        free_at: when the running cooldown ends; None where none is running.
        times: how many entries `at_most` lets in; None for the other policies.
        within: for how long an entry counts, as an ISO 8601 duration; only for `at_most`.
        entries: how many earlier entries counted; only for `at_most`.
        met: whether the policy lets the Profile in; None where a part of the key is missing.
    """

    policy: ReentryPolicy
    key: tuple[KeyPart, ...] = ()
    duration: str | None = None
    last_entered_at: datetime | None = None
    key_taken: bool = False
    free_at: datetime | None = None
    met: bool | None = True
    times: int | None = None
    within: str | None = None
    entries: int | None = None


@frozen
class DelayFact:
    """The delay, and from when on an entry would be handed over.

    Attributes:
        delay: the definition's ISO 8601 duration.
        available_at: not before this instant.
    """

    delay: str
    available_at: datetime


@frozen
class CancelRule:
    """One rule of what cancels an entry, and the values that this event has for it.

    Attributes:
        event: the name of the events that cancel.
        same: where their values must be equal to these; one that equals nothing has a reason, and
            then no event cancels by this rule.
    """

    event: str
    same: tuple[KeyPart, ...]


@frozen
class CancelFact:
    """What cancels an entry, and whether that has happened already.

    Attributes:
        rules: the definition's.
        cancelled_by: a recorded event that cancels the entry; None where there is none.
        met: whether no event that was recorded before cancels the entry. False without such an
            event where the outcome that was recorded says so, and the event is gone. None where
            nobody knows: retention or erasure took what may have cancelled it.
    """

    rules: tuple[CancelRule, ...]
    cancelled_by: str | None
    met: bool | None = True


@frozen(repr=False)
class ExplainedJourney:
    """The outcome of one event for one Journey that listens for it, and why.

    Attributes:
        journey_id: the Journey.
        name: shown to people.
        version: the version that was asked; None for a draft that differs from what is
            published.
        outcome: ``"enrolled"`` or ``"skipped"``. Where `cancelling.met` is None, it is that of an
            event that nothing cancelled.
        reason: why it skips; None where it enrols.
        window: whether the event happened in it; None where the definition has none.
        lateness: how late the event came; None where the definition has no limit.
        sample: whether the Profile is in it; None where the definition has none.
        condition: the condition's tree; None where the definition has none.
        reentry: the policy and the earlier entries.
        recorded: the outcome stored with the event for this Journey; None where there is none.
        delay: how long an entry waits; None where the definition has no delay.
        cancelling: what cancels an entry; None where the definition has no such rules.
        enrollment: the entry that a stored event made into this Journey, as it stands now; None
            where it made none, where it has gone since, of a request and of a draft.
    """

    journey_id: str
    name: str
    version: int | None
    outcome: OutcomeKind
    reason: SkipReason | None
    window: WindowFact | None
    lateness: LatenessFact | None
    sample: SampleFact | None
    condition: Explanation | None
    reentry: ReentryFact
    recorded: Outcome | None
    delay: DelayFact | None = None
    cancelling: CancelFact | None = None
    enrollment: Enrollment | None = None

    def __repr__(self) -> str:
        """Name the Journey and the outcome; the facts hold the event's values and are not shown."""
        return f"<ExplainedJourney {self.journey_id} {self.reason or self.outcome}>"


@frozen
class SilentJourney:
    """A Journey that was asked about and does not listen for the event.

    Attributes:
        journey_id: the Journey.
        status: its status.
        event: the event name it listens for when active.
        reason: ``"event"`` where that is another event; ``"status"`` where it is this event
            and the Journey is not active.
    """

    journey_id: str
    status: JourneyStatus
    event: str
    reason: Literal["event", "status"]

    @classmethod
    def of(cls, journey: Journey, event: str) -> SilentJourney:
        """Say why `journey` does not listen for the event of that name."""
        definition = journey.definition
        listens_for = definition.trigger.event
        return cls(
            journey.journey_id,
            definition.status,
            listens_for,
            "status" if listens_for == event else "event",
        )


@frozen(repr=False)
class ExplainedEvent:
    """One event, stored or not yet sent, and its outcome for every Journey that listens.

    Attributes:
        event_id: of a stored event; None for a request.
        profile_id: whose event it is; None where tracking would create the Profile.
        event: its name.
        occurred_at: when it happened.
        received_at: when it was received; for a request, when it was explained.
        unmatched_paths: redaction paths of a request that match nothing in its data, sorted.
        journeys: one for each Journey that listens, sorted by Journey id.
        silent: Journeys the caller asked about, by id or as drafts, that do not listen.
        withdrew: the Enrollments that a stored event withdrew, or that a request would withdraw.
        other_enrollments: the entries that a stored event made into Journeys that are not among
            `journeys`, because they do not listen for it today, as these stand now; by Journey id.
    """

    event_id: str | None
    profile_id: str | None
    event: str
    occurred_at: datetime
    received_at: datetime
    unmatched_paths: tuple[str, ...]
    journeys: tuple[ExplainedJourney, ...]
    silent: tuple[SilentJourney, ...] = ()
    withdrew: tuple[Withdrawal, ...] = ()
    other_enrollments: tuple[Enrollment, ...] = ()

    def __repr__(self) -> str:
        """Name the event without showing what it holds."""
        return f"<ExplainedEvent {self.event_id or 'not stored'}>"


def probe_for(journey: Journey, event: UserEvent, before: int | None) -> Probe | None:
    """Return the question about earlier entries that explaining `journey` needs, or None."""
    rules = journey.rules
    if rules.policy is ReentryPolicy.EVERY_EVENT:
        return None
    entry_key = rules.entry_key(_state(event))
    if entry_key is None and rules.key:
        return None
    since = rules.since(event.received_at)
    return Probe(journey.journey_id, event.profile_id, entry_key, before, since)


def explain_journey(
    journey: Journey,
    event: UserEvent,
    prior: PriorEntries,
    *,
    version: int | None,
    profile_exists: bool = True,
    suppressed: bool = False,
    history: History | None = None,
    canceller: UserEvent | None = None,
    is_unclear: bool = False,
    enrollment: Enrollment | None = None,
) -> ExplainedJourney:
    """Say what comes of `event` for `journey`, and why.

    Args:
        journey: listens for the event.
        event: as stored, or as tracking would store it.
        prior: the answer to `probe_for`; where that is None, an empty `PriorEntries`.
        version: the version to name in the answer.
        profile_exists: False where tracking would create the Profile. Its real id is not known
            then, so a sample stays open; the rest is explained as if the Profile were in it.
        suppressed: whether the Profile is suppressed now; of a stored event its outcomes say
            whether it was.
        history: what the Profile did before; only for a condition that asks.
        canceller: the recorded event that cancels the entry; None where there is none.
        is_unclear: whether an event that cancelled the entry may be gone.
        enrollment: the entry that the event made, as it stands now; None where there is none.
    """
    rules = journey.rules
    state = _state(event)
    sample = _sample(rules.sample, event.profile_id, profile_exists=profile_exists)
    if sample is not None and sample.met is None:
        rules = evolve(rules, sample=None)
    recorded = next((o for o in event.outcomes if o.journey_id == journey.journey_id), None)
    goes_through: bool | None = canceller is None
    if is_unclear:
        goes_through = _went_through(recorded, version)
    reason: SkipReason | None = SkipReason.SUPPRESSED
    if not suppressed:
        reason = outcome_of(rules, event, prior, history, is_cancelled=goes_through is False)
    definition = journey.definition
    lateness = event.received_at - event.occurred_at
    return ExplainedJourney(
        journey_id=journey.journey_id,
        name=definition.name,
        version=version,
        outcome="enrolled" if reason is None else "skipped",
        reason=reason,
        window=None
        if rules.window is None
        else WindowFact(rules.window, is_within(rules.window, event.occurred_at)),
        lateness=None
        if rules.max_lateness is None or definition.max_lateness is None
        else LatenessFact(definition.max_lateness, lateness, lateness <= rules.max_lateness),
        sample=sample,
        condition=None
        if rules.condition is None
        else rules.condition.explain(state, None if history is None else history.recall),
        reentry=_reentry(rules, definition.reentry, state, prior, event.received_at),
        recorded=recorded,
        delay=None
        if definition.delay is None
        else DelayFact(definition.delay, rules.available_at(event.occurred_at, event.received_at)),
        cancelling=_cancelling(rules, state, canceller, goes_through) if rules.cancel_on else None,
        enrollment=enrollment,
    )


def outcome_of(
    rules: Rules,
    event: UserEvent,
    prior: PriorEntries,
    history: Recalls | None = None,
    *,
    is_cancelled: bool = False,
) -> SkipReason | None:
    """Say why an event does not enrol its Profile, or None where it does.

    An event that a Journey skipped because its Profile was suppressed is skipped by every other.

    Args:
        rules: of the Journey.
        event: as stored, or as tracking would store it.
        prior: what is known of earlier entries.
        history: what the Profile did before; only for a condition that asks.
        is_cancelled: whether an event that cancels the entry is recorded.
    """
    if any(outcome.reason is SkipReason.SUPPRESSED for outcome in event.outcomes):
        return SkipReason.SUPPRESSED
    passage = rules.judge(
        _state(event), event.occurred_at, event.received_at, event.profile_id, history
    )
    reason = passage.reason
    if reason is None and passage.needs_history:
        reason = rules.readmit(prior, event.received_at)
    return SkipReason.CANCELLED if reason is None and is_cancelled else reason


def _state(event: UserEvent) -> JsonObject:
    return {"event": event.data, "profile": event.profile}


def _sample(sample: Sample | None, profile_id: str, *, profile_exists: bool) -> SampleFact | None:
    if sample is None:
        return None
    settled = profile_exists or sample.percent in (0, 100)
    return SampleFact(sample, in_sample(sample, profile_id) if settled else None)


def _after(moment: datetime, duration: timedelta) -> datetime:
    """Add a duration; a result past the end of the calendar becomes that end."""
    try:
        return moment + duration
    except OverflowError:
        return _END


def _part(state: JsonObject, tokens: Tokens) -> KeyPart:
    found = read(state, tokens)
    usable = type(found) in (str, int, float, bool) and found != REDACTED
    return KeyPart(format_pointer(*tokens), found, None if usable else why_unknown(found))


def _went_through(recorded: Outcome | None, version: int | None) -> bool | None:
    """Say whether nothing cancelled an entry, by the outcome of the same version; or None."""
    if recorded is None or recorded.version != version:
        return None
    return {None: True, SkipReason.CANCELLED: False}.get(recorded.reason)


def _cancelling(
    rules: Rules, state: JsonObject, canceller: UserEvent | None, goes_through: bool | None
) -> CancelFact:
    return CancelFact(
        tuple(
            [
                CancelRule(
                    rule.event, tuple([_part(state, parse_pointer(each)) for each in rule.same])
                )
                for rule in rules.cancel_on
            ]
        ),
        None if canceller is None else canceller.event_id,
        goes_through,
    )


def _reentry(
    rules: Rules,
    reentry: Reentry,
    state: JsonObject,
    prior: PriorEntries,
    received_at: datetime,
) -> ReentryFact:
    parts = [_part(state, tokens) for tokens in rules.key]
    if any(part.reason is not None for part in parts):
        return ReentryFact(
            rules.policy, tuple(parts), met=None, times=reentry.times, within=reentry.within
        )
    last = prior.last_entered_at
    free_at = None if last is None or rules.cooldown is None else _after(last, rules.cooldown)
    return ReentryFact(
        rules.policy,
        tuple(parts),
        reentry.duration,
        last,
        prior.key_taken,
        free_at if free_at is not None and free_at > received_at else None,
        rules.readmit(prior, received_at) is None,
        reentry.times,
        reentry.within,
        None if reentry.times is None else prior.count,
    )
