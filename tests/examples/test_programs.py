from __future__ import annotations

import json
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from segmentflow_cli import main
from segmentflow_core import EnrollmentStatus, Tracker
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, FixedClock, a_request
from segmentflow_sql import open_storage

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_order_is_recorded_once_and_then_replayed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "track_an_order.py"), run_name="__main__")
    (first, recorded), (second, replayed) = map(str.split, capsys.readouterr().out.splitlines())
    assert first == second
    assert (recorded, replayed) == ("recorded", "replayed")
    assert not any(b"tok_live_abc" in path.read_bytes() for path in tmp_path.iterdir())


def test_the_order_is_the_documented_request():
    assert json.loads((EXAMPLES / "order.json").read_text("utf-8")) == DOCUMENTED_REQUEST


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial/index.md"])
def test_the_commands_of_a_page_run_from_the_root(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(EXAMPLES.parent)
    monkeypatch.setenv("SEGMENTFLOW_STORE", f"sqlite:///{tmp_path / 'segmentflow.db'}")
    monkeypatch.delenv("SEGMENTFLOW_FINGERPRINT_KEY", raising=False)
    blocks = [
        token.content
        for token in MarkdownIt("commonmark").parse(Path(page).read_text("utf-8"))
        if token.type == "fence" and "segmentflow init" in token.content
    ]
    commands = [shlex.split(line, comments=True) for line in "".join(blocks).splitlines()]
    ours = [arguments for name, *arguments in commands if name == "segmentflow"]
    assert [main(arguments) for arguments in ours] == [0] * len(ours)
    assert "1 enrolled, 0 skipped" in capsys.readouterr().out


@pytest.fixture
def worker():
    return runpy.run_path(str(EXAMPLES / "worker.py"))


@pytest.fixture
def orders(worker, tmp_path):
    """Give a tracker whose Journey three customers have entered, and its clock."""
    clock = FixedClock()
    storage = open_storage(f"sqlite:///{tmp_path / 'shop.db'}")
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    tracker.journeys.publish([worker["JOURNEY"]])
    for name in "abc":
        who = {"email": f"{name}@example.com", "properties": {"firstName": name}}
        tracker.track(a_request(profile=who, data={"orderId": name, "total": 1}), name)
        clock.advance(seconds=1)
    yield tracker, clock
    storage.close()


def test_the_worker_prints_the_mail_of_every_customer_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "worker.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == [
        "To: alex@example.com",
        "Subject: Your order ord_alex",
        "",
        "Dear Alex,",
        "thank you for your order of 49.",
        "",
        "To: robin@example.com",
        "Subject: Your order ord_robin",
        "",
        "Dear Robin,",
        "thank you for your order of 12.",
        "",
        "2 sent",
    ]
    runpy.run_path(str(EXAMPLES / "worker.py"), run_name="__main__")
    assert capsys.readouterr().out == "0 sent\n"


def test_the_mail_is_the_template_filled_from_the_state_document(worker, orders):
    tracker, _ = orders
    (first, *_) = tracker.enrollments.claim()
    assert worker["MAIL"].render(first.state, "error") == {
        "to": "a@example.com",
        "subject": ["Your order ", "a"],
        "lines": [["Dear ", "a", ","], ["thank you for your order of ", 1, "."]],
    }


def test_a_mail_with_a_gap_is_not_sent(worker, orders):
    tracker, _ = orders
    who = {"email": "d@example.com", "properties": {"firstName": "d"}}
    tracker.track(a_request(profile=who, data={"orderId": "d"}), "d")
    sent = []
    assert worker["work"](tracker.enrollments, sent.append) == 3
    assert "d@example.com" not in [mail["to"] for mail in sent]
    (waiting,) = tracker.enrollments.list(status=EnrollmentStatus.PENDING)
    assert waiting.attempts == 1


def test_the_worker_tries_a_mail_that_failed_again_later_and_sends_the_others(worker, orders):
    tracker, clock = orders
    sent = []

    def send(mail):
        if mail["to"] == "a@example.com" and not sent:
            raise OSError
        sent.append(mail["to"])

    assert worker["work"](tracker.enrollments, send) == 2
    assert sent == ["b@example.com", "c@example.com"]
    clock.advance(seconds=2)
    assert worker["work"](tracker.enrollments, send) == 1
    assert sent[-1] == "a@example.com"


def test_a_worker_told_to_stop_gives_back_what_it_did_not_finish(worker, orders):
    tracker, _ = orders
    sent = []

    def send(mail):
        if sent:
            raise KeyboardInterrupt
        sent.append(mail["id"])

    with pytest.raises(KeyboardInterrupt):
        worker["work"](tracker.enrollments, send)
    pending = tracker.enrollments.list(status=EnrollmentStatus.PENDING)
    assert [enrollment.attempts for enrollment in pending] == [0, 0]
    assert [
        e.enrollment_id for e in tracker.enrollments.list(status=EnrollmentStatus.COMPLETED)
    ] == sent


def test_a_worker_that_was_too_late_leaves_the_mail_to_the_one_that_has_it(worker, orders):
    tracker, clock = orders

    def send(mail):
        clock.advance(minutes=2)
        tracker.enrollments.claim()

    assert worker["work"](tracker.enrollments, send) == 0
    assert len(tracker.enrollments.list(status=EnrollmentStatus.CLAIMED)) == 3


def test_a_draft_is_rehearsed_and_the_odd_order_explained(capsys):
    runpy.run_path(str(EXAMPLES / "explain_a_draft.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == [
        "2 of 4 would enter; 1 condition_not_met, 1 condition_unknown",
        "condition_unknown: /event/total gte 40: wrong_type",
    ]


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    postgres, new_database = map(request.getfixturevalue, ("postgres", "new_database"))
    return postgres.url(new_database(), scheme="postgresql")


def output_of(example, *arguments):
    """Run an example in a process of its own, as its reader would."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / example), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_an_order_and_its_event_are_both_there_or_neither_with_sqlalchemy(url):
    url = url.replace("postgresql:", "postgresql+psycopg:")
    assert output_of("order_with_sqlalchemy.py", url) == "orders: 2 events: 2\n"
    assert output_of("order_with_sqlalchemy.py", url) == "orders: 4 events: 4\n"


def test_an_order_and_its_event_are_both_there_or_neither_with_django(url):
    assert output_of("order_with_django.py", url) == "orders: 1 events: 1\n"
    assert output_of("order_with_django.py", url) == "orders: 2 events: 2\n"


def test_an_order_and_its_event_are_both_there_or_neither_with_psycopg(postgres, new_database):
    url = postgres.url(new_database(), scheme="postgresql")
    assert output_of("order_with_psycopg.py", url) == "orders: 1 events: 1\n"
    assert output_of("order_with_psycopg.py", url) == "orders: 2 events: 2\n"


def test_handlers_that_write_with_django_write_once(url):
    assert output_of("work_with_django.py", url) == "completed: 2 thanks: 2\n"
    assert output_of("work_with_django.py", url) == "completed: 2 thanks: 4\n"
