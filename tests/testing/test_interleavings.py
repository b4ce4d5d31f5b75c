"""Two and three requests over the ports, in every order their steps can fall in."""

from __future__ import annotations

import pytest

from segmentflow_core import AsyncTracker
from segmentflow_core.errors import NotFound
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    Deadlock,
    FixedClock,
    History,
    SequentialIds,
    Stored,
    a_journey,
    a_request,
    contradictions,
    interleavings,
    switch,
)
from stepped_storages import LockingStorage, OptimisticStorage

ONCE = a_journey(reentry={"policy": "once"})


async def steps(name, count, seen):
    for number in range(count):
        await switch()
        seen.append((name, number))
    return name


def test_every_order_is_run_once():
    orders = [i.order for i in interleavings(lambda: [steps(n, 2, []) for n in "ab"])]
    assert len(orders) == len(set(orders)) == 20  # 6 steps, of which 3 are a's
    assert sorted(orders[0]) == [0, 0, 0, 1, 1, 1]


def test_what_the_callers_return_is_kept_in_their_order():
    assert {i.outcomes for i in interleavings(lambda: [steps(n, 1, []) for n in "ab"])} == {
        ("a", "b")
    }


def test_a_refusal_is_an_outcome():
    async def refused():
        await switch()
        raise NotFound

    (alone,) = interleavings(lambda: [refused()])
    assert alone.outcomes[0].code == "not_found"


def test_a_draw_is_repeated_by_its_seed():
    def orders(seed):
        drawn = interleavings(lambda: [steps(n, 9, []) for n in "abc"], count=5, seed=seed)
        return [i.order for i in drawn]

    assert orders(1) == orders(1) != orders(2)


def test_callers_that_wait_for_each_other_are_deadlocked():
    def start():
        return [forever(), forever()]

    async def forever():
        await switch(lambda: False)

    with pytest.raises(Deadlock, match=r"callers \[0, 1\]"):
        list(interleavings(start))


class Race:
    """Callers over a fresh store for each order, and the history they make."""

    def __init__(self, new_storage, calls):
        self.new_storage = new_storage
        self.calls = calls
        self.storage = self.history = None

    def tracker(self):
        options = {"fingerprint_key": FINGERPRINT_SECRET, "clock": FixedClock()}
        return AsyncTracker(self.storage, ids=self.ids, **options)

    def start(self):
        self.storage, self.history = self.new_storage(), History()
        self.ids = SequentialIds()
        finish(self.tracker().journeys.publish([ONCE]))
        return [self.history.track(self.tracker(), key, variant) for key, variant in self.calls]

    def found(self):
        """Yield the contradictions of every order."""
        for _ in interleavings(self.start):
            tracker = self.tracker()
            stored = Stored(finish(tracker.records.events()), finish(tracker.enrollments.list()))
            yield contradictions(self.history.calls, stored), stored


def finish(coroutine):
    """Run a coroutine alone, with nobody to switch to."""
    (alone,) = interleavings(lambda: [coroutine])
    return alone.outcomes[0]


STORES = {"optimistic": OptimisticStorage, "locking": LockingStorage}
RACES = {
    "duplicates": [("k", 0), ("k", 0)],
    "another request": [("k", 0), ("k", 1)],
    "one profile": [("k", 0), ("l", 0)],
    "three": [("k", 0), ("k", 1), ("k", 0)],
}


@pytest.mark.deep
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("race", RACES)
def test_no_order_leads_to_a_contradiction(store, race):
    runs = 0
    for found, stored in Race(STORES[store], RACES[race]).found():
        runs += 1
        assert found == []
        assert len(stored.enrollments) == 1
        assert len({event.profile_id for event in stored.events}) == 1
    assert runs > 5
    print(f"{store}, {race}: {runs} interleavings")


@pytest.mark.parametrize(
    ("new_storage", "rule"),
    [
        (lambda: OptimisticStorage(compares=False), "acknowledged means present"),
        (lambda: LockingStorage(locks=False), "one event a key"),
    ],
    ids=["lost update", "select, then insert"],
)
def test_a_planted_mistake_is_found_in_some_order(new_storage, rule):
    race = Race(new_storage, RACES["duplicates"])
    found = {text.split(":")[0] for faults, _ in race.found() for text in faults}
    assert rule in found


def crossed(order):
    """Start two batches with the same two keys, each in its own order."""

    def start():
        storage = LockingStorage(order=order)
        tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
        calls = [(a_request(profile={"email": f"{k}@x.org"}), k) for k in "kl"]
        return [tracker.track_many(calls), tracker.track_many(calls[::-1])]

    return start


def test_crossed_batches_deadlock_in_no_order():
    for order in interleavings(crossed(lambda _, names: names)):
        first, second = order.outcomes
        assert first == second[::-1]


def test_crossed_batches_that_lock_in_their_own_order_deadlock_in_some():
    with pytest.raises(Deadlock):
        list(interleavings(crossed(lambda number, names: names[:: 1 if number % 2 else -1])))
