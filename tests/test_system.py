from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from segmentflow_core.system import SystemClock, Uuid7Factory


def test_ids_are_uuid7_and_sort_in_the_order_they_were_made():
    factory = Uuid7Factory()
    ids = [factory.new_id() for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert {(UUID(i).version, UUID(i).variant) for i in ids} == {(7, UUID(ids[0]).variant)}
    assert all(str(UUID(identifier)) == identifier for identifier in ids)


def test_the_clock_tells_utc():
    assert SystemClock().now().utcoffset() == timedelta()
