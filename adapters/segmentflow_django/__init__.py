"""segmentflow in Django: an app that makes the tables, and a tracker that joins `atomic`."""

from __future__ import annotations

from segmentflow_django.storage import DjangoStorage
from segmentflow_django.tracking import tracker

__all__ = ["DjangoStorage", "tracker"]
