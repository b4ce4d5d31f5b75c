"""Hypothesis strategies for the values a request may hold."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from segmentflow_core.domain.admission import MAX_INTEGER, MIN_INTEGER

__all__ = ["json_objects", "json_values"]


def _texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


def json_values() -> st.SearchStrategy[Any]:
    """Return a strategy for every kind of JSON value a request may hold."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(MIN_INTEGER, MAX_INTEGER)
        | st.floats(allow_nan=False, allow_infinity=False)
        | _texts()
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts(), inner, max_size=4),
        max_leaves=12,
    )


def json_objects() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for JSON objects, such as an event's data."""
    return st.dictionaries(_texts(), json_values(), max_size=5)
