"""`segmentflow journeys pause`, `activate` and `archive`: Journeys in which Enrollments wait."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from cyclopts import Parameter

from segmentflow_cli.confirming import Yes, confirm
from segmentflow_cli.options import COMMON, By, Common
from segmentflow_cli.progress import progress
from segmentflow_core.journeys import PublishedJourney
from segmentflow_core.wire import published_document

__all__ = ["activate_journey", "archive_journey", "pause_journey"]

_INTERRUPTED: Final = 130

_JourneyId: TypeAlias = Annotated[str, Parameter(name="ID", help="The Journey's id.")]


def pause_journey(journey_id: _JourneyId, /, *, by: By = None, common: Common = COMMON) -> None:
    """Let a Journey enrol nobody, and let what waits in it wait until it is active again."""
    with common.journeys() as journeys:
        done = journeys.pause(journey_id, by=by, organization_id=common.organization)
    _tell(common, done, "paused")


def activate_journey(journey_id: _JourneyId, /, *, by: By = None, common: Common = COMMON) -> None:
    """Let a Journey enrol again, and hand over what has waited. What was withdrawn stays so."""
    with common.journeys() as journeys:
        done = journeys.activate(journey_id, by=by, organization_id=common.organization)
    _tell(common, done, "active")


def archive_journey(
    journey_id: _JourneyId, /, *, by: By = None, yes: Yes = False, common: Common = COMMON
) -> int:
    """Let a Journey enrol nobody, and withdraw for good what waits in it.

    That is so at once; the rows follow in batches. If it is stopped, the same command goes on.
    """
    whose = common.organization
    with common.journeys() as journeys:
        standing = journeys.get(journey_id, organization_id=whose)
        if standing.definition.status != "archived":
            confirm(f"Archive Journey {journey_id}, and withdraw what waits in it?", yes=yes)
        done = journeys.archive(journey_id, by=by, organization_id=whose)
        try:
            with progress("withdrawing") as on_progress:
                withdrawn = journeys.finish_archiving(
                    on_progress=on_progress, organization_id=whose
                )
        except KeyboardInterrupt:
            common.printer.warned(
                "Interrupted. All of it is withdrawn; let the rows follow with: "
                f"segmentflow journeys archive {journey_id}"
            )
            return _INTERRUPTED
    _tell(common, done, "archived", withdrawn=withdrawn)
    return 0


def _tell(common: Common, done: PublishedJourney, became: str, **counts: int) -> None:
    document: dict[str, Any] = {**published_document(done.journey), "change": done.change, **counts}
    which = f"was {became} already" if done.change == "unchanged" else f"is {became}"
    ones = {name: "Enrollment" if count == 1 else "Enrollments" for name, count in counts.items()}
    more = "".join(f"; {count:,} {ones[name]} {name}" for name, count in counts.items())
    common.printer.told(document, f"Journey {done.journey.journey_id} {which}{more}.")
