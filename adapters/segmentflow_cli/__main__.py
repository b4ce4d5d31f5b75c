"""Runs the command as ``python -m segmentflow_cli``."""

from __future__ import annotations

import sys

from segmentflow_cli.app import main

sys.exit(main())
