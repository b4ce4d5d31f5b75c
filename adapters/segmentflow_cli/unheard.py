"""What a Journey reads and no recorded event has: a name or a path that may be mistyped.

Looks at so many of the newest events of a name, and at none where nothing is recorded yet. Says
what it found; it refuses nothing, for the first such event may come tomorrow.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from attrs import frozen

from segmentflow_core import PublishedJourney, Records
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.wire import published_document

__all__ = ["Unheard", "unheard"]

_MOST_JOURNEYS: Final = 100
_MOST_PATHS: Final = 100
_MOST_EVENTS: Final = 200


@frozen
class Unheard:
    """A name that no recorded event has, or a path that none of those of a name has.

    Attributes:
        journey_id: the Journey that reads it.
        event: the events' name.
        path: the JSON Pointer; None where there is no event of that name.
        looked_at: at how many events of that name.
    """

    journey_id: str
    event: str
    path: str | None
    looked_at: int

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"journeyId": self.journey_id, "event": self.event, "path": self.path}

    def line(self) -> str:
        """Return it for people."""
        if self.path is None:
            return f"{self.journey_id}: no recorded event is named {self.event}."
        events = "event" if self.looked_at == 1 else f"{self.looked_at:,} events"
        return f"{self.journey_id}: none of the newest {events} {self.event} has {self.path}."


def unheard(records: Records, plan: Iterable[PublishedJourney], organization: str) -> list[Unheard]:
    """Return what changed Journeys read and nothing recorded has.

    Args:
        records: reads events.
        plan: the Journeys; those that are unchanged, or archived, are left out.
        organization: whose they are.
    """
    found: list[Unheard] = []
    # A storage that does not find is not asked what it holds.
    with suppress(ConfigurationError):
        if not records.events(limit=1, organization_id=organization):
            return []
        changed = (item.journey for item in plan if item.change != "unchanged")
        listening = (each for each in changed if each.definition.status != "archived")
        for journey in itertools.islice(listening, _MOST_JOURNEYS):
            found += _of_one(records, published_document(journey), organization)
    return found


def _of_one(records: Records, journey: Mapping[str, Any], whose: str) -> Iterator[Unheard]:
    journey_id, trigger = journey["id"], journey["trigger"]
    leaves = list(_leaves(trigger.get("where")))
    names = [leaf["did"] for leaf in leaves if "did" in leaf]
    names += [each["event"] for each in journey.get("cancelOn", ())]
    for name in dict.fromkeys([trigger["event"], *names]):
        if not records.events(event=name, limit=1, organization_id=whose):
            yield Unheard(journey_id, name, None, 0)
    paths = [leaf["path"] for leaf in leaves if leaf.get("op", "missing") != "missing"]
    paths += [path for leaf in leaves for path in leaf.get("same", ())]
    paths += journey["reentry"].get("key", ())
    paths += [path for each in journey.get("cancelOn", ()) for path in each.get("same", ())]
    read = list(dict.fromkeys(paths))[:_MOST_PATHS]
    if not read:
        return
    gaps = records.template_gaps(
        [{"$state": path} for path in read],
        event=trigger["event"],
        at_most=_MOST_EVENTS,
        organization_id=whose,
    )
    for each in gaps.paths:
        if gaps.events and each.missing == gaps.events:
            yield Unheard(journey_id, gaps.event, each.path, gaps.events)


def _leaves(node: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """Give each leaf of a condition that reads the state document, or counts events."""
    if node is None:
        return
    for word in ("all", "any"):
        for part in node.get(word, ()):
            yield from _leaves(part)
    if "not" in node:
        yield from _leaves(node["not"])
    if "path" in node or "did" in node:
        yield node
