"""The fixture for the tests of hosts: what it tells, and what it says when it is otherwise."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from segmentflow_core import RedactionPolicy
from segmentflow_core.errors import ConfigurationError, InvalidRequest
from segmentflow_core.testing import a_journey, a_request
from segmentflow_pytest.recording import Segmentflow
from segmentflow_worker import GiveUp

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "test-your-app.md"
ALEX = "alex@example.com"
BIG = a_journey(
    "big",
    trigger={"event": "order.created", "where": {"path": "/event/total", "op": "gte", "value": 40}},
)


def place_order(tracker, number, total, email=ALEX):
    """Stand for the code of a host."""
    request = a_request(profile={"email": email}, data={"total": total, "card": "canary"})
    return tracker.track(request, f"order:{number}")


def test_the_one_event_of_a_name_is_returned(segmentflow):
    receipt = place_order(segmentflow.tracker, 1, 49)
    assert segmentflow.recorded("order.created").event_id == receipt.event_id
    assert segmentflow.recorded("order.created", who=ALEX).data["total"] == 49
    assert [e.event for e in segmentflow.all_recorded(who="nobody@example.com")] == []


def test_what_both_colours_record_is_one_store_in_order(segmentflow):
    place_order(segmentflow.tracker, 1, 49)
    segmentflow.clock.advance(hours=1)
    asyncio.run(segmentflow.async_tracker.track(a_request("signed.up"), "2"))
    found = segmentflow.all_recorded()
    assert [event.event for event in found] == ["order.created", "signed.up"]
    assert (found[1].received_at - found[0].received_at).total_seconds() == 3600


def test_an_entry_is_returned_and_a_worker_does_it(segmentflow):
    segmentflow.journeys.publish([BIG])
    place_order(segmentflow.tracker, 1, 49)
    (entry,) = segmentflow.assert_enrolled(ALEX, "big")
    done = []
    handlers = {"big": lambda assignment: done.append(assignment.claimed.enrollment.enrollment_id)}
    assert segmentflow.work(handlers) == 1
    assert done == [entry.enrollment_id]
    segmentflow.assert_enrolled("nobody@example.com", "big", times=0)


def test_what_a_handler_raises_fails_the_test_and_what_it_tells_the_worker_does_not(segmentflow):
    def fails(_assignment):
        raise ZeroDivisionError

    def gives_up(_assignment):
        raise GiveUp("no such order")

    async def fails_later(_assignment):
        await asyncio.sleep(0)
        raise ZeroDivisionError

    def fails_the_test(_assignment):
        pytest.fail("wrong mail")

    segmentflow.journeys.publish([BIG])
    place_order(segmentflow.tracker, 1, 49)
    for handler, raised in [
        (fails, ZeroDivisionError),
        (fails_later, ZeroDivisionError),
        (fails_the_test, pytest.fail.Exception),
        (lambda _: (n for n in ()), TypeError),
    ]:
        with pytest.raises(raised):
            segmentflow.work({"big": handler})
        segmentflow.clock.advance(days=1)
    assert segmentflow.work({"big": gives_up}) == 0
    (entry,) = segmentflow.assert_enrolled(ALEX, "big")
    assert entry.last_failure == "no such order"


def test_an_asynchronous_handler_tells_the_worker_as_a_plain_one_does(segmentflow):
    async def gives_up(_assignment):
        raise GiveUp("no such order")

    segmentflow.journeys.publish([BIG])
    place_order(segmentflow.tracker, 1, 49)
    assert segmentflow.work({"big": gives_up}) == 0
    (entry,) = segmentflow.assert_enrolled(ALEX, "big")
    assert (entry.status, entry.last_failure) == ("dead", "no such order")


def test_a_handler_of_which_no_line_would_run_is_refused(segmentflow):
    def yields(_assignment):
        yield

    with pytest.raises(ConfigurationError, match="yields"):
        segmentflow.work({"big": yields})


def test_a_skip_is_told_by_the_latest_event(segmentflow):
    segmentflow.journeys.publish([BIG])
    place_order(segmentflow.tracker, 1, 49)
    place_order(segmentflow.tracker, 2, 7)
    segmentflow.assert_skipped(ALEX, "big", "condition_not_met")


def test_the_options_are_the_trackers():
    strict = Segmentflow(redaction=RedactionPolicy(refuse_unmatched=True))
    for tracker in (strict.tracker.track, lambda *a: asyncio.run(strict.async_tracker.track(*a))):
        with pytest.raises(InvalidRequest):
            tracker(a_request(redactedDataPaths=["/event/none"]), "1")


def failure(call, *arguments, **options):
    with pytest.raises(AssertionError) as raised:
        call(*arguments, **options)
    return str(raised.value)


def test_what_is_not_as_required_is_said_by_names_counts_and_reasons(segmentflow):
    segmentflow.journeys.publish([BIG, a_journey("asleep", status="paused")])
    place_order(segmentflow.tracker, 1, 49)
    place_order(segmentflow.tracker, 2, 7)
    told = [
        (
            failure(segmentflow.recorded, "order.created"),
            "order.created was recorded 2 times, not once. There is: order.created (2).",
        ),
        (
            failure(segmentflow.recorded, "order.paid", who=ALEX),
            (
                "order.paid of this person was recorded 0 times, not once. "
                "There is: order.created (2)."
            ),
        ),
        (
            failure(segmentflow.assert_enrolled, ALEX, "big", times=2),
            (
                "big was entered 1 times, not 2. "
                "It made of her events, oldest first: enrolled, skipped, condition_not_met."
            ),
        ),
        (
            failure(segmentflow.assert_enrolled, ALEX, "none"),
            "none was entered 0 times, not 1. There is no such Journey.",
        ),
        (
            failure(segmentflow.assert_enrolled, ALEX, "none", times=0),
            "Nobody can enter none. There is no such Journey.",
        ),
        (
            failure(segmentflow.assert_enrolled, ALEX, "asleep"),
            (
                "asleep was entered 0 times, not 1. "
                "It is paused and listens for order.created. Of her there is: order.created (2)."
            ),
        ),
        (
            failure(segmentflow.assert_skipped, "nobody@example.com", "big", "too_late"),
            (
                "big did not skip for too_late. "
                "It is active and listens for order.created. Nothing is recorded of such a person."
            ),
        ),
        (
            failure(segmentflow.assert_skipped, ALEX, "big", "too_late"),
            (
                "big did not skip for too_late. "
                "It made of her events, oldest first: enrolled, skipped, condition_not_met."
            ),
        ),
    ]
    assert [said for said, _ in told] == [expected for _, expected in told]
    assert "canary" not in str(told)


def test_nothing_recorded_is_said_so(segmentflow):
    assert "There is: nothing." in failure(segmentflow.recorded, "order.created")


def test_pytest_finds_the_fixture_and_imports_no_more_before_it_is_asked_for(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_there_yet():
            assert "segmentflow_pytest" in sys.modules
            assert "segmentflow_core" not in sys.modules

        def test_the_fixture(segmentflow):
            request = {"event": "signed.up", "profile": {"email": "alex@example.com"}}
            segmentflow.tracker.track(request, "1")
            assert segmentflow.recorded("signed.up")

        def test_each_test_has_its_own(segmentflow):
            assert segmentflow.all_recorded() == []
        """
    )
    assert sys.modules["segmentflow_pytest"]
    result = pytester.runpytest_subprocess("-p", "no:schemathesis", "-p", "no:randomly")
    result.assert_outcomes(passed=3)


def test_the_tests_of_the_page_pass(pytester):
    """As somebody copies them: the Journey file, and the test file beside it."""
    tokens = MarkdownIt("commonmark").parse(PAGE.read_text("utf-8"))
    blocks = {token.info: token.content for token in reversed(tokens) if token.type == "fence"}
    (pytester.path / "journeys.yaml").write_text(blocks["yaml"], "utf-8")
    pytester.makepyfile(blocks["python"])
    result = pytester.runpytest_subprocess("-p", "no:schemathesis", "-p", "no:randomly")
    result.assert_outcomes(passed=3)
