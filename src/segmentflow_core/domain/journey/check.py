"""The check of a Journey's definition: every fault, each with its path.

Knows the shape of a definition. Must never know a state document, nor trust what it is
given: any Python object may arrive here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from segmentflow_core.domain.admission import INADMISSIBLE
from segmentflow_core.domain.condition import check_condition, note_condition_faults
from segmentflow_core.domain.duration import parse_duration
from segmentflow_core.domain.faults import Faults, Place
from segmentflow_core.domain.instant import parse_instant
from segmentflow_core.domain.journey.definition import (
    MAX_CANCEL_RULES,
    MAX_KEY_PARTS,
    MAX_NAME,
    MAX_TIMES,
    OPTIONAL_REENTRY_MEMBERS,
    REENTRY_MEMBERS,
    JourneyStatus,
    ReentryPolicy,
)
from segmentflow_core.errors import Violation

__all__ = ["check_journey", "note_journey_faults"]

_MEMBERS: Final = (
    "id",
    "name",
    "status",
    "trigger",
    "reentry",
    "window",
    "maxLateness",
    "sample",
    "delay",
    "cancelOn",
)
_STATUSES: Final = ", ".join(JourneyStatus)
_POLICIES: Final = ", ".join(ReentryPolicy)


def check_journey(document: object, path: str = "") -> list[Violation]:
    """Name every fault of one Journey's definition, as many as one error may list.

    Args:
        document: the definition as plain JSON; any Python object is accepted and checked.
        path: JSON Pointer of the definition in the document it is part of.
    """
    faults = Faults()
    note_journey_faults(document, path, faults)
    return faults.violations()


def note_journey_faults(document: object, at: Place, faults: Faults) -> None:
    """Note every fault of one Journey's definition.

    Args:
        document: the definition as plain JSON; any Python object is accepted and checked.
        at: where it stands in the document it is part of.
        faults: takes the faults.
    """
    _JourneyReading(at, faults).journey(document)


class _JourneyReading:
    """One reading of one definition: notes each fault and reads on."""

    def __init__(self, root: Place, faults: Faults) -> None:
        self.root = root
        self.faults = faults

    def refuse(self, message: str, *at: str | int) -> None:
        self.faults.note((self.root, at) if at else self.root, message)

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
        if "delay" in document:
            self.duration(document["delay"], "delay")
        if "cancelOn" in document:
            self.cancel_on(document["cancelOn"])

    def members(
        self, value: Any, known: tuple[str, ...], required: tuple[str, ...], *at: str | int
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

    def cancel_on(self, rules: Any) -> None:
        if type(rules) is not list or not 1 <= len(rules) <= MAX_CANCEL_RULES:
            self.refuse(f"must be a list of 1 to {MAX_CANCEL_RULES} rules", "cancelOn")
            return
        for index, rule in enumerate(rules):
            at: tuple[str | int, ...] = ("cancelOn", index)
            if not self.members(rule, ("event", "same"), ("event",), *at):
                continue
            self.name(rule, *at, "event")
            same = rule.get("same", [""])
            if type(same) is not list or not 1 <= len(same) <= MAX_KEY_PARTS:
                self.refuse(f"must be a list of 1 to {MAX_KEY_PARTS} JSON Pointers", *at, "same")
            elif "same" in rule:
                for place, pointer in enumerate(same):
                    self.pointer(pointer, *at, "same", place)

    def name(self, document: dict[str, Any], *at: str | int) -> None:
        if at[-1] in document:
            value = document[at[-1]]
            if type(value) is not str or not 0 < len(value) <= MAX_NAME:
                self.refuse(f"must be a string of 1 to {MAX_NAME} characters", *at)

    def trigger(self, trigger: Any) -> None:
        if not self.members(trigger, ("event", "where"), ("event",), "trigger"):
            return
        self.name(trigger, "trigger", "event")
        if "where" in trigger:
            at: Place = (self.root, ("trigger", "where"))
            note_condition_faults(trigger["where"], at, self.faults)

    def reentry(self, reentry: Any) -> None:
        policy = reentry.get("policy") if type(reentry) is dict else None
        if type(reentry) is dict and policy not in tuple(ReentryPolicy):
            self.refuse(
                "is required" if "policy" not in reentry else f"must be one of {_POLICIES}",
                "reentry",
                "policy",
            )
            return
        needed: tuple[str, ...] = ()
        own = needed
        if policy:
            needed = REENTRY_MEMBERS[ReentryPolicy(policy)]
            own = (*needed, *OPTIONAL_REENTRY_MEMBERS.get(ReentryPolicy(policy), ()))
        if not self.members(reentry, ("policy", *own), needed, "reentry"):
            return
        if "key" in own and "key" in reentry:
            self.entry_key(reentry["key"])
        for name in ("duration", "within"):
            if name in own and name in reentry:
                self.duration(reentry[name], "reentry", name)
        if "times" in own and "times" in reentry:
            times = reentry["times"]
            if type(times) is not int or not 1 <= times <= MAX_TIMES:
                self.refuse(f"must be a whole number from 1 to {MAX_TIMES}", "reentry", "times")

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
