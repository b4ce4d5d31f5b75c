"""One record for people: what it is called and what it says, line by line, in place of its JSON.

Data is shown by JSON Pointer, as conditions, redaction paths and templates name it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from segmentflow_cli.tables import Column, laid_out, room, say, visible
from segmentflow_core import REDACTED
from segmentflow_core.ports import parse_instant

__all__ = [
    "enrollment_page",
    "event_page",
    "facts",
    "journey_page",
    "profile_page",
    "receipt_page",
    "standing",
    "withdrawal_line",
]

Facts: TypeAlias = Sequence[tuple[str, Any]]

_MOST_LEAVES: Final = 40
_MOST_CHARACTERS: Final = 200
_COMBINED: Final = {"all": "all of", "any": "any of", "not": "not"}

_ENDS: Final = (
    ("suppressed", "suppressedAt"),
    ("merged into", "mergedInto"),
    ("erased", "erasedAt"),
    ("scrubbed", "scrubbedAt"),
)
"""What may be done to a Profile, and the member that says so."""

_RECEIVED: Final = ("matched", "enrolled", "skipped")


def event_page(console: Console, event: Mapping[str, Any]) -> None:
    """Print an event, its data and what each Journey did with it."""
    facts(
        console,
        [
            ("event", event["event"]),
            ("id", event["eventId"]),
            ("profile", event["profileId"]),
            ("reference", event["referenceId"]),
            ("occurred", event["occurredAt"]),
            ("received", event["receivedAt"]),
        ],
    )
    _leaves(console, event["data"], "/event")
    if not event["outcomes"]:
        say(console, "No Journey listened for this event.", "dim")
        return
    console.print()
    columns = (
        Column("journey"),
        Column("version", "word"),
        Column("outcome", "word"),
        Column("reason"),
    )
    rows = [
        (each["journeyId"], each["version"], each["outcome"], each["reason"] or "")
        for each in event["outcomes"]
    ]
    console.print(laid_out(columns, rows, room(console)), crop=False)
    for each in event.get("withdrew", ()):
        say(console, withdrawal_line(each), "yellow")


def receipt_page(console: Console, receipt: Mapping[str, Any], *, replayed: bool) -> None:
    """Print the receipt of an event that was tracked."""
    told = Text("Recorded.", "green")
    if replayed:
        told = Text("Replayed: ", "yellow").append("this request was tracked before.", "default")
    say(console, told)
    matched, enrolled, skipped = (
        receipt[f"{did}Journeys"] for did in ("matched", "enrolled", "skipped")
    )
    facts(
        console,
        [
            ("event", receipt["eventId"]),
            ("profile", receipt["profileId"]),
            ("journeys", f"{matched} matched: {enrolled} enrolled, {skipped} skipped"),
        ],
    )


def withdrawal_line(withdrawal: Mapping[str, Any]) -> str:
    """Say on one line what an event did to an Enrollment."""
    of = f"Enrollment {withdrawal['enrollmentId']} of {withdrawal['journeyId']}"
    if withdrawal["marked"]:
        return f"cancels {of}: withdrawn once no worker holds it, unless completed first"
    return f"withdraws {of}"


def profile_page(console: Console, profile: Mapping[str, Any]) -> None:
    """Print a Profile as it stands."""
    facts(
        console,
        [
            ("id", profile["profileId"]),
            ("email", profile["email"]),
            ("external id", profile["externalId"]),
            ("aliases", profile["aliases"] or None),
            ("created", profile["createdAt"]),
            ("changed", profile["updatedAt"]),
            *((what, profile[name]) for what, name in _ENDS),
        ],
    )
    _leaves(console, profile["properties"], "/profile/properties")


def enrollment_page(console: Console, enrollment: Mapping[str, Any]) -> None:
    """Print an Enrollment and what became of it."""
    facts(
        console,
        [
            ("id", enrollment["enrollmentId"]),
            ("journey", f"{enrollment['journeyId']}, version {enrollment['version']}"),
            ("profile", enrollment["profileId"]),
            ("event", enrollment["eventId"]),
            ("status", enrollment["status"]),
            ("entered", enrollment["enteredAt"]),
            ("available", enrollment["availableAt"]),
            ("attempts", enrollment["attempts"]),
            ("completed", enrollment["completedAt"]),
            ("withdrawn", enrollment["withdrawnAt"]),
            ("cancelled by", enrollment["cancelledBy"]),
            ("last failure", enrollment["lastFailure"]),
        ],
    )


def standing(enrollment: Mapping[str, Any]) -> tuple[str, str]:
    """Say what became of an Enrollment, and in which colour."""
    attempts = enrollment["attempts"]
    counted = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    since = enrollment["availableAt"] or enrollment["enteredAt"]
    is_delayed = parse_instant(since) > parse_instant(enrollment["enteredAt"])
    waiting = "waiting, available from" if is_delayed else "waiting since"
    by = enrollment["cancelledBy"]
    told = {
        "pending": f"{waiting} {since}" if attempts == 0 else f"waiting after {counted}",
        "claimed": f"claimed until {enrollment['availableAt']}",
        "completed": f"completed at {enrollment['completedAt']}",
        "dead": f"dead after {counted}",
        "withdrawn": f"withdrawn at {enrollment['withdrawnAt']}",
    }
    status = enrollment["status"]
    line = told[status] if by is None else f"{told[status]}, cancelled by event {by}"
    return line, _COLOURS[status]


_COLOURS: Final = {
    "pending": "default",
    "claimed": "default",
    "completed": "green",
    "dead": "red",
    "withdrawn": "yellow",
}


def journey_page(console: Console, journey: Mapping[str, Any]) -> None:
    """Print a Journey: what it listens for, on which condition, and how often one may enter."""
    trigger = journey["trigger"]
    facts(
        console,
        [
            ("id", journey["id"]),
            ("name", journey["name"]),
            ("status", journey["status"]),
            ("version", f"{journey['version']}, published {journey['publishedAt']}"),
            ("event", trigger["event"]),
            ("re-entry", _listed(journey["reentry"], unnamed="policy")),
            ("window", _listed(journey.get("window", {}))),
            ("lateness", journey.get("maxLateness")),
            ("sample", _listed(journey.get("sample", {}))),
            ("delay", journey.get("delay")),
            *(
                ("cancelled by", _listed(each, unnamed="event"))
                for each in journey.get("cancelOn", ())
            ),
        ],
    )
    if "where" in trigger:
        tree = Tree("enters where")
        _add_condition(tree, trigger["where"])
        console.print(tree, crop=False)


def facts(console: Console, told: Facts) -> None:
    """Print what has a value, each on a line of its own; the longest are folded."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in told:
        if value not in (None, ""):
            grid.add_row(name, Text(visible(str(value))))
    _print_grid(console, grid)


def _print_grid(console: Console, grid: Table) -> None:
    width = room(console)
    if width is None:
        grid.width = Console(width=1_000_000).measure(grid).maximum
    console.print(grid, crop=False)


def _leaves(console: Console, document: Any, prefix: str) -> None:
    leaves = list(_leaves_of(document, prefix))
    if leaves == [(prefix, {})]:
        return
    console.print()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    for path, value in leaves[:_MOST_LEAVES]:
        grid.add_row(Text(visible(path)), _value(value))
    _print_grid(console, grid)
    more = len(leaves) - _MOST_LEAVES
    if more > 0:
        say(console, f"… and {more:,} more; --json prints them all", "dim")


def _leaves_of(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            token = str(name).replace("~", "~0").replace("/", "~1")
            yield from _leaves_of(item, f"{path}/{token}")
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for index, item in enumerate(value):
            yield from _leaves_of(item, f"{path}/{index}")
    else:
        yield path, value


def _value(value: Any) -> Text:
    if value == REDACTED:
        return Text(REDACTED, "bold magenta")
    return Text(visible(_json(value)))


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _listed(members: Mapping[str, Any], unnamed: str = "") -> str:
    """Write members on one line; the first of them may go without its name."""
    parts = [
        _plain(value) if name == unnamed else f"{name} {_plain(value)}"
        for name, value in members.items()
    ]
    return ", ".join(parts)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    return value if isinstance(value, str) else _json(value)


def _add_condition(tree: Tree, node: Mapping[str, Any], prefix: str = "") -> None:
    for word, told in _COMBINED.items():
        if word in node:
            branch = tree.add(f"{prefix}{told}")
            parts = node[word] if isinstance(node[word], list) else [node[word]]
            for part in parts:
                _add_condition(branch, part)
            return
    if "did" in node:
        asked = {name: value for name, value in node.items() if name not in ("did", "where")}
        said = "".join(f", {name} {_json(value)}" for name, value in asked.items())
        branch = tree.add(Text(visible(f"{prefix}did {node['did']}{said}")))
        if "where" in node:
            _add_condition(branch, node["where"], "where ")
        return
    line = f"{prefix}{node['path']} {node['op']}"
    within = node.get("value")
    if isinstance(within, Mapping):
        _add_condition(tree.add(Text(visible(line))), within)
    else:
        tree.add(Text(visible(line if "value" not in node else f"{line} {_json(within)}")))
