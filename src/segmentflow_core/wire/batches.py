"""A batch of requests in, as raw JSON; of each of its events the refusal out.

Knows the envelope of a batch, and that paths are told from its root. What a request means is
checked where one alone is: `Tracker.track_many`. Must never repeat a value of a request.

See docs/reference/rules/tracking.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import define

from segmentflow_core.domain.faults import Faults
from segmentflow_core.domain.pointer import format_pointer
from segmentflow_core.errors import (
    MAX_VIOLATIONS_BYTES,
    InvalidRequest,
    SegmentflowError,
)
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_core.wire.json_text import check_size, parse_json

__all__ = ["MAX_BATCH", "BatchErrors", "parse_batch"]

MAX_BATCH: Final = 1000
"""How many events a batch may hold."""

_EVENTS: Final = "events"
_KEY: Final = "idempotencyKey"
_PATHS: Final = ("changedPaths", "redactedPaths")
"""The members of an error's details that are lists of paths into the request."""


@forgets_locals
def parse_batch(raw: bytes | str, max_bytes: int) -> list[tuple[Any, Any]]:
    """Parse the JSON text of a batch, ``{"events": [{"idempotencyKey": …, …request}]}``.

    Args:
        raw: UTF-8 bytes, or text.
        max_bytes: how long it may be.

    Returns:
        Pairs of request and idempotency key, as `Tracker.track_many` takes and checks them.

    Raises:
        PayloadTooLarge: the text is longer than `max_bytes`.
        InvalidRequest: the text is no JSON, or the batch itself breaks a rule.
    """
    check_size(raw, max_bytes)
    document = parse_json(raw)
    faults = Faults()
    events: Any = None
    if isinstance(document, dict):
        members: Mapping[str, Any] = document
        faults.note_all((("", name), "is not a known field") for name in members if name != _EVENTS)
        if _EVENTS in getattr(document, "repeated", ()):
            faults.note(("", _EVENTS), "is given more than once")
        events = members.get(_EVENTS)
        if _EVENTS not in members:
            faults.note(("", _EVENTS), "is required")
        elif not isinstance(events, list):
            faults.note(("", _EVENTS), "must be a list of events")
        elif len(events) > MAX_BATCH:
            faults.note(("", _EVENTS), f"must hold at most {MAX_BATCH} events")
    else:
        faults.note("", "must be an object")
    if faults.noted:
        raise faults.refusal(InvalidRequest)
    return [_call(item) for item in events]


def _call(item: Any) -> tuple[Any, Any]:
    """Take the key out of an event. A key given twice stays marked in what is left."""
    return (item, item.pop(_KEY, None)) if isinstance(item, dict) else (item, None)


@define
class BatchErrors:
    """Writes the errors of a batch's events; together they are no longer than the batch allows.

    Attributes:
        room: how many bytes all paths and messages may still have.
    """

    room: int

    @classmethod
    def for_batch(cls, length: int) -> BatchErrors:
        """Return what writes the errors of a batch of so many bytes: in linear space."""
        return cls(MAX_VIOLATIONS_BYTES + length)

    def document(self, index: int, error: SegmentflowError) -> dict[str, Any]:
        """Write the error of one event as its envelope, with paths from the root of the batch.

        Violations that find no room are counted; of paths that find none, the event's is left.
        """
        at = format_pointer(_EVENTS, index)
        envelope = error.envelope()
        details: dict[str, Any] = dict(envelope["details"])
        if isinstance(error, InvalidRequest):
            details |= self._violations(at, details)
        for name in _PATHS:
            if name in details:
                details[name] = self._paths(at, details[name])
        return {**envelope, "details": details}

    def _violations(self, at: str, details: Mapping[str, Any]) -> dict[str, Any]:
        given: list[dict[str, str]] = details.get("violations", [])
        listed = [
            {"path": at + each["path"], "message": each["message"]}
            for each in given
            if self._takes(at, each["path"], each["message"])
        ]
        omitted = details.get("omittedViolations", 0) + len(given) - len(listed)
        return {"violations": listed} | ({"omittedViolations": omitted} if omitted else {})

    def _paths(self, at: str, paths: Iterable[str]) -> list[str]:
        listed = [at + path for path in paths]
        return listed if self._takes(*listed) else [at]

    def _takes(self, *texts: str) -> bool:
        if self.room < 0:
            return False
        self.room -= sum(len(json.dumps(text, ensure_ascii=False).encode()) for text in texts)
        return self.room >= 0
