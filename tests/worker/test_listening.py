"""Workers on PostgreSQL are woken by other processes: nothing here waits for a poll."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_cli import main
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import AsyncSqlStorage, SqlStorage
from segmentflow_worker import AsyncWorker, LoggingObserver, Worker, wakes

LONG = timedelta(days=1)
LISTENING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE query LIKE 'LISTEN%%' AND state = 'idle' AND datname = current_database()"
)


class Heard(LoggingObserver):
    def __init__(self):
        self.claims = queue.SimpleQueue()

    def claimed(self, details):
        self.claims.put(details.count)


@pytest.fixture
def url(postgres, new_database):
    url = postgres.url(new_database())
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    storage.close()
    return url


@pytest.fixture
def tracker(url):
    """Give a tracker of another process, as far as a worker can tell."""
    storage = SqlStorage(create_engine(url))
    notifier = storage.notifier()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, observers=[wakes(notifier)])
    tracker.journeys.publish([a_journey()])
    yield tracker
    notifier.close()
    storage.close()


def the_worker(kind, url, handled, heard, **options):
    """Give a worker that would poll once a day, its storage, and what runs it."""
    given = {"poll": LONG, "longest_poll": LONG, "observers": [heard], **options}
    handlers = {"welcome": lambda assignment: handled.put(assignment.event.reference_id)}
    if kind is Worker:
        storage = SqlStorage(create_engine(url))
        worker = Worker(storage, handlers, **given)
        return worker, lambda: (worker.run(), storage.close())
    storage = AsyncSqlStorage(create_async_engine(url))
    worker = AsyncWorker(storage, handlers, **given)

    async def run():
        await worker.run()
        await storage.close()

    return worker, lambda: asyncio.run(run())


@contextmanager
def working(kind, url, **options):
    """Let a worker run in a thread; give what it handled, and what its claims were handed."""
    handled, heard = queue.SimpleQueue(), Heard()
    worker, run = the_worker(kind, url, handled, heard, **options)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        with create_engine(url).connect() as connection:
            while not connection.exec_driver_sql(LISTENING).scalar():
                connection.rollback()
        connection.engine.dispose()
        yield worker, handled, heard.claims
    finally:
        worker.stop()
        thread.join()


@pytest.mark.parametrize("kind", [Worker, AsyncWorker])
def test_a_worker_is_woken_by_what_another_process_tracks(tracker, url, kind):
    with working(kind, url) as (_, handled, _claims):
        for number in range(3):
            tracker.track(a_request(referenceId=f"{number}"), f"{number}")
            assert handled.get(timeout=60) == f"{number}"


def test_both_listen_and_notify_anew_when_their_sessions_ended(tracker, url, postgres):
    with working(Worker, url) as (_, handled, claims):
        tracker.track(a_request(referenceId="1"), "1")
        assert handled.get(timeout=60) == "1"
        while claims.get(timeout=60):
            pass
        postgres.terminate()
        tracker.track(a_request(referenceId="2"), "2")
        assert handled.get(timeout=60) == "2"
        while not claims.empty():
            claims.get()
        tracker.track(a_request(referenceId="3"), "3")
        assert handled.get(timeout=60) == "3"


def test_nobody_listens_where_it_was_not_asked_for(url):
    handled, heard = queue.SimpleQueue(), Heard()
    worker, run = the_worker(Worker, url, handled, heard, listen=False)
    with create_engine(url).connect() as connection:
        thread = threading.Thread(target=run)
        thread.start()
        assert heard.claims.get(timeout=60) == 0
        sessions = connection.exec_driver_sql(LISTENING).scalar()
        worker.stop()
        thread.join()
    connection.engine.dispose()
    assert sessions == 0


def test_a_notifier_that_is_closed_has_told_all(url):
    """A command that tracks one event and ends tells of it before it does."""
    engine = create_engine(url)
    storage = SqlStorage(engine)
    woken = threading.Event()
    with storage.listening(woken.set):
        assert woken.wait(60)  # it listens
        woken.clear()
        notifier = storage.notifier()
        notifier.wake()
        notifier.close()
        assert woken.wait(60)
        notifier.wake()  # and no thread begins any more
        assert not notifier._thread.is_alive()
    storage.close()


def test_the_command_tells_of_what_it_tracks(tracker, url, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", FINGERPRINT_SECRET)
    request = tmp_path / "request.json"
    request.write_text(json.dumps(a_request(referenceId="by the command")))
    with working(Worker, url) as (_, handled, _claims):
        assert main(["track", str(request), "--idempotency-key", "1", "--store", url]) == 0
        assert handled.get(timeout=60) == "by the command"
    assert "Recorded." in capsys.readouterr().out


def test_what_has_no_notify_is_polled(url, tmp_path):
    kin = create_engine(url, execution_options={"segmentflow_database": "yugabytedb"})
    for engine in (create_engine(f"sqlite:///{tmp_path / 'store.db'}"), kin):
        storage = SqlStorage(engine)
        assert storage.notifier() is None
        before = threading.active_count()
        with storage.listening(lambda: None):
            assert threading.active_count() == before
        storage.close()
