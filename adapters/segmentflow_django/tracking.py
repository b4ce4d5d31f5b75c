"""The tracker of a project, which the setting describes: one for each database."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.core.signals import setting_changed

from segmentflow_core import Tracker
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
        ConfigurationError: there is no such alias, or the setting is not right.
    """
    return _tracker(database(using))


@cache
def _tracker(using: str) -> Tracker:
    return Tracker(DjangoStorage(using), **tracker_arguments())


def _forget(*, setting: str, **_: Any) -> None:
    if setting in {"SEGMENTFLOW", "DATABASES"}:
        _tracker.cache_clear()


# As tests change settings.
setting_changed.connect(_forget)
