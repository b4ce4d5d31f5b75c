"""What waits for workers: how many Enrollments of a Journey, and since when."""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen

__all__ = ["Backlog"]


@frozen
class Backlog:
    """The Enrollments of one Journey that a worker could be handed now.

    Attributes:
        journey_id: the Journey.
        depth: how many there are.
        cut: whether there are more, and no more were counted.
        lag: how long the one has been available that has been for the longest; None where there
            is none.
    """

    journey_id: str
    depth: int
    cut: bool
    lag: timedelta | None
