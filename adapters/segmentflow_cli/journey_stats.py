"""`segmentflow journeys stats`: what Journeys did in a period, and what waits for workers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from segmentflow_cli.counting import MOST_COUNTED, told_counts, told_period
from segmentflow_cli.options import COMMON, Common
from segmentflow_cli.printing import counted
from segmentflow_cli.tables import Column
from segmentflow_cli.times import MOMENT
from segmentflow_core.wire import journey_stats_document

__all__ = ["age", "show_stats"]

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def show_stats(
    journey_id: Annotated[
        str | None, Parameter(name="ID", help="Only this Journey; default each of them.")
    ] = None,
    /,
    *,
    since: Annotated[
        datetime | None,
        Parameter(
            help="Count events received since, as 2026-05-31 or 7d.",
            show_default=lambda _: "7d",
        ),
        MOMENT,
    ] = None,
    until: Annotated[
        datetime | None,
        Parameter(help="And before, as --since.", show_default=lambda _: "now"),
        MOMENT,
    ] = None,
    at_most: Annotated[
        int,
        Parameter(
            help="How many events, and Enrollments, to look at.",
            validator=Number(gte=1, lte=MOST_COUNTED),
        ),
    ] = MOST_COUNTED,
    common: Common = COMMON,
) -> None:
    """Count what Journeys did with the events of a period, and what waits for a worker."""
    with common.journeys() as journeys:
        stats = journeys.stats(
            journey_id,
            since=since,
            until=until,
            at_most=at_most,
            organization_id=common.organization,
        )
    document = journey_stats_document(stats)
    if common.json:
        common.printer.document(document)
    else:
        _print(common, document, at_most)


def _print(common: Common, stats: dict[str, Any], at_most: int) -> None:
    printer = common.printer
    printer.say(f"{counted(stats['events'], 'event')} received {told_period(stats)}")
    rows = [
        (
            counts["journeyId"],
            counts["matched"],
            counts["enrolled"],
            counts["waiting"],
            age(counts["oldestWaitingSeconds"]),
            _listed(counts["enrollments"]),
            _listed(counts["skipped"]),
        )
        for counts in stats["journeys"]
    ]
    columns = (
        Column("journey"),
        Column("matched", "word", spare=True),
        *(Column(name, "word") for name in ("enrolled", "waiting", "oldest")),
        Column("entries"),
        Column("skipped"),
    )
    printer.table(columns, rows)
    told_counts(
        printer,
        [
            (
                stats["cut"],
                f"The period was cut: only the newest {at_most:,} rows were looked at.",
            ),
            (
                stats["waitingCut"],
                "More wait than were looked at, and older ones may be among them.",
            ),
        ],
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def age(seconds: float | None) -> str:
    """Write how long somebody waits, in the two largest units."""
    if seconds is None:
        return ""
    left, parts = int(seconds), list[str]()
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])
