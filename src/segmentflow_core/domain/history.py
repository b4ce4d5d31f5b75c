"""What a Profile did before an event: how earlier events are counted.

Earlier goes by the numbers of events, not by their times. An answer may leave open how many events
count, so the count is an interval, and a leaf is unknown where that does not decide. Knows earlier
events as a store gives them. Must never ask the time, nor read a store.

See docs/reference/rules/history.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Protocol

from attrs import define

from segmentflow_core.domain.condition import (
    ITEM_LIMIT,
    CountedEvent,
    Did,
    Gap,
    HistoryFact,
)
from segmentflow_core.domain.condition.did import comparable
from segmentflow_core.domain.condition.reading import read
from segmentflow_core.domain.condition.truth import Truth
from segmentflow_core.domain.earlier_events import (
    MAX_BYTES,
    MAX_EVENTS,
    PARTS,
    EarlierEvent,
    EarlierEvents,
    HistoryProbe,
    Question,
    Reads,
    Series,
)
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.json_value import JsonObject
from segmentflow_core.domain.pointer import format_pointer
from segmentflow_core.domain.retention import GoneEvents, longer_ago_than

__all__ = ["History", "Recalls", "Told"]


class _Look:
    """What is known of the events that some leaves ask about.

    Args:
        found: those that are there, newest first.
        parts: which parts of their state documents are read.
        removed: how many of those that retention removed count at least and at most, were it for
            their time and number alone.
        gone: what retention left of these.
        more: whether there are others.
    """

    def __init__(
        self,
        found: Sequence[EarlierEvent],
        parts: Sequence[str],
        removed: tuple[int, int],
        gone: Sequence[GoneEvents],
        *,
        more: bool,
    ) -> None:
        self._found = found
        self._parts = parts
        self._room = MAX_BYTES
        self._measured = 0
        self.removed = removed
        self.gone = gone
        self.more = more or len(found) > MAX_EVENTS

    def events(self) -> Iterator[EarlierEvent]:
        """Yield those that are looked at."""
        for place, event in enumerate(self._found[:MAX_EVENTS]):
            if place == self._measured:
                self._room -= sum(map(event.size, self._parts))
                if self._room >= 0:
                    self._measured += 1
            if place >= self._measured:
                self.more = True
                return
            yield event

    def count(self) -> int:
        """Return how many there are, where nothing is read of them."""
        return min(len(self._found), MAX_EVENTS)


def _from(answer: EarlierEvents, since: datetime | None) -> EarlierEvents:
    """Return what occurred at an instant or later, of an answer that may begin earlier."""
    events = answer.events
    if since is None or not events or events[-1].occurred_at >= since:
        return answer
    # They come newest first, and all that is newer than one of them is there.
    later = [event for event in events if event.occurred_at >= since]
    return EarlierEvents(tuple(later), more=False, gone=answer.gone)


class Recalls(Protocol):
    """Says of the leaves of a condition whether what a Profile did before meets them.

    Attributes:
        is_open: whether it was asked for what is not known yet.
    """

    is_open: bool

    def judge(self, did: Did, /) -> Truth:
        """Say whether a leaf is met; None where nobody knows, or not yet."""
        ...


@define
class Told:
    """What was found out before of the leaves of one condition.

    Attributes:
        truths: whether each is met, in the order of the condition's leaves.
        dids: these leaves.
        is_open: False, since all is known that will be.
    """

    dids: Sequence[Did]
    truths: Sequence[Truth]
    is_open: bool = False

    def judge(self, did: Did) -> Truth:
        """Say whether a leaf is met."""
        return next(
            truth for each, truth in zip(self.dids, self.truths, strict=True) if each is did
        )


class History:
    """What one event's Profile did before it, as far as a store has said.

    Args:
        state: the state document of the event itself.
        occurred_at: when it happened.
        received_at: when it was received.
        series: what is earlier than it.
        answers: what the store said, by question.
        unanswered: takes a probe for each question that it has not answered.
        at_hand: by name, earlier events of the Profile that the store has not got yet, in the
            order of their numbers; they are of the first series.
        is_erased: whether the Profile was erased since: what its events held is gone.
        thorough: whether to look on once the answer is clear, so as to tell all of it.

    Attributes:
        is_open: whether it was asked for what the store has not said.
    """

    def __init__(
        self,
        state: JsonObject,
        occurred_at: datetime,
        received_at: datetime,
        series: Sequence[Series],
        *,
        answers: Mapping[Question, EarlierEvents],
        unanswered: dict[Question, HistoryProbe],
        at_hand: Callable[[str], Sequence[EarlierEvent]] | None = None,
        is_erased: bool = False,
        thorough: bool = False,
    ) -> None:
        self._state = state
        self._occurred_at = occurred_at
        # What says nothing of its time happened when it was received. No clock of another host
        # makes what is recorded already later than that.
        self._until = None if occurred_at == received_at else occurred_at
        self._series = series
        self._answers = answers
        self._unanswered = unanswered
        self._at_hand = at_hand
        self._is_erased = is_erased
        self._thorough = thorough
        # By what leaves ask: what is known, or how many events the store is to be asked for.
        self._looks: dict[tuple[str, timedelta | None, Reads], _Look] = {}
        self._noted: dict[tuple[str, timedelta | None, Reads], int] = {}
        self.is_open = False

    @classmethod
    def of(
        cls,
        event: UserEvent,
        series: Sequence[Series],
        *,
        answers: Mapping[Question, EarlierEvents],
        unanswered: dict[Question, HistoryProbe],
        is_erased: bool,
        thorough: bool,
    ) -> History:
        """Return the history of an event as it is stored, or would be."""
        return cls(
            {"event": event.data, "profile": event.profile},
            event.occurred_at,
            event.received_at,
            series,
            answers=answers,
            unanswered=unanswered,
            is_erased=is_erased,
            thorough=thorough,
        )

    def judge(self, did: Did) -> Truth:
        """Say whether a leaf is met; None also where the store has not said enough yet."""
        if did.always:
            return True
        alike = self._alike(did)
        if alike is None:
            return did.meets(0, 0)
        look = self._looks.get(did.asks)
        if look is None:
            look = self._look(did)
            if look is None:
                return None
        least, unclear = self._counted(did, alike, look)
        if did.decided(least):
            return did.meets(least, None)
        low, high = look.removed
        return did.meets(least + low, None if look.more else least + unclear + high)

    def recall(self, did: Did) -> tuple[Truth, HistoryFact]:
        """Say whether a leaf is met, and what was counted."""
        since, until = self._period(did)
        alike = self._alike(did)
        if alike is None:
            unequal = tuple(
                format_pointer(*tokens)
                for tokens in did.same
                if comparable(read(self._state, tokens)) is None
            )
            return did.meets(0, 0), HistoryFact(0, 0, since, until, unequal=unequal)
        look = self._look(did)
        if look is None:
            return None, HistoryFact(0, None, since, until, gaps=("not_looked_at",))
        counted: list[CountedEvent] = []
        least, unclear = self._counted(did, alike, look, counted)
        low, high = look.removed
        least, most = least + low, None if look.more else least + unclear + high
        gaps: list[Gap] = []
        if unclear:
            gaps.append("erased" if self._is_erased else "unclear")
        if low != high:
            gaps.append("removed")
        if look.more:
            gaps.append("not_looked_at")
        fact = HistoryFact(
            least,
            most,
            since,
            until,
            tuple(counted[:ITEM_LIMIT]),
            max(0, len(counted) - ITEM_LIMIT),
            tuple(gaps),
            sum(each.count for each in look.gone),
            max((each.last_occurred_at for each in look.gone), default=None),
        )
        return did.meets(least, most), fact

    def _alike(self, did: Did) -> list[bytes] | None:
        """Return what earlier events must be like; None where none can be."""
        return [] if self._is_erased or not did.same else did.alike(self._state)

    def _period(self, did: Did) -> tuple[datetime | None, datetime | None]:
        if did.within is None:
            return None, None
        return longer_ago_than(did.within, self._occurred_at), self._until

    def _look(self, did: Did) -> _Look | None:
        """Take in what the store says; None where it has not said all of it yet."""
        since, until = self._period(did)
        answers: list[EarlierEvents] = []
        for series in self._series:
            asked = (series.profile_id, did.event, until, series.before, did.reads)
            answer = self._answers.get(asked)
            if answer is not None:
                answers.append(_from(answer, since))
        if len(answers) < len(self._series):
            self._note(did, since, until)
            return None
        counts = [
            self._removed(did, series, answer.gone)
            for series, answer in zip(self._series, answers, strict=True)
        ]
        look = _Look(
            self._newest(did, answers),
            PARTS[did.reads],
            (sum(low for low, _ in counts), sum(high for _, high in counts)),
            [
                answer.gone
                for answer, (_, high) in zip(answers, counts, strict=True)
                if answer.gone is not None and high
            ],
            more=any(answer.more for answer in answers),
        )
        self._looks[did.asks] = look
        return look

    def _note(self, did: Did, since: datetime | None, until: datetime | None) -> None:
        """Note what the store has to be asked for a leaf."""
        self.is_open = True
        limit = did.needs if did.reads == "nothing" and not self._thorough else MAX_EVENTS
        if self._noted.get(did.asks, -1) >= limit:
            return
        self._noted[did.asks] = limit
        for series in self._series:
            probe = HistoryProbe(
                series.profile_id, did.event, since, until, series.before, did.reads, limit
            )
            if probe.question not in self._answers:
                noted = self._unanswered.get(probe.question)
                self._unanswered[probe.question] = probe if noted is None else noted.joined(probe)

    def _counted(
        self,
        did: Did,
        alike: list[bytes],
        look: _Look,
        counted: list[CountedEvent] | None = None,
    ) -> tuple[int, int]:
        """Count the newest events, as far as they are looked at and until the answer is clear.

        Args:
            did: the leaf.
            alike: what they must be like.
            look: what is known of them.
            counted: takes those that count or may count; then all are counted.

        Returns:
            How many count for certain, and how many more may count.
        """
        reads = did.reads != "nothing"
        if not reads and counted is None:
            return look.count(), 0
        least = unclear = 0
        for event in look.events():
            counts: Truth = True
            if reads:
                counts = None if self._is_erased else did.judge(event.state, alike)
            if counts is False:
                continue
            if counts:
                least += 1
            else:
                unclear += 1
            if counted is not None:
                counted.append(CountedEvent(event.event_id, event.occurred_at, counts))
            elif did.decided(least):
                break
        return least, unclear

    def _newest(self, did: Did, answers: Sequence[EarlierEvents]) -> Sequence[EarlierEvent]:
        """Return the earlier events that were found, newest first."""
        at_hand = () if self._at_hand is None else self._at_hand(did.event)
        if not at_hand and len(answers) == 1:
            return answers[0].events
        since, until = self._period(did)
        found = [
            event
            for event in reversed(at_hand)
            if (since is None or event.occurred_at >= since)
            and (until is None or event.occurred_at <= until)
        ]
        for answer in answers:
            found += answer.events
        # Of what occurred at one time, what a merge brought stays behind the Profile's own.
        return sorted(found, key=attrgetter("occurred_at"), reverse=True)

    def _removed(self, did: Did, series: Series, gone: GoneEvents | None) -> tuple[int, int]:
        """Return how many of those that retention removed count at least and at most."""
        since, until = self._period(did)
        if gone is None or (since is not None and gone.last_occurred_at < since):
            return 0, 0
        are_earlier = series.before is None or gone.highest_number < series.before
        if did.reads != "nothing" or not are_earlier:
            return 0, gone.count
        if since is None:
            return gone.count, gone.count
        # Of the last one it is known when it occurred.
        return int(until is None or gone.last_occurred_at <= until), gone.count
