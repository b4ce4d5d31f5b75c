"""Who calls, and whether they may. A host with callers of its own writes another `Authenticator`.

Must never tell a caller what exists: every unknown key is refused in the same words.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Protocol

from attrs import frozen

from segmentflow_core import ApiKeys, AsyncApiKeys
from segmentflow_core.api_keys import refuse_write_key
from segmentflow_core.errors import ConfigurationError, Unauthorized
from segmentflow_core.ports import MaybeAwaitable

__all__ = [
    "ApiKeyAuthenticator",
    "AsyncApiKeyAuthenticator",
    "Authenticator",
    "Caller",
    "KnownKeys",
]

_HEADER = "x-api-key"
_SHORTEST = 32


@frozen
class Caller:
    """Who calls.

    Attributes:
        organization_id: whom the caller acts for.
    """

    organization_id: str


class Authenticator(Protocol):
    """Decides who calls. Plain for an `Endpoint`, plain or `async def` for an `AsyncEndpoint`."""

    def authenticate(self, headers: Mapping[str, str], scope: str) -> MaybeAwaitable[Caller]:
        """Return the caller, where it is known and has the scope.

        Args:
            headers: of the request, by lowercase name.
            scope: what it is about to do, such as ``events:write``.

        Raises:
            Unauthorized: the caller is not known.
            InsufficientScope: the caller is known and may not do this.
        """
        ...


@frozen
class ApiKeyAuthenticator:
    """Knows callers by ``x-api-key`` and the API Keys of a store."""

    api_keys: ApiKeys

    def authenticate(self, headers: Mapping[str, str], scope: str) -> Caller:
        """Return the Organization of the key; as `Authenticator.authenticate`."""
        return Caller(self.api_keys.authenticate(headers.get(_HEADER), scope).organization_id)


@frozen
class AsyncApiKeyAuthenticator:
    """As `ApiKeyAuthenticator`, for an `AsyncEndpoint`."""

    api_keys: AsyncApiKeys

    async def authenticate(self, headers: Mapping[str, str], scope: str) -> Caller:
        """Return the Organization of the key; as `Authenticator.authenticate`."""
        found = await self.api_keys.authenticate(headers.get(_HEADER), scope)
        return Caller(found.organization_id)


class KnownKeys:
    """Knows callers by keys that the host was configured with, in place of a store's.

    Each of them may do everything, for one Organization.

    Args:
        secrets: the keys, each of at least 32 characters.
        organization_id: whom their bearers act for.

    Raises:
        ConfigurationError: there is none, or one is too short to be a secret, or a WriteKey.
    """

    def __init__(self, secrets: Iterable[str], *, organization_id: str = "default") -> None:
        self._digests = [hashlib.sha256(_checked(secret)).digest() for secret in secrets]
        self._caller = Caller(organization_id)
        if not self._digests:
            raise ConfigurationError("There must be at least one key.")

    def authenticate(self, headers: Mapping[str, str], scope: str) -> Caller:
        """Return the caller; as `Authenticator.authenticate`."""
        del scope
        given = headers.get(_HEADER, "")
        refuse_write_key(given)
        digest = hashlib.sha256(given.encode("utf-8", "replace")).digest()
        # Every key is compared, so that the time taken does not tell which one is close.
        if not sum(hmac.compare_digest(digest, known) for known in self._digests):
            raise Unauthorized
        return self._caller


def _checked(secret: str) -> bytes:
    try:
        refuse_write_key(secret)
    except Unauthorized as error:
        raise ConfigurationError(error.message) from None
    if len(secret) < _SHORTEST:
        raise ConfigurationError(f"A key must have at least {_SHORTEST} characters.")
    return secret.encode()
