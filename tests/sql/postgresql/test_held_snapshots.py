"""What a session that holds a snapshot keeps the server from forgetting costs a claim one look."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import create_engine

from segmentflow_core.testing import a_journey, a_request
from segmentflow_sql import SqlStorage
from store_trackers import a_tracker

DONE = 300
READ = """SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes
WHERE relname = 'segmentflow_enrollments'"""


@pytest.fixture
def entries_read(postgres, shop):
    """Give a function that says how many entries of Enrollments' indexes a call has read.

    A session tells what it has read once it ends: until then it is not known.
    """
    watcher = psycopg.connect(postgres.conninfo(shop), autocommit=True)
    tracking = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tracking'"

    def entries_read_so_far():
        while watcher.execute(tracking).fetchone() != (0,):
            pass
        return watcher.execute(READ).fetchone()[0]

    def entries_read(call):
        before = entries_read_so_far()
        call(a_store(postgres, shop))
        return entries_read_so_far() - before

    yield entries_read
    watcher.close()


def a_store(postgres, shop):
    options = {"connect_args": {"application_name": "tracking"}}
    return SqlStorage(create_engine(postgres.url(shop), **options))


@pytest.mark.parametrize("everywhere", [False, True], ids=["an Organization", "all of them"])
def test_a_claim_passes_over_what_is_done_once(postgres, shop, entries_read, everywhere):
    storage = a_store(postgres, shop)
    tracker = a_tracker(storage)
    tracker.journeys.publish([a_journey()])
    with (
        psycopg.connect(postgres.conninfo(shop)) as holding,
        psycopg.connect(postgres.conninfo(shop)) as busy,
    ):
        holding.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holding.execute("SELECT count(*) FROM segmentflow_events")
        tracker.track_many([(a_request(), f"{n}") for n in range(DONE)])
        done = tracker.enrollments.claim(limit=DONE)
        tracker.enrollments.complete_many([each.lease for each in done])
        tracker.track(a_request(), "waits, and is not to be had")
        storage.close()
        postgres.connect(shop).execute("ANALYZE segmentflow_enrollments").connection.close()
        busy.execute("SELECT FROM segmentflow_enrollments WHERE status = 'pending' FOR UPDATE")
        organization = {"organization_id": None} if everywhere else {}

        def claims(count):
            def claim(storage):
                enrollments = a_tracker(storage).enrollments
                for _ in range(count):
                    assert enrollments.claim(limit=10, **organization) == []
                storage.close()

            return entries_read(claim)

        # The first ones of a session are planned, for which the server reads indexes too.
        assert DONE <= (claims(30) - claims(20)) / 10 < DONE + 10
