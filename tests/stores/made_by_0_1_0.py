"""What `0.1.0/make.py` made of version 0.1.0, as files. Must never import the library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MADE = Path(__file__).parent / "0.1.0"

Row = dict[str, Any]


def kept(name: str) -> list[Any]:
    # A line ends with "\n" only: other characters that end lines are among the values.
    return [json.loads(line) for line in (MADE / name).read_text("utf-8").split("\n") if line]


HOST = json.loads((MADE / "host.json").read_text("utf-8"))
NOW = HOST["now"]
DEFAULT, ODD, LONG = HOST["organizations"]
CALLS = kept("calls.ndjson")
ROWS = kept("rows.ndjson")


def rows_of(table: str) -> list[Row]:
    return [line["row"] for line in ROWS if line["table"] == f"segmentflow_{table}"]
