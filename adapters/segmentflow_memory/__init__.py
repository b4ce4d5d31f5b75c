"""In-memory storage: real transactions, nothing durable. For tests, and to read as an example."""

from __future__ import annotations

from segmentflow_memory.storage import AsyncMemoryStorage, MemoryStorage, open_storage

__all__ = ["AsyncMemoryStorage", "MemoryStorage", "open_storage"]
