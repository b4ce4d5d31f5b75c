"""`segmentflow rehearse`: who would have entered drafts with the recorded events of a period."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from segmentflow_cli.flags import FLAG
from segmentflow_cli.journey_files import load_journeys
from segmentflow_cli.options import COMMON, Common
from segmentflow_cli.printing import counted, print_json
from segmentflow_cli.tables import Column, laid_out, room, visible
from segmentflow_cli.times import MOMENT
from segmentflow_core.wire import rehearsal_document

__all__ = ["rehearse"]


def rehearse(
    file: Annotated[Path, Parameter(name="FILE", help="A Journey file of drafts.")],
    /,
    *,
    since: Annotated[
        datetime, Parameter(help="Take events received since, as 2026-05-31 or 7d."), MOMENT
    ],
    until: Annotated[datetime | None, Parameter(help="And before, as --since."), MOMENT] = None,
    by_occurrence: Annotated[
        bool,
        FLAG,
        Parameter(help="Take events that occurred in the period: for history that was imported."),
    ] = False,
    common: Common = COMMON,
) -> None:
    """Count who would have entered drafts with recorded events. Nothing is written."""
    drafts = load_journeys(file)
    with common.journeys() as known, _progress() as on_progress:
        rehearsal = known.rehearse(
            drafts,
            since=since,
            until=until,
            by_occurrence=by_occurrence,
            on_progress=on_progress,
            organization_id=common.organization,
        )
    document = rehearsal_document(rehearsal)
    if common.json:
        print_json(document, sys.stdout)
        return
    console = Console(highlight=False)
    for part in _page(document):
        console.print(part, crop=False)


@contextmanager
def _progress() -> Generator[Any]:
    columns = (
        TextColumn("rehearsing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    if not console.is_terminal:
        # Nobody watches, and a log must not fill with progress.
        yield None
        return
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("rehearsing", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _page(rehearsal: dict[str, Any]) -> Iterable[Any]:
    until = "" if rehearsal["until"] is None else f" and before {rehearsal['until']}"
    how = "that occurred" if rehearsal["byOccurrence"] else "received"
    period = f"{counted(rehearsal['events'], 'event')} {how} since {rehearsal['since']}{until}"
    yield Text(period)
    rows: list[tuple[Any, ...]] = []
    for journey in rehearsal["journeys"]:
        skipped = [f"{count} {reason}" for reason, count in journey["skipped"].items()]
        counts = (journey[name] for name in ("matched", "entered", "profiles", "withdrawn"))
        rows.append((journey["journeyId"], *counts, ", ".join(skipped)))
    columns = (
        Column("journey"),
        Column("matched", "word", spare=True),
        Column("would enter", "word"),
        Column("Profiles", "word", spare=True),
        Column("withdrawn", "word", spare=True),
        Column("skipped"),
    )
    yield laid_out(columns, rows, room(Console()))
    for journey in rehearsal["journeys"]:
        if journey["unclear"]:
            line = (
                f"{journey['journeyId']}: {journey['unclear']} of those that would enter may have "
            )
            yield Text(visible(f"{line}been cancelled by an event that is gone"), "yellow")
        if not journey["matched"]:
            line = f"{journey['journeyId']} heard nothing: no event of the period is named "
            yield Text(visible(line + journey["event"]), "yellow")
