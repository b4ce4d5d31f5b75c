"""The page over a store with something of everything, called the same way in both colours."""

from __future__ import annotations

import pytest

from console_asking import KEY, Asking
from console_world import a_world
from segmentflow_console import AsyncConsole, Console
from segmentflow_core import AsyncTracker
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def storage():
    return MemoryStorage()


@pytest.fixture
def world(storage, clock):
    return a_world(storage, clock)


@pytest.fixture(params=["sync", "async"])
def ask(request, world, storage, clock):
    if request.param == "sync":
        return Asking(Console(world.tracker, key=KEY, clock=clock))
    shared = AsyncTracker(
        AsyncMemoryStorage(storage), fingerprint_key=FINGERPRINT_SECRET, clock=clock
    )
    return Asking(AsyncConsole(shared, key=KEY, clock=clock))


@pytest.fixture
def ask_sync(world, clock):
    return Asking(Console(world.tracker, key=KEY, clock=clock))
