"""A rehearsal: what a draft would have made of one stored event after another.

Knows the entries the draft has made so far, and asks for those before the period. Must
never read a store, nor count an entry that a published Journey made during the period.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import define, field, frozen

from segmentflow_core.domain.cancelling import (
    cancellers_of,
    digests_of,
    happened_at,
)
from segmentflow_core.domain.event import SkipReason, UserEvent
from segmentflow_core.domain.explanation import outcome_of
from segmentflow_core.domain.history import Recalls
from segmentflow_core.domain.journey import Journey, PriorEntries, Rules
from segmentflow_core.domain.tracking import Probe

__all__ = ["Rehearsal", "RehearsedJourney", "Tally"]

_NOTHING_PRIOR: Final = PriorEntries()


@frozen
class RehearsedJourney:
    """What a draft would have made of the events of a period.

    Attributes:
        journey_id: the Journey.
        name: shown to people.
        event: the name of the events it listens for.
        matched: events it would have listened for.
        entered: how many of them would have enrolled their Profile.
        profiles: how many Profiles that would have been.
        skipped: how many it would have skipped, by reason, in the order the rules are applied.
        withdrawn: how many of those that entered an event would have withdrawn for certain: it was
            received before any worker could have been handed the Enrollment. What else may have
            withdrawn it before, such as a suppression, is not known.
        unclear: how many of those that entered may not have: retention or erasure took an event
            that may have cancelled the entry.
    """

    journey_id: str
    name: str
    event: str
    matched: int
    entered: int
    profiles: int
    skipped: Mapping[SkipReason, int]
    withdrawn: int = 0
    unclear: int = 0


@frozen
class Rehearsal:
    """A rehearsal of a period.

    Attributes:
        since: events received at this instant or later were rehearsed over.
        until: events received before this instant were rehearsed over; None for no end.
        by_occurrence: whether events that occurred then were taken, whenever they were received.
        events: how many there were, whatever their name.
        journeys: one for each draft that listens, sorted by Journey id.
    """

    since: datetime
    until: datetime | None
    events: int
    journeys: tuple[RehearsedJourney, ...]
    by_occurrence: bool = False


@define
class _Waiting:
    """An entry of a rehearsal that an event may withdraw.

    Attributes:
        since: when the event that enrolled happened.
        available_at: from when on a worker could have had it.
        is_withdrawn: whether an event withdrew it.
    """

    since: datetime
    available_at: datetime
    is_withdrawn: bool = False


@define
class Tally:
    """The counts of one draft so far, event by event, in the order of each Profile's numbers.

    Attributes:
        journey: the draft.
        matched: events so far.
        entered: entries so far.
        skipped: events skipped so far, by reason.
        last_entered_at: the latest entry of each Profile that entered.
        keys: entry keys taken, each with its Profile.
        withdrawn: entries that were withdrawn so far.
        unclear: entries so far that may have been cancelled.
        waiting: entries, by Profile and digest of what withdraws them.
        times: when each Profile entered, with which key; only where the draft counts entries.
    """

    journey: Journey
    matched: int = 0
    entered: int = 0
    skipped: dict[SkipReason, int] = field(factory=lambda: dict.fromkeys(SkipReason, 0))
    last_entered_at: dict[str, datetime] = field(factory=dict[str, datetime])
    keys: set[tuple[str, str]] = field(factory=set[tuple[str, str]])
    times: dict[tuple[str, str | None], list[datetime]] = field(
        factory=dict[tuple[str, str | None], list[datetime]]
    )

    withdrawn: int = 0
    unclear: int = 0
    waiting: dict[tuple[str, str], list[_Waiting]] = field(
        factory=dict[tuple[str, str], list[_Waiting]]
    )

    def hears(self, name: str) -> bool:
        """Say whether an event of this name enrols or withdraws."""
        definition = self.journey.definition
        return name == definition.trigger.event or name in [r.event for r in definition.cancel_on]

    def cancel(self, event: UserEvent, series: Sequence[str]) -> None:
        """Withdraw the entries that an event cancels, as far as they still wait.

        Args:
            event: the next one of its Profile.
            series: the ids that the Profile's earlier events go by.
        """
        state = {"event": event.data, "profile": event.profile}
        digests = digests_of(self.journey.rules.cancel_on, state, event.event)
        at = happened_at(event.occurred_at, event.received_at)
        for place in itertools.product(series, digests):
            kept: list[_Waiting] = []
            for entry in self.waiting.pop(place, ()):
                # From then on a worker may have it, so that no later event is sure to be first.
                if entry.is_withdrawn or event.received_at >= entry.available_at:
                    continue
                if at >= entry.since:
                    entry.is_withdrawn = True
                    self.withdrawn += 1
                else:
                    kept.append(entry)
            if kept:
                self.waiting[place] = kept

    def add(
        self,
        event: UserEvent,
        probes: Sequence[Probe],
        answers: Mapping[Probe, PriorEntries],
        history: Recalls | None = None,
        *,
        is_cancelled: bool = False,
        is_unclear: bool = False,
    ) -> None:
        """Judge one event and count its outcome.

        Args:
            event: the next one of its Profile that the draft listens for.
            probes: what the draft asks about earlier entries, of each series of the event's
                history, its own first; none where it asks nothing.
            answers: what the store knows of entries from before the period, by probe.
            history: what the Profile did before; only for a condition that asks.
            is_cancelled: whether an event that cancels the entry is recorded.
            is_unclear: whether one that cancelled it may be gone.
        """
        prior = _NOTHING_PRIOR
        for probe in probes:
            prior = prior.joined(self._prior(probe, answers[probe]))
        rules = self.journey.rules
        reason = outcome_of(rules, event, prior, history, is_cancelled=is_cancelled)
        self.matched += 1
        if reason is not None:
            self.skipped[reason] += 1
            return
        self.entered += 1
        self.unclear += is_unclear
        self.last_entered_at[event.profile_id] = event.received_at
        if rules.cancel_on:
            self._wait(event, rules)
        if probes and probes[0].entry_key is not None:
            self.keys.add((event.profile_id, probes[0].entry_key))
        if probes and probes[0].since is not None:
            at = (event.profile_id, probes[0].entry_key)
            self.times.setdefault(at, []).append(event.received_at)

    def _wait(self, event: UserEvent, rules: Rules) -> None:
        occurred_at, received_at = event.occurred_at, event.received_at
        state = {"event": event.data, "profile": event.profile}
        since = happened_at(occurred_at, received_at)
        cancellers = cancellers_of(rules.cancel_on, state, since)
        if cancellers is not None:
            entry = _Waiting(since, rules.available_at(occurred_at, received_at))
            for digest in cancellers.digests:
                self.waiting.setdefault((event.profile_id, digest), []).append(entry)

    def _prior(self, probe: Probe, stored: PriorEntries) -> PriorEntries:
        """Add to the entries from before the period those of the rehearsal, of one series."""
        last = self.last_entered_at.get(probe.profile_id, stored.last_entered_at)
        taken = (probe.profile_id, probe.entry_key or "") in self.keys
        times = self.times.get((probe.profile_id, probe.entry_key), ())
        since = probe.since
        counted = 0 if since is None else sum(at > since for at in times)
        return PriorEntries(last, stored.key_taken or taken, stored.count + counted)

    def result(self) -> RehearsedJourney:
        """Return the counts."""
        return RehearsedJourney(
            journey_id=self.journey.journey_id,
            name=self.journey.definition.name,
            event=self.journey.definition.trigger.event,
            matched=self.matched,
            entered=self.entered,
            profiles=len(self.last_entered_at),
            skipped={reason: count for reason, count in self.skipped.items() if count},
            withdrawn=self.withdrawn,
            unclear=self.unclear,
        )
