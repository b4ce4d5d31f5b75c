"""Storages with one planted mistake each, and the test of the contract meant to catch it."""

from __future__ import annotations

from broken_storages import entries, keys, locks, races, values
from broken_storages.altered import Broken
from broken_storages.locks import Locked
from broken_storages.races import Unlocked

__all__ = ["BROKEN", "RACES", "Locked", "Unlocked", "entries", "keys", "locks", "races", "values"]


def with_a_mistake(kind):
    for sub in kind.__subclasses__():
        yield from with_a_mistake(sub)
        if "caught_by" in vars(sub):
            yield sub


RACES = [*with_a_mistake(Unlocked)]
BROKEN = [*with_a_mistake(Broken), *RACES, locks.SeenBeforeTheCommit]
