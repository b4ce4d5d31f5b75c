"""What a worker does from its first claim to its stop, in both colours, in a time that is told."""

from __future__ import annotations

import asyncio
import signal
import threading
from datetime import timedelta

import pytest

from segmentflow_core import EnrollmentStatus, Tracker
from segmentflow_core.errors import ConfigurationError, StorageRefused, StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_memory import AsyncMemoryStorage
from segmentflow_worker import AsyncWorker, GiveUp, LoggingObserver, TryAgain, wakes
from stepped_time import CALL, PASS, Shop

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["in threads", "in a loop"])
def shop(request):
    return Shop(in_loop=request.param == "in a loop")


class Sometimes:
    """A storage that refuses some of its transactions, by number."""

    def __init__(self, storage, refusal, refused):
        self._storage = storage
        self._refusal = refusal
        self._refused = refused
        self.runs = 0

    def run(self, work, **how):
        self.runs += 1
        if self.runs in self._refused:
            raise self._refusal
        return self._storage.run(work, **how)


# --- what handlers do -----------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_a_handler_returns_from_is_completed(shop, asynchronous):
    entered = shop.enrol(3)
    seen = []

    def handle(assignment):
        seen.append(
            (assignment.idempotency_key, assignment.attempt, assignment.state["profile"]["email"])
        )

    async def handle_later(assignment):
        await asyncio.sleep(0)
        handle(assignment)

    worker = shop.worker({"welcome": handle_later if asynchronous else handle})
    assert shop.drain(worker) == 3
    assert sorted(seen) == [(each, 1, f"p0.{n}@example.com") for n, each in enumerate(entered)]
    assert {each.status for each in shop.enrollments.list()} == {EnrollmentStatus.COMPLETED}
    assert [each.enrollment_id for each in shop.told.of("started")] == entered
    assert sorted(each.enrollment_id for each in shop.told.of("completed")) == entered
    assert shop.drain(worker) == 0


def test_what_fails_is_tried_again_later_each_time_until_it_is_dead(shop):
    (entered,) = shop.enrol(1)
    last = []

    def handle(assignment):
        last.append(assignment.is_last_attempt)
        raise ValueError(f"no answer, {assignment.attempt}")

    worker = shop.worker({"welcome": handle}, max_attempts=3, retry_after=MINUTE)
    for attempt in (1, 2, 3):
        assert shop.drain(worker) == 0
        failing = shop.enrollments.get(entered)
        assert failing.last_failure == f"ValueError: no answer, {attempt}"
        assert failing.attempts == attempt
        shop.clock.advance(minutes=attempt)  # the delays are of one minute, then two
    assert failing.status is EnrollmentStatus.DEAD
    assert last == [False, False, True]
    failures = shop.told.of("failed")
    assert [(each.delay, each.dead) for each in failures[:2]] == [
        (MINUTE, False),
        (2 * MINUTE, False),
    ]
    assert failures[2].dead
    assert str(failures[2].error) == "no answer, 3"
    assert "no answer" not in repr(failures)
    assert shop.drain(worker) == 0
    assert len(last) == 3


def test_a_handler_gives_up_or_waits_for_another_time(shop):
    never, later = shop.enrol(2)

    def handle(assignment):
        if assignment.idempotency_key == never:
            raise GiveUp("no such mailbox")
        raise TryAgain(after=MINUTE, counted=False)

    shop.drain(shop.worker({"welcome": handle}, max_attempts=1))
    dead, waiting = map(shop.enrollments.get, (never, later))
    assert (dead.status, dead.last_failure) == ("dead", "no such mailbox")
    assert (waiting.status, waiting.attempts, waiting.last_failure) == ("pending", 0, None)


class NotYet(TryAgain):
    """Of a host that calls no `super().__init__`."""

    def __init__(self, after):
        self.after = after


class Unspeakable(Exception):
    def __str__(self):
        raise SystemExit


@pytest.mark.parametrize(("raised", "words"), [(NotYet(30), "30"), (Unspeakable(), "Unspeakable")])
def test_what_a_handler_raises_is_a_failure_whatever_it_is(shop, raised, words):
    entered = shop.enrol(2)

    def handle(assignment):
        if assignment.idempotency_key == entered[0]:
            raise raised

    assert shop.drain(shop.worker({"welcome": handle})) == 1
    failed, done = map(shop.enrollments.get, entered)
    assert (failed.status, failed.attempts) == ("pending", 1)
    assert failed.last_failure == words
    assert done.status == "completed"


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("kind", ["generator", "coroutine"])
def test_a_handler_that_leaves_its_work_undone_has_failed(shop, asynchronous, kind):
    (entered,) = shop.enrol(1)

    def generator():
        yield

    async def coroutine():
        """Do nothing."""

    async def leave(_):
        return generator() if kind == "generator" else coroutine()

    def leave_plainly(assignment):
        return generator() if kind == "generator" else leave(assignment)

    handlers = {"welcome": leave if asynchronous else leave_plainly}
    assert shop.drain(shop.worker(handlers)) == 0
    failed = shop.enrollments.get(entered)
    assert failed.last_failure.startswith(f"TypeError: The handler returned a {kind}")


def test_what_failed_is_never_completed_even_where_no_delay_can_be_chosen(shop):
    (entered,) = shop.enrol(1)

    def handle(_):
        raise ValueError

    chances = iter([0.0])
    worker = shop.worker({"welcome": handle}, chance=lambda: next(chances))
    with pytest.raises((StopIteration, RuntimeError)):
        shop.drain(worker)
    assert shop.enrollments.get(entered).status == "pending"
    assert shop.told.of("completed") == []


def test_only_the_journeys_that_have_handlers_are_claimed(shop):
    shop.enrol(2, "a", "b", "c")
    did = []

    def handle(assignment):
        did.append(assignment.journey_id)

    handlers = {"a": handle, "c": handle}
    assert shop.drain(shop.worker(handlers)) == 4
    assert sorted(did) == ["a", "a", "c", "c"]
    left = shop.enrollments.list(status=EnrollmentStatus.PENDING)
    assert {(each.journey_id, each.attempts) for each in left} == {("b", 0)}
    assert shop.drain(shop.worker(handlers, default=handle)) == 2
    assert sorted(did) == ["a", "a", "b", "b", "c", "c"]


def test_another_organizations_enrollments_are_left_alone(shop):
    shop.enrol(1)
    shop.tracker.journeys.publish([a_journey()], organization_id="acme")
    shop.tracker.track(a_request(), "1", organization_id="acme")
    whose = []
    handlers = {"welcome": lambda assignment: whose.append(assignment.organization_id)}
    assert shop.drain(shop.worker(handlers, organization_id="acme")) == 1
    assert shop.drain(shop.worker(handlers, organization_id=None)) == 1
    assert whose == ["acme", "default"]


def test_no_more_handlers_run_at_once_than_were_asked_for(shop):
    shop.enrol(7)
    running, most, lock = set(), [], threading.Lock()

    def handle(assignment):
        with lock:
            running.add(assignment.idempotency_key)
            most.append(len(running))
        with lock:
            running.discard(assignment.idempotency_key)

    assert shop.drain(shop.worker({"welcome": handle}, concurrency=2)) == 7
    assert max(most) <= 2
    assert all(claim.asked <= 2 for claim in shop.told.of("claimed"))
    assert sum(claim.count for claim in shop.told.of("claimed")) == 7


def test_the_lag_is_how_long_the_oldest_has_waited_for_the_first_time(shop):
    shop.enrol(1)
    shop.clock.advance(seconds=90)
    shop.enrol(1)
    shop.drain(shop.worker({"welcome": lambda _: None}))
    first, *others = shop.told.of("claimed")
    assert (first.count, first.lag) == (2, timedelta(seconds=90))
    assert {claim.lag for claim in others} == {None}


# --- leases ---------------------------------------------------------------------------------


def test_a_lease_is_extended_for_as_long_as_its_handler_runs(shop):
    (entered,) = shop.enrol(1)
    gate, handle = shop.gated()
    worker = shop.worker({"welcome": handle}, concurrency=1)

    def script():
        start = shop.clock.now()
        while shop.clock.now() < start + 5 * MINUTE:
            assert shop.enrollments.claim() == []  # nobody else is handed it
            yield PASS
        gate.set()
        yield CALL
        worker.stop()
        yield CALL

    assert shop.run(worker, script()) == 1
    done = shop.enrollments.get(entered)
    assert (done.status, done.attempts) == ("completed", 1)
    assert shop.time.waits[:15] == [20.0] * 15


def test_what_a_handler_did_without_its_lease_is_not_completed(shop):
    (entered,) = shop.enrol(1)
    held = []
    gate, handle = shop.gated(held.append)
    worker = shop.worker({"welcome": handle}, concurrency=1)

    def script():
        shop.wait_until_begun()
        yield PASS
        shop.clock.advance(minutes=2)  # the process was suspended for so long
        (other,) = shop.enrollments.claim(lease=60 * MINUTE)
        assert not held[0].lease_lost
        yield PASS
        assert held[0].lease_lost
        gate.set()
        yield CALL
        assert shop.enrollments.get(entered) == other.enrollment
        worker.stop()
        yield CALL

    assert shop.run(worker, script()) == 0
    (lost,) = shop.told.of("lease_lost")
    assert (lost.enrollment_id, lost.code) == (entered, "lease_lost")
    assert shop.told.of("completed") == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_handler_that_ends_too_late_completes_nothing_and_fails_nothing(shop, fails):
    (entered,) = shop.enrol(1)
    others = []

    def handle(_):
        shop.clock.advance(minutes=2)
        others.extend(shop.enrollments.claim(lease=60 * MINUTE))
        if fails:
            raise ValueError

    assert shop.drain(shop.worker({"welcome": handle})) == 0
    assert shop.enrollments.get(entered) == others[0].enrollment
    assert len(shop.told.of("lease_lost")) == 1
    assert shop.told.of("failed") == shop.told.of("completed") == []


# --- a stop ---------------------------------------------------------------------------------


def test_a_stop_claims_no_more_and_lets_handlers_end(shop):
    entered = shop.enrol(3)
    gate, handle = shop.gated()
    worker = shop.worker({"welcome": handle}, concurrency=2, grace=10 * MINUTE)

    def script():
        worker.stop()
        yield CALL
        yield PASS  # its leases are extended meanwhile
        yield PASS
        yield PASS
        assert shop.enrollments.claim(limit=1)[0].enrollment.enrollment_id == entered[2]
        gate.set()
        yield CALL
        while True:
            yield CALL

    assert shop.run(worker, script()) == 2
    statuses = [shop.enrollments.get(each).status for each in entered]
    assert statuses == ["completed", "completed", "claimed"]


@pytest.mark.parametrize("at_once", [False, True], ids=["after the grace", "at once"])
def test_a_stop_gives_back_what_does_not_end(shop, at_once):
    """As if it had not been handed over: the next worker has every attempt."""
    (entered,) = shop.enrol(1)
    held = []
    gate, handle = shop.gated(held.append)
    worker = shop.worker({"welcome": handle}, grace=MINUTE / 2)

    def script():
        shop.wait_until_begun()
        worker.stop()
        if at_once:
            worker.stop()
        yield CALL
        while True:
            yield PASS

    start = shop.clock.now()
    assert shop.run(worker, script()) == 0
    assert shop.clock.now() - start == (timedelta() if at_once else MINUTE / 2)
    back = shop.enrollments.get(entered)
    assert (back.status, back.attempts, back.last_failure) == ("pending", 0, None)
    assert held[0].lease_lost
    assert [each.enrollment_id for each in shop.told.of("given_back")] == [entered]
    gate.set()
    assert shop.drain(shop.worker({"welcome": lambda _: None})) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_is_an_ordinary_one_afterwards(shop, number):
    shop.enrol(1)
    before = signal.getsignal(number)
    worker = shop.worker({"welcome": lambda _: signal.raise_signal(number)})

    def script():
        while True:
            yield CALL

    assert shop.run(worker, script()) == 1
    assert signal.getsignal(number) is before


def test_a_run_that_is_interrupted_gives_back_what_it_holds(shop):
    (entered,) = shop.enrol(1)
    gate, handle = shop.gated()
    worker = shop.worker({"welcome": handle})

    def script():
        yield PASS
        raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        shop.run(worker, script())
    gate.set()
    back = shop.enrollments.get(entered)
    assert (back.status, back.attempts) == ("pending", 0)


def test_a_worker_runs_once_at_a_time(shop):
    shop.enrol(1)
    worker = shop.worker({"welcome": lambda _: None})

    def script():
        with pytest.raises(ConfigurationError, match="runs already"):
            shop.again(worker)
        worker.stop()
        while True:
            yield CALL

    shop.run(worker, script())
    shop.enrol(1)
    assert shop.drain(worker) == 1


@pytest.mark.parametrize("ran_before", [False, True])
@pytest.mark.parametrize("stops", [1, 2])
def test_a_stop_between_two_runs_ends_the_next_one_and_no_other(shop, ran_before, stops):
    worker = shop.worker({"welcome": lambda _: None})
    if ran_before:
        shop.drain(worker)
    shop.enrol(1)
    for _ in range(stops):
        worker.stop()
    assert shop.run(worker, iter(())) == 0
    assert shop.told.of("started") == []
    assert shop.drain(worker) == 1


def test_a_stop_between_two_runs_ends_a_drain_as_well(shop):
    shop.enrol(1)
    worker = shop.worker({"welcome": lambda _: None})
    worker.stop()
    assert shop.drain(worker) == 0
    assert shop.drain(worker) == 1


def test_a_stop_comes_before_the_first_step_of_a_task():
    async def begin_and_stop():
        worker = AsyncWorker(AsyncMemoryStorage(), {"welcome": lambda _: None})
        run = asyncio.create_task(worker.run())
        worker.stop()
        async with asyncio.timeout(60):
            return await run

    assert asyncio.run(begin_and_stop()) == 0


# --- waiting --------------------------------------------------------------------------------


def test_it_asks_less_and_less_often_while_nothing_is_there(shop):
    worker = shop.worker({"welcome": lambda _: None})

    def script():
        for _ in range(8):
            yield PASS
        worker.stop()
        yield CALL

    shop.run(worker, script())
    assert shop.time.waits[:8] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_it_is_woken_by_what_its_own_process_tracks(shop):
    shop.tracker.journeys.publish([a_journey()])
    worker = shop.worker({"welcome": lambda _: None})
    tracker = Tracker(
        shop.storage,
        fingerprint_key=FINGERPRINT_SECRET,
        clock=shop.clock,
        observers=[wakes(worker)],
    )

    def script():
        for _ in range(8):
            yield PASS  # it waits for five seconds by now
        now = shop.clock.now()
        tracker.track(a_request("nobody listens"), "1")
        yield PASS
        assert shop.clock.now() > now
        now = shop.clock.now()
        tracker.track(a_request(), "2")
        yield CALL
        while not shop.told.of("completed"):
            yield CALL
        assert shop.clock.now() == now
        worker.stop()
        yield CALL

    assert shop.run(worker, script()) == 1


# --- a store that cannot be asked -----------------------------------------------------------


def test_what_the_store_does_not_answer_is_asked_again(shop):
    """Its first claim, the completion, and the completion once more."""
    shop.enrol(1)
    did = []
    storage = Sometimes(shop.storage, StorageUnavailable(), {1, 3, 4})
    worker = shop.worker({"welcome": did.append}, storage=storage)

    def script():
        while len(shop.told.of("completed")) < 1:
            running = len(did) < len(shop.told.of("started"))
            yield CALL if running else PASS
        worker.stop()
        yield CALL

    assert shop.run(worker, script()) == 1
    assert len(did) == 1
    assert [each.times for each in shop.told.of("unavailable")] == [1, 1, 2]
    assert {each.code for each in shop.told.of("unavailable")} == {"storage_unavailable"}
    assert {each.status for each in shop.enrollments.list()} == {"completed"}


def test_a_refusal_that_will_not_pass_ends_the_run_and_gives_back(shop):
    (entered,) = shop.enrol(1)
    gate, handle = shop.gated()
    storage = Sometimes(shop.storage, StorageRefused(), {2})
    worker = shop.worker({"welcome": handle}, storage=storage, concurrency=1)

    def script():
        yield PASS
        yield PASS

    with pytest.raises(StorageRefused):
        shop.run(worker, script())
    gate.set()
    assert shop.enrollments.get(entered).status == "pending"


# --- observers ------------------------------------------------------------------------------


def test_an_observer_that_fails_disturbs_nothing(shop):
    class Broken:
        def __getattr__(self, name):
            raise ValueError(name)

    shop.enrol(2)
    assert (
        shop.drain(shop.worker({"welcome": lambda _: None}, observers=[Broken(), shop.told])) == 2
    )


def told_backlogs(shop):
    return [
        [(each.journey_id, each.depth, each.lag) for each in told.backlogs]
        for told in shop.told.of("measured")
    ]


def test_what_waits_is_measured_as_often_as_told_while_nothing_is_claimed(shop):
    shop.enrol(2, "a", "b")
    gate, handle = shop.gated()
    options = {"concurrency": 1, "measure": 30 * SECOND, "longest_poll": 10 * MINUTE}
    worker = shop.worker({"a": handle, "unpublished": handle}, **options)

    def script():
        shop.wait_until_begun()
        yield PASS  # to the extension of the lease, at 20 seconds
        yield PASS  # to the measuring, at 30 seconds
        shop.tracker.journeys.publish([{**a_journey("a"), "status": "paused"}])
        yield PASS  # 40
        yield PASS  # 60
        gate.set()
        worker.stop()
        while True:
            yield CALL

    assert shop.run(worker, script()) == 1
    assert told_backlogs(shop) == [
        [("a", 2, timedelta(0))],
        [("a", 1, 30 * SECOND)],
        [],
    ]
    assert [(told.depth, told.lag) for told in shop.told.of("measured")] == [
        (2, timedelta(0)),
        (1, 30 * SECOND),
        (0, timedelta(0)),
    ]


def test_a_worker_for_every_journey_measures_each(shop):
    shop.enrol(1, "a", "b")
    worker = shop.worker({}, default=lambda _: None, measure=MINUTE)
    assert shop.drain(worker) == 2
    assert told_backlogs(shop) == [[("a", 1, timedelta(0)), ("b", 1, timedelta(0))]]


def test_nothing_is_measured_unless_asked_for(shop):
    shop.enrol(1)
    storage = Sometimes(shop.storage, StorageUnavailable(), set())
    shop.drain(shop.worker({"welcome": lambda _: None}, storage=storage))
    assert shop.told.of("measured") == []
    unmeasured, storage.runs = storage.runs, 0
    shop.enrol(1)
    shop.drain(shop.worker({"welcome": lambda _: None}, storage=storage, measure=MINUTE))
    assert storage.runs == unmeasured + 1


def test_what_cannot_be_measured_now_is_measured_later_and_work_goes_on(shop):
    shop.enrol(1)
    storage = Sometimes(shop.storage, StorageUnavailable(), {1})
    worker = shop.worker({"welcome": lambda _: None}, storage=storage, measure=5 * SECOND)
    assert shop.drain(worker) == 1
    assert [each.code for each in shop.told.of("unavailable")] == ["storage_unavailable"]


def test_the_log_says_how_much_waits(shop, caplog):
    caplog.set_level("INFO", logger="segmentflow.worker")
    shop.enrol(2, "a", "b")
    observers = [LoggingObserver(), shop.told]
    shop.drain(shop.worker({"a": lambda _: None}, measure=MINUTE, observers=observers))
    assert "a: 2 waiting, lag 0:00:00" in caplog.text
    assert " b: " not in caplog.text


def test_the_log_names_what_happened_and_shows_nothing_of_it(shop, caplog):
    caplog.set_level("DEBUG", logger="segmentflow.worker")
    shop.enrol(2)

    def handle(assignment):
        if assignment.idempotency_key.endswith(shop.enrollments.list()[0].enrollment_id[-4:]):
            raise ValueError("canary")

    observers = [LoggingObserver(), shop.told]
    shop.drain(shop.worker({"welcome": handle}, max_attempts=1, observers=observers))
    text = caplog.text
    for word in ("completed in", "ValueError; dead", "claimed 2 of 8"):
        assert word in text
    for secret in ("canary", "@example.com"):
        assert secret not in text
