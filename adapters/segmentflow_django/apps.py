"""The app, for `INSTALLED_APPS`."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["SegmentflowConfig"]


class SegmentflowConfig(AppConfig):
    """Names the app. Its models are names alone: the tables are the storage's own."""

    name = "segmentflow_django"
    verbose_name = "segmentflow"
