"""A store in memory whose transactions begin when they are let in, and fail as they are told."""

from __future__ import annotations

import asyncio

from segmentflow_core import AsyncTracker
from segmentflow_core.ports import key_digest
from segmentflow_core.testing import FINGERPRINT_SECRET
from segmentflow_gathering import AsyncGathering
from segmentflow_memory import AsyncMemoryStorage
from strict_storage import StrictStorage


class AskedFirst(StrictStorage):
    """Lets `first(intent)` raise before a batch takes its keys."""

    def __init__(self):
        super().__init__()
        self.first = lambda intent: None

    def run(self, work, **how):
        return super().run(lambda transaction: work(_Asked(transaction, self)), **how)

    @property
    def intents(self):
        """What each run asked for, in order."""
        return [asked for name, asked in self.asked if name == "load"]


class _Asked:
    def __init__(self, transaction, storage):
        self._transaction, self._storage = transaction, storage
        self.tracking = self

    def __getattr__(self, name):
        return getattr(self._transaction, name)

    def load(self, organization_id, intent):
        self._storage.asked.append(("began", intent))
        self._storage.first(intent)
        return self._transaction.tracking.load(organization_id, intent)

    def write(self, organization_id, changes):
        return self._transaction.tracking.write(organization_id, changes)

    def prior_entries(self, organization_id, probes):
        return self._transaction.tracking.prior_entries(organization_id, probes)


class Gated:
    """An asynchronous store: while `gate` is closed, its transactions wait to begin."""

    def __init__(self):
        self.store = AskedFirst()
        self.gate = asyncio.Event()
        self.waiting = 0
        self._inner = AsyncMemoryStorage(self.store)

    async def run(self, work, *, reads_only=False):
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        return await self._inner.run(work, reads_only=reads_only)


class Shop:
    """A tracker that gathers over a gated store, whose first call is under way."""

    def __init__(self, *observers, **bounds):
        self.storage = Gated()
        self.tracker = AsyncTracker(
            self.storage,
            fingerprint_key=FINGERPRINT_SECRET,
            gather=AsyncGathering(**bounds),
            observers=observers,
        )

    async def begin(self, *calls, **options):
        """Send calls, each in a task of its own, and return once all of them wait."""
        tasks = [asyncio.ensure_future(self.tracker.track(*call, **options)) for call in calls]
        await turns()
        return tasks

    def sizes(self):
        """Return how many keys each transaction was to take."""
        return [len(intent.keys) for intent in self.storage.store.intents]


async def turns(count=5):
    """Let every task go on until it waits for something that nobody does."""
    for _ in range(count):
        await asyncio.sleep(0)


async def answers(tasks):
    """Return what each call answered, in order: its receipt, or its refusal."""
    return await asyncio.gather(*tasks, return_exceptions=True)


def digest(key, organization_id="default"):
    return key_digest(organization_id, key)
