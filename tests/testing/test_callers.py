"""Callers at once, in either colour, and the storages that a test listens to."""

from __future__ import annotations

import asyncio

import pytest

from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.colour import settle
from segmentflow_core.errors import NotFound
from segmentflow_core.testing import FINGERPRINT_SECRET, TappedStorage, a_request
from segmentflow_core.testing.callers import Gate, run_at_once
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage

COLOURS = pytest.mark.parametrize("run_async", [None, asyncio.run], ids=["threads", "tasks"])


async def echo(tracker):
    return tracker


async def refused(_):
    raise NotFound


async def fails(_):
    raise ValueError("a mistake of the test's")


@COLOURS
def test_outcomes_come_in_the_order_of_the_callers(run_async):
    first, refusal, last = run_at_once([(echo, 1), (refused, 2), (echo, 3)], run_async)
    assert (first, refusal.code, last) == (1, "not_found", 3)


@COLOURS
def test_what_is_no_refusal_comes_through(run_async):
    with pytest.raises(ValueError, match="mistake"):
        run_at_once([(echo, 1), (fails, 2)], run_async)


@COLOURS
def test_callers_that_never_end_are_a_failure(run_async):
    gate = Gate(asynchronous=run_async is not None)

    async def waits(_):
        await settle(gate.wait(30))

    with pytest.raises(AssertionError, match="wait for each other"):
        run_at_once([(waits, None)], run_async, bound=0.01)
    gate.open()


@COLOURS
def test_a_gate_lets_those_through_who_wait_and_those_who_come_later(run_async):
    gate = Gate(asynchronous=run_async is not None)

    async def waits(_):
        return await settle(gate.wait())

    async def opens(_):
        early = await settle(gate.wait(0))
        gate.open()
        return early, await settle(gate.wait(0))

    assert run_at_once([(waits, None), (opens, None)], run_async) == [True, (False, True)]


class Awaited:
    """A transaction whose methods have to be awaited."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return Awaited(found)

        async def method(*args):
            return found(*args)

        return method


class AwaitedStorage(AsyncMemoryStorage):
    async def run(self, work, **how):
        return await super().run(lambda transaction: work(Awaited(transaction)))


def test_a_tap_hears_of_every_call_of_a_synchronous_storage():
    heard = []
    storage = TappedStorage(MemoryStorage(), heard.append)
    Tracker(storage, fingerprint_key=FINGERPRINT_SECRET).track(a_request(), "key")
    assert heard == [1, 2]


@pytest.mark.parametrize("kind", [AsyncMemoryStorage, AwaitedStorage])
def test_a_tap_that_has_to_be_awaited_is(kind):
    heard = []

    async def tap(number):
        heard.append(number)

    tracker = AsyncTracker(TappedStorage(kind(), tap), fingerprint_key=FINGERPRINT_SECRET)
    receipt = asyncio.run(tracker.track(a_request(), "key"))
    assert not receipt.replayed
    assert heard == [1, 2]
