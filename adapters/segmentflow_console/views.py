"""What the pages show. Each reads a bounded number of records, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any, Final

from attrs import frozen

from segmentflow_console.asked import PAGE, Asked, GoTo, Page, paged
from segmentflow_console.chart import chart_of
from segmentflow_console.facts import facts_of
from segmentflow_core import Backlog, Enrollment, EnrollmentStatus, Profile, UserEvent
from segmentflow_core.colour import settle
from segmentflow_core.errors import NotFound
from segmentflow_core.explanation import SKIP_REASONS, Story
from segmentflow_core.journeys import JourneyStats
from segmentflow_core.people import AUDIT_ACTIONS, AuditRecord
from segmentflow_core.wire import explained_document, published_document

__all__ = [
    "enrollment",
    "enrollments",
    "event",
    "find",
    "journey",
    "journeys",
    "overview",
    "people",
    "person",
    "queue",
    "record",
]

_COUNTED: Final = 5_000
"""How many events, and how many Enrollments, a page's counts look at."""

_WAITING: Final = 10_000
_DEAD: Final = 100
_WEEK: Final = timedelta(days=7)
_PERIODS: Final = (7, 14, 30)


@frozen
class _Queue:
    """What waits now.

    Attributes:
        backlogs: of each active Journey, the longest wait first.
        depth: how many wait.
        cut: whether there are more.
        lag: how long the first has been waiting, or None.
        dead: how many are dead, as far as they were counted.
        dead_cut: whether there are more.
    """

    backlogs: Sequence[Backlog]
    depth: int
    cut: bool
    lag: timedelta | None
    dead: int
    dead_cut: bool


async def _queue(asked: Asked) -> _Queue:
    whose, enrollments = asked.organization_id, asked.facades.enrollments
    backlogs: Sequence[Backlog] = await settle(
        enrollments.backlog(at_most=_WAITING, organization_id=whose)
    )
    dead: Sequence[Enrollment] = await settle(
        enrollments.list(limit=_DEAD + 1, status=EnrollmentStatus.DEAD, organization_id=whose)
    )
    nothing = timedelta()
    ordered = sorted(backlogs, key=lambda each: each.lag or nothing, reverse=True)
    return _Queue(
        ordered,
        sum(each.depth for each in backlogs),
        any(each.cut for each in backlogs),
        max((each.lag for each in backlogs if each.lag is not None), default=None),
        min(len(dead), _DEAD),
        len(dead) > _DEAD,
    )


async def overview(asked: Asked) -> Page:
    """Show what waits, what is dead, and what came last."""
    whose, facades = asked.organization_id, asked.facades
    queue = await _queue(asked)
    journeys = await settle(facades.journeys.list(organization_id=whose))
    statuses = [str(each.definition.status) for each in journeys]
    latest: Sequence[UserEvent] = await settle(
        facades.records.events(limit=10, organization_id=whose)
    )
    values = {
        "queue": queue,
        "journeys": {status: statuses.count(status) for status in ("active", "paused")},
        "events": latest,
    }
    return Page("overview.html", "Overview", values)


async def people(asked: Asked) -> Page:
    """List Profiles, the newest first."""
    found: Sequence[Profile] = await settle(
        asked.facades.records.profiles(
            limit=PAGE + 1, before=asked.before, organization_id=asked.organization_id
        )
    )
    shown, after = paged(found, lambda each: each.profile_id)
    return Page("people.html", "People", {"people": shown, "after": after})


async def find(asked: Asked) -> Page | GoTo:
    """Find what one word names: a person, else an event or an Enrollment by its id.

    The word comes in a form, and so is in no URL, no history and no log.
    """
    word, whose = asked.form.get("who", "").strip(), asked.organization_id
    records, enrollments = asked.facades.records, asked.facades.enrollments
    try:
        profile: Profile = await settle(records.find_profile(word, organization_id=whose))
        return GoTo(f"/people/{profile.profile_id}")
    except NotFound:
        pass
    try:
        event: UserEvent = await settle(records.event(word, organization_id=whose))
        return GoTo(f"/events/{event.event_id}")
    except NotFound:
        pass
    try:
        found: Enrollment = await settle(enrollments.get(word, organization_id=whose))
        return GoTo(f"/enrollments/{found.enrollment_id}")
    except NotFound:
        return Page("not_found.html", "Nobody found", {"who": word}, 404)


async def person(asked: Asked) -> Page:
    """Show one person: who she is, her events with what came of them, her Enrollments."""
    whose, facades = asked.organization_id, asked.facades
    profile: Profile = await settle(facades.records.profile(asked.subject, organization_id=whose))
    story: Story = await settle(
        facades.records.why(
            profile.profile_id, limit=PAGE, before=asked.before, organization_id=whose
        )
    )
    entries: Sequence[Enrollment] = ()
    if asked.before is None:
        entries = await settle(
            facades.enrollments.list(
                limit=PAGE + 1, profile_id=profile.profile_id, organization_id=whose
            )
        )
    shown, more = paged(entries, lambda each: each.enrollment_id)
    values = {"profile": profile, "story": story, "entries": shown, "more_entries": more}
    return Page("person.html", "A person", values)


async def event(asked: Asked) -> Page:
    """Show one event: its data, each Journey's outcome, and why."""
    whose, facades = asked.organization_id, asked.facades
    found: UserEvent = await settle(facades.records.event(asked.subject, organization_id=whose))
    entries: Sequence[Enrollment] = await settle(
        facades.enrollments.list(limit=100, event_id=found.event_id, organization_id=whose)
    )
    explained = explained_document(
        await settle(facades.records.explain(found.event_id, organization_id=whose))
    )
    values = {
        "event": found,
        "entries": {each.journey_id: each for each in entries},
        "explained": [_explained(journey) for journey in explained["journeys"]],
    }
    return Page("event.html", "An event", values)


def _explained(journey: dict[str, Any]) -> dict[str, Any]:
    """Return an explained Journey with its tree, and whether it decided otherwise then."""
    recorded = journey["recorded"]
    today = {name: journey[name] for name in ("version", "outcome", "reason")}
    differs = recorded is not None and recorded != today
    return {**journey, "facts": facts_of(journey), "differs": differs}


async def journeys(asked: Asked) -> Page:
    """List the Journeys with their counts of the last seven days."""
    stats: JourneyStats = await settle(
        asked.facades.journeys.stats(
            since=asked.now - _WEEK, at_most=_COUNTED, organization_id=asked.organization_id
        )
    )
    return Page("journeys.html", "Journeys", {"stats": stats, "counted": _COUNTED})


async def journey(asked: Asked) -> Page:
    """Show one Journey: its counts, day by day, and what it says."""
    whose, facades = asked.organization_id, asked.facades
    days = asked.one_of("days", _PERIODS, 14)
    found = await settle(facades.journeys.get(asked.subject, organization_id=whose))
    first = (asked.now - timedelta(days=days - 1)).astimezone(UTC)
    since = first.replace(hour=0, minute=0, second=0, microsecond=0)
    stats: JourneyStats = await settle(
        facades.journeys.stats(
            found.journey_id, since=since, at_most=_COUNTED, organization_id=whose
        )
    )
    (counts,) = stats.journeys
    # Days before the counts begin are no days without events: they are not drawn.
    begins = stats.since.astimezone(UTC).date() if stats.cut else since.date()
    values = {
        "journey": found,
        "definition": published_document(found),
        "counts": counts,
        "stats": stats,
        "counted": _COUNTED,
        "chart": chart_of(counts.days, begins, stats.until.astimezone(UTC).date()),
        "days": days,
        "periods": _PERIODS,
    }
    return Page("journey.html", "A Journey", values)


async def queue(asked: Asked) -> Page:
    """Show what waits for workers, how long, and the Enrollments that are dead."""
    dead: Sequence[Enrollment] = await settle(
        asked.facades.enrollments.list(
            limit=PAGE + 1,
            before=asked.before,
            status=EnrollmentStatus.DEAD,
            organization_id=asked.organization_id,
        )
    )
    shown, after = paged(dead, lambda each: each.enrollment_id)
    values = {"queue": await _queue(asked), "dead": shown, "after": after}
    return Page("queue.html", "Queue", values)


async def enrollments(asked: Asked) -> Page:
    """List Enrollments, those of a Journey, a status or a person."""
    known = await settle(asked.facades.journeys.list(organization_id=asked.organization_id))
    ids = [each.journey_id for each in known]
    journey_id, profile_id = asked.one_of("journey", [None, *ids], None), asked.id_of("profile")
    status = asked.one_of("status", [None, *EnrollmentStatus], None)
    found: Sequence[Enrollment] = await settle(
        asked.facades.enrollments.list(
            limit=PAGE + 1,
            before=asked.before,
            journey_id=journey_id,
            status=status,
            profile_id=profile_id,
            organization_id=asked.organization_id,
        )
    )
    shown, after = paged(found, lambda each: each.enrollment_id)
    values = {
        "entries": shown,
        "after": after,
        "wanted": {"journey": journey_id, "status": status, "profile": profile_id},
        "statuses": [str(each) for each in EnrollmentStatus],
        "journey_ids": ids,
    }
    return Page("enrollments.html", "Enrollments", values)


async def enrollment(asked: Asked) -> Page:
    """Show one Enrollment."""
    found: Enrollment = await settle(
        asked.facades.enrollments.get(asked.subject, organization_id=asked.organization_id)
    )
    return Page("enrollment.html", "An Enrollment", {"entry": found})


async def record(asked: Asked) -> Page:
    """List what was done to people, Journeys and API Keys."""
    found: Sequence[AuditRecord] = await settle(
        asked.facades.records.audit(
            limit=PAGE + 1, before=asked.before, organization_id=asked.organization_id
        )
    )
    shown, after = paged(found, lambda each: each.audit_id)
    values = {"record": shown, "after": after, "meanings": AUDIT_ACTIONS}
    return Page("record.html", "Record", values)


REASONS: Final[Mapping[str, str]] = {str(code): words for code, words in SKIP_REASONS.items()}
"""What each reason says, for every page."""
