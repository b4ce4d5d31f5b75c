"""Storages with one planted mistake each, and the test of the contract that is meant to catch it.

Each is the storage in memory, with a call of a port altered: a method named
``<repository>_<method>`` is given the real call and its arguments. Those that are about callers
at once stand on a store that checks at the end what others did in between, and forgets one of
its checks.
"""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from attrs import evolve

from segmentflow_core.errors import IdempotencyInProgress, StorageUnavailable
from segmentflow_core.ports import Known, PriorEntries
from segmentflow_memory import MemoryStorage

OPERATION = "events.track"


class Altered:
    """A transaction, or a part of one, some of whose calls go through a storage's own methods."""

    def __init__(self, inner, storage, name=""):
        self._inner = inner
        self._storage = storage
        self._name = name

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return Altered(found, self._storage, f"{name}_")
        altered = getattr(self._storage, f"{self._name}{name}", None)
        return found if altered is None else lambda *args: altered(found, *args)


class Broken(MemoryStorage):
    """The storage in memory, altered."""

    caught_by: ClassVar[str]

    def run(self, work):
        return super().run(lambda transaction: work(Altered(transaction, self)))


# --- idempotency keys -----------------------------------------------------------------------


class NoExpiryCheck(Broken):
    caught_by = "test_an_expired_key_is_free_though_nothing_purged_it"

    def tracking_load(self, call, organization_id, intent):
        return call(organization_id, evolve(intent, now=datetime.min.replace(tzinfo=UTC)))


class RefusedRequestKeepsItsKey(Broken):
    caught_by = "test_a_refused_request_leaves_its_key_unused"

    def tracking_write(self, call, organization_id, changes):
        call(organization_id, evolve(changes, released=()))


class ReplayCountsAsNew(Broken):
    caught_by = "test_a_retry_gets_the_same_receipt_and_writes_nothing"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        ours = {claim.key: claim.event_id for claim in intent.claims}
        held = {
            key: evolve(found, claim=evolve(found.claim, event_id=ours[key]))
            for key, found in known.held.items()
        }
        return evolve(known, held=held)


class ReplayProlongsItsKey(Broken):
    caught_by = "test_a_replay_makes_its_key_last_no_longer"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        for claim in intent.claims:
            if claim.key in known.held:
                at = (organization_id, OPERATION, claim.key)
                kept = evolve(known.held[claim.key].claim, expires_at=claim.expires_at)
                self._tables.claims.put(at, kept)
        return known


class KeysWithoutCase(Broken):
    caught_by = "test_keys_that_differ_in_case_are_different_keys"

    def tracking_load(self, call, organization_id, intent):
        lower = tuple(evolve(claim, key=claim.key.lower()) for claim in intent.claims)
        known = call(organization_id, evolve(intent, claims=lower))
        held = {
            claim.key: known.held[claim.key.lower()]
            for claim in intent.claims
            if claim.key.lower() in known.held
        }
        return evolve(known, held=held)


class PurgeOfLiveKeys(Broken):
    caught_by = "test_purge_removes_expired_keys_only_and_no_more_than_asked"

    def idempotency_purge(self, call, now, limit):
        return call(now + timedelta(hours=1), limit)


class PurgeOverTheLimit(Broken):
    caught_by = "test_purge_removes_expired_keys_only_and_no_more_than_asked"

    def idempotency_purge(self, call, now, limit):
        return call(now, limit + 1)


class HeldClaimWithoutItsPaths(Broken):
    caught_by = "test_another_request_under_a_used_key_is_refused_and_names_what_changed"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        held = {
            key: evolve(found, claim=evolve(found.claim, paths={}))
            for key, found in known.held.items()
        }
        return evolve(known, held=held)


# --- all or nothing -------------------------------------------------------------------------


class KeyAndEffectsInTwoTransactions(Broken):
    caught_by = "test_an_exception_at_any_call_leaves_nothing_and_the_retry_succeeds"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        self._tables.undo.clear()
        return known


class InterruptCommits(Broken):
    caught_by = "test_an_interrupt_at_any_call_leaves_nothing_and_the_retry_succeeds"

    def run(self, work):
        interrupts = []

        def guarded(transaction):
            try:
                return work(transaction)
            except Exception:
                raise
            except BaseException as interrupt:  # noqa: BLE001 - the planted mistake
                interrupts.append(interrupt)

        result = super().run(guarded)
        if interrupts:
            raise interrupts[0]
        return result


# --- Organizations --------------------------------------------------------------------------


class EventsOfAnyOrganization(Broken):
    caught_by = "test_another_organizations_ids_are_not_found"

    def events_get(self, call, _, event_id):
        for organization_id, known in list(self._tables.events.rows):
            if known == event_id:
                return call(organization_id, event_id)
        return None


class IdentitiesOfAnyOrganization(Broken):
    caught_by = "test_organizations_share_nothing"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        found = tuple(p for p in self._tables.profiles.rows.values() if p.email in intent.emails)
        return evolve(known, profiles=found)


class EntriesOfAnyOrganization(Broken):
    caught_by = "test_another_organizations_lease_holds_nothing"

    def enrollments_get(self, call, _, enrollment_id):
        for organization_id, known in list(self._tables.enrollments.rows):
            if known == enrollment_id:
                return call(organization_id, enrollment_id)
        return None


# --- what is stored -------------------------------------------------------------------------


def with_data(changes, alter):
    events = tuple(evolve(event, data=alter(event.data)) for event in changes.events)
    return evolve(changes, events=events)


def everywhere(value, alter):
    if isinstance(value, dict):
        return {name: everywhere(item, alter) for name, item in value.items()}
    if isinstance(value, list):
        return [everywhere(item, alter) for item in value]
    return alter(value)


class WholeFloatsBecomeIntegers(Broken):
    caught_by = "test_every_json_value_comes_back_as_it_was"

    def tracking_write(self, call, organization_id, changes):
        def lossy(value):
            return int(value) if isinstance(value, float) and value.is_integer() else value

        call(organization_id, with_data(changes, lambda data: everywhere(data, lossy)))


class LargeIntegersBecomeFloats(Broken):
    caught_by = "test_numbers_at_the_limits_come_back_exactly"

    def tracking_write(self, call, organization_id, changes):
        def lossy(value):
            return float(value) if type(value) is int and abs(value) > 2**53 else value

        call(organization_id, with_data(changes, lambda data: everywhere(data, lossy)))


class NullsAreDropped(Broken):
    caught_by = "test_every_json_value_comes_back_as_it_was"

    def tracking_write(self, call, organization_id, changes):
        def lossy(data):
            return {name: value for name, value in data.items() if value is not None}

        call(organization_id, with_data(changes, lossy))


class NamesAreNormalized(Broken):
    caught_by = "test_names_are_kept_as_they_are"

    def tracking_write(self, call, organization_id, changes):
        import unicodedata

        def lossy(data):
            return {unicodedata.normalize("NFC", name): value for name, value in data.items()}

        call(organization_id, with_data(changes, lossy))


class MicrosecondsLost(Broken):
    caught_by = "test_times_are_kept_to_the_microsecond"

    def tracking_write(self, call, organization_id, changes):
        events = tuple(
            evolve(
                event,
                occurred_at=event.occurred_at.replace(
                    microsecond=event.occurred_at.microsecond // 1000 * 1000
                ),
            )
            for event in changes.events
        )
        call(organization_id, evolve(changes, events=events))


class EventsByInsertion(Broken):
    caught_by = "test_events_are_listed_by_id_whatever_order_they_were_written_in"

    def events_list(self, call, organization_id, limit, before=None):
        written = list(self._tables.events.rows)
        place = {event_id: number for number, (_, event_id) in enumerate(written)}
        events = call(organization_id, 100_000, before)
        return sorted(events, key=lambda event: place[event.event_id], reverse=True)[:limit]


class ReadsShareTheStoredJson(Broken):
    caught_by = "test_what_is_read_is_a_copy"

    def events_get(self, _, organization_id, event_id):
        return self._tables.events.rows.get((organization_id, event_id))


class OutcomesWithoutReason(Broken):
    caught_by = "test_outcomes_are_stored_with_the_event_and_the_version_that_decided"

    def tracking_write(self, call, organization_id, changes):
        events = tuple(
            evolve(event, outcomes=tuple(evolve(o, reason=None) for o in event.outcomes))
            for event in changes.events
        )
        call(organization_id, evolve(changes, events=events))


# --- Profiles -------------------------------------------------------------------------------


def with_profiles(changes, alter):
    return evolve(
        changes,
        created_profiles=tuple(map(alter, changes.created_profiles)),
        changed_profiles=tuple(map(alter, changes.changed_profiles)),
    )


class PropertyTimesDropped(Broken):
    caught_by = "test_each_property_remembers_when_it_was_set_or_removed"

    def tracking_write(self, call, organization_id, changes):
        call(organization_id, with_profiles(changes, lambda p: evolve(p, property_times={})))


class RemovedPropertiesForgotten(Broken):
    caught_by = "test_an_older_event_neither_overwrites_nor_revives_a_property"

    def tracking_write(self, call, organization_id, changes):
        def alter(profile):
            times = {n: t for n, t in profile.property_times.items() if n in profile.properties}
            return evolve(profile, property_times=times)

        call(organization_id, with_profiles(changes, alter))


class ExternalIdsWithoutCase(Broken):
    caught_by = "test_external_ids_that_look_alike_are_different"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        wanted = {external_id.lower() for external_id in intent.external_ids}
        more = [
            evolve(profile, external_id=external_id)
            for external_id in intent.external_ids
            for (of, _), profile in self._tables.profiles.rows.items()
            if of == organization_id
            and profile.external_id is not None
            and profile.external_id.lower() in wanted
        ]
        return evolve(known, profiles=(*known.profiles, *more))


class EmailsAreNeverChanged(Broken):
    caught_by = "test_a_known_external_id_takes_a_new_email_and_frees_the_old_one"

    def tracking_write(self, call, organization_id, changes):
        stored = self._tables.profiles.rows
        changed = tuple(
            evolve(profile, email=stored[organization_id, profile.profile_id].email)
            for profile in changes.changed_profiles
        )
        call(organization_id, evolve(changes, changed_profiles=changed))


# --- Journeys -------------------------------------------------------------------------------


class StaleJourneys(Broken):
    caught_by = "test_a_paused_journey_stops_matching_at_once_and_an_active_one_begins"

    def __init__(self):
        super().__init__()
        self._cache = {}

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        at = (organization_id, intent.events)
        return evolve(known, journeys=self._cache.setdefault(at, known.journeys))


class EntriesOfOneVersion(Broken):
    caught_by = "test_entries_into_every_version_count"

    def tracking_prior_entries(self, call, organization_id, probes):
        answers = dict(call(organization_id, probes))
        for probe in probes:
            current = self._tables.journeys.rows.get((organization_id, probe.journey_id))
            if not any(
                (of, entry.journey_id, entry.profile_id, entry.version)
                == (organization_id, probe.journey_id, probe.profile_id, current.version)
                for (of, _), entry in self._tables.enrollments.rows.items()
            ):
                answers[probe] = PriorEntries()
        return answers


class LatestEntryIsTheLastWritten(Broken):
    caught_by = "test_the_latest_entry_is_the_one_of_the_latest_time"

    def tracking_write(self, call, organization_id, changes):
        call(organization_id, changes)
        for entry in changes.enrollments:
            at = (organization_id, entry.journey_id, entry.profile_id)
            self._tables.entries.put(at, entry.entered_at)


class VersionsAreOverwritten(Broken):
    caught_by = "test_a_version_entered_stays_readable"

    def journeys_publish(self, call, organization_id, journeys):
        call(organization_id, journeys)
        for journey in journeys:
            for version in range(1, journey.version):
                at = (organization_id, journey.journey_id, version)
                self._tables.versions.put(at, evolve(journey, version=version))


class OlderVersionsKeepTheirStatus(Broken):
    caught_by = "test_an_older_version_has_the_current_status"

    def journeys_get(self, call, organization_id, journey_id, version=None):
        at = (organization_id, journey_id, version)
        return self._tables.versions.rows.get(at) or call(organization_id, journey_id, version)


# --- hand-over ------------------------------------------------------------------------------


class LeaseWithoutFencing(Broken):
    caught_by = "test_a_late_finisher_is_refused_and_changes_nothing"

    def hand_over_complete(self, call, leases, now):
        rows = self._tables.enrollments.rows
        current = {
            lease: evolve(lease, token=rows[lease.organization_id, lease.enrollment_id].token)
            for lease in leases
        }
        done = call(list(current.values()), now)
        return {lease: done[held] for lease, held in current.items() if held in done}


class ClaimIsForgotten(Broken):
    caught_by = "test_what_is_claimed_is_handed_to_nobody_else"

    def hand_over_claim(self, call, hand_over):
        claimed = call(hand_over)
        self._tables.roll_back()
        return claimed


class LeasesNeverRunOut(Broken):
    caught_by = "test_a_lease_that_ran_out_makes_its_enrollment_available_again"

    def hand_over_claim(self, call, hand_over):
        return call(evolve(hand_over, lease_until=hand_over.lease_until + timedelta(days=999)))


class LargestBacklogFirst(Broken):
    caught_by = "test_organizations_share_a_claim_whatever_their_backlogs"

    def hand_over_claim(self, call, hand_over):
        if hand_over.organization_id is not None:
            return call(hand_over)
        entries = self._tables.queue._entries
        largest = max(entries, key=lambda of: sum(map(len, entries[of].values())), default="")
        return call(evolve(hand_over, organization_id=largest))


# --- callers at once ------------------------------------------------------------------------


class LostRace(Exception):
    """Another transaction came first: run again."""


class Unlocked(MemoryStorage):
    """Reads without a lock and checks, when it writes, what others have written since.

    Sound as it stands: the mistakes below each leave one check out.
    """

    checks_keys = checks_identities = checks_profiles = checks_entries = True

    def run(self, work):
        for _ in range(100):
            transaction = UnlockedTransaction(self)
            try:
                return work(transaction)
            except LostRace:
                continue
            finally:
                transaction.end()
        raise StorageUnavailable

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
            if storage.checks_keys and now.held.keys() != before.held.keys():
                raise LostRace
            found, known = ({p.profile_id: p for p in k.profiles} for k in (now, before))
            if storage.checks_identities and found.keys() != known.keys():
                raise LostRace
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

    def end(self):
        pass

    def _look(self, transaction) -> Known:
        known = transaction.tracking.load(self._organization_id, self._intent)
        self._storage._tables.roll_back()
        return known


class UnlockedPart:
    def __init__(self, storage, name):
        self._storage = storage
        self._name = name

    def __getattr__(self, method):
        return lambda *args: self._storage.locked(
            lambda transaction: getattr(getattr(transaction, self._name), method)(*args)
        )


class SelectThenInsert(Unlocked):
    caught_by = "test_a_duplicate_that_comes_while_the_first_is_open_gets_its_receipt"
    checks_keys = False


class FirstSeenTwice(Unlocked):
    caught_by = "test_two_first_events_about_one_identity_make_one_profile"
    checks_identities = False


class LostUpdate(Unlocked):
    caught_by = "test_two_changes_of_one_profile_at_once_lose_neither"
    checks_profiles = False


class OnceIsNotUnique(Unlocked):
    caught_by = "test_two_events_at_once_enter_a_journey_once"
    checks_entries = False


class WrongLockOrder(Unlocked):
    """Locks the keys of every other batch from the last to the first."""

    caught_by = "test_crossed_batches_with_the_same_keys_wait_for_each_other_and_come_to_an_end"

    def __init__(self):
        super().__init__()
        self._locks = {}
        self._numbers = itertools.count()
        self._met = threading.Barrier(2)

    def run(self, work):
        held = []

        def lock_first(transaction):
            load = transaction.load

            def locking(organization_id, intent):
                keys = [claim.key for claim in intent.claims]
                for key in keys if next(self._numbers) % 2 else reversed(keys):
                    lock = self._locks.setdefault(key, threading.Lock())
                    if not lock.acquire(timeout=0.2):
                        raise IdempotencyInProgress
                    held.append(lock)
                    if len(held) == 1 < len(keys):
                        self._meet()
                return load(organization_id, intent)

            transaction.load = locking
            return work(transaction)

        try:
            return super().run(lock_first)
        finally:
            for lock in held:
                lock.release()

    def _meet(self):
        """Let two batches have their first lock before either takes its second."""
        try:
            self._met.wait(1)
        except threading.BrokenBarrierError:
            self._met.reset()


def with_a_mistake(kind):
    for sub in kind.__subclasses__():
        yield from with_a_mistake(sub)
        if "caught_by" in vars(sub):
            yield sub


BROKEN = [*with_a_mistake(Broken), *with_a_mistake(Unlocked)]
