"""Keyed fingerprints: is this retry the request the key was first used with.

Knows a request as one JSON document, and secrets that key every hash of it. Must never
let a secret, a value, or a name below a redacted path out: not in a digest's
neighbours, not in a repr, not in an error.

Two kinds of digest are kept. One covers the whole request and decides whether two
requests are the same. A few short ones cover one path each, so that a conflict can
name the paths that changed; they come from a key of their own, and are read only
after the whole digests were found to differ.

See docs/reference/rules/idempotency.md.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from hashlib import blake2s
from typing import Any, Final, TypeAlias, cast

from attrs import Attribute, field, frozen

from segmentflow_core.domain.canonical import canonical_json
from segmentflow_core.domain.json_value import JsonObject, JsonValue
from segmentflow_core.domain.pointer import format_pointer
from segmentflow_core.errors import ConfigurationError, FingerprintKeyUnknown

__all__ = [
    "MAX_PATHS",
    "MIN_SECRET_BYTES",
    "SCHEME",
    "Fingerprint",
    "FingerprintKey",
    "FingerprintKeySource",
    "FingerprintKeys",
    "changed_paths",
    "compute_fingerprint",
    "fingerprint_canonical",
    "path_digests",
    "same_request",
]

SCHEME: Final = "hmac-sha256/jcs/1"
"""How a fingerprint is made: the hash, the canonical form, the envelope's version."""

MIN_SECRET_BYTES: Final = 32

MAX_PATHS: Final = 64
"""The most paths that are digested one by one for one request."""

_MAX_POINTER: Final = 255
"""A pointer longer than this is not stored: long names must not multiply in a row."""

_CACHED_SHAPES: Final = 1024
_CACHED_LENGTH: Final = 512

_PATH_DIGEST_BYTES: Final = 8
_KEY_ID_BYTES: Final = 8

# No canonical envelope starts like these, so one secret can serve all three purposes.
_KEY_ID_LABEL: Final = b"segmentflow/fingerprint/key-id/1"
_PATHS_LABEL: Final = b"segmentflow/fingerprint/paths/1"

_UNORDERED_FIELDS: Final = frozenset({"/redactedDataPaths"})
"""Fields whose items have no place of their own, so an index would name nothing."""


def _check_key_id(_: FingerprintKey, __: Attribute[str], key_id: object) -> None:
    if not (isinstance(key_id, str) and 1 <= len(key_id) <= 64):
        raise ConfigurationError("A fingerprint key id must have 1 to 64 characters.")
    if not (key_id.isascii() and key_id.isprintable()):
        raise ConfigurationError("A fingerprint key id must be printable ASCII.")


def _check_secret(_: FingerprintKey, __: Attribute[bytes], secret: object) -> None:
    if not isinstance(secret, bytes):
        raise ConfigurationError("A fingerprint secret must be bytes.")
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"A fingerprint secret must have at least {MIN_SECRET_BYTES} bytes."
        )


@frozen
class FingerprintKey:
    """One secret, and the public name under which rows remember it.

    Attributes:
        key_id: 1 to 64 printable ASCII characters, stored beside each fingerprint.
        secret: at least 32 bytes; never shown.

    Raises:
        ConfigurationError: either attribute breaks its rule.

    >>> FingerprintKey("2026-05", b"correct horse battery staple, twice")
    FingerprintKey(key_id='2026-05')
    """

    key_id: str = field(validator=_check_key_id)
    secret: bytes = field(validator=_check_secret, repr=False)

    @classmethod
    def derive(cls, secret: bytes | str) -> FingerprintKey:
        """Name a secret by a keyed digest of itself.

        The same secret always gets the same id. The id tells no more about the secret
        than any fingerprint stored beside it does.

        Args:
            secret: at least 32 bytes; text counts as UTF-8.

        Raises:
            ConfigurationError: the secret is too short, or is neither bytes nor text.
        """
        encoded = _encode_secret(secret)
        digest = hmac.digest(encoded, _KEY_ID_LABEL, "sha256")
        return cls(digest[:_KEY_ID_BYTES].hex(), encoded)

    @cached_property
    def paths_key(self) -> bytes:
        """The key of `path_digests`, derived once; no less secret than `secret`."""
        return hmac.digest(self.secret, _PATHS_LABEL, "sha256")


FingerprintKeySource: TypeAlias = "FingerprintKeys | FingerprintKey | bytes | str"
"""What a host may configure: a set of keys, one key, or only a secret."""


def _check_keys(keys: FingerprintKeys, _: Attribute[Any], __: object) -> None:
    ids: set[str] = set()
    for key in cast("tuple[object, ...]", (keys.current, *keys.previous)):
        if not isinstance(key, FingerprintKey):
            raise ConfigurationError("Fingerprint keys must be FingerprintKey values.")
        if key.key_id in ids:
            raise ConfigurationError("Two fingerprint keys have the same key id.")
        ids.add(key.key_id)


@frozen
class FingerprintKeys:
    """The key new fingerprints are made with, and those that stored ones may need.

    Attributes:
        current: makes every new fingerprint.
        previous: still compares; keep each for as long as rows made with it are kept.

    Raises:
        ConfigurationError: two keys share an id, or something else is no key.
    """

    current: FingerprintKey
    previous: tuple[FingerprintKey, ...] = field(
        default=(), converter=tuple[FingerprintKey, ...], validator=_check_keys
    )

    @classmethod
    def of(cls, source: FingerprintKeySource) -> FingerprintKeys:
        """Read what the host configured.

        Raises:
            ConfigurationError: it is nothing a key can be made of.
        """
        if isinstance(source, FingerprintKeys):
            return source
        if isinstance(source, FingerprintKey):
            return cls(source)
        return cls(FingerprintKey.derive(source))

    def find(self, key_id: str) -> FingerprintKey:
        """Return the key a stored fingerprint was made with.

        Raises:
            FingerprintKeyUnknown: no such key is configured; ``details["keyId"]`` names it.
        """
        for key in (self.current, *self.previous):
            if key.key_id == key_id:
                return key
        raise FingerprintKeyUnknown(details={"keyId": key_id})


@frozen
class Fingerprint:
    """What is stored to recognise a request again.

    Attributes:
        scheme: how `digest` was made; see `SCHEME`.
        key_id: which key made it.
        digest: 32 bytes.
    """

    scheme: str
    key_id: str
    digest: bytes


def compute_fingerprint(document: JsonObject, key: FingerprintKey) -> Fingerprint:
    """Hash the whole request: HMAC-SHA-256 over RFC 8785 JSON of a versioned envelope.

    Args:
        document: the admitted request as sent, before defaults and redaction; its
            redactedDataPaths a sorted set, its occurredAt an instant.
        key: `FingerprintKeys.current` for a new claim, the stored key to compare.

    Raises:
        CanonicalizationError: `document` was never admitted.
    """
    return fingerprint_canonical(canonical_json(document), key)


def fingerprint_canonical(canonical: bytes, key: FingerprintKey) -> Fingerprint:
    """Hash a request that is canonical JSON already; as `compute_fingerprint`."""
    # The canonical form of {"request": document, "v": 1}, put together from its parts.
    envelope = b'{"request":%b,"v":1}' % canonical
    return Fingerprint(SCHEME, key.key_id, hmac.digest(key.secret, envelope, "sha256"))


def same_request(stored: Fingerprint, sent: Fingerprint) -> bool:
    """Say, in constant time, whether two fingerprints are of one request.

    Fingerprints of different schemes or keys are never equal, which says nothing about
    their requests: compute `sent` with ``keys.find(stored.key_id)``.
    """
    return (
        stored.scheme == sent.scheme
        and stored.key_id == sent.key_id
        and hmac.compare_digest(stored.digest, sent.digest)
    )


def path_digests(document: JsonObject, key: FingerprintKey, *, salt: bytes = b"") -> dict[str, str]:
    """Digest a request path by path, for `changed_paths` to compare later.

    Objects and arrays are opened breadth first, while what they hold fits into
    `MAX_PATHS` entries; one that does not fit, or is empty, stays one entry. So does
    each subtree the document itself redacts: nothing below it is named.

    Args:
        document: as for `compute_fingerprint`.
        key: as for `compute_fingerprint`.
        salt: the stored fingerprint's digest. With it, equal values in two requests do
            not show as equal digests in two rows.

    Returns:
        JSON Pointers into `document`, each with a keyed digest of 16 hex digits.

    Raises:
        CanonicalizationError: `document` was never admitted.
    """
    closed = _closed_paths(document)
    # Keyed and salted once; each path goes on from a copy, which is cheaper than a new hash.
    start = blake2s(
        key=key.paths_key, digest_size=_PATH_DIGEST_BYTES, salt=salt[: blake2s.SALT_SIZE]
    ).copy
    digests: dict[str, str] = {}
    room = MAX_PATHS
    containers: list[tuple[str, Any]] = [("", document)]
    # What is opened adds to the list that is walked: breadth first, without a queue.
    for pointer, container in containers:
        paths = () if pointer in closed else _paths_below(pointer, container, room)
        if paths:
            room -= len(paths) - 1
        else:
            entry = start()
            entry.update(_spelt(pointer, container))
            digests[pointer] = entry.hexdigest()
            continue
        values = container.values() if type(container) is dict else container
        for path, value in zip(paths, values, strict=True):
            if type(value) in _CONTAINERS:
                containers.append((path, value))
            else:
                entry = start()
                entry.update(_spelt(path, value))
                digests[path] = entry.hexdigest()
    return digests


_CONTAINERS: Final = frozenset({dict, list})


def _spelt(pointer: str, value: JsonValue) -> bytes:
    """Give the bytes that stand for a value at its place.

    A pointer holds no U+0000, so no two pairs run together. The value is canonical JSON,
    or, quicker, a string behind one quote: no JSON text starts with a quote and does not
    end with one, so strings that do end with one are written as JSON too.
    """
    if type(value) is str and value[-1:] != '"':
        try:
            return f'{pointer}\0"{value}'.encode()
        except UnicodeEncodeError:
            pass  # never admitted: canonical_json says so without showing it
    if type(value) is int:
        return f"{pointer}\0{value}".encode()
    return b"%b\0%b" % (pointer.encode(), canonical_json(value))


def _closed_paths(document: JsonObject) -> set[str]:
    """Collect the pointers into the request that stay one entry whatever they hold."""
    redacted = cast("Sequence[str]", document.get("redactedDataPaths") or ())
    # The state document's /event is the request's /data; what follows is the same.
    return {f"/data{path.removeprefix('/event')}" for path in redacted} | _UNORDERED_FIELDS


def _paths_below(pointer: str, container: Any, room: int) -> tuple[str, ...]:
    """Name what an object or array holds, in its order; nothing where it must stay closed."""
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
    """Write the pointers of names below `pointer`; none of them where one is too long."""
    paths = tuple([pointer + format_pointer(name) for name in names])
    return () if paths and len(max(paths, key=len)) > _MAX_POINTER else paths


# Hosts send requests of few shapes. The names of a shape are kept, never a value; and
# equal requests share their paths wherever those are held.
_joined_cached = lru_cache(maxsize=_CACHED_SHAPES)(_joined)


def changed_paths(stored: Mapping[str, str], sent: Mapping[str, str]) -> tuple[str, ...]:
    """Name the paths at which two requests with one key differ.

    Where only one side was opened below a path, the path itself is named.

    Args:
        stored: `path_digests` of the first request.
        sent: `path_digests` of this one, with the same key and salt.

    Returns:
        JSON Pointers into the request, sorted. ``("",)``, all of it, where the digests
        do not show the place.

    >>> changed_paths({"/event": "aa", "/data": "bb"}, {"/event": "aa", "/data/total": "cc"})
    ('/data',)
    """
    differing = {path for path in stored.keys() | sent.keys() if stored.get(path) != sent.get(path)}
    outermost = (path for path in differing if not _has_ancestor_in(differing, path))
    return tuple(sorted(outermost)) or ("",)


def _has_ancestor_in(paths: set[str], path: str) -> bool:
    while path:
        path = path[: path.rindex("/")]
        if path in paths:
            return True
    return False


def _encode_secret(secret: object) -> bytes:
    if isinstance(secret, bytes):
        return secret
    if not isinstance(secret, str):
        raise ConfigurationError("A fingerprint secret must be bytes or text.")
    try:
        return secret.encode("utf-8")
    except UnicodeEncodeError:
        # The error holds the secret; raising outside this block leaves it behind.
        pass
    raise ConfigurationError("A fingerprint secret must be text that UTF-8 can encode.")
