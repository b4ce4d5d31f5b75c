"""API Keys: what a server-side credential looks like, and what is kept of it.

A key is ``sk_live_`` or ``sk_test_`` and 256 random bits. Only a SHA-256 digest of the key
is kept: 256 random bits cannot be guessed from their digest, so no slow hash is needed. Must
never keep or show the key, nor draw random numbers: the caller passes the random bytes in.

See docs/reference/rules/api-keys.md.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve, field, frozen

from segmentflow_core.errors import InvalidRequest, Unauthorized, Violation
from segmentflow_core.tracebacks import forgets_locals

__all__ = [
    "SCOPES",
    "SECRET_BYTES",
    "ApiKey",
    "CreatedApiKey",
    "check_key_request",
    "digest_secret",
    "find_match",
    "lookup_of",
    "make_secret",
    "needs_note",
    "refuse_write_key",
]

SCOPES: Final = {
    "events:write": "Track events.",
    "events:read": "Read events, why Journeys did what they did, and what became of it.",
    "profiles:read": "Find and read Profiles.",
    "profiles:erase": "Erase Profiles.",
}
"""Every scope a key may have, with what it allows."""

SECRET_BYTES: Final = 32
USE_PRECISION: Final = timedelta(hours=1)
"""How precise `last_used_at` is: each key is written at most once in this time."""

_SECRET: Final = re.compile(r"sk_(?:live|test)_[A-Za-z0-9_-]{43}")
_WRITE_KEY: Final = "wk_"
_WRITE_KEY_MESSAGE: Final = (
    "A WriteKey (wk_…) belongs to the Ingest API. This API needs an API Key (sk_…)."
)
_MAX_LABEL: Final = 255
_LOOKUP_DIGITS: Final = 16


@frozen
class ApiKey:
    """What is kept of one API Key.

    Attributes:
        key_id: UUIDv7; names the key in lists, and reveals nothing of its secret.
        organization_id: the Organization its bearer acts for.
        digest: SHA-256 of the key.
        scopes: what its bearer may do, sorted.
        label: a name for people, or None.
        test: whether it is an ``sk_test_`` key.
        created_at: when it was made.
        last_used_at: when it was last used, to the hour; None before its first use.
        revoked_at: when it was revoked; None while it works.
    """

    key_id: str
    organization_id: str
    digest: bytes = field(repr=False)
    scopes: tuple[str, ...]
    label: str | None
    test: bool
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def lookup(self) -> str:
        """Return the first digits of the digest, by which a store finds the key."""
        return lookup_of(self.digest)

    def revoked(self, now: datetime) -> ApiKey:
        """Return the key as revoked from `now` on, or from when it was first revoked."""
        return self if self.revoked_at is not None else evolve(self, revoked_at=now)

    def used(self, now: datetime) -> ApiKey:
        """Return the key as last used at `now`, unless a later use is on record."""
        known = self.last_used_at
        return self if known is not None and known >= now else evolve(self, last_used_at=now)


@frozen
class CreatedApiKey:
    """A new API Key and its secret, which is shown only this once.

    Attributes:
        secret: what its bearer sends as ``x-api-key``; it cannot be read again.
        api_key: what is kept of it.
    """

    secret: str = field(repr=False)
    api_key: ApiKey


def check_key_request(scopes: Sequence[str], label: str | None) -> tuple[str, ...]:
    """Check the scopes and the label of a new key; return the scopes, sorted, each once.

    Raises:
        InvalidRequest: a rule is broken; `violations` lists every fault.
    """
    violations = [
        Violation(f"/scopes/{index}", f"must be one of {', '.join(SCOPES)}")
        for index, scope in enumerate(scopes)
        if scope not in SCOPES
    ]
    if not scopes:
        violations.append(Violation("/scopes", "must name at least one scope"))
    if label is not None and not (0 < len(label) <= _MAX_LABEL and label.isprintable()):
        message = f"must be 1 to {_MAX_LABEL} printable characters"
        violations.append(Violation("/label", message))
    if violations:
        raise InvalidRequest.from_violations(violations)
    return tuple(sorted(set(scopes)))


def make_secret(entropy: bytes, *, test: bool) -> str:
    """Write 32 random bytes as a key.

    >>> make_secret(bytes(32), test=True)
    'sk_test_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
    """
    assert len(entropy) == SECRET_BYTES
    return f"sk_{'test' if test else 'live'}_" + urlsafe_b64encode(entropy).decode().rstrip("=")


def digest_secret(secret: str) -> bytes | None:
    """Return the digest of a key, or None for text that cannot be one."""
    if _SECRET.fullmatch(secret) is None:
        return None
    return hashlib.sha256(secret.encode()).digest()


@forgets_locals
def refuse_write_key(secret: str) -> None:
    """Refuse the public credential of the Ingest API in words that name it; all else passes.

    Raises:
        Unauthorized: it is a WriteKey.
    """
    if secret.startswith(_WRITE_KEY):
        raise Unauthorized(_WRITE_KEY_MESSAGE)


def lookup_of(digest: bytes) -> str:
    """Return the first digits of a digest, by which a store finds a key.

    >>> lookup_of(bytes(32))
    '0000000000000000'
    """
    return digest.hex()[:_LOOKUP_DIGITS]


def find_match(digest: bytes, candidates: Sequence[ApiKey]) -> ApiKey | None:
    """Return the working key that has this digest, or None; each is compared in constant time."""
    found: ApiKey | None = None
    for candidate in candidates:
        if hmac.compare_digest(candidate.digest, digest) and candidate.revoked_at is None:
            found = candidate
    return found


def needs_note(last_used_at: datetime | None, now: datetime) -> bool:
    """Say whether the recorded last use is old enough to be written again."""
    return last_used_at is None or now - last_used_at >= USE_PRECISION
