"""The tracker of a project: on Django's connection, its observers told after the commit."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from attrs import frozen
from django.core.signals import setting_changed
from django.db import transaction

from segmentflow_core import Tracker
from segmentflow_core.ports.observation import (
    JourneyOutcome,
    Observer,
    Refused,
    Replayed,
    Retried,
    Tracked,
)
from segmentflow_django.conf import database, tracker_arguments
from segmentflow_django.storage import DjangoStorage

__all__ = ["tracker"]


def tracker(using: str | None = None) -> Tracker:
    """Return the tracker that the setting `SEGMENTFLOW` describes.

    Within `transaction.atomic()` an event goes with what that commits or rolls back; elsewhere it
    is recorded in a transaction of its own. Observers are told after the commit, or never.

    Args:
        using: the alias of the database; by default `DATABASE` of the setting.

    Raises:
        ConfigurationError: the setting is not right.
    """
    return _tracker(database() if using is None else using)


@cache
def _tracker(using: str) -> Tracker:
    arguments = tracker_arguments()
    observers = [_AfterCommit(each, using) for each in arguments.pop("observers")]
    return Tracker(DjangoStorage(using), observers=observers, **arguments)


def _forget(*, setting: str, **_: Any) -> None:
    if setting in {"SEGMENTFLOW", "DATABASES"}:
        _tracker.cache_clear()


# As tests change settings.
setting_changed.connect(_forget)


@frozen
class _AfterCommit:
    """Tells an observer once the host's transaction is committed, and never if it is not."""

    observer: Observer
    using: str

    def tracked(self, details: Tracked) -> None:
        self._tell(partial(self.observer.tracked, details))

    def replayed(self, details: Replayed) -> None:
        self._tell(partial(self.observer.replayed, details))

    def refused(self, details: Refused) -> None:
        self._tell(partial(self.observer.refused, details))

    def retried(self, details: Retried) -> None:
        self._tell(partial(self.observer.retried, details))

    def journey_outcome(self, details: JourneyOutcome) -> None:
        self._tell(partial(self.observer.journey_outcome, details))

    def _tell(self, tell: Any) -> None:
        # Robust: what an observer raises is dropped, and fails nobody's commit.
        transaction.on_commit(tell, using=self.using, robust=True)
