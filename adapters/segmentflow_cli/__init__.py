"""The `segmentflow` command, and what it reads for Python as well."""

from __future__ import annotations

from segmentflow_cli.app import main
from segmentflow_cli.journey_files import load_journeys

__all__ = ["load_journeys", "main"]
