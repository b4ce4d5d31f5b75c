"""``python -m bench.trunk``: the calls from `Tracker.track` to the first SQL on SQLite, in order.

Counts the frames of ours that stand on the stack when the driver is first called. Each one costs
every event, and is one more to read for everybody who follows an event through the code.
"""

from __future__ import annotations

import sqlite3
import tempfile
from inspect import currentframe
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import create_engine

from segmentflow_core import Tracker
from segmentflow_core.testing import DOCUMENTED_KEY, DOCUMENTED_REQUEST, FINGERPRINT_SECRET
from segmentflow_sql import SqlStorage

_OURS = ("segmentflow_core", "segmentflow_sql")
_first: list[str] = []


def _ours(frame: FrameType | None) -> list[str]:
    """List our frames from the outermost in: the module and what is called in it."""
    found: list[str] = []
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_OURS):
            found.append(f"{module}: {frame.f_code.co_qualname}")
        frame = frame.f_back
    return found[::-1]


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, *arguments: Any) -> Any:
        if not _first:
            _first.extend(_ours(currentframe()))
        return super().execute(sql, *arguments)


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)


def trunk() -> list[str]:
    """Track one event on a new SQLite file; return our frames at its first statement."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'trunk.db'}"
        storage = SqlStorage(create_engine(url, connect_args={"factory": _Connection}))
        storage.create_all()
        tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
        tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        _first.clear()
        tracker.track(DOCUMENTED_REQUEST, f"{DOCUMENTED_KEY}:again")
        storage.close()
    return list(_first)


def main() -> None:
    """Print the calls, numbered."""
    for number, frame in enumerate(trunk(), 1):
        print(f"{number:3}  {frame}")


if __name__ == "__main__":
    main()
