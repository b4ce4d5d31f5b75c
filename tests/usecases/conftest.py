"""A tracker over a store in memory, with a clock and ids of the test's own."""

from __future__ import annotations

import pytest

from segmentflow_core import Tracker
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    FixedClock,
    SequentialIds,
)
from segmentflow_memory import MemoryStorage


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def storage():
    return MemoryStorage()


@pytest.fixture
def tracker(storage, clock):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock, ids=SequentialIds())
