"""`segmentflow profiles` and `segmentflow why`: who somebody is, and what became of her events.

Both show a person to whoever can read the store.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from segmentflow_cli.explaining import add_facts
from segmentflow_cli.ids import whole_events, whole_profile, whole_profile_id
from segmentflow_cli.not_found import JOURNEY, sought
from segmentflow_cli.options import COMMON, Before, Common, Limit
from segmentflow_cli.pages import profile_page, standing, withdrawal_line
from segmentflow_cli.printing import print_json, told_end
from segmentflow_cli.tables import say, visible
from segmentflow_core import SkipReason
from segmentflow_core.explanation import SKIP_REASONS
from segmentflow_core.wire import profile_document, story_document

__all__ = ["Who", "profiles", "why"]

profiles = App(name="profiles", help="Read, suppress, merge and erase Profiles.")

Who = Annotated[
    str,
    Parameter(name="WHO", help="An id, an email, an external id or a short id, in that order."),
]


@profiles.command(name="list")
def list_profiles(*, limit: Limit = 20, before: Before = None, common: Common = COMMON) -> None:
    """List Profiles, newest first."""
    with common.records() as records:
        if before is not None:
            before = whole_profile_id(records, before, common.organization)
        found = records.profiles(limit=limit, before=before, organization_id=common.organization)
    common.printer.profiles([profile_document(profile) for profile in found], limit)


@profiles.command(name="show")
def show_profile(who: Who, /, *, common: Common = COMMON) -> None:
    """Show one Profile as it stands."""
    with common.records() as records:
        who = whole_profile(records, who, common.organization)
        profile = records.find_profile(who, organization_id=common.organization)
    common.printer.page(profile_document(profile), profile_page)


def why(
    who: Who,
    /,
    *,
    journey: Annotated[
        str | None, Parameter(help="Only this Journey, with every leaf of its condition.")
    ] = None,
    limit: Limit = 20,
    before: Before = None,
    common: Common = COMMON,
) -> None:
    """Tell one person's story: her events, what Journeys made of them, and what became of that."""
    with common.records() as records:
        if before is not None:
            (before,) = whole_events(records, [before], common.organization)
        whose = whole_profile(records, who, common.organization)
        with sought(JOURNEY):
            story = records.why(
                whose,
                journey_id=journey,
                limit=limit,
                before=before,
                organization_id=common.organization,
            )
    document = story_document(story)
    if common.json:
        print_json(document, sys.stdout)
        return
    console = Console(highlight=False)
    console.print(_tree(document, journey), crop=False)
    if document["before"] is not None:
        say(console, f"Older events: --before {document['before']}", "dim")


def _tree(story: dict[str, Any], journey: str | None) -> Tree:
    profile = story["profile"]
    names = [profile["email"], profile["externalId"], profile["profileId"]]
    *bold, last = filter(None, names)
    tree = Tree(_text("  ".join([*bold, ""]), "bold").append(last, "default not bold"))
    ended = told_end(profile)
    if ended:
        tree.add(_text(f"This Profile is {ended}.", "yellow"))
    if not story["events"]:
        which = "No event." if journey is None else f"{journey} listened for none of these events."
        tree.add(_text(which, "yellow"))
    for event in story["events"]:
        _add_event(tree, event, journey)
    return tree


def _add_event(tree: Tree, event: dict[str, Any], journey: str | None) -> None:
    branch = tree.add(
        _text(event["event"], "bold").append(f"  {event['eventId']}", "default not bold")
    )
    branch.add(_text(f"received {event['receivedAt']}", "dim"))
    if not event["outcomes"]:
        whoever = "No Journey listened" if journey is None else f"{journey} did not listen"
        branch.add(_text(f"{whoever} for this event.", "dim"))
    for outcome in event["outcomes"]:
        _add_outcome(branch, outcome)
    for each in event.get("withdrew", ()):
        branch.add(_text(withdrawal_line(each), "yellow"))


def _add_outcome(branch: Tree, outcome: dict[str, Any]) -> None:
    line = _text(f"{outcome['journeyId']} (version {outcome['version']}): ")
    enrollment = outcome["enrollment"]
    if outcome["reason"] is not None:
        leaf = branch.add(line.append(f"skipped, {outcome['reason']}", "bold yellow"))
        leaf.add(_text(SKIP_REASONS[SkipReason(outcome["reason"])], "dim"))
    elif enrollment is None:
        leaf = branch.add(line.append("enrolled", "bold green"))
    else:
        told, colour = standing(enrollment)
        leaf = branch.add(line.append("enrolled, ", "bold green").append(told, colour))
        if enrollment["lastFailure"]:
            leaf.add(_text(f"last failure: {enrollment['lastFailure']}", "dim"))
    if "explanation" in outcome:
        add_facts(leaf, outcome["explanation"])


def _text(line: str, style: str = "default") -> Text:
    return Text(visible(line), style)
