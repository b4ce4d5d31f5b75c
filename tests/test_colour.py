from __future__ import annotations

import asyncio
import functools

import pytest

from segmentflow_core.colour import drive, driven, is_asynchronous, settle


async def awaited(value=1):
    await asyncio.sleep(0)
    return value


def plain(value=1):
    return value


class Awaitable:
    """To be awaited, and no coroutine."""

    def __await__(self):
        yield from ()
        return "awaited"


async def doubled(value):
    return 2 * await settle(value)


def test_work_that_suspends_is_refused_where_it_is_driven():
    with pytest.raises(RuntimeError, match="AsyncTracker"):
        driven(awaited)(2)


@pytest.mark.parametrize("value", [0, None, "text", [1]], ids=str)
def test_a_value_is_settled_as_it_is(value):
    assert drive(settle(value)) is value


def test_what_has_to_be_awaited_is_awaited():
    assert asyncio.run(settle(awaited(3))) == 3
    assert asyncio.run(settle(Awaitable())) == "awaited"


def test_a_body_is_driven_to_its_result_where_nothing_is_awaited():
    assert drive(doubled(2)) == 4
    assert driven(doubled)(2) == 4


def test_a_body_gives_the_same_where_it_is_awaited():
    assert asyncio.run(doubled(awaited(2))) == 4


def test_what_a_body_raises_comes_through():
    async def fails():
        await settle(1)
        raise KeyError("key")

    with pytest.raises(KeyError, match="key"):
        drive(fails())


def test_a_body_that_suspends_is_refused_and_closed():
    closed = []

    async def body():
        try:
            await settle(awaited())
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="AsyncTracker"):
        drive(body())
    assert closed == [True]


# --- which colour a function has ------------------------------------------------------------------


class Called:
    def __call__(self):
        return plain()


class CalledAwaited:
    async def __call__(self):
        return await awaited()

    async def method(self):
        return await awaited()


@functools.wraps(awaited)
def handed_on(*args):
    return awaited(*args)


@functools.wraps(plain)
async def made_awaited(*args):
    return plain(*args)


@functools.wraps(made_awaited)
def handed_on_again(*args):
    return made_awaited(*args)


@functools.wraps(awaited)
def run_to_its_end(*args):
    return asyncio.run(awaited(*args))


del run_to_its_end.__wrapped__


@pytest.mark.parametrize(
    "function",
    [
        awaited,
        CalledAwaited().method,
        CalledAwaited(),
        handed_on,
        made_awaited,
        handed_on_again,
        functools.partial(awaited, 2),
        functools.partial(functools.partial(CalledAwaited())),
        functools.partial(handed_on, 2),
    ],
)
def test_what_has_to_be_awaited_is_asynchronous(function):
    assert is_asynchronous(function)
    assert asyncio.run(function()) in (1, 2)


@pytest.mark.parametrize(
    "function", [plain, Called(), functools.partial(plain, 2), run_to_its_end, print, dict]
)
def test_what_returns_a_value_is_synchronous(function):
    assert not is_asynchronous(function)
