"""What is Redis's own: URLs, settings, refusals, races that never end, names of keys."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from redis_server import RedisServer
from segmentflow_core import ApiKeys, Receipt, Tracker
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.ports import Transaction
from segmentflow_core.testing import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    a_journey,
    a_request,
)
from segmentflow_redis import AsyncRedisStorage, RedisStorage, open_storage


@pytest.fixture
def storage(server: RedisServer) -> Iterator[RedisStorage]:
    storage = open_storage(server.url)
    yield storage
    storage.close()


@pytest.fixture
def tracker(storage: RedisStorage) -> Tracker:
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


# --- opening --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "redis:",
        "redis://:canary@localhost:port",
        "redis://:canary@localhost?no_such_option=1",
        "redis://:canary@localhost?socket_timeout=canary",
        "redis://:canary@localhost?decode_responses=yes",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        open_storage(url)
    assert "canary" not in str(refusal.value.envelope())
    assert refusal.value.__context__ is None


@pytest.mark.parametrize(
    ("storage_class", "client_class"), [(RedisStorage, Redis), (AsyncRedisStorage, AsyncRedis)]
)
def test_a_client_that_decodes_is_refused(storage_class: Any, client_class: Any) -> None:
    with pytest.raises(ConfigurationError, match="decode_responses"):
        storage_class(client_class(decode_responses=True))


def test_a_server_that_keeps_what_it_acknowledges_is_accepted(
    own_server: RedisServer, runner: asyncio.Runner
) -> None:
    storage = open_storage(own_server.url)
    storage.create_all()
    storage.close()
    asynchronous = AsyncRedisStorage(AsyncRedis(unix_socket_path=str(own_server.socket)))
    runner.run(asynchronous.create_all())
    runner.run(asynchronous.close())


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("appendonly", "no", "yes"),
        ("appendfsync", "everysec", "always"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ],
)
def test_a_server_that_may_forget_is_refused_and_the_setting_named(
    name: str, value: str, wanted: str
) -> None:
    server = RedisServer(f"--{name}", value)
    try:
        with pytest.raises(ConfigurationError) as refusal:
            open_storage(server.url).create_all()
        assert refusal.value.details == {"settings": {name: wanted}}
    finally:
        server.stop()


# --- what goes wrong ------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    tracker = Tracker(
        open_storage(f"redis+unix://{tmp_path}/socket"), fingerprint_key=FINGERPRINT_SECRET
    )
    with pytest.raises(StorageUnavailable) as refusal:
        tracker.track(a_request(), "key")
    assert refusal.value.__cause__ is None
    assert str(tmp_path) not in str(refusal.value.envelope())


def test_what_the_server_refuses_is_told_without_its_words_and_leaves_nothing(
    server: RedisServer, tracker: Tracker
) -> None:
    with server.client() as client:
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(StorageUnavailable) as refusal:
                tracker.track(a_request(data={"card": "canary"}), "key")
        finally:
            client.config_set("maxmemory", 0)
    assert refusal.value.details == {"error": "OutOfMemoryError"}
    assert (refusal.value.__cause__, refusal.value.__context__) == (None, None)
    assert not tracker.records.events()
    assert not tracker.track(a_request(), "key").replayed


def test_a_store_written_by_another_version_is_left_alone(
    server: RedisServer, tracker: Tracker
) -> None:
    with server.client() as client:
        client.set("segmentflow:format", "1")
        with pytest.raises(ConfigurationError, match="another version"):
            tracker.track(a_request(), "key")
        assert client.dbsize() == 1


# --- races ----------------------------------------------------------------------------------


class Overtaken:
    """A storage whose every transaction another one overtakes, `times` times."""

    def __init__(self, storage: RedisStorage, overtake: Callable[[], object], times: int) -> None:
        self._storage = storage
        self._overtake = overtake
        self.left = times

    def run(self, work: Callable[[Transaction], Any], *, reads_only: bool = False) -> Any:
        def overtaken(transaction: Transaction) -> Any:
            result = work(transaction)
            if self.left:
                self.left -= 1
                self._overtake()
            return result

        return self._storage.run(overtaken, reads_only=reads_only)


def a_plan(tracker: Tracker) -> Callable[[], object]:
    """Return what changes the Properties of a Profile, each time to something else."""
    plans = iter(range(1000))

    def change() -> object:
        number = next(plans)
        profile = {"email": "alex@example.com", "properties": {"plan": number}}
        return tracker.track(a_request(profile=profile), f"plan {number}")

    return change


def test_work_that_was_overtaken_is_run_again_and_takes_effect_once(
    storage: RedisStorage, tracker: Tracker
) -> None:
    overtaken = Overtaken(storage, a_plan(tracker), times=3)
    slow = Tracker(overtaken, fingerprint_key=FINGERPRINT_SECRET)
    receipt = slow.track(
        a_request(profile={"email": "alex@example.com", "properties": {"city": "Oslo"}}), "key"
    )
    assert (overtaken.left, receipt.replayed, len(tracker.records.events())) == (0, False, 4)
    assert tracker.records.profile(receipt.profile_id).properties == {"plan": 2, "city": "Oslo"}


def test_work_that_is_always_overtaken_gives_up_and_leaves_nothing(
    server: RedisServer, tracker: Tracker
) -> None:
    impatient = RedisStorage(server.client(), wait=0)
    slow = Tracker(
        Overtaken(impatient, a_plan(tracker), times=1000), fingerprint_key=FINGERPRINT_SECRET
    )
    with pytest.raises(StorageUnavailable):
        slow.track(a_request("other"), "key")
    assert {event.event for event in tracker.records.events()} == {"order.created"}
    impatient.close()


def test_a_duplicate_that_is_overtaken_by_the_first_gets_its_receipt(
    storage: RedisStorage, tracker: Tracker
) -> None:
    first: list[Any] = []
    overtaken = Overtaken(storage, lambda: first.append(tracker.track(a_request(), "key")), 1)
    receipt = Tracker(overtaken, fingerprint_key=FINGERPRINT_SECRET).track(a_request(), "key")
    assert [receipt] == first
    assert receipt.replayed


def test_a_publication_that_is_overtaken_is_decided_again(
    storage: RedisStorage, tracker: Tracker
) -> None:
    first = {"journeys": [a_journey(name="First")]}
    overtaken = Overtaken(storage, lambda: tracker.journeys.publish(first), 1)
    slow = Tracker(overtaken, fingerprint_key=FINGERPRINT_SECRET)
    (published,) = slow.journeys.publish({"journeys": [a_journey(name="Second")]})
    assert (published.change, published.journey.version) == ("new_version", 2)
    assert tracker.journeys.get("welcome", 1).definition.name == "First"


def test_an_event_is_not_matched_by_a_journey_that_was_paused_meanwhile(
    storage: RedisStorage, tracker: Tracker
) -> None:
    tracker.journeys.publish({"journeys": [a_journey()]})
    paused = {"journeys": [a_journey(status="paused")]}
    overtaken = Overtaken(storage, lambda: tracker.journeys.publish(paused), 1)
    slow = Tracker(overtaken, fingerprint_key=FINGERPRINT_SECRET)
    assert slow.track(a_request(), "key").matched_journeys == 0


def test_an_event_that_another_of_its_profile_overtakes_is_decided_again(
    storage: RedisStorage, tracker: Tracker
) -> None:
    tracker.journeys.publish({"journeys": [a_journey()]})
    tracker.track(a_request(), "first")
    overtaken = Overtaken(storage, lambda: tracker.track(a_request(), "second"), 1)
    slow = Tracker(overtaken, fingerprint_key=FINGERPRINT_SECRET)
    receipt = slow.track(a_request(), "third")
    assert receipt.enrolled_journeys == 1
    assert tracker.records.event(receipt.event_id).number == 3


def test_an_event_of_a_known_profile_costs_three_round_trips(
    server: RedisServer, tracker: Tracker
) -> None:
    tracker.journeys.publish({"journeys": [a_journey()]})
    tracker.track(DOCUMENTED_REQUEST, "first")
    profile = {"email": "alex@example.com", "properties": {"plan": "Free"}}
    with server.client() as client:
        calls: Any = client.info("commandstats")
        tracker.track(a_request(profile=profile), "second")
        after: Any = client.info("commandstats")

    more = {name: after[name]["calls"] - calls[name]["calls"] for name in calls}
    assert (more["cmdstat_mget"], more["cmdstat_eval"]) == (2, 1)


# --- names of keys --------------------------------------------------------------------------


def test_organizations_whose_names_look_like_keys_share_nothing(tracker: Tracker) -> None:
    names = ["a", "a}:claim:events.track", "{a}", "a:claim", "a%7D", "ä"]
    for key in ("k", "x}:claim:events.track:k"):
        for name in names:
            assert not tracker.track(a_request(), key, organization_id=name).replayed
    assert [len(tracker.records.events(organization_id=name)) for name in names] == [2] * len(names)


def test_neither_a_key_nor_a_value_holds_an_idempotency_key(
    server: RedisServer, tracker: Tracker
) -> None:
    tracker.track(a_request(), "canary")
    tracker.track_many([(a_request(), "canary"), (a_request("other"), "canary")])
    with server.client() as client:
        held = [(key, client.dump(key)) for key in client.scan_iter()]
        (expiring,) = client.zrange("segmentflow:expiring", 0, -1)
    assert len(held) > 3
    assert "canary" not in repr([held, expiring])


def test_where_an_event_is_gone_its_call_is_replayed(server: RedisServer, tracker: Tracker) -> None:
    first = tracker.track(a_request(), "key")
    with server.client() as client:
        assert client.delete(f"segmentflow:{{default}}:event:{first.event_id}") == 1
    again, healthy = tracker.track_many([(a_request(), "key"), (a_request(), "healthy")])
    assert isinstance(again, Receipt)
    assert isinstance(healthy, Receipt)
    assert (again, again.replayed, healthy.replayed) == (first, True, False)


def test_every_key_leads_with_its_organization_as_a_hash_tag(
    server: RedisServer, tracker: Tracker
) -> None:
    tracker.journeys.publish({"journeys": [a_journey()]}, organization_id="acme")
    tracker.track(a_request(), "key", organization_id="acme")
    with server.client() as client:
        keys = {key.decode() for key in client.scan_iter()}
    shared = {"segmentflow:format", "segmentflow:expiring", "segmentflow:waiting"}
    assert shared < keys
    assert all(key.startswith("segmentflow:{acme}:") for key in keys - shared)


def test_the_readme_lists_every_kind_of_key(server: RedisServer, storage: RedisStorage) -> None:
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish({"journeys": [a_journey(reentry={"policy": "once"})]})
    tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    ApiKeys(storage).create(["events:write"])
    with server.client() as client:
        keys = {key.decode() for key in client.scan_iter()}
    kinds = {re.sub(r"^segmentflow:{.*?}:|(?<=api_keys):.*", "", key) for key in keys}
    kinds = {kind if kind.startswith("segmentflow:") else kind.split(":")[0] for kind in kinds}
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`((?:segmentflow:)?[a-z_]+)(?=[:`])", readme))
    assert kinds <= listed


def test_an_organization_waits_only_while_it_has_something_to_hand_over(
    server: RedisServer, tracker: Tracker
) -> None:
    tracker.journeys.publish({"journeys": [a_journey()]}, organization_id="acme")
    tracker.track(a_request(), "key", organization_id="acme")
    with server.client() as client:
        (claimed,) = tracker.enrollments.claim(organization_id=None)
        assert client.zcard("segmentflow:waiting") == 1
        tracker.enrollments.complete(claimed.lease)
        assert client.zcard("segmentflow:waiting") == 0


def test_nothing_that_was_redacted_is_on_the_disk(server: RedisServer, tracker: Tracker) -> None:
    # Drawn here: the log has what other tests wrote, and Hypothesis writes words of this file.
    card = secrets.token_hex()
    tracker.track(a_request(data={"card": card}, redactedDataPaths=["/event/card"]), "key")
    log = server.log.read_bytes()
    assert b"[REDACTED]" in log
    assert card.encode() not in log
