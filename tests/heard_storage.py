"""A storage that notes which calls of its ports were made."""

from __future__ import annotations

from typing import ClassVar

from segmentflow_memory import MemoryStorage


class Listening:
    """Notes which methods of which repositories are called."""

    def __init__(self, inner, heard, name=""):
        self._inner, self._heard, self._name = inner, heard, name

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return Listening(found, self._heard, name)
        self._heard.add((self._name, name))
        return found


class Heard(MemoryStorage):
    """The storage in memory; `heard` has the calls of all that were made, by repository."""

    heard: ClassVar[set[tuple[str, str]]] = set()

    def run(self, work, **how):
        return super().run(lambda transaction: work(Listening(transaction, self.heard)), **how)
