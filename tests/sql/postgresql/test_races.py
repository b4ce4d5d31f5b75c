"""Many callers at once on PostgreSQL: one event a key, one Profile an identity, one entry."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from segmentflow_core import Receipt, SegmentflowError, Tracker
from segmentflow_core.errors import IdempotencyInProgress, IdempotencyKeyReuse
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import SqlStorage

pytestmark = pytest.mark.server_side
ISOLATION_LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


@pytest.fixture
def new_storage(postgres, database):
    """Give a function that opens the test's database once more."""
    opened = []

    def open_(**options):
        wait = options.pop("wait", 30)
        storage = SqlStorage(create_engine(postgres.url(database), **options), wait=wait)
        opened.append(storage)
        return storage

    yield open_
    for storage in opened:
        assert storage._engine.pool.checkedout() == 0
        storage.close()


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


def at_once(calls, clients):
    """Run all calls on that many threads, which start together; return their results."""
    start = threading.Barrier(clients)
    shares = [calls[client::clients] for client in range(clients)]

    def run(share):
        start.wait()
        return [call() for call in share]

    with ThreadPoolExecutor(clients) as pool:
        return [result for results in pool.map(run, shares) for result in results]


def outcome(call):
    try:
        return call()
    except SegmentflowError as error:
        return error


@pytest.mark.parametrize("isolation_level", ISOLATION_LEVELS)
def test_sixteen_clients_with_the_same_keys_make_one_event_for_each(new_storage, isolation_level):
    """A quarter of them sends another request under each key; who comes first is right."""
    clients, keys = 16, 60
    storage = new_storage(isolation_level=isolation_level, pool_size=clients)
    tracker = a_tracker(storage)
    results: list[dict] = [{} for _ in range(clients)]

    def client(number):
        order = list(range(keys))
        random.Random(number).shuffle(order)
        for key in order:
            request = a_request(
                profile={"email": f"p{key % 7}@example.com"},
                data={"key": key, "another": number % 4 == 0},
            )
            results[number][key] = outcome(lambda: tracker.track(request, f"key {key}"))  # noqa: B023

    at_once([lambda number=number: client(number) for number in range(clients)], clients)
    events = {event.data["key"]: event for event in tracker.records.events(limit=1000)}
    assert len(tracker.records.events(limit=1000)) == len(events) == keys
    for key, event in events.items():
        for number in range(clients):
            result = results[number][key]
            if event.data["another"] == (number % 4 == 0):
                assert isinstance(result, Receipt), result
                assert result.event_id == event.event_id
            else:
                assert isinstance(result, IdempotencyKeyReuse), result
                assert result.details["changedPaths"] == ["/data/another"]


@pytest.mark.parametrize("isolation_level", ISOLATION_LEVELS)
def test_five_hundred_first_seen_events_for_one_email_make_one_profile(
    new_storage, isolation_level
):
    storage = new_storage(isolation_level=isolation_level, pool_size=32)
    tracker = a_tracker(storage)
    receipts = at_once(
        [lambda n=n: tracker.track(a_request(data={"n": n}), f"key {n}") for n in range(500)], 32
    )
    assert len({receipt.profile_id for receipt in receipts}) == 1
    assert len({receipt.event_id for receipt in receipts}) == 500


def test_crossed_batches_of_new_identities_make_one_profile_each(new_storage):
    """Half of the batches name the same new emails and external ids in the other order."""
    tracker = a_tracker(new_storage(pool_size=16))
    pairs = [
        a_request(profile={"email": f"p{n}@example.com", "externalId": f"x{50 - n}"})
        for n in range(50)
    ]

    def batch(number):
        requests = pairs if number % 2 else pairs[::-1]
        return tracker.track_many(
            [(request, f"{number} {place}") for place, request in enumerate(requests)]
        )

    batches = at_once([lambda n=n: batch(n) for n in range(32)], 16)
    answers = [batch if number % 2 else batch[::-1] for number, batch in enumerate_by_key(batches)]
    for place in range(50):
        profiles = {answer[place].profile_id for answer in answers}
        assert len(profiles) == 1
    assert len({answers[0][place].profile_id for place in range(50)}) == 50


@pytest.mark.parametrize("isolation_level", ISOLATION_LEVELS)
def test_crossed_identities_of_two_profiles_are_refused_without_a_deadlock(
    new_storage, postgres, database, isolation_level
):
    """Bound storage runs nothing again, so that a deadlock would be told of."""
    storage = new_storage(isolation_level=isolation_level, pool_size=4)
    tracker = a_tracker(storage)
    for name in ("a", "b"):
        tracker.track(a_request(profile={"email": f"{name}@example.com", "externalId": name}), name)
    engine = create_engine(
        postgres.url(database), isolation_level=isolation_level, pool_size=4, max_overflow=0
    )

    def crossed(number):
        email, external_id = ("a", "b") if number % 2 else ("b", "a")
        profile = {"email": f"{email}@example.com", "externalId": external_id}
        while True:
            try:
                with engine.begin() as connection:
                    bound = a_tracker(SqlStorage.bound_to(connection, wait=30))
                    call = partial(bound.track, a_request(profile=profile), f"crossed {number}")
                    return outcome(call)
            except OperationalError as error:
                # At SERIALIZABLE a host runs its own transaction again; a deadlock is 40P01.
                if error.orig.sqlstate != "40001":
                    raise

    refusals = at_once([lambda n=n: crossed(n) for n in range(80)], 4)
    engine.dispose()
    assert {refusal.code for refusal in refusals} == {"identity_conflict"}


def enumerate_by_key(batches):
    """`at_once` deals calls out to clients in turn: give each batch its number back."""
    clients = 16
    per_client = len(batches) // clients
    return [
        (client + clients * turn, batches[client * per_client + turn])
        for client in range(clients)
        for turn in range(per_client)
    ]


def test_crossed_batches_with_the_same_keys_wait_for_each_other_and_do_not_deadlock(new_storage):
    tracker = a_tracker(new_storage(pool_size=8))
    calls = [
        (a_request(profile={"email": f"p{n % 10}@example.com"}, data={"n": n}), f"key {n}")
        for n in range(200)
    ]
    batches = at_once(
        [lambda n=n: tracker.track_many(calls if n % 2 else calls[::-1]) for n in range(8)], 8
    )
    events = [[receipt.event_id for receipt in batch] for batch in batches]
    assert all(batch in (events[1], events[1][::-1]) for batch in events)
    assert len(tracker.records.events(limit=1000)) == 200


@pytest.mark.parametrize("isolation_level", ISOLATION_LEVELS)
def test_once_lets_a_profile_in_once_however_many_events_come_at_once(new_storage, isolation_level):
    tracker = a_tracker(new_storage(isolation_level=isolation_level, pool_size=25))
    once = a_journey("once", reentry={"policy": "once"})
    per_order = a_journey("order", reentry={"policy": "once_per_key", "key": ["/event/order"]})
    cooling = a_journey("cooling", reentry={"policy": "cooldown", "duration": "PT1H"})
    tracker.track(a_request("known"), "known")
    tracker.journeys.publish({"journeys": [once, per_order, cooling]})
    receipts = at_once(
        [
            lambda n=n: tracker.track(a_request(data={"order": n % 2}), f"key {n}")
            for n in range(50)
        ],
        25,
    )
    entered = [enrollment.journey_id for enrollment in tracker.enrollments.list(limit=1000)]
    assert [entered.count(name) for name in ("once", "order", "cooling")] == [1, 2, 1]
    assert sum(receipt.enrolled_journeys for receipt in receipts) == 4


def test_two_publications_at_once_make_two_versions(new_storage):
    tracker = a_tracker(new_storage(pool_size=8))
    tracker.journeys.publish({"journeys": [a_journey()]})
    published = at_once(
        [
            lambda n=n: tracker.journeys.publish({"journeys": [a_journey(name=f"Name {n}")]})
            for n in range(8)
        ],
        8,
    )
    versions = {item.journey.version: item.journey.definition.name for (item,) in published}
    assert sorted(versions) == list(range(2, 10))
    for version, name in versions.items():
        assert tracker.journeys.get("welcome", version).definition.name == name
    assert tracker.journeys.get("welcome").version == 9


def test_purge_goes_on_while_traffic_runs(new_storage):
    """Keys that expire at once are taken again and purged at the same time."""
    storage = new_storage(pool_size=12)
    tracker = a_tracker(storage)
    brief = Tracker(
        storage, fingerprint_key=FINGERPRINT_SECRET, key_lifetime=timedelta(microseconds=1)
    )

    def traffic(number):
        return [brief.track(a_request(), f"key {key}") for key in range(number, number + 40)]

    def purging():
        return [tracker.records.purge_keys(limit=7) for _ in range(40)]

    results = at_once([lambda n=n: traffic(n) for n in range(8)] + [purging] * 4, 12)
    removed = sum(sum(counts) for counts in results if isinstance(counts[0], int))
    receipts = [r for batch in results if isinstance(batch[0], Receipt) for r in batch]
    events = {event.event_id for event in tracker.records.events(limit=1000)}
    assert {receipt.event_id for receipt in receipts} == events
    assert len([receipt for receipt in receipts if not receipt.replayed]) == len(events)
    while count := tracker.records.purge_keys():
        removed += count
    assert 47 <= removed <= len(events)


class OpenCall:
    """A transaction of another process that has taken a key and does not end."""

    def __init__(self, postgres, database, key):
        import psycopg

        self.connection = psycopg.connect(postgres.conninfo(database))
        self.pid = self.connection.info.backend_pid
        bound = SqlStorage.bound_to(self.connection)
        self.receipt = a_tracker(bound).track(a_request(), key)


def test_a_duplicate_waits_for_the_first_and_replays_its_receipt(postgres, database, new_storage):
    holder = OpenCall(postgres, database, "key")
    tracker = a_tracker(new_storage())
    with ThreadPoolExecutor(1) as pool:
        duplicate = pool.submit(tracker.track, a_request(), "key")
        postgres.wait_for_a_waiter(database)
        holder.connection.commit()
        assert duplicate.result(30) == holder.receipt
        assert duplicate.result().replayed
    holder.connection.close()


def test_a_duplicate_waits_no_longer_than_the_bound(postgres, database, new_storage):
    holder = OpenCall(postgres, database, "key")
    impatient = a_tracker(new_storage(wait=0.05))
    with pytest.raises(IdempotencyInProgress):
        impatient.track(a_request(), "key")
    holder.connection.rollback()
    assert not impatient.track(a_request(), "key").replayed
    holder.connection.close()


def test_a_holder_that_is_killed_frees_the_waiter(postgres, database, new_storage):
    holder = OpenCall(postgres, database, "key")
    tracker = a_tracker(new_storage())
    with ThreadPoolExecutor(1) as pool:
        duplicate = pool.submit(tracker.track, a_request(), "key")
        postgres.wait_for_a_waiter(database)
        holder.connection.close()
        receipt = duplicate.result(30)
    assert not receipt.replayed
    assert receipt.event_id != holder.receipt.event_id
    assert len(tracker.records.events()) == 1


def test_another_call_about_a_profile_waits_for_it_and_sees_what_it_left(
    postgres, database, new_storage
):
    tracker = a_tracker(new_storage())
    tracker.track(a_request(), "earlier")
    holder = OpenCall(postgres, database, "one")
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(tracker.track, a_request(), "two")
        postgres.wait_for_a_waiter(database)
        holder.connection.commit()
        assert other.result(30).profile_id == holder.receipt.profile_id
    holder.connection.close()


@pytest.mark.parametrize("isolation_level", ISOLATION_LEVELS)
@pytest.mark.parametrize("who", [{"email": "alex@example.com"}, {"externalId": "X"}], ids=str)
def test_who_waited_for_a_profile_reads_the_version_that_came_meanwhile(
    new_storage, isolation_level, who
):
    """Its lock leads to the Profile as it is then, and to a version that came after its look."""
    storage = new_storage(isolation_level=isolation_level)
    tracker = a_tracker(storage)
    both = {"email": "alex@example.com", "externalId": "X"}
    first = tracker.track(a_request(profile=both), "first")
    with storage._engine.connect() as connection, ThreadPoolExecutor(1) as pool:
        changing = a_tracker(SqlStorage.bound_to(connection))
        changing.track(a_request(profile={**both, "properties": {"plan": "Pro"}}), "changing")
        waiting = pool.submit(
            tracker.track, a_request(profile={**who, "properties": {"n": 1}}), "waiting"
        )
        while not is_anybody_waiting(storage):
            assert not waiting.done()
        connection.commit()
        last = tracker.records.event(waiting.result().event_id)
    assert (last.profile_id, last.number, last.profile_version) == (first.profile_id, 3, 3)
    assert last.profile["properties"] == {"plan": "Pro", "n": 1}


def is_anybody_waiting(storage):
    with storage._engine.connect() as connection:
        waiting = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return waiting.scalar() > 0
