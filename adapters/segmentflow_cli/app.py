"""The tree of commands: arguments in, one document or a page for people out.

With ``--json`` every command prints one JSON document on stdout, and a refusal as an envelope
on stderr. Exit status: 0 done; 1 refused, with the error's code, or the output could not be
written; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import itertools
import json as json_text
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.validators import Number

from segmentflow_cli.auditing import audit
from segmentflow_cli.console import console
from segmentflow_cli.demo import run_demo
from segmentflow_cli.enrollments import enrollments
from segmentflow_cli.events import events
from segmentflow_cli.explaining import check_explain, explain
from segmentflow_cli.flags import FLAG
from segmentflow_cli.import_command import import_file
from segmentflow_cli.journey_files import JourneyFormat, load_journeys
from segmentflow_cli.journey_stats import show_stats
from segmentflow_cli.keys import keys
from segmentflow_cli.migrating import migrate
from segmentflow_cli.not_found import JOURNEY, JOURNEY_VERSION, sought
from segmentflow_cli.options import (
    COMMON,
    MOST_AT_ONCE,
    NOT_REDACTED,
    By,
    Common,
    Organization,
    PlaceholderIds,
    Redacted,
    behind_the_command,
    read_bytes,
)
from segmentflow_cli.pages import journey_page
from segmentflow_cli.pausing import activate_journey, archive_journey, pause_journey
from segmentflow_cli.people import profiles, why
from segmentflow_cli.people_changes import (
    check_erase,
    erase_profile,
    merge_profiles,
    suppress_profile,
    unsuppress_profile,
)
from segmentflow_cli.printing import Printer
from segmentflow_cli.rehearsing import rehearse
from segmentflow_cli.retaining import check_retain, retain
from segmentflow_cli.serve import serve_store
from segmentflow_cli.stores import create_secret, opened, secret_file, secret_is_missing
from segmentflow_cli.template_gaps import check_gaps, show_gaps
from segmentflow_cli.times import SECONDS
from segmentflow_cli.unheard import unheard
from segmentflow_cli.work import work
from segmentflow_core import Journeys, Limits, Records, SegmentflowError, __version__
from segmentflow_core.gathering import MAX_TOGETHER, MAX_WRITERS
from segmentflow_core.journeys import journey_file_json_schema
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_core.wire import (
    parse_request,
    published_document,
    receipt_document,
)
from segmentflow_http.batches import DEFAULT_MAX_BATCH_BYTES

__all__ = ["app", "main"]

_YES: Final = ("yes", "y", "1", "true", "t")
"""What cyclopts reads as true."""

app = App(
    name="segmentflow",
    help=(
        "Record business events durably and exactly once.\n\n"
        "--store, --organization and --json stand before or after the command, each once."
    ),
    version=__version__,
    result_action="return_value",
)

# What commands are for, in the order in which somebody new needs them.
_START: Final = Group("Start", sort_key=0)
_RECORD: Final = Group("Record events", sort_key=1)
_JOURNEYS: Final = Group("Journeys and workers", sort_key=2)
_PEOPLE: Final = Group("People", sort_key=3)
_RUN: Final = Group("Run it", sort_key=4)
_FLAGS: Final = Group("The command itself", sort_key=5)

journeys = App(name="journeys", help="Publish, pause, read and count Journeys.")
events.group = _RECORD
journeys.group = enrollments.group = _JOURNEYS
profiles.group = _PEOPLE
keys.group = _RUN
for group in (events, journeys, enrollments, profiles, keys):
    app.command(group)
app.command(import_file, name="import", group=_RECORD)
app.command(explain, group=_JOURNEYS, validator=check_explain)
app.command(rehearse, group=_JOURNEYS)
app.command(show_stats, name="stats", group=_JOURNEYS)
app.command(work, group=_JOURNEYS)
app.command(why, group=_PEOPLE)
app.command(audit, group=_RUN)
app.command(console, group=_RUN)
app.command(migrate, group=_RUN)
app.command(retain, group=_RUN, validator=check_retain)
journeys.command(show_stats, name="stats")
journeys.command(pause_journey, name="pause")
journeys.command(activate_journey, name="activate")
journeys.command(archive_journey, name="archive")
journeys.command(show_gaps, name="template", validator=check_gaps)
profiles.command(suppress_profile, name="suppress")
profiles.command(unsuppress_profile, name="unsuppress")
profiles.command(merge_profiles, name="merge")
profiles.command(erase_profile, name="erase", validator=check_erase)

app.register_install_completion_command(
    help="Let the shell complete commands and options, from its next start on."
)
for flag in ("--help", "--install-completion", "--version"):
    app[flag].group = _FLAGS

_LIMITS: Final = Limits()


@app.command(group=_START)
def demo(
    *,
    store: Annotated[
        str | None, Parameter(help="Use this store in place of a temporary one.")
    ] = None,
    organization: Organization = COMMON.organization,
    json: Annotated[bool, Parameter(help="Print one JSON document."), FLAG] = False,
) -> None:
    """Take the documented request through `events.track`, end to end, and show what is stored."""
    run_demo(store, Printer(as_json=json), organization)


@app.command(group=_START)
def init(*, common: Common = COMMON) -> None:
    """Create the store's tables and its fingerprint secret. Doing it twice changes nothing."""
    with opened(common.store, create=True):
        pass
    created = create_secret(common.store)
    beside = secret_file(common.store)
    secret: str | None = None
    if created is not None or (beside is not None and beside.exists()):
        secret = str(beside)
    needed = secret_is_missing(common.store)
    common.printer.initialised(secret, created=created is not None, needed=needed)


@app.command(group=_RECORD)
def track(
    file: Annotated[
        str,
        Parameter(help="The request as JSON; - reads standard input.", allow_leading_hyphen=True),
    ],
    *,
    idempotency_key: Annotated[
        str | None, Parameter(help="Required; the same for every retry of this request.")
    ] = None,
    placeholder_ids: PlaceholderIds = False,
    redacted: Redacted = NOT_REDACTED,
    common: Common = COMMON,
) -> None:
    """Track one event and print its receipt."""
    limits = Limits(allow_placeholder_ids=placeholder_ids)
    with common.tracker(redacted, limits) as tracker:
        receipt = tracker.track(
            parse_request(read_bytes(file)), idempotency_key, organization_id=common.organization
        )
    common.printer.receipt(
        receipt_document(receipt), replayed=receipt.replayed, unmatched=receipt.unmatched_paths
    )


@journeys.command(name="apply")
def apply_journeys(
    file: Annotated[
        str,
        Parameter(
            help="YAML, TOML or JSON, by its suffix; - reads standard input.",
            allow_leading_hyphen=True,
        ),
    ],
    *,
    form: Annotated[
        JourneyFormat | None,
        Parameter(
            name="--format",
            help="What it is written in, whatever its suffix; standard input: JSON where "
            "it starts with a brace, else YAML.",
        ),
    ] = None,
    dry_run: Annotated[bool, Parameter(help="Only say what would change."), FLAG] = False,
    by: By = None,
    common: Common = COMMON,
) -> None:
    """Publish the Journeys of a file; those it does not name stay as they are.

    An event name or a path that a changed Journey reads, and no recorded event has, is pointed out.
    """
    definitions = load_journeys(file, form)
    whose = common.organization
    with opened(common.store, organization=whose) as storage:
        journeys = Journeys(storage)
        plan = journeys.publish(definitions, organization_id=whose, dry_run=True)
        common.printer.plan(plan)
        if not dry_run:
            plan = journeys.publish(definitions, by=by, organization_id=whose)
        missed = unheard(Records(storage), plan, whose)
    common.printer.published(plan, dry_run=dry_run)
    common.printer.unheard(missed)


@journeys.command(name="list")
def list_journeys(*, common: Common = COMMON) -> None:
    """List every Journey in its current version."""
    with common.journeys() as journeys:
        found = journeys.list(organization_id=common.organization)
    common.printer.journeys([published_document(journey) for journey in found])


@journeys.command(name="show")
def show_journey(
    journey_id: Annotated[str, Parameter(name="ID", help="The Journey's id.")],
    /,
    *,
    version: Annotated[int | None, Parameter(help="An earlier version.")] = None,
    common: Common = COMMON,
) -> None:
    """Show one Journey."""
    what = JOURNEY if version is None else JOURNEY_VERSION
    with common.journeys() as journeys, sought(what):
        journey = journeys.get(journey_id, version, organization_id=common.organization)
    common.printer.page(published_document(journey), journey_page)


@journeys.command(name="schema")
def show_schema(*, common: Common = COMMON) -> None:
    """Print the JSON Schema of a Journey file, for an editor: JSON in either form."""
    if common.json:
        common.printer.document(journey_file_json_schema())
    else:
        print(json_text.dumps(journey_file_json_schema(), indent=2))


@app.command(group=_RUN)
def serve(
    *,
    host: Annotated[str, Parameter(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, Parameter(help="The port; 0 takes a free one.", validator=Number(gte=0, lte=65_535))
    ] = 8000,
    workers: Annotated[int, Parameter(help="How many processes.", validator=Number(gte=1))] = 1,
    threads: Annotated[
        int,
        Parameter(help="How many transactions a process runs at once.", validator=Number(gte=1)),
    ] = 8,
    together: Annotated[
        int,
        Parameter(
            help="How many events share a transaction at most, of those that come at once.",
            validator=Number(gte=1, lte=MAX_TOGETHER),
        ),
    ] = MAX_TOGETHER,
    writers: Annotated[
        int | None,
        Parameter(
            help="How many such transactions at once; by default 2 on PostgreSQL, else 1.",
            validator=Number(gte=1, lte=MAX_WRITERS),
        ),
    ] = None,
    max_requests: Annotated[
        int,
        Parameter(
            help="How many requests a process takes on at once; others are refused, overloaded.",
            validator=Number(gte=1),
        ),
    ] = 128,
    grace: Annotated[
        int,
        Parameter(
            help="Seconds to the end of a stop, or as 1m: what was accepted is finished before.",
            validator=Number(gte=0),
        ),
        SECONDS,
    ] = 30,
    max_bytes: Annotated[
        int, Parameter(help="How many bytes a request may hold.", validator=Number(gte=1))
    ] = _LIMITS.max_bytes,
    max_depth: Annotated[
        int, Parameter(help="How deep its JSON may nest.", validator=Number(gte=1, lte=128))
    ] = _LIMITS.max_depth,
    max_batch_bytes: Annotated[
        int, Parameter(help="How many bytes a batch may have.", validator=Number(gte=1))
    ] = DEFAULT_MAX_BATCH_BYTES,
    read_timeout: Annotated[
        float,
        Parameter(help="Seconds for a request to arrive, or as 1m.", validator=Number(gt=0)),
        SECONDS,
    ] = 30.0,
    keep_alive: Annotated[
        int,
        Parameter(
            help="Seconds to keep an idle connection open, or as 1m.", validator=Number(gte=0)
        ),
        SECONDS,
    ] = 5,
    remember_keys: Annotated[
        float,
        Parameter(
            help="Seconds for which a revoked API Key may still be accepted.",
            validator=Number(gte=0, lte=5),
        ),
        SECONDS,
    ] = 5.0,
    store_timeout: Annotated[
        float,
        Parameter(
            help="Seconds for the store to answer a transaction, or as 1m.",
            validator=Number(gt=0),
        ),
        SECONDS,
    ] = 20.0,
    metrics_host: Annotated[str, Parameter(help="The address of metrics.")] = "127.0.0.1",
    metrics_port: Annotated[
        int | None,
        Parameter(
            help="The port of metrics, for Prometheus; 0 takes a free one; none by default.",
            validator=Number(gte=0, lte=65_535),
        ),
    ] = None,
    open_telemetry: Annotated[
        bool,
        Parameter(help="Make spans and count through OpenTelemetry, as the process has it set up."),
        FLAG,
    ] = False,
    placeholder_ids: PlaceholderIds = False,
    redacted: Redacted = NOT_REDACTED,
    common: Common = COMMON,
) -> None:
    """Serve the store over HTTP.

    Callers need an API Key of the store, or one of those that the environment variable
    SEGMENTFLOW_API_KEYS lists in their place.
    """
    serve_store(
        common.store,
        common.organization,
        host=host,
        port=port,
        workers=workers,
        threads=threads,
        together=together,
        writers=writers,
        max_requests=max_requests,
        grace=grace,
        limits=Limits(max_bytes, max_depth, allow_placeholder_ids=placeholder_ids),
        redaction=redacted.policy,
        max_batch_bytes=max_batch_bytes,
        read_timeout=read_timeout,
        keep_alive=keep_alive,
        remember_keys=remember_keys,
        store_timeout=store_timeout,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        open_telemetry=open_telemetry,
    )


@app.command(group=_RUN)
def purge(
    *,
    batch: Annotated[
        int,
        Parameter(
            help="How many keys one transaction removes.",
            validator=Number(gte=1, lte=MOST_AT_ONCE),
        ),
    ] = 1000,
    common: Common = COMMON,
) -> None:
    """Remove expired idempotency keys, batch by batch."""
    removed = 0
    with common.records() as records:
        while count := records.purge_keys(limit=batch):
            removed += count
    common.printer.purged(removed)


@forgets_locals
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A character that the encoding lacks is escaped; the rest is printed.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(arguments)
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.flush()
    except BrokenPipeError:
        why = None  # the reader of the output has closed it: nothing to report
    except OSError as error:
        why = error.strerror or "failed"
    else:
        return status
    _drop_output()
    if why is not None:
        Printer(as_json=False).unreadable("standard input or output", why)
    return 1


def _drop_output() -> None:
    """Drop what could not be written, so that Python does not try again when the process ends."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())


def _asks_for_json(tokens: Sequence[str]) -> bool:
    """Return whether to print a refusal as JSON, even if the tokens are no valid command."""
    asked = False
    for token in itertools.takewhile(lambda token: token != "--", tokens):
        name, given, value = token.partition("=")
        if name == "--json":
            asked = not given or value.lower() in _YES
    return asked


def _run(arguments: Sequence[str] | None) -> int:
    tokens = sys.argv[1:] if arguments is None else list(arguments)
    printer = Printer(as_json=_asks_for_json(tokens))
    try:
        status: int | None = app(behind_the_command(app, tokens), exit_on_error=False)
    except CycloptsError:
        return 2
    except SegmentflowError as error:
        printer.refused(error)
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        printer.unreadable(error.filename, error.strerror or "cannot be read")
        return 2
    return status or 0
