"""What a worker's settings say, without a store."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from segmentflow_core.errors import ConfigurationError
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
from segmentflow_worker import AsyncWorker, GiveUp, TryAgain, Worker
from segmentflow_worker.settings import Settings, Verdict, verdict_on

SECOND = timedelta(seconds=1)


def handle(assignment):
    """Do nothing."""


def settings(**changed):
    given = {
        "handlers": {"welcome": handle},
        "default": None,
        "organization_id": "default",
        "concurrency": 1,
        "lease": SECOND,
        "max_attempts": 3,
        "retry_after": 10 * SECOND,
        "longest_retry": 100 * SECOND,
        "poll": SECOND,
        "longest_poll": 5 * SECOND,
        "grace": SECOND,
    }
    return Settings(**given | changed)


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 80), (5, 100), (1_000_000, 100)]
)
def test_a_retry_waits_twice_as_long_as_the_one_before_and_never_too_long(attempt, seconds):
    assert settings().retry_delay(attempt, 0.0) == timedelta(seconds=seconds)
    # Chance takes away a half at the most.
    assert settings().retry_delay(attempt, 0.5) == timedelta(seconds=seconds * 0.75)


@pytest.mark.parametrize(("times", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 5), (10**9, 5)])
def test_polling_slows_down(times, seconds):
    assert settings().poll_delay(times, 0.0) == timedelta(seconds=seconds)
    assert settings().poll_delay(times, 1.0) == timedelta(seconds=seconds / 2)


class Unspeakable(Exception):
    def __init__(self, instead):
        self.instead = instead

    def __str__(self):
        raise self.instead


class NotYet(TryAgain):
    """Of a host that calls no `super().__init__`."""

    def __init__(self, **terms):
        vars(self).update(terms)


class Untold(TryAgain):
    @property
    def after(self):
        raise SystemExit

    @after.setter
    def after(self, _):
        pass

    counted = after


@pytest.mark.parametrize(
    ("raised", "verdict"),
    [
        (ValueError("no"), Verdict(20 * SECOND, True, "ValueError: no", 3)),
        (KeyError(), Verdict(20 * SECOND, True, "KeyError", 3)),
        (Unspeakable(ValueError()), Verdict(20 * SECOND, True, "Unspeakable", 3)),
        (Unspeakable(SystemExit("odd")), Verdict(20 * SECOND, True, "Unspeakable", 3)),
        (GiveUp("no such mailbox"), Verdict(timedelta(), True, "no such mailbox", 1)),
        (TryAgain("closed"), Verdict(20 * SECOND, True, "closed", 3)),
        (TryAgain("closed", after=SECOND), Verdict(SECOND, True, "closed", 3)),
        (TryAgain(after=SECOND, counted=False), Verdict(SECOND, False, None, 3)),
        (TryAgain(after=-SECOND), Verdict(timedelta(), True, "TryAgain", 3)),
        (
            TryAgain(after=timedelta(days=999)),
            Verdict(timedelta(days=366), True, "TryAgain", 3),
        ),
        (NotYet(), Verdict(20 * SECOND, True, "NotYet", 3)),
        (NotYet(after=30), Verdict(20 * SECOND, True, "NotYet", 3)),
        (NotYet(after=-SECOND, counted=False), Verdict(timedelta(), False, None, 3)),
        (NotYet(after=timedelta.max, counted=0), Verdict(timedelta(366), True, "NotYet", 3)),
        (Untold(), Verdict(20 * SECOND, True, "Untold", 3)),
    ],
)
def test_what_a_handler_raises_says_how_to_go_on(raised, verdict):
    assert verdict_on(raised, 2, settings(), 0.0) == verdict


@pytest.mark.parametrize("kind", [Worker, AsyncWorker])
@pytest.mark.parametrize(
    ("named", "wrong"),
    [
        ("handler", {"handlers": {}}),
        ("handlers", {"handlers": {"welcome": "no function"}}),
        ("handlers", {"handlers": {1: handle}}),
        ("default", {"default": "no function"}),
        ("concurrency", {"concurrency": 0}),
        ("concurrency", {"concurrency": "8"}),
        ("concurrency", {"concurrency": True}),
        ("max_attempts", {"max_attempts": 0}),
        ("lease", {"lease": timedelta()}),
        ("retry_after", {"retry_after": 10}),
        ("longest_poll", {"longest_poll": timedelta(days=367)}),
        ("grace", {"grace": -SECOND}),
        ("measure", {"measure": timedelta()}),
        ("measure", {"measure": 30}),
        ("measure needs an organization_id", {"measure": SECOND, "organization_id": None}),
    ],
)
def test_a_wrong_setting_is_refused_by_name(kind, named, wrong):
    storage = MemoryStorage() if kind is Worker else AsyncMemoryStorage()
    with pytest.raises(ConfigurationError, match=named):
        kind(storage, **{"handlers": {"welcome": handle}} | wrong)


def yields(assignment):
    yield


async def yields_later(assignment):
    yield


class Yields:
    def __call__(self, assignment):
        yield


@pytest.mark.parametrize("kind", [Worker, AsyncWorker])
@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (yields, "yields"),
        (yields_later, "yields_later"),
        (Yields(), "Yields"),
        (partial(yields), "partial"),
        (partial(Yields()), "partial"),
    ],
)
def test_a_handler_of_which_no_line_would_run_is_refused_by_name(kind, handler, name):
    storage = MemoryStorage() if kind is Worker else AsyncMemoryStorage()
    with pytest.raises(ConfigurationError, match=f"The handler {name} has a yield"):
        kind(storage, {"welcome": handle, "second": handler})
    with pytest.raises(ConfigurationError, match="has a yield"):
        kind(storage, {}, default=handler)


def test_a_storage_of_the_other_colour_is_refused():
    with pytest.raises(ConfigurationError, match="synchronous"):
        Worker(AsyncMemoryStorage(), {"welcome": handle})
    with pytest.raises(ConfigurationError, match="asynchronous"):
        AsyncWorker(MemoryStorage(), {"welcome": handle})
