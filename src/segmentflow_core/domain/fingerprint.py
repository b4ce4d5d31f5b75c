"""Keyed fingerprints: is this retry the request the key was first used with.

Knows a request as one JSON document, and the secrets that key every hash of it. Must never
reveal a secret, a value, or a name below a redacted path: not beside a digest, not in a
repr, not in an error.

Two kinds of digest are kept. One covers the whole request and decides whether two
requests are the same. A few short ones cover one path each, so that a conflict can
name the paths that changed. They use a key of their own, and are read only after the
digests of the whole requests differ.

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
"""The name of how a fingerprint is made: hash, canonical form, version of the envelope."""

MIN_SECRET_BYTES: Final = 32

MAX_PATHS: Final = 64
"""The most paths of one request that get a digest of their own."""

_MAX_POINTER: Final = 255
"""A longer pointer is not stored: repeated long names would make a row large."""

_CACHED_SHAPES: Final = 1024
_CACHED_LENGTH: Final = 512

_PATH_DIGEST_BYTES: Final = 8
_KEY_ID_BYTES: Final = 8

# No canonical envelope starts like these labels, so one secret serves all three purposes.
_KEY_ID_LABEL: Final = b"segmentflow/fingerprint/key-id/1"
_PATHS_LABEL: Final = b"segmentflow/fingerprint/paths/1"

_UNORDERED_FIELDS: Final = frozenset({"/redactedDataPaths"})
"""Fields whose items have no order, so an index into them would mean nothing."""


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
    """One secret, and the public id that stored rows name it by.

    Attributes:
        key_id: 1 to 64 printable ASCII characters, stored beside each fingerprint.
        secret: at least 32 bytes; never shown.

    Raises:
        ConfigurationError: an attribute breaks its rule.

    >>> FingerprintKey("2026-05", b"correct horse battery staple, twice")
    FingerprintKey(key_id='2026-05')
    """

    key_id: str = field(validator=_check_key_id)
    secret: bytes = field(validator=_check_secret, repr=False)

    @classmethod
    def derive(cls, secret: bytes | str) -> FingerprintKey:
        """Make a key whose id is a keyed digest of the secret.

        The same secret always gets the same id. The id reveals no more about the secret
        than a stored fingerprint does.

        Args:
            secret: at least 32 bytes; text is encoded as UTF-8.

        Raises:
            ConfigurationError: the secret is too short, or is neither bytes nor text.
        """
        encoded = _encode_secret(secret)
        digest = hmac.digest(encoded, _KEY_ID_LABEL, "sha256")
        return cls(digest[:_KEY_ID_BYTES].hex(), encoded)

    @cached_property
    def paths_key(self) -> bytes:
        """The key of `path_digests`, derived once; it is as secret as `secret`."""
        return hmac.digest(self.secret, _PATHS_LABEL, "sha256")


FingerprintKeySource: TypeAlias = "FingerprintKeys | FingerprintKey | bytes | str"
"""What a host may configure: several keys, one key, or only a secret."""


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
    """The key of new fingerprints, and the keys that stored ones may need.

    Attributes:
        current: makes every new fingerprint.
        previous: compare stored fingerprints; keep each key as long as rows made with it.

    Raises:
        ConfigurationError: two keys share an id, or a value is not a key.
    """

    current: FingerprintKey
    previous: tuple[FingerprintKey, ...] = field(
        default=(), converter=tuple[FingerprintKey, ...], validator=_check_keys
    )

    @classmethod
    def of(cls, source: FingerprintKeySource) -> FingerprintKeys:
        """Read what the host configured.

        Raises:
            ConfigurationError: no key can be made of it.
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
    """What is stored to recognise a repeated request.

    Attributes:
        scheme: how `digest` was made; see `SCHEME`.
        key_id: the id of the key that made it.
        digest: 32 bytes.
    """

    scheme: str
    key_id: str
    digest: bytes


def compute_fingerprint(document: JsonObject, key: FingerprintKey) -> Fingerprint:
    """Hash the whole request: HMAC-SHA-256 over RFC 8785 JSON of a versioned envelope.

    Args:
        document: the admitted request as sent, before defaults and redaction. Its
            redactedDataPaths are sorted, each once; its occurredAt is in UTC.
        key: `FingerprintKeys.current` for a new claim; the stored fingerprint's key to
            compare with that.

    Raises:
        CanonicalizationError: `document` was never admitted.
    """
    return fingerprint_canonical(canonical_json(document), key)


def fingerprint_canonical(canonical: bytes, key: FingerprintKey) -> Fingerprint:
    """Hash a request that is already canonical JSON; otherwise as `compute_fingerprint`."""
    # The canonical form of {"request": document, "v": 1}, built from its parts.
    envelope = b'{"request":%b,"v":1}' % canonical
    return Fingerprint(SCHEME, key.key_id, hmac.digest(key.secret, envelope, "sha256"))


def same_request(stored: Fingerprint, sent: Fingerprint) -> bool:
    """Say, in constant time, whether two fingerprints are of one request.

    Fingerprints of different schemes or keys are never equal, even for one request. So
    compute `sent` with ``keys.find(stored.key_id)``.
    """
    return (
        stored.scheme == sent.scheme
        and stored.key_id == sent.key_id
        and hmac.compare_digest(stored.digest, sent.digest)
    )


def path_digests(document: JsonObject, key: FingerprintKey, *, salt: bytes = b"") -> dict[str, str]:
    """Digest a request path by path, for `changed_paths` to compare later.

    Objects and arrays are opened breadth first, as long as the result has at most
    `MAX_PATHS` entries. One that does not fit, or is empty, stays one entry. So does each
    subtree that the document redacts: no name below it is revealed.

    Args:
        document: as for `compute_fingerprint`.
        key: as for `compute_fingerprint`.
        salt: the stored fingerprint's digest. It makes equal values in two requests give
            different digests.

    Returns:
        JSON Pointers into `document`, each with a keyed digest of 16 hex digits.

    Raises:
        CanonicalizationError: `document` was never admitted.
    """
    closed = _closed_paths(document)
    # Keyed and salted once. Each path copies this hash, which is cheaper than a new one.
    start = blake2s(
        key=key.paths_key, digest_size=_PATH_DIGEST_BYTES, salt=salt[: blake2s.SALT_SIZE]
    ).copy
    digests: dict[str, str] = {}
    room = MAX_PATHS
    containers: list[tuple[str, Any]] = [("", document)]
    # The loop appends to the list it walks: breadth first, without a queue.
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
    return b"%b\0%b" % (pointer.encode(), canonical_json(value))


def _closed_paths(document: JsonObject) -> set[str]:
    """Return the pointers into the request that always stay one entry."""
    redacted = cast("Sequence[str]", document.get("redactedDataPaths") or ())
    # The state document's /event is the request's /data; the rest of the path is the same.
    return {f"/data{path.removeprefix('/event')}" for path in redacted} | _UNORDERED_FIELDS


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


def changed_paths(stored: Mapping[str, str], sent: Mapping[str, str]) -> tuple[str, ...]:
    """Name the paths at which two requests with one key differ.

    Where only one of the two was opened below a path, that path itself is named.

    Args:
        stored: `path_digests` of the first request.
        sent: `path_digests` of this one, with the same key and salt.

    Returns:
        JSON Pointers into the request, sorted. ``("",)``, the whole request, where no
        digest differs.

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
        # This error holds the secret. Raise outside the block, to keep it out of the new one.
        pass
    raise ConfigurationError("A fingerprint secret must be text that UTF-8 can encode.")
