from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from segmentflow_core import (
    AsyncTracker,
    Limits,
    ProfileLimits,
    Records,
    Tracker,
)
from segmentflow_core.errors import (
    ConfigurationError,
    FingerprintKeyUnknown,
    InvalidRequest,
    NotFound,
    ProfileTooLarge,
    StorageRefused,
)
from segmentflow_core.testing import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    FaultyStorage,
    FixedClock,
    InjectedFault,
    SequentialIds,
    a_journey,
    a_request,
)
from segmentflow_core.wire import receipt_document
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage


def a_tracker(storage=None, **options):
    options.setdefault("fingerprint_key", FINGERPRINT_SECRET)
    return Tracker(storage or MemoryStorage(), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"fingerprint_key": "too short"},
        {"fingerprint_key": 5},
        {"key_lifetime": timedelta()},
        {"key_lifetime": 30},
        {"limits": 256},
    ],
)
def test_a_wrong_setting_is_refused_when_the_tracker_is_made(options):
    with pytest.raises(ConfigurationError):
        a_tracker(**options)


@pytest.mark.parametrize("organization", ["", "x" * 256, None, 5, "a\0b", "a\nb"])
def test_a_wrong_organization_is_refused(organization):
    tracker = a_tracker()
    with pytest.raises(ConfigurationError):
        tracker.track(a_request(), "key", organization_id=organization)
    with pytest.raises(ConfigurationError):
        tracker.journeys.publish({"journeys": []}, organization_id=organization)


def test_a_batch_of_nothing_and_of_refusals_touches_no_store():
    tracker = a_tracker(FaultyStorage(MemoryStorage(), 0))
    assert tracker.track_many([]) == []
    (refused,) = tracker.track_many([({}, "key")])
    assert isinstance(refused, InvalidRequest)
    with pytest.raises(InjectedFault):
        tracker.track(a_request(), "key")


def test_both_colours_give_the_same_answers():
    def options():
        return {
            "fingerprint_key": FINGERPRINT_SECRET,
            "clock": FixedClock(),
            "ids": SequentialIds(),
        }

    plain = Tracker(MemoryStorage(), **options())

    async def with_async():
        tracker = AsyncTracker(AsyncMemoryStorage(), **options())
        answers = [await tracker.journeys.publish({"journeys": [a_journey()]})]
        receipt = await tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        answers += [receipt, await tracker.track_many([({}, "k"), (a_request(), "k")])]
        answers += [await tracker.records.event(receipt.event_id), await tracker.records.events()]
        answers += [
            await tracker.records.profile(receipt.profile_id),
            await tracker.enrollments.list(),
        ]
        answers += [await tracker.journeys.list(), await tracker.journeys.get("welcome")]
        answers += [await tracker.records.purge_keys(), await tracker.track_many([])]
        with pytest.raises(InvalidRequest):
            await tracker.track({}, "k")
        with pytest.raises(NotFound):
            await tracker.records.event("nothing")
        return answers

    answers = [plain.journeys.publish({"journeys": [a_journey()]})]
    receipt = plain.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    answers += [receipt, plain.track_many([({}, "k"), (a_request(), "k")])]
    answers += [plain.records.event(receipt.event_id), plain.records.events()]
    answers += [plain.records.profile(receipt.profile_id), plain.enrollments.list()]
    answers += [plain.journeys.list(), plain.journeys.get("welcome")]
    answers += [plain.records.purge_keys(), plain.track_many([])]
    for mine, theirs in zip(answers, asyncio.run(with_async()), strict=True):
        assert str(mine) == str(theirs)


def test_a_tracker_refuses_a_storage_that_has_to_be_awaited():
    class Suspending:
        def __await__(self):
            yield

    class AsyncTransaction:
        class tracking:  # noqa: N801 - stands for an attribute
            @staticmethod
            def load(organization_id, intent):
                return Suspending()

    class Storage:
        def run(self, work, **how):
            return work(AsyncTransaction())

    with pytest.raises(RuntimeError, match="AsyncTracker"):
        a_tracker(Storage()).track(a_request(), "key")


def test_a_receipt_is_the_documented_answer():
    receipt = a_tracker().track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    assert receipt_document(receipt) == {
        "eventId": receipt.event_id,
        "profileId": receipt.profile_id,
        "matchedJourneys": 0,
        "enrolledJourneys": 0,
        "skippedJourneys": 0,
    }


def test_paths_that_named_nothing_are_reported_on_replays_too():
    tracker = a_tracker()
    request = a_request(data={"a": 1}, redactedDataPaths=["/event/a", "/event/b"])
    assert tracker.track(request, "key").unmatched_paths == ("/event/b",)
    assert tracker.track(request, "key").unmatched_paths == ("/event/b",)


def test_an_unknown_fingerprint_key_fails_closed():
    storage = MemoryStorage()
    a_tracker(storage).track(a_request(), "key")
    other = a_tracker(storage, fingerprint_key="another secret, as long as it must be")
    with pytest.raises(FingerprintKeyUnknown):
        other.track(a_request(), "key")
    assert len(other.records.events()) == 1


def test_what_is_recorded_shows_nothing_of_the_request():
    tracker = a_tracker()
    profile = {"email": "canary@example.com", "properties": {"plan": "canary"}}
    receipt = tracker.track(a_request(data={"card": "canary"}, profile=profile), "key")
    shown = [
        receipt,
        tracker.records.event(receipt.event_id),
        tracker.records.profile(receipt.profile_id),
    ]
    assert "canary" not in repr(shown)


def test_a_tracker_does_not_show_its_secret():
    tracker = a_tracker()
    assert FINGERPRINT_SECRET not in repr([tracker, tracker.__dict__])


# --- how much a Profile may hold ----------------------------------------------------------------


def test_an_event_that_would_make_a_profile_too_large_leaves_nothing_and_frees_its_key():
    tracker = a_tracker(profile_limits=ProfileLimits(max_properties=2))
    kept = tracker.track(a_request(profile={"email": "a@example.com", "properties": {"a": 1}}), "1")
    both = {"email": "new@example.com", "externalId": "x", "properties": {"b": 1, "c": 1}}
    first = {"email": "a@example.com", "externalId": "x"}
    results = tracker.track_many(
        [
            (a_request(profile=first), "2"),
            (a_request(profile=both), "3"),
            (a_request(profile=first), "4"),
            (a_request(profile={**both, "properties": {"b": 1}}), "3"),
        ]
    )
    assert [getattr(result, "code", "accepted") for result in results] == [
        "accepted",
        "profile_too_large",
        "accepted",
        "accepted",
    ]
    profile = tracker.records.profile(kept.profile_id)
    assert (profile.email, profile.properties) == ("new@example.com", {"a": 1, "b": 1})


def test_an_event_on_a_full_profile_that_changes_nothing_of_it_is_recorded():
    tracker = a_tracker(profile_limits=ProfileLimits(max_properties=1))
    full = {"email": "a@example.com", "properties": {"a": 1}}
    tracker.track(a_request(profile=full), "1")
    assert not tracker.track(a_request(profile={"email": "a@example.com"}), "2").replayed
    with pytest.raises(ProfileTooLarge):
        tracker.track(a_request(profile={"email": "a@example.com", "properties": {"b": 1}}), "3")
    assert not tracker.track(a_request(profile=full), "3").replayed


def test_explaining_a_request_says_that_it_would_make_the_profile_too_large():
    tracker = a_tracker(profile_limits=ProfileLimits(max_properties=1))
    with pytest.raises(ProfileTooLarge):
        tracker.explain(a_request(profile={"email": "a@b.example", "properties": {"a": 1, "b": 2}}))


# --- what is no request and no call ------------------------------------------------------


@pytest.mark.parametrize(
    "calls",
    [
        None,
        5,
        "ab",
        b"ab",
        {"a": 1},
        [None],
        ["ab"],
        [DOCUMENTED_REQUEST],
        [(DOCUMENTED_REQUEST,)],
        [(DOCUMENTED_REQUEST, "key", "more")],
        [(DOCUMENTED_REQUEST, "key"), 5],
        iter([(DOCUMENTED_REQUEST, "key")]),
    ],
)
def test_calls_that_are_no_pairs_are_told_and_nothing_is_recorded(calls):
    tracker = a_tracker()
    with pytest.raises(ConfigurationError, match="pairs"):
        tracker.track_many(calls)
    asynchronous = AsyncTracker(AsyncMemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    with pytest.raises(ConfigurationError, match="pairs"):
        asyncio.run(asynchronous.track_many(calls))
    assert tracker.records.events() == []


def test_a_batch_may_be_any_sequence_of_pairs():
    tracker = a_tracker()
    calls = ([DOCUMENTED_REQUEST, "a"], (DOCUMENTED_REQUEST, "b"))
    assert [receipt.replayed for receipt in tracker.track_many(calls)] == [False, False]
    assert tracker.track_many(()) == []


@pytest.mark.parametrize("request_", [None, 5, "text", [DOCUMENTED_REQUEST]])
def test_a_request_that_is_none_is_told(request_):
    tracker = a_tracker()
    for call in (lambda: tracker.track(request_, "key"), lambda: tracker.explain(request_)):
        with pytest.raises(InvalidRequest) as refusal:
            call()
        assert refusal.value.violations[0].path == ""
    (refused,) = tracker.track_many([(request_, "key")])
    assert isinstance(refused, InvalidRequest)


def test_a_key_of_a_subclass_of_str_is_the_key_it_spells():
    class Key(str):
        __slots__ = ()

    tracker = a_tracker()
    first = tracker.track(DOCUMENTED_REQUEST, Key("key"))
    assert tracker.track(DOCUMENTED_REQUEST, "key") == first


def test_placeholder_ids_are_refused_unless_the_limits_allow_them():
    request = a_request(profile={"email": "a@example.com", "externalId": "undefined"})
    with pytest.raises(InvalidRequest):
        a_tracker().track(request, "key")
    limits = Limits(allow_placeholder_ids=True)
    assert a_tracker(limits=limits).track(request, "key")
    assert a_tracker(limits=limits).explain(request)
    with pytest.raises(InvalidRequest):
        Records(MemoryStorage()).explain_request(request)


@pytest.mark.parametrize(
    "call",
    [
        lambda tracker: tracker.journeys.get("a", "1"),
        lambda tracker: tracker.journeys.get(5),
        lambda tracker: tracker.records.event(5),
    ],
)
def test_what_can_be_no_id_is_not_found(call):
    with pytest.raises(NotFound):
        call(a_tracker())


@pytest.mark.parametrize(
    "call",
    [
        lambda tracker: tracker.journeys.rehearse([], since="2026-05-31"),
        lambda tracker: tracker.enrollments.extend([None]),
        lambda tracker: tracker.enrollments.extend(None),
        lambda tracker: tracker.track(DOCUMENTED_REQUEST, "key", organization_id=5),
    ],
)
def test_an_argument_of_another_kind_is_told(call):
    with pytest.raises(ConfigurationError):
        call(a_tracker())


# --- a batch that a store refuses ---------------------------------------------------------------


def test_of_a_batch_that_the_store_refuses_once_every_call_gets_its_own_answer():
    storage = MemoryStorage()
    refusing = FaultyStorage(storage, 1, fault=StorageRefused)  # at the first write
    calls = [({}, "faulty"), ({}, "too"), (a_request(), "1"), (a_request(), "2")]
    answers = a_tracker(refusing).track_many(calls)
    codes = [getattr(answer, "code", "accepted") for answer in answers]
    assert codes == ["invalid_request", "invalid_request", "accepted", "accepted"]
    assert len(a_tracker(storage).records.events()) == 2


class Refuses(MemoryStorage):
    """Refuses whatever is asked of it."""

    def run(self, work, **how):
        raise StorageRefused


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_a_batch_that_the_store_refuses_again_each_call_is_told(count):
    calls = [(a_request(), f"{number}") for number in range(count)]
    if count == 1:
        with pytest.raises(StorageRefused):
            a_tracker(Refuses()).track_many(calls)
    else:
        answers = a_tracker(Refuses()).track_many(calls)
        assert [type(answer) for answer in answers] == [StorageRefused] * count


@pytest.mark.parametrize("face", [Tracker, AsyncTracker])
def test_a_tracker_says_what_a_request_may_hold(face):
    storage = MemoryStorage() if face is Tracker else AsyncMemoryStorage()
    limits = Limits(max_bytes=1000)
    assert face(storage, fingerprint_key=FINGERPRINT_SECRET, limits=limits).limits == limits
