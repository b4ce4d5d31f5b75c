"""Storage in memory: real transactions, nothing durable. For tests, and as an example to read."""

from __future__ import annotations

from segmentflow_memory.storage import AsyncMemoryStorage, MemoryStorage, open_storage

__all__ = ["AsyncMemoryStorage", "MemoryStorage", "open_storage"]
