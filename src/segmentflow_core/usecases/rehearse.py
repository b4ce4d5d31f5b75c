"""Rehearsing stored events against drafts: who would have entered, had they been published.

The events of a period are read twice, page by page, each page in a transaction of its
own, so that a long period blocks nobody: once from the newest back, to find where the
period starts; then from the oldest on, because an entry decides about the next one. The period is
of when they were received, or of when they occurred. Pages
go by id, which is drawn before an event is decided; the events of one Profile are judged in the
order of their numbers, in which they were decided, so one that comes early is kept until its turn.
What was merged into a Profile before an event is a part of that event's history, as `history`
says: the event's turn comes after all that was recorded for the Profiles that went.
Entries made in the rehearsal stand in for those the store has from the period; entries from
before it count as they are. Nothing is written.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from attrs import evolve, frozen

from segmentflow_core.colour import settle
from segmentflow_core.domain.cancelling import happened_at
from segmentflow_core.domain.condition import Did
from segmentflow_core.domain.earlier_events import (
    EarlierEvents,
    HistoryProbe,
    Question,
    series_before,
)
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.explanation import probe_for
from segmentflow_core.domain.history import History, Told
from segmentflow_core.domain.journey import Journey, PriorEntries
from segmentflow_core.domain.json_value import JsonObject
from segmentflow_core.domain.profile import MergedSeries, Profile
from segmentflow_core.domain.rehearsal import Rehearsal, Tally
from segmentflow_core.domain.tracking import Intent, Probe
from segmentflow_core.ports import Transaction
from segmentflow_core.usecases.cancelling import (
    Entering,
    RecordedCancellers,
    recorded_cancellers,
)
from segmentflow_core.usecases.history import ask_history
from segmentflow_core.usecases.reading import list_events

__all__ = ["Rehearsing"]

PAGE: Final = 500
"""How many events one transaction reads."""

_AT_ONCE: Final = 20
"""From how many questions about earlier events on they are asked: each answer may be 4 MiB."""


_NO_CANCELLERS: Final = RecordedCancellers[tuple[str, str]]()


@frozen(repr=False)
class _Page:
    """Events as one read found them, newest first, and earlier entries that matter to them.

    The probes are those of an event for a draft, by both their ids; so is what a draft's condition
    asks about earlier events. What cancels are the recorded events that keep entries of an event
    into a draft from being made.
    """

    events: Sequence[UserEvent]
    probes: Mapping[tuple[str, str], tuple[Probe, ...]] = {}
    answers: Mapping[Probe, PriorEntries] = {}
    histories: Mapping[tuple[str, str], Told] = {}
    cancellers: RecordedCancellers[tuple[str, str]] = _NO_CANCELLERS


@frozen
class _Span:
    """Where a page of the period stands: ids from `low`, below `before`."""

    low: str
    before: str | None


_Early: TypeAlias = tuple[UserEvent, _Page]
"""An event that came before its turn, with its page."""

_Read: TypeAlias = Callable[[Transaction], Coroutine[Any, Any, _Page]]


class Rehearsing:
    """A running rehearsal: yields the next read and counts what it found.

    Args:
        organization_id: whose events they are.
        journeys: the drafts.
        since: from when on events were received.
        until: before when, or None.
        by_occurrence: whether the period is of when events occurred.
        page: how many events one transaction reads.
    """

    def __init__(
        self,
        organization_id: str,
        journeys: Sequence[Journey],
        since: datetime,
        until: datetime | None,
        page: int = PAGE,
        *,
        by_occurrence: bool = False,
    ) -> None:
        self.total: int | None = None
        self.done = 0
        self._organization_id = organization_id
        self._since = since
        self._until = until
        self._by_occurrence = by_occurrence
        self._limit = page
        self._tallies = [Tally(journey) for journey in journeys]
        self._spans: list[_Span] = []
        self._found = 0
        # By Profile: the lowest number in the period; those still to be judged, negated so
        # that the next one is the last; and the events that came before their turn.
        self._firsts: dict[str, int] = {}
        self._awaited: dict[str, list[int]] = {}
        self._early: dict[str, dict[int, _Early]] = {}
        # By Profile: the series that were merged into it; and by such a series into whom.
        self._merged: dict[str, tuple[MergedSeries, ...]] = {}
        self._went_into: dict[str, list[str]] = {}
        self._profiles: dict[str, Profile | None] = {}
        self._erased: set[str] = set()
        self._before: str | None = None
        self._newest: _Page | None = None

    def reads(self) -> Iterator[_Read]:
        """Yield what to read next; `fold` its result before asking for more."""
        while self.total is None:
            yield self._survey
        while self._spans:
            yield self._page

    def fold(self, page: _Page) -> None:
        """Take in what the last read found."""
        if self.total is None:
            self._note(page)
            return
        self._spans.pop()
        for event in reversed(self._within(page.events)):
            if self._hearing(event):
                self._take(event, page)
            self.done += 1
        if not self._spans:
            self._judge_the_rest()

    def result(self) -> Rehearsal:
        """Return the counts."""
        results = tuple(tally.result() for tally in self._tallies)
        return Rehearsal(self._since, self._until, self.done, results, self._by_occurrence)

    async def _survey(self, transaction: Transaction) -> _Page:
        found = list_events(transaction, self._organization_id, self._limit, self._before)
        return _Page(await found)

    def _note(self, page: _Page) -> None:
        events = page.events
        within = self._within(events)
        if within:
            if not self._spans:
                # The newest page has no id above it to start from again; it is kept instead,
                # so that what is tracked meanwhile does not come into the rehearsal.
                self._newest = page
            self._found += len(within)
            self._spans.append(_Span(within[-1].event_id, self._before))
        for event in within:
            self._await(event)
        if len(events) < self._limit or all(e.received_at < self._since for e in events):
            self.total = self._found
            for numbers in self._awaited.values():
                numbers.sort()
        else:
            self._before = events[-1].event_id

    async def _page(self, transaction: Transaction) -> _Page:
        events = await self._events(transaction, self._spans[-1])
        histories = await self._histories(transaction, self._within(events))
        found: list[tuple[UserEvent, str, Probe]] = []
        for event in self._within(events):
            for tally in self._listening(event):
                probe = probe_for(tally.journey, event, self._first(event))
                if probe is not None:
                    found.append((event, tally.journey.journey_id, probe))
        cancelling = [e for e in self._within(events) if self._cancelling(e)]
        await self._read_merges(transaction, [*(event for event, _, _ in found), *cancelling])
        cancellers = await self._cancellers(transaction, cancelling)
        if not found:
            return _Page(events, histories=histories, cancellers=cancellers)
        probes = {
            (event.event_id, journey_id): (probe, *self._of_merged(event, probe))
            for event, journey_id, probe in found
        }
        asked = list(dict.fromkeys(probe for each in probes.values() for probe in each))
        answers = transaction.tracking.prior_entries(self._organization_id, asked)
        return _Page(events, probes, await settle(answers), histories, cancellers)

    async def _cancellers(
        self, transaction: Transaction, events: Sequence[UserEvent]
    ) -> RecordedCancellers[tuple[str, str]]:
        """Find which entries of events into which drafts a recorded event cancels."""
        entering = {
            (event.event_id, tally.journey.journey_id): Entering(tally.journey, event, event.number)
            for event in events
            for tally in self._listening(event)
        }
        found = recorded_cancellers(transaction, self._organization_id, entering, self._profiles)
        return await found

    async def _histories(
        self, transaction: Transaction, events: Sequence[UserEvent]
    ) -> Mapping[tuple[str, str], Told]:
        """Say of each event what its Profile did before, as far as the drafts ask.

        It is the recorded history, so it can be told at once, whatever the rehearsal makes of it.
        """
        asking = [
            (event, tally.journey.journey_id, tally.journey.rules.dids)
            for event in events
            for tally in self._listening(event)
            if tally.journey.rules.asks_history
        ]
        await self._read_merges(transaction, [event for event, *_ in asking])
        told: dict[tuple[str, str], Told] = {}
        while asking:
            unanswered: dict[Question, HistoryProbe] = {}
            some: list[tuple[UserEvent, str, tuple[Did, ...]]] = []
            while asking and len(unanswered) < _AT_ONCE:
                event, _, dids = asking[-1]
                some.append(asking.pop())
                history = self._history(event, {}, unanswered)
                for did in dids:
                    history.judge(did)
            answers: Mapping[Question, EarlierEvents] = {}
            if unanswered:
                answers, _ = await ask_history(
                    transaction, self._organization_id, list(unanswered.values()), ()
                )
            for event, journey_id, dids in some:
                history = self._history(event, answers, {})
                told[event.event_id, journey_id] = Told(dids, [*map(history.judge, dids)])
        return told

    def _history(
        self,
        event: UserEvent,
        answers: Mapping[Question, EarlierEvents],
        unanswered: dict[Question, HistoryProbe],
    ) -> History:
        series = series_before(event, self._merged[event.profile_id])
        is_erased = event.profile_id in self._erased
        return History.of(
            event,
            series,
            answers=answers,
            unanswered=unanswered,
            is_erased=is_erased,
            thorough=False,
        )

    async def _read_merges(self, transaction: Transaction, events: Sequence[UserEvent]) -> None:
        """Read what was merged into the Profiles of events, as far as it is not known yet.

        Most have the identities that their events show, and are read in one exchange.
        """
        missing = {e.profile_id: e.profile for e in events if e.profile_id not in self._merged}
        profiles = await self._shown(transaction, missing.values())
        for who in missing:
            if who not in profiles:
                profiles[who] = await settle(transaction.profiles.get(self._organization_id, who))
            self._note_merges(who, profiles[who])
        self._profiles |= profiles

    async def _shown(
        self, transaction: Transaction, shown: Collection[JsonObject]
    ) -> dict[str, Profile | None]:
        """Return the Profiles that have the identities which events show; those erased show none.

        Where no event shows any, nothing is asked.
        """
        emails, external_ids = _identities(shown, "email"), _identities(shown, "externalId")
        if not emails and not external_ids:
            return {}
        asked = Intent((), emails, external_ids, (), self._since)
        known = await settle(transaction.tracking.load(self._organization_id, asked))
        return {profile.profile_id: profile for profile in known.profiles}

    def _note_merges(self, who: str, profile: Profile | None) -> None:
        self._merged[who] = () if profile is None else profile.merged
        if profile is not None and profile.erased_at is not None:
            self._erased.add(who)
        for series in self._merged[who]:
            self._went_into.setdefault(series.profile_id, []).append(who)

    def _of_merged(self, event: UserEvent, probe: Probe) -> Iterator[Probe]:
        """Yield the probes of the series that were merged into an event's before it."""
        for profile_id in self._merged_before(event):
            yield evolve(probe, profile_id=profile_id, before=self._firsts.get(profile_id))

    def _merged_before(self, event: UserEvent) -> Iterator[str]:
        for series in self._merged[event.profile_id]:
            if series.before <= event.number:
                yield series.profile_id

    async def _events(self, transaction: Transaction, span: _Span) -> Sequence[UserEvent]:
        if len(self._spans) == 1 and self._newest is not None:
            return self._newest.events
        events: list[UserEvent] = []
        before = span.before
        while True:
            found = await list_events(transaction, self._organization_id, self._limit, before)
            events += [event for event in found if event.event_id >= span.low]
            # One that was committed meanwhile may have pushed the oldest off the page.
            if len(found) < self._limit or found[-1].event_id <= span.low:
                return events
            before = found[-1].event_id

    def _await(self, event: UserEvent) -> None:
        who, number = event.profile_id, event.number
        self._firsts[who] = min(self._firsts.get(who, number), number)
        if self._hearing(event):
            self._awaited.setdefault(who, []).append(-number)

    def _first(self, event: UserEvent) -> int:
        return self._firsts.setdefault(event.profile_id, event.number)

    def _take(self, event: UserEvent, page: _Page) -> None:
        """Judge an event, and those that waited for it, unless it has to wait itself."""
        awaited = self._awaited.setdefault(event.profile_id, [])
        place = bisect_left(awaited, -event.number)
        if awaited[place : place + 1] != [-event.number]:
            # It was committed after the survey.
            insort(awaited, -event.number)
        self._early.setdefault(event.profile_id, {})[event.number] = (event, page)
        turn = [event.profile_id]
        while turn:
            who = turn.pop()
            self._judge_in_turn(who)
            if not self._awaited[who]:
                turn += [heir for heir in self._went_into.get(who, ()) if heir in self._early]

    def _judge_in_turn(self, who: str) -> None:
        """Judge those events of a Profile whose turn has come."""
        awaited, early = self._awaited[who], self._early[who]
        while awaited and -awaited[-1] in early and not self._waits_for_merged(who, -awaited[-1]):
            self._judge(*early.pop(-awaited.pop()))
        if not early:
            del self._early[who]

    def _waits_for_merged(self, who: str, number: int) -> bool:
        return any(
            series.before <= number and self._awaited.get(series.profile_id)
            for series in self._merged.get(who, ())
        )

    def _judge(self, event: UserEvent, page: _Page) -> None:
        for tally in self._cancelling(event):
            tally.cancel(event, (event.profile_id, *self._merged_before(event)))
        for tally in self._listening(event):
            at = (event.event_id, tally.journey.journey_id)
            tally.add(
                event,
                page.probes.get(at, ()),
                page.answers,
                page.histories.get(at),
                is_cancelled=at in page.cancellers.found,
                is_unclear=at in page.cancellers.unclear,
            )

    def _judge_the_rest(self) -> None:
        """Judge what waits for an event that has gone since the survey.

        Whoever went before whoever they went into: the heir has more series than each of them.
        """
        for who in sorted(self._early, key=lambda each: len(self._merged.get(each, ()))):
            early = self._early[who]
            for number in sorted(early):
                self._judge(*early[number])
        self._early.clear()

    def _within(self, events: Sequence[UserEvent]) -> list[UserEvent]:
        return [event for event in events if self._is_within(event)]

    def _is_within(self, event: UserEvent) -> bool:
        # No event happened after its receipt, so those received before the period are none of it.
        moment = event.received_at
        if self._by_occurrence:
            moment = happened_at(event.occurred_at, moment)
        return moment >= self._since and (self._until is None or moment < self._until)

    def _listening(self, event: UserEvent) -> list[Tally]:
        name = event.event
        return [t for t in self._tallies if t.journey.definition.trigger.event == name]

    def _hearing(self, event: UserEvent) -> list[Tally]:
        return [tally for tally in self._tallies if tally.hears(event.event)]

    def _cancelling(self, event: UserEvent) -> list[Tally]:
        """Return the drafts with rules of what cancels that the event has to do with."""
        return [tally for tally in self._hearing(event) if tally.journey.rules.cancel_on]


def _identities(profiles: Iterable[JsonObject], name: str) -> tuple[str, ...]:
    return tuple(sorted({str(profile[name]) for profile in profiles if name in profile}))
