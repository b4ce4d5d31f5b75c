"""Keyed fingerprints: is this retry the request the key was first used with.

Knows a request as one JSON document, and the secrets that key every hash of it. Must never
reveal a secret or a value: not in a repr, not in an error.

See docs/reference/rules/idempotency.md.
"""

from __future__ import annotations

import hmac
from functools import cached_property
from typing import Any, Final, TypeAlias, cast

from attrs import Attribute, define, field, frozen

from segmentflow_core.domain.canonical import canonical_json
from segmentflow_core.domain.json_value import JsonObject
from segmentflow_core.errors import ConfigurationError, FingerprintKeyUnknown
from segmentflow_core.tracebacks import forgets_locals

__all__ = [
    "MIN_SECRET_BYTES",
    "SCHEME",
    "Fingerprint",
    "FingerprintKey",
    "FingerprintKeySource",
    "FingerprintKeys",
    "compute_fingerprint",
    "fingerprint_canonical",
    "same_request",
]

SCHEME: Final = "hmac-sha256/jcs/1"
"""The name of how a fingerprint is made: hash, canonical form, version of the envelope."""

MIN_SECRET_BYTES: Final = 32

_KEY_ID_BYTES: Final = 8

# No canonical envelope starts like these labels, so one secret serves all three purposes.
_KEY_ID_LABEL: Final = b"segmentflow/fingerprint/key-id/1"
_PATHS_LABEL: Final = b"segmentflow/fingerprint/paths/1"


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


@forgets_locals
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
    @forgets_locals
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
    def _start(self) -> hmac.HMAC:
        """What every HMAC of this key goes on from: cheaper than a new one."""
        return hmac.new(self.secret, digestmod="sha256")

    def sign(self, message: bytes) -> bytes:
        """Return HMAC-SHA-256 of a message."""
        started = self._start.copy()
        started.update(message)
        return started.digest()

    @cached_property
    def paths_key(self) -> bytes:
        """The key of the digests of single paths, derived once; as secret as `secret`."""
        return self.sign(_PATHS_LABEL)


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


@forgets_locals
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
    @forgets_locals
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


@define
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
    return Fingerprint(SCHEME, key.key_id, key.sign(envelope))


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
