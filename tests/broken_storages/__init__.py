"""Storages with one planted mistake each, and the test of the contract meant to catch it."""

from __future__ import annotations

from broken_storages import (
    alike,
    cancelling,
    entries,
    finding,
    history,
    keys,
    locks,
    many,
    outages,
    pausing,
    people,
    races,
    removal,
    retention,
    same_ids,
    undoing,
    values,
)
from broken_storages.altered import Broken
from broken_storages.bounds import BY_ONE
from broken_storages.folded import FOLDED
from broken_storages.locks import Locked
from broken_storages.outages import Distant
from broken_storages.races import Unlocked
from broken_storages.stored import CHANGED, STORED

__all__ = [
    "BROKEN",
    "HURRIED",
    "OUTAGES",
    "RACES",
    "Distant",
    "Locked",
    "Unlocked",
    "alike",
    "cancelling",
    "entries",
    "finding",
    "history",
    "keys",
    "locks",
    "many",
    "outages",
    "pausing",
    "people",
    "races",
    "removal",
    "retention",
    "same_ids",
    "undoing",
    "values",
]

# Held here: a class knows its subclasses by weak references alone.
_TABLES = [*STORED, *CHANGED, *FOLDED, *BY_ONE, *people.TABLES, *many.CAPPED, *alike.ALIASES]


def with_a_mistake(kind):
    for sub in kind.__subclasses__():
        yield from with_a_mistake(sub)
        if "caught_by" in vars(sub):
            yield sub


RACES = [*with_a_mistake(Unlocked)]
OUTAGES = [*with_a_mistake(Distant)]
HURRIED = [*with_a_mistake(people.Hurried)]
BROKEN = [*with_a_mistake(Broken), *RACES, *OUTAGES, *HURRIED, locks.SeenBeforeTheCommit]
