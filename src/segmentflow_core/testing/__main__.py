"""Print every promise of the contract as the table in the documentation."""

from __future__ import annotations

import sys

from segmentflow_core.testing.contract import StorageContract

__all__ = ["promise_table"]


def promise_table() -> str:
    """Return a Markdown table: a subject and a promise, test by test."""
    rows = ["| subject | promise |", "|---|---|"]
    for subject, name in StorageContract.promises():
        rows.append(f"| {subject} | {name.removeprefix('test_').replace('_', ' ')} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.write(f"{promise_table()}\n")
