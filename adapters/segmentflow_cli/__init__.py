"""The `segmentflow` command."""

from __future__ import annotations

from segmentflow_cli.app import main

__all__ = ["main"]
