"""A lock that says whether somebody waits for it."""

from __future__ import annotations

import threading


class WatchedLock:
    def __init__(self):
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0

    @property
    def is_waited_for(self):
        return self._waiting > 0

    def acquire(self, timeout):
        if self._lock.acquire(blocking=False):
            return True
        self._count(1)
        try:
            return self._lock.acquire(timeout=timeout)
        finally:
            self._count(-1)

    def release(self):
        self._lock.release()

    def _count(self, more):
        with self._counting:
            self._waiting += more
