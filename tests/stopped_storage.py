"""A store in which somebody presses Ctrl-C."""

from __future__ import annotations

from segmentflow_memory import MemoryStorage


class StoppedStorage(MemoryStorage):
    """Is interrupted, once, when it was asked to write so many times more."""

    left: int | None = None

    def run(self, work, *, reads_only=False):
        if self.left is not None and not reads_only:
            self.left -= 1
            if self.left == -1:
                raise KeyboardInterrupt
        return super().run(work, reads_only=reads_only)
