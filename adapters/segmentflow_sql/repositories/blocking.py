"""Which identities of a batch are blocked, and what a process remembers of the hashes' keys."""

from __future__ import annotations

from typing import Final

from segmentflow_core.ports import Alias, IdentityKind, Intent
from segmentflow_sql.exchange import Rows
from segmentflow_sql.identities import Leading, hashed

__all__ = ["Blocking"]

_MAX_ORGANIZATIONS: Final = 10_000
_NONE_BLOCKED: Final[frozenset[Alias]] = frozenset()

# Every answer has the keys, so one that is not the store's own is found out.
_SECRETS: Final[dict[str, tuple[str, ...]]] = {}


class Blocking:
    """The hashes of a batch's identities, asked for in an Organization.

    Where this process does not know that anything is blocked, it asks without hashes, which
    costs next to nothing; should something be blocked, it asks again.

    Args:
        organization_id: whose identities.
        intent: what the batch is about.

    Attributes:
        hashes: those to ask for, each with its identity.
        found: the identities that are blocked.
    """

    def __init__(self, organization_id: str, intent: Intent) -> None:
        self.organization_id = organization_id
        self.found = _NONE_BLOCKED
        self._intent = intent
        self._secrets = _SECRETS.get(organization_id, ())
        self.hashes = self._hashed() if self._secrets else {}

    def _hashed(self) -> dict[str, Alias]:
        asked = (
            *(Alias(IdentityKind.EMAIL, email) for email in self._intent.emails),
            *(Alias(IdentityKind.EXTERNAL_ID, each) for each in self._intent.external_ids),
        )
        return {
            hashed(secret, self.organization_id, identity): identity
            for secret in self._secrets
            for identity in asked
        }

    def answered(self, rows: Rows) -> bool:
        """Take an answer; say whether to ask again, with the keys that it brought."""
        if not rows:
            return False
        secrets = tuple(sorted(value for kind, value in rows if kind == Leading.SECRET))
        if secrets != self._secrets:
            if len(_SECRETS) >= _MAX_ORGANIZATIONS:
                _SECRETS.clear()
            _SECRETS[self.organization_id] = self._secrets = secrets
            self.hashes = self._hashed()
            return True
        self.found = frozenset(
            self.hashes[value] for kind, value in rows if kind == Leading.BLOCKED
        )
        return False
