"""Redis storage: optimistic transactions, each committed by one script on the server."""

from __future__ import annotations

from segmentflow_redis.storage import AsyncRedisStorage, RedisStorage, open_storage

__all__ = ["AsyncRedisStorage", "RedisStorage", "open_storage"]
