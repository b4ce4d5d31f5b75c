"""The pages of docs/reference, and the tables on them."""

from __future__ import annotations

from pathlib import Path

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def rows(page, heading):
    """Give the rows of the table whose first column has this heading."""
    whole = lines(page)
    start = next(i for i, line in enumerate(whole) if line.startswith(f"| {heading} |"))
    found = []
    for line in whole[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append(cells(line))
    return found


def lines(page):
    return (REFERENCE / page).read_text(encoding="utf-8").splitlines()


def cells(line):
    return tuple(cell.strip().strip("`") for cell in line.strip("|").split(" | "))
