"""Gathered calls: they share transactions, and none feels what becomes of another."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import closing

import pytest

from canaries import CANARY, assert_shows_nothing
from gathered_storage import AskedFirst, Shop, answers, digest, turns
from observed import JOURNEYS
from segmentflow_core import AsyncTracker, Receipt, Tracker
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyInProgress,
    StorageRefused,
    StorageUnavailable,
)
from segmentflow_core.ports import StillHeld
from segmentflow_core.ports.gathering import NotAnswered
from segmentflow_core.ports.observation import JourneyOutcome, Refused, Replayed, Retried, Tracked
from segmentflow_core.testing import FINGERPRINT_SECRET, InjectedInterrupt, a_request
from segmentflow_gathering import AsyncGathering, Gathering
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
from segmentflow_sql import AsyncBoundSqlStorage, BoundSqlStorage


def somebody(name, **more):
    return a_request(profile={"email": f"{name}@example.com"}, **more)


def of_each(*names):
    return [(somebody(name), name) for name in names]


def codes(found):
    return [getattr(answer, "code", type(answer).__name__) for answer in found]


def test_calls_that_come_while_one_is_recorded_share_the_next_transaction():
    async def story():
        shop = Shop()
        first = await shop.begin(*of_each("first"))
        others = await shop.begin(*of_each(*"abcdefgh"))
        assert shop.storage.waiting == 1
        shop.storage.gate.set()
        receipts = await answers(first + others)
        assert shop.sizes() == [1, 8]
        assert [intent.wait for intent in shop.storage.store.intents] == [0.05, 0.05]
        assert len({receipt.event_id for receipt in receipts}) == 9
        for name, receipt in zip(["first", *"abcdefgh"], receipts, strict=True):
            profile = await shop.tracker.records.profile(receipt.profile_id)
            assert (profile.email, receipt.replayed) == (f"{name}@example.com", False)

    asyncio.run(story())


def test_every_call_of_a_transaction_gets_its_own_answer():
    async def story():
        shop = Shop()
        shop.storage.gate.set()
        earlier = await shop.tracker.track(somebody("known"), "known")
        shop.storage.gate.clear()
        calls = [
            (somebody("first"), "first"),
            (somebody("a"), "a"),
            ({}, "invalid"),
            (somebody("b"), None),
            (somebody("a"), "a"),
            (somebody("a", data={"other": 1}), "a"),
            (somebody("known"), "known"),
            (somebody("known", data={"other": 1}), "known"),
            (a_request(profile={"externalId": "nobody"}), "refused"),
            (somebody("b"), "refused"),
        ]
        tasks = await shop.begin(*calls)
        shop.storage.gate.set()
        found = await answers(tasks)
        assert codes(found) == [
            "Receipt",
            "Receipt",
            "invalid_request",
            "idempotency_key_required",
            "Receipt",
            "idempotency_key_reuse",
            "Receipt",
            "idempotency_key_reuse",
            "profile_email_required",
            "Receipt",
        ]
        assert found[1] == found[4]
        assert (found[1].replayed, found[4].replayed) == (False, True)
        assert (found[6], found[6].replayed) == (earlier, True)
        assert found[5].details["changedPaths"] == ["/data/other"]
        assert shop.sizes() == [1, 1, 3]
        assert len(await shop.tracker.records.events()) == 4

    asyncio.run(story())


@pytest.mark.parametrize("error", [StorageUnavailable, StorageRefused, ZeroDivisionError])
def test_where_one_call_spoils_a_transaction_each_is_recorded_alone_and_told_of_its_own(error):
    async def story():
        shop = Shop()

        def spoil(intent):
            if digest("b") in intent.keys:
                raise error

        shop.storage.store.first = spoil
        tasks = await shop.begin(*of_each("first", *"abc"))
        shop.storage.gate.set()
        found = await answers(tasks)
        assert [type(answer) for answer in found] == [Receipt, Receipt, error, Receipt]
        assert [receipt.replayed for receipt in found if receipt is not found[2]] == [False] * 3
        began = [asked for name, asked in shop.storage.store.asked if name == "began"]
        assert [len(intent.keys) for intent in began] == [1, 3, 1, 1, 1]
        assert {intent.wait for intent in began} == {0.05}
        shop.storage.store.first = lambda intent: None
        assert not (await shop.tracker.track(*of_each("b")[0])).replayed

    asyncio.run(story())


@pytest.mark.parametrize("raises", [False, True])
def test_it_is_told_how_many_calls_each_committed_transaction_was_of(raises):
    told = []

    def on_batch(size):
        told.append(size)
        if raises:
            raise ZeroDivisionError

    async def story():
        shop = Shop(on_batch=on_batch)
        first = await shop.begin(*of_each("first"))
        others = await shop.begin(*of_each(*"abc"))
        shop.storage.gate.set()
        assert [type(answer) for answer in await answers(first + others)] == [Receipt] * 4

    asyncio.run(story())
    assert told == [1, 3]


def test_a_store_that_fails_is_told_to_every_call_once_and_takes_the_next_one():
    async def story():
        shop = Shop()

        def fail(intent):
            raise StorageUnavailable

        shop.storage.store.first = fail
        tasks = await shop.begin(*of_each("first", *"abc"))
        shop.storage.gate.set()
        assert codes(await answers(tasks)) == ["storage_unavailable"] * 4
        assert await shop.tracker.records.events() == []
        shop.storage.store.first = lambda intent: None
        assert isinstance(await shop.tracker.track(*of_each("a")[0]), Receipt)

    asyncio.run(story())


def test_a_store_that_does_not_answer_is_not_asked_again_for_each_call():
    async def story():
        shop = Shop()

        def hang(intent):
            if len(intent.keys) > 1:
                raise NotAnswered(2.0)

        shop.storage.store.first = hang
        tasks = await shop.begin(*of_each("first", *"abc"))
        shop.storage.gate.set()
        found = await answers(tasks)
        assert codes(found) == ["Receipt"] + ["storage_unavailable"] * 3
        assert {str(error) for error in found[1:]} == {
            "The store did not answer within 2 seconds. Try again."
        }
        assert len({id(error) for error in found[1:]}) == 3
        began = [asked for name, asked in shop.storage.store.asked if name == "began"]
        assert [len(intent.keys) for intent in began] == [1, 3]
        assert isinstance(await shop.tracker.track(*of_each("a")[0]), Receipt)

    asyncio.run(story())


def test_a_call_waits_for_others_no_longer_than_its_patience_and_its_key_tells():
    async def story():
        shop = Shop(patience=0.01)
        tasks = await shop.begin(*of_each("first", *"ab"))
        found = await answers(tasks[1:])
        assert codes(found) == ["storage_unavailable"] * 2
        assert {error.details["error"] for error in found} == {"TIMEOUT"}
        shop.storage.gate.set()
        assert codes(await answers(tasks[:1])) == ["Receipt"]
        assert len(await shop.tracker.records.events()) == 1
        assert not (await shop.tracker.track(*of_each("a")[0])).replayed

    asyncio.run(story())


class Elsewhere:
    """Another process, that holds some keys of a shop's store until they are let go."""

    def __init__(self, shop, *names, error=IdempotencyInProgress):
        self.held, self.error = {digest(name) for name in names}, error
        self.waiting, self.free = [], {key: asyncio.Event() for key in self.held}
        self._inner = shop.storage.run
        shop.storage.store.first = self._refuse
        shop.tracker._calls.run_in_storage = self._run

    def _refuse(self, intent):
        if self.held & {*intent.keys}:
            raise self.error

    async def _run(self, work, **how):
        intent = work.keywords["prepared"].intent
        if intent.wait is None:
            (key,) = intent.keys
            self.waiting.append(key)
            await self.free[key].wait()
        return await self._inner(work, **how)

    def let_go(self, name):
        """End the transaction that holds a key."""
        self.held.discard(digest(name))
        self.free[digest(name)].set()

    def give_up(self, name):
        """Let whoever waits for a key have waited long enough; it stays held."""
        self.free[digest(name)].set()


@pytest.mark.parametrize("error", [IdempotencyInProgress, StillHeld])
@pytest.mark.parametrize("names", ["habc", "ahbc"], ids=["starts at once", "among others"])
def test_what_is_held_elsewhere_keeps_nobody_but_its_own_call_waiting(names, error):
    async def story():
        shop = Shop()
        elsewhere = Elsewhere(shop, "h", error=error)
        tasks = dict(zip(names, await shop.begin(*of_each(*names)), strict=True))
        shop.storage.gate.set()
        held = tasks.pop("h")
        assert codes(await answers(tasks.values())) == ["Receipt"] * 3
        # Meanwhile others share transactions, and who needs the same key waits behind it.
        later = await shop.begin(*of_each("d", "h", "e"))
        assert codes(await answers([later[0], later[2]])) == ["Receipt"] * 2
        assert (held.done(), elsewhere.waiting) == (False, [digest("h")])
        elsewhere.let_go("h")
        mine, repeated = await answers([held, later[1]])
        assert (mine, mine.replayed, repeated.replayed) == (repeated, False, True)

    asyncio.run(story())


def test_no_more_calls_wait_aside_than_the_bound_says_and_the_others_in_order():
    async def story():
        shop = Shop(aside=2)
        elsewhere = Elsewhere(shop, *"vwxyz")
        shop.storage.gate.set()
        v, w, x, y, z = await shop.begin(*of_each(*"vwxyz"))
        assert isinstance(await shop.tracker.track(*of_each("a")[0]), Receipt)
        assert elsewhere.waiting == [digest("v"), digest("w")]
        y.cancel()  # while it waits for a place
        w.cancel()  # while it has one
        await turns(10)
        assert elsewhere.waiting[2:] == [digest("x")]
        elsewhere.let_go("v")
        assert isinstance(await v, Receipt)
        await turns(10)
        assert elsewhere.waiting[3:] == [digest("z")]
        for name in "xz":
            elsewhere.let_go(name)
        assert codes(await answers([w, x, y, z])) == [
            "CancelledError",
            "Receipt",
            "CancelledError",
            "Receipt",
        ]

    asyncio.run(story())


def test_who_has_waited_for_a_place_as_long_as_another_in_vain_looks_once_more():
    async def story():
        shop = Shop(aside=1)
        elsewhere = Elsewhere(shop, *"wxyz")
        shop.storage.gate.set()
        w, x = await shop.begin(*of_each(*"wx"))
        elsewhere.give_up("w")
        assert codes(await answers([w])) == ["idempotency_in_progress"]
        await turns(10)
        assert elsewhere.waiting == [digest("w"), digest("x")]  # x came after w began
        y, z = await shop.begin(*of_each(*"yz"))
        elsewhere.let_go("x")
        assert isinstance(await x, Receipt)
        await turns(10)
        assert elsewhere.waiting[2:] == [digest("y")]
        elsewhere.held.discard(digest("z"))
        elsewhere.give_up("y")  # z came before y began, and has waited as long
        assert codes(await answers([y, z])) == ["idempotency_in_progress", "Receipt"]
        assert elsewhere.waiting[3:] == []

    asyncio.run(story())


def test_a_caller_who_is_cancelled_in_the_queue_leaves_nothing_and_is_not_missed():
    async def story():
        shop = Shop()
        tasks = await shop.begin(*of_each("first", *"abc"))
        tasks[2].cancel()
        await turns()
        shop.storage.gate.set()
        found = await answers(tasks)
        assert codes(found) == ["Receipt", "Receipt", "CancelledError", "Receipt"]
        assert shop.sizes() == [1, 2]
        assert not (await shop.tracker.track(*of_each("b")[0])).replayed

    asyncio.run(story())


def test_a_caller_who_is_cancelled_while_its_transaction_runs_takes_nobody_along():
    async def story():
        shop = Shop()
        shop.storage.gate.set()
        closed = asyncio.Event()
        inner = shop.storage.run

        async def run(work, **how):
            await closed.wait()
            return await inner(work, **how)

        shop.tracker._calls.run_in_storage = run
        tasks = await shop.begin(*of_each("first", *"abc"))
        tasks[0].cancel()  # it was alone, and its writer goes on with the others
        await turns()
        for task in tasks[1:3]:
            task.cancel()
        await turns()
        closed.set()
        found = await answers(tasks)
        assert codes(found) == ["CancelledError", "CancelledError", "CancelledError", "Receipt"]
        assert shop.sizes() == [3]
        assert (await shop.tracker.track(*of_each("a")[0])).replayed

    asyncio.run(story())


def test_a_caller_who_is_cancelled_before_it_goes_alone_holds_up_nobody():
    async def story():
        shop, tasks = Shop(), []

        def spoil(intent):
            if len(intent.keys) > 1:
                tasks[1].cancel()  # who hears of it only when the transaction has failed
                raise StorageRefused

        shop.storage.store.first = spoil
        tasks += await shop.begin(*of_each("first", *"ab"))
        shop.storage.gate.set()
        assert codes(await answers(tasks)) == ["Receipt", "CancelledError", "Receipt"]
        assert not (await shop.tracker.track(*of_each("a")[0])).replayed

    asyncio.run(story())


def test_an_event_loop_that_ends_in_the_midst_leaves_the_tracker_usable():
    shops = []

    async def left():
        shops.append(shop := Shop())
        await shop.begin(*of_each("first", *"abc"))
        shop.storage.gate.set()
        await asyncio.sleep(0)
        shop.storage.gate.clear()
        await shop.begin(*of_each(*"defg"))

    asyncio.run(left())

    async def again():
        shop = shops[0]
        shop.storage.gate = asyncio.Event()
        shop.storage.gate.set()
        return await answers(await shop.begin(*of_each(*"abcdefg")))

    assert codes(asyncio.run(again())) == ["Receipt"] * 7


def test_a_small_organization_among_three_hundred_calls_comes_within_two_transactions():
    async def story():
        shop = Shop()
        crowd = await shop.begin(*of_each(*map(str, range(301))), organization_id="big")
        little = await shop.begin(*of_each("little"), organization_id="little")
        shop.storage.gate.set()
        await answers(crowd + little)
        assert shop.sizes() == [1, 128, 1, 128, 44]

    asyncio.run(story())


def test_history_that_starts_no_journey_shares_no_transaction_with_what_does():
    async def story():
        shop = Shop()
        shop.storage.gate.set()
        await shop.tracker.journeys.publish(JOURNEYS)
        shop.storage.gate.clear()
        live = await shop.begin(*of_each("first", *"ab"))
        history = await shop.begin(*of_each(*"cd"), match_journeys=False)
        shop.storage.gate.set()
        matched = [receipt.matched_journeys for receipt in await answers(live + history)]
        assert matched == [2, 2, 2, 0, 0]

    asyncio.run(story())


class Recorder:
    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        return self.told.append


def test_observers_hear_of_each_call_as_if_it_had_been_alone():
    async def story():
        recorder = Recorder()
        shop = Shop(recorder)
        shop.storage.gate.set()
        await shop.tracker.journeys.publish(JOURNEYS)
        shop.storage.gate.clear()
        calls = [*of_each("first", "a"), ({}, "b"), *of_each("c", "a")]
        calls.insert(4, (a_request(profile={"externalId": "x"}), "d"))
        tasks = await shop.begin(*calls)
        shop.storage.gate.set()
        found = await answers(tasks)
        kinds = [type(told) for told in recorder.told]
        assert kinds.count(Tracked) == 3
        assert kinds.count(JourneyOutcome) == 6
        assert recorder.told.count(Replayed("default", found[1].event_id)) == 1
        refused = [told.code for told in recorder.told if isinstance(told, Refused)]
        assert sorted(refused) == ["invalid_request", "profile_email_required"]
        outcomes = [t.event_id for t in recorder.told if isinstance(t, JourneyOutcome)]
        assert sorted(outcomes) == sorted([found[n].event_id for n in (0, 1, 3)] * 2)
        assert Retried not in kinds

    asyncio.run(story())


def test_observers_hear_that_a_call_ran_again_alone():
    async def story():
        recorder = Recorder()
        shop = Shop(recorder)

        def spoil(intent):
            if digest("b") in intent.keys:
                raise StorageRefused

        shop.storage.store.first = spoil
        tasks = await shop.begin(*of_each("first", *"ab"))
        shop.storage.gate.set()
        await answers(tasks)
        assert recorder.told.count(Retried("default", 2)) == 2
        assert recorder.told.count(Refused("default", "internal_error")) == 1

    asyncio.run(story())


# --- threads --------------------------------------------------------------------------------------


class Watched(Gathering):
    """Tells of each caller who begins to wait, and may interrupt it when it is called."""

    def place(self):
        return Place(super().place())


class Place:
    def __init__(self, inner):
        self._inner = inner
        self.call = inner.call

    def wait(self):
        caller = threading.current_thread()
        caller.waits.set()
        self._inner.wait()
        if caller.interrupted:
            raise InjectedInterrupt


class Caller(threading.Thread):
    """A thread that tracks once; `answer` is what it got, or what was raised."""

    def __init__(self, tracker, name, *, interrupted=False):
        super().__init__(daemon=True)
        self.tracker, self.call = tracker, (somebody(name, data={"secret": CANARY}), name)
        self.waits, self.interrupted = threading.Event(), interrupted

    def run(self):
        try:
            self.answer = self.tracker.track(*self.call)
        except BaseException as error:  # noqa: BLE001 - is what the test looks at
            self.answer = error


class Threads:
    """A tracker whose callers are threads; the first one's transaction waits until it is let in."""

    def __init__(self, **bounds):
        self.store = AskedFirst()
        self.gate, self.began = threading.Event(), threading.Event()
        self.store.first = self._hold
        self.after = lambda intent: None
        gather = Watched(**bounds)
        self.tracker = Tracker(self.store, fingerprint_key=FINGERPRINT_SECRET, gather=gather)

    def _hold(self, intent):
        if not self.began.is_set():
            self.began.set()
            assert self.gate.wait(60)
        self.after(intent)

    def answers(self, *names, interrupted=()):
        """Let the first caller begin and the others wait, one by one; return all answers."""
        callers = [Caller(self.tracker, n, interrupted=n in interrupted) for n in names]
        for number, caller in enumerate(callers):
            caller.start()
            assert (caller.waits if number else self.began).wait(60)
        self.gate.set()
        for caller in callers:
            caller.join(60)
            assert not caller.is_alive()
        return [caller.answer for caller in callers]

    @property
    def sizes(self):
        return [len(asked.keys) for name, asked in self.store.asked if name == "began"]


def test_threads_that_come_while_one_records_share_the_next_transaction():
    threads = Threads()
    found = threads.answers("first", *"abcd")
    assert codes(found) == ["Receipt"] * 5
    assert threads.sizes == [1, 4]
    assert len(threads.tracker.records.events()) == 5


def test_of_threads_whose_transaction_fails_each_goes_alone():
    threads = Threads()

    def spoil(intent):
        if digest("b") in intent.keys:
            raise StorageUnavailable

    threads.after = spoil
    found = threads.answers("first", *"abcd")
    assert codes(found) == ["Receipt", "Receipt", "storage_unavailable", "Receipt", "Receipt"]
    assert_shows_nothing(found[2])
    assert sorted(threads.sizes) == [1, 1, 1, 1, 1, 4]


def test_a_thread_waits_for_others_no_longer_than_its_patience():
    threads = Threads(patience=0.01)
    first, second = Caller(threads.tracker, "first"), Caller(threads.tracker, "a")
    first.start()
    assert threads.began.wait(60)
    second.start()
    second.join(60)
    assert codes([second.answer]) == ["storage_unavailable"]
    assert_shows_nothing(second.answer)
    threads.gate.set()
    first.join(60)
    assert codes([first.answer]) == ["Receipt"]
    assert not threads.tracker.track(*second.call).replayed
    assert len(threads.tracker.records.events()) == 2


def test_an_interrupt_of_the_thread_that_records_for_others_is_its_own():
    threads = Threads()

    def interrupt(intent):
        if len(intent.keys) > 1:
            raise InjectedInterrupt

    threads.after = interrupt
    found = threads.answers("first", *"abcd")
    assert codes(found) == ["Receipt", "InjectedInterrupt", "Receipt", "Receipt", "Receipt"]
    assert_shows_nothing(found[1])
    assert isinstance(threads.tracker.track(*of_each("e")[0]), Receipt)


@pytest.mark.parametrize("interrupted", ["a", "c"], ids=["who would record", "who waits for it"])
def test_a_thread_that_is_interrupted_as_it_waits_takes_nobody_along(interrupted):
    threads = Threads()
    found = threads.answers("first", *"abcd", interrupted={interrupted})
    wanted = dict.fromkeys("abcd", "Receipt") | {interrupted: "InjectedInterrupt"}
    assert codes(found) == ["Receipt", *wanted.values()]
    assert isinstance(threads.tracker.track(*of_each("e")[0]), Receipt)


def test_a_forked_process_does_not_wait_for_the_threads_it_has_left(monkeypatch):
    threads = Threads()
    blocked = Caller(threads.tracker, "first")
    blocked.start()
    assert threads.began.wait(60)
    here = threads.tracker._track.__self__._shared
    mine = here()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert here() is not mine
    assert here() is here()
    monkeypatch.undo()
    threads.gate.set()
    blocked.join(60)
    assert here() is mine


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Gathering, AsyncGathering])
@pytest.mark.parametrize(
    "bounds",
    [
        {"most": 0},
        {"most": 129},
        {"most": True},
        {"most": 1.5},
        {"writers": 0},
        {"writers": 5},
        {"wait": 0},
        {"wait": 61},
        {"wait": float("nan")},
        {"wait": "1"},
        {"aside": 0},
        {"aside": 65},
        {"patience": 0},
        {"patience": "1"},
        {"patience": float("inf")},
    ],
)
def test_a_bound_beyond_its_rule_is_refused(kind, bounds):
    with pytest.raises(ConfigurationError, match=next(iter(bounds))):
        kind(**bounds)


def test_no_more_share_a_transaction_than_the_bound_says():
    async def story():
        shop = Shop(most=2)
        tasks = await shop.begin(*of_each("first", *"abc"))
        shop.storage.gate.set()
        await answers(tasks)
        assert shop.sizes() == [1, 2, 1]

    asyncio.run(story())


def test_as_many_transactions_are_under_way_as_there_are_writers():
    async def story():
        shop = Shop(writers=3)
        tasks = await shop.begin(*of_each(*"abcde"))
        assert shop.storage.waiting == 3
        shop.storage.gate.set()
        assert codes(await answers(tasks)) == ["Receipt"] * 5
        assert shop.sizes() == [1, 1, 1, 2]

    asyncio.run(story())


@pytest.mark.parametrize("gather", [AsyncGathering(), 128, True, Gathering])
def test_what_does_not_gather_for_threads_is_refused_by_the_name_of_what_does(gather):
    with pytest.raises(ConfigurationError, match="of Tracker must be a Gathering of"):
        Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, gather=gather)


@pytest.mark.parametrize("gather", [Gathering(), None.__class__, AsyncGathering])
def test_what_does_not_gather_for_tasks_is_refused_by_the_name_of_what_does(gather):
    with pytest.raises(ConfigurationError, match="of AsyncTracker must be an AsyncGathering of"):
        AsyncTracker(AsyncMemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, gather=gather)


def test_storage_within_a_hosts_transaction_never_gathers():
    with closing(sqlite3.connect(":memory:")) as connection:
        bound = BoundSqlStorage(connection)
        with pytest.raises(ConfigurationError, match="BoundSqlStorage"):
            Tracker(bound, fingerprint_key=FINGERPRINT_SECRET, gather=Gathering())
    assert AsyncBoundSqlStorage.is_bound
