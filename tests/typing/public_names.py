"""Never run: mypy and pyright read what a user of the library would write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_type

from sqlalchemy import create_engine

from segmentflow_core import (
    AsyncTracker,
    Enrollment,
    Journey,
    Outcome,
    Profile,
    ProfileInput,
    PublishedJourney,
    Receipt,
    SegmentflowError,
    SkipReason,
    Tracker,
    TrackRequest,
    UserEvent,
)
from segmentflow_core.ports import AsyncStorage, Storage
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
from segmentflow_sql import SqlStorage

memory: Storage = MemoryStorage()
sql: Storage = SqlStorage(create_engine("sqlite://"))
async_memory: AsyncStorage = AsyncMemoryStorage()

tracker = Tracker(sql, fingerprint_key=b"a secret of at least 32 bytes......")
request = TrackRequest(
    event="order.created",
    profile=ProfileInput(email="alex@example.com", properties={"plan": "Pro", "age": None}),
    data={"total": 49, "items": [{"sku": "a"}]},
    redacted_data_paths=["/event/items"],
)

receipt = tracker.track(request, idempotency_key="key")
assert_type(receipt, Receipt)
assert_type(receipt.event_id, str)
assert_type(receipt.replayed, bool)
assert_type(tracker.track_many([(request, "key")]), list[Receipt | SegmentflowError])
assert_type(tracker.track({"event": "order.created"}, "key"), Receipt)
assert_type(tracker.event("id"), UserEvent)
assert_type(tracker.event("id").outcomes, tuple[Outcome, ...])
assert_type(tracker.event("id").outcomes[0].reason, SkipReason | None)
assert_type(tracker.events(), Sequence[UserEvent])
assert_type(tracker.profile("id"), Profile)
assert_type(tracker.journeys(), Sequence[Journey])
assert_type(tracker.enrollments(), Sequence[Enrollment])
assert_type(tracker.publish_journeys({"journeys": []}), list[PublishedJourney])
assert_type(tracker.purge(), int)


async def use_async() -> None:
    async_tracker = AsyncTracker(
        async_memory, fingerprint_key="a secret of at least 32 bytes......"
    )
    assert_type(await async_tracker.track(request, "key"), Receipt)
    assert_type(await async_tracker.track_many([]), list[Receipt | SegmentflowError])
    assert_type(await async_tracker.event("id"), UserEvent)
