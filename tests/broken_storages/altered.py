"""The storage in memory, with calls of its ports altered.

A method named ``<repository>_<method>`` is given the real call and its arguments.
"""

from __future__ import annotations

from typing import ClassVar

from segmentflow_core.colour import drive
from segmentflow_core.usecases.stepwise import Stepwise
from segmentflow_memory import MemoryStorage


class Quick:
    """The hand-over of a transaction, with the calls that a store may do by itself as well."""

    def __init__(self, transaction, hand_over):
        self._hand_over = hand_over
        self._stepwise = Stepwise(hand_over, transaction.events)

    def __getattr__(self, name):
        if name not in ("claim", "complete", "release", "extend", "revive"):
            return getattr(self._hand_over, name)
        call = getattr(self._stepwise, name)
        return lambda *args: drive(call(*args))


class Altered:
    """A transaction, or a part of one, some of whose calls go through a storage's own methods."""

    def __init__(self, inner, storage, name=""):
        self._inner = inner
        self._storage = storage
        self._name = name

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if name == "hand_over":
            found = Quick(self._inner, found)
        if not callable(found):
            return Altered(found, self._storage, f"{name}_")
        altered = getattr(self._storage, f"{self._name}{name}", None)
        return found if altered is None else lambda *args: altered(found, *args)


class Broken(MemoryStorage):
    """The storage in memory, altered."""

    caught_by: ClassVar[str]

    def run(self, work, **how):
        return super().run(lambda transaction: work(Altered(transaction, self)))


def planted(name, caught_by, attributes=None, **methods):
    """Make a storage with one mistake.

    Args:
        name: of the class.
        caught_by: the test of the contract meant for it, with its parameters where it has any.
        attributes: other members of the class.
        methods: altered calls; each is given the storage, the real call and its arguments.
    """
    return type(name, (Broken,), {"caught_by": caught_by, **(attributes or {}), **methods})
