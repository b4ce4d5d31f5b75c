"""Stores in memory whose transactions suspend at every call of a port, for `interleavings`.

One is optimistic: a transaction works on a copy, and its commit is refused where another came
first. One locks: keys in the order they are taken, then identities in theirs. Both can be
planted with the mistakes such stores are prone to.
"""

from __future__ import annotations

from attrs import evolve

from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.testing import switch
from segmentflow_memory.repositories import MemoryTransaction
from segmentflow_memory.tables import SortedIds, Tables

ORGANIZATION = "default"


def copied(data):
    """Copy what `data` holds; rows are values and need no copies of their own."""
    new = Tables()
    new.block_secret = data.block_secret
    for name, table in vars(data).items():
        if hasattr(table, "rows"):
            getattr(new, name).rows = dict(table.rows)
        elif isinstance(table, SortedIds):
            getattr(new, name)._ids = {of: list(ids) for of, ids in table._ids.items()}
    new.receipt_times._times = {of: list(times) for of, times in data.receipt_times._times.items()}
    new.history._entries = {at: list(found) for at, found in data.history._entries.items()}
    new.history._left = dict(data.history._left)
    new.queue._entries = {
        of: {journey: list(entries) for journey, entries in journeys.items()}
        for of, journeys in data.queue._entries.items()
    }
    return new


class Stepped:
    """A transaction, or a part of one, that suspends before each call of a method."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return Stepped(found)

        async def method(*args):
            await switch()
            return found(*args)

        return method


class OptimisticStorage:
    """Copies, works and compares; runs again where another transaction came first."""

    def __init__(self, *, compares=True):
        self._data = Tables()
        self._version = 0
        self._compares = compares

    async def run(self, work, **how):
        for _ in range(20):
            data, version = copied(self._data), self._version
            result = await work(Stepped(MemoryTransaction(data)))
            if self._version == version or not self._compares:
                if data.undo:
                    data.undo.clear()
                    self._data, self._version = data, self._version + 1
                return result
        raise StorageUnavailable


class LockingStorage:
    """Locks keys as it takes them, and writes when all is decided.

    Args:
        order: sorts the keys of a batch before they are locked; given the transaction's number.
        locks: whether a key is locked at all, and not only looked for.
    """

    def __init__(self, *, order=lambda number, names: names, locks=True):
        self.data = Tables()
        self.held = {}
        self.numbers = 0
        self.order = order
        self.locks = locks

    async def run(self, work, **how):
        self.numbers += 1
        number = self.numbers
        transaction = LockedTransaction(self, number)
        try:
            result = await work(transaction)
            await switch()
            transaction.commit()
        finally:
            self.held = {name: owner for name, owner in self.held.items() if owner != number}
        return result


class LockedTransaction:
    """One transaction: its `tracking` is itself, and reads go to the shared data."""

    def __init__(self, store, number):
        self._store = store
        self._number = number
        self._inner = MemoryTransaction(store.data)
        self._intent = None
        self._changes = None
        self.tracking = self

    def __getattr__(self, name):
        return Stepped(getattr(self._inner, name))

    async def load(self, organization_id, intent):
        names = self._store.order(self._number, intent.keys)
        for name in [*names, *intent.emails, *intent.external_ids]:
            if self._store.locks:
                await switch(lambda name=name: name not in self._store.held)
                self._store.held[name] = self._number
        await switch()
        known = self._inner.tracking.load(organization_id, intent)
        # What was taken becomes visible when the transaction commits.
        self._store.data.roll_back()
        self._intent = (organization_id, evolve(intent))
        return known

    async def prior_entries(self, organization_id, probes):
        await switch()
        return self._inner.tracking.prior_entries(organization_id, probes)

    async def write(self, organization_id, changes):
        await switch()
        self._changes = (organization_id, changes)

    def commit(self):
        if self._changes is not None:
            self._inner.tracking.load(*self._intent)
            self._inner.tracking.write(*self._changes)
        self._store.data.undo.clear()
