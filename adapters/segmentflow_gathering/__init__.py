"""Gathering: concurrent calls of one tracker share a transaction. Threads, and tasks of asyncio."""

from __future__ import annotations

from segmentflow_gathering.tasks import AsyncGathering
from segmentflow_gathering.threads import Gathering

__all__ = ["AsyncGathering", "Gathering"]
