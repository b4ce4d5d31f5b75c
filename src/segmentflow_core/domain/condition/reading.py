"""Reading a state document at a path, redaction in mind.

Knows pointers and the redaction marker. Must never know what will be asked of the value.
"""

from __future__ import annotations

from typing import Any

from segmentflow_core.domain.json_value import MISSING
from segmentflow_core.domain.pointer import Tokens, array_index
from segmentflow_core.domain.redaction import REDACTED

__all__ = ["read"]


def read(document: Any, tokens: Tokens) -> Any:
    """Return the value at `tokens`, `MISSING`, or the marker where it or a parent is redacted.

    `resolve` would say a member of a redacted object is missing; nobody knows that.

    >>> read({"event": {"payment": "[REDACTED]"}}, ("event", "payment", "token"))
    '[REDACTED]'
    """
    value = document
    for token in tokens:
        if type(value) is dict:
            value = value.get(token, MISSING)
        elif type(value) is list:
            index = array_index(token, len(value))
            value = MISSING if index is None else value[index]
        else:
            return REDACTED if type(value) is str and value == REDACTED else MISSING
    return value
