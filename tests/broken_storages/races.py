"""Mistakes that only callers at once can find.

Each stands on a store that checks at the end what others did in between, and forgets one of
its checks.
"""

from __future__ import annotations

import itertools
import threading

from attrs import evolve

from broken_storages.altered import Quick
from segmentflow_core.errors import IdempotencyInProgress, StorageUnavailable
from segmentflow_core.ports import Known
from segmentflow_memory import MemoryStorage


class LostRace(Exception):
    """Another transaction came first: run again."""


class Unlocked(MemoryStorage):
    """Reads without a lock and checks, when it writes, what others have written since.

    Sound as it stands: the mistakes below each leave one check out.
    """

    checks_keys = checks_identities = checks_profiles = checks_numbers = checks_entries = True

    def run(self, work, **how):
        for _ in range(100):
            transaction = self.transaction()
            try:
                result = work(transaction)
                transaction.commit()
                return result
            except LostRace:
                continue
            finally:
                transaction.end()
        raise StorageUnavailable

    def transaction(self):
        return UnlockedTransaction(self)

    def locked(self, call):
        return super().run(call)


class UnlockedTransaction:
    def __init__(self, storage):
        self._storage = storage
        self._organization_id = self._intent = self._known = None
        self._probed = {}
        self.tracking = self

    def __getattr__(self, name):
        return UnlockedPart(self._storage, name)

    def load(self, organization_id, intent):
        self._organization_id, self._intent = organization_id, intent
        self._known = self._storage.locked(self._look)
        return self._known

    def prior_entries(self, organization_id, probes):
        self._probed = self._storage.locked(
            lambda transaction: transaction.tracking.prior_entries(organization_id, probes)
        )
        return self._probed

    def write(self, organization_id, changes):
        storage, before = self._storage, self._known

        def checked(transaction):
            now = self._look(transaction)
            if storage.checks_keys and now.taken.keys() != before.taken.keys():
                raise LostRace
            found, known = ({p.profile_id: p for p in k.profiles} for k in (now, before))
            if storage.checks_identities and found.keys() != known.keys():
                raise LostRace
            if not storage.checks_numbers:
                found, known = map(without_numbers, (found, known))
            shared = found.keys() & known.keys()
            if storage.checks_profiles and any(found[p] != known[p] for p in shared):
                raise LostRace
            probes = list(self._probed)
            entries = transaction.tracking.prior_entries(organization_id, probes)
            if storage.checks_entries and entries != self._probed:
                raise LostRace
            transaction.tracking.load(organization_id, self._intent)
            transaction.tracking.write(organization_id, changes)

        storage.locked(checked)

    def commit(self):
        pass

    def end(self):
        pass

    def _look(self, transaction) -> Known:
        known = transaction.tracking.load(self._organization_id, self._intent)
        self._storage._tables.roll_back()
        return known


def without_numbers(profiles):
    return {identifier: evolve(p, number=0) for identifier, p in profiles.items()}


class UnlockedPart:
    def __init__(self, storage, name):
        self._storage = storage
        self._name = name

    def __getattr__(self, method):
        return lambda *args: self._storage.locked(
            lambda transaction: getattr(part_of(transaction, self._name), method)(*args)
        )


def part_of(transaction, name):
    part = getattr(transaction, name)
    return Quick(transaction, part) if name == "hand_over" else part


class SelectThenInsert(Unlocked):
    caught_by = "test_a_duplicate_that_comes_while_the_first_is_open_gets_its_receipt"
    checks_keys = checks_numbers = False


class FirstSeenTwice(Unlocked):
    caught_by = "test_two_first_events_about_one_identity_make_one_profile"
    checks_identities = False


class LostUpdate(Unlocked):
    caught_by = "test_two_changes_of_one_profile_at_once_lose_neither"
    checks_profiles = False


class OnceIsNotUnique(Unlocked):
    caught_by = "test_two_events_at_once_enter_a_journey_once"
    checks_numbers = checks_entries = False


class NumberReadBeforeTheLock(Unlocked):
    caught_by = "test_two_events_of_one_profile_at_once_have_two_numbers"
    checks_numbers = False


class WrongLockOrder(Unlocked):
    """Locks the keys of every other batch from the last to the first."""

    caught_by = "test_crossed_batches_with_the_same_keys_wait_for_each_other_and_come_to_an_end"

    def __init__(self):
        super().__init__()
        self._locks = {}
        self._numbers = itertools.count()
        self._met = threading.Barrier(2)

    def run(self, work, **how):
        held = []

        def lock_first(transaction):
            load = transaction.load

            def locking(organization_id, intent):
                keys = intent.keys
                number = next(self._numbers)
                for key in keys if number % 2 else reversed(keys):
                    lock = self._locks.setdefault(key, threading.Lock())
                    if not lock.acquire(timeout=0.2):
                        raise IdempotencyInProgress
                    held.append(lock)
                    if len(held) == 1 and number < 2:
                        # The first two have a lock each before either takes its second.
                        self._met.wait(60)
                return load(organization_id, intent)

            transaction.load = locking
            return work(transaction)

        try:
            return super().run(lock_first)
        finally:
            for lock in held:
                lock.release()
