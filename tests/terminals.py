"""A terminal in which a test answers what the command asks."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import pytest


@contextmanager
def terminal(monkeypatch: Any, answer: str) -> Generator[list[str]]:
    """Give stdin and stderr a terminal on which somebody types; fill in what it shows."""
    pty = pytest.importorskip("pty")
    shown: list[str] = []
    ours, theirs = pty.openpty()
    reads = os.fdopen(os.dup(theirs), encoding="utf-8")
    writes = os.fdopen(theirs, "w", encoding="utf-8")
    with monkeypatch.context() as context, reads, writes:
        os.write(ours, answer.encode())
        context.setattr(sys, "stdin", reads)
        context.setattr(sys, "stderr", writes)
        yield shown
    shown.append(_rest(ours))
    os.close(ours)


def _rest(end: int) -> str:
    """Read what a terminal shows, once nobody has its other end open."""
    parts: list[bytes] = []
    with suppress(OSError):  # how Linux says that there is no more
        while part := os.read(end, 65_536):
            parts.append(part)
    return b"".join(parts).decode()
