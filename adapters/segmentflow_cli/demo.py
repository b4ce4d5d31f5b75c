"""The demo: the documented request, end to end, on a real store."""

from __future__ import annotations

import json
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from segmentflow_cli.journey_files import read_journey_file
from segmentflow_cli.printing import Printer, shown_json
from segmentflow_cli.stores import create_secret, find_secret, opened
from segmentflow_core import Receipt, Tracker, UserEvent
from segmentflow_core.errors import IdempotencyKeyReuse
from segmentflow_core.wire import event_document, receipt_document
from segmentflow_http.openapi import DOCUMENTED_KEY, DOCUMENTED_REQUEST

__all__ = ["run_demo"]

_JOURNEYS: Final = "demo-journeys.yaml"


def run_demo(store: str | None, printer: Printer, organization: str) -> None:
    """Tell the story on `store`, or on a temporary SQLite file that is removed afterwards."""
    if store is not None:
        _tell(store, printer, organization)
        return
    with tempfile.TemporaryDirectory(prefix="segmentflow-") as folder:
        _tell(f"sqlite:///{Path(folder) / 'segmentflow.db'}", printer, organization)


def _tell(url: str, printer: Printer, whose: str) -> None:
    with opened(url, create=True) as storage:
        create_secret(url)
        tracker = Tracker(storage, fingerprint_key=find_secret(url))
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
        console.print(Text(f"{number}. {text}", "bold cyan"))

    console.print(Text("segmentflow: one business event, exactly once", "bold"))
    heading(1, "A shop tracks an order, with a card token it wants kept out of storage")
    # The page must not show the token either.
    data = {**DOCUMENTED_REQUEST["data"], "payment": {"token": "…"}}
    console.print(shown_json({**DOCUMENTED_REQUEST, "data": data}))
    if first.replayed:
        console.print(Text("   This store has seen the demo before: its receipt again.", "yellow"))
    console.print(Text(json.dumps(receipt_document(first), indent=2)))
    heading(2, "The network fails and the shop sends it again, with the same key")
    same = receipt_document(again) == receipt_document(first)
    console.print(
        Text("   Replayed: ", "green").append(
            "the very same receipt; nothing was written." if same else "another receipt!", "default"
        )
    )
    heading(3, "A bug sends another total under the same key")
    console.print(
        Text(f"   Refused: {refusal.code}", "red").append(
            f"; changed: {', '.join(refusal.details['changedPaths'])}", "default"
        )
    )
    heading(4, "What the store holds: one event, its token gone, and what each Journey did")
    console.print(shown_json(event_document(event)))
    for outcome in event.outcomes:
        colour = "green" if outcome.outcome == "enrolled" else "yellow"
        reason = "" if outcome.reason is None else f" ({outcome.reason})"
        console.print(
            Text(f"   {outcome.journey_id}: ").append(f"{outcome.outcome}{reason}", colour)
        )
