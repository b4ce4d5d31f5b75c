"""Mistakes in what is locked and for how long, and in what others see before the commit."""

from __future__ import annotations

import itertools
import threading

from attrs import evolve

from broken_storages.altered import Altered, Broken
from broken_storages.races import (
    LostRace,
    Unlocked,
    UnlockedPart,
    UnlockedTransaction,
    part_of,
)
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.ports import Lease
from segmentflow_memory import MemoryStorage
from watched_locks import WatchedLock


class Locked(Unlocked):
    """Locks the Profiles that it finds, by id, and reads them again: sound as it stands."""

    follows_identities = locks_by_external_id = True

    def __init__(self):
        super().__init__()
        self.locks = {}

    def transaction(self):
        return LockedTransaction(self)

    def somebody_waits(self):
        return any(lock.is_waited_for for lock in list(self.locks.values()))


class LockedTransaction(UnlockedTransaction):
    def __init__(self, storage):
        super().__init__(storage)
        self._held = []

    def load(self, organization_id, intent):
        found = super().load(organization_id, intent)
        storage = self._storage
        for profile in sorted(found.profiles, key=lambda profile: profile.profile_id):
            if profile.email in intent.emails or storage.locks_by_external_id:
                lock = storage.locks.setdefault(profile.profile_id, WatchedLock())
                if not lock.acquire(timeout=60):
                    raise StorageUnavailable
                self._held.append(lock)
        again = super().load(organization_id, intent)
        if storage.follows_identities:
            if {p.profile_id for p in again.profiles} != {p.profile_id for p in found.profiles}:
                raise LostRace
        else:
            read = storage.locked
            self._known = evolve(
                again,
                profiles=tuple(
                    read(lambda t, at=p.profile_id: t.profiles.get(organization_id, at))
                    for p in found.profiles
                ),
            )
        return self._known

    def end(self):
        for lock in self._held:
            lock.release()


class IdentityReadBeforeTheLock(Locked):
    """Finds a Profile, waits for it, and never asks where the identity leads by then."""

    caught_by = "test_an_identity_that_moves_while_a_call_waits_leads_where_it_leads_now"
    checks_identities = follows_identities = False


class ExternalIdsLockNothing(Locked):
    caught_by = "test_a_profile_is_locked_by_whichever_identity_led_to_it"
    checks_profiles = checks_numbers = locks_by_external_id = False


class SeenBeforeTheCommit(MemoryStorage):
    """Each call of a port is alone, a transaction is not."""

    caught_by = "test_what_is_not_committed_is_seen_by_nobody"

    def run(self, work, **how):
        try:
            result = work(Altered(self._transaction, self))
        except BaseException:
            self._tables.roll_back()
            raise
        self._tables.undo.clear()
        return result


class FinishedByWhatWasRead(Unlocked):
    """Looks at a lease when it is shown, and writes the Enrollment at the end."""

    caught_by = "test_what_a_worker_is_finishing_is_handed_to_no_other"

    def transaction(self):
        return FinishingTransaction(self)


class FinishingTransaction(UnlockedTransaction):
    def __init__(self, storage):
        super().__init__(storage)
        self._finished = []

    def __getattr__(self, name):
        return Finishing(self, name) if name == "hand_over" else super().__getattr__(name)

    def look(self, method, *args):
        def looking(transaction):
            found = getattr(part_of(transaction, "hand_over"), method)(*args)
            self._storage._tables.roll_back()
            return found

        found = self._storage.locked(looking)
        self._finished += found.items()
        return found

    def commit(self):
        tables = self._storage._tables
        for lease, enrollment in self._finished:
            self._storage.locked(
                lambda _, of=lease.organization_id, row=enrollment: tables.put_enrollment(of, row)
            )


class Finishing:
    def __init__(self, transaction, name):
        self._transaction = transaction
        self._part = UnlockedPart(transaction._storage, name)

    def __getattr__(self, method):
        if method in ("complete", "release", "extend"):
            return lambda *args: self._transaction.look(method, *args)
        return getattr(self._part, method)


class LeasesLockedAsGiven(Unlocked):
    """Locks the Enrollments of a batch of leases in the batch's own order."""

    caught_by = "test_crossed_batches_of_leases_come_to_an_end"

    def __init__(self):
        super().__init__()
        self.locks = {}
        self.numbers = itertools.count()
        self.met = threading.Barrier(2)

    def transaction(self):
        return LeaseLocking(self)


class LeaseLocking(UnlockedTransaction):
    def __init__(self, storage):
        super().__init__(storage)
        self._held = []
        self.hand_over = LockingLeases(storage, self)

    def lock(self, leases):
        number = next(self._storage.numbers)
        # The core sorts leases: this store undoes that for every other batch.
        for lease in leases[:: 1 if number % 2 else -1]:
            lock = self._storage.locks.setdefault(lease.enrollment_id, threading.Lock())
            if not lock.acquire(timeout=0.2):
                raise StorageUnavailable
            self._held.append(lock)
            if len(self._held) == 1 and number < 2:
                # The first two have a lock each before either takes its second.
                self._storage.met.wait(60)

    def end(self):
        for lock in self._held:
            lock.release()


class LockingLeases(UnlockedPart):
    def __init__(self, storage, transaction):
        super().__init__(storage, "hand_over")
        self._transaction = transaction

    def __getattr__(self, method):
        call = super().__getattr__(method)
        if method not in ("complete", "release", "extend"):
            return call

        def locking(leases, *args):
            self._transaction.lock(leases)
            return call(leases, *args)

        return locking


class LeasesGoByTheirToken(Broken):
    """Finishes every Enrollment of a claim where one of its leases is shown."""

    caught_by = "test_finishing_one_of_a_claim_leaves_the_others_as_they_were"

    def _with_the_same_token(self, leases):
        tokens = {lease.token for lease in leases}
        return [
            Lease(of, identifier, row.token)
            for (of, identifier), row in self._tables.enrollments.rows.items()
            if row.token in tokens
        ]

    def hand_over_complete(self, call, leases, *args):
        return self._of(leases, call(self._with_the_same_token(leases), *args))

    def hand_over_release(self, call, leases, *args):
        return self._of(leases, call(self._with_the_same_token(leases), *args))

    def hand_over_extend(self, call, leases, *args):
        return self._of(leases, call(self._with_the_same_token(leases), *args))

    def _of(self, leases, found):
        return {lease: row for lease, row in found.items() if lease in leases}


class TokensOfEveryOrganization(LeasesGoByTheirToken):
    """Finishes what other Organizations got from the same claim."""

    caught_by = "test_finishing_one_organizations_share_of_a_claim_leaves_the_others"

    def _with_the_same_token(self, leases):
        own = {lease.organization_id for lease in leases}
        others = [
            lease
            for lease in super()._with_the_same_token(leases)
            if lease.organization_id not in own
        ]
        return [*leases, *others]


class ExtendingMovesTheWholeClaim(LeasesGoByTheirToken):
    caught_by = "test_a_lease_that_runs_out_beside_one_that_was_finished_is_claimed_alone"
    hand_over_complete = hand_over_release = None
