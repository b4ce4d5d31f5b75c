"""Idempotency keys as they are stored: as hashes, since a key often names an order or a person.

Must never keep a key, nor show one.

See docs/reference/rules/idempotency.md.
"""

from __future__ import annotations

from binascii import b2a_base64
from functools import lru_cache
from hashlib import sha256
from typing import Final

__all__ = ["TRACK", "key_digest"]

TRACK: Final = "events.track"
"""The operation that takes the keys: part of what an idempotency key is unique by."""


def key_digest(organization_id: str, key: str, operation: str = TRACK) -> str:
    """Hash an idempotency key together with all that it is unique by.

    SHA-256 over the three parts in UTF-8, each behind its length in four bytes, so that two
    keys have one digest only if all three parts are equal.

    Args:
        organization_id: whose key it is.
        key: the key, as the caller sent it.
        operation: what the key is used for.

    Returns:
        43 characters, base64url without padding (RFC 4648, section 5).

    >>> key_digest("default", "order.created:ord_9421")
    '...'
    """
    framed = _scope(organization_id, operation) + _framed(key)
    # As `urlsafe_b64encode`, which takes twice as long.
    encoded = b2a_base64(sha256(framed).digest(), newline=False)
    return encoded.translate(_URL_SAFE)[:_LENGTH].decode("ascii")


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_LENGTH: Final = 43
"""32 bytes as base64; the one character of padding is cut off."""


def _framed(part: str) -> bytes:
    encoded = part.encode()
    return len(encoded).to_bytes(4, "big") + encoded


@lru_cache(maxsize=256)
def _scope(organization_id: str, operation: str) -> bytes:
    return _framed(organization_id) + _framed(operation)
