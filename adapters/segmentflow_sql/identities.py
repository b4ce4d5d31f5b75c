"""What leads to a Profile beside its own email and external id, and what is blocked.

Knows what each row of `segmentflow_identities` means; must never know what reads or writes one.
An alias that is an email has two rows, because an email that gave way leads to its Profile while
events are tracked and is nobody's own for whoever finds people.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from enum import StrEnum
from typing import Final

from segmentflow_core.ports import Alias, IdentityKind, Profile, encode_json

__all__ = ["ALIASES", "Leading", "hashed", "identities_of", "new_secret"]


class Leading(StrEnum):
    """What a row is. Its `value` is the identity, but where it says otherwise."""

    EMAIL = "email"
    """An email that gave way, or an alias: leads to its Profile while events are tracked."""
    EMAIL_ALIAS = "email_alias"
    """An alias: leads to its Profile for whoever finds people."""
    EXTERNAL_ID = "external_id"
    """An alias; leads to its Profile for both."""
    BLOCKED = "blocked"
    """`value` is the hash of an identity of an erased Profile."""
    SECRET = "block_secret"
    """`value` is the key of the Organization's hashes; made when first something is blocked, and
    kept for ever. Where two calls made one each at once, both are."""


ALIASES: Final = {
    IdentityKind.EMAIL: Leading.EMAIL_ALIAS,
    IdentityKind.EXTERNAL_ID: Leading.EXTERNAL_ID,
}
"""By the kind of an alias: by what it is found."""


def identities_of(profile: Profile) -> set[tuple[Leading, str]]:
    """Return what leads to a Profile beside its own email and external id."""
    found = {(Leading.EMAIL, email) for email in profile.former_emails}
    for alias in profile.aliases:
        found.add((ALIASES[alias.kind], alias.value))
        if alias.kind is IdentityKind.EMAIL:
            found.add((Leading.EMAIL, alias.value))
    return found


def new_secret() -> str:
    """Make a key of hashes: 32 bytes at random, as text."""
    return secrets.token_urlsafe(32)


def hashed(secret: str, organization_id: str, identity: Alias) -> str:
    """Return what is kept of a blocked identity: HMAC-SHA-256 over canonical JSON, as text."""
    said = encode_json([organization_id, identity.kind, identity.value]).encode()
    digest = hmac.digest(secret.encode(), said, "sha256")
    return urlsafe_b64encode(digest).decode("ascii").rstrip("=")
