"""What a count is, wherever a host says how many.

See docs/reference/library.md.
"""

from __future__ import annotations

__all__ = ["is_count"]


def is_count(value: object, most: int | None = None) -> bool:
    """Say whether a value counts something: an integer from 1 to `most`, and no boolean.

    >>> [is_count(value, 9) for value in (1, 9, 10, 0, True, 1.0, "1")]
    [True, True, False, False, False, False, False]
    """
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return value >= 1 and (most is None or value <= most)
