"""Listening to SQLAlchemy's events, once each.

Asks what listens already, and never SQLAlchemy's register of it: that knows its targets by their
`id`, which a new pool may have from one that is gone, while the engine of that one lives on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

__all__ = ["listen_once"]


def listen_once(
    target: Any, name: str, hear: Callable[..., object], *, first: bool = False
) -> None:
    """Let `hear` listen to the event of this name, where it does not yet.

    Args:
        target: an engine, a pool, a dialect or a connection.
        name: the event's name in SQLAlchemy.
        hear: a function of a module, the same one each time.
        first: that it hears before all that listen already.
    """
    if hear not in getattr(target.dispatch, name):
        event.listen(target, name, hear, insert=first)
