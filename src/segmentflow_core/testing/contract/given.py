"""What both contracts are given, as fixtures: a store, what runs its coroutines, and a clock.

An author gives the store. The rest has a default, and one class may inherit both contracts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segmentflow_core.testing.builders import FixedClock

__all__ = ["Given"]


class Given:
    """The fixtures that each contract asks for."""

    @pytest.fixture
    def storage(self) -> Any:
        """Give an empty store of either colour; the author overrides this."""
        raise NotImplementedError("Give a fixture named `storage` that returns an empty store.")

    @pytest.fixture
    def run_async(self) -> Iterator[Callable[[Any], Any]]:
        """Give a function that runs a coroutine to its end; one event loop serves all the test."""
        with asyncio.Runner() as runner:
            yield runner.run

    @pytest.fixture
    def clock(self) -> FixedClock:
        """Give the clock that everything of the test uses."""
        return FixedClock()
