"""Storage in dictionaries.

One transaction runs at a time, under a lock that a waiting duplicate waits for like any
other caller. A transaction writes in place and notes how to undo each write; a failed
work is undone, last write first, so it leaves nothing. What is written was made by the
core for this store alone; what is read is the same values, which are frozen, with their
JSON copied on the way out.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any, Generic, TypeVar

from attrs import evolve

from segmentflow_core.errors import ConfigurationError, IdempotencyInProgress, StorageUnavailable
from segmentflow_core.ports import (
    Changes,
    Claim,
    ClaimedEnrollment,
    Enrollment,
    EnrollmentStatus,
    HandOver,
    HeldClaim,
    Intent,
    Journey,
    JourneyStatus,
    Known,
    Lease,
    PriorEntries,
    Probe,
    Profile,
    Receipt,
    Transaction,
    UserEvent,
    completed,
    extended,
    handed_over,
    released,
    revived,
)
from segmentflow_core.ports.api_keys import ApiKey
from segmentflow_memory.queue import Queue, Undo

__all__ = ["AsyncMemoryStorage", "MemoryStorage", "open_storage"]

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
_OPERATION = "events.track"


class _Table(Generic[K, V]):
    """A dictionary that can undo what was done to it."""

    def __init__(self, undo: list[Undo]) -> None:
        self.rows: dict[K, V] = {}
        self._undo = undo

    def put(self, key: K, value: V) -> None:
        rows = self.rows
        if key in rows:
            self._undo.append((rows.__setitem__, (key, rows[key])))
        else:
            self._undo.append((rows.pop, (key,)))
        rows[key] = value

    def remove(self, key: K) -> None:
        rows = self.rows
        self._undo.append((rows.__setitem__, (key, rows.pop(key))))


class _Order:
    """Sorted ids, per Organization, that can undo an addition."""

    def __init__(self, undo: list[Undo]) -> None:
        self._ids: dict[str, list[str]] = {}
        self._undo = undo

    def add(self, organization_id: str, identifier: str) -> None:
        ids = self._ids.setdefault(organization_id, [])
        insort(ids, identifier)
        self._undo.append((ids.remove, (identifier,)))

    def newest(self, organization_id: str, before: str | None) -> Sequence[str]:
        ids = self._ids.get(organization_id, [])
        end = len(ids) if before is None else bisect_left(ids, before)
        return ids[:end][::-1]


class _History:
    """What caused each entry of a Profile into a Journey, in the order written."""

    def __init__(self, undo: list[Undo]) -> None:
        self._entries: dict[tuple[str, str, str], list[tuple[str, datetime, str | None]]] = {}
        self._undo = undo

    def add(self, organization_id: str, entry: Enrollment) -> None:
        pair = (organization_id, entry.journey_id, entry.profile_id)
        entries = self._entries.setdefault(pair, [])
        entries.append((entry.event_id, entry.entered_at, entry.entry_key))
        self._undo.append((entries.pop, ()))

    def prior(self, organization_id: str, probe: Probe, before: str) -> PriorEntries:
        entries = self._entries.get((organization_id, probe.journey_id, probe.profile_id), ())
        earlier = [entry for entry in entries if entry[0] < before]
        return PriorEntries(
            max((entered_at for _, entered_at, _ in earlier), default=None),
            probe.entry_key is not None and any(key == probe.entry_key for *_, key in earlier),
        )


class _Data:
    """Everything that is kept; every key leads with the Organization."""

    def __init__(self) -> None:
        self.undo: list[Undo] = []
        undo = self.undo
        self.claims: _Table[tuple[str, str, str], Claim] = _Table(undo)
        self.profiles: _Table[tuple[str, str], Profile] = _Table(undo)
        self.emails: _Table[tuple[str, str], str] = _Table(undo)
        self.external_ids: _Table[tuple[str, str], str] = _Table(undo)
        self.events: _Table[tuple[str, str], UserEvent] = _Table(undo)
        self.event_order = _Order(undo)
        self.journeys: _Table[tuple[str, str], Journey] = _Table(undo)
        self.versions: _Table[tuple[str, str, int], Journey] = _Table(undo)
        self.listening: _Table[tuple[str, str], tuple[Journey, ...]] = _Table(undo)
        self.enrollments: _Table[tuple[str, str], Enrollment] = _Table(undo)
        self.enrollment_order = _Order(undo)
        self.queue = Queue(undo)
        self.entries: _Table[tuple[str, str, str], datetime] = _Table(undo)
        self.entry_keys: _Table[tuple[str, str, str, str], str] = _Table(undo)
        self.api_keys: _Table[tuple[str, str], ApiKey] = _Table(undo)
        self.api_key_lookups: _Table[str, tuple[tuple[str, str], ...]] = _Table(undo)
        self.history = _History(undo)

    def put_enrollment(self, organization_id: str, enrollment: Enrollment) -> None:
        at = (organization_id, enrollment.enrollment_id)
        self.queue.move(organization_id, self.enrollments.rows.get(at), enrollment)
        self.enrollments.put(at, enrollment)

    def roll_back(self) -> None:
        while self.undo:
            take_back, arguments = self.undo.pop()
            take_back(*arguments)


class _Tracking:
    def __init__(self, data: _Data) -> None:
        self._data = data

    def load(self, organization_id: str, intent: Intent) -> Known:
        data = self._data
        held: dict[str, HeldClaim] = {}
        for claim in intent.claims:
            at = (organization_id, _OPERATION, claim.key)
            holder = data.claims.rows.get(at)
            if holder is None or (
                holder.expires_at is not None and holder.expires_at <= intent.now
            ):
                data.claims.put(at, claim)
            else:
                event = data.events.rows[organization_id, holder.event_id]
                held[claim.key] = HeldClaim(holder, Receipt.of(event))
        found: dict[str, Profile] = {}
        for index, values in (
            (data.emails.rows, intent.emails),
            (data.external_ids.rows, intent.external_ids),
        ):
            for value in values:
                profile_id = index.get((organization_id, value))
                if profile_id is not None:
                    profile = data.profiles.rows[organization_id, profile_id]
                    # Who only looks is given a copy, as of whatever is read; a batch that
                    # is decided changes no JSON that it was given.
                    found[profile_id] = profile if intent.claims else _copied_profile(profile)
        journeys: list[Journey] = []
        for name in intent.events:
            journeys += data.listening.rows.get((organization_id, name), ())
        return Known(held, tuple(found.values()), tuple(journeys))

    def prior_entries(
        self, organization_id: str, probes: Sequence[Probe]
    ) -> Mapping[Probe, PriorEntries]:
        data = self._data
        answers: dict[Probe, PriorEntries] = {}
        for probe in probes:
            if probe.before is not None:
                answers[probe] = data.history.prior(organization_id, probe, probe.before)
                continue
            pair = (organization_id, probe.journey_id, probe.profile_id)
            taken = probe.entry_key is not None and (
                (*pair, probe.entry_key) in data.entry_keys.rows
            )
            answers[probe] = PriorEntries(data.entries.rows.get(pair), taken)
        return answers

    def write(self, organization_id: str, changes: Changes) -> None:
        data = self._data
        for key in changes.released:
            data.claims.remove((organization_id, _OPERATION, key))
        for claim in changes.reclaimed:
            data.claims.put((organization_id, _OPERATION, claim.key), claim)
        for profile in changes.changed_profiles:
            self._forget_identity(organization_id, profile.profile_id)
        for profile in (*changes.changed_profiles, *changes.created_profiles):
            self._put_profile(organization_id, profile)
        for event in changes.events:
            data.events.put((organization_id, event.event_id), event)
            data.event_order.add(organization_id, event.event_id)
        for enrollment in changes.enrollments:
            pair = (organization_id, enrollment.journey_id, enrollment.profile_id)
            if enrollment.entry_key is not None:
                data.entry_keys.put((*pair, enrollment.entry_key), enrollment.enrollment_id)
            latest = data.entries.rows.get(pair, enrollment.entered_at)
            data.entries.put(pair, max(latest, enrollment.entered_at))
            data.put_enrollment(organization_id, enrollment)
            data.history.add(organization_id, enrollment)
            data.enrollment_order.add(organization_id, enrollment.enrollment_id)

    def _forget_identity(self, organization_id: str, profile_id: str) -> None:
        before = self._data.profiles.rows[organization_id, profile_id]
        if before.email is not None:
            self._data.emails.remove((organization_id, before.email))
        if before.external_id is not None:
            self._data.external_ids.remove((organization_id, before.external_id))

    def _put_profile(self, organization_id: str, profile: Profile) -> None:
        data = self._data
        profile_id = profile.profile_id
        data.profiles.put((organization_id, profile_id), profile)
        if profile.email is not None:
            data.emails.put((organization_id, profile.email), profile_id)
        if profile.external_id is not None:
            data.external_ids.put((organization_id, profile.external_id), profile_id)


class _Idempotency:
    def __init__(self, data: _Data) -> None:
        self._data = data

    def purge(self, now: datetime, limit: int) -> int:
        claims = self._data.claims
        expired = [
            at
            for at, claim in claims.rows.items()
            if claim.expires_at is not None and claim.expires_at <= now
        ][:limit]
        for at in expired:
            claims.remove(at)
        return len(expired)


class _Profiles:
    def __init__(self, data: _Data) -> None:
        self._data = data

    def get(self, organization_id: str, profile_id: str) -> Profile | None:
        profile = self._data.profiles.rows.get((organization_id, profile_id))
        return None if profile is None else _copied_profile(profile)


class _Events:
    def __init__(self, data: _Data) -> None:
        self._data = data

    def get(self, organization_id: str, event_id: str) -> UserEvent | None:
        event = self._data.events.rows.get((organization_id, event_id))
        return None if event is None else _copied(event)

    def list(self, organization_id: str, limit: int, before: str | None = None) -> list[UserEvent]:
        rows = self._data.events.rows
        ids = self._data.event_order.newest(organization_id, before)[:limit]
        return [_copied(rows[organization_id, event_id]) for event_id in ids]


class _Journeys:
    def __init__(self, data: _Data) -> None:
        self._data = data

    def list(self, organization_id: str) -> list[Journey]:
        rows = self._data.journeys.rows
        return [rows[at] for at in sorted(at for at in rows if at[0] == organization_id)]

    def get(
        self, organization_id: str, journey_id: str, version: int | None = None
    ) -> Journey | None:
        current = self._data.journeys.rows.get((organization_id, journey_id))
        if current is None or version is None or version == current.version:
            return current
        older = self._data.versions.rows.get((organization_id, journey_id, version))
        if older is None:
            return None
        status = current.definition.status
        return evolve(older, definition=evolve(older.definition, status=status))

    def publish(self, organization_id: str, journeys: Sequence[Journey]) -> None:
        data = self._data
        for journey in journeys:
            at = (organization_id, journey.journey_id)
            before = data.journeys.rows.get(at)
            if before is not None and before.definition.status is JourneyStatus.ACTIVE:
                self._listen(organization_id, before, None)
            if journey.definition.status is JourneyStatus.ACTIVE:
                self._listen(organization_id, None, journey)
            if (*at, journey.version) not in data.versions.rows:
                data.versions.put((*at, journey.version), journey)
            data.journeys.put(at, journey)

    def _listen(self, organization_id: str, gone: Journey | None, new: Journey | None) -> None:
        journey = new or gone
        assert journey is not None
        at = (organization_id, journey.definition.trigger.event)
        others = [j for j in self._data.listening.rows.get(at, ()) if j is not gone]
        self._data.listening.put(at, (*others, *([new] if new else [])))


class _Enrollments:
    def __init__(self, data: _Data) -> None:
        self._data = data

    def get(self, organization_id: str, enrollment_id: str) -> Enrollment | None:
        return self._data.enrollments.rows.get((organization_id, enrollment_id))

    def list(
        self,
        organization_id: str,
        limit: int,
        before: str | None = None,
        journey_id: str | None = None,
        status: EnrollmentStatus | None = None,
    ) -> list[Enrollment]:
        rows = self._data.enrollments.rows
        found: list[Enrollment] = []
        for identifier in self._data.enrollment_order.newest(organization_id, before):
            if len(found) == limit:
                break
            enrollment = rows[organization_id, identifier]
            if (journey_id is None or enrollment.journey_id == journey_id) and (
                status is None or enrollment.status == status
            ):
                found.append(enrollment)
        return found


class _ApiKeys:
    def __init__(self, data: _Data) -> None:
        self._data = data

    def create(self, api_key: ApiKey) -> None:
        at = (api_key.organization_id, api_key.key_id)
        self._data.api_keys.put(at, api_key)
        others = self._data.api_key_lookups.rows.get(api_key.lookup, ())
        self._data.api_key_lookups.put(api_key.lookup, (*others, at))

    def find(self, lookup: str) -> list[ApiKey]:
        rows = self._data.api_keys.rows
        return [rows[at] for at in self._data.api_key_lookups.rows.get(lookup, ())]

    def list(self, organization_id: str) -> list[ApiKey]:
        rows = self._data.api_keys.rows
        return [rows[at] for at in sorted(rows, reverse=True) if at[0] == organization_id]

    def revoke(self, organization_id: str, key_id: str, now: datetime) -> ApiKey | None:
        at = (organization_id, key_id)
        found = self._data.api_keys.rows.get(at)
        if found is not None and found.revoked_at is None:
            found = evolve(found, revoked_at=now)
            self._data.api_keys.put(at, found)
        return found

    def note_use(self, organization_id: str, key_id: str, now: datetime) -> None:
        at = (organization_id, key_id)
        found = self._data.api_keys.rows.get(at)
        if found is not None and (found.last_used_at is None or found.last_used_at < now):
            self._data.api_keys.put(at, evolve(found, last_used_at=now))


class _HandOver:
    def __init__(self, data: _Data) -> None:
        self._data = data

    def claim(self, hand_over: HandOver) -> list[ClaimedEnrollment]:
        data = self._data
        claimed: list[ClaimedEnrollment] = []
        for organization_id, enrollment_id in data.queue.available(hand_over):
            enrollment = handed_over(
                data.enrollments.rows[organization_id, enrollment_id], hand_over
            )
            data.put_enrollment(organization_id, enrollment)
            event = _copied(data.events.rows[organization_id, enrollment.event_id])
            claimed.append(ClaimedEnrollment(organization_id, enrollment, event))
        return claimed

    def complete(self, leases: Sequence[Lease], now: datetime) -> dict[Lease, Enrollment]:
        return self._held(leases, lambda held, token: completed(held, token, now))

    def release(
        self, leases: Sequence[Lease], available_at: datetime, max_attempts: int, failed: bool
    ) -> dict[Lease, Enrollment]:
        return self._held(
            leases,
            lambda held, token: released(held, token, available_at, max_attempts, failed=failed),
        )

    def extend(self, leases: Sequence[Lease], lease_until: datetime) -> dict[Lease, Enrollment]:
        return self._held(leases, lambda held, token: extended(held, token, lease_until))

    def revive(
        self, organization_id: str, enrollment_ids: Sequence[str], now: datetime
    ) -> dict[str, Enrollment]:
        done: dict[str, Enrollment] = {}
        for enrollment_id in enrollment_ids:
            found = self._data.enrollments.rows.get((organization_id, enrollment_id))
            enrollment = None if found is None else revived(found, now)
            if enrollment is not None:
                self._data.put_enrollment(organization_id, enrollment)
                done[enrollment_id] = enrollment
        return done

    def _held(
        self, leases: Sequence[Lease], change: Callable[[Enrollment, str], Enrollment | None]
    ) -> dict[Lease, Enrollment]:
        """Change what the leases hold, as the core's rule says."""
        done: dict[Lease, Enrollment] = {}
        for lease in leases:
            found = self._data.enrollments.rows.get((lease.organization_id, lease.enrollment_id))
            enrollment = None if found is None else change(found, lease.token)
            if enrollment is not None:
                self._data.put_enrollment(lease.organization_id, enrollment)
                done[lease] = enrollment
        return done


class _Transaction:
    def __init__(self, data: _Data) -> None:
        self.tracking = _Tracking(data)
        self.idempotency = _Idempotency(data)
        self.profiles = _Profiles(data)
        self.events = _Events(data)
        self.journeys = _Journeys(data)
        self.enrollments = _Enrollments(data)
        self.api_keys = _ApiKeys(data)
        self.hand_over = _HandOver(data)


def _copied_profile(profile: Profile) -> Profile:
    return evolve(profile, properties=deepcopy(profile.properties))


def _copied(event: UserEvent) -> UserEvent:
    return evolve(event, data=deepcopy(event.data), profile=deepcopy(event.profile))


class MemoryStorage:
    """Storage in this process's memory; shared by threads, lost with the process.

    Args:
        wait: seconds a call waits for the one transaction that may run.
    """

    def __init__(self, *, wait: float = 2.0) -> None:
        self._data = _Data()
        self._lock = threading.Lock()
        self._wait = wait
        self._transaction = _Transaction(self._data)

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; a failed one leaves nothing.

        Raises:
            IdempotencyInProgress: another transaction did not end in time.
        """
        if not self._lock.acquire(timeout=self._wait):
            raise IdempotencyInProgress
        try:
            result = work(self._transaction)
            self._data.undo.clear()
        except BaseException:
            self._data.roll_back()
            raise
        finally:
            self._lock.release()
        return result


class AsyncMemoryStorage:
    """The same store for an `AsyncTracker`; give both one `MemoryStorage` to share its data.

    Its transactions never suspend, so the lock is held for no longer than a plain call.
    """

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self._storage = storage or MemoryStorage()

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction; a failed one leaves nothing."""
        return self._storage.run(lambda transaction: _completed(work(transaction)))


def _completed(awaitable: Awaitable[T]) -> T:
    """Finish work that has nothing to wait for."""
    steps: Any = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as finished:
        result: T = finished.value
        return result
    steps.close()
    raise StorageUnavailable("Work on the in-memory storage must not wait for anything else.")


def open_storage(url: str) -> MemoryStorage:
    """Open an empty store for a ``memory://`` URL.

    Raises:
        ConfigurationError: the URL says more than that.
    """
    if url not in ("memory:", "memory://"):
        raise ConfigurationError("A memory store has no name: use memory://")
    return MemoryStorage()
