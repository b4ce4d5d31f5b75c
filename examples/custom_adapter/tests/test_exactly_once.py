"""Exactly once, under races and kills: of clients, of the server and of connections."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis as AsyncRedis

from clients import Answer, Clients, an_order
from lossy_proxy import LossyProxy
from redis_server import RedisServer
from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_redis import AsyncRedisStorage, RedisStorage, open_storage

KEYS = 70
JOURNEYS = {
    "journeys": [
        a_journey("every"),
        a_journey("once", reentry={"policy": "once"}),
        a_journey("per-order", reentry={"policy": "once_per_key", "key": "/event/orderId"}),
    ]
}


def a_tracker(server: RedisServer) -> Tracker:
    return Tracker(open_storage(server.url), fingerprint_key=FINGERPRINT_SECRET)


def shuffled_keys(seed: int) -> list[int]:
    keys = list(range(KEYS))
    random.Random(seed).shuffle(keys)
    return keys


def check(tracker: Tracker, answers: list[Answer]) -> None:
    """Hold what is stored against what was acknowledged: all of it, once, whole."""
    events = {event.event_id: event for event in tracker.records.events(limit=1000)}
    told = {(answer.key, answer.event_id) for answer in answers}
    assert sorted(key for key, _ in told) == list(range(KEYS))
    assert {event_id for _, event_id in told} == set(events)
    assert max(Counter(a.key for a in answers if not a.replayed).values()) == 1
    for key, event_id in told:
        again = tracker.track(an_order(key), f"key {key}")
        assert (again.event_id, again.replayed) == (event_id, True)
    profile_ids = {event.profile_id for event in events.values()}
    assert len(profile_ids) == 7
    assert {tracker.records.profile(p).external_id for p in profile_ids} == {
        f"p{n}" for n in range(7)
    }
    entries = tracker.enrollments.list(limit=1000)
    assert {entry.event_id for entry in entries} == set(events)
    assert Counter(e.journey_id for e in entries) == {"every": KEYS, "once": 7, "per-order": 35}
    enrolled = Counter(entry.event_id for entry in entries)
    for event in events.values():
        outcomes = Counter(outcome.outcome for outcome in event.outcomes)
        assert outcomes["enrolled"] == enrolled[event.event_id]
    assert len(tracker.enrollments.claim(limit=1000)) == len(entries)


def test_eight_processes_with_the_same_keys_make_one_event_for_each(server: RedisServer) -> None:
    tracker = a_tracker(server)
    tracker.journeys.publish(JOURNEYS)
    clients = Clients(server.url)
    for number in range(8):
        clients.start(shuffled_keys(number))
    answers = list(clients.answers())
    assert len(answers) == 8 * KEYS
    assert sum(not answer.replayed for answer in answers) == KEYS
    check(tracker, answers)


def test_clients_that_are_killed_leave_each_event_whole_or_not_at_all(server: RedisServer) -> None:
    tracker = a_tracker(server)
    tracker.journeys.publish(JOURNEYS)
    clients = Clients(server.url)
    for number in range(4):
        clients.start(shuffled_keys(number))
    answers: list[Answer] = []
    for answer in clients.answers():
        answers.append(answer)
        if len(answers) % 20 == 0 and len(answers) <= 200:
            clients.kill_one()
    check(tracker, answers)


def test_a_server_that_is_killed_has_lost_nothing_that_it_acknowledged(
    own_server: RedisServer,
) -> None:
    tracker = a_tracker(own_server)
    tracker.journeys.publish(JOURNEYS)
    clients = Clients(own_server.url)
    for number in range(4):
        clients.start(shuffled_keys(number))
    answers: list[Answer] = []
    for answer in clients.answers():
        answers.append(answer)
        if len(answers) % 20 == 0 and len(answers) <= 200:
            own_server.kill()
            own_server.restart()
    own_server.kill()
    own_server.restart()
    check(a_tracker(own_server), answers)


def test_of_a_commit_that_the_log_holds_in_part_nothing_is_left(own_server: RedisServer) -> None:
    tracker = a_tracker(own_server)
    tracker.journeys.publish(JOURNEYS)
    first = tracker.track(a_request(), "first")
    before = everything(own_server)
    tracker.track(a_request(data={"orderId": 1}), "second")
    own_server.kill()
    with own_server.log.open("r+b") as log:
        log.truncate(log.seek(0, 2) - 10)
    own_server.restart()
    assert everything(own_server) == before
    tracker = a_tracker(own_server)
    assert tracker.track(a_request(), "first") == first
    assert not tracker.track(a_request(data={"orderId": 1}), "second").replayed


@pytest.fixture
def proxy(server: RedisServer, tmp_path: Path) -> Iterator[LossyProxy]:
    proxy = LossyProxy(server.socket)
    yield proxy
    proxy.close()


@pytest.fixture
def through_the_proxy(proxy: LossyProxy) -> Iterator[RedisStorage]:
    storage = open_storage(proxy.url)
    yield storage
    storage.close()


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_call_whose_commit_is_lost_on_the_way_is_one_event_and_no_replay(
    server: RedisServer, proxy: LossyProxy, through_the_proxy: RedisStorage, lost: str
) -> None:
    tracker = Tracker(through_the_proxy, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish(JOURNEYS)
    proxy.lose_next(b"EVAL", lost)
    receipt = tracker.track(a_request(data={"orderId": 1}), "key")
    assert proxy.lost == 1
    assert (receipt.replayed, receipt.enrolled_journeys) == (False, 3)
    assert [event.event_id for event in tracker.records.events()] == [receipt.event_id]
    assert len(tracker.enrollments.list()) == 3


def test_a_commit_that_arrives_again_later_does_nothing(
    server: RedisServer, proxy: LossyProxy, through_the_proxy: RedisStorage
) -> None:
    tracker = Tracker(through_the_proxy, fingerprint_key=FINGERPRINT_SECRET)
    proxy.lose_next(b"EVAL", "request")
    profile = {"email": "a@example.com", "properties": {"plan": "Free"}}
    tracker.track(a_request(profile=profile), "one")
    profile = {"email": "a@example.com", "properties": {"plan": "Pro"}}
    tracker.track(a_request(profile=profile), "two")
    before = everything(server)
    assert proxy.send_what_was_lost() == b":0\r\n"
    assert everything(server) == before


def test_a_publication_that_arrives_again_later_does_not_undo_what_came_after(
    through_the_proxy: RedisStorage, proxy: LossyProxy
) -> None:
    tracker = Tracker(through_the_proxy, fingerprint_key=FINGERPRINT_SECRET)
    active, paused = ({"journeys": [a_journey(status=status)]} for status in ("active", "paused"))
    tracker.journeys.publish(active)
    proxy.lose_next(b"EVAL", "request")
    tracker.journeys.publish(paused)
    tracker.journeys.publish(active)
    assert proxy.send_what_was_lost() == b":0\r\n"
    assert tracker.journeys.get("welcome").definition.status == "active"


def test_a_call_that_is_cancelled_anywhere_is_whole_or_not_at_all(
    server: RedisServer, runner: asyncio.Runner
) -> None:
    storage = AsyncRedisStorage(AsyncRedis(unix_socket_path=str(server.socket)))
    tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)

    async def cancel_after(steps: int, key: int) -> bool:
        """Cancel a call after so many steps of the loop; say whether it ended before."""
        call = asyncio.create_task(tracker.track(an_order(key), f"key {key}"))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        return not call.cancelled()

    async def cancel_everywhere() -> int:
        """Cancel calls later and later until one ends; return how many there were."""
        await tracker.journeys.publish(JOURNEYS)
        steps = calls = 0
        while not await cancel_after(steps, calls):
            steps += 1 + steps // 16
            calls += 1
        return calls + 1

    keys = range(runner.run(cancel_everywhere()))
    assert len(keys) > 1
    receipts = [runner.run(tracker.track(an_order(key), f"key {key}")) for key in keys]
    events = runner.run(tracker.records.events(limit=1000))
    assert {event.event_id for event in events} == {receipt.event_id for receipt in receipts}
    assert len(events) == len(keys)
    runner.run(storage.close())


def everything(server: RedisServer) -> dict[bytes, bytes | None]:
    """Return all that the server holds."""
    with server.client() as client:
        return {key: client.dump(key) for key in client.scan_iter()}
