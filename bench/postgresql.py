"""Tracking on PostgreSQL against psycopg by hand: the same rows, the same server, fsync on.

The hand-written side sends one statement after the other, as most code does, and its
values are made beforehand: it does no checking, hashing, redaction or matching at all.
The `eventsourcing` package, saving one new aggregate with one event, stands beside both as
a peer that people know; it keeps no key, no Profile and no Journey.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import create_engine
from tests.servers import Postgres

from bench.colours import both_colours
from bench.report import Line, absent, compared, related
from bench.timing import alternate
from segmentflow_core import Tracker
from segmentflow_core.domain.idempotency_key import key_digest
from segmentflow_core.system import Uuid7Factory
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, a_journey
from segmentflow_sql import SqlStorage, metadata

__all__ = ["ByHand", "measure"]

_BATCH = 100
_CLIENTS = 8
_ID = Uuid7Factory().new_id
_numbers = itertools.count()

# A request whose time moves on: every event updates the Profile, on both sides.
_REQUEST = {name: value for name, value in DOCUMENTED_REQUEST.items() if name != "occurredAt"}


def _request_of(client: int) -> dict[str, Any]:
    """Return a request about a Profile that is this client's alone: nobody waits for its row."""
    profile = {"email": f"client-{client}@example.com", "externalId": f"client-{client}"}
    return {**_REQUEST, "profile": {**_REQUEST["profile"], **profile}}


def _key() -> str:
    return f"{os.getpid()} {next(_numbers)}"  # clients are processes, each with its own count


def _ours(server: Postgres) -> tuple[SqlStorage, Tracker]:
    storage = SqlStorage(create_engine(server.url("bench")))
    return storage, Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


class ByHand:
    """What a careful programmer would write for this one event."""

    def __init__(self, conninfo: str, email: str = _REQUEST["profile"]["email"]) -> None:
        self._connection = psycopg.connect(conninfo)
        read = self._connection.execute
        self._claim = _first(read, "claims")
        self._event = _first(read, "events")
        self._enrollment = _first(read, "enrollments")
        self._profile = _first(read, "profiles", f"WHERE email = '{email}'")
        self._version = _first(read, "profile_versions", f"WHERE email = '{email}'")
        self._number = self._profile[2]
        self._connection.commit()

    def one(self) -> None:
        run = self._connection.execute
        now, event_id = datetime.now(UTC), _ID()
        run(_CLAIM, self._claim_row(event_id, now))
        run(
            "SELECT * FROM segmentflow_profiles JOIN segmentflow_profile_versions "
            "USING (organization_id, profile_id, version) WHERE organization_id = %s AND "
            "(segmentflow_profiles.email = %s OR segmentflow_profiles.external_id = %s) "
            "FOR UPDATE OF segmentflow_profiles",
            (self._profile[0], self._profile[4], self._profile[5]),
        ).fetchall()
        run(
            "SELECT * FROM segmentflow_journeys JOIN segmentflow_journey_versions "
            "USING (organization_id, journey_id, version) "
            "WHERE organization_id = %s AND event = %s AND status = 'active'",
            (self._profile[0], self._event[5]),
        ).fetchall()
        self._update_profile(now)
        run(_EVENT, self._event_row(event_id, now))
        run(_ENROLLMENT, self._enrollment_row(event_id, now))
        self._connection.commit()

    def batch(self) -> None:
        """Insert many rows the quick way: `executemany`, which psycopg sends as a pipeline."""
        now = datetime.now(UTC)
        ids = [_ID() for _ in range(_BATCH)]
        with self._connection.cursor() as cursor:
            cursor.executemany(_CLAIM, [self._claim_row(event_id, now) for event_id in ids])
            self._update_profile(now)
            cursor.executemany(_EVENT, [self._event_row(event_id, now) for event_id in ids])
            cursor.executemany(
                _ENROLLMENT, [self._enrollment_row(event_id, now) for event_id in ids]
            )
        self._connection.commit()

    def close(self) -> None:
        self._connection.close()

    def _update_profile(self, now: datetime) -> None:
        self._connection.execute(
            "UPDATE segmentflow_profiles SET number = %s, email_last = %s, "
            "email_last_received = %s, updated_at = %s "
            "WHERE organization_id = %s AND profile_id = %s",
            (self._number, *self._profile[7:9], now, *self._profile[:2]),
        )
        self._connection.execute(
            "UPDATE segmentflow_profile_versions SET property_times = %s "
            "WHERE organization_id = %s AND profile_id = %s AND version = %s",
            (Jsonb(self._version[7]), *self._version[:3]),
        )

    def _claim_row(self, event_id: str, now: datetime) -> tuple[Any, ...]:
        organization_id, _, expires, _, _, *receipt_and_fingerprint, paths, gone = self._claim
        digest = key_digest(organization_id, f"hand {_key()}")
        return (
            organization_id,
            digest,
            expires,
            now,
            event_id,
            *receipt_and_fingerprint,
            paths,
            gone,
        )

    def _event_row(self, event_id: str, now: datetime) -> tuple[Any, ...]:
        (
            organization_id,
            _,
            profile_id,
            _,
            version,
            event,
            data,
            reference_id,
            *_,
            outcomes,
            _,
            _,
        ) = self._event
        self._number += 1
        return (
            organization_id,
            event_id,
            profile_id,
            self._number,
            version,
            event,
            Jsonb(data),
            reference_id,
            now,
            now,
            Jsonb(outcomes),
            None,
            event_id[-4:],  # as random as the start of a digest
        )

    def _enrollment_row(self, event_id: str, now: datetime) -> tuple[Any, ...]:
        organization_id, _, *journey = self._enrollment[:5]
        era, after = self._enrollment[9], self._enrollment[12:]
        caused = (event_id, self._number, None, now, era)
        return (organization_id, _ID(), *journey, *caused, "pending", now, *after)


def _insertion(table: str, more: str = "") -> bytes:
    places = ", ".join(["%s"] * len(metadata.tables[f"segmentflow_{table}"].columns))
    return f"INSERT INTO segmentflow_{table} VALUES ({places}){more}".encode()


_CLAIM = _insertion("claims", " ON CONFLICT DO NOTHING")
_EVENT = _insertion("events")
_ENROLLMENT = _insertion("enrollments")


def _first(read: Callable[..., Any], table: str, where: str = "") -> tuple[Any, ...]:
    row: tuple[Any, ...] = read(f"SELECT * FROM segmentflow_{table} {where} LIMIT 1").fetchone()
    return row


# --- several clients, each a process --------------------------------------------------------


def _track_as_client(server: Postgres, client: int, start: Barrier, calls: int) -> None:
    storage, tracker = _ours(server)
    request = _request_of(client)
    _serve(lambda: tracker.track(request, _key()), start, calls)
    storage.close()


def _write_as_client(server: Postgres, client: int, start: Barrier, calls: int) -> None:
    hand = ByHand(server.conninfo("bench"), _request_of(client)["profile"]["email"])
    _serve(hand.one, start, calls)
    hand.close()


def _serve(step: Callable[[], object], start: Barrier, calls: int) -> None:
    for _ in range(10):
        step()
    start.wait()
    for _ in range(calls):
        step()
    start.wait()


def _seconds(client: Any, server: Postgres, calls: int) -> float:
    """Return the seconds one event takes where several clients write theirs at once."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(_CLIENTS + 1, timeout=300)  # no client may hang the others
    clients = [
        context.Process(target=client, args=(server, number, start, calls))
        for number in range(_CLIENTS)
    ]
    for process in clients:
        process.start()
    start.wait()
    started = time.perf_counter()
    start.wait()
    taken = time.perf_counter() - started
    for process in clients:
        process.join()
    return taken / (calls * _CLIENTS)


# --- a peer ----------------------------------------------------------------------------------


def _peer(server: Postgres) -> Callable[[], object] | None:
    try:
        from eventsourcing.application import Application
        from eventsourcing.domain import Aggregate
    except ImportError:
        return None

    class Order(Aggregate):
        def __init__(self, data: str) -> None:
            self.data = data

    application: Any = Application(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": "bench",
            "POSTGRES_HOST": server.host,
            "POSTGRES_PORT": "5432",
            "POSTGRES_USER": "postgres",
            "POSTGRES_PASSWORD": "",
        }
    )
    data = json.dumps(_REQUEST["data"])
    return lambda: application.save(Order(data))


def measure(*, quick: bool) -> Iterator[Line]:
    """Yield one line per measurement."""
    calls, rounds = (100, 3) if quick else (300, 9)
    server = Postgres()
    try:
        with server.connect() as connection:
            connection.execute("CREATE DATABASE bench")
        yield from _measure(server, calls, rounds)
    finally:
        server.stop()


def _measure(server: Postgres, calls: int, rounds: int) -> Iterator[Line]:
    storage, tracker = _ours(server)
    storage.create_all()
    tracker.journeys.publish([a_journey()])
    tracker.track(_REQUEST, "first")
    for client in range(_CLIENTS):
        tracker.track(_request_of(client), f"first of {client}")
    hand = ByHand(server.conninfo("bench"))
    yield from _against_hand_written(server, tracker, hand, calls, rounds)
    yield related(
        "one event on PostgreSQL, asynchronous against synchronous",
        *both_colours(server.url("bench"), tracker, _REQUEST, _key, calls=calls, rounds=rounds),
    )
    yield from _against_peer(server, tracker, calls, rounds)
    hand.close()
    storage.close()


def _against_hand_written(
    server: Postgres, tracker: Tracker, hand: ByHand, calls: int, rounds: int
) -> Iterator[Line]:
    one, by_hand = alternate(lambda: tracker.track(_REQUEST, _key()), hand.one, calls, rounds)
    yield compared("one event on PostgreSQL against hand-written", by_hand, one, at_least=1.2)
    pairs = [
        (_seconds(_track_as_client, server, calls), _seconds(_write_as_client, server, calls))
        for _ in range(max(rounds // 2, 1))
    ]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    yield compared(f"  with {_CLIENTS} clients at once", theirs, ours, at_least=1)

    batch, bulk = alternate(
        lambda: tracker.track_many([(_REQUEST, _key()) for _ in range(_BATCH)]),
        hand.batch,
        max(calls // 20, 5),
        rounds,
    )
    yield compared(
        f"a batch of {_BATCH} on PostgreSQL against our single events",
        one,
        batch / _BATCH,
        at_least=7,
    )
    yield compared(
        f"a batch of {_BATCH} on PostgreSQL against hand-written bulk", bulk, batch, at_least=0.65
    )


def _against_peer(server: Postgres, tracker: Tracker, calls: int, rounds: int) -> Iterator[Line]:
    peer = _peer(server)
    if peer is None:
        yield absent("one aggregate of `eventsourcing`", "eventsourcing")
    else:
        theirs, ours = alternate(peer, lambda: tracker.track(_REQUEST, _key()), calls, rounds)
        yield related("one aggregate of `eventsourcing` against one event of ours", theirs, ours)
