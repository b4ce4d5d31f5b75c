"""`segmentflow events`: find recorded events, and show one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from cyclopts import App, Parameter

from segmentflow_cli.ids import whole_events, whole_profile
from segmentflow_cli.not_found import EMAIL, EVENT, sought
from segmentflow_cli.options import COMMON, Before, Common, Limit
from segmentflow_cli.pages import event_page
from segmentflow_cli.times import MOMENT
from segmentflow_core.wire import event_document

__all__ = ["events"]

events = App(name="events", help="Read recorded events.")


def _check_list(**given: Any) -> None:
    if given.get("profile") is not None and given.get("email") is not None:
        raise ValueError("Give one of --profile and --email.")


@events.command(name="list", validator=_check_list)
def list_events(
    *,
    profile: Annotated[str | None, Parameter(help="Only of this Profile, as WHO.")] = None,
    email: Annotated[
        str | None,
        Parameter(help="Only of the Profile that has this email, or has it as an alias."),
    ] = None,
    event: Annotated[str | None, Parameter(help="Only of exactly this name.")] = None,
    reference: Annotated[str | None, Parameter(help="Only of exactly this referenceId.")] = None,
    since: Annotated[
        datetime | None,
        Parameter(help="Only received since, as 2026-05-31 or 7d."),
        MOMENT,
    ] = None,
    until: Annotated[
        datetime | None, Parameter(help="Only received before, as --since."), MOMENT
    ] = None,
    limit: Limit = 20,
    before: Before = None,
    common: Common = COMMON,
) -> None:
    """List recorded events, newest first; those that all of the options are true of."""
    whose = common.organization
    with common.records() as records:
        profile_id: str | None = None
        if profile is not None:
            who = whole_profile(records, profile, whose)
            profile_id = records.find_profile(who, organization_id=whose).profile_id
        elif email is not None:
            with sought(EMAIL):
                profile_id = records.find_profile(email=email, organization_id=whose).profile_id
        if before is not None:
            (before,) = whole_events(records, [before], whose)
        found = records.events(
            profile_id=profile_id,
            event=event,
            reference_id=reference,
            since=since,
            until=until,
            limit=limit,
            before=before,
            organization_id=whose,
        )
    common.printer.events([event_document(event) for event in found], limit)


@events.command(name="show")
def show_event(
    event_id: Annotated[str, Parameter(name="ID", help="The event's id, whole or short.")],
    /,
    *,
    common: Common = COMMON,
) -> None:
    """Show one event with what each Journey did with it."""
    with common.records() as records, sought(EVENT):
        (event_id,) = whole_events(records, [event_id], common.organization)
        event = records.event(event_id, organization_id=common.organization)
    common.printer.page(event_document(event), event_page)
