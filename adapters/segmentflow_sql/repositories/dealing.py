"""Dealing a claim among Organizations, where each is asked by a statement of its own.

Pure. Says of shares what `HandOverRepository.claim` promises: each Organization gives its
first, then each its second, and so on, in turn. Must never know what runs a statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heapreplace

__all__ = ["circle", "shares"]


def circle(organization_ids: Iterable[str], turn: int) -> list[str]:
    """Sort Organizations by id, from the one whose turn it is.

    >>> circle(["b", "a", "c"], 4)
    ['b', 'c', 'a']
    """
    ordered = sorted(organization_ids)
    start = turn % len(ordered) if ordered else 0
    return ordered[start:] + ordered[:start]


def shares(given: Mapping[str, int], count: int) -> dict[str, int]:
    """Deal a number of Enrollments: always the next to who has given least, then in turn.

    Args:
        given: what each Organization has given so far, in the order of their turns.
        count: how many to deal.

    Returns:
        How many more each gives; those that give none are left out.

    >>> shares({"b": 1, "c": 0, "a": 0}, 4)
    {'b': 1, 'c': 2, 'a': 1}
    """
    heap = [(gave, place, name) for place, (name, gave) in enumerate(given.items())]
    heapify(heap)
    for _ in range(count if heap else 0):
        gave, place, name = heap[0]
        heapreplace(heap, (gave + 1, place, name))
    then = {name: gave for gave, _, name in heap}
    return {name: then[name] - gave for name, gave in given.items() if then[name] > gave}
