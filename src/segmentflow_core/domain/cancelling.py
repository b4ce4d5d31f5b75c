"""Which events withdraw an Enrollment: a rule of its Journey, found again by a digest.

A rule names an event and pointers. An event that enrols leaves, for each rule, a digest of the
values that its own state document has there; a later event of that name with equal values has the
same digest. Nothing else of the rule is needed then: the version that was entered need not be
read. Must never know what an Enrollment is, nor how a store finds one.

See docs/reference/rules/cancelling.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from attrs import frozen

from segmentflow_core.domain.canonical import canonical_json
from segmentflow_core.domain.json_value import MISSING, JsonObject, JsonValue
from segmentflow_core.domain.pointer import Tokens, parse_pointer, resolve
from segmentflow_core.domain.redaction import REDACTED

__all__ = [
    "LOOKED_AT",
    "CancelOn",
    "Cancellers",
    "Withdrawal",
    "cancel_digest",
    "cancellers_of",
    "digests_of",
    "happened_at",
    "same_values_digest",
    "still_awaited",
]

LOOKED_AT: Final = 1_000
"""How many later events of one name are looked through for one that cancels an entry."""

_RULE_DIGITS: Final = 8
_VALUE_DIGITS: Final = 32


@frozen
class CancelOn:
    """One rule of a Journey: which later events of the Profile withdraw an Enrollment.

    Attributes:
        event: the event's name, matched exactly.
        same: JSON Pointers into the state document; both events must have equal values there.
            Without any, every later event of the name withdraws.
    """

    event: str
    same: tuple[str, ...] = ()


@frozen
class Cancellers:
    """By which later events an Enrollment is withdrawn.

    Attributes:
        since: when the event that enrolled happened, or was received if that is earlier; an event
            that happened before cancels nothing.
        digests: one for each rule of the version that was entered, sorted; an event that has one
            of them withdraws.
    """

    since: datetime
    digests: tuple[str, ...]


@frozen
class Withdrawal:
    """What an event did to an Enrollment.

    Attributes:
        enrollment_id: the Enrollment.
        journey_id: the Journey that it is an entry into.
        marked: whether a worker held it at that time: then it is withdrawn when it is given back
            or the lease ends, unless it is completed first.
    """

    enrollment_id: str
    journey_id: str
    marked: bool = False


@lru_cache(maxsize=4_096)
def _compiled(rule: CancelOn) -> tuple[str, tuple[Tokens, ...]]:
    said = canonical_json([rule.event, list(rule.same)])
    name = hashlib.sha256(said).hexdigest()[:_RULE_DIGITS]
    return name, tuple(map(parse_pointer, rule.same))


def same_values_digest(state: JsonObject, pointers: Iterable[Tokens]) -> str | None:
    """Return a digest of the values that a state document has, or None where one has no equal.

    A value is a string, a number or a boolean. What is missing, null, redacted, an object or an
    array equals nothing. 1 and 1.0 are equal.
    """
    values: list[JsonValue] = []
    for tokens in pointers:
        value = resolve(state, tokens)
        if (
            value is MISSING
            or value is None
            or value == REDACTED
            or isinstance(value, (dict, list))
        ):
            return None
        values.append(value)
    return hashlib.sha256(canonical_json(values)).hexdigest()


def cancel_digest(rule: CancelOn, state: JsonObject) -> str | None:
    """Return the digest of a rule and an event's values; None where they equal nothing."""
    name, pointers = _compiled(rule)
    values = same_values_digest(state, pointers)
    return None if values is None else name + values[:_VALUE_DIGITS]


def digests_of(rules: Iterable[CancelOn], state: JsonObject, event: str) -> set[str]:
    """Return the digests of those of the rules that an event of this name may meet."""
    found = {cancel_digest(rule, state) for rule in rules if rule.event == event}
    return {digest for digest in found if digest is not None}


def cancellers_of(
    rules: Sequence[CancelOn], state: JsonObject, since: datetime
) -> Cancellers | None:
    """Return by which events an entry is withdrawn; None where none can be.

    Args:
        rules: of the version that is entered.
        state: the state document of the event that enrols.
        since: when that event happened, as `happened_at` says.
    """
    digests = {cancel_digest(rule, state) for rule in rules} - {None}
    if not digests:
        return None
    return Cancellers(since, tuple(sorted(digest for digest in digests if digest is not None)))


def still_awaited(rules: Iterable[CancelOn], digests: Iterable[str]) -> tuple[CancelOn, ...]:
    """Return those of the rules that one of the digests is of, in the same order."""
    names = {digest[:_RULE_DIGITS] for digest in digests}
    return tuple([rule for rule in rules if _compiled(rule)[0] in names])


def happened_at(occurred_at: datetime, received_at: datetime) -> datetime:
    """Return when an event happened; one of the future, when it was received."""
    return min(occurred_at, received_at)
