"""How a Journey judges an event, from state document to outcome.

Knows compiled definitions and state documents. Must never ask the time, draw a number or
read a store: the caller gives both times and the earlier entries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

from attrs import frozen

from segmentflow_core.domain.cancelling import CancelOn, happened_at, same_values_digest
from segmentflow_core.domain.condition import Condition, Did, compile_condition
from segmentflow_core.domain.duration import parse_duration
from segmentflow_core.domain.event import SkipReason
from segmentflow_core.domain.history import Recalls
from segmentflow_core.domain.journey.definition import (
    JourneyDefinition,
    ReentryPolicy,
    Sample,
    Window,
)
from segmentflow_core.domain.json_value import JsonObject
from segmentflow_core.domain.pointer import Tokens, parse_pointer

__all__ = [
    "ENTRY_KEY_FOR_ONCE",
    "KEY_SEPARATOR",
    "Journey",
    "Passage",
    "PriorEntries",
    "Rules",
    "entry_key_of",
    "has_key",
    "in_sample",
    "is_within",
]


@frozen
class PriorEntries:
    """What the store knows of one Profile's earlier entries into one Journey.

    Attributes:
        last_entered_at: when the latest entry was made; None where there is none.
        key_taken: whether an earlier entry has the same entry key.
        count: how many were made since the instant that was asked about, those with the same
            entry key alone where one was asked about; 0 where no instant was.
    """

    last_entered_at: datetime | None = None
    key_taken: bool = False
    count: int = 0

    def joined(self, others: PriorEntries) -> PriorEntries:
        """Return what is known of these entries and of others together."""
        times = [t for t in (self.last_entered_at, others.last_entered_at) if t is not None]
        return PriorEntries(
            max(times, default=None),
            self.key_taken or others.key_taken,
            self.count + others.count,
        )


@frozen
class Passage:
    """What a Journey decided about an event before looking at earlier entries.

    Attributes:
        reason: why it skips the event already, or None.
        entry_key: the key that earlier entries are asked for by; None where the policy uses none.
        needs_history: whether `Rules.readmit` must still look at earlier entries.
    """

    reason: SkipReason | None
    entry_key: str | None = None
    needs_history: bool = False


ENTRY_KEY_FOR_ONCE: Final = ""
"""The entry key of every entry under `once`: all of them count as one key."""

KEY_SEPARATOR: Final = "-"
"""Stands between a key and what tells entries with it apart; sorted before every hex digit."""

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_END: Final = datetime.max.replace(tzinfo=UTC)


@frozen
class Journey:
    """One version of a published Journey.

    Attributes:
        definition: what was published; its status is the Journey's current one.
        version: counts from 1; a change of the status alone makes no new version.
        digest: SHA-256 of the definition without its status, in hex; equal digests mean an
            unchanged definition.
        published_at: when this version was published.
        era: how often the Journey has been archived. What entered in an earlier era is withdrawn.
        archived_at: when it was last archived, as `JourneyRepository` reads it; None if never.
    """

    definition: JourneyDefinition
    version: int
    digest: str
    published_at: datetime
    era: int = 0
    archived_at: datetime | None = None

    @property
    def journey_id(self) -> str:
        """The Journey's id, unique in its Organization."""
        return self.definition.journey_id

    @cached_property
    def rules(self) -> Rules:
        """The compiled definition; compiled on first use and kept."""
        return Rules.of(self.definition)


@frozen
class Rules:
    """A compiled definition: it judges events without reading the definition's JSON again."""

    policy: ReentryPolicy
    condition: Condition | None
    evaluate: Callable[..., bool | None] | None
    dids: tuple[Did, ...]
    key: tuple[Tokens, ...]
    cooldown: timedelta | None
    times: int | None
    within: timedelta | None
    window: Window | None
    max_lateness: timedelta | None
    sample: Sample | None
    delay: timedelta | None
    cancel_on: tuple[CancelOn, ...]

    @classmethod
    def of(cls, definition: JourneyDefinition) -> Rules:
        """Compile a checked definition."""
        where = definition.trigger.where
        condition = None if where is None else compile_condition(where)
        reentry = definition.reentry
        return cls(
            policy=reentry.policy,
            condition=condition,
            evaluate=None if condition is None else condition.evaluate,
            dids=() if condition is None else condition.dids,
            key=tuple(map(parse_pointer, reentry.key)),
            cooldown=None if reentry.duration is None else parse_duration(reentry.duration),
            times=reentry.times,
            within=None if reentry.within is None else parse_duration(reentry.within),
            window=definition.window,
            max_lateness=None
            if definition.max_lateness is None
            else parse_duration(definition.max_lateness),
            sample=definition.sample,
            delay=None if definition.delay is None else parse_duration(definition.delay),
            cancel_on=definition.cancel_on,
        )

    @property
    def asks_history(self) -> bool:
        """Whether the condition counts earlier events."""
        return bool(self.dids)

    def judge(
        self,
        state: JsonObject,
        occurred_at: datetime,
        received_at: datetime,
        profile_id: str,
        history: Recalls | None = None,
    ) -> Passage:
        """Apply every rule that does not need the Profile's earlier entries.

        The order is fixed and documented: window, lateness, sample, condition, entry key.
        The first rule that skips the event gives the reason.

        Args:
            state: the state document.
            occurred_at: when the event happened.
            received_at: when it was received.
            profile_id: whose event it is.
            history: what the Profile did before, for a condition that asks. Where that is not
                known yet and may decide, the condition counts as met for now.
        """
        if self.window is not None and not is_within(self.window, occurred_at):
            return Passage(SkipReason.OUTSIDE_WINDOW)
        if self.max_lateness is not None and received_at - occurred_at > self.max_lateness:
            return Passage(SkipReason.TOO_LATE)
        if self.sample is not None and not in_sample(self.sample, profile_id):
            return Passage(SkipReason.SAMPLED_OUT)
        if self.evaluate is not None:
            if history is None:
                truth = self.evaluate(state)
            else:
                history.is_open = False
                truth = self.evaluate(state, history.judge)
            if truth is None and (history is None or not history.is_open):
                return _UNKNOWN
            if truth is False:
                return _NOT_MET
        if self.policy is ReentryPolicy.EVERY_EVENT:
            return _OPEN
        if not self.key and self.policy is not ReentryPolicy.ONCE:
            return _ASKING
        entry_key = self.entry_key(state)
        if entry_key is None:
            return Passage(SkipReason.ENTRY_KEY_MISSING)
        return Passage(None, entry_key, needs_history=True)

    def entry_key(self, state: JsonObject) -> str | None:
        """Return the entry key; None where a part is missing or the policy uses no key."""
        if self.key:
            return entry_key_of(state, self.key)
        return ENTRY_KEY_FOR_ONCE if self.policy is ReentryPolicy.ONCE else None

    def kept_key(self, entry_key: str | None, event_id: str) -> str | None:
        """Return the key that an entry is kept with, which no other one of the Profile has.

        Under `at_most` several entries share a key, so the event's id stands behind it.
        """
        if self.policy is not ReentryPolicy.AT_MOST:
            return entry_key
        return f"{entry_key or ''}{KEY_SEPARATOR}{event_id}"

    def available_at(self, occurred_at: datetime, received_at: datetime) -> datetime:
        """Return from when on an entry is handed over.

        A delay runs from when the event happened, or was received if that is earlier; none ends
        before the receipt.
        """
        if self.delay is None:
            return received_at
        try:
            return max(received_at, happened_at(occurred_at, received_at) + self.delay)
        except OverflowError:
            return _END

    def since(self, received_at: datetime) -> datetime | None:
        """Return after which instant entries count; None where the policy does not count them."""
        if self.within is None:
            return None
        try:
            return received_at - self.within
        except OverflowError:
            return _BEGINNING

    def readmit(self, prior: PriorEntries, received_at: datetime) -> SkipReason | None:
        """Say why the Profile's earlier entries keep it out now, or None if it may enter."""
        if self.policy is ReentryPolicy.ONCE_PER_KEY:
            return SkipReason.ALREADY_ENROLLED if prior.key_taken else None
        if self.times is not None:
            return SkipReason.LIMIT_REACHED if prior.count >= self.times else None
        if prior.last_entered_at is None:
            return None
        if self.policy is ReentryPolicy.ONCE:
            return SkipReason.ALREADY_ENROLLED
        if self.cooldown is not None and received_at - prior.last_entered_at < self.cooldown:
            return SkipReason.COOLING_DOWN
        return None


_OPEN: Final = Passage(None)
_ASKING: Final = Passage(None, None, needs_history=True)
_NOT_MET: Final = Passage(SkipReason.CONDITION_NOT_MET)
_UNKNOWN: Final = Passage(SkipReason.CONDITION_UNKNOWN)


def is_within(window: Window, moment: datetime) -> bool:
    """Say whether `moment`, when an event happened, lies in the window."""
    if window.starts_at is not None and moment < window.starts_at:
        return False
    return window.ends_at is None or moment < window.ends_at


def in_sample(sample: Sample, profile_id: str) -> bool:
    """Say whether a Profile is in a sample; for one seed and percent the answer never changes."""
    digest = hashlib.sha256(f"{sample.seed}\0{profile_id}".encode()).digest()
    return int.from_bytes(digest[:8]) < sample.percent / 100 * 2**64


def has_key(kept_key: str | None, entry_key: str) -> bool:
    """Say whether an entry that is kept with a key was made with the key that is asked for."""
    return kept_key is not None and (
        kept_key == entry_key or kept_key.startswith(entry_key + KEY_SEPARATOR)
    )


def entry_key_of(state: JsonObject, key: tuple[Tokens, ...]) -> str | None:
    """Return the entry key that a state document gives, or None where a part is missing.

    A part is a string, a number or a boolean; null, objects, arrays and redacted values
    count as missing. The key is the SHA-256 of the parts as canonical JSON, in hex: its
    length is fixed, and 1 and 1.0 give the same key.
    """
    return same_values_digest(state, key)
