"""The demo: the documented request, end to end, on a real store."""

from __future__ import annotations

import shlex
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from segmentflow_cli.journey_files import read_journey_file
from segmentflow_cli.options import COMMON, DEFAULT_STORE
from segmentflow_cli.pages import event_page, facts
from segmentflow_cli.printing import Printer
from segmentflow_cli.stores import create_secret, find_keys, opened, scheme_of
from segmentflow_cli.tables import room, say, visible
from segmentflow_core import Receipt, Tracker, UserEvent
from segmentflow_core.errors import IdempotencyKeyReuse
from segmentflow_core.wire import event_document, receipt_document
from segmentflow_http.openapi import DOCUMENTED_KEY, DOCUMENTED_REQUEST

__all__ = ["run_demo"]

_JOURNEYS: Final = "demo-journeys.yaml"


def run_demo(store: str | None, printer: Printer, organization: str) -> None:
    """Tell the story on `store`, or on a temporary SQLite file that is removed afterwards."""
    if store is not None:
        _tell(store, store, printer, organization)
        return
    with tempfile.TemporaryDirectory(prefix="segmentflow-") as folder:
        url = f"sqlite:///{Path(folder) / 'segmentflow.db'}"
        _tell(url, None, printer, organization)


def _tell(url: str, store: str | None, printer: Printer, whose: str) -> None:
    with opened(url, create=True) as storage:
        create_secret(url)
        tracker = Tracker(storage, fingerprint_key=find_keys(url))
        with as_file(files("segmentflow_cli") / _JOURNEYS) as path:
            tracker.journeys.publish(read_journey_file(path), organization_id=whose)
        first = tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY, organization_id=whose)
        again = tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY, organization_id=whose)
        changed = {**DOCUMENTED_REQUEST, "data": {**DOCUMENTED_REQUEST["data"], "total": 59}}
        refusal = _refusal_of(tracker, changed, whose)
        event = tracker.records.event(first.event_id, organization_id=whose)
    if printer.as_json:
        printer.document(
            {
                "receipt": receipt_document(first),
                "replay": receipt_document(again),
                "refusal": refusal.envelope(),
                "event": event_document(event),
            }
        )
    else:
        _show(printer.console, first, again, refusal, event)
        _show_next(printer.console, store, whose)


def _refusal_of(tracker: Tracker, request: dict[str, Any], whose: str) -> IdempotencyKeyReuse:
    try:
        tracker.track(request, DOCUMENTED_KEY, organization_id=whose)
    except IdempotencyKeyReuse as refusal:
        return refusal
    raise AssertionError("a changed request was accepted under a used key")


def _show(
    console: Console,
    first: Receipt,
    again: Receipt,
    refusal: IdempotencyKeyReuse,
    event: UserEvent,
) -> None:
    def heading(number: int, text: str) -> None:
        console.print()
        say(console, f"{number}. {text}", "bold cyan")

    profile = DOCUMENTED_REQUEST["profile"]
    say(console, "segmentflow: one business event, exactly once", "bold")
    heading(1, "A shop tracks an order, with a card token it wants kept out of storage")
    facts(
        console,
        [
            ("event", DOCUMENTED_REQUEST["event"]),
            ("profile", f"{profile['email']}, {profile['externalId']}"),
            # The page must not show the token either.
            ("data", "orderId ord_9421, total 49, payment.token …"),
            ("redact", ", ".join(DOCUMENTED_REQUEST["redactedDataPaths"])),
            ("key", DOCUMENTED_KEY),
        ],
    )
    if first.replayed:
        say(console, "This store has seen the demo before: its receipt again.", "yellow")
    counts = f"{first.matched_journeys} Journeys matched: {first.enrolled_journeys} enrolled"
    say(
        console,
        Text("Recorded: ", "green")
        .append(f"event {first.event_id}", "default")
        .append(f", {counts}, {first.skipped_journeys} skipped.", "default"),
    )
    heading(2, "The network fails and the shop sends it again, with the same key")
    same = receipt_document(again) == receipt_document(first)
    told = "the very same receipt; nothing was written." if same else "another receipt!"
    say(console, Text("Replayed: ", "green").append(told, "default"))
    heading(3, "A bug sends another total under the same key")
    changed = ", ".join(refusal.details["changedPaths"])
    say(
        console,
        Text(f"Refused: {refusal.code}", "red").append(f"; changed: {changed}", "default"),
    )
    heading(4, "What the store holds: one event, its token gone, and what each Journey did")
    event_page(console, event_document(event))


def _show_next(console: Console, store: str | None, organization: str) -> None:
    """Say what to type next; of a store, nothing that its URL may keep secret."""
    kept = "sqlite:///segmentflow.db" if store is None else store
    named = shlex.quote(kept) if scheme_of(kept) == "sqlite" else "URL"
    whose = ""
    if organization != COMMON.organization:
        whose = f" --organization {shlex.quote(organization)}"
    where = f"{'' if named == DEFAULT_STORE else f' --store {named}'}{whose}"
    email = DOCUMENTED_REQUEST["profile"]["email"]
    steps = [
        (f"segmentflow demo --store {named}{whose}", "the same, to stay"),
        (f"segmentflow why {email}{where}", "her story"),
        (f"segmentflow journeys show order-confirmation{where}", "what she entered"),
        ("segmentflow --help", "all there is"),
    ]
    console.print()
    say(console, "Next", "bold cyan")
    for command, what in steps if store is None else steps[1:]:
        line = Text(visible(command))
        told = f"  # {what}"
        # A terminal folds a line that is copied whole; what is said of it is left out first.
        fits = line.cell_len + len(told) <= (room(console) or console.width)
        console.print(line.append(told, "dim") if fits else line, soft_wrap=True)
