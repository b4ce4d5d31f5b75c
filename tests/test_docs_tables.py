"""The tables of the documentation say what the tables of the code say."""

from __future__ import annotations

from pathlib import Path

from segmentflow_core.domain.condition import OPERATORS
from segmentflow_core.domain.event import SKIP_REASONS
from segmentflow_core.domain.identity import RESOLUTIONS
from segmentflow_sql import metadata

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"


def rows(page, heading):
    """Give the rows of the table whose first column has this heading."""
    lines = (REFERENCE / page).read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append(tuple(cell.strip().strip("`") for cell in line.strip("|").split(" | ")))
    return found


def test_the_identity_table():
    assert rows("request.md", "given") == [(g, h, r) for (g, h), r in RESOLUTIONS.items()]


def test_the_operators():
    assert rows("journeys.md", "op") == [(name, o.summary) for name, o in OPERATORS.items()]


def test_the_skip_reasons():
    assert rows("journeys.md", "reason") == list(SKIP_REASONS.items())


def test_the_tables_of_the_schema():
    assert {name for name, _ in rows("storage.md", "table")} == set(metadata.tables)
