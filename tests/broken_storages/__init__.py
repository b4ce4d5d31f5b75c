"""Storages with one planted mistake each, and the test of the contract meant to catch it."""

from __future__ import annotations

from broken_storages import entries, keys, locks, outages, races, values
from broken_storages.altered import Broken
from broken_storages.locks import Locked
from broken_storages.outages import Distant
from broken_storages.races import Unlocked

__all__ = [
    "BROKEN",
    "OUTAGES",
    "RACES",
    "Distant",
    "Locked",
    "Unlocked",
    "entries",
    "keys",
    "locks",
    "outages",
    "races",
    "values",
]


def with_a_mistake(kind):
    for sub in kind.__subclasses__():
        yield from with_a_mistake(sub)
        if "caught_by" in vars(sub):
            yield sub


RACES = [*with_a_mistake(Unlocked)]
OUTAGES = [*with_a_mistake(Distant)]
BROKEN = [*with_a_mistake(Broken), *RACES, *OUTAGES, locks.SeenBeforeTheCommit]
