"""`manage.py segmentflow_work` and `segmentflow_retain`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("django", reason="Django is not installed: its app is not tested.")

from django.core.management import CommandError
from django.test import override_settings

from in_django import handlers
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_sql import open_storage

RETAIN, WORK = "segmentflow_retain", "segmentflow_work"


@pytest.fixture
def project(opened):
    project = opened()
    project.migrate("segmentflow_django")
    with project.connection.cursor() as cursor:
        cursor.execute("CREATE TABLE sent (n integer PRIMARY KEY)")
    handlers.DONE.clear()
    with override_settings(SEGMENTFLOW={"DATABASE": project.alias}):
        yield project


@pytest.fixture
def tracker(project):
    """Give a tracker that tracks as if it were 30 days ago."""
    storage = open_storage(project.url)
    then = FixedClock(datetime.now(UTC) - timedelta(days=30))
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=then)
    tracker.journeys.publish([a_journey("welcome")])
    for n in range(3):
        tracker.track(a_request(data={"n": n, "alias": project.alias}), f"{n}")
    yield tracker
    storage.close()


def test_a_worker_runs_the_handlers_of_the_project(project, tracker):
    said = project.manage(WORK, "in_django.handlers.HANDLERS", drain=True)
    assert said == "Completed 3 Enrollments.\n"
    assert sorted(project.rows("SELECT n FROM sent")) == [(0,), (1,), (2,)]
    assert len(set(handlers.DONE)) == 3
    assert {str(e.status) for e in tracker.enrollments.list()} == {"completed"}


def test_what_waits_is_logged_where_that_is_asked_for(project, tracker, caplog):
    caplog.set_level("INFO", "segmentflow.worker")
    project.manage(WORK, "in_django.handlers.HANDLERS", "--measure", "30s", drain=True)
    assert "welcome: 3 waiting, lag 30 days" in caplog.text
    with pytest.raises(CommandError, match="measure needs an organization_id"):
        project.manage(
            WORK, "in_django.handlers.HANDLERS", "--measure", "1m", "--all-organizations"
        )


def test_one_handler_may_be_for_every_journey(project, tracker):
    said = project.manage(
        WORK, "in_django.handlers:failing", "--all-organizations", drain=True, max_attempts=1
    )
    assert said == "Completed 0 Enrollments.\n"
    assert {str(e.status) for e in tracker.enrollments.list()} == {"dead"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("in_django.handlers.NONE", "There are no handlers"),
        ("no_such_module.HANDLERS", "There are no handlers"),
        ("in_django.handlers.NO_HANDLERS", "handles no Enrollments"),
        ("..handlers:HANDLERS", "There are no handlers"),
        (":HANDLERS", "There are no handlers"),
        ("in_django.handlers:", "There are no handlers"),
        ("in_django.handlers.yields", "The handler yields has a yield"),
    ],
)
def test_what_handles_nothing_is_refused(project, name, said):
    with pytest.raises(CommandError, match=said):
        project.manage(WORK, name, drain=True)


def test_what_is_old_goes(project, tracker):
    project.manage(WORK, "in_django.handlers.HANDLERS", drain=True)
    said = project.manage(RETAIN, "--events", "29d", "--yes", "--by", "cron", batch=2)
    assert said.startswith("Removed 3 events and 0 Enrollments; 0 events stay")
    assert tracker.records.events() == []
    (record, *_) = tracker.records.audit()
    assert (record.action, record.by, dict(record.counts)["events"]) == ("retained", "cron", 3)
    said = project.manage(RETAIN, "--enrollments", "PT0.000001S", "--yes")
    assert said.startswith("Removed 0 events and 3 Enrollments;")


def test_what_waits_for_a_worker_stays(project, tracker):
    assert "Removed 0 events" in project.manage(RETAIN, "--events", "1d12h", "--yes")
    assert len(tracker.records.events()) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--yes",), "Give --events or --enrollments"),
        (("--events", "29d"), "Nobody is there to ask"),
        (("--events", "soon", "--yes"), "must be a duration"),
        (("--events", "29d", "--batch", "0", "--yes"), "limit must be an integer"),
    ],
)
def test_without_a_confirmation_nothing_goes(project, tracker, monkeypatch, given, said):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(CommandError, match=said):
        project.manage(RETAIN, *given)
    assert len(tracker.records.events()) == 3


@pytest.mark.parametrize(("answer", "left"), [("y", 3), ("n", 3), ("", 3)])
def test_on_a_terminal_it_asks(project, tracker, monkeypatch, answer, left):
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or answer)
    if answer == "y":
        assert "Removed 0 events" in project.manage(RETAIN, "--events", "1d")
    else:
        with pytest.raises(CommandError, match="Nothing was removed"):
            project.manage(RETAIN, "--events", "1d")
    assert asked == ["Remove events of 1 day, 0:00:00? [y/N] "]
    assert len(tracker.records.events()) == left


def test_a_store_that_refuses_ends_a_command_with_its_words(opened):
    project = opened()
    with override_settings(SEGMENTFLOW={"DATABASE": project.alias}):
        with pytest.raises(CommandError, match="invalid_configuration: The store has no tables"):
            project.manage(RETAIN, "--events", "1d", "--yes")
        with pytest.raises(CommandError, match="invalid_configuration: The store has no tables"):
            project.manage(WORK, "in_django.handlers.HANDLERS", drain=True)


@pytest.mark.parametrize(
    "given", [(WORK, "in_django.handlers.HANDLERS"), (RETAIN, "--events", "1d")]
)
@pytest.mark.parametrize("alias", ["nope", ""])
def test_a_database_that_the_project_has_not_is_refused(project_settings, given, alias):
    from django.core.management import call_command

    said = "invalid_configuration: The database must be one of DATABASES: default"
    with pytest.raises(CommandError, match=said):
        call_command(*given, database=alias)


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_database_in_memory_is_refused(connect, vendor):
    alias = connect("django.db.backends.sqlite3", ":memory:").alias
    from django.core.management import call_command

    with pytest.raises(CommandError, match="in memory"):
        call_command(RETAIN, "--events", "1d", "--yes", database=alias)
