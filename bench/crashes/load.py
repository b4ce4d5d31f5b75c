"""The load: clients that track known requests under known keys, and note what was acknowledged.

Knows which calls a client makes, so that the one that follows a killed client makes the same; must
never know that anybody kills. A ledger is a file for each client process: a line is written,
and synced, only after `track` returned.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from attrs import astuple, frozen
from sqlalchemy import Engine, create_engine

from segmentflow_core import Receipt, Tracker
from segmentflow_core.errors import IdempotencyInProgress, StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import SqlStorage

__all__ = [
    "JOURNEYS",
    "Acknowledgement",
    "Calls",
    "Client",
    "acknowledged_in",
    "calls_of",
    "new_tracker",
    "track_until_stopped",
]

Calls = list[tuple[dict[str, Any], str]]

JOURNEYS: Final = {
    "journeys": [
        a_journey("once", reentry={"policy": "once"}),
        a_journey("every-event", reentry={"policy": "every_event"}),
    ]
}

_BATCH: Final = 6
_TASKS_OF_ONE_PERSON: Final = 3
_RETRY_DELAY: Final = 0.02
_WAIT: Final = 30.0


@frozen
class Client:
    """One client process.

    Attributes:
        url: of the store.
        number: which client it is; one that follows a killed one has its number.
        first: the first task to do; all before it are acknowledged.
        ledger: the new file to note acknowledged calls in.
        stop: a file that tells every client to end, once it is there.
    """

    url: str
    number: int
    first: int
    ledger: Path
    stop: Path


@frozen
class Acknowledgement:
    """What one call was told, as its client's ledger keeps it.

    Attributes:
        task: which of the client's tasks the call belongs to.
    """

    task: int
    key: str
    event_id: str
    profile_id: str
    matched: int
    enrolled: int
    skipped: int

    @classmethod
    def of(cls, task: int, key: str, receipt: Receipt) -> Acknowledgement:
        """Return what a call was told by its receipt."""
        return cls(
            task,
            key,
            receipt.event_id,
            receipt.profile_id,
            receipt.matched_journeys,
            receipt.enrolled_journeys,
            receipt.skipped_journeys,
        )

    @property
    def receipt(self) -> Receipt:
        """What the caller was given."""
        return Receipt(self.event_id, self.profile_id, self.matched, self.enrolled, self.skipped)


def calls_of(client: int, task: int) -> Calls:
    """Return the calls of one task: one event, one that every client tracks, or a batch."""
    kind = task % 4
    if kind == 0:
        keys = [f"shared {task}"]
    elif kind == 1:
        keys = [f"client {client} task {task} item {item}" for item in range(_BATCH)]
    else:
        keys = [f"client {client} task {task}"]
    return [(_request(key, task // _TASKS_OF_ONE_PERSON), key) for key in keys]


def _request(key: str, person: int) -> dict[str, Any]:
    # Every client meets the same people, so that they race for new Profiles as well.
    return a_request(
        profile={
            "email": f"person-{person}@example.com",
            "externalId": f"person {person}",
            "properties": {"last": key},
        },
        data={"key": key, "token": "secret"},
        redactedDataPaths=["/event/token"],
        referenceId=key,
    )


def new_tracker(engine: Engine) -> Tracker:
    """Return a tracker on the store under load; each has the same fingerprint key."""
    return Tracker(SqlStorage(engine, wait=_WAIT), fingerprint_key=FINGERPRINT_SECRET)


def track_until_stopped(client: Client, progress: Connection) -> None:
    """Be a client: do task after task until told to stop.

    Args:
        client: which one to be.
        progress: gets a message where a task begins, and where it is acknowledged.
    """
    tracker = new_tracker(create_engine(client.url))
    with client.ledger.open("xb", buffering=0) as file:
        for task in itertools.count(client.first):
            if client.stop.exists():
                return
            progress.send_bytes(b"begun")
            calls = calls_of(client.number, task)
            receipts = _tracked(tracker, calls)
            file.write(_lines(task, calls, receipts))
            os.fsync(file.fileno())
            progress.send_bytes(b"acknowledged")


def _tracked(tracker: Tracker, calls: Calls) -> list[Receipt]:
    """Track, trying again for as long as an error says that this may help."""
    while True:
        try:
            results = tracker.track_many(calls) if len(calls) > 1 else [tracker.track(*calls[0])]
        except (IdempotencyInProgress, StorageUnavailable):
            time.sleep(_RETRY_DELAY)
            continue
        receipts = []
        for result in results:
            if not isinstance(result, Receipt):
                raise result
            receipts.append(result)
        return receipts


def _lines(task: int, calls: Calls, receipts: Sequence[Receipt]) -> bytes:
    told = [
        Acknowledgement.of(task, key, receipt)
        for (_, key), receipt in zip(calls, receipts, strict=True)
    ]
    return b"".join([json.dumps(astuple(each)).encode() + b"\n" for each in told])


def acknowledged_in(ledger: Path) -> Iterator[Acknowledgement]:
    """Read a ledger; a last line without its end was not acknowledged to anybody."""
    for line in ledger.read_bytes().split(b"\n")[:-1]:
        yield Acknowledgement(*json.loads(line))
