"""Idempotency keys as they are stored: as hashes, since a key often names an order or a person.

Must never keep a key, nor show one.

See docs/reference/rules/idempotency.md.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
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
    parts = [part.encode() for part in (organization_id, operation, key)]
    framed = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
    return urlsafe_b64encode(sha256(framed).digest()).rstrip(b"=").decode("ascii")
