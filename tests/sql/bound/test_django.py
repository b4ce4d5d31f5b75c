"""In Django's transactions: an event goes with what `atomic` commits or rolls back."""

from __future__ import annotations

import itertools

import django
import pytest
from django.conf import settings
from django.db import ProgrammingError, connections, transaction
from django.utils.functional import empty
from psycopg import IsolationLevel
from sqlalchemy import create_engine

from segmentflow_core import Tracker
from segmentflow_core.errors import (
    ConfigurationError,
    ProfileEmailRequired,
    StorageUnavailable,
)
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_sql import SqlStorage

POSTGRESQL_OPTIONS = {
    "as it comes": {},
    "server-side binding": {"server_side_binding": True},
    "prepared statements": {"prepare_threshold": 0},
    "serializable": {"isolation_level": IsolationLevel.SERIALIZABLE},
    "pool": {"pool": {"min_size": 1, "max_size": 2}},
}
SQLITE_OPTIONS = {
    "SQLite": {},
    "SQLite, immediate": {"transaction_mode": "IMMEDIATE"},
}
_aliases = (f"shop{number}" for number in itertools.count())


@pytest.fixture(autouse=True)
def _django():
    """Give Django settings of our own, and those of other tests back afterwards."""
    before, settings._wrapped = settings._wrapped, empty
    settings.configure(LOGGING_CONFIG=None)
    django.setup()
    yield
    settings._wrapped = before


@pytest.fixture
def connect(_django):
    """Give a function that opens a database in Django's way; closed after the test."""
    opened = []

    def connect(engine, name, options, **where):
        alias = next(_aliases)
        database = {"ENGINE": engine, "NAME": name, "OPTIONS": options, **where}
        configured = connections.configure_settings({"default": database})
        connections.settings[alias] = configured["default"]
        opened.append(alias)
        return connections[alias]

    yield connect
    for alias in opened:
        connection = connections[alias]
        connection.close()
        if hasattr(connection, "close_pool"):
            connection.close_pool()
        del connections[alias]
        del connections.settings[alias]


@pytest.fixture
def on_postgresql(connect, postgres):
    def open_database(name, options):
        engine = "django.db.backends.postgresql"
        return connect(engine, name, options, USER="postgres", HOST=postgres.host)

    return open_database


@pytest.fixture
def on_sqlite(connect, tmp_path):
    return lambda options: connect("django.db.backends.sqlite3", tmp_path / "shop.db", options)


@pytest.fixture(params=[*POSTGRESQL_OPTIONS, *SQLITE_OPTIONS])
def shop(request, tmp_path):
    """Give Django's connection to a database with our tables and one of the host's."""
    if request.param in SQLITE_OPTIONS:
        url = f"sqlite:///{tmp_path / 'shop.db'}"
        connection = request.getfixturevalue("on_sqlite")(SQLITE_OPTIONS[request.param])
    else:
        name = request.getfixturevalue("database")
        url = request.getfixturevalue("postgres").url(name)
        options = POSTGRESQL_OPTIONS[request.param]
        connection = request.getfixturevalue("on_postgresql")(name, options)
    engine = create_engine(url)
    SqlStorage(engine).create_all()
    engine.dispose()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE orders (number integer PRIMARY KEY)")
    yield connection
    connection.rollback()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE orders")


def atomic(shop, **options):
    return transaction.atomic(using=shop.alias, **options)


def write_order(shop, number):
    with shop.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (%s)", [number])


def orders(shop):
    with shop.cursor() as cursor:
        cursor.execute("SELECT number FROM orders ORDER BY number")
        return [number for (number,) in cursor.fetchall()]


def events(shop):
    with shop.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM segmentflow_events")
        return cursor.fetchone()[0]


def track(shop, key="order:1", **request):
    storage = SqlStorage.bound_to(shop.connection)
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET).track(a_request(**request), key)


class Failure(Exception):
    pass


def fail_to_place(shop, number):
    with atomic(shop):
        write_order(shop, number)
        track(shop, f"order:{number}")
        raise Failure


def test_what_atomic_commits_is_there(shop):
    with atomic(shop, durable=True):
        write_order(shop, 1)
        receipt = track(shop)
    assert (orders(shop), events(shop)) == ([1], 1)
    with atomic(shop):
        assert track(shop) == receipt


def test_what_atomic_rolls_back_is_not_and_its_key_is_free(shop):
    with pytest.raises(Failure):
        fail_to_place(shop, 1)
    assert (orders(shop), events(shop)) == ([], 0)
    with atomic(shop):
        assert not track(shop).replayed


def test_an_inner_atomic_that_fails_undoes_its_own_event_alone(shop):
    with atomic(shop):
        write_order(shop, 1)
        track(shop, "order:1")
        with pytest.raises(Failure):
            fail_to_place(shop, 2)
        write_order(shop, 3)
        track(shop, "order:3")
    assert (orders(shop), events(shop)) == ([1, 3], 2)


def test_a_refusal_leaves_atomic_usable(shop):
    with atomic(shop):
        write_order(shop, 1)
        with pytest.raises(ProfileEmailRequired):
            track(shop, profile={"externalId": "unknown"})
        write_order(shop, 2)
        track(shop)
    assert (orders(shop), events(shop)) == ([1, 2], 1)


def test_outside_atomic_it_is_refused(shop):
    shop.ensure_connection()
    with pytest.raises(ConfigurationError, match="open transaction"):
        track(shop)
    assert events(shop) == 0


def test_on_commit_runs_after_the_event_is_there_and_needs_a_transaction_of_its_own(shop):
    seen = []

    def afterwards():
        seen.append(events(shop))
        with atomic(shop):
            seen.append(track(shop).replayed)

    with atomic(shop):
        receipt = track(shop)
        transaction.on_commit(afterwards, using=shop.alias)
        assert seen == []
    assert not receipt.replayed
    assert seen == [1, True]


def test_on_commit_does_not_run_where_the_event_was_undone(shop):
    ran = []
    with atomic(shop):
        track(shop)
        transaction.on_commit(lambda: ran.append(True), using=shop.alias)
        transaction.set_rollback(True, using=shop.alias)
    assert (ran, events(shop)) == ([], 0)


def test_manual_transactions_take_part(shop):
    shop.set_autocommit(False)
    track(shop, "order:1")
    shop.rollback()
    track(shop, "order:2")
    shop.commit()
    shop.set_autocommit(True)
    assert events(shop) == 1


def test_a_transaction_that_has_failed_is_refused_as_such(on_postgresql, database):
    shop = on_postgresql(database, {})
    with atomic(shop):
        with pytest.raises(ProgrammingError):
            orders(shop)
        with pytest.raises(ConfigurationError, match="has failed"):
            track(shop)


def test_a_lost_race_leaves_atomic_usable_and_is_the_hosts_to_try_again(
    postgres, database, on_postgresql
):
    storage = SqlStorage(create_engine(postgres.url(database)))
    shop = on_postgresql(database, POSTGRESQL_OPTIONS["serializable"])
    with atomic(shop):
        assert events(shop) == 0  # the snapshot is taken here
        receipt = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET).track(a_request(), "order:1")
        with pytest.raises(StorageUnavailable):
            track(shop)
        assert events(shop) == 0
    with atomic(shop):
        assert track(shop) == receipt
    storage.close()


@pytest.mark.parametrize(
    ("options", "refused"), [({}, True), ({"transaction_mode": "IMMEDIATE"}, False)]
)
def test_on_sqlite_a_transaction_that_began_by_reading_may_come_too_late_to_write(
    on_sqlite, tmp_path, options, refused
):
    storage = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'shop.db'}"), wait=0.01)
    storage.create_all()
    shop = on_sqlite(options)
    other = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    with atomic(shop):
        assert events(shop) == 0
        if refused:
            other.track(a_request(), "order:2")
            with pytest.raises(StorageUnavailable):
                track(shop, "order:1")
        else:
            with pytest.raises(StorageUnavailable, match="keeps writing"):
                other.track(a_request(), "order:2")
            track(shop, "order:1")
    assert events(shop) == 1
    storage.close()
