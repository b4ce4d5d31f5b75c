"""A tracker that is observed, and a store whose work is lost and runs again."""

from __future__ import annotations

import pytest

from segmentflow_core import Tracker
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    a_journey,
)
from segmentflow_memory import MemoryStorage

JOURNEYS = {
    "journeys": [
        a_journey("always"),
        a_journey(
            "big",
            trigger={
                "event": "order.created",
                "where": {"path": "/event/total", "op": "gt", "value": 1000},
            },
        ),
    ]
}


class Stumbling(MemoryStorage):
    """A store whose first runs are lost: it undoes them and runs the work again.

    `between`, if it is given, is called once, when the first of them is lost.
    """

    def __init__(self, lost=0, error=None, between=None):
        super().__init__()
        self.lost, self.error, self.between = lost, error, between

    def run(self, work, **how):
        lost, between = self.lost, self.between
        for _ in range(lost):
            with pytest.raises(ZeroDivisionError):
                super().run(lambda transaction: (work(transaction), 1 / 0))
            if between is not None:
                self.lost, self.between = 0, None
                between()
                between = None
        if self.error is not None:
            raise self.error
        return super().run(work)


def a_tracker(*observers, storage=None):
    tracker = Tracker(
        storage or MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, observers=observers
    )
    tracker.journeys.publish(JOURNEYS)
    return tracker
