"""Which paths differ between two requests with one key: what a conflict tells.

The first request is known by its recorded event, and by keyed digests of what the event's row
does not show as it was sent. Must never compare or digest a redacted value, nor reveal a name
below one: a conflict would tell one value at a time whether a guess is right.

See docs/reference/rules/idempotency.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2s
from typing import Any, Final, TypeAlias

from attrs import frozen

from segmentflow_core.domain.canonical import canonical_json
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.fingerprint import FingerprintKey
from segmentflow_core.domain.json_value import JsonObject, JsonValue
from segmentflow_core.domain.pointer import Tokens, format_pointer
from segmentflow_core.domain.redaction import PROPERTIES, REDACTED
from segmentflow_core.domain.request import ValidRequest

__all__ = [
    "MAX_PATHS",
    "Conflict",
    "find_conflict",
    "path_digests",
    "unseen_digests",
]

MAX_PATHS: Final = 64
"""The most paths of one request that get a digest of their own, or are named as differing."""

_MAX_POINTER: Final = 255
"""A longer pointer is neither stored nor named: repeated long names would make it large."""

_CACHED_SHAPES: Final = 1024
_CACHED_LENGTH: Final = 512

_PATH_DIGEST_BYTES: Final = 8
_PATH_DIGEST_DIGITS: Final = 8
"""How many of the digits are kept. A digest only says where two requests differ that are known to
differ: one difference in four billion is not named."""

_HIDDEN: Final = ""
"""Stands for the digest of what was redacted: it says that there was something, no more."""

_UNORDERED: Final = "/redactedDataPaths"
"""Its items have no order, so an index into them would mean nothing."""


# --- what the row does not show ----------------------------------------------------------


def unseen_digests(request: ValidRequest, key: FingerprintKey, *, salt: bytes) -> dict[str, str]:
    """Digest, path by path, what the recorded event does not show as it was sent.

    That is the profile as sent, the redaction paths, the time it is said to have occurred at,
    and whether empty data was given or left out.

    Args:
        request: as it was checked.
        key: makes the request's fingerprint.
        salt: the fingerprint's digest. It makes equal values in two requests give different
            digests.

    Returns:
        JSON Pointers into the request, each with a keyed digest of 8 hex digits, or with
        none where a policy redacts it.
    """
    sent = request.document
    unseen: dict[str, Any] = {"profile": sent["profile"]}
    for name in ("redactedDataPaths", "occurredAt"):
        if name in sent:
            unseen[name] = sent[name]
    if not request.data and "data" in sent:
        unseen["data"] = {}
    redaction = request.redaction
    if not redaction.properties:
        return path_digests(unseen, key, salt=salt)
    properties = redaction.apply_to_properties(unseen["profile"]["properties"])
    unseen["profile"] = {**unseen["profile"], "properties": properties}
    hidden = [format_pointer(*PROPERTIES, *place) for place in redaction.properties]
    return path_digests(unseen, key, salt=salt, hidden=hidden)


def path_digests(
    document: JsonObject, key: FingerprintKey, *, salt: bytes = b"", hidden: Collection[str] = ()
) -> dict[str, str]:
    """Digest a document path by path.

    Objects and arrays are opened breadth first, as long as the result has at most
    `MAX_PATHS` entries. One that does not fit, or is empty, stays one entry.

    Args:
        document: admitted JSON, in which what is hidden is replaced already.
        key: makes the digests.
        salt: as for `unseen_digests`.
        hidden: pointers to what gets an entry and no digest.

    Raises:
        CanonicalizationError: `document` was never admitted.
    """
    # Keyed and salted once. Each path copies this hash, which is cheaper than a new one.
    start = blake2s(
        key=key.paths_key, digest_size=_PATH_DIGEST_BYTES, salt=salt[: blake2s.SALT_SIZE]
    ).copy
    digests: dict[str, str] = {}
    room = MAX_PATHS
    containers: list[tuple[str, Any]] = [("", document)]
    # The loop appends to the list it walks: breadth first, without a queue.
    for pointer, container in containers:
        paths = () if pointer == _UNORDERED else _paths_below(pointer, container, room)
        if paths:
            room -= len(paths) - 1
        else:
            entry = start()
            entry.update(_spelt(pointer, container))
            digests[pointer] = entry.hexdigest()[:_PATH_DIGEST_DIGITS]
            continue
        values = container.values() if type(container) is dict else container
        for path, value in zip(paths, values):  # noqa: B905 - one path for each value
            kind = type(value)
            if hidden and path in hidden:
                digests[path] = _HIDDEN
            elif kind is dict or kind is list:
                containers.append((path, value))
            else:
                entry = start()
                entry.update(_spelt(path, value))
                digests[path] = entry.hexdigest()[:_PATH_DIGEST_DIGITS]
    return digests


def _spelt(pointer: str, value: JsonValue) -> bytes:
    """Return bytes that differ for every pair of pointer and value.

    A pointer holds no U+0000, so that character separates the two. The value is written as
    canonical JSON. A string is written faster, as one quote and its text: JSON that starts
    with a quote ends with one, so a string that ends with a quote is written as JSON.
    """
    if type(value) is str and value[-1:] != '"':
        try:
            return f'{pointer}\0"{value}'.encode()
        except UnicodeEncodeError:
            pass  # never admitted: canonical_json refuses it without showing it
    if type(value) is int:
        return f"{pointer}\0{value}".encode()
    # The redaction paths are strings alone.
    exact = False if pointer == _UNORDERED else None
    return b"%b\0%b" % (pointer.encode(), canonical_json(value, exact=exact))


def _paths_below(pointer: str, container: Any, room: int) -> tuple[str, ...]:
    """Return the pointers of an object's or array's parts; none where it must stay closed."""
    if len(container) > room:
        return ()
    if type(container) is dict:
        names = tuple(container)
        if len(pointer) + len("".join(names)) <= _CACHED_LENGTH:
            return _joined_cached(pointer, names)
    else:
        names = tuple(map(str, range(len(container))))
    return _joined(pointer, names)


def _joined(pointer: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the pointers of `names` below `pointer`; none at all where one is too long."""
    paths = tuple([pointer + format_pointer(name) for name in names])
    return () if paths and len(max(paths, key=len)) > _MAX_POINTER else paths


# Hosts send requests of few shapes. The cache keeps the names of a shape, never a value, so
# requests of one shape share their paths in memory.
_joined_cached = lru_cache(maxsize=_CACHED_SHAPES)(_joined)


# --- what differs ------------------------------------------------------------------------


@frozen
class Conflict:
    """Where a request differs from the one its key was taken for. Pointers, never values.

    Attributes:
        changed: where they differ, sorted; ``("",)``, the whole request, where that does not
            show. Nothing at or below a redacted place is compared.
        redacted: the redacted places of the later request, sorted, whether or not they differ.
    """

    changed: tuple[str, ...]
    redacted: tuple[str, ...]


def find_conflict(
    request: ValidRequest,
    key: FingerprintKey,
    *,
    salt: bytes,
    digests: Mapping[str, str],
    recorded: UserEvent | None,
) -> Conflict:
    """Name the paths at which a request differs from the one its key was taken for.

    An object or array with more than `MAX_PATHS` differences, or with one whose pointer is
    too long, is named itself.

    Args:
        request: the later request.
        key: the one that made the first request's fingerprint.
        salt: the digest of that fingerprint.
        digests: `unseen_digests` of the first request.
        recorded: its event; None where that is gone, and nothing is compared.
    """
    redacted = _named(_tree(request.redaction.places(request.data)))
    redacted = sorted(f"/data{p.removeprefix('/event')}" if _in_event(p) else p for p in redacted)
    if recorded is None:
        return Conflict(("",), tuple(redacted))
    sent = unseen_digests(request, key, salt=salt)
    differing = {
        path
        for path in digests.keys() | sent.keys()
        if digests.get(path) != sent.get(path)
        and _HIDDEN not in (digests.get(path), sent.get(path))
    }
    data = request.redaction.apply(request.data).data
    seen = {"event": recorded.event, "data": recorded.data, "referenceId": recorded.reference_id}
    now = {"event": request.event, "data": data, "referenceId": request.reference_id}
    differing.update(_named(_difference(seen, now)))
    outermost = [path for path in differing if not _has_ancestor_in(differing, path)]
    changed = tuple(sorted(outermost))
    return Conflict(changed if changed or redacted else ("",), tuple(redacted))


def _in_event(pointer: str) -> bool:
    # The state document's /event is the request's /data.
    return pointer == "/event" or pointer.startswith("/event/")


_Tree: TypeAlias = "dict[str, _Tree] | None"
"""Parts by name, each with what is of interest below it; None where all of it is."""

_NOTHING: Final[_Tree] = {}


def _tree(places: Iterable[Tokens]) -> _Tree:
    """Join places, none of which is below another, into one tree."""
    root: dict[str, Any] = {}
    for place in places:
        node = root
        for token in place[:-1]:
            node = node.setdefault(token, {})
        node[place[-1]] = None
    return root


def _difference(first: JsonValue, second: JsonValue) -> _Tree:
    """Return where two values differ, apart from what is redacted in either.

    A text that says as much as the mark of redaction counts as redacted.
    """
    if REDACTED in (first, second):
        return _NOTHING
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        names: Iterable[str] = {**first, **second}
        return _differences((name, _part(first, name), _part(second, name)) for name in names)
    if isinstance(first, list) and isinstance(second, list):
        length = range(max(len(first), len(second)))
        return _differences((str(n), first[n : n + 1], second[n : n + 1]) for n in length)
    if type(first) is type(second):
        return _NOTHING if first == second else None
    return _NOTHING if canonical_json(first) == canonical_json(second) else None


def _part(value: Mapping[str, JsonValue], name: str) -> Sequence[JsonValue]:
    return [value[name]] if name in value else ()


def _differences(parts: Iterable[tuple[str, Sequence[JsonValue], Sequence[JsonValue]]]) -> _Tree:
    """Compare part by part; each is a list of one value, or of none where there is none."""
    found: dict[str, _Tree] = {}
    for name, first, second in parts:
        if first and second:
            below = _difference(first[0], second[0])
        else:
            below = _NOTHING if REDACTED in (*first, *second) else None
        if below != _NOTHING:
            found[name] = below
    return found


def _named(tree: _Tree) -> list[str]:
    """Name what a tree holds; breadth first, as long as it is at most `MAX_PATHS` names."""
    named: list[str] = []
    room = MAX_PATHS
    nodes: list[tuple[str, _Tree]] = [("", tree)] if tree != _NOTHING else []
    for pointer, node in nodes:
        paths = () if node is None else _paths_below(pointer, node, room)
        if node is None or not paths:
            named.append(pointer)
        else:
            room -= len(paths) - 1
            nodes.extend(zip(paths, node.values(), strict=True))
    return named


def _has_ancestor_in(paths: Collection[str], path: str) -> bool:
    while path:
        path = path[: path.rindex("/")]
        if path in paths:
            return True
    return False
