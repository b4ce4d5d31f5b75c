"""What a request is known by in answers and logs: its id, and the trace that it is part of.

Takes both from headers, if they have the form that they must have. A caller chooses them, and so
they are shown: they are the only parts of a request that a log may hold.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from random import Random
from typing import Any, Final

from segmentflow_http.messages import AnyHeaders, ReadHeaders

__all__ = ["REQUEST_ID", "new_request_id", "request_id_of", "traceparent_of"]

REQUEST_ID: Final = "x-request-id"

_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACE: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
"""https://www.w3.org/TR/trace-context/#traceparent-header"""


_random: Final = Random()  # noqa: S311 - no secret, and no call of the system at each request
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def request_id_of(headers: AnyHeaders) -> str:
    """Return `x-request-id` as sent; a new id where there is none that can be shown."""
    given = _given(headers, REQUEST_ID)
    if given is not None and _ID.fullmatch(given):
        return given
    return new_request_id()


def new_request_id() -> str:
    """Return an id for a request that has none."""
    return f"{_random.getrandbits(128):032x}"


def traceparent_of(headers: AnyHeaders) -> str | None:
    """Return the trace context as sent (W3C), or None."""
    given = _given(headers, "traceparent")
    return given if given is not None and _TRACE.fullmatch(given) else None


def _given(headers: AnyHeaders, name: str) -> str | None:
    """Return a header that is given once; otherwise None, or what is no such header."""
    given: Any = headers
    if type(given) is ReadHeaders:
        return given.get(name)
    length, found = len(name), None
    for raw_name, value in given.items() if isinstance(given, Mapping) else given:
        if len(raw_name) == length and _text(raw_name).lower() == name:
            if found is not None:
                return None
            found = _text(value)
    return found


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
