"""Files to import, and what an import reports and leaves in the store."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

from segmentflow_core.testing import a_request

CANARY = "canary-4111"


def a_line(number, key=None, **members):
    request = a_request(data={"number": number, "card": CANARY}, **members)
    request["redactedDataPaths"] = ["/event/card"]
    return json.dumps(request if key is None else {"idempotencyKey": key, "request": request})


def a_file(folder, *lines, name="history.ndjson"):
    path = folder / name
    path.write_bytes(
        b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    )
    return path


def counts(report):
    return (
        report["recorded"],
        report["replayed"],
        [refusal["line"] for refusal in report["refused"]],
    )


def stored(folder):
    """Count the events, and the different numbers in their data."""
    with closing(sqlite3.connect(folder / "segmentflow.db")) as connection:
        data = [
            json.loads(row[0]) for row in connection.execute("SELECT data FROM segmentflow_events")
        ]
    return len(data), len({item["number"] for item in data})
