"""Any sequence of calls, as one test of a storage adapter: `StorageMachine` and its model.

A part of `StorageContract`, whose fixtures it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segmentflow_core.testing.builders import FixedClock
from segmentflow_core.testing.machine import run_storage_machine

__all__ = ["StatefulContract"]


class StatefulContract:
    """What holds for every sequence of calls."""

    def test_any_sequence_of_calls_is_answered_as_the_model_says(
        self, storage: Any, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        run_storage_machine(storage, new_tracker, clock)
