"""The operator's page: people, Journeys and the queue, as HTML without JavaScript."""

from __future__ import annotations

from segmentflow_console.access import Operator, Scope, Who, nobody
from segmentflow_console.console import AsyncConsole, Console
from segmentflow_console.facades import Facades, StoreFacades
from segmentflow_console.local import LocalConsole

__all__ = [
    "AsyncConsole",
    "Console",
    "Facades",
    "LocalConsole",
    "Operator",
    "Scope",
    "StoreFacades",
    "Who",
    "nobody",
]
