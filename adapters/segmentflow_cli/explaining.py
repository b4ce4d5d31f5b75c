"""`segmentflow explain`: what each Journey makes of an event, and why, as a tree or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Group, Parameter
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from segmentflow_cli.ids import whole_events
from segmentflow_cli.journey_files import load_journeys
from segmentflow_cli.not_found import EVENT, JOURNEY, sought
from segmentflow_cli.options import (
    COMMON,
    NOT_REDACTED,
    Common,
    PlaceholderIds,
    Redacted,
    read_bytes,
)
from segmentflow_cli.pages import standing, withdrawal_line
from segmentflow_cli.printing import print_json
from segmentflow_cli.tables import visible
from segmentflow_core import Limits, SkipReason
from segmentflow_core.explanation import GAPS, SKIP_REASONS
from segmentflow_core.wire import explained_document, parse_request

__all__ = ["add_facts", "check_explain", "explain"]

_SHOWN: Final = 80
_MARKS: Final = {True: ("✔", "green"), False: ("✘", "red"), None: ("?", "yellow")}
_WHY_UNKNOWN: Final = {
    "missing": "nothing is there",
    "null": "it is null",
    "wrong_type": "it is of another type",
    "redacted": "it is redacted",
}
_CANCELS: Final = {
    True: "",
    False: ": one did, which is gone",
    None: ": one that is gone may have",
}
_COMBINED: Final = {"all": "all of", "any": "any of", "not": "not"}


_SUBJECT: Final = Group("What to explain", sort_key=0)
_SUBJECTS: Final = ("event", "request")


def check_explain(**given: Any) -> None:
    """Check that the options go together.

    Raises:
        ValueError: they do not; this is wrong usage.
    """
    if sum(given.get(name) is not None for name in _SUBJECTS) != 1:
        raise ValueError("Give one of --event and --request.")


def explain(
    *,
    event: Annotated[
        str | None, Parameter(group=_SUBJECT, help="The id of a stored event, whole or short.")
    ] = None,
    request: Annotated[
        str | None,
        Parameter(
            group=_SUBJECT,
            help="A request not yet sent, as JSON; - reads standard input.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    journeys: Annotated[
        Path | None,
        Parameter(help="A Journey file of drafts, in place of the published Journeys."),
    ] = None,
    journey: Annotated[
        str | None, Parameter(help="Only this Journey, and whether it listens at all.")
    ] = None,
    placeholder_ids: PlaceholderIds = False,
    redacted: Redacted = NOT_REDACTED,
    common: Common = COMMON,
) -> None:
    """Say who would enter which Journey, and why not. Nothing is written."""
    drafts = None if journeys is None else load_journeys(journeys)
    whose = common.organization
    limits = Limits(allow_placeholder_ids=placeholder_ids)
    with common.records(redacted, limits) as records, sought(JOURNEY):
        if event is not None:
            with sought(EVENT):
                (event,) = whole_events(records, [event], whose)
                records.event(event, organization_id=whose)
            explained = records.explain(
                event, journeys=drafts, journey_id=journey, organization_id=whose
            )
        else:
            assert request is not None
            explained = records.explain_request(
                parse_request(read_bytes(request)),
                journeys=drafts,
                journey_id=journey,
                organization_id=whose,
            )
    document = explained_document(explained)
    if common.json:
        print_json(document, sys.stdout)
    else:
        Console(highlight=False).print(_event_tree(document), crop=False)


def _event_tree(event: dict[str, Any]) -> Tree:
    subject = "not stored" if event["eventId"] is None else event["eventId"]
    tree = Tree(_text(event["event"], "bold").append(f"  {subject}", "default not bold"))
    tree.add(_text(f"Profile {event['profileId'] or 'would be created'}"))
    tree.add(_text(f"occurred {event['occurredAt']}, received {event['receivedAt']}"))
    for path in event["unmatchedPaths"]:
        tree.add(_text(f"the redaction path {path} names nothing", "yellow"))
    if not event["journeys"] and not event["silent"]:
        tree.add(_text("No Journey listens for this event.", "yellow"))
    for journey in event["journeys"]:
        _add_journey(tree, journey)
    for each in event.get("otherEnrollments", ()):
        which = f"{each['journeyId']} (version {each['version']}), which does not listen today: "
        _add_enrollment(tree, each, which)
    for each in event.get("withdrew", ()):
        tree.add(_text(withdrawal_line(each), "yellow"))
    for journey in event["silent"]:
        why = f"is {journey['status']}"
        if journey["reason"] == "event":
            why = f"listens for {journey['event']}"
        tree.add(_text(f"{journey['journeyId']} does not listen for this event: it {why}", "dim"))
    return tree


def _add_journey(tree: Tree, journey: dict[str, Any]) -> None:
    version = journey["version"]
    which = "draft" if version is None else f"version {version}"
    colour = "green" if journey["outcome"] == "enrolled" else "yellow"
    told = _outcome(journey)
    if told == "enrolled" and journey.get("cancelOn", {"result": True})["result"] is None:
        told, colour = "enrolled, unless cancelled", "yellow"
    branch = tree.add(_text(f"{journey['journeyId']} ({which}): ").append(told, f"bold {colour}"))
    if journey["reason"] is not None:
        branch.add(_text(SKIP_REASONS[SkipReason(journey["reason"])], "dim"))
    recorded = journey["recorded"]
    if recorded is not None and (recorded["version"], _outcome(recorded)) != (
        version,
        _outcome(journey),
    ):
        was = f"recorded: {_outcome(recorded)}, by version {recorded['version']}"
        branch.add(_text(was, "magenta"))
    if journey["enrollment"] is not None:
        _add_enrollment(branch, journey["enrollment"], "")
    add_facts(branch, journey)


def _add_enrollment(tree: Tree, enrollment: dict[str, Any], of: str) -> None:
    """Add what became of an Enrollment."""
    told, colour = standing(enrollment)
    line = _text(f"{of}Enrollment {enrollment['enrollmentId']}: ").append(visible(told), colour)
    branch = tree.add(line)
    if enrollment["lastFailure"]:
        branch.add(_text(f"last failure: {enrollment['lastFailure']}", "dim"))


def add_facts(branch: Tree, journey: dict[str, Any]) -> None:
    """Add to a tree what a Journey looked at, each with what it found."""
    for name, describe in _FACTS.items():
        fact = journey[name]
        if fact is not None:
            branch.add(_marked(fact["result"], describe(fact)))
    if journey["where"] is not None:
        _add_condition(branch, journey["where"], "condition: ")
    reentry = journey["reentry"]
    line = branch.add(_marked(reentry["result"], _described_reentry(reentry)))
    _add_parts(line, reentry.get("key", ()))
    if "cancelOn" in journey:
        cancelling = journey["cancelOn"]
        by = cancelling["cancelledBy"]
        told = _CANCELS[cancelling["result"]] if by is None else f": event {by} does"
        told = f"no event recorded before this one cancels the entry{told}"
        line = branch.add(_marked(cancelling["result"], told))
        for rule in cancelling["rules"]:
            _add_parts(line.add(_text(rule["event"])), rule["same"])
    if "delay" in journey:
        delay = journey["delay"]
        branch.add(_text(f"delay: {delay['delay']}, available from {delay['availableAt']}"))


def _add_parts(branch: Tree, parts: Iterable[dict[str, Any]]) -> None:
    for part in parts:
        branch.add(_marked("reason" not in part, f"{part['path']}: {_found(part)}"))


def _outcome(document: dict[str, Any]) -> str:
    reason = document["reason"]
    return f"{document['outcome']}" if reason is None else f"{document['outcome']}, {reason}"


def _described_window(fact: dict[str, Any]) -> str:
    bounds = [f"{name} {fact[name]}" for name in ("from", "until") if name in fact]
    return f"window: {', '.join(bounds)}"


def _described_lateness(fact: dict[str, Any]) -> str:
    lateness = timedelta(seconds=fact["latenessSeconds"])
    after = f"{lateness} after" if lateness >= timedelta() else "before"
    return f"lateness: received {after} it happened, at most {fact['limit']}"


def _described_sample(fact: dict[str, Any]) -> str:
    open_ = "; settled when the Profile is created" if fact["result"] is None else ""
    return f"sample: {fact['percent']:g} percent by the seed {_json(fact['seed'])}{open_}"


_FACTS: Final = {
    "window": _described_window,
    "maxLateness": _described_lateness,
    "sample": _described_sample,
}
"""How each limit is described, in the order in which limits are checked."""


def _described_reentry(fact: dict[str, Any]) -> str:
    parts = [f"re-entry: {fact['policy']}"]
    if "duration" in fact:
        parts.append(f"of {fact['duration']}")
    if "lastEnteredAt" in fact:
        parts.append(f"last entered {fact['lastEnteredAt']}")
    if "freeAt" in fact:
        parts.append(f"free at {fact['freeAt']}")
    if "times" in fact:
        parts.append(f"{fact['times']} times within {fact['within']}")
    if "entries" in fact:
        parts.append(f"entered {fact['entries']} times in that period")
    if fact.get("keyTaken"):
        parts.append("this key has entered before")
    return ", ".join(parts)


def _add_condition(tree: Tree, node: dict[str, Any], prefix: str = "") -> None:
    if node["kind"] == "did":
        _add_history(tree, node, prefix)
        return
    if node["kind"] in _COMBINED:
        line = f"{prefix}{_COMBINED[node['kind']]}"
    else:
        expected = f" {_json(node['expected'])}" if "expected" in node else ""
        found = "" if node["kind"] == "items" and "reason" not in node else f": {_found(node)}"
        line = f"{prefix}{node['path']} {node['op']}{expected}{found}"
    branch = tree.add(_marked(node["result"], line))
    for child in node.get("children", ()):
        _add_condition(branch, child)
    if "omitted" in node:
        branch.add(_text(f"… and {node['omitted']} more", "dim"))


def _add_history(tree: Tree, node: dict[str, Any], prefix: str) -> None:
    asked = {name: value for name, value in node["expected"].items() if name != "did"}
    said = "".join(f", {name} {_json(value)}" for name, value in asked.items())
    least, most = node["least"], node["most"]
    count = f"{least}" if least == most else f"{least} to {most}"
    if most is None:
        count = f"{least} or more"
    line = f"{prefix}did {node['expected']['did']}{said}: found {count}"
    branch = tree.add(_marked(node["result"], line))
    for path in node.get("unequal", ()):
        branch.add(_text(f"{path} of this event equals nothing", "dim"))
    for event in node["events"]:
        branch.add(_marked(event["counts"], f"{event['eventId']}, occurred {event['occurredAt']}"))
    if "omitted" in node:
        branch.add(_text(f"… and {node['omitted']} more", "dim"))
    for gap in node.get("gaps", ()):
        branch.add(_text(f"not known exactly: {GAPS[gap]}", "yellow"))
    if "removed" in node:
        last = node["removedUntil"]
        branch.add(_text(f"removed by retention: {node['removed']}, the last of {last}", "dim"))


def _found(node: dict[str, Any]) -> str:
    if "reason" in node:
        return _WHY_UNKNOWN[node["reason"]]
    return f"found {_json(node['found'])}" if "found" in node else _WHY_UNKNOWN["missing"]


def _marked(result: bool | None, line: str) -> Text:
    mark, colour = _MARKS[result]
    return Text(f"{mark} ", colour).append(visible(line), "default")


def _text(line: str, style: str = "default") -> Text:
    return Text(visible(line), style)


def _json(value: Any) -> str:
    """Write a value on one line; a long one is cut."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
