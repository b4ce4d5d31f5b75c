"""Everything in LMDB: a storage written from the documentation's page alone.

A key is digests of 32 bytes, which say what is kept there and whose, and then an id, a number or
an instant, to sort by. LMDB has one writer at a time, for which others wait without a bound, so a
writer locks a file beside it first. Unix only.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import time
from hashlib import sha256
from itertools import chain, islice, takewhile, zip_longest
from pathlib import Path
from weakref import WeakValueDictionary

import lmdb
from attrs import evolve

from segmentflow_core import ApiKey, ports
from segmentflow_core.codecs import decode_record, encode_record
from segmentflow_core.colour import drive, settle
from segmentflow_core.errors import ConfigurationError, StorageUnavailable

_ENVIRONMENTS = WeakValueDictionary()  # a process opens each once; the last to hold it closes it
_OPENING = threading.Lock()


def _in_child():
    while _ENVIRONMENTS:
        _ENVIRONMENTS.popitem()[1].close()
    _OPENING.release()


os.register_at_fork(
    before=_OPENING.acquire, after_in_parent=_OPENING.release, after_in_child=_in_child
)


class LmdbStorage:
    _pause = staticmethod(time.sleep)

    def __init__(self, path, *, wait=5.0, map_size=1 << 40):
        self._path = Path(path).resolve()
        self._wait = wait
        self._options = {"map_size": map_size, "max_readers": 1024}

    def run(self, work, *, reads_only=False):
        return drive(self._run(work, reads_only=reads_only))

    async def _run(self, work, *, reads_only=False):
        environment, lock = self._opened()
        try:
            if not reads_only:
                await self._turn(lock)
            with environment.begin(write=not reads_only) as transaction:
                return await settle(work(LmdbTransaction(transaction)))
        except lmdb.Error:
            raise StorageUnavailable from None
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
            lock.close()

    def _opened(self):
        try:
            with _OPENING:
                self._environment = _ENVIRONMENTS.get(self._path)
                if self._environment is None:
                    self._path.mkdir(parents=True, exist_ok=True)
                    self._environment = lmdb.open(str(self._path), **self._options)
                    self._environment.reader_check()
                    _ENVIRONMENTS[self._path] = self._environment
            return self._environment, (self._path / "writer.lock").open("a")
        except (lmdb.InvalidError, lmdb.VersionMismatchError):
            raise ConfigurationError("The store is not an LMDB environment.") from None
        except (OSError, lmdb.Error):
            raise StorageUnavailable from None

    async def _turn(self, lock):
        deadline = time.monotonic() + self._wait
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    raise StorageUnavailable from None
            await settle(self._pause(0.001))


class AsyncLmdbStorage(LmdbStorage):
    _pause = staticmethod(asyncio.sleep)  # and while LMDB reads and writes, the loop stands still
    run = LmdbStorage._run


def digest(name):
    return sha256(name.encode()).digest()


def at(*names):
    return b"".join(map(digest, names))


def number(count):
    return (count + (1 << 63)).to_bytes(8)


def instant(moment):
    return number(ports.to_microseconds(moment))


_END = b"\xff" * 32  # after every digest, number, instant and id


def places(of, record, tail):
    """Yield where a record of an Organization is looked for; its key is kept there."""
    match record:
        case ports.KeyClaim() if record.expires_at is not None:
            yield digest("expiry") + instant(record.expires_at) + digest(of) + tail
        case ports.Profile():
            emails = [("email", email) for email in (record.email, *record.former_emails)]
            for kind, identity in (*emails, ("external id", record.external_id)):
                if identity is not None:
                    yield at(kind, of, identity) + tail
        case ports.UserEvent():
            yield at("events", of) + tail
        case ports.Journey():
            yield at("journeys", of, record.journey_id)
            if record.definition.status is ports.JourneyStatus.ACTIVE:
                yield at("hears", of, record.definition.trigger.event, record.journey_id)
        case ports.Enrollment():
            for journey_id in ("", record.journey_id):
                for status in ("", record.status):
                    yield at("enrollments", of, journey_id, status) + tail
                if record.status in ports.AVAILABLE_STATUSES:
                    yield at("queue", journey_id, of) + instant(record.waits_until) + tail
            whose, nth = (of, record.journey_id, record.profile_id), number(record.event_number)
            yield at("entry", *whose) + instant(record.entered_at) + nth
            if record.entry_key is not None:
                yield at("entry key", *whose, record.entry_key.split(ports.KEY_SEPARATOR)[0]) + nth
        case ApiKey():
            yield at("api keys", of) + tail
            yield at("lookup", record.lookup, of) + tail


class Table:
    def __init__(self, rows, kind, *named, without=()):
        self.rows, self.kind, self.named, self.without = rows, kind, named, without

    def get(self, organization_id, row_id):
        return self.read(at(self.kind.__name__, organization_id, row_id))

    def read(self, key, **elsewhere):
        found = self.rows.get(key)
        return None if found is None else decode_record(self.kind, found, **elsewhere)

    def read_all(self, found):
        return [self.read(key) for _, key in found]

    def under(self, prefix, start=b"", end=_END):
        """Yield the keys and values of what begins with a prefix, from `start` to below `end`."""
        with self.rows.cursor() as cursor:
            if cursor.set_range(prefix + start):
                yield from takewhile(lambda row: row[0] < prefix + end, cursor)

    def newest(self, prefix, before=None):
        """Yield what begins with a prefix and is below an id, the last first."""
        end = prefix + (_END if before is None else before.encode())
        with self.rows.cursor() as cursor:
            if cursor.prev() if cursor.set_range(end) else cursor.last():
                yield from takewhile(lambda row: row[0] > prefix, cursor.iterprev())

    def put(self, organization_id, records, previous=()):
        """Write records, each in the stead of the previous one; write nothing that stays."""
        for before, after in zip_longest(previous, records):
            old, new = self._rows_of(organization_id, before), self._rows_of(organization_id, after)
            for key in old.keys() - new.keys():
                self.rows.delete(key)
            for key, value in new.items() - old.items():
                self.rows.put(key, value)

    def _rows_of(self, organization_id, record):
        if record is None:
            return {}
        names = [str(getattr(record, name)) for name in self.named]
        key = at(self.kind.__name__, organization_id, *names)
        found = dict.fromkeys(places(organization_id, record, names[0].encode()), key)
        return {**found, key: encode_record(record, without=self.without)}


class Events(Table):
    def read(self, key):
        event = super().read(key, profile={})
        if event is None:
            return None
        version = key[32:64] + at(event.profile_id, str(event.profile_version))
        found = self.rows.get(digest(ports.ProfileVersion.__name__) + version)
        return evolve(event, profile=decode_record(ports.ProfileVersion, found).state())

    def get_many(self, organization_id, event_ids):
        return {each: event for each in event_ids if (event := self.get(organization_id, each))}

    def list(self, organization_id, limit, before=None):
        return self.read_all(islice(self.newest(at("events", organization_id), before), limit))


class Journeys(Table):
    def list(self, organization_id):
        return self.read_all(self.under(at("journeys", organization_id)))

    def get_version(self, organization_id, journey_id, version):
        return self.read(at("journey version", organization_id, journey_id, str(version)))

    def publish(self, organization_id, versions, statuses):
        for new in versions:
            key = at("journey version", organization_id, new.journey_id, str(new.version))
            self.rows.put(key, encode_record(new))
        for journey in (*versions, *statuses):
            self.put(organization_id, [journey], [self.get(organization_id, journey.journey_id)])


class Enrollments(Table):
    def list(self, organization_id, limit, before=None, journey_id=None, status=None):
        listed = at("enrollments", organization_id, journey_id or "", status or "")
        return self.read_all(islice(self.newest(listed, before), limit))

    def lock(self, named):
        return [(each[0], entry) for each in named if (entry := self.get(*each))]

    def save(self, changes):
        for change in changes:
            self.put(change.organization_id, [change.after], [change.before])

    def waiting(self, terms):
        """Yield the first of each Organization's queue; an empty one costs nothing."""
        named = () if terms.organization_id is None else (terms.organization_id,)
        prefix, start = at("queue", terms.journey_id or "", *named), b""
        while found := next(self.under(prefix, start), None):
            queue = found[0][:96]
            organization_id = self.rows.get(digest("organization") + queue[64:]).decode()
            due = self.under(queue, end=instant(terms.now) + _END)
            for entry in self.read_all(islice(due, terms.limit)):
                yield organization_id, entry
            start = queue[len(prefix) :] + _END


class ApiKeys(Table):
    lock = Table.get

    def create(self, api_key):
        if self.get(api_key.organization_id, api_key.key_id) is None:
            self.save(api_key)

    def find(self, lookup):
        return self.read_all(self.under(at("lookup", lookup)))

    def list(self, organization_id):
        return self.read_all(self.under(at("api keys", organization_id)))

    def save(self, api_key):
        self.put(api_key.organization_id, [api_key])


class LmdbTransaction:
    def __init__(self, rows):
        self.rows = rows
        self.keys = Table(rows, ports.KeyClaim, "key_digest")
        self.profiles = Table(rows, ports.Profile, "profile_id")
        self.versions = Table(rows, ports.ProfileVersion, "profile_id", "version")
        self.events = Events(rows, ports.UserEvent, "event_id", without=("profile",))
        self.journeys = Journeys(rows, ports.Journey, "journey_id")
        self.enrollments = self.hand_over = Enrollments(rows, ports.Enrollment, "enrollment_id")
        self.api_keys = ApiKeys(rows, ApiKey, "key_id")
        self.tracking = self.idempotency = self

    def load(self, organization_id, intent):
        claims = (self.keys.get(organization_id, key) for key in intent.keys)
        of, under = organization_id, self.profiles.under
        led = [under(at("email", of, email)) for email in intent.emails]
        led += [under(at("external id", of, external_id)) for external_id in intent.external_ids]
        heard = (under(at("hears", of, event)) for event in intent.events)
        return ports.Known(
            {each.key_digest: each for each in claims if each and not each.is_expired(intent.now)},
            tuple(map(self.profiles.read, sorted({key for _, key in chain.from_iterable(led)}))),
            tuple(self.journeys.read_all(chain.from_iterable(heard))),
        )

    def prior_entries(self, organization_id, probes):
        return {each: ports.answer(each, self._decisive(organization_id, each)) for each in probes}

    def _decisive(self, organization_id, probe):
        """Return the latest entry that counts, or all of them, and the first with the key."""
        whose = (organization_id, probe.journey_id, probe.profile_id)
        end = _END if probe.before is None else number(probe.before)
        latest = (row for row in self.enrollments.newest(at("entry", *whose)) if row[0][-8:] < end)
        with_key = self.enrollments.under(at("entry key", *whose, probe.entry_key or ""))
        some = (*islice(latest, 1), *islice(with_key, 1)) if probe.since is None else latest
        return self.enrollments.read_all(some)

    def write(self, organization_id, changes):
        self.rows.put(at("organization", organization_id), organization_id.encode())
        digests = (*changes.freed, *(claim.key_digest for claim in changes.key_claims))
        self.keys.put(organization_id, (), [self.keys.get(organization_id, key) for key in digests])
        self.keys.put(organization_id, changes.key_claims)
        self.profiles.put(organization_id, changes.changed_profiles, changes.previous_profiles)
        self.profiles.put(organization_id, changes.created_profiles)
        self.events.put(organization_id, changes.events)
        self.enrollments.put(organization_id, changes.enrollments)
        self.versions.put(organization_id, changes.new_versions)

    def purge(self, now, limit):
        expired = list(islice(self.keys.under(digest("expiry"), end=instant(now) + _END), limit))
        for key in chain.from_iterable(expired):
            self.rows.delete(key)
        return len(expired)
