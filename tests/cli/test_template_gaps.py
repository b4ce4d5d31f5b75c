"""`segmentflow journeys template`: what recorded events lack of what a template reads."""

from __future__ import annotations

import json

import pytest

from command_answers import answer
from segmentflow_cli import main
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_memory import MemoryStorage

TEMPLATE = """
to: {$state: /profile/email}
name: {$state: /profile/properties/firstName, default: friend}
coupon: {$state: /event/coupon}
"""


@pytest.fixture
def tracker(monkeypatch):
    """Give a tracker with three events, on the store that each run opens."""
    storage = MemoryStorage()
    monkeypatch.setattr("segmentflow_memory.open_storage", lambda _url: storage)
    monkeypatch.setenv("SEGMENTFLOW_STORE", "memory://")
    clock = FixedClock()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    tracker.journeys.publish([a_journey()])
    for number in range(3):
        clock.advance(days=1)
        data = {"coupon": "SECRET-10"} if number == 2 else {}
        who = {"email": f"{number}@example.com"}
        tracker.track(a_request(profile=who, data=data), f"{number}")
    return tracker


@pytest.fixture
def run(capsys, tmp_path):
    def run(*arguments, template=TEMPLATE, name="mail.yaml"):
        file = tmp_path / name
        file.write_text(template)
        status = main(["journeys", "template", str(file), *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_a_page_shows_each_pointer_the_period_and_no_value(run, tracker):
    status, page, _ = run("--journey", "welcome", "--since", "2026-06-01", "--until", "2026-07-01")
    assert status == 0
    period = "since 2026-06-01T00:00:00.000Z and before 2026-07-01T00:00:00.000Z"
    assert [line.split() for line in page.splitlines()] == [
        f"3 order.created events received {period}".split(),
        ["pointer", "missing", "null", "redacted", "default"],
        ["/profile/email", "0", "0", "0"],
        ["/profile/properties/firstName", "3", "0", "0", "yes"],
        ["/event/coupon", "2", "0", "0"],
    ]
    assert "SECRET" not in page


def test_json_is_what_the_library_counts(run, tracker):
    document = answer(run("--event", "order.created", "--json"))
    assert (document["events"], document["since"], document["cut"]) == (3, None, False)
    assert [each["missing"] for each in document["paths"]] == [0, 3, 2]
    enrolled = answer(run("--journey", "welcome", "--enrolled", "--json"))
    assert enrolled["events"] == 3


def test_a_name_of_two_lines_is_shown_on_one(run, tracker):
    page = run("--event", "order\ncreated")[1]
    assert page.splitlines()[0] == "0 order\\u000acreated events received so far"


def test_a_page_says_what_it_left_out(run, tracker):
    tracker.people.erase("2@example.com")
    page = run("--journey", "welcome", "--at-most", "2")[1]
    assert "1 more were erased" in page
    assert "The period was cut: only the newest 2 events were looked at." in page


def test_what_is_wrong_is_refused_and_named(run, tracker):
    status, _, err = run("--journey", "unheard-of")
    assert (status, err.splitlines()[0]) == (1, "not_found: Not found: no Journey has this id.")
    assert run()[0] == 2
    assert run("--event", "order.created", "--enrolled")[0] == 2
    status, _, err = run("--journey", "welcome", template="a: {$state: event/x}")
    assert (status, err.splitlines()[0].split(":")[0]) == (1, "invalid_template")
    assert "/a/$state must be a JSON Pointer (RFC 6901)" in err
    status, _, err = run("--journey", "welcome", template="{", name="mail.json")
    assert (status, err.split(":")[0]) == (1, "invalid_template")
    large = json.dumps("x" * 4 * 1024 * 1024)
    assert run("--journey", "welcome", template=large)[0] == 1
