"""The log of the service's own failures: one line for each, with the cause's code.

Must never show a message or a value: an error may quote the request, or what a store said of it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import define, field

from segmentflow_core import SegmentflowError
from segmentflow_core.errors import InternalError

__all__ = ["FailureLog"]

_LOG: Final = logging.getLogger("segmentflow.http")
_CODE: Final = re.compile(r"[A-Z0-9_]{1,64}")
"""Codes of databases, such as SQLITE_FULL and 57P01: nothing that could be a value."""

_KINDS: Final = 100

Kind: TypeAlias = tuple[str, str, str]


@define
class _Lately:
    """How many failures of a kind were logged in the second that began then, and were not."""

    began: float
    logged: int = 0
    left_out: int = 0


@define
class FailureLog:
    """Logs failures, of each kind at most `most` lines a second; the next line counts the others.

    A store that is out of reach fails thousands of requests a second, all for one reason.

    Attributes:
        clock: tells the seconds that have passed.
        most: how many lines a second.
    """

    clock: Callable[[], float] = time.monotonic
    most: int = 5
    _lately: dict[Kind, _Lately] = field(factory=dict[Kind, _Lately], init=False)
    _guard: threading.Lock = field(factory=threading.Lock, init=False)

    def failed(self, error: Exception, request_id: str) -> None:
        """Log a failure: its code, its type, the database's code, and where it happened."""
        kind = _kind_of(error)
        left_out = self._left_out(kind)
        if left_out is None:
            return
        code, name, cause = kind
        frames = traceback.extract_tb(error.__traceback__)
        where = " < ".join(f"{each.name} ({each.filename}:{each.lineno})" for each in frames[::-1])
        _LOG.error(
            "%s: %s%s at %s; request %s%s",
            code,
            name,
            f" ({cause})" if cause else "",
            where or "-",
            request_id,
            f"; {left_out} more like it were not logged" if left_out else "",
        )

    def _left_out(self, kind: Kind) -> int | None:
        """Return how many like it were left out since the last line, or None to leave it out."""
        with self._guard:
            now = self.clock()
            if len(self._lately) >= _KINDS and kind not in self._lately:
                self._lately.clear()
            lately = self._lately.setdefault(kind, _Lately(now))
            if now - lately.began >= 1:
                lately.began, lately.logged = now, 0
            if lately.logged >= self.most:
                lately.left_out += 1
                return None
            lately.logged += 1
            left_out, lately.left_out = lately.left_out, 0
            return left_out


def _kind_of(error: Exception) -> Kind:
    if not isinstance(error, SegmentflowError):
        return InternalError.code, type(error).__name__, ""
    cause = error.details.get("error")
    shown = isinstance(cause, str) and _CODE.fullmatch(cause) is not None
    return error.code, type(error).__name__, str(cause) if shown else ""
