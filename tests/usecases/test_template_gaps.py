"""What recorded events lack of what a template reads, in both colours."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from journey_shop import LARGE, WELCOME, a_shop, order
from segmentflow_core import AsyncRecords, Records
from segmentflow_core.errors import ConfigurationError, InvalidTemplate, NotFound
from segmentflow_core.templates import compile_template
from segmentflow_core.testing import FixedClock
from segmentflow_core.usecases import paging
from segmentflow_core.wire import template_gaps_document
from segmentflow_memory import AsyncMemoryStorage

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
TEMPLATE = {
    "to": {"$state": "/profile/email"},
    "name": {"$state": "/profile/properties/firstName", "default": "friend"},
    "coupon": {"$state": "/event/coupon"},
    "token": {"$state": "/event/payment/token"},
    "again": {"$state": "/event/coupon", "default": None},
}


@pytest.fixture
def tracker(storage, clock):
    return a_shop(storage, clock, WELCOME, LARGE)


@pytest.fixture(params=["sync", "async"])
def gaps(request, storage, clock):
    """Look for gaps in either colour."""
    if request.param == "sync":
        return Records(storage, clock=clock).template_gaps
    look = AsyncRecords(AsyncMemoryStorage(storage), clock=clock).template_gaps
    return lambda *args, **kwargs: asyncio.run(look(*args, **kwargs))


def counts(found):
    return {each.path: (each.missing, each.null, each.redacted) for each in found.paths}


def test_each_pointer_is_counted_as_missing_null_or_redacted(tracker, clock, gaps):
    order(tracker, clock, "a", coupon=None, payment={"token": "tok"}, total=50)
    order(tracker, clock, "b", coupon="X", properties={"firstName": "Bea"})
    order(tracker, clock, "c", coupon=False, payment=None)
    order(tracker, clock, "d", event="order.paid")
    found = gaps(TEMPLATE, journey_id="welcome")
    assert (found.event, found.since, found.until) == ("order.created", None, None)
    assert (found.events, found.erased, found.cut) == (3, 0, False)
    assert counts(found) == {
        "/profile/email": (0, 0, 0),
        "/profile/properties/firstName": (2, 0, 0),
        "/event/coupon": (0, 1, 0),
        "/event/payment/token": (1, 0, 2),
    }
    assert [each.path for each in found.paths if not each.required] == [
        "/profile/properties/firstName"
    ]
    assert gaps(compile_template(TEMPLATE), event="order.paid").events == 1


def test_only_those_that_enrolled_are_counted_where_that_is_asked(tracker, clock, gaps):
    order(tracker, clock, "a", total=50, coupon="X")
    order(tracker, clock, "b", total=5)
    template = {"$state": "/event/coupon"}
    assert counts(gaps(template, journey_id="large")) == {"/event/coupon": (1, 0, 0)}
    found = gaps(template, journey_id="large", enrolled=True)
    assert (found.events, counts(found)) == (1, {"/event/coupon": (0, 0, 0)})


def test_a_period_is_counted_from_its_start_and_before_its_end(tracker, clock, gaps):
    for key in "abcd":
        order(tracker, clock, key)
    since, until = clock.now() - timedelta(hours=2), clock.now()
    found = gaps(TEMPLATE, event="order.created", since=since, until=until)
    assert (found.events, found.since, found.until) == (2, since, until)


def test_a_period_without_an_end_is_read_back_to_its_start(tracker, clock, gaps, monkeypatch):
    monkeypatch.setattr(paging, "PAGE", 2)
    for key in "abcdefg":
        order(tracker, clock, key)
    since = clock.now() - timedelta(hours=2)
    found = gaps(TEMPLATE, event="order.created", since=since, at_most=6)
    # Of the pages g f, e d, c b and a, the third one has none of the period.
    assert (found.events, found.since, found.cut) == (3, since, False)
    found = gaps(TEMPLATE, event="order.created", since=since, at_most=4)
    assert (found.events, found.since, found.cut) == (3, since, False)
    found = gaps(TEMPLATE, event="order.created", since=since, at_most=2)
    assert (found.events, found.since, found.cut) == (2, clock.now() - timedelta(hours=1), True)


def test_the_newest_are_looked_at_and_the_result_says_from_where(tracker, clock, gaps, monkeypatch):
    monkeypatch.setattr(paging, "PAGE", 2)
    for key in "abcde":
        order(tracker, clock, key, event="order.paid" if key == "c" else "order.created")
    found = gaps(TEMPLATE, journey_id="welcome", at_most=3)
    # a, b, d and e have the name, and the oldest of them is the one left out.
    assert (found.events, found.cut) == (3, True)
    assert found.since == clock.now() - timedelta(hours=3)
    whole = gaps(TEMPLATE, journey_id="welcome", at_most=4)
    assert (whole.events, whole.cut, whole.since) == (4, False, None)


def test_an_erased_event_says_nothing_and_is_not_missing_anything(tracker, clock, gaps):
    gone = order(tracker, clock, "a")
    order(tracker, clock, "b", coupon="X")
    tracker.people.erase(gone.profile_id)
    found = gaps({"$state": "/event/coupon"}, journey_id="welcome")
    assert (found.events, found.erased) == (1, 1)
    assert counts(found) == {"/event/coupon": (0, 0, 0)}


def test_a_template_without_places_and_an_event_that_never_was(tracker, clock, gaps):
    order(tracker, clock, "a")
    assert gaps({"text": "hello"}, event="order.created").paths == ()
    never = gaps(TEMPLATE, event="order.refunded")
    assert (never.events, set(counts(never).values())) == (0, {(0, 0, 0)})


def test_what_is_wrong_is_refused(gaps, tracker):
    with pytest.raises(NotFound):
        gaps(TEMPLATE, journey_id="unheard-of")
    with pytest.raises(InvalidTemplate):
        gaps({"$state": "event"}, journey_id="welcome")
    for wrong in (
        {},
        {"event": 7},
        {"event": "order.created", "enrolled": True},
        {"event": "order.created", "at_most": 0},
        {"event": "order.created", "since": "today"},
        {"event": "order.created", "since": FixedClock().now(), "until": LONG_AGO},
    ):
        with pytest.raises(ConfigurationError):
            gaps(TEMPLATE, **wrong)


def test_the_document_names_pointers_and_counts_and_no_value(tracker, clock, gaps):
    order(tracker, clock, "a", coupon=None, payment={"token": "tok"})
    document = template_gaps_document(gaps({"$state": "/event/coupon"}, journey_id="welcome"))
    assert document == {
        "event": "order.created",
        "since": None,
        "until": None,
        "cut": False,
        "events": 1,
        "erased": 0,
        "paths": [
            {"path": "/event/coupon", "required": True, "missing": 0, "null": 1, "redacted": 0}
        ],
    }
