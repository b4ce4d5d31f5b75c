"""The tables of the store, in dictionaries. Each write notes how to undo it, in one log.

Knows rows and their indexes. Must never know which call writes, nor when a transaction
begins or ends.
"""

from __future__ import annotations

import hmac
import secrets
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, Generic, TypeVar

from segmentflow_core.ports import (
    KEY_SEPARATOR,
    Alias,
    AuditRecord,
    Enrollment,
    GoneEvents,
    HistoryProbe,
    IdentityKind,
    Journey,
    JourneyStatus,
    KeyClaim,
    PriorEntries,
    Probe,
    Profile,
    UserEvent,
    answered,
    archived,
    encode_json,
)
from segmentflow_core.ports.api_keys import ApiKey
from segmentflow_memory.queue import Queue, Undo

__all__ = ["EntryHistory", "EventTimes", "ReceiptTimes", "SortedIds", "Table", "Tables"]

K = TypeVar("K")
V = TypeVar("V")


class Table(Generic[K, V]):
    """A dictionary whose writes can be undone."""

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


class SortedIds(Generic[K]):
    """The sorted ids of each Organization, or of a part of one; an addition can be undone."""

    def __init__(self, undo: list[Undo]) -> None:
        self._ids: dict[K, list[str]] = {}
        self._undo = undo

    def add(self, of: K, identifier: str) -> None:
        ids = self._ids.get(of)
        if ids is None:
            ids = self._ids[of] = []
        if not ids or ids[-1] < identifier:  # ids are made in order, nearly always
            ids.append(identifier)
            self._undo.append((ids.pop, ()))
        else:
            insort(ids, identifier)
            self._undo.append((ids.remove, (identifier,)))

    def remove(self, of: K, identifier: str) -> None:
        ids = self._ids[of]
        ids.remove(identifier)
        if not ids:
            del self._ids[of]
        self._undo.append((self._put_back, (of, identifier)))

    def _put_back(self, of: K, identifier: str) -> None:
        insort(self._ids.setdefault(of, []), identifier)

    def newest(self, of: K, before: str | None) -> Iterator[str]:
        """Yield the ids below `before`, the highest first."""
        ids = self._ids.get(of, [])
        end = len(ids) if before is None else bisect_left(ids, before)
        return (ids[place] for place in range(end - 1, -1, -1))


class ReceiptTimes:
    """When the events of each Organization were received, sorted; each change can be undone."""

    def __init__(self, undo: list[Undo]) -> None:
        self._times: dict[str, list[tuple[datetime, str]]] = {}
        self._undo = undo

    def add(self, organization_id: str, event: UserEvent) -> None:
        times = self._times.setdefault(organization_id, [])
        entry = (event.received_at, event.event_id)
        if not times or times[-1] < entry:
            times.append(entry)
            self._undo.append((times.pop, ()))
        else:
            insort(times, entry)
            self._undo.append((times.remove, (entry,)))

    def remove(self, organization_id: str, event: UserEvent) -> None:
        times = self._times[organization_id]
        entry = (event.received_at, event.event_id)
        del times[bisect_left(times, entry)]
        self._undo.append((insort, (times, entry)))

    def oldest(self, organization_id: str, after: tuple[datetime, str] | None) -> Iterator[str]:
        """Yield the ids of events behind a place, the one received longest ago first."""
        times = self._times.get(organization_id, [])
        begin = 0 if after is None else bisect_right(times, after)
        return (times[place][1] for place in range(begin, len(times)))

    def within(
        self, organization_id: str, since: datetime | None, until: datetime | None
    ) -> Sequence[str]:
        """Return the ids of the events received in a period, the highest first."""
        times = self._times.get(organization_id, [])
        low = 0 if since is None else bisect_left(times, (since, ""))
        high = len(times) if until is None else bisect_left(times, (until, ""))
        return sorted((identifier for _, identifier in times[low:high]), reverse=True)


class EventTimes:
    """The events of Profiles by name and time, of those Profiles that were asked about.

    A Profile is noted when it is first asked about, so that nobody else pays for it.
    """

    def __init__(self, undo: list[Undo]) -> None:
        self._noted: dict[tuple[str, str], dict[str, list[tuple[datetime, int, str]]]] = {}
        self._undo = undo

    def note(self, organization_id: str, profile_id: str, events: Iterable[UserEvent]) -> None:
        """Note all events of a Profile that is not noted yet."""
        named: dict[str, list[tuple[datetime, int, str]]] = {}
        for event in events:
            named.setdefault(event.event, []).append(_place(event))
        for times in named.values():
            times.sort()
        self._noted[organization_id, profile_id] = named
        if self._undo:
            # What this transaction has written so far may be undone.
            self._undo.append((self._noted.pop, ((organization_id, profile_id),)))

    def has_noted(self, organization_id: str, profile_id: str) -> bool:
        return (organization_id, profile_id) in self._noted

    def add(self, organization_id: str, event: UserEvent) -> None:
        named = self._noted.get((organization_id, event.profile_id))
        if named is not None:
            times, place = named.setdefault(event.event, []), _place(event)
            insort(times, place)
            self._undo.append((times.remove, (place,)))

    def remove(self, organization_id: str, event: UserEvent) -> None:
        named = self._noted.get((organization_id, event.profile_id))
        if named is not None:
            times, place = named[event.event], _place(event)
            del times[bisect_left(times, place)]
            self._undo.append((insort, (times, place)))

    def newest(
        self, organization_id: str, probe: HistoryProbe
    ) -> Iterator[tuple[datetime, int, str]]:
        """Yield when the events of a probe's period occurred, with number and id, latest first."""
        times = self._noted[organization_id, probe.profile_id].get(probe.event, [])
        low = 0 if probe.since is None else bisect_left(times, (probe.since, 0, ""))
        high = len(times)
        if probe.until is not None:
            high = bisect_left(times, (probe.until, _AFTER_ALL, ""))
        for place in range(high - 1, low - 1, -1):
            if probe.before is None or times[place][1] < probe.before:
                yield times[place]


_AFTER_ALL: Final = 2**63


def _place(event: UserEvent) -> tuple[datetime, int, str]:
    return event.occurred_at, event.number, event.event_id


class EntryHistory:
    """The number, time and key of each entry of a Profile into a Journey, in the order written."""

    def __init__(self, undo: list[Undo]) -> None:
        self._entries: dict[tuple[str, str, str], list[tuple[int, datetime, str | None]]] = {}
        self._left: dict[tuple[str, str, str], frozenset[int]] = {}
        self._undo = undo

    def add(self, organization_id: str, entry: Enrollment) -> None:
        pair = (organization_id, entry.journey_id, entry.profile_id)
        entries = self._entries.setdefault(pair, [])
        entries.append((entry.event_number, entry.entered_at, entry.entry_key))
        self._undo.append((entries.pop, ()))

    def forget_key(self, organization_id: str, entry: Enrollment) -> None:
        pair = (organization_id, entry.journey_id, entry.profile_id)
        entries = self._entries[pair]
        self._undo.append((self._entries.__setitem__, (pair, entries)))
        own = entry.event_number
        self._entries[pair] = [(n, at, None if n == own else key) for n, at, key in entries]

    def leave(self, organization_id: str, entry: Enrollment) -> bool:
        """Keep of an Enrollment that goes what re-entry needs; say whether anything was kept."""
        pair = (organization_id, entry.journey_id, entry.profile_id)
        entries = self._entries[pair]
        latest = max((at, number) for number, at, _ in entries)
        left = self._left.get(pair, frozenset())
        gone = left | {entry.event_number}
        kept = [
            (number, at, key)
            for number, at, key in entries
            if number not in gone or key is not None or (at, number) == latest
        ]
        self._undo.append((self._entries.__setitem__, (pair, entries)))
        self._undo.append((self._left.__setitem__, (pair, left)))
        self._entries[pair] = kept
        self._left[pair] = gone & {number for number, *_ in kept}
        return entry.event_number in self._left[pair]

    def left(self, organization_id: str, profile_id: str) -> list[tuple[str, str]]:
        """Return the Journey and the key of each entry that a Profile's Enrollments left."""
        return [
            (journey_id, key)
            for (of, journey_id, whose), numbers in self._left.items()
            if (of, whose) == (organization_id, profile_id)
            for number, _, key in self._entries[of, journey_id, whose]
            if number in numbers and key is not None
        ]

    def forget_left_key(self, pair: tuple[str, str, str], key: str) -> None:
        """Forget a key that an Enrollment left, which no other entry of the pair has."""
        entries = self._entries[pair]
        self._undo.append((self._entries.__setitem__, (pair, entries)))
        self._entries[pair] = [(n, at, None if k == key else k) for n, at, k in entries]

    def prior(self, organization_id: str, probe: Probe) -> PriorEntries:
        entries = self._entries.get((organization_id, probe.journey_id, probe.profile_id), ())
        before = probe.before
        earlier = [(at, key) for number, at, key in entries if before is None or number < before]
        return answered(probe, earlier)


class Tables:
    """Everything the store keeps; every key starts with the Organization."""

    def __init__(self) -> None:
        self.undo: list[Undo] = []
        undo = self.undo
        self.key_claims: Table[tuple[str, str], KeyClaim] = Table(undo)
        self.profiles: Table[tuple[str, str], Profile] = Table(undo)
        self.profile_order: SortedIds[str] = SortedIds(undo)
        self.emails: Table[tuple[str, str], str] = Table(undo)
        self.former_emails: Table[tuple[str, str], frozenset[str]] = Table(undo)
        self.external_ids: Table[tuple[str, str], str] = Table(undo)
        self.aliases: Table[tuple[str, IdentityKind, str], str] = Table(undo)
        self.blocked: Table[tuple[str, bytes], str] = Table(undo)
        self.block_secret = secrets.token_bytes(32)
        self.audit: Table[tuple[str, str], AuditRecord] = Table(undo)
        self.audit_order: SortedIds[str] = SortedIds(undo)
        self.events: Table[tuple[str, str], UserEvent] = Table(undo)
        self.event_order: SortedIds[str] = SortedIds(undo)
        self.events_of_profile: SortedIds[tuple[str, str]] = SortedIds(undo)
        self.events_of_name: SortedIds[tuple[str, str]] = SortedIds(undo)
        self.events_of_reference: SortedIds[tuple[str, str]] = SortedIds(undo)
        self.receipt_times = ReceiptTimes(undo)
        self.event_times = EventTimes(undo)
        self.journeys: Table[tuple[str, str], Journey] = Table(undo)
        self.versions: Table[tuple[str, str, int], Journey] = Table(undo)
        self.listening: Table[tuple[str, str], tuple[Journey, ...]] = Table(undo)
        self.enrollments: Table[tuple[str, str], Enrollment] = Table(undo)
        self.enrollment_order: SortedIds[str] = SortedIds(undo)
        self.enrollments_of_profile: SortedIds[tuple[str, str]] = SortedIds(undo)
        self.cancellable: SortedIds[tuple[str, str]] = SortedIds(undo)
        self.queue = Queue(undo)
        self.entries: Table[tuple[str, str, str], datetime] = Table(undo)
        self.entry_keys: Table[tuple[str, str, str, str], int] = Table(undo)
        self.api_keys: Table[tuple[str, str], ApiKey] = Table(undo)
        self.api_key_lookups: Table[str, tuple[tuple[str, str], ...]] = Table(undo)
        self.history = EntryHistory(undo)
        self.gone: Table[tuple[str, str, str], GoneEvents] = Table(undo)

    def add_event(self, organization_id: str, event: UserEvent) -> None:
        event_id = event.event_id
        self.events.put((organization_id, event_id), event)
        self.event_order.add(organization_id, event_id)
        self.events_of_profile.add((organization_id, event.profile_id), event_id)
        self.events_of_name.add((organization_id, event.event), event_id)
        if event.reference_id is not None:
            self.events_of_reference.add((organization_id, event.reference_id), event_id)
        self.receipt_times.add(organization_id, event)
        self.event_times.add(organization_id, event)

    def newest_events(
        self, organization_id: str, probe: HistoryProbe
    ) -> Iterator[tuple[datetime, int, str]]:
        """Yield when the events of a probe occurred, with number and id, latest first."""
        whose = (organization_id, probe.profile_id)
        if not self.event_times.has_noted(*whose):
            rows = self.events.rows
            ids = self.events_of_profile.newest(whose, None)
            events = (rows[organization_id, event_id] for event_id in ids)
            self.event_times.note(*whose, events)
        return self.event_times.newest(organization_id, probe)

    def remove_event(self, organization_id: str, event: UserEvent) -> None:
        event_id = event.event_id
        self.events.remove((organization_id, event_id))
        self.event_order.remove(organization_id, event_id)
        self.events_of_profile.remove((organization_id, event.profile_id), event_id)
        self.events_of_name.remove((organization_id, event.event), event_id)
        if event.reference_id is not None:
            self.events_of_reference.remove((organization_id, event.reference_id), event_id)
        self.receipt_times.remove(organization_id, event)
        self.event_times.remove(organization_id, event)

    def add_enrollment(self, organization_id: str, enrollment: Enrollment) -> None:
        enrollment_id = enrollment.enrollment_id
        self.put_enrollment(organization_id, enrollment)
        self.history.add(organization_id, enrollment)
        self.enrollment_order.add(organization_id, enrollment_id)
        self.enrollments_of_profile.add((organization_id, enrollment.profile_id), enrollment_id)

    def remove_enrollment(self, organization_id: str, enrollment: Enrollment) -> None:
        """Remove a finished Enrollment, which stands in no queue. Its entry stays."""
        enrollment_id = enrollment.enrollment_id
        self.enrollments.remove((organization_id, enrollment_id))
        self.enrollment_order.remove(organization_id, enrollment_id)
        self.enrollments_of_profile.remove((organization_id, enrollment.profile_id), enrollment_id)

    def read(self, organization_id: str, enrollment: Enrollment) -> Enrollment:
        """Return an Enrollment as everybody reads it: as its Journey leaves it."""
        journey = self.journeys.rows.get((organization_id, enrollment.journey_id))
        if journey is None or not journey.era:
            return enrollment
        return archived(enrollment, journey.era, journey.archived_at)

    def moves(self, organization_id: str, journey_id: str, era: int) -> bool:
        """Say whether what entered a Journey in an era is handed over."""
        journey = self.journeys.rows.get((organization_id, journey_id))
        if journey is None:
            return False
        return journey.era == era and journey.definition.status is JourneyStatus.ACTIVE

    def put_enrollment(self, organization_id: str, enrollment: Enrollment) -> None:
        at = (organization_id, enrollment.enrollment_id)
        before = self.enrollments.rows.get(at)
        self.queue.move(organization_id, before, enrollment)
        self.enrollments.put(at, enrollment)
        was_cancellable = before is not None and before.cancellers is not None
        if was_cancellable is not (enrollment.cancellers is not None):
            change = self.cancellable.remove if was_cancellable else self.cancellable.add
            change((organization_id, enrollment.profile_id), enrollment.enrollment_id)

    def put_entry_key(self, pair: tuple[str, str, str], entry_key: str) -> None:
        """Note the key that an entry is kept with, and the key that it was made with."""
        made_with, _, _ = entry_key.partition(KEY_SEPARATOR)
        for key in {entry_key, made_with}:
            at = (*pair, key)
            self.entry_keys.put(at, self.entry_keys.rows.get(at, 0) + 1)

    def remove_entry_key(self, pair: tuple[str, str, str], entry_key: str) -> None:
        made_with, _, _ = entry_key.partition(KEY_SEPARATOR)
        for key in {entry_key, made_with}:
            at = (*pair, key)
            left = self.entry_keys.rows[at] - 1
            if left:
                self.entry_keys.put(at, left)
            else:
                self.entry_keys.remove(at)

    def hashed(self, organization_id: str, identity: Alias) -> bytes:
        """Return what is kept of a blocked identity: a keyed hash."""
        said = encode_json([organization_id, identity.kind, identity.value]).encode()
        return hmac.digest(self.block_secret, said, "sha256")

    def roll_back(self) -> None:
        while self.undo:
            take_back, arguments = self.undo.pop()
            take_back(*arguments)
