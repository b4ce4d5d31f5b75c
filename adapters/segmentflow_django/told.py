"""What the pages of the admin say of Profiles, events, Enrollments and Journeys.

Knows the library's values. What is redacted comes redacted from the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from segmentflow_core.explanation import SKIP_REASONS, Story, ToldEvent
from segmentflow_core.journeys import journey_document
from segmentflow_core.ports import (
    Enrollment,
    Journey,
    Outcome,
    Profile,
    SkipReason,
    UserEvent,
    Withdrawal,
)
from segmentflow_core.wire import story_document
from segmentflow_django import models
from segmentflow_django.asking import Asked
from segmentflow_django.pages import Cell, Facts, Field, Page, Section, Table, Text, as_json

__all__ = [
    "enrollment",
    "enrollments",
    "event",
    "events",
    "journey",
    "journeys",
    "profile",
    "profiles",
    "why",
]

_COUNTED: Final = 10_000
"""How many events, and how many Enrollments, the counts of a Journey look at."""


def profiles(asked: Asked, found: Iterable[Profile]) -> Table:
    """List Profiles."""
    columns = ["Profile", "Email", "External id", "Created", "Changed", "State"]
    return Table(
        "",
        columns,
        [
            (
                asked.link(models.Profile, each.profile_id),
                each.email,
                each.external_id,
                each.created_at,
                each.updated_at,
                _state(each),
            )
            for each in found
        ],
    )


def _state(profile: Profile) -> str | None:
    states = {
        "erased": profile.erased_at is not None,
        "merged": profile.merged_into is not None,
        "suppressed": profile.suppressed_at is not None,
    }
    return ", ".join(name for name, is_so in states.items() if is_so) or None


def profile(asked: Asked, profile: Profile) -> Page:
    """Show one Profile; of its aliases only how many there are, since they are never shown."""
    profile_id = profile.profile_id
    why = None
    if asked.may_view(models.Profile, models.UserEvent, models.Enrollment):
        why = asked.link(models.Profile, profile_id, "Why: events and outcomes", page="why")
    return Page(
        f"Profile {profile_id}",
        [
            Facts(
                "",
                {
                    "Email": profile.email,
                    "External id": profile.external_id,
                    "Aliases": len(profile.aliases),
                    "Created": profile.created_at,
                    "Changed": profile.updated_at,
                    "Suppressed": profile.suppressed_at,
                    "Erased": profile.erased_at,
                    "Scrubbed": profile.scrubbed_at,
                },
            ),
            Text("Properties", as_json(profile.properties)),
        ],
        [
            why,
            asked.list_link(models.UserEvent, "Events", q=profile_id),
            asked.list_link(models.Enrollment, "Enrollments", q=profile_id),
        ],
    )


def events(asked: Asked, found: Iterable[UserEvent]) -> Table:
    """List events, without their data."""
    columns = ["Event", "Name", "Profile", "Reference id", "Occurred", "Received", "Enrolled"]
    return Table(
        "",
        columns,
        [
            (
                asked.link(models.UserEvent, each.event_id),
                each.event,
                asked.link(models.Profile, each.profile_id),
                each.reference_id,
                each.occurred_at,
                each.received_at,
                f"{sum(o.reason is None for o in each.outcomes)} of {len(each.outcomes)}",
            )
            for each in found
        ],
    )


def event(asked: Asked, event: UserEvent) -> Page:
    """Show one event; who the Profile was is for those who may view Profiles."""
    sections: list[Section] = [
        Facts(
            "",
            {
                "Name": event.event,
                "Profile": asked.link(models.Profile, event.profile_id),
                "Number of the Profile": event.number,
                "Reference id": event.reference_id,
                "Occurred": event.occurred_at,
                "Received": event.received_at,
            },
        ),
        Table(
            "Outcomes",
            ["Journey", "Version", "Outcome"],
            [
                (asked.link(models.Journey, each.journey_id), each.version, _outcome(each))
                for each in event.outcomes
            ],
            "No Journey listened for this event.",
        ),
    ]
    if event.withdrew:
        rows = [_withdrawal(asked, each) for each in event.withdrew]
        sections.append(Table("Withdrew", ["Journey", "Enrollment", ""], rows))
    sections.append(Text("Data", as_json(event.data)))
    if asked.may_view(models.Profile):
        sections.append(Text("The Profile after this event", as_json(event.profile)))
    return Page(
        f"Event {event.event_id}",
        sections,
        [asked.list_link(models.Enrollment, "Enrollments", q=event.event_id)],
    )


def _outcome(outcome: Outcome) -> str:
    if outcome.reason is None:
        return "enrolled"
    reason = SkipReason(outcome.reason)
    return f"skipped, {reason}: {SKIP_REASONS[reason]}"


def _withdrawal(asked: Asked, withdrawal: Withdrawal) -> tuple[Cell | str, ...]:
    return (
        asked.link(models.Journey, withdrawal.journey_id),
        asked.link(models.Enrollment, withdrawal.enrollment_id),
        "once its worker gives it back" if withdrawal.marked else "withdrawn",
    )


def enrollments(asked: Asked, found: Iterable[Enrollment]) -> Table:
    """List Enrollments."""
    columns = ["Enrollment", "Journey", "Profile", "Event", "Entered", "Status", "Attempts"]
    return Table(
        "",
        columns,
        [
            (
                asked.link(models.Enrollment, each.enrollment_id),
                asked.link(models.Journey, each.journey_id),
                asked.link(models.Profile, each.profile_id),
                asked.link(models.UserEvent, each.event_id),
                each.entered_at,
                each.status,
                each.attempts,
            )
            for each in found
        ],
    )


def enrollment(asked: Asked, enrollment: Enrollment) -> Page:
    """Show one Enrollment, without the token of its lease, which is its holder's alone."""
    return Page(
        f"Enrollment {enrollment.enrollment_id}",
        [
            Facts(
                "",
                {
                    "Journey": asked.link(models.Journey, enrollment.journey_id),
                    "Version": enrollment.version,
                    "Profile": asked.link(models.Profile, enrollment.profile_id),
                    "Event": asked.link(models.UserEvent, enrollment.event_id),
                    "Status": enrollment.status,
                    "Entered": enrollment.entered_at,
                    "Available": enrollment.available_at,
                    "Leased until": enrollment.lease_until,
                    "Attempts": enrollment.attempts,
                    "Last failure": enrollment.last_failure,
                    "Completed": enrollment.completed_at,
                    "Withdrawn": enrollment.withdrawn_at,
                    "Withdrawn by": asked.link(models.UserEvent, enrollment.cancelled_by),
                },
            )
        ],
    )


def journeys(asked: Asked, found: Iterable[Journey]) -> Table:
    """List Journeys."""
    columns = ["Journey", "Name", "Status", "Event", "Version", "Published"]
    return Table(
        "",
        columns,
        [
            (
                asked.link(models.Journey, each.journey_id),
                each.definition.name,
                each.definition.status,
                each.definition.trigger.event,
                each.version,
                each.published_at,
            )
            for each in found
        ],
    )


def journey(asked: Asked, journey: Journey) -> Page:
    """Show one Journey: its definition, and what became of the last seven days' events."""
    stats = asked.journeys.stats(journey.journey_id, at_most=_COUNTED, **asked.whose)
    (counts,) = stats.journeys
    more = " or more" if stats.waiting_cut else ""
    enrolled = {f"Entries, {status}": count for status, count in counts.enrollments.items()}
    skipped = {f"Skipped, {reason}": count for reason, count in counts.skipped.items()}
    return Page(
        f"Journey {journey.journey_id}",
        [
            Facts(
                "",
                {
                    "Name": journey.definition.name,
                    "Status": journey.definition.status,
                    "Event": journey.definition.trigger.event,
                    "Version": journey.version,
                    "Published": journey.published_at,
                    "Waiting": f"{counts.waiting}{more}",
                    "The oldest waits since": counts.oldest_waiting,
                },
            ),
            Facts(
                "Counts",
                {
                    "Since": stats.since,
                    "Matched": counts.matched,
                    "Enrolled": counts.enrolled,
                    **skipped,
                    **enrolled,
                },
            ),
            Text("Definition", as_json(journey_document(journey.definition))),
        ],
        [asked.list_link(models.Enrollment, "Enrollments", journey=journey.journey_id)],
    )


def why(asked: Asked, story: Story, fields: Sequence[Field], following: str | None) -> Page:
    """Tell one person's story: her events, each Journey's outcome, what became of each entry."""
    columns = ["Received", "Event", "Journey", "Outcome", "Enrollment", "Attempts", "Last failure"]
    rows = [row for told in story.events for row in _told(asked, told)]
    profile = story.profile
    sections: list[Section] = [
        Facts(
            "",
            {
                "Profile": asked.link(models.Profile, profile.profile_id),
                "Email": profile.email,
                "External id": profile.external_id,
                "State": _state(profile),
            },
        ),
        Table("Events, newest first", columns, rows, "Nothing is recorded of this person."),
    ]
    for told in story_document(story)["events"]:
        sections += [
            Text(f"{told['event']} {told['eventId']}", as_json(outcome["explanation"]))
            for outcome in told["outcomes"]
            if "explanation" in outcome
        ]
    return Page(f"Why: Profile {profile.profile_id}", sections, (), fields, following)


def _told(asked: Asked, told: ToldEvent) -> list[tuple[Any, ...]]:
    """Return a row for each outcome and each withdrawal of an event, one at least."""
    event = told.event
    name = asked.link(models.UserEvent, event.event_id, event.event)
    rows: list[tuple[Any, ...]] = []
    for each in told.outcomes:
        entry = each.enrollment
        rows.append(
            (
                asked.link(models.Journey, each.outcome.journey_id),
                _outcome(each.outcome),
                entry and asked.link(models.Enrollment, entry.enrollment_id, str(entry.status)),
                entry and entry.attempts,
                entry and entry.last_failure,
            )
        )
    for withdrawal in event.withdrew:
        journey, withdrawn, became = _withdrawal(asked, withdrawal)
        rows.append((journey, f"withdrew: {became}", withdrawn, None, None))
    if not rows:
        rows.append((None, "No Journey listened for this event.", None, None, None))
    return [(event.received_at, name, *row) for row in rows]
