"""Bulk import: a file of requests, one a line, tracked batch by batch.

Nothing is remembered beside the store. Each line has its idempotency key, of its own or
derived from the file it stands in and its number there, so an import that was killed is simply
run again: what was recorded replays, and the rest goes on. Lines are streamed, whatever the
file's size. Must never print a value from a line: refusals are line numbers, codes and paths.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Final

from attrs import define, field, frozen

from segmentflow_core import Limits, Receipt, SegmentflowError, Tracker
from segmentflow_core.errors import (
    IdempotencyInProgress,
    InvalidRequest,
    PayloadTooLarge,
    StorageUnavailable,
    Violation,
)
from segmentflow_core.wire import parse_json

__all__ = ["MAX_LISTED", "ImportReport", "Line", "Refusal", "import_lines", "read_lines"]

MAX_LISTED: Final = 10_000
"""How many refused lines a report lists; the others are counted."""

_ENVELOPE: Final = frozenset({"idempotencyKey", "request"})
_MAX_REQUEST: Final = Limits().max_bytes
_MAX_LINE: Final = _MAX_REQUEST + 1024
"""A request at its limit, with the key around it."""

_CHUNK: Final = 64 * 1024
_SOURCE_DIGITS: Final = 32
_FIELDS: Final = frozenset({"event", "profile", "data", "referenceId", "occurredAt"})
"""What a request has that redacts nothing."""
_MAX_RUNS: Final = 6
_FIRST_PAUSE: Final = 0.1


@frozen(repr=False)
class Line:
    """One line as it was read.

    Attributes:
        number: counts from 1, blank lines too.
        raw: what stands on it; only the start where it is `too_long`.
        size: its length in bytes, with its end.
        too_long: whether it is longer than a request may be.
    """

    number: int
    raw: bytes
    size: int
    too_long: bool


@frozen
class Refusal:
    """A line that was not recorded, and why."""

    line: int
    error: SegmentflowError

    def document(self) -> dict[str, Any]:
        """Return the wire form: an error's envelope with the line's number."""
        return {"line": self.line, **self.error.envelope()}


@define
class ImportReport:
    """What came of an import so far.

    Attributes:
        name: the file's name, without its folders; empty for what has none.
        source: what derived keys lead with; None until a line was read.
        lines: how many were read, blank ones left out.
        recorded: how many became an event now.
        replayed: how many were events already.
        refused: the first `MAX_LISTED` that were refused, by line.
        omitted: how many more were refused.
        naming_line: the number of the line that `source` was derived from, beside the
            file's name, or None.
        derived: how many keys were derived.
    """

    name: str = ""
    source: str | None = None
    lines: int = 0
    recorded: int = 0
    replayed: int = 0
    refused: list[Refusal] = field(factory=list[Refusal])
    omitted: int = 0
    naming_line: int | None = None
    derived: int = 0

    @property
    def naming_line_refused(self) -> bool:
        """Whether correcting a refused line would change every derived key."""
        return self.derived > 0 and any(r.line == self.naming_line for r in self.refused)

    def refuse(self, refusal: Refusal) -> None:
        """Note a refused line."""
        if len(self.refused) < MAX_LISTED:
            self.refused.append(refusal)
        else:
            self.omitted += 1

    def document(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "source": self.source,
            "lines": self.lines,
            "recorded": self.recorded,
            "replayed": self.replayed,
            "refused": [refusal.document() for refusal in self.refused],
            "omitted": self.omitted,
        }


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """Read a file line by line; of a line that is too long, only the start is kept."""
    number = 0
    while raw := file.readline(_MAX_LINE + 1):
        number += 1
        size = len(raw)
        too_long = size > _MAX_LINE and not raw.endswith(b"\n")
        rest = raw
        while too_long and not rest.endswith(b"\n") and (rest := file.readline(_CHUNK)):
            size += len(rest)
        yield Line(number, raw, size, too_long)


def import_lines(
    tracker: Tracker,
    lines: Iterable[Line],
    report: ImportReport,
    *,
    organization_id: str,
    batch: int,
    match_journeys: bool,
    on_progress: Callable[[int, list[Refusal]], None],
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Track every line, `batch` of them a transaction, and keep `report` up to date.

    Args:
        tracker: what tracks them.
        lines: in the file's order.
        report: where to go on; its `source` is used where it is set.
        organization_id: whose events they are.
        batch: how many lines one transaction takes.
        match_journeys: False records history that must not start automations.
        on_progress: told after each batch how many bytes it read and what it refused.
        pause: waits so many seconds before a batch is tried again.

    Raises:
        StorageUnavailable: the store could not be reached, or stayed too busy.
        IdempotencyInProgress: somebody else kept a key of the batch for too long.
    """

    def track(calls: list[tuple[Any, Any]]) -> list[Receipt | SegmentflowError]:
        return tracker.track_many(
            calls, organization_id=organization_id, match_journeys=match_journeys
        )

    for some in _batches(lines, batch):
        numbers: list[int] = []
        calls: list[tuple[Any, Any]] = []
        refused: list[Refusal] = []
        for line in some:
            if not line.raw.strip():
                continue
            report.lines += 1
            _name_source(report, line)
            try:
                calls.append(_read_call(line, report))
                numbers.append(line.number)
            except SegmentflowError as error:
                refused.append(Refusal(line.number, error))
        for number, result in zip(numbers, _patiently(track, calls, pause), strict=True):
            if isinstance(result, SegmentflowError):
                refused.append(Refusal(number, result))
            elif result.replayed:
                report.replayed += 1
            else:
                report.recorded += 1
        refused.sort(key=lambda refusal: refusal.line)
        for refusal in refused:
            report.refuse(refusal)
        on_progress(sum(line.size for line in some), refused)


def _batches(lines: Iterable[Line], size: int) -> Iterator[list[Line]]:
    some: list[Line] = []
    for line in lines:
        some.append(line)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def _name_source(report: ImportReport, line: Line) -> None:
    """Tell the file from others by its name and its first line, however it grows.

    Either alone is too little: two files may begin alike, and a name is used again.
    """
    if report.source is None:
        named = json.dumps([report.name, _known_by(line)], sort_keys=True).encode()
        report.source = hashlib.sha256(named).hexdigest()[:_SOURCE_DIGITS]
        report.naming_line = line.number


def _known_by(line: Line) -> Any:
    """Take from a line what may be told of it, for its hash is stored, and shown.

    All of a request that redacts nothing; of another one, or of what is none, only what no
    request can redact.
    """
    try:
        document = parse_json(line.raw.removeprefix(codecs.BOM_UTF8))
    except InvalidRequest:
        return None
    if not isinstance(document, dict):
        return None
    request = document.get("request", document)
    if not isinstance(request, dict):
        return None
    # What stands elsewhere than it should may be meant to redact.
    in_place = request is document or document.keys() <= _ENVELOPE
    if in_place and request.keys() <= _FIELDS:
        try:
            return json.dumps(document, sort_keys=True)
        except (TypeError, ValueError):  # a mark of what no request may hold
            return None
    profile = request.get("profile")
    shown = [document.get("idempotencyKey")]
    shown += [request.get(name) for name in ("event", "referenceId", "occurredAt")]
    shown += [profile.get(n) for n in ("email", "externalId")] if isinstance(profile, dict) else []
    return [text if isinstance(text, str) else None for text in shown]


def _read_call(line: Line, report: ImportReport) -> tuple[Any, Any]:
    """Read a line as a request and its key; both are still unchecked.

    Raises:
        InvalidRequest: the line is no JSON, or what surrounds its request is wrong.
        PayloadTooLarge: the line is longer than a request may be.
    """
    if line.too_long:
        raise PayloadTooLarge(details={"maxBytes": _MAX_REQUEST})
    document = parse_json(line.raw)
    # No request has a member of either name, so a bare request is told from an envelope.
    if not isinstance(document, dict) or _ENVELOPE.isdisjoint(document):
        return document, _derived_key(line, report)
    violations: list[Violation] = []
    if not document.keys() <= _ENVELOPE:
        violations.append(Violation("", "must hold nothing beside idempotencyKey and request"))
    if type(document) is not dict:  # the parser's mark of a member that is given twice
        violations.append(Violation("", "must not give a member twice"))
    if "request" not in document:
        violations.append(Violation("/request", "is required"))
    if violations:
        raise InvalidRequest.from_violations(violations)
    if "idempotencyKey" in document:
        return document["request"], document["idempotencyKey"]
    return document["request"], _derived_key(line, report)


def _derived_key(line: Line, report: ImportReport) -> str:
    report.derived += 1
    return f"import:{report.source}:{line.number}"


def _patiently(
    track: Callable[[list[tuple[Any, Any]]], list[Receipt | SegmentflowError]],
    calls: list[tuple[Any, Any]],
    pause: Callable[[float], None],
) -> list[Receipt | SegmentflowError]:
    """Track a batch, again where waiting may help: longer each time, and out of step with others.

    An attempt whose commit went through unheard shows as replayed in the next one.
    """
    for attempt in range(_MAX_RUNS - 1):
        try:
            return track(calls)
        except (StorageUnavailable, IdempotencyInProgress):
            pause(_FIRST_PAUSE * 2**attempt * random.uniform(1, 2))  # noqa: S311 - no secret
    return track(calls)
