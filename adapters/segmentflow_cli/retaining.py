"""`segmentflow retain`: what is old goes, batch by batch, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from segmentflow_cli.confirming import Yes, confirm
from segmentflow_cli.flags import FLAG
from segmentflow_cli.options import COMMON, MOST_AT_ONCE, By, Common
from segmentflow_cli.printing import counted
from segmentflow_cli.stores import opened
from segmentflow_cli.times import DURATION
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.people import RETAINED_AT_ONCE, Retained

__all__ = ["check_retain", "retain"]

_INTERRUPTED = 130


def check_retain(**given: Any) -> None:
    """Check that the options of `retain` say what to do.

    Raises:
        ValueError: they do not; this is wrong usage.
    """
    if not (given.get("events") or given.get("enrollments") or given.get("vacuum")):
        raise ValueError("Give --events, --enrollments or --vacuum.")


def retain(
    *,
    events: Annotated[
        timedelta | None,
        DURATION,
        Parameter(help="Remove events that were received longer ago, such as 400d."),
    ] = None,
    enrollments: Annotated[
        timedelta | None,
        DURATION,
        Parameter(help="Remove Enrollments that finished longer ago, such as 90d."),
    ] = None,
    vacuum: Annotated[
        bool,
        Parameter(help="Give SQLite's free space back afterwards."),
        FLAG,
    ] = False,
    batch: Annotated[
        int,
        Parameter(
            help="How many records one transaction looks at.",
            validator=Number(gte=1, lte=MOST_AT_ONCE),
        ),
    ] = RETAINED_AT_ONCE,
    by: By = None,
    yes: Yes = False,
    common: Common = COMMON,
) -> int:
    """Remove old events and finished Enrollments, while others track. Made to be run by cron.

    An event stays as long as an Enrollment that is not finished needs it. What re-entry needs is
    left, so that no event is decided otherwise than before.
    """
    ages = {"events": events, "Enrollments": enrollments}
    if vacuum:
        _check_vacuum(common)
    old = [f"{name} of more than {_days(age)}" for name, age in ages.items() if age is not None]
    if old:
        confirm(f"Remove {' and '.join(old)}?", yes=yes)
    retained = Retained()
    if old:
        try:
            with common.people() as people, _progress(events) as on_progress:
                retained = people.retain(
                    events=events,
                    enrollments=enrollments,
                    limit=batch,
                    by=by,
                    on_progress=on_progress,
                    organization_id=common.organization,
                )
        except KeyboardInterrupt:
            common.printer.warned("Interrupted. Run it again: it goes on with what is left.")
            return _INTERRUPTED
    if vacuum:
        with opened(common.store) as storage:
            storage.vacuum()
    _tell(common, retained, vacuum=vacuum)
    return 0


def _check_vacuum(common: Common) -> None:
    """Refuse before anything is removed.

    Raises:
        ConfigurationError: the store is of a kind that has nothing to vacuum.
    """
    with opened(common.store) as storage:
        if not getattr(storage, "vacuums", False):
            raise ConfigurationError(
                "Only a store on SQLite is vacuumed: other databases use the space of what was "
                "removed again by themselves. Leave --vacuum out."
            )


def _tell(common: Common, retained: Retained, *, vacuum: bool) -> None:
    document = {
        "events": retained.events,
        "held": retained.held,
        "enrollments": retained.enrollments,
        "entries": retained.entries,
        "vacuumed": vacuum,
    }
    enrollments = counted(retained.enrollments, "Enrollment")
    line = f"Removed {counted(retained.events, 'event')} and {enrollments}."
    if retained.held == 1:
        line += " 1 event stays: an Enrollment of it is not finished."
    elif retained.held:
        line += f" {retained.held:,} events stay: an Enrollment of each is not finished."
    if vacuum:
        line += " The file is vacuumed."
    common.printer.told(document, line)


def _days(age: timedelta) -> str:
    if age % timedelta(days=1):
        return str(age)
    return counted(age.days, "day")


@contextmanager
def _progress(events: timedelta | None) -> Generator[Callable[[Retained], object] | None]:
    """Show how far the run has come; of events by when they were received."""
    console = Console(stderr=True)
    if not console.is_terminal:
        # Nobody watches, and a log must not fill with progress.
        yield None
        return
    end = datetime.now(UTC) - (events or timedelta())
    start: list[datetime] = []
    columns = (
        TextColumn("removing"),
        BarColumn(),
        TextColumn("{task.fields[events]:,} events, {task.fields[enrollments]:,} Enrollments"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("removing", total=None, events=0, enrollments=0)

        def advance(retained: Retained) -> None:
            reached = retained.reached
            counts: dict[str, Any] = {
                "events": retained.events,
                "enrollments": retained.enrollments,
            }
            if reached is None:
                progress.update(task, **counts)
                return
            if not start:
                start.append(reached)
            whole = max((end - start[0]).total_seconds(), 1.0)
            done = (reached - start[0]).total_seconds()
            progress.update(task, total=whole, completed=min(done, whole), **counts)

        yield advance
