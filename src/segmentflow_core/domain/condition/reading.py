"""Reading a state document at a path, where parts of it may be redacted.

Knows pointers and the redaction marker. Must never know what the value is read for.
"""

from __future__ import annotations

from typing import Any

from segmentflow_core.domain.condition.values import ARRAY, OBJECT
from segmentflow_core.domain.json_value import MISSING
from segmentflow_core.domain.pointer import Tokens, array_index
from segmentflow_core.domain.redaction import REDACTED

__all__ = ["read"]


def read(document: Any, tokens: Tokens) -> Any:
    """Return the value at `tokens`, `MISSING`, or the marker where it or a parent is redacted.

    `resolve` would call a member of a redacted object missing, although it may have existed.

    >>> read({"event": {"payment": "[REDACTED]"}}, ("event", "payment", "token"))
    '[REDACTED]'
    """
    value = document
    for token in tokens:
        value = _read_token(value, token)
    return value


def _read_token(value: Any, token: str) -> Any:
    if type(value) is OBJECT:
        return value.get(token, MISSING)
    if type(value) is ARRAY:
        index = array_index(token, len(value))
        return MISSING if index is None else value[index]
    return REDACTED if type(value) is str and value == REDACTED else MISSING
