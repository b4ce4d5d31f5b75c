"""Bulk import: a file of requests, one a line, tracked batch by batch.

An import keeps no state outside the store. Each line has an idempotency key: its own, or one
derived from the file and the line's number. So an import that was killed is run again as it is:
lines that were recorded replay, the others are tracked. Lines are streamed, whatever the file's
size. Must never print a value from a line: refusals are line numbers, codes and paths.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, BinaryIO, Final, Protocol

from attrs import define, field, frozen

from segmentflow_core import Limits, Receipt, RedactionPolicy, SegmentflowError
from segmentflow_core.errors import (
    IdempotencyInProgress,
    InvalidRequest,
    PayloadTooLarge,
    StorageUnavailable,
    Violation,
)
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_core.wire import parse_json

__all__ = [
    "MAX_LISTED",
    "MAX_LISTED_BYTES",
    "ImportReport",
    "Line",
    "Refusal",
    "Tracks",
    "import_lines",
    "read_lines",
]

MAX_LISTED: Final = 10_000
"""How many refused lines a report lists; further ones are only counted."""

MAX_LISTED_BYTES: Final = 16 * 1024 * 1024
"""How much text of violations a report lists; lines refused after that are only counted."""

_ENVELOPE: Final = frozenset({"idempotencyKey", "request"})
_MAX_REQUEST: Final = Limits().max_bytes
_MAX_LINE: Final = _MAX_REQUEST + 1024
"""Bytes of the longest line: a request at its limit, in an envelope with its key."""

_MAX_BATCH: Final = 16 * 1024 * 1024
"""Bytes of lines after which a batch is full, however few they are."""

_CHUNK: Final = 64 * 1024
_SOURCE_DIGITS: Final = 32
_FIELDS: Final = frozenset({"event", "profile", "data", "referenceId", "occurredAt"})
"""The members of a request that redacts nothing."""
_MAX_RUNS: Final = 6
_FIRST_PAUSE: Final = 0.1


@frozen(repr=False)
class Line:
    """One line as it was read.

    Attributes:
        number: its number, from 1; blank lines count.
        raw: its bytes; only the first ones if it is `too_long`.
        size: its length in bytes, with the line's end.
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
    """What an import has done so far.

    Attributes:
        name: the file's name, without its folders; empty for standard input.
        source: what derived keys start with; None until a line was read.
        lines: how many lines were read, without blank ones.
        recorded: how many lines became an event.
        replayed: how many lines were events already.
        refused: the first refusals, by line, up to `MAX_LISTED` and `MAX_LISTED_BYTES`.
        omitted: how many more lines were refused.
        naming_line: the number of the line that `source` was derived from, together with the
            file's name; None if `source` was given.
        derived: how many keys were derived.
        unmatched: how many redaction paths of lines that were not refused named nothing.
        dry_run: whether lines are only checked: those counted as recorded would be taken.
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
    unmatched: int = 0
    dry_run: bool = False
    _listed_bytes: int = field(default=0, init=False)

    @property
    def naming_line_refused(self) -> bool:
        """Whether correcting a refused line would change every derived key."""
        return self.derived > 0 and any(r.line == self.naming_line for r in self.refused)

    def refuse(self, refusal: Refusal) -> None:
        """Note a refused line."""
        if len(self.refused) < MAX_LISTED and self._listed_bytes < MAX_LISTED_BYTES:
            self.refused.append(refusal)
            self._listed_bytes += _text_size(refusal.error)
        else:
            self.omitted += 1

    def document(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        done = {"recorded": self.recorded, "replayed": self.replayed}
        return {
            "source": self.source,
            "lines": self.lines,
            **({"dryRun": True, "accepted": self.recorded} if self.dry_run else done),
            "refused": [refusal.document() for refusal in self.refused],
            "omitted": self.omitted,
            "unmatchedPaths": self.unmatched,
        }


def _text_size(error: SegmentflowError) -> int:
    listed = error.violations if isinstance(error, InvalidRequest) else ()
    return sum(len(violation.path) + len(violation.message) for violation in listed)


def read_lines(file: BinaryIO, spill: Callable[[bytes], object] | None = None) -> Iterator[Line]:
    """Read a file line by line; keep only the start of a line that is too long.

    The mark of the byte order that a file of UTF-8 may start with is no part of its first line.

    Args:
        file: what is read.
        spill: is given the rest of each line that is too long, piece by piece, once whoever reads
            the lines has asked for the next one.
    """
    number = before = 0
    while raw := file.readline(_MAX_LINE + 1):
        number += 1
        size = len(raw)
        too_long = size > _MAX_LINE and not raw.endswith(b"\n")
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if too_long and spill is None:
            size += sum(map(len, _rest_of_line(file)))
        yield Line(number, raw, before + size, too_long)
        before = 0
        if too_long and spill is not None:
            for piece in _rest_of_line(file):
                before += len(piece)
                spill(piece)


def _rest_of_line(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.readline(_CHUNK):
        yield piece
        if piece.endswith(b"\n"):
            return


class Tracks(Protocol):
    """What an import asks of a tracker, or of what checks lines in its place."""

    @property
    def redaction(self) -> RedactionPolicy:
        """What is redacted beside each line's own paths."""
        ...

    def track_many(
        self, calls: Sequence[tuple[Any, Any]], *, organization_id: str, match_journeys: bool
    ) -> list[Receipt | SegmentflowError]:
        """Track a batch; one receipt or error per call, in order."""
        ...


@forgets_locals
def import_lines(
    tracker: Tracks,
    lines: Iterable[Line],
    report: ImportReport,
    *,
    organization_id: str,
    batch: int,
    match_journeys: bool,
    on_progress: Callable[[int, list[Refusal]], None],
    on_reject: Callable[[Line], object] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
    whole: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Track every line, at most `batch` of them a transaction, and keep `report` up to date.

    Args:
        tracker: tracks the lines.
        lines: the lines, in the file's order.
        report: is brought up to date; if its `source` is set, derived keys start with it.
        organization_id: whose events they are.
        batch: how many lines one transaction takes at most; fewer of long ones.
        match_journeys: False records history that must not start automations.
        on_progress: is called after each batch with the bytes read and the lines refused.
        on_reject: is called with each line refused, in the file's order.
        pause: waits the given seconds before a batch is tried again.
        whole: is entered for each batch, until it is counted.

    Raises:
        StorageUnavailable: the store could not be reached, or stayed too busy.
        IdempotencyInProgress: another call kept a key of the batch for too long.
    """

    def track(calls: list[tuple[Any, Any]]) -> list[Receipt | SegmentflowError]:
        return tracker.track_many(
            calls, organization_id=organization_id, match_journeys=match_journeys
        )

    def take(some: list[Line]) -> None:
        calls, refused = _read_calls(some, report, tracker.redaction)
        results = _patiently(track, list(calls.values()), pause)
        for number, result in zip(calls, results, strict=True):
            if isinstance(result, SegmentflowError):
                refused.append(Refusal(number, result))
                continue
            report.unmatched += len(result.unmatched_paths)
            if result.replayed:
                report.replayed += 1
            else:
                report.recorded += 1
        refused.sort(key=lambda refusal: refusal.line)
        by_number = {line.number: line for line in some}
        for refusal in refused:
            report.refuse(refusal)
            on_reject(by_number[refusal.line])
        on_progress(sum(line.size for line in some), refused)

    for some in _batches(lines, batch):
        with whole():
            take(some)


def _batches(lines: Iterable[Line], size: int) -> Iterator[list[Line]]:
    some: list[Line] = []
    held = 0
    for line in lines:
        some.append(line)
        held += len(line.raw)
        # What is too long ends a batch: its rest is read once the lines before it are done with.
        if len(some) == size or held >= _MAX_BATCH or line.too_long:
            yield some
            some, held = [], 0
    if some:
        yield some


def _read_calls(
    lines: Iterable[Line], report: ImportReport, policy: RedactionPolicy
) -> tuple[dict[int, tuple[Any, Any]], list[Refusal]]:
    """Read the calls of a batch, by line number, and the lines that are none."""
    calls: dict[int, tuple[Any, Any]] = {}
    refused: list[Refusal] = []
    for line in lines:
        if not line.raw.strip():
            continue
        report.lines += 1
        _name_source(report, line, policy)
        try:
            calls[line.number] = _read_call(line, report)
        except SegmentflowError as error:
            # Kept for the report: without the frames, which hold the lines.
            refused.append(Refusal(line.number, error.with_traceback(None)))
    return calls, refused


def _name_source(report: ImportReport, line: Line, policy: RedactionPolicy) -> None:
    """Derive the source from the file's name and its first line, which stay as the file grows.

    Either alone is too little: two files may start with the same line, or have the same name.
    """
    if report.source is None:
        named = json.dumps([report.name, _known_by(line, policy)], sort_keys=True).encode()
        report.source = hashlib.sha256(named).hexdigest()[:_SOURCE_DIGITS]
        report.naming_line = line.number


def _known_by(line: Line, policy: RedactionPolicy) -> Any:
    """Return the parts of a line that may go into a hash that is stored and shown.

    A request of which nothing is redacted: all of it. Any other request or document: only
    members that cannot be redacted. No JSON object: nothing.
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
    # A member in the wrong place may be meant to redact.
    in_place = request is document or document.keys() <= _ENVELOPE
    if in_place and request.keys() <= _FIELDS:
        try:
            text = json.dumps(document, sort_keys=True)
        except (TypeError, ValueError):  # the parser left a mark for a value no request may hold
            return None
        if policy.empty or not _redacts(policy, json.loads(text)):
            return text
    profile = request.get("profile")
    shown = [document.get("idempotencyKey")]
    shown += [request.get(name) for name in ("event", "referenceId", "occurredAt")]
    shown += [profile.get(n) for n in ("email", "externalId")] if isinstance(profile, dict) else []
    return [text if isinstance(text, str) else None for text in shown]


def _redacts(policy: RedactionPolicy, document: dict[str, Any]) -> bool:
    """Whether a policy may redact anything of a line that is JSON but not checked."""
    request = document.get("request", document)
    data, profile = request.get("data", {}), request.get("profile", {})
    properties = profile.get("properties", {}) if isinstance(profile, dict) else None
    if not isinstance(data, dict) or not isinstance(properties, dict):
        return True
    # The whole request too: what is in the wrong place may have one of the names.
    asked: list[tuple[dict[str, Any], dict[str, Any]]] = [(data, properties), (document, {})]
    return any(policy.redaction((), *each).places(each[0]) for each in asked)


def _read_call(line: Line, report: ImportReport) -> tuple[Any, Any]:
    """Read a line as a request and its key, neither of them checked.

    Raises:
        InvalidRequest: the line is no JSON, or the envelope of its request is wrong.
        PayloadTooLarge: the line is longer than a request may be.
    """
    if line.too_long:
        raise PayloadTooLarge(details={"maxBytes": _MAX_REQUEST})
    document = parse_json(line.raw)
    # A request has no member of either name, so an envelope is told from a bare request.
    if not isinstance(document, dict) or _ENVELOPE.isdisjoint(document):
        return document, _derived_key(line, report)
    violations: list[Violation] = []
    if not document.keys() <= _ENVELOPE:
        violations.append(Violation("", "must hold nothing beside idempotencyKey and request"))
    if type(document) is not dict:  # the parser's mark for a member that is given twice
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
    """Track a batch; where waiting may help, try again after a random pause that grows.

    When the commit succeeded but its answer was lost, the next attempt counts the batch as
    replayed.
    """
    for attempt in range(_MAX_RUNS - 1):
        try:
            return track(calls)
        except (StorageUnavailable, IdempotencyInProgress):
            pause(_FIRST_PAUSE * 2**attempt * random.uniform(1, 2))  # noqa: S311 - no secret
    return track(calls)
