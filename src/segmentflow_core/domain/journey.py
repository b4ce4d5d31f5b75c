"""Journeys: their definition, every rule it must keep, and how one judges an event.

Knows definitions and state documents. Must never ask the time, draw a number or read
a store: when it happened and what was entered before are given.

See docs/reference/rules/journeys.md and docs/reference/rules/matching.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from attrs import frozen

from segmentflow_core.domain.admission import INADMISSIBLE, Admission
from segmentflow_core.domain.canonical import canonical_json
from segmentflow_core.domain.condition import Condition, check_condition, compile_condition
from segmentflow_core.domain.duration import parse_duration
from segmentflow_core.domain.event import SkipReason
from segmentflow_core.domain.instant import format_instant, parse_instant
from segmentflow_core.domain.json_value import MISSING, JsonObject
from segmentflow_core.domain.pointer import Tokens, format_pointer, parse_pointer, resolve
from segmentflow_core.domain.redaction import REDACTED
from segmentflow_core.errors import InvalidJourney, Violation

__all__ = [
    "ENTRY_KEY_FOR_ONCE",
    "MAX_JOURNEYS_BYTES",
    "MAX_KEY_PARTS",
    "MAX_NAME",
    "REENTRY_MEMBERS",
    "Journey",
    "JourneyDefinition",
    "JourneyStatus",
    "Passage",
    "PriorEntries",
    "Reentry",
    "ReentryPolicy",
    "Rules",
    "Sample",
    "Trigger",
    "Window",
    "check_journey",
    "definition_changes",
    "definition_digest",
    "entry_key_of",
    "in_sample",
    "is_within",
    "journey_definition",
    "journey_definitions",
    "journey_document",
]


class JourneyStatus(StrEnum):
    """Only an active Journey listens."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


class ReentryPolicy(StrEnum):
    """When a Profile that has entered a Journey may enter again."""

    EVERY_EVENT = "every_event"
    ONCE = "once"
    ONCE_PER_KEY = "once_per_key"
    COOLDOWN = "cooldown"


REENTRY_MEMBERS: Final[dict[ReentryPolicy, tuple[str, ...]]] = {
    ReentryPolicy.EVERY_EVENT: (),
    ReentryPolicy.ONCE: (),
    ReentryPolicy.ONCE_PER_KEY: ("key",),
    ReentryPolicy.COOLDOWN: ("duration",),
}
"""What each policy needs to be told; all of it required, nothing else allowed."""


@frozen
class Trigger:
    """The event name a Journey listens for, and an optional condition as JSON.

    Attributes:
        event: the name, matched exactly.
        where: the condition, or None.
    """

    event: str
    where: JsonObject | None = None


@frozen
class Reentry:
    """The re-entry policy with its own member: key pointers, or an ISO 8601 duration.

    Attributes:
        policy: when a Profile may enter again.
        key: JSON Pointers into the state document, the parts of the entry key; of
            `once_per_key` only.
        duration: how long after an entry the next one is let in; of `cooldown` only.
    """

    policy: ReentryPolicy = ReentryPolicy.EVERY_EVENT
    key: tuple[str, ...] = ()
    duration: str | None = None


@frozen
class Window:
    """When an event must have happened: from `starts_at`, and before `ends_at`.

    Attributes:
        starts_at: in UTC, or None for no start.
        ends_at: in UTC, or None for no end.
    """

    starts_at: datetime | None = None
    ends_at: datetime | None = None


@frozen
class Sample:
    """The share of Profiles a Journey takes; one seed is one choice of them.

    Attributes:
        percent: 0 to 100.
        seed: which Profiles; the same for ever, and a larger percent keeps all of a smaller.
    """

    percent: float
    seed: str


@frozen
class JourneyDefinition:
    """What an operator writes: one item of a Journey file.

    Attributes:
        journey_id: unique in its Organization, 1 to 255 characters.
        name: for people.
        status: whether it listens.
        trigger: what it listens for.
        reentry: when a Profile may enter again.
        window: when the event must have happened, or None.
        max_lateness: ISO 8601 duration from occurrence to receipt, or None.
        sample: which share of Profiles it takes, or None for all.
    """

    journey_id: str
    name: str
    status: JourneyStatus
    trigger: Trigger
    reentry: Reentry = Reentry()
    window: Window | None = None
    max_lateness: str | None = None
    sample: Sample | None = None


@frozen
class PriorEntries:
    """What the store knows of one Profile's earlier entries into one Journey.

    Attributes:
        last_entered_at: of the latest entry, or None where there is none.
        key_taken: whether an entry with the same entry key exists.
    """

    last_entered_at: datetime | None = None
    key_taken: bool = False


@frozen
class Passage:
    """How a Journey judged an event before its re-entry policy was asked.

    Attributes:
        reason: why it skips already, or None.
        entry_key: what re-entry is counted by; None where entries are not counted.
        needs_history: whether the answer depends on earlier entries.
    """

    reason: SkipReason | None
    entry_key: str | None = None
    needs_history: bool = False


ENTRY_KEY_FOR_ONCE: Final = ""


@frozen
class Journey:
    """One version of a published Journey.

    Attributes:
        definition: what was published; its status is the Journey's current one.
        version: counts from 1; a change of the status alone makes no new version.
        digest: SHA-256 of the definition without its status, in hex: equal means unchanged.
        published_at: when this version was published.
    """

    definition: JourneyDefinition
    version: int
    digest: str
    published_at: datetime

    @property
    def journey_id(self) -> str:
        """The Journey's id, unique in its Organization."""
        return self.definition.journey_id

    @cached_property
    def rules(self) -> Rules:
        """The definition, compiled; made once for this value."""
        return Rules.of(self.definition)


def definition_digest(definition: JourneyDefinition) -> str:
    """Identify what a definition says, whatever its status."""
    document = journey_document(definition)
    del document["status"]
    return hashlib.sha256(canonical_json(document)).hexdigest()


def definition_changes(before: JourneyDefinition, after: JourneyDefinition) -> tuple[str, ...]:
    """Return where two definitions differ: JSON Pointers, of lists of two lengths the list's."""
    return tuple(_differences(journey_document(before), journey_document(after), ""))


def _differences(before: Any, after: Any, path: str) -> Iterator[str]:
    if type(before) is dict and type(after) is dict:
        for name in dict.fromkeys((*before, *after)):
            inner = before.get(name, MISSING), after.get(name, MISSING)
            yield from _differences(*inner, path + format_pointer(name))
    elif type(before) is list and type(after) is list and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from _differences(*pair, path + format_pointer(index))
    # Python takes True for 1; in canonical JSON they differ, and 1 and 1.0 do not.
    elif MISSING in (before, after) or canonical_json(before) != canonical_json(after):
        yield path


@frozen
class Rules:
    """A compiled definition: judges events without looking at JSON again."""

    policy: ReentryPolicy
    condition: Condition | None
    evaluate: Callable[[JsonObject], bool | None] | None
    key: tuple[Tokens, ...]
    cooldown: timedelta | None
    window: Window | None
    max_lateness: timedelta | None
    sample: Sample | None

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
            key=tuple(map(parse_pointer, reentry.key)),
            cooldown=None if reentry.duration is None else parse_duration(reentry.duration),
            window=definition.window,
            max_lateness=None
            if definition.max_lateness is None
            else parse_duration(definition.max_lateness),
            sample=definition.sample,
        )

    def judge(
        self, state: JsonObject, occurred_at: datetime, received_at: datetime, profile_id: str
    ) -> Passage:
        """Judge an event as far as it goes without the Profile's earlier entries.

        The order is fixed and documented: window, lateness, sample, condition, entry key.
        """
        if self.window is not None and not is_within(self.window, occurred_at):
            return Passage(SkipReason.OUTSIDE_WINDOW)
        if self.max_lateness is not None and received_at - occurred_at > self.max_lateness:
            return Passage(SkipReason.TOO_LATE)
        if self.sample is not None and not in_sample(self.sample, profile_id):
            return Passage(SkipReason.SAMPLED_OUT)
        if self.evaluate is not None:
            truth = self.evaluate(state)
            if truth is None:
                return _UNKNOWN
            if not truth:
                return _NOT_MET
        if self.policy is ReentryPolicy.EVERY_EVENT:
            return _OPEN
        if self.policy is ReentryPolicy.COOLDOWN:
            return Passage(None, None, needs_history=True)
        entry_key = self.entry_key(state)
        if entry_key is None:
            return Passage(SkipReason.ENTRY_KEY_MISSING)
        return Passage(None, entry_key, needs_history=True)

    def entry_key(self, state: JsonObject) -> str | None:
        """Return what re-entry is counted by; None where a part is missing, or none is used."""
        if self.policy is ReentryPolicy.ONCE_PER_KEY:
            return entry_key_of(state, self.key)
        return ENTRY_KEY_FOR_ONCE if self.policy is ReentryPolicy.ONCE else None

    def readmit(self, prior: PriorEntries, received_at: datetime) -> SkipReason | None:
        """Say why a Profile with earlier entries may not enter again now, or None."""
        if self.policy is ReentryPolicy.ONCE_PER_KEY:
            return SkipReason.ALREADY_ENROLLED if prior.key_taken else None
        if prior.last_entered_at is None:
            return None
        if self.policy is ReentryPolicy.ONCE:
            return SkipReason.ALREADY_ENROLLED
        if self.cooldown is not None and received_at - prior.last_entered_at < self.cooldown:
            return SkipReason.COOLING_DOWN
        return None


_OPEN: Final = Passage(None)
_NOT_MET: Final = Passage(SkipReason.CONDITION_NOT_MET)
_UNKNOWN: Final = Passage(SkipReason.CONDITION_UNKNOWN)


def is_within(window: Window, moment: datetime) -> bool:
    """Say whether an event that happened at `moment` happened within the active window."""
    if window.starts_at is not None and moment < window.starts_at:
        return False
    return window.ends_at is None or moment < window.ends_at


def in_sample(sample: Sample, profile_id: str) -> bool:
    """Say whether a Profile is in a sample: the same answer for ever, for one seed."""
    digest = hashlib.sha256(f"{sample.seed}\0{profile_id}".encode()).digest()
    return int.from_bytes(digest[:8]) < sample.percent / 100 * 2**64


def entry_key_of(state: JsonObject, key: tuple[Tokens, ...]) -> str | None:
    """Return the entry key the state document gives, or None where a part is missing.

    A part must be a string, a number or a boolean; null, objects, arrays and redacted
    values are no part of a key. The answer is a SHA-256 in hex: of one length, and
    equal for equal parts whatever their number's spelling.
    """
    parts: list[Any] = []
    for tokens in key:
        part = resolve(state, tokens)
        if part is MISSING or part is None or part == REDACTED or isinstance(part, (dict, list)):
            return None
        parts.append(part)
    return hashlib.sha256(canonical_json(parts)).hexdigest()


# --- definitions as JSON -------------------------------------------------------------

MAX_JOURNEYS_BYTES: Final = 4 * 1024 * 1024
"""How much JSON a Journey file may hold."""

MAX_NAME: Final = 255
"""How many characters an id, a name, an event's name or a seed may have."""

MAX_KEY_PARTS: Final = 8
"""How many parts an entry key may have."""

_MAX_DEPTH: Final = 100
_MAX_VIOLATIONS: Final = 1000
_FILE_MEMBER: Final = "journeys"
_MEMBERS: Final = (
    "id",
    "name",
    "status",
    "trigger",
    "reentry",
    "window",
    "maxLateness",
    "sample",
)
_STATUSES: Final = ", ".join(JourneyStatus)
_POLICIES: Final = ", ".join(ReentryPolicy)


def check_journey(document: object, path: str = "") -> list[Violation]:
    """Name every fault of one Journey's definition.

    Args:
        document: the definition as plain JSON; anything at all may be given.
        path: JSON Pointer of the definition in the document it is part of.
    """
    check = _Check(path)
    check.journey(document)
    return check.violations


def journey_definition(document: object, path: str = "") -> JourneyDefinition:
    """Read one Journey's definition.

    Raises:
        InvalidJourney: it breaks one or more rules; each is listed.
    """
    admitted, violations = _admitted(document, path)
    named = {violation.path for violation in violations}
    violations += [v for v in check_journey(admitted, path) if v.path not in named]
    if violations:
        raise _refusal(violations)
    return _built(admitted)


def journey_definitions(document: object) -> tuple[JourneyDefinition, ...]:
    """Read a Journey file: ``{"journeys": [...]}``, in the order it lists them.

    Raises:
        InvalidJourney: the file or any Journey in it breaks a rule, or two share an id;
            every fault of every Journey is listed.
    """
    admitted, violations = _admitted(document, "")
    # What is no JSON has been named; that it is no name or condition either goes without saying.
    named = {violation.path for violation in violations}
    journeys = admitted.get(_FILE_MEMBER) if type(admitted) is dict else None
    if type(journeys) is not list:
        path = format_pointer(_FILE_MEMBER)
        if path not in named:
            violations.append(Violation(path, "must be a list of Journeys"))
        raise _refusal(violations)
    violations += [
        Violation(format_pointer(name), f"is not a known field; known: {_FILE_MEMBER}")
        for name in admitted
        if name != _FILE_MEMBER
    ]
    first_of: dict[str, int] = {}
    for index, item in enumerate(journeys):
        path = format_pointer(_FILE_MEMBER, index)
        violations += [v for v in check_journey(item, path) if v.path not in named]
        journey_id = item.get("id") if type(item) is dict else None
        if type(journey_id) is str and first_of.setdefault(journey_id, index) != index:
            first = format_pointer(_FILE_MEMBER, first_of[journey_id])
            violations.append(Violation(f"{path}/id", f"is also the id of the Journey at {first}"))
    if violations:
        raise _refusal(violations)
    return tuple([_built(item) for item in journeys])


def _admitted(document: object, path: str) -> tuple[Any, list[Violation]]:
    """Copy what is plain JSON of a document, and name what is not.

    Raises:
        InvalidJourney: it is too large to go on.
    """
    admission = Admission(_MAX_DEPTH, MAX_JOURNEYS_BYTES)
    admitted = admission.admit(document)
    if admission.too_large:
        raise InvalidJourney.from_violations(
            [Violation(path, f"must not hold more than {MAX_JOURNEYS_BYTES} bytes of JSON")]
        )
    return admitted, [Violation(path + format_pointer(*at), why) for at, why in admission.faults]


def _refusal(violations: list[Violation]) -> InvalidJourney:
    """Build the one error that lists every fault; of very many, the first."""
    error = InvalidJourney.from_violations(violations[:_MAX_VIOLATIONS])
    if len(violations) > _MAX_VIOLATIONS:
        error.details["omittedViolations"] = len(violations) - _MAX_VIOLATIONS
    return error


def journey_document(definition: JourneyDefinition) -> dict[str, Any]:
    """Write a definition as the JSON it is read from; what was left out stays out."""
    trigger: dict[str, Any] = {"event": definition.trigger.event}
    if definition.trigger.where is not None:
        trigger["where"] = definition.trigger.where
    reentry: dict[str, Any] = {"policy": str(definition.reentry.policy)}
    if definition.reentry.key:
        reentry["key"] = list(definition.reentry.key)
    if definition.reentry.duration is not None:
        reentry["duration"] = definition.reentry.duration
    document: dict[str, Any] = {
        "id": definition.journey_id,
        "name": definition.name,
        "status": str(definition.status),
        "trigger": trigger,
        "reentry": reentry,
    }
    if definition.window is not None:
        bounds = {"from": definition.window.starts_at, "until": definition.window.ends_at}
        document["window"] = {
            name: format_instant(moment) for name, moment in bounds.items() if moment is not None
        }
    if definition.max_lateness is not None:
        document["maxLateness"] = definition.max_lateness
    if definition.sample is not None:
        document["sample"] = {
            "percent": definition.sample.percent,
            "seed": definition.sample.seed,
        }
    return document


def _built(document: dict[str, Any]) -> JourneyDefinition:
    reentry = document.get("reentry", {})
    window = document.get("window")
    sample = document.get("sample")
    key = reentry.get("key", ())
    return JourneyDefinition(
        journey_id=document["id"],
        name=document.get("name", document["id"]),
        status=JourneyStatus(document["status"]),
        trigger=Trigger(document["trigger"]["event"], document["trigger"].get("where")),
        reentry=Reentry(
            policy=ReentryPolicy(reentry.get("policy", ReentryPolicy.EVERY_EVENT)),
            key=(key,) if isinstance(key, str) else tuple(key),
            duration=reentry.get("duration"),
        ),
        window=None
        if window is None
        else Window(_moment(window.get("from")), _moment(window.get("until"))),
        max_lateness=document.get("maxLateness"),
        sample=None if sample is None else Sample(sample["percent"], sample["seed"]),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_instant(text)


class _Check:
    """One reading of one definition; gathers faults and goes on."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.violations: list[Violation] = []

    def refuse(self, message: str, *at: str | int) -> None:
        self.violations.append(Violation(self.root + format_pointer(*at), message))

    def journey(self, document: Any) -> None:
        if not self.members(document, _MEMBERS, ("id", "status", "trigger")):
            return
        self.name(document, "id")
        self.name(document, "name")
        if "status" in document and document["status"] not in tuple(JourneyStatus):
            self.refuse(f"must be one of {_STATUSES}", "status")
        if "trigger" in document:
            self.trigger(document["trigger"])
        if "reentry" in document:
            self.reentry(document["reentry"])
        if "window" in document:
            self.window(document["window"])
        if "maxLateness" in document:
            self.duration(document["maxLateness"], "maxLateness")
        if "sample" in document:
            self.sample(document["sample"])

    def members(
        self, value: Any, known: tuple[str, ...], required: tuple[str, ...], *at: str
    ) -> bool:
        if type(value) is not dict:
            if value is not INADMISSIBLE:
                self.refuse("must be an object", *at)
            return False
        for name in value:
            if name not in known:
                self.refuse(f"is not a known field; known: {', '.join(known)}", *at, name)
        for name in required:
            if name not in value:
                self.refuse("is required", *at, name)
        return True

    def name(self, document: dict[str, Any], *at: str) -> None:
        if at[-1] in document:
            value = document[at[-1]]
            if type(value) is not str or not 0 < len(value) <= MAX_NAME:
                self.refuse(f"must be a string of 1 to {MAX_NAME} characters", *at)

    def trigger(self, trigger: Any) -> None:
        if not self.members(trigger, ("event", "where"), ("event",), "trigger"):
            return
        self.name(trigger, "trigger", "event")
        if "where" in trigger:
            self.violations += check_condition(
                trigger["where"], self.root + format_pointer("trigger", "where")
            )

    def reentry(self, reentry: Any) -> None:
        policy = reentry.get("policy") if type(reentry) is dict else None
        if type(reentry) is dict and policy not in tuple(ReentryPolicy):
            self.refuse(
                "is required" if "policy" not in reentry else f"must be one of {_POLICIES}",
                "reentry",
                "policy",
            )
            return
        own = REENTRY_MEMBERS[ReentryPolicy(policy)] if policy else ()
        if not self.members(reentry, ("policy", *own), own, "reentry"):
            return
        if "key" in own and "key" in reentry:
            self.entry_key(reentry["key"])
        if "duration" in own and "duration" in reentry:
            self.duration(reentry["duration"], "reentry", "duration")

    def entry_key(self, key: Any) -> None:
        if type(key) is str:
            self.pointer(key, "reentry", "key")
        elif type(key) is not list or not 1 <= len(key) <= MAX_KEY_PARTS:
            self.refuse(
                f"must be a JSON Pointer or a list of 1 to {MAX_KEY_PARTS}", "reentry", "key"
            )
        else:
            for index, part in enumerate(key):
                self.pointer(part, "reentry", "key", index)

    def pointer(self, pointer: Any, *at: str | int) -> None:
        probe = {"path": pointer, "op": "exists"}
        for violation in check_condition(probe):
            self.refuse(violation.message, *at)

    def window(self, window: Any) -> None:
        if not self.members(window, ("from", "until"), (), "window"):
            return
        if not window:
            self.refuse("must have from, until, or both", "window")
        moments: list[datetime] = []
        for name in ("from", "until"):
            if name in window:
                try:
                    moments.append(parse_instant(window[name]))
                except (ValueError, TypeError):
                    self.refuse("must be an RFC 3339 date-time with an offset or Z", "window", name)
        if len(moments) == 2 and moments[0] >= moments[1]:
            self.refuse("must be later than from", "window", "until")

    def duration(self, value: Any, *at: str) -> None:
        try:
            parse_duration(value)
        except ValueError as error:
            self.refuse(str(error), *at)
        except TypeError:
            self.refuse("must be an ISO 8601 duration", *at)

    def sample(self, sample: Any) -> None:
        if not self.members(sample, ("percent", "seed"), ("percent", "seed"), "sample"):
            return
        percent = sample.get("percent", 0)
        if type(percent) not in (int, float) or not 0 <= percent <= 100:
            self.refuse("must be a number from 0 to 100", "sample", "percent")
        self.name(sample, "sample", "seed")
