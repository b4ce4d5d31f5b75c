"""`segmentflow_django.tracker()`: it joins `atomic`, and its observers hear after the commit."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress

import pytest

pytest.importorskip("django", reason="Django is not installed: its app is not tested.")

from django.db import IntegrityError, connections, transaction
from django.db.transaction import TransactionManagementError
from django.test import override_settings

from segmentflow_core import ProfileLimits, Tracker
from segmentflow_core.errors import (
    ConfigurationError,
    InvalidRequest,
    ProfileTooLarge,
    StorageUnavailable,
)
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_django import DjangoStorage, tracker
from segmentflow_sql import open_storage


class Hearing:
    """Notes what it is told of."""

    def __init__(self):
        self.names = []

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda _: self.names.append(name)


HEARD = Hearing()


class Fails:
    """An observer that raises whatever it is told."""

    def __getattr__(self, name):
        def fail(_):
            raise RuntimeError(name)

        return fail


@pytest.fixture
def project(opened):
    """Give a project whose setting names its database."""
    project = opened()
    project.migrate("segmentflow_django")
    with project.connection.cursor() as cursor:
        cursor.execute("CREATE TABLE orders (number integer PRIMARY KEY)")
    HEARD.names.clear()
    given = {
        "DATABASE": project.alias,
        "FINGERPRINT_KEY": FINGERPRINT_SECRET,
        "OBSERVERS": [Fails(), f"{__name__}.HEARD"],
    }
    with override_settings(SEGMENTFLOW=given):
        yield project


def order(project, number):
    with project.connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (%s)", [number])


def orders(project):
    return sorted(number for (number,) in project.rows("SELECT number FROM orders"))


def events(project):
    """Count what another process sees."""
    storage = open_storage(project.url)
    found = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET).records.events()
    storage.close()
    return len(found)


def atomic(project, **how):
    return transaction.atomic(using=project.alias, **how)


class Undone(Exception):
    pass


@contextmanager
def undone(project):
    """Begin a transaction, or a savepoint, and roll it back."""
    with suppress(Undone), atomic(project):
        yield
        raise Undone


def test_an_event_goes_with_what_atomic_commits_or_rolls_back(project):
    with undone(project):
        order(project, 1)
        tracker().track(a_request(), "order:1")
    assert (orders(project), events(project)) == ([], 0)
    with atomic(project):
        order(project, 1)
        assert not tracker().track(a_request(), "order:1").replayed
        with undone(project):
            tracker().track(a_request(), "order:2")
        assert events(project) == 0
    assert (orders(project), events(project)) == ([1], 1)
    assert tracker().track(a_request(), "order:1").replayed
    assert not tracker().track(a_request(), "order:2").replayed


def test_outside_of_atomic_it_has_a_transaction_of_its_own(project):
    receipt = tracker().track(a_request(), "order:1")
    assert events(project) == 1
    assert not project.connection.in_atomic_block
    assert tracker().records.event(receipt.event_id).event == "order.created"
    project.connection.close()
    assert tracker().track(a_request(), "order:1") == receipt


def test_a_refusal_leaves_atomic_usable(project):
    with atomic(project):
        order(project, 1)
        with pytest.raises(InvalidRequest):
            tracker().track({"event": ""}, "order:1")
        order(project, 2)
    assert orders(project) == [1, 2]


def test_a_broken_transaction_is_refused_as_django_refuses_it(project):
    with undone(project):
        order(project, 1)
        with pytest.raises(IntegrityError), atomic(project, savepoint=False):
            order(project, 1)
        with pytest.raises(TransactionManagementError):
            tracker().track(a_request(), "order:1")
    assert (orders(project), events(project)) == ([], 0)


def test_observers_hear_after_the_commit_or_never(project):
    tracker().track(a_request(), "alone")
    assert HEARD.names == ["tracked"]
    with atomic(project):
        tracker().track(a_request(), "alone")
        tracker().track(a_request(), "together")
        with pytest.raises(InvalidRequest):
            tracker().track({}, "refused")
        with undone(project):
            tracker().track(a_request(), "inner")
        assert HEARD.names == ["tracked"]
    assert HEARD.names == ["tracked", "replayed", "tracked", "refused"]
    with undone(project):
        tracker().track(a_request(), "never")
    assert len(HEARD.names) == 4


# Django 6.1 gave it this name.
set_savepoint = getattr(transaction, "savepoint_create", None) or transaction.savepoint


def test_observers_hear_nothing_of_what_a_savepoint_took_back(project):
    using = {"using": project.alias}
    with atomic(project):
        kept = set_savepoint(**using)
        tracker().track(a_request(), "before")
        taken_back = set_savepoint(**using)
        tracker().track(a_request(), "gone")
        with atomic(project):
            inner = set_savepoint(**using)
            tracker().track(a_request(), "gone as well")
            transaction.savepoint_commit(inner, **using)
        transaction.savepoint_rollback(taken_back, **using)
        later = set_savepoint(**using)
        transaction.savepoint_rollback(later, **using)
        tracker().track(a_request(), "after")
        transaction.savepoint_commit(kept, **using)
    assert (events(project), HEARD.names) == (2, ["tracked"] * 2)


def test_a_savepoint_takes_back_what_an_atomic_within_it_recorded(project):
    with atomic(project):
        around = set_savepoint(using=project.alias)
        with atomic(project):
            tracker().track(a_request(), "gone")
        transaction.savepoint_rollback(around, using=project.alias)
    assert (events(project), HEARD.names) == (0, [])


def test_what_lost_a_race_runs_again_only_in_a_transaction_of_its_own(project):
    storage, runs = DjangoStorage(project.alias), []

    def work(_):
        runs.append(project.connection.in_atomic_block)
        if len(runs) % 3:
            raise StorageUnavailable
        return "done"

    assert storage.run(work) == "done"
    assert runs == [True] * 3
    with atomic(project), pytest.raises(StorageUnavailable):
        storage.run(work)
    assert len(runs) == 4

    def never(_):
        runs.append(True)
        raise StorageUnavailable

    with pytest.raises(StorageUnavailable):
        storage.run(never)
    assert len(runs) == 7


@pytest.mark.parametrize("vendor", ["postgresql"])
def test_a_connection_that_broke_is_replaced(project):
    tracker().track(a_request(), "before")
    with connections[project.alias].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = open_storage(project.url)
    with other._engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
    other.close()
    assert not tracker().track(a_request(), "after").replayed
    assert events(project) == 2


def test_each_thread_tracks_on_its_own_connection(project):
    same, receipts = tracker(), []

    def track(number):
        receipts.append(same.track(a_request(), f"{number}"))
        connections[project.alias].close()

    threads = [threading.Thread(target=track, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
        thread.join()
    assert tracker() is same
    assert events(project) == len({receipt.event_id for receipt in receipts}) == 4


def test_a_changed_setting_makes_another_tracker(project):
    before = tracker()
    given = {
        "DATABASE": project.alias,
        "FINGERPRINT_KEY": FINGERPRINT_SECRET,
        "PROFILE_LIMITS": f"{__name__}.LIMITS",
        "CREATE_WITHOUT_EMAIL": True,
    }
    with override_settings(SEGMENTFLOW=given):
        request = a_request(profile={"externalId": "1", "properties": {"a": 1}})
        assert tracker().track(request, "1").profile_id
        with pytest.raises(ProfileTooLarge):
            tracker().track(
                a_request(profile={"externalId": "2", "properties": {"a": 1, "b": 2}}), "2"
            )
    assert tracker() is not before
    assert events(project) == 1


LIMITS = ProfileLimits(max_properties=1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "must be a dict"),
        ({}, "FINGERPRINT_KEY"),
        ({"FINGERPRINT_KEY": "short"}, "at least 32 bytes"),
        ({"FINGERPRINT_SECRET": "x"}, "knows no FINGERPRINT_SECRET"),
        ({"FINGERPRINT_KEY": "x" * 32, "DATABASE": "nowhere"}, "one of DATABASES: default"),
        ({"FINGERPRINT_KEY": "x" * 32, "OBSERVERS": ["no.such"]}, "cannot be imported"),
        ({"FINGERPRINT_KEY": "x" * 32, "OBSERVERS": "no.such"}, "must be a list"),
        ({"FINGERPRINT_KEY": "x" * 32, "REDACTION": "x.y"}, "cannot be imported"),
        ({"FINGERPRINT_KEY": "x" * 32, "REDACTION": "..x.y"}, "cannot be imported"),
    ],
)
@pytest.mark.usefixtures("project_settings")
def test_a_wrong_setting_is_refused_by_name(given, said):
    with override_settings(SEGMENTFLOW=given), pytest.raises(ConfigurationError, match=said):
        tracker()


@pytest.mark.usefixtures("project_settings")
def test_an_alias_that_the_project_has_not_is_refused():
    given = {"FINGERPRINT_KEY": FINGERPRINT_SECRET}
    with override_settings(SEGMENTFLOW=given), pytest.raises(ConfigurationError, match="default"):
        tracker("nowhere")
