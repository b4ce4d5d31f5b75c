"""Key claims to rows and back. Knows columns; must never change what a claim says.

Every event has a claim, so a row says shortly what nearly all of them say.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from segmentflow_core.ports import (
    Fingerprint,
    KeyClaim,
    Receipt,
    encode_json,
    from_microseconds,
)
from segmentflow_sql.codecs import Codec
from segmentflow_sql.rows import Row

__all__ = ["claim_of_taken_key", "key_claim_from", "key_claim_row"]

_USUAL_SCHEME: Final = "hmac-sha256/jcs/1"
"""NULL stands for it, whatever scheme later versions may have."""

_SHORT: Final = {
    "/profile/email": "e",
    "/profile/externalId": "x",
    "/occurredAt": "t",
    "/redactedDataPaths": "r",
}
"""What stands for a pointer. Pointers are empty or begin with a slash: none is taken for these."""

_LONG: Final = {short: pointer for pointer, short in _SHORT.items()}
_PROPERTY: Final = "/profile/properties/"
_SHORT_PROPERTY: Final = "p/"


def key_claim_row(codec: Codec, organization_id: str, claim: KeyClaim) -> Row:
    """Return the columns of a key claim."""
    receipt, fingerprint = claim.receipt, claim.fingerprint
    return (
        organization_id,
        claim.key_digest,
        codec.maybe(claim.expires_at),
        codec.instant(claim.taken_at),
        receipt.event_id,
        receipt.profile_id,
        receipt.matched_journeys,
        receipt.enrolled_journeys,
        *_fingerprint_row(fingerprint),
        _paths_text(claim.paths),
    )


def _fingerprint_row(fingerprint: Fingerprint | None) -> Row:
    if fingerprint is None:
        return (None, None, None)
    scheme = None if fingerprint.scheme == _USUAL_SCHEME else fingerprint.scheme
    digest = b64encode(fingerprint.digest).decode("ascii").rstrip("=")
    return (scheme, fingerprint.key_id, digest)


def _paths_text(paths: Mapping[str, str]) -> str:
    """Write digests by path, as JSON."""
    return encode_json(
        {_SHORT.get(pointer) or _shortened(pointer): digest for pointer, digest in paths.items()}
    )


def _shortened(pointer: str) -> str:
    if pointer.startswith(_PROPERTY):
        return _SHORT_PROPERTY + pointer.removeprefix(_PROPERTY)
    return pointer


def _written_out(name: str) -> str:
    if name.startswith(_SHORT_PROPERTY):
        return _PROPERTY + name.removeprefix(_SHORT_PROPERTY)
    return _LONG.get(name, name)


def claim_of_taken_key(row: Row) -> Row:
    """Return, of a key claim's row, what its key did not say yet, then the key itself."""
    organization_id, key_digest, _, *claim = row
    return (*claim, organization_id, key_digest)


def key_claim_from(row: Sequence[Any]) -> KeyClaim:
    """Read a claim from its columns, in table order.

    The pointers of one that was migrated are written out.
    """
    _, key_digest, expires_at, taken_at, event_id, profile_id, matched, enrolled, *rest = row
    scheme, key_id, digest, paths = rest
    fingerprint = None
    if digest is not None:
        fingerprint = Fingerprint(scheme or _USUAL_SCHEME, key_id, b64decode(f"{digest}="))
    return KeyClaim(
        key_digest,
        fingerprint,
        {_written_out(name): each for name, each in json.loads(paths).items()},
        Receipt(event_id, profile_id, matched, enrolled, matched - enrolled),
        from_microseconds(taken_at),
        None if expires_at is None else from_microseconds(expires_at),
    )
