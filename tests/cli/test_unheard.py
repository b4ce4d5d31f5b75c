"""What `journeys apply` points out: names and paths that no recorded event has."""

from __future__ import annotations

import json

import pytest

from command_answers import answer
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request

TYPO = {
    "any": [
        {"path": "/event/totl", "op": "gte", "value": 40},
        {"not": {"path": "/profile/properties/plan", "op": "eq", "value": "Free"}},
        {"path": "/event/coupon", "op": "missing"},
        {"path": "/event/total", "op": "gte", "value": 40},
        {"did": "cart.opend", "times": {"gte": 1}, "within": "P30D", "same": ["/event/cart"]},
    ]
}


@pytest.fixture
def apply(run, folder):
    """Apply one Journey; give the exit status, stdout and stderr."""

    def apply(*options, **changes):
        (folder / "j.json").write_text(json.dumps({"journeys": [a_journey(**changes)]}))
        return run("journeys", "apply", "j.json", *options)

    return apply


@pytest.fixture
def tracker(storage):
    """Give a tracker that recorded two orders."""
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    for number in range(2):
        tracker.track(a_request(data={"total": number, "orderId": f"{number}"}), f"{number}")
    return tracker


def test_nothing_is_pointed_out_before_anything_is_recorded(apply, storage):
    assert answer(apply("--json", trigger={"event": "order.craeted"}))[0]["change"] == "created"


def test_a_name_that_no_event_has_is_pointed_out_and_published(apply, run, tracker):
    changes = {
        "trigger": {"event": "order.craeted"},
        "cancelOn": [{"event": "order.piad"}, {"event": "order.created"}],
    }
    status, out, err = apply("--dry-run", **changes)
    assert (status, "1 of 1 would change." in out) == (0, True)
    named = [f"welcome: no recorded event is named order.{name}." for name in ("craeted", "piad")]
    assert err.splitlines() == named
    status, _, err = apply(**changes)
    assert (status, err.splitlines()) == (0, named)
    assert answer(run("journeys", "show", "welcome", "--json"))["version"] == 1
    # What was pointed out once, and is unchanged, is not told with each deployment.
    assert apply(**changes)[2] == ""


def test_a_path_that_no_event_has_is_pointed_out(apply, tracker):
    changes = {
        "trigger": {"event": "order.created", "where": TYPO},
        "reentry": {"policy": "once_per_key", "key": ["/event/orderId", "/event/shop"]},
    }
    status, _, err = apply("--json", **changes)
    path = {"journeyId": "welcome", "event": "order.created"}
    assert status == 0
    assert json.loads(err)["unheard"] == [
        {**path, "event": "cart.opend", "path": None},
        {**path, "path": "/event/totl"},
        {**path, "path": "/profile/properties/plan"},
        {**path, "path": "/event/cart"},
        {**path, "path": "/event/shop"},
    ]


def test_an_archived_journey_reads_nothing(apply, tracker):
    assert apply(status="archived", trigger={"event": "order.craeted"})[2] == ""
