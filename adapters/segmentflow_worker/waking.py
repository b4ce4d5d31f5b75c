"""Waking a worker from the tracker of its own process: no poll is waited for."""

from __future__ import annotations

from typing import Protocol

from segmentflow_core.ports.observation import (
    JourneyOutcome,
    Observer,
    Refused,
    Replayed,
    Retried,
    Tracked,
)

__all__ = ["wakes"]


class _Wakeable(Protocol):
    def wake(self) -> None: ...


class _Wakes:
    def __init__(self, worker: _Wakeable) -> None:
        self._worker = worker

    def tracked(self, details: Tracked) -> None:
        if details.enrolled_journeys > details.delayed:
            self._worker.wake()

    def replayed(self, details: Replayed) -> None:
        del details

    def refused(self, details: Refused) -> None:
        del details

    def retried(self, details: Retried) -> None:
        del details

    def journey_outcome(self, details: JourneyOutcome) -> None:
        del details


def wakes(worker: _Wakeable) -> Observer:
    """Return an observer for a tracker, which wakes a worker of the same process.

    It wakes it for each event with an Enrollment that is available, once that is committed:

        Tracker(storage, fingerprint_key=secret, observers=[wakes(worker)])
    """
    return _Wakes(worker)
