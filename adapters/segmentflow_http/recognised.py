"""API Keys that the store knew a moment ago, so that not every request asks it again.

Keeps a key as its SHA-256 alone. Keeps no key that was refused: a flood of unknown ones fills
nothing, and a key that was made a moment ago works at once. Knows no store and no event loop.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeAlias, TypeVar

from attrs import define, field

__all__ = ["LONGEST", "RecognisedKeys"]

LONGEST: Final = 5.0
"""For how many seconds a key may be known without being asked for again."""

_MOST: Final = 1024

_Name: TypeAlias = tuple[bytes, str]

T = TypeVar("T")


@define
class _Found(Generic[T]):
    """What was found, and when the store was asked."""

    value: T
    asked: float
    renewing: bool = False


@define
class RecognisedKeys(Generic[T]):
    """What belongs to each key and scope, for `seconds` from when the store was asked.

    From half of that time on, the next caller asks again, and the others go on meanwhile: they do
    not all ask at the same moment.

    Attributes:
        seconds: for how long; 0 keeps nothing.
        clock: tells the seconds that have passed.
        most: how many are kept; the one that was asked for longest ago makes room.
    """

    seconds: float
    clock: Callable[[], float]
    most: int = _MOST
    _found: dict[_Name, _Found[T]] = field(factory=dict[_Name, _Found[T]], init=False)
    _guard: threading.Lock = field(factory=threading.Lock, init=False)

    async def get(self, secret: str, scope: str, find: Callable[[], Awaitable[T]]) -> T:
        """Return what was found for a key, or find it.

        Args:
            secret: the key as sent.
            scope: what its bearer is about to do.
            find: asks the store; what it raises is raised here, and the key is kept no more.
        """
        if not self.seconds:
            return await find()
        name = (hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest(), scope)
        now = self.clock()
        known = self._known(name, now)
        if known is not None:
            return known.value
        try:
            value = await find()
        except BaseException:
            with self._guard:
                self._found.pop(name, None)
            raise
        self._keep(name, _Found(value, now))
        return value

    def _known(self, name: _Name, now: float) -> _Found[T] | None:
        """Return what is known, or None where this caller is to ask."""
        with self._guard:
            found = self._found.get(name)
            if found is None or now - found.asked >= self.seconds:
                return None
            if found.renewing or 2 * (now - found.asked) < self.seconds:
                return found
            found.renewing = True
            return None

    def _keep(self, name: _Name, found: _Found[T]) -> None:
        with self._guard:
            before = self._found.pop(name, found)
            self._found[name] = max(before, found, key=lambda each: each.asked)
            while len(self._found) > self.most:
                del self._found[next(iter(self._found))]
