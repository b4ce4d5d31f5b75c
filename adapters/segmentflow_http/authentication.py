"""Who calls, and whether they may. A host with callers of its own writes another `Authenticator`.

Must never tell a caller which keys exist: every unknown key is refused in the same words.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from attrs import field, frozen

from segmentflow_core import ApiKey, ApiKeys, AsyncApiKeys
from segmentflow_core.api_keys import refuse_write_key
from segmentflow_core.colour import MaybeAwaitable, drive, settle
from segmentflow_core.errors import ConfigurationError, InsufficientScope, Unauthorized
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_http.colours import refuse_kind
from segmentflow_http.recognised import LONGEST, RecognisedKeys

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
        organization_id: the Organization that the caller acts for.
        by: who that is, for the record of what is done to people; no personal data.
        key_id: the id of the caller's API Key, for the access log.
    """

    organization_id: str
    by: str | None = None
    key_id: str | None = None


class Authenticator(Protocol):
    """Decides who calls. Plain for an `Endpoint`, plain or `async def` for an `AsyncEndpoint`."""

    def authenticate(self, headers: Mapping[str, str], scope: str) -> MaybeAwaitable[Caller]:
        """Return the caller, if it is known and has the scope.

        Args:
            headers: the request's headers, by lowercase name.
            scope: what the caller is about to do, such as ``events:write``.

        Raises:
            Unauthorized: the caller is not known.
            InsufficientScope: the caller is known and may not do this.
        """
        ...


def _a_time(_: object, __: object, value: object) -> None:
    fits = isinstance(value, (int, float)) and 0 <= value <= LONGEST
    if not fits or isinstance(value, bool):
        raise ConfigurationError(f"remember must be a number of seconds from 0 to {LONGEST:g}.")


@frozen
class ApiKeyAuthenticator:
    """Knows callers by ``x-api-key`` and the API Keys of a store.

    Attributes:
        api_keys: the keys.
        remember: for how many seconds, 5 at most, a key that was found need not be looked for
            again. A key that is revoked is accepted for that long. 0 asks the store each time.
        clock: tells the seconds that have passed.

    Raises:
        ConfigurationError: `AsyncApiKeys` need an `AsyncApiKeyAuthenticator`; or `remember` is
            not from 0 to 5.
    """

    api_keys: ApiKeys
    remember: float = field(default=0.0, kw_only=True, validator=_a_time)
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    _recognised: RecognisedKeys[Caller] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        message = "AsyncApiKeys need an AsyncApiKeyAuthenticator."
        refuse_kind(self.api_keys, AsyncApiKeys, message)
        object.__setattr__(self, "_recognised", RecognisedKeys(self.remember, self.clock))

    @forgets_locals
    def authenticate(self, headers: Mapping[str, str], scope: str) -> Caller:
        """Return the Organization of the key; as `Authenticator.authenticate`."""
        return drive(_caller(self.api_keys, self._recognised, headers, scope))


@frozen
class AsyncApiKeyAuthenticator:
    """As `ApiKeyAuthenticator`, for an `AsyncEndpoint`.

    Raises:
        ConfigurationError: `ApiKeys` need an `ApiKeyAuthenticator`; or `remember` is not from 0
            to 5.
    """

    api_keys: AsyncApiKeys
    remember: float = field(default=0.0, kw_only=True, validator=_a_time)
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    _recognised: RecognisedKeys[Caller] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        refuse_kind(self.api_keys, ApiKeys, "ApiKeys need an ApiKeyAuthenticator.")
        object.__setattr__(self, "_recognised", RecognisedKeys(self.remember, self.clock))

    @forgets_locals
    async def authenticate(self, headers: Mapping[str, str], scope: str) -> Caller:
        """Return the Organization of the key; as `Authenticator.authenticate`."""
        return await _caller(self.api_keys, self._recognised, headers, scope)


async def _caller(
    api_keys: ApiKeys | AsyncApiKeys,
    recognised: RecognisedKeys[Caller],
    headers: Mapping[str, str],
    scope: str,
) -> Caller:
    secret = headers.get(_HEADER)

    async def find() -> Caller:
        found: ApiKey = await settle(api_keys.authenticate(secret, scope))
        return Caller(found.organization_id, f"API Key {found.key_id}", found.key_id)

    return await (find() if secret is None else recognised.get(secret, scope, find))


class KnownKeys:
    """Knows callers by keys that the host was configured with, instead of a store's API Keys.

    Each key may do the same, for one Organization.

    Args:
        secrets: the keys, each of at least 32 characters.
        organization_id: the Organization that their bearers act for.
        scopes: what they may do: track, unless told otherwise.

    Raises:
        ConfigurationError: there is no key, or one is too short to be a secret or is a WriteKey.
    """

    @forgets_locals
    def __init__(
        self,
        secrets: Iterable[str],
        *,
        organization_id: str = "default",
        scopes: Iterable[str] = ("events:write",),
    ) -> None:
        if isinstance(secrets, str):
            raise ConfigurationError("secrets must be a list of keys.")
        self._digests = [hashlib.sha256(_checked(secret)).digest() for secret in secrets]
        self._caller = Caller(organization_id)
        if isinstance(scopes, str):
            raise ConfigurationError("scopes must be a list of scopes.")
        self._scopes = frozenset(scopes)
        if not self._digests:
            raise ConfigurationError("There must be at least one key.")

    @forgets_locals
    def authenticate(self, headers: Mapping[str, str], scope: str) -> Caller:
        """Return the caller; as `Authenticator.authenticate`."""
        given = headers.get(_HEADER, "")
        refuse_write_key(given)
        digest = hashlib.sha256(given.encode("utf-8", "replace")).digest()
        # Every key is compared, so that the time taken does not show which one is close.
        if not sum(hmac.compare_digest(digest, known) for known in self._digests):
            raise Unauthorized
        if scope not in self._scopes:
            raise InsufficientScope(details={"required": [scope]})
        return self._caller


def _checked(secret: object) -> bytes:
    if not isinstance(secret, str):
        raise ConfigurationError("A key must be text.")
    try:
        refuse_write_key(secret)
    except Unauthorized as error:
        raise ConfigurationError(error.message) from None
    if len(secret) < _SHORTEST:
        raise ConfigurationError(f"A key must have at least {_SHORTEST} characters.")
    with suppress(UnicodeEncodeError):
        return secret.encode()
    # Raised outside the handler: the encoder's error holds the key.
    raise ConfigurationError("A key must be text that UTF-8 can encode.")
