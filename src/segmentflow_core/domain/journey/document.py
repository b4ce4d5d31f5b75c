"""Journey definitions as JSON, in and out, and what is derived from that JSON.

Knows how a definition is written. Refuses one that breaks a rule; `check` holds the rules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from segmentflow_core.domain.admission import Admission
from segmentflow_core.domain.canonical import canonical_json
from segmentflow_core.domain.faults import Faults, Place
from segmentflow_core.domain.instant import format_instant, parse_instant
from segmentflow_core.domain.journey.check import note_journey_faults
from segmentflow_core.domain.journey.definition import (
    CancelOn,
    JourneyDefinition,
    JourneyStatus,
    Reentry,
    ReentryPolicy,
    Sample,
    Trigger,
    Window,
)
from segmentflow_core.domain.json_value import MISSING
from segmentflow_core.domain.pointer import format_pointer
from segmentflow_core.domain.stack_room import with_room
from segmentflow_core.errors import InvalidJourney, Violation
from segmentflow_core.tracebacks import forgets_locals

__all__ = [
    "MAX_JOURNEYS_BYTES",
    "definition_changes",
    "definition_digest",
    "journey_definition",
    "journey_definitions",
    "journey_document",
]

MAX_JOURNEYS_BYTES: Final = 4 * 1024 * 1024
"""How much JSON a Journey file may hold."""

_MAX_DEPTH: Final = 100
_FILE_MEMBER: Final = "journeys"


@forgets_locals
def journey_definition(document: object, path: str = "") -> JourneyDefinition:
    """Read one Journey's definition.

    Raises:
        InvalidJourney: it breaks a rule; `violations` lists every fault.
    """
    admitted, faults = _admitted(document, path)
    checked = Faults()
    note_journey_faults(admitted, path, checked)
    faults.add(checked)
    if faults.noted:
        raise faults.refusal(InvalidJourney)
    return _built(admitted)


@forgets_locals
def journey_definitions(document: object) -> tuple[JourneyDefinition, ...]:
    """Read a Journey file: ``{"journeys": [...]}``, in the order it lists them.

    Raises:
        InvalidJourney: the file or a Journey in it breaks a rule, or two Journeys share an
            id; `violations` lists every fault of every Journey.
    """
    return with_room(_journey_definitions, document)


def _journey_definitions(document: object) -> tuple[JourneyDefinition, ...]:
    admitted, faults = _admitted(document, "")
    journeys = admitted.get(_FILE_MEMBER) if type(admitted) is dict else None
    checked = Faults()
    if type(journeys) is list:
        _note_file_faults(admitted, journeys, checked)
    else:
        checked.note(("", _FILE_MEMBER), "must be a list of Journeys")
    faults.add(checked)
    if faults.noted:
        raise faults.refusal(InvalidJourney)
    assert type(journeys) is list
    return tuple([_built(item) for item in journeys])


def _note_file_faults(document: dict[str, Any], journeys: list[Any], faults: Faults) -> None:
    for name in document:
        if name != _FILE_MEMBER:
            faults.note(("", name), f"is not a known field; known: {_FILE_MEMBER}")
    first_of: dict[str, int] = {}
    for index, item in enumerate(journeys):
        at: Place = (("", _FILE_MEMBER), index)
        note_journey_faults(item, at, faults)
        journey_id = item.get("id") if type(item) is dict else None
        if type(journey_id) is str and first_of.setdefault(journey_id, index) != index:
            first = format_pointer(_FILE_MEMBER, first_of[journey_id])
            faults.note((at, "id"), f"is also the id of the Journey at {first}")


def journey_document(definition: JourneyDefinition) -> dict[str, Any]:
    """Write a definition as the JSON it is read from; members left out are not written."""
    trigger: dict[str, Any] = {"event": definition.trigger.event}
    if definition.trigger.where is not None:
        trigger["where"] = definition.trigger.where
    reentry: dict[str, Any] = {"policy": str(definition.reentry.policy)}
    if definition.reentry.key:
        reentry["key"] = list(definition.reentry.key)
    if definition.reentry.duration is not None:
        reentry["duration"] = definition.reentry.duration
    if definition.reentry.times is not None:
        reentry["times"] = definition.reentry.times
        reentry["within"] = definition.reentry.within
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
    if definition.delay is not None:
        document["delay"] = definition.delay
    if definition.cancel_on:
        document["cancelOn"] = [
            {"event": rule.event, **({"same": list(rule.same)} if rule.same else {})}
            for rule in definition.cancel_on
        ]
    return document


def definition_digest(definition: JourneyDefinition) -> str:
    """Return the SHA-256, in hex, of a definition without its status."""
    document = journey_document(definition)
    del document["status"]
    return hashlib.sha256(canonical_json(document)).hexdigest()


def definition_changes(before: JourneyDefinition, after: JourneyDefinition) -> tuple[str, ...]:
    """Return where two definitions differ, as JSON Pointers.

    For lists of different length, the path of the list itself.
    """
    return tuple(_differences(journey_document(before), journey_document(after), ""))


def _admitted(document: object, path: str) -> tuple[Any, Faults]:
    """Return a copy of the document as plain JSON, and a fault for each value that is not.

    Raises:
        InvalidJourney: the document is too large to check further.
    """
    admission = Admission(_MAX_DEPTH, MAX_JOURNEYS_BYTES)
    admitted = admission.admit(document, path)
    if admission.too_large:
        raise InvalidJourney.from_violations(
            [Violation(path, f"must not hold more than {MAX_JOURNEYS_BYTES} bytes of JSON")]
        )
    return admitted, admission.faults


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
            times=reentry.get("times"),
            within=reentry.get("within"),
        ),
        window=None
        if window is None
        else Window(_moment(window.get("from")), _moment(window.get("until"))),
        max_lateness=document.get("maxLateness"),
        sample=None if sample is None else Sample(sample["percent"], sample["seed"]),
        delay=document.get("delay"),
        cancel_on=tuple(
            [
                CancelOn(rule["event"], tuple(rule.get("same", ())))
                for rule in document.get("cancelOn", ())
            ]
        ),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_instant(text)


def _differences(before: Any, after: Any, path: str) -> Iterator[str]:
    if type(before) is dict and type(after) is dict:
        for name in dict.fromkeys((*before, *after)):
            inner = before.get(name, MISSING), after.get(name, MISSING)
            yield from _differences(*inner, path + format_pointer(name))
    elif type(before) is list and type(after) is list and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from _differences(*pair, path + format_pointer(index))
    # To Python True equals 1. In canonical JSON they differ, while 1 and 1.0 are the same.
    elif MISSING in (before, after) or canonical_json(before) != canonical_json(after):
        yield path
