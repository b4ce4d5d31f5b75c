"""Three-valued truth (Kleene): True, False, and None for unknown.

Knows how truths combine. Must never know what they are the truth of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

__all__ = ["Truth", "all_of", "any_of", "negation"]

Truth: TypeAlias = "bool | None"
"""True, False, or None: unknown."""


def negation(truth: Truth) -> Truth:
    """Return Kleene's *not*: unknown stays unknown."""
    return None if truth is None else not truth


def all_of(truths: Iterable[Truth]) -> Truth:
    """Return Kleene's *and*: false wins over unknown; of nothing, true."""
    result: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            result = None
    return result


def any_of(truths: Iterable[Truth]) -> Truth:
    """Return Kleene's *or*: true wins over unknown; of nothing, false."""
    result: Truth = False
    for truth in truths:
        if truth:
            return True
        if truth is None:
            result = None
    return result
