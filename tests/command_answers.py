"""Reading what a run of the command printed."""

from __future__ import annotations

import json
from typing import Any


def answer(result: tuple[int, str, str]) -> Any:
    """Return the document that a run with ``--json`` printed; the run must have succeeded."""
    status, out, err = result
    assert (status, err) == (0, "")
    return json.loads(out)
