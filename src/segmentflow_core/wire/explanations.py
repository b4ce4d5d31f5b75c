"""Explanations and stories as JSON documents: camelCase names, instants as RFC 3339.

Each condition and key is shown with the values of the redacted state. Must never see a
request.
"""

from __future__ import annotations

from typing import Any

from segmentflow_core.domain.condition import explanation_document
from segmentflow_core.domain.event import Enrollment, Outcome
from segmentflow_core.domain.explanation import (
    CancelFact,
    ExplainedEvent,
    ExplainedJourney,
    KeyPart,
    LatenessFact,
    ReentryFact,
    SampleFact,
    WindowFact,
)
from segmentflow_core.domain.instant import format_instant
from segmentflow_core.domain.json_value import MISSING
from segmentflow_core.domain.rehearsal import Rehearsal
from segmentflow_core.domain.story import Story, ToldOutcome
from segmentflow_core.wire.documents import (
    enrollment_document,
    event_document,
    profile_document,
    withdrew_document,
)

__all__ = ["explained_document", "rehearsal_document", "story_document"]


def explained_document(explained: ExplainedEvent) -> dict[str, Any]:
    """Write an explanation; an unknown answer is null.

    `withdrew` and `otherEnrollments` are left out where they are empty.
    """
    more: dict[str, Any] = {}
    if explained.withdrew:
        more["withdrew"] = withdrew_document(explained.withdrew)
    if explained.other_enrollments:
        more["otherEnrollments"] = [*map(enrollment_document, explained.other_enrollments)]
    return {
        "eventId": explained.event_id,
        "profileId": explained.profile_id,
        "event": explained.event,
        "occurredAt": format_instant(explained.occurred_at),
        "receivedAt": format_instant(explained.received_at),
        "unmatchedPaths": list(explained.unmatched_paths),
        "journeys": [
            {**_journey(journey), "enrollment": _enrollment(journey.enrollment)}
            for journey in explained.journeys
        ],
        "silent": [
            {
                "journeyId": journey.journey_id,
                "status": str(journey.status),
                "event": journey.event,
                "reason": journey.reason,
            }
            for journey in explained.silent
        ],
        **more,
    }


def rehearsal_document(rehearsal: Rehearsal) -> dict[str, Any]:
    """Write a rehearsal; skipped events are counted by the code of their reason."""
    return {
        "since": format_instant(rehearsal.since),
        "until": None if rehearsal.until is None else format_instant(rehearsal.until),
        "byOccurrence": rehearsal.by_occurrence,
        "events": rehearsal.events,
        "journeys": [
            {
                "journeyId": journey.journey_id,
                "name": journey.name,
                "event": journey.event,
                "matched": journey.matched,
                "entered": journey.entered,
                "profiles": journey.profiles,
                "skipped": {str(reason): count for reason, count in journey.skipped.items()},
                "withdrawn": journey.withdrawn,
                "unclear": journey.unclear,
            }
            for journey in rehearsal.journeys
        ],
    }


def story_document(story: Story) -> dict[str, Any]:
    """Write one person's story; `explanation` is there where it is about one Journey."""
    return {
        "profile": profile_document(story.profile),
        "events": [
            {
                **event_document(told.event),
                "outcomes": [_told(outcome) for outcome in told.outcomes],
            }
            for told in story.events
        ],
        "before": story.before,
    }


def _told(told: ToldOutcome) -> dict[str, Any]:
    document = {
        "journeyId": told.outcome.journey_id,
        **_outcome(told.outcome),
        "enrollment": _enrollment(told.enrollment),
    }
    if told.explained is not None:
        document["explanation"] = _journey(told.explained)
    return document


def _enrollment(entry: Enrollment | None) -> dict[str, Any] | None:
    return None if entry is None else enrollment_document(entry)


def _journey(journey: ExplainedJourney) -> dict[str, Any]:
    condition, recorded = journey.condition, journey.recorded
    more: dict[str, Any] = {}
    if journey.delay is not None:
        available_at = format_instant(journey.delay.available_at)
        more["delay"] = {"delay": journey.delay.delay, "availableAt": available_at}
    if journey.cancelling is not None:
        more["cancelOn"] = _cancelling(journey.cancelling)
    return {
        "journeyId": journey.journey_id,
        "name": journey.name,
        "version": journey.version,
        "outcome": journey.outcome,
        "reason": journey.reason,
        "recorded": None if recorded is None else _outcome(recorded),
        "window": None if journey.window is None else _window(journey.window),
        "maxLateness": None if journey.lateness is None else _lateness(journey.lateness),
        "sample": None if journey.sample is None else _sample(journey.sample),
        "where": None if condition is None else explanation_document(condition),
        "reentry": _reentry(journey.reentry),
        **more,
    }


def _cancelling(fact: CancelFact) -> dict[str, Any]:
    return {
        "result": fact.met,
        "cancelledBy": fact.cancelled_by,
        "rules": [
            {"event": rule.event, "same": [_key_part(part) for part in rule.same]}
            for rule in fact.rules
        ],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "version": outcome.version,
        "outcome": outcome.outcome,
        "reason": outcome.reason,
    }


def _window(fact: WindowFact) -> dict[str, Any]:
    bounds = {"from": fact.window.starts_at, "until": fact.window.ends_at}
    document: dict[str, Any] = {"result": fact.met}
    return document | {
        name: format_instant(moment) for name, moment in bounds.items() if moment is not None
    }


def _lateness(fact: LatenessFact) -> dict[str, Any]:
    return {
        "result": fact.met,
        "limit": fact.limit,
        "latenessSeconds": fact.lateness.total_seconds(),
    }


def _sample(fact: SampleFact) -> dict[str, Any]:
    return {"result": fact.met, "percent": fact.sample.percent, "seed": fact.sample.seed}


def _reentry(fact: ReentryFact) -> dict[str, Any]:
    document: dict[str, Any] = {"result": fact.met, "policy": str(fact.policy)}
    if fact.key:
        document["key"] = [_key_part(part) for part in fact.key]
        document["keyTaken"] = fact.key_taken
    if fact.duration is not None:
        document["duration"] = fact.duration
    if fact.times is not None:
        document |= {"times": fact.times, "within": fact.within}
    if fact.entries is not None:
        document["entries"] = fact.entries
    for name, moment in (("lastEnteredAt", fact.last_entered_at), ("freeAt", fact.free_at)):
        if moment is not None:
            document[name] = format_instant(moment)
    return document


def _key_part(part: KeyPart) -> dict[str, Any]:
    document: dict[str, Any] = {"path": part.path}
    if part.found is not MISSING:
        document["found"] = part.found
    if part.reason is not None:
        document["reason"] = part.reason
    return document
