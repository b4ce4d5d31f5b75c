"""What the store holds, against what its clients were told.

Knows every promise that a crash may not break and how each is counted; must never know what
was killed, or when.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Engine, select

from bench.crashes.load import Acknowledgement, Calls, new_tracker
from segmentflow_core import Receipt, SegmentflowError
from segmentflow_sql import metadata

__all__ = ["PROMISES", "Stored", "broken_promises", "read_store", "track_again"]

PROMISES: Final = {
    "lost": "events acknowledged and absent",
    "doubled": "second events of a key",
    "keyWithoutEvent": "keys taken without their event",
    "eventWithoutKey": "events whose key is not taken",
    "eventWithoutProfile": "events without their Profile",
    "enrollmentWithoutEvent": "Enrollments without their event",
    "outcomeWithoutEnrollment": "Outcomes that differ from the Enrollments",
    "receiptDiffers": "receipts that differ from the stored event",
    "receiptsDiffer": "keys acknowledged with two receipts",
    "enteredOnce": "Profiles not exactly once in the Journey they enter once",
    "stuck": "keys that cannot be tracked again",
}
"""Every promise, and what is counted where it is broken."""

_TABLES: Final = metadata.tables
_BATCH: Final = 200


@frozen
class Stored:
    """What a store holds, by the ids that should lead from row to row.

    Attributes:
        taken: the event's id, for each key that is taken, which is known by its digest.
        events: the key in its `referenceId` and the receipt that follows from it, by id.
        outcomes: the Journeys entered, with the event that says so.
        enrollments: the Journey, the event and the Profile of each.
        profiles: their ids.
    """

    taken: Mapping[str, str]
    events: Mapping[str, tuple[str, Receipt]]
    outcomes: Counter[tuple[str, str]]
    enrollments: Sequence[tuple[str, str, str]]
    profiles: Collection[str]


def read_store(engine: Engine) -> Stored:
    """Read everything at once, without the library: it might be what is wrong."""
    claims, events, enrollments, profiles = (
        _TABLES[f"segmentflow_{name}"].c for name in ("claims", "events", "enrollments", "profiles")
    )
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        rows = connection.execute(
            select(events.event_id, events.reference_id, events.profile_id, events.outcomes)
        ).all()
        found = {
            event_id: (key, profile_id, _outcomes(outcomes))
            for event_id, key, profile_id, outcomes in rows
        }
        return Stored(
            {
                row.key_digest: row.event_id
                for row in connection.execute(select(claims.key_digest, claims.event_id))
            },
            {
                event_id: (key, _receipt(event_id, profile_id, outcomes))
                for event_id, (key, profile_id, outcomes) in found.items()
            },
            Counter(
                (journey_id, event_id)
                for event_id, (_, _, outcomes) in found.items()
                for journey_id, _, *reason in outcomes
                if not reason
            ),
            [
                tuple(row)
                for row in connection.execute(
                    select(enrollments.journey_id, enrollments.event_id, enrollments.profile_id)
                )
            ],
            set(connection.scalars(select(profiles.profile_id))),
        )


def _outcomes(stored: Any) -> list[Any]:
    # PostgreSQL's JSONB comes as a value, SQLite's text as it is; a reason is there where skipped.
    found: list[Any] = json.loads(stored) if isinstance(stored, str) else stored
    return found


def _receipt(event_id: str, profile_id: str, outcomes: Sequence[Any]) -> Receipt:
    enrolled = sum(not reason for _, _, *reason in outcomes)
    return Receipt(event_id, profile_id, len(outcomes), enrolled, len(outcomes) - enrolled)


def broken_promises(
    acknowledged: Sequence[Acknowledgement], stored: Stored, stuck: int
) -> dict[str, int]:
    """Count how often each promise is broken; all are zero where none is."""
    recorded = set(stored.taken.values())
    keys = Counter(key for key, _ in stored.events.values())
    receipts: dict[str, set[Receipt]] = {}
    for each in acknowledged:
        receipts.setdefault(each.key, set()).add(each.receipt)
    told = {receipt for each in receipts.values() for receipt in each}
    entered = Counter((journey_id, event_id) for journey_id, event_id, _ in stored.enrollments)
    once = Counter(profile for journey_id, _, profile in stored.enrollments if journey_id == "once")
    known = stored.events
    counts = {
        "lost": sum(receipt.event_id not in known for receipt in told),
        "doubled": sum(count - 1 for count in keys.values()),
        "keyWithoutEvent": len(recorded - known.keys()),
        "eventWithoutKey": len(known.keys() - recorded),
        "eventWithoutProfile": sum(
            receipt.profile_id not in stored.profiles for _, receipt in known.values()
        ),
        "enrollmentWithoutEvent": sum(event not in known for _, event, _ in stored.enrollments),
        "outcomeWithoutEnrollment": (entered - stored.outcomes).total()
        + (stored.outcomes - entered).total(),
        "receiptDiffers": sum(
            receipt.event_id in known and known[receipt.event_id] != (key, receipt)
            for key, each in receipts.items()
            for receipt in each
        ),
        "receiptsDiffer": sum(len(each) > 1 for each in receipts.values()),
        "enteredOnce": sum(once[profile_id] != 1 for profile_id in {*stored.profiles, *once}),
        "stuck": stuck,
    }
    return {name: counts[name] for name in PROMISES}


def track_again(engine: Engine, calls: Calls) -> tuple[list[Acknowledgement], int]:
    """Track every call once more; return what each was told, and how many keys gave nothing."""
    tracker = new_tracker(engine)
    told: list[Acknowledgement] = []
    for start in range(0, len(calls), _BATCH):
        batch = calls[start : start + _BATCH]
        try:
            results = tracker.track_many(batch)
        except SegmentflowError:
            continue
        told += [
            Acknowledgement.of(-1, key, result)
            for (_, key), result in zip(batch, results, strict=True)
            if isinstance(result, Receipt)
        ]
    return told, len(calls) - len(told)
