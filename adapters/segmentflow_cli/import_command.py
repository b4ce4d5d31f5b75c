"""`segmentflow import`: the options, the progress bar and the report of a bulk import."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO, Final

from attrs import define
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from segmentflow_cli.checking import Checks
from segmentflow_cli.flags import FLAG
from segmentflow_cli.importing import (
    ImportReport,
    Line,
    Refusal,
    Tracks,
    import_lines,
    read_lines,
)
from segmentflow_cli.interrupts import interrupted_afterwards
from segmentflow_cli.options import (
    COMMON,
    NOT_REDACTED,
    Common,
    PlaceholderIds,
    Redacted,
    standard_input,
)
from segmentflow_cli.printing import faults
from segmentflow_cli.rejects import Rejects, opened_rejects
from segmentflow_core import Limits, SegmentflowError

__all__ = ["import_file"]

_DONE: Final = "Done"
_INTERRUPTED: Final = 130
_STANDARD_INPUT: Final = "-"
_SOURCE: Final = re.compile(r"[\x20-\x7e]{1,200}")


def _check_source(_type: object, source: str | None) -> None:
    """Refuse a source that no idempotency key could start with."""
    if source is not None and _SOURCE.fullmatch(source) is None:
        raise ValueError("Must be 1 to 200 printable ASCII characters.")


def import_file(
    file: Annotated[
        str,
        Parameter(help="Requests, one a line; - reads standard input.", allow_leading_hyphen=True),
    ],
    *,
    batch: Annotated[
        int, Parameter(help="Lines a transaction.", validator=Number(gte=1, lte=10_000))
    ] = 500,
    journeys: Annotated[
        bool, Parameter(help="Let Journeys enrol; --no-journeys for history.")
    ] = True,
    source: Annotated[
        str | None,
        Parameter(
            help="What keys derived from line numbers lead with; "
            "default: from the file's name and its first line.",
            validator=_check_source,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        Parameter(help="Only check each line for itself, and write nothing: it asks no store."),
        FLAG,
    ] = False,
    rejects: Annotated[
        Path | None,
        Parameter(
            help="Write refused lines to this file, as they were, secrets too; "
            "it is made anew, for its owner only.",
        ),
    ] = None,
    placeholder_ids: PlaceholderIds = False,
    redacted: Redacted = NOT_REDACTED,
    common: Common = COMMON,
) -> int:
    """Track every line of a file, batch by batch. Run it again to go on after a kill.

    A line without an idempotency key of its own gets one derived from the file's name, without
    its folders, the file's first line and the line's number. A file that was renamed, or whose
    first line was corrected, is known again by the --source of its first import. Standard input
    has no name and is known by its first line alone: give each a --source of its own.
    """
    report = ImportReport(
        name="" if file == _STANDARD_INPUT else Path(file).name, source=source, dry_run=dry_run
    )
    status = 0
    limits = Limits(allow_placeholder_ids=placeholder_ids)
    with (
        _opened(file) as lines,
        _tracks(common, redacted, limits, dry_run=dry_run) as tracker,
        opened_rejects(rejects, lines) as rejected,
    ):
        progress = _Shown.of(lines, report, rejected, as_json=common.json)
        try:
            # A disabled bar is not entered: older versions of rich would print an empty line.
            with nullcontext() if progress.bar.disable else progress.bar:
                import_lines(
                    tracker,
                    read_lines(lines, None if rejected is None else rejected.take_rest),
                    report,
                    organization_id=common.organization,
                    batch=batch,
                    match_journeys=journeys,
                    on_progress=progress.advance,
                    on_reject=_leave if rejected is None else rejected.take,
                    whole=interrupted_afterwards,
                )
        except KeyboardInterrupt:
            status = _INTERRUPTED
        except SegmentflowError:
            # The caller prints the error; say first what was done.
            _print_report(report, rejected, common, "Stopped")
            raise
    _print_report(report, rejected, common, "Interrupted" if status else _DONE)
    return status or (1 if report.refused else 0)


def _leave(_line: Line) -> None:
    """Write a refused line nowhere."""


@contextmanager
def _tracks(
    common: Common, redacted: Redacted, limits: Limits, *, dry_run: bool
) -> Generator[Tracks]:
    if dry_run:
        yield Checks(limits, redacted.policy)
        return
    with common.tracker(redacted, limits) as tracker:
        yield tracker


@contextmanager
def _opened(file: str) -> Generator[BinaryIO]:
    if file == _STANDARD_INPUT:
        yield standard_input()
        return
    with Path(file).open("rb") as opened:
        yield opened


@define
class _Shown:
    """What a person sees while an import runs: refusals, and a bar if there is a terminal."""

    bar: Progress
    task: TaskID
    report: ImportReport
    rejected: Rejects | None
    as_json: bool

    @classmethod
    def of(
        cls, file: BinaryIO, report: ImportReport, rejected: Rejects | None, *, as_json: bool
    ) -> _Shown:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        bar = Progress(
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[lines]:,} lines"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        task = bar.add_task("", total=_size(file), lines=0, rate=0.0)
        return cls(bar, task, report, rejected, as_json)

    def advance(self, size: int, refused: list[Refusal]) -> None:
        elapsed = self.bar.tasks[self.task].elapsed
        rate = self.report.lines / elapsed if elapsed else 0.0
        if self.rejected is not None:
            self.rejected.flush()
        self.bar.update(self.task, advance=size, lines=self.report.lines, rate=rate)
        if not self.as_json:
            for refusal in refused:
                self.bar.console.print(_shown(refusal))


def _size(file: BinaryIO) -> int | None:
    """Return how many bytes there are to read, or None if that is not known."""
    if not file.seekable():
        return None
    start = file.tell()
    end = file.seek(0, 2)
    file.seek(start)
    return end - start


def _shown(refusal: Refusal) -> Text:
    error = refusal.error
    text = Text(f"line {refusal.line}: ").append(error.code, "bold red")
    text.append(f": {error.message}", "default")
    for fault in faults(error, "the line"):
        text.append(f"\n{fault}")
    return text


def _print_report(report: ImportReport, rejected: Rejects | None, common: Common, how: str) -> None:
    printer = common.printer
    if printer.as_json:
        printer.document(report.document())
        return
    refused = len(report.refused) + report.omitted
    done = f"{report.recorded} recorded, {report.replayed} replayed"
    if report.dry_run:
        done = f"{report.recorded} would be taken"
    printer.say(f"{how}: {report.lines} lines, {done}, {refused} refused.")
    if report.dry_run:
        printer.say("Nothing was written. Only an import finds out what the store refuses.")
    if report.unmatched:
        printer.say(f"{report.unmatched} redaction paths named nothing: each may be mistyped.")
    if rejected is not None and rejected.count:
        printer.say(
            f"What was refused is in {rejected.path}, as it was, secrets too: remove it once "
            "it is done with."
        )
    if how != _DONE and not report.dry_run:
        printer.say(
            "Run the same command again on the same lines to go on: what was recorded replays."
        )
    if report.naming_line_refused:
        printer.say(
            f"Line {report.naming_line} names the file and was refused: "
            f"after correcting it, import with --source {report.source}"
        )
