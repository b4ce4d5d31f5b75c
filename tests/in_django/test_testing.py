"""`segmentflow_django.testing`: what a test case sees of what the project tracked."""

from __future__ import annotations

import subprocess
import sys
import unittest

import pytest

pytest.importorskip("django", reason="Django is not installed: its app is not tested.")

from django import test as of_django
from django.conf import settings
from django.db import transaction
from django.test import override_settings

from segmentflow_core.errors import ConfigurationError
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_django import tracker
from segmentflow_django.testing import DjangoRecording, RecordingMixin
from segmentflow_worker import GiveUp, TryAgain

ALEX = "alex@example.com"
BIG = a_journey(
    "big",
    trigger={"event": "order.created", "where": {"path": "/event/total", "op": "gte", "value": 40}},
)


class Hearing:
    """Notes what was tracked."""

    def __init__(self):
        self.heard = []

    def tracked(self, told):
        self.heard.append(told.event_id)

    replayed = refused = retried = journey_outcome = lambda self, told: None


HEARING = Hearing()


@pytest.fixture
def project(opened):
    project = opened()
    project.migrate("segmentflow_django")
    HEARING.heard.clear()
    given = {"DATABASE": project.alias, "FINGERPRINT_KEY": FINGERPRINT_SECRET}
    with override_settings(SEGMENTFLOW={**given, "OBSERVERS": [HEARING]}):
        yield project


def place_order(number, total=49):
    """Stand for the code of a project."""
    request = a_request(profile={"email": ALEX}, data={"total": total})
    with transaction.atomic(using=settings.SEGMENTFLOW["DATABASE"]):
        return tracker().track(request, f"order:{number}")


def outcome(case, base=of_django.TestCase, **members):
    """Run a test case as Django's runner would; return how many tests ran, and what failed."""
    named = type("Case", (RecordingMixin, base), {**members, "test": case})
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(named).run(result)
    return result.testsRun, [said.splitlines()[-1] for _, said in result.failures + result.errors]


def test_a_test_sees_what_it_tracked_and_the_next_one_nothing(project):
    sent = []

    async def send(assignment):
        sent.append(assignment.event.data["total"])

    def test(case):
        assert case.segmentflow.all_recorded() == []
        case.segmentflow.journeys.publish([BIG])
        place_order(1)
        place_order(2, total=7)
        assert [e.data["total"] for e in case.segmentflow.all_recorded("order.created")] == [49, 7]
        case.segmentflow.assert_enrolled(ALEX, "big")
        case.segmentflow.assert_skipped(ALEX, "big", "condition_not_met")
        assert case.segmentflow.work({"big": send}) == 1
        assert case.segmentflow.work({"big": send}) == 0

    for _ in range(2):
        assert outcome(test, databases={project.alias}) == (1, [])
    assert sent == [49, 49]
    assert DjangoRecording().all_recorded() == []


def test_what_is_missing_fails_the_test_with_what_there_is(project):
    def test(case):
        place_order(1)
        case.segmentflow.recorded("order.paid")

    (said,) = outcome(test, databases={project.alias})[1]
    assert said.endswith("order.paid was recorded 0 times, not once. There is: order.created (1).")


def test_observers_hear_within_a_test_only_what_it_captures(project):
    def test(case):
        place_order(1)
        assert HEARING.heard == []
        with case.captureOnCommitCallbacks(using=project.alias) as callbacks:
            place_order(2)
        assert (len(callbacks), HEARING.heard) == (1, [])
        with case.captureOnCommitCallbacks(using=project.alias, execute=True):
            receipt = place_order(3)
        assert HEARING.heard == [receipt.event_id]

    assert outcome(test, databases={project.alias}) == (1, [])


def test_a_handler_tells_a_test_what_it_tells_a_worker(project):
    def fails(_):
        raise RuntimeError("broken")

    def gives_up(_):
        raise GiveUp("no such address")

    def tries_again(_):
        raise TryAgain("closed on Sundays", counted=False)

    def test(case):
        case.segmentflow.journeys.publish([a_journey(name) for name in ("a", "b", "c")])
        place_order(1)
        assert case.segmentflow.work({"a": gives_up, "b": tries_again}) == 0
        entries = {each.journey_id: each for each in case.segmentflow.enrollments.list()}
        assert (entries["a"].status, entries["a"].last_failure) == ("dead", "no such address")
        assert (entries["b"].status, entries["b"].attempts) == ("pending", 0)
        case.segmentflow.work({"c": fails})

    assert outcome(test, databases={project.alias})[1] == ["RuntimeError: broken"]


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_handler_that_leaves_its_work_undone_fails_the_test(project):
    def yields(_):
        yield

    async def leaves(_):
        return yields(_)

    def test(case):
        case.segmentflow.journeys.publish([a_journey("a")])
        place_order(1)
        with pytest.raises(ConfigurationError, match="yields"):
            case.segmentflow.work({"a": yields})
        case.segmentflow.work({"a": leaves})

    (said,) = outcome(test, databases={project.alias})[1]
    assert said.startswith("TypeError: The handler returned a generator")


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_handler_may_raise_a_class_of_the_host(project):
    class NotYet(TryAgain):
        def __init__(self):
            """Call no `super().__init__`."""

    def tries_again(_):
        raise NotYet

    def test(case):
        case.segmentflow.journeys.publish([a_journey("a")])
        place_order(1)
        assert case.segmentflow.work({"a": tries_again}) == 0
        (entry,) = case.segmentflow.enrollments.list()
        assert (entry.status, entry.attempts, entry.last_failure) == ("pending", 1, "NotYet")

    assert outcome(test, databases={project.alias}) == (1, [])


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_database_that_is_not_rolled_back_is_refused(project):
    def test(case):
        case.segmentflow.all_recorded()

    for base, members in (
        (of_django.SimpleTestCase, {}),
        (of_django.TestCase, {"databases": set()}),
    ):
        (said,) = outcome(test, base, **members)[1]
        assert said.endswith("name it in `databases` of the test case.")


def test_it_needs_no_pytest():
    code = "import sys; sys.modules['pytest'] = None; import segmentflow_django.testing"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
