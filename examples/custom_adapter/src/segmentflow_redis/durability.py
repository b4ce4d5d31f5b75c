"""Whether a server keeps what it has acknowledged; where it may not, it is refused."""

from __future__ import annotations

from typing import Final

from segmentflow_core.errors import ConfigurationError
from segmentflow_redis.ledger import Ledger

__all__ = ["check_durability"]

_DURABLE: Final = {
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
}


async def check_durability(ledger: Ledger) -> None:
    """Ask for the server's settings.

    Raises:
        ConfigurationError: it may forget; `details["settings"]` says what to set.
    """
    persistence, memory, settings = await ledger.exchange(
        [("INFO", "persistence"), ("INFO", "memory"), ("CONFIG GET", "appendfsync")]
    )
    # Other policies evict keys with an expiry of Redis's own, and no key here has one.
    kept = {
        "appendonly": persistence["aof_enabled"] == 1,
        "appendfsync": settings["appendfsync"] == "always",
        "maxmemory-policy": not memory["maxmemory_policy"].startswith("allkeys-"),
    }
    wrong = {name: value for name, value in _DURABLE.items() if not kept[name]}
    if wrong:
        raise ConfigurationError(
            "The Redis server does not keep all that it acknowledges.", details={"settings": wrong}
        )
