"""The storage in memory, with calls of its ports altered.

A method named ``<repository>_<method>`` is given the real call and its arguments.
"""

from __future__ import annotations

from typing import ClassVar

from segmentflow_memory import MemoryStorage


class Altered:
    """A transaction, or a part of one, some of whose calls go through a storage's own methods."""

    def __init__(self, inner, storage, name=""):
        self._inner = inner
        self._storage = storage
        self._name = name

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return Altered(found, self._storage, f"{name}_")
        altered = getattr(self._storage, f"{self._name}{name}", None)
        return found if altered is None else lambda *args: altered(found, *args)


class Broken(MemoryStorage):
    """The storage in memory, altered."""

    caught_by: ClassVar[str]

    def run(self, work):
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
