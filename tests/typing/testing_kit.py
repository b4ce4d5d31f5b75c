"""Never run: mypy and pyright read what an author of a storage or of tests would write."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

import pytest
from django.test import TestCase
from hypothesis import given
from hypothesis.strategies import SearchStrategy

from segmentflow_core import Tracker
from segmentflow_core.ports import Clock, Enrollment, IdFactory, UserEvent
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    Call,
    Capabilities,
    FaultyStorage,
    FixedClock,
    History,
    Interleaving,
    SequentialIds,
    StorageContract,
    Stored,
    a_journey,
    a_request,
    contradictions,
    interleavings,
    journeys,
    json_objects,
    pointers,
    requests,
    run_storage_machine,
    switch,
)
from segmentflow_django.testing import RecordingMixin
from segmentflow_memory import MemoryStorage


class TestMine(StorageContract):
    capabilities = Capabilities(durable=False)
    deviations = {"test_keys_that_differ_in_case_are_different_keys": "a collation"}  # noqa: RUF012

    @pytest.fixture
    def storage(self) -> MemoryStorage:
        return MemoryStorage()

    @pytest.fixture
    def other_storage(self, storage: MemoryStorage) -> MemoryStorage:
        return storage


clock: Clock = FixedClock()
ids: IdFactory = SequentialIds()
tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock, ids=ids)

assert_type(TestMine.promises(), list[tuple[str, str]])
assert_type(TestMine.capabilities.durable, bool)
assert_type(a_request("signed.up", data={"plan": "Pro"}), dict[str, Any])
assert_type(a_journey(status="paused"), dict[str, Any])
assert_type(requests(), SearchStrategy[dict[str, Any]])
assert_type(journeys(), SearchStrategy[dict[str, Any]])
assert_type(json_objects(), SearchStrategy[dict[str, Any]])
assert_type(pointers({"a": 1}), SearchStrategy[str])
assert_type(FaultyStorage(MemoryStorage(), 3, after=True).calls, int)


@given(requests())
def every_request(request: dict[str, Any]) -> None:
    tracker.track(request, "key")


history = History()
assert_type(history.calls, tuple[Call, ...])
assert_type(contradictions(history.calls, Stored(tracker.records.events())), list[str])


async def caller() -> None:
    await history.track(tracker, "key", variant=1, email="a@example.com")
    await switch(lambda: True)


def start() -> list[Coroutine[Any, Any, None]]:
    return [caller(), caller()]


for interleaving in interleavings(start, count=10, seed=1):
    assert_type(interleaving, Interleaving)
    assert_type(interleaving.order, tuple[int, ...])

run_storage_machine(MemoryStorage(), lambda over, **options: tracker, FixedClock())


class OfADjangoProject(RecordingMixin, TestCase):
    def test_an_order(self) -> None:
        assert_type(self.segmentflow.recorded("order.created"), UserEvent)
        assert_type(self.segmentflow.assert_enrolled("1", "thank-you"), list[Enrollment])
        assert_type(self.segmentflow.work({"thank-you": print}), int)
