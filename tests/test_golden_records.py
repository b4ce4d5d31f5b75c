"""What a store holds of one story, to the last digit: an upgrade that changes any of it is seen.

`golden_records.ndjson` was written once, by what was right then. A store of an earlier version is
full of such values, and no retry, entry or lease of it is recognised by another digest. So a line
changes only together with the migration of the stores that hold it.
"""

from __future__ import annotations

import json
from pathlib import Path

from segmentflow_core import FingerprintKey, FingerprintKeys, Journeys, Tracker
from segmentflow_core.codecs import document_of
from segmentflow_core.domain.profile import ProfileLimits
from segmentflow_core.domain.request import Limits
from segmentflow_core.testing import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FixedClock,
    SequentialIds,
    a_journey,
    a_request,
)
from segmentflow_memory import MemoryStorage

GOLDEN = Path(__file__).with_name("golden_records.ndjson")
KEYS = FingerprintKeys.of(FingerprintKey("golden", b"thirty-two bytes that never change"))
JOURNEYS = [
    a_journey("every"),
    a_journey("once", reentry={"policy": "once"}),
    a_journey(
        "per-key",
        reentry={"policy": "once_per_key", "key": ["/event/orderId", "/event/total"]},
        trigger={
            "event": "order.created",
            "where": {"path": "/event/total", "op": "gte", "value": 1},
        },
    ),
    a_journey("cooldown", reentry={"policy": "cooldown", "duration": "PT30M"}),
    a_journey("half", sample={"percent": 50, "seed": "golden"}),
    a_journey("late", maxLateness="PT1S", window={"from": "2026-01-01T00:00:00Z"}),
]


def records():
    """Tell the story; return the documents of all that is stored then, by table."""
    clock, storage = FixedClock(), MemoryStorage()
    tracker = Tracker(storage, fingerprint_key=KEYS, clock=clock, ids=SequentialIds())
    # Not by the tracker: the record of the publication would have the first id.
    Journeys(storage, clock=clock).publish(JOURNEYS)
    tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    for number in range(3):
        clock.advance(microseconds=1)
        tracker.track(
            a_request(
                data={"orderId": f"caf\u00e9 {number % 2}", "total": 1.5},
                profile={
                    "email": f" Alex{number}@Example.com",
                    "externalId": "cus_1",
                    "properties": {"plan": None if number else "Pro", "n": number},
                },
                occurredAt="2026-05-31T12:00:00.000001+02:00",
                redactedDataPaths=["/event/orderId"] if number == 2 else [],
            ),
            f"key {number}",
        )
    tables = storage._tables
    for name in ("key_claims", "profiles", "events", "versions", "enrollments"):
        for at, record in sorted(getattr(tables, name).rows.items()):
            yield {"table": name, "at": list(at), "record": document_of(record)}
    yield {"limits": repr(Limits())}
    yield {"limits": repr(ProfileLimits())}


def test_every_stored_value_is_the_one_of_today():
    expected = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()]
    # As text: 1 is not 1.0 there.
    told = [json.dumps(record, sort_keys=True) for record in records()]
    assert told == [json.dumps(record, sort_keys=True) for record in expected]


if __name__ == "__main__":
    lines = [json.dumps(record, sort_keys=True) for record in records()]
    GOLDEN.write_text("".join(f"{line}\n" for line in lines), "utf-8")
