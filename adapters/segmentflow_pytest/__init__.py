"""For the tests of a host: a tracker in memory, on a clock that the test moves.

A plugin that pytest finds by itself. It gives the fixture `segmentflow`, and imports nothing else
of the library before a test asks for it. Tests that run without pytest import `recording` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segmentflow_pytest.recording import Segmentflow

__all__ = ["segmentflow"]


def _fixture(function: Callable[[], Segmentflow]) -> Any:
    try:
        import pytest  # noqa: PLC0415 - Django's own runner needs none
    except ModuleNotFoundError:
        return function
    return pytest.fixture(function)


@_fixture
def segmentflow() -> Segmentflow:
    """Give a store in memory with its trackers, new for each test."""
    from segmentflow_pytest.recording import Segmentflow  # noqa: PLC0415 - when a test asks

    return Segmentflow()
