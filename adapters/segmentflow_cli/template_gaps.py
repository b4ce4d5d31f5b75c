"""`segmentflow journeys template`: what recorded events lack of what a template reads."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from segmentflow_cli.counting import MOST_COUNTED, told_counts, told_period
from segmentflow_cli.flags import FLAG
from segmentflow_cli.journey_files import read_template_file
from segmentflow_cli.not_found import JOURNEY, sought
from segmentflow_cli.options import COMMON, Common
from segmentflow_cli.printing import counted
from segmentflow_cli.tables import Column
from segmentflow_cli.times import MOMENT
from segmentflow_core.wire import template_gaps_document

__all__ = ["check_gaps", "show_gaps"]


def check_gaps(**given: Any) -> None:
    """Check that the options go together.

    Raises:
        ValueError: they do not; this is wrong usage.
    """
    if given.get("journey") is None and given.get("event") is None:
        raise ValueError("Give --journey, or the --event whose data the template reads.")
    if given.get("enrolled") and given.get("journey") is None:
        raise ValueError("--enrolled needs --journey: whose entries are meant.")


def show_gaps(
    file: Annotated[
        str,
        Parameter(
            help="The template: YAML, TOML or JSON, by its suffix; - reads standard input.",
            allow_leading_hyphen=True,
        ),
    ],
    *,
    journey: Annotated[
        str | None, Parameter(help="The Journey it is for, whose event is looked at.")
    ] = None,
    event: Annotated[str | None, Parameter(help="Look at events of exactly this name.")] = None,
    enrolled: Annotated[
        bool,
        Parameter(help="Only events that enrolled in that Journey."),
        FLAG,
    ] = False,
    since: Annotated[
        datetime | None,
        Parameter(help="Only events received since, as 2026-05-31 or 7d."),
        MOMENT,
    ] = None,
    until: Annotated[
        datetime | None,
        Parameter(help="Only events received before, as --since."),
        MOMENT,
    ] = None,
    at_most: Annotated[
        int,
        Parameter(
            help="How many events to look at, newest first.",
            validator=Number(gte=1, lte=MOST_COUNTED),
        ),
    ] = 1000,
    common: Common = COMMON,
) -> None:
    """Count in how many recorded events each pointer of a template found no value."""
    template = read_template_file(file)
    with common.records() as records, sought(JOURNEY):
        gaps = records.template_gaps(
            template,
            event=event,
            journey_id=journey,
            enrolled=enrolled,
            since=since,
            until=until,
            at_most=at_most,
            organization_id=common.organization,
        )
    document = template_gaps_document(gaps)
    if common.json:
        common.printer.document(document)
    else:
        _print(common, document, at_most)


def _print(common: Common, gaps: dict[str, Any], at_most: int) -> None:
    printer = common.printer
    name = gaps["event"].replace("\n", "\\u000a")
    printer.say(f"{counted(gaps['events'], f'{name} event')} received {told_period(gaps)}")
    rows = [
        (
            each["path"],
            each["missing"],
            each["null"],
            each["redacted"],
            "" if each["required"] else "yes",
        )
        for each in gaps["paths"]
    ]
    heads = (Column(name, "word") for name in ("missing", "null", "redacted", "default"))
    printer.table((Column("pointer"), *heads), rows)
    told_counts(
        printer,
        [
            (
                gaps["erased"],
                f"{gaps['erased']:,} more were erased, and say nothing any more.",
            ),
            (
                gaps["cut"],
                f"The period was cut: only the newest {at_most:,} events were looked at.",
            ),
        ],
    )
