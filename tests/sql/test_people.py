"""People who are erased, merged and suppressed on real databases: what is left, and who waits.

The kit says what each call answers. Here is what it cannot see: the bytes of the files, and two
transactions of which one waits for the other, as the server itself says.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine

from segmentflow_core import EnrollmentStatus, Tracker
from segmentflow_core.errors import IdentityBlocked, LeaseLost, NotFound
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey
from segmentflow_sql import SqlStorage, metadata, open_storage
from segmentflow_sql.statements import all_statements, statements_for

LEVELS = [
    pytest.param(level, marks=pytest.mark.server_side)
    for level in ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
]
STORES = ["sqlite", *LEVELS]
CANARY = "canary-4111"


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


def seen(email=None, external_id=None, *, event="order.created", properties=None, **fields):
    """Return a request about a person."""
    given = {"email": email, "externalId": external_id, "properties": properties}
    profile = {name: value for name, value in given.items() if value is not None}
    return {"event": event, "profile": profile, **fields}


@pytest.fixture(params=STORES)
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return request.getfixturevalue("postgres").url(request.getfixturevalue("shop"))


@pytest.fixture
def tracker(request, url):
    level = request.node.callspec.params["url"]
    options = {} if level == "sqlite" else {"isolation_level": level}
    storage = SqlStorage(create_engine(url, **options), wait=30)
    storage.create_all()
    yield a_tracker(storage)
    assert level == "sqlite" or storage._engine.pool.checkedout() == 0
    storage.close()


# --- what an erasure leaves ---------------------------------------------------------------------


def emptied(url, request):
    """Give back what is free, and return every byte that the database keeps of its rows."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        files = [path, *path.parent.glob(f"{path.name}-*")]
        found = b"".join(each.read_bytes() for each in files)
        connection.close()
        return found
    postgres, name = request.getfixturevalue("postgres"), url.split("/")[3].split("?")[0]
    with postgres.connect(name) as connection:
        # Samples of the rows are kept by ANALYZE; it forgets those of before.
        connection.execute("ANALYZE")
        connection.execute("VACUUM FULL")
        connection.execute("CHECKPOINT")
        (number,) = connection.execute(
            "SELECT oid FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        (folder,) = connection.execute("SHOW data_directory").fetchone()
        rows = [
            f"{row}"
            for table in metadata.tables
            for row in connection.execute(f"SELECT t.*, t::text FROM {table} AS t")
        ]
    files = sorted(Path(folder, "base", str(number)).iterdir())
    return b"".join(each.read_bytes() for each in files) + "".join(rows).encode()


@pytest.fixture
def lived(tracker):
    """Let a person with a canary in all that she gives live a while; return an id of hers."""
    tracker.journeys.publish(
        [
            a_journey(reentry={"policy": "once_per_key", "key": ["/event/orderId"]}),
            a_journey("other", trigger={"event": "other"}),
        ]
    )
    mails = [f"{CANARY}-{n}@example.com" for n in range(3)]
    data = {"orderId": f"{CANARY}-order", "of": {"depth": [CANARY]}}
    everything = {"data": data, "referenceId": f"{CANARY}-reference"}
    for n, email in enumerate((mails[0], mails[1])):
        properties = {f"{CANARY}-{n}": CANARY, "plan": n}
        request = seen(email, f"{CANARY}-id", properties=properties, **everything)
        tracker.track(request, f"{CANARY}-key-{n}")
    tracker.track_many(
        [
            (seen(mails[2], f"{CANARY}-other-id", **everything, event="other"), f"{CANARY} b{n}")
            for n in range(3)
        ]
    )
    for claimed in tracker.enrollments.claim(limit=1):
        tracker.enrollments.release(claimed.lease, error=f"No mail to {CANARY}")
    receipt = tracker.track(seen(mails[1], **everything), f"{CANARY}-last")
    tracker.people.merge(mails[1], mails[2])
    # Somebody else is in every table: of one that is empty, PostgreSQL's ANALYZE forgets nothing.
    tracker.track(seen("before@example.com", "someone", event="else"), "someone's")
    tracker.track(seen("someone@example.com", "someone", data={"orderId": 1}), "someone's 2")
    return receipt.profile_id


def every_event(tracker):
    return sorted(tracker.records.events(limit=100), key=lambda event: event.event_id)


def told_without(event):
    """Return what stays of an event."""
    return event.event_id, event.event, event.occurred_at, event.received_at, event.outcomes


def test_an_erasure_leaves_no_digest_in_a_journey_that_was_archived(request, tracker, url):
    cancels = [{"event": "order.paid", "same": ["/event/email"]}]
    tracker.journeys.publish([a_journey("cart", cancelOn=cancels)])
    for name in ("alex", "sam"):
        email = f"{name}@example.com"
        tracker.track(seen(email, data={"email": email}), name)
    digests = {
        entry.enrollment_id: entry.cancellers.digests[0].encode()
        for entry in tracker.enrollments.list()
    }
    tracker.journeys.archive("cart")
    kept = emptied(url, request)
    assert all(digest in kept for digest in digests.values())
    assert tracker.people.erase("alex@example.com").done
    (hers,) = tracker.enrollments.list(profile_id=tracker.records.events()[-1].profile_id)
    kept = emptied(url, request)
    assert [digest in kept for digest in digests.values()].count(True) == 1
    assert digests[hers.enrollment_id] not in kept


@pytest.mark.parametrize("block", [False, True], ids=["free", "blocked"])
def test_an_erasure_leaves_no_byte_of_a_person(request, tracker, url, lived, block):
    assert CANARY.encode() in emptied(url, request)
    before = every_event(tracker)
    erasure = tracker.people.erase(f"{CANARY}-2@example.com", block=block)
    again = [
        (seen(f"{CANARY}-{n}@example.com", f"{CANARY}-id", data={"late": n}), f"{CANARY}-key-{n}")
        for n in (0, 1)
    ]
    answers = [*tracker.track_many(again), *(tracker.track(*each) for each in again)]
    assert all(receipt.replayed for receipt in answers)
    assert list(map(told_without, every_event(tracker))) == list(map(told_without, before))
    (kept,) = [event for event in every_event(tracker) if event.data]
    assert kept == before[-1]
    assert erasure.scrubbed > len(before)
    assert CANARY.encode() not in emptied(url, request)


def rows_of(url, table, names):
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f"SELECT {names} FROM {table}").fetchall()
    engine.dispose()
    return found


def test_an_erasure_leaves_no_digest_of_what_a_person_sent(tracker, url, lived):
    tracker.people.erase(lived)
    claims = rows_of(url, "segmentflow_claims", "scheme, key_id, digest, event_id")
    kept = {row[3] for row in claims if row[:3] != (None, None, None)}
    events = rows_of(url, "segmentflow_events", "event_id, key_start")
    assert {event_id for event_id, start in events if start is not None} == kept
    assert (len(kept), len(claims), len(events)) == (2, 8, 8)
    keys = rows_of(url, "segmentflow_enrollments", "entry_key, status")
    assert [status for key, status in keys if key is not None] == ["pending"]


SCRIPT = """
    import os, signal, sys
    from segmentflow_core import People
    from segmentflow_sql import open_storage

    storage = open_storage(sys.argv[1])
    People(storage).erase(sys.argv[2], on_progress=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.parametrize("goes_on", ["by erasing again", "by finishing"])
def test_an_erasure_that_was_killed_goes_on(request, tracker, url, goes_on):
    person = {"email": f"{CANARY}@example.com"}
    requests = [{"event": "e", "profile": person, "data": {"n": CANARY}}] * 400
    (receipt, *_) = tracker.track_many([(each, f"{n}") for n, each in enumerate(requests)])
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), url, receipt.profile_id],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    left = [event for event in every_event_of_all(tracker) if event.data]
    assert 0 < len(left) < 400
    if goes_on == "by finishing":
        assert tracker.people.finish_erasures() == 1
    else:
        assert tracker.people.erase(receipt.profile_id).scrubbed == 2 * len(left)
    assert tracker.people.finish_erasures() == 0
    assert CANARY.encode() not in emptied(url, request)


def every_event_of_all(tracker):
    return tracker.records.events(limit=1000)


# --- what is blocked ----------------------------------------------------------------------------


def test_what_was_blocked_is_refused_by_every_process(tracker, url, lived):
    mail = f"{CANARY}-1@example.com"
    tracker.people.erase(lived, block=True)
    other = open_storage(url)
    for each in (tracker, a_tracker(other)):
        for who in (seen(mail), seen(None, f"{CANARY}-other-id"), seen("new@x.de", f"{CANARY}-id")):
            with pytest.raises(IdentityBlocked):
                each.track(who, "again")
        answers = each.track_many([(seen(mail), "a"), (seen("free@example.com"), "b")])
        assert isinstance(answers[0], IdentityBlocked)
        assert not isinstance(answers[1], Exception)
        with pytest.raises(IdentityBlocked):
            each.explain(seen(mail))
    with pytest.raises(NotFound):
        tracker.people.suppress(mail)
    other.close()


def test_what_one_organization_blocks_another_may_use(tracker):
    for name in ("a", "b"):
        tracker.track(seen("alex@example.com"), "key", organization_id=name)
        tracker.people.erase("alex@example.com", block=True, organization_id=name)
    tracker.track(seen("alex@example.com"), "key", organization_id="c")
    for name in ("a", "b"):
        with pytest.raises(IdentityBlocked):
            tracker.track(seen("alex@example.com"), "later", organization_id=name)


def test_hashes_are_of_a_secret_that_is_the_organizations_own(tracker, url):
    for name in ("a", "b"):
        tracker.track(seen("alex@example.com"), "key", organization_id=name)
        tracker.people.erase("alex@example.com", block=True, organization_id=name)
        tracker.track(seen("chris@example.com"), "key 2", organization_id=name)
        tracker.people.erase("chris@example.com", block=True, organization_id=name)
    kept = rows_of(url, "segmentflow_identities", "kind, value")
    secrets = [value for kind, value in kept if kind == "block_secret"]
    assert len(set(secrets)) == len(secrets) == 2
    assert len({value for kind, value in kept if kind == "blocked"}) == 4


# --- what it costs ------------------------------------------------------------------------------

INDEXES = {
    "lock_people": "segmentflow_profiles_pkey",
    "unfinished_enrollments": "segmentflow_enrollments_of_profile",
    "unscrubbed_events": "segmentflow_events_of_profile",
    "unscrubbed_enrollments": "segmentflow_enrollments_of_profile",
    "scrub_events": "segmentflow_events_pkey",
    "scrub_key_claim": "segmentflow_claims_pkey",
    "claims_of_gone_events": "segmentflow_claims_of_gone_events",
    "scrub_key_claims": "segmentflow_claims_pkey",
    "scrub_enrollments": "segmentflow_enrollments_pkey",
    "scrub_versions": "segmentflow_profile_versions_pkey",
    "unscrubbed_versions": "segmentflow_profile_versions_pkey",
    "note_scrubbed": "segmentflow_profiles_pkey",
    "unscrubbed_profiles": "segmentflow_profiles_unscrubbed",
    "blocked_identities": "segmentflow_identities_pkey",
}
LISTS = {"profile_ids", "event_ids", "enrollment_ids", "versions", "hashes", "digests"}


def about_people(database):
    """Return the statements that read or change what a Profile has, by name."""
    known = statements_for(database)
    found = [*all_statements(known.people), known.tracking.blocked_identities]
    apart = ("block_identities", "add_audit", "list_audit")
    return {each.name: each for each in found if each.name not in apart}


def test_every_statement_about_people_has_its_index():
    assert set(about_people("sqlite")) == set(INDEXES)


@pytest.mark.parametrize("name", INDEXES)
def test_a_statement_about_people_on_sqlite_reads_no_whole_organization(tmp_path, name):
    storage = open_storage(f"sqlite:///{tmp_path / 'store.db'}")
    storage.create_all()
    storage.close()
    statement = about_people("sqlite")[name]
    given = ["[]" if each in LISTS else 1 for each in statement.parameters]
    connection = sqlite3.connect(tmp_path / "store.db")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", given)]
    connection.close()
    assert not [step for step in plan if "(organization_id=?)" in step], plan
    assert not [step for step in plan if step.startswith("SCAN") and "each_" not in step], plan


@pytest.mark.server_side
@pytest.mark.parametrize("name", INDEXES)
def test_a_statement_about_people_on_postgresql_goes_by_its_index(crowded, name):
    statement = about_people("postgresql")[name]
    one = "019bf964-302b-7a7f-add2-589343ef9f31"
    given = {
        "organization_id": "default",
        **dict.fromkeys(("profile_id", "event_id", "scrubbed_to"), one),
        **dict.fromkeys(("profile_ids", "event_ids", "enrollment_ids"), f"{{{one}}}"),
        "versions": "{1,2}",
        "hashes": "{a,b}",
        "digests": "{a,b}",
        "first": "7",
        "beyond": "7~",
        "limit": 100,
    }
    cursor = psycopg.RawCursor(crowded)
    cursor.execute(f"EXPLAIN {statement.text}", statement.arguments(**given), prepare=True)
    plan = "\n".join(line for (line,) in cursor.fetchall())
    assert INDEXES[name] in plan, plan
    assert "Seq Scan" not in plan, plan


# --- who waits for whom -------------------------------------------------------------------------


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture
def two(postgres, shop, level):
    """Give a tracker in a host's transaction, and a function that runs a call which waits for it.

    The function commits the host's transaction once the server says that the call waits, and
    returns what the call returned.
    """
    storage = SqlStorage(create_engine(postgres.url(shop), isolation_level=level), wait=30)
    others = a_tracker(storage)
    others.journeys.publish([a_journey(reentry={"policy": "once"})])
    host = psycopg.connect(postgres.conninfo(shop))
    host.isolation_level = psycopg.IsolationLevel[level.replace(" ", "_")]
    held = a_tracker(SqlStorage.bound_to(host))

    def after_waiting(call):
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(call)
            postgres.wait_for_a_waiter(shop)
            host.commit()
            return waiting.result()

    yield held, others, after_waiting
    host.close()
    assert storage._engine.pool.checkedout() == 0
    storage.close()


def two_people(tracker):
    """Track two people; return the ids of their Profiles."""
    one = tracker.track(seen("one@example.com", "1", properties={"a": 1}), "one")
    other = tracker.track(seen("other@example.com", "2", properties={"b": 2}), "other")
    return one.profile_id, other.profile_id


@pytest.mark.parametrize("who", ["one@example.com", "other@example.com"])
def test_an_event_that_waits_for_a_merge_is_the_survivors(two, who):
    held, others, after_waiting = two
    one, other = two_people(others)
    held.people.merge(one, other)
    receipt = after_waiting(lambda: others.track(seen(who, properties={"c": 3}), "late"))
    profile = others.records.profile(other)
    assert receipt.profile_id == profile.profile_id == one
    assert profile.properties == {"a": 1, "b": 2, "c": 3}
    # Both had entered: neither enters again.
    assert (receipt.matched_journeys, receipt.enrolled_journeys) == (1, 0)
    assert others.records.event(receipt.event_id).number == 2


@pytest.mark.parametrize("who", ["one@example.com", "other@example.com"])
def test_a_merge_that_waits_for_an_event_has_what_it_said(two, who):
    held, others, after_waiting = two
    one, other = two_people(others)
    held.track(seen(who, properties={"c": 3}), "open")
    merge = after_waiting(lambda: others.people.merge(one, other))
    assert merge.changed
    assert merge.profile.properties == {"a": 1, "b": 2, "c": 3}
    assert len(others.records.why(one).events) == 3


def test_an_event_that_waits_for_an_erasure_founds_a_new_profile(two):
    held, others, after_waiting = two
    one, _ = two_people(others)
    held.people.erase(one)
    receipt = after_waiting(lambda: others.track(seen("one@example.com", "1"), "late"))
    assert receipt.profile_id != one
    assert receipt.enrolled_journeys == 1
    assert others.records.event(receipt.event_id).number == 1


def test_an_event_that_waits_for_an_erasure_is_refused_where_that_blocks(two):
    held, others, after_waiting = two
    one, _ = two_people(others)
    held.people.erase(one, block=True)

    def track():
        with pytest.raises(IdentityBlocked):
            others.track(seen(None, "1"), "late")

    after_waiting(track)


def test_an_erasure_that_waits_for_an_event_erases_that_too(two):
    held, others, after_waiting = two
    one, _ = two_people(others)
    receipt = held.track(seen("one@example.com", data={"said": 1}), "open")
    erasure = after_waiting(lambda: others.people.erase(one))
    event = others.records.event(receipt.event_id)
    assert erasure.profile_id == event.profile_id == one
    assert (event.data, event.profile) == ({}, {"properties": {}})


def test_of_two_merges_that_cross_the_first_one_is_made(two):
    held, others, after_waiting = two
    one, other = two_people(others)
    held.people.merge(one, other)
    merge = after_waiting(lambda: others.people.merge(other, one))
    assert (merge.changed, merge.profile.profile_id) == (False, one)


def test_of_three_people_who_are_merged_at_once_one_stays(two):
    held, others, after_waiting = two
    one, other = two_people(others)
    third = others.track(seen("third@example.com", "3"), "third").profile_id
    held.people.merge(one, other)
    merge = after_waiting(lambda: others.people.merge(third, other))
    assert merge.profile.profile_id == third
    assert {others.records.profile(each).profile_id for each in (one, other)} == {third}
    assert [series.profile_id for series in merge.profile.merged] == [one, other]


def test_a_merge_that_waits_for_an_erasure_finds_nobody(two):
    held, others, after_waiting = two
    one, other = two_people(others)
    held.people.erase(other)

    def merge():
        with pytest.raises(NotFound):
            others.people.merge(one, other)

    after_waiting(merge)


def test_an_event_that_waits_for_a_suppression_enrols_nobody(two):
    held, others, after_waiting = two
    others.journeys.publish([a_journey("always")])
    one, _ = two_people(others)
    held.people.suppress(one)
    receipt = after_waiting(lambda: others.track(seen("one@example.com"), "late"))
    assert (receipt.matched_journeys, receipt.enrolled_journeys) == (2, 0)


def statuses(tracker, *profile_ids):
    return [
        enrollment.status
        for profile_id in profile_ids
        for enrollment in tracker.enrollments.list(profile_id=profile_id)
    ]


def test_an_erasure_that_waits_for_a_worker_withdraws_what_it_claimed(two):
    held, others, after_waiting = two
    one, _ = two_people(others)
    claimed = {each.enrollment.profile_id: each for each in held.enrollments.claim(limit=2)}
    erasure = after_waiting(lambda: others.people.erase(one))
    assert erasure.withdrawn == 1
    assert statuses(others, one) == [EnrollmentStatus.WITHDRAWN]
    with pytest.raises(LeaseLost):
        others.enrollments.complete(claimed[one].lease)


def test_a_worker_passes_over_what_is_being_erased(two):
    held, others, _ = two
    one, other = two_people(others)
    held.people.erase(one)
    claimed = others.enrollments.claim(limit=2)
    assert [each.enrollment.profile_id for each in claimed] == [other]


def test_a_merge_that_waits_for_a_worker_leaves_it_what_it_claimed(two):
    held, others, after_waiting = two
    one, other = two_people(others)
    (claimed,) = held.enrollments.claim(limit=1)
    merge = after_waiting(lambda: others.people.merge(other, one))
    assert merge.withdrawn == 1
    assert claimed.enrollment.profile_id == one
    assert statuses(others, other) == [EnrollmentStatus.WITHDRAWN, EnrollmentStatus.CLAIMED]
    completed = others.enrollments.complete(claimed.lease)
    assert completed.status is EnrollmentStatus.COMPLETED
