"""What the core needs to keep API Keys.

An adapter whose hosts authenticate callers themselves can do without: its transactions
then have no `api_keys`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.api_key import ApiKey

__all__ = ["ApiKey", "ApiKeyRepository", "KeepsApiKeys"]


class ApiKeyRepository(Protocol):
    """The API Keys of every Organization."""

    def create(self, api_key: ApiKey, /) -> MaybeAwaitable[None]:
        """Write a new key.

        A second run of the same work may find it there already, when the commit succeeded but
        its answer was lost; it is then left as it is.
        """
        ...

    def find(self, lookup: str, /) -> MaybeAwaitable[Sequence[ApiKey]]:
        """Return the keys of whatever Organization whose `lookup` this is, revoked ones too.

        The one read without an Organization: the caller asks whose key it is.
        """
        ...

    def list(self, organization_id: str, /) -> MaybeAwaitable[Sequence[ApiKey]]:
        """Return the Organization's keys, revoked ones too, in any order."""
        ...

    def lock(self, organization_id: str, key_id: str, /) -> MaybeAwaitable[ApiKey | None]:
        """Return a key, locked until the transaction ends; None where there is none of that id."""
        ...

    def save(self, api_key: ApiKey, /) -> MaybeAwaitable[None]:
        """Store when a key that this transaction has locked was last used, and revoked."""
        ...


class KeepsApiKeys(Protocol):
    """A transaction of an adapter that keeps API Keys."""

    @property
    def api_keys(self) -> ApiKeyRepository:
        """API Keys."""
        ...
