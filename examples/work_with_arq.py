"""arq wakes, the store hands over: a job without arguments does whatever is available.

arq work_with_arq.WorkerSettings                    works
python work_with_arq.py alex@example.com            records an event, and wakes

A message says nothing but "look": one that is lost, late or delivered twice changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, ClassVar

from arq import ArqRedis, create_pool, cron, func
from arq.connections import RedisSettings
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import AsyncTracker
from segmentflow_sql import AsyncSqlStorage
from segmentflow_worker import Assignment, AsyncWorker, wakes

STORE = os.environ.get("SHOP_STORE", "sqlite+aiosqlite:///shop.db")
REDIS = RedisSettings.from_dsn(os.environ.get("SHOP_REDIS", "redis://localhost"))
SECRET = os.environ.get("SHOP_SECRET", "only for this example: no secret at all")
JOURNEY = {"id": "welcome", "status": "active", "trigger": {"event": "signed.up"}}


async def opened() -> AsyncSqlStorage:
    """Open the store."""
    storage = AsyncSqlStorage(create_async_engine(STORE))
    await storage.create_all()  # or a migration of the host's own
    return storage


async def welcome(assignment: Assignment) -> None:
    """Do the work of one Enrollment; the id lets a mail service tell that it did it before."""
    print(f"{assignment.idempotency_key} Welcome, {assignment.state['profile']['email']}!")


HANDLERS = {"welcome": welcome}


async def work(context: dict[str, Any]) -> None:
    """Claim what is available, and finish it, until nothing is; one job at a time."""
    async with context["turn"]:
        await context["worker"].drain()


class WorkerSettings:
    """What `arq work_with_arq.WorkerSettings` runs."""

    redis_settings = REDIS
    functions: ClassVar = [func(work, keep_result=0)]
    # Finds attempts that are due again, and what a lost job was sent for.
    cron_jobs: ClassVar = [cron(work, second=set(range(0, 60, 10)), keep_result=0)]

    @staticmethod
    async def on_startup(context: dict[str, Any]) -> None:
        """Open the store once."""
        context["storage"] = await opened()
        context["worker"] = AsyncWorker(context["storage"], HANDLERS)
        context["turn"] = asyncio.Lock()

    @staticmethod
    async def on_shutdown(context: dict[str, Any]) -> None:
        """Close the store."""
        await context["storage"].close()


class Messages:
    """Wakes by a job. `wake` waits for nothing; `sent` waits for what it began."""

    def __init__(self, pool: ArqRedis) -> None:
        self._pool = pool
        self._sending: set[asyncio.Task[object]] = set()

    def wake(self) -> None:
        """Begin to send one."""
        task = asyncio.create_task(self._pool.enqueue_job("work"))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def sent(self) -> None:
        """Wait for what is being sent; a Redis that is away is made up for by the next look."""
        await asyncio.gather(*self._sending, return_exceptions=True)


async def main(email: str) -> None:
    """Record that somebody signed up."""
    storage, pool = await opened(), await create_pool(REDIS)
    messages = Messages(pool)
    tracker = AsyncTracker(storage, fingerprint_key=SECRET, observers=[wakes(messages)])
    await tracker.journeys.publish([JOURNEY])
    receipt = await tracker.track(
        {"event": "signed.up", "profile": {"email": email}}, idempotency_key=f"signed.up:{email}"
    )
    print("replayed" if receipt.replayed else "recorded")
    await messages.sent()
    await pool.aclose()
    await storage.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
