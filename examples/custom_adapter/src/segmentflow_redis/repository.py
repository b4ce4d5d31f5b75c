"""What every repository has, and what most of them do.

Knows how a script becomes a method; must never know which keys hold what.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from segmentflow_redis.keys import key
from segmentflow_redis.ledger import Ledger, Range, Script

__all__ = ["Repository", "keys", "newest", "performed", "there"]

P = ParamSpec("P")
R = TypeVar("R", bound="Repository")


class Repository:
    """Holds the transaction's ledger, and who performs its scripts."""

    def __init__(self, ledger: Ledger, perform: Callable[[Script[Any]], Any]) -> None:
        self.ledger = ledger
        self.perform = perform


def performed(script: Callable[Concatenate[R, P], Script[Any]]) -> Callable[Concatenate[R, P], Any]:
    """Make a port's method of a script: it returns the result, or what is awaited for it."""

    @wraps(script)
    def method(self: R, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self.perform(script(self, *args, **kwargs))

    return method


def keys(organization_id: str, kind: str, ids: Sequence[bytes]) -> list[str]:
    """Name what an Organization has of a kind, for each of the members of a sorted set."""
    return [key(organization_id, kind, identifier.decode()) for identifier in ids]


def newest(index: str, limit: int, before: str | None) -> Range:
    """Return a page of ids, newest first."""
    return Range(index, limit, None if before is None else before.encode(), newest_first=True)


def there(values: Sequence[bytes | None]) -> list[bytes]:
    """Leave out what is not there."""
    return [value for value in values if value is not None]
