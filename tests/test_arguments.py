"""What a host passes to a facade is held against its rule before any store is asked."""

from __future__ import annotations

import asyncio
import functools
from datetime import UTC, datetime, timedelta

import pytest

from segmentflow_core import (
    ApiKeys,
    AsyncApiKeys,
    AsyncEnrollments,
    AsyncJourneys,
    AsyncRecords,
    AsyncTracker,
    Enrollments,
    EnrollmentStatus,
    Journeys,
    Limits,
    People,
    ProfileLimits,
    Records,
    RedactionPolicy,
    Tracker,
)
from segmentflow_core.arguments import (
    check_before,
    check_delay,
    check_flag,
    check_id,
    check_journey_id,
    check_journey_version,
    check_key_lifetime,
    check_lease,
    check_leases,
    check_max_attempts,
    check_moment,
    check_profile_limits,
    check_status,
    checked_clock,
    checked_definitions,
    checked_ids,
    checked_observers,
    found,
    only,
)
from segmentflow_core.colour import driven
from segmentflow_core.errors import ConfigurationError, InvalidJourney, LeaseLost, NotFound
from segmentflow_core.journeys import journey_definition
from segmentflow_core.system import SystemClock, Uuid7Factory
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    FaultyStorage,
    InjectedFault,
    a_journey,
    a_request,
)
from segmentflow_http import AsgiApp, Endpoint, KnownKeys
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage

AN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
NAIVE, AWARE = datetime(2026, 5, 31), datetime(2026, 5, 31, tzinfo=UTC)  # noqa: DTZ001 - refused


class Heard:
    """Hears everything, and says nothing."""

    def __getattr__(self, name):
        return lambda details: None


def a_tracker(storage=None):
    return Tracker(storage or MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)


@pytest.mark.parametrize(
    ("check", "wrong", "right"),
    [
        (
            check_key_lifetime,
            [timedelta(), timedelta(-1), timedelta(days=36_501), 30],
            [None, timedelta(microseconds=1), timedelta(days=36_500)],
        ),
        (checked_clock, [5, SystemClock], [None, SystemClock()]),
        (checked_ids, [5, Uuid7Factory], [None, Uuid7Factory()]),
        (checked_observers, [None, 5, "ab", [object()], [Heard]], [(), [Heard()], iter([])]),
        (check_status, ["nonsense", "\ud800", 5], [None, "dead", EnrollmentStatus.DEAD]),
        (functools.partial(check_flag, "x"), ["false", 0, None], [True, False]),
        (check_profile_limits, [None, 5, ProfileLimits], [ProfileLimits()]),
        (check_lease, [timedelta(), timedelta(days=367), 60, None], [timedelta(days=366)]),
        (check_delay, [timedelta(-1), timedelta(days=367), 5], [timedelta(), timedelta(days=366)]),
        (check_max_attempts, [0, 1_000_001, "1", None], [1, 1_000_000]),
        (check_journey_id, [5, "a\0b", "\ud800"], [None, "welcome"]),
        (check_before, ["x", 5, "a\0b"], [None, AN_ID]),
        (functools.partial(check_moment, "since"), [NAIVE], [None, AWARE]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_argument_is_refused_where_it_breaks_its_rule(check, wrong, right):
    for value in wrong:
        with pytest.raises(ConfigurationError):
            check(value)
    for value in right:
        check(value)


@pytest.mark.parametrize("key_id", [5, None, "a\0b", "\ud800"])
def test_what_can_be_no_key_is_not_found(key_id):
    with pytest.raises(NotFound):
        ApiKeys(MemoryStorage()).revoke(key_id)
    with pytest.raises(ConfigurationError):
        ApiKeys(MemoryStorage()).revoke("x", organization_id="")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=5),
        lambda: Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, ids=5),
        lambda: Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, observers=[5]),
        lambda: Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, profile_limits=5),
        lambda: Tracker(
            MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, create_without_email="false"
        ),
        lambda: Records(MemoryStorage(), clock=5),
        lambda: Records(MemoryStorage(), create_without_email=1),
        lambda: Records(MemoryStorage(), profile_limits=5),
        lambda: People(MemoryStorage(), profile_limits=5),
        lambda: People(MemoryStorage(), ids=5),
        lambda: Journeys(MemoryStorage(), clock=5),
        lambda: Enrollments(MemoryStorage(), clock=5),
        lambda: ApiKeys(MemoryStorage(), clock=5),
        lambda: Limits(allow_placeholder_ids="false"),
        lambda: RedactionPolicy(refuse_unmatched="false"),
        lambda: ProfileLimits(forget_removed_after=30),
        lambda: ProfileLimits(max_properties="1"),
        lambda: KnownKeys("k" * 40),
        lambda: KnownKeys(["k" * 40], scopes="events:write"),
        lambda: Endpoint(a_tracker(), KnownKeys(["k" * 40]), prefix="tracking"),
    ],
)
def test_what_a_facade_is_made_of_is_refused_before_anything_is_recorded(make):
    with pytest.raises(ConfigurationError):
        make()


@pytest.mark.parametrize("identifier", ["x", "", None, 5, f"{AN_ID}\0", AN_ID.upper()])
def test_what_can_be_no_id_is_not_found(identifier):
    with pytest.raises(NotFound):
        check_id(identifier)


@pytest.mark.parametrize(
    ("journey_id", "version"), [(5, 1), ("a\0b", 1), ("a", 0), ("a", -1), ("a", 2**31)]
)
def test_what_can_be_no_version_of_a_journey_is_not_found(journey_id, version):
    with pytest.raises(NotFound):
        check_journey_version(journey_id, version)
    check_journey_version("welcome", 2**31 - 1)


def test_a_wrong_argument_reaches_no_store():
    tracker = a_tracker(FaultyStorage(MemoryStorage(), 0))
    for call, error in (
        (lambda: tracker.records.event("x"), NotFound),
        (lambda: tracker.records.profile("x"), NotFound),
        (lambda: tracker.records.events(before="x"), ConfigurationError),
        (lambda: tracker.records.explain("x"), NotFound),
        (lambda: tracker.journeys.get("a", 0), NotFound),
        (lambda: tracker.journeys.publish([{}]), InvalidJourney),
        (lambda: tracker.journeys.rehearse([], since=NAIVE), ConfigurationError),
    ):
        with pytest.raises(error):
            call()
    with pytest.raises(InjectedFault):
        tracker.records.event(AN_ID)


def test_definitions_are_read_in_every_form_they_are_given_in():
    definition = journey_definition(a_journey())
    for given in ({"journeys": [a_journey()]}, [a_journey()], (definition,)):
        assert list(checked_definitions(given)) == [definition]
    with pytest.raises(InvalidJourney) as refusal:
        checked_definitions([definition, {**a_journey("b"), "status": "asleep"}])
    assert [fault.path for fault in refusal.value.violations] == ["/journeys/1/status"]


def test_the_one_result_is_returned_or_raised():
    assert only([1]) == 1
    with pytest.raises(LeaseLost):
        only([LeaseLost()])
    assert found("something") == "something"
    with pytest.raises(NotFound):
        found(None)


@pytest.mark.parametrize(
    "count",
    [
        lambda _: check_max_attempts(True),
        lambda tracker: tracker.people.retain(events=timedelta(days=1), limit=True),
        lambda tracker: tracker.people.finish_erasures(limit=True),
        lambda tracker: tracker.journeys.get("welcome", True),
        lambda _: ProfileLimits(max_aliases=True),
        lambda _: Limits(max_depth=True),
        lambda tracker: AsgiApp(Endpoint(tracker, KnownKeys([])), threads=True),
        lambda tracker: AsgiApp(Endpoint(tracker, KnownKeys([])), max_requests=True),
    ],
)
def test_a_boolean_counts_nothing(count):
    tracker = a_tracker()
    tracker.journeys.publish([a_journey("welcome")])
    with pytest.raises((ConfigurationError, NotFound)):
        count(tracker)


@pytest.mark.parametrize("limit", [0, -1, 100_001, "5", None, True])
def test_a_wrong_limit_is_refused(limit):
    tracker = a_tracker()
    for read in (tracker.records.events, tracker.enrollments.list, tracker.records.purge_keys):
        with pytest.raises(ConfigurationError, match="limit"):
            read(limit=limit)


# --- the colour of a storage ----------------------------------------------------------------------


FACADES = {
    Tracker: AsyncTracker,
    Journeys: AsyncJourneys,
    Enrollments: AsyncEnrollments,
    Records: AsyncRecords,
    ApiKeys: AsyncApiKeys,
}


@pytest.mark.parametrize(("plain", "awaited"), FACADES.items(), ids=lambda face: face.__name__)
def test_a_storage_of_the_other_colour_is_refused_with_the_class_that_takes_it(plain, awaited):
    options = {"fingerprint_key": FINGERPRINT_SECRET} if plain is Tracker else {}
    for face, storage, twin in (
        (plain, AsyncMemoryStorage(), awaited),
        (awaited, MemoryStorage(), plain),
    ):
        with pytest.raises(ConfigurationError) as refusal:
            face(storage, **options)
        assert type(storage).__name__ in refusal.value.message
        assert refusal.value.message.endswith(f"Use {twin.__name__}.")


@pytest.mark.parametrize("no_storage", ["sqlite:///shop.db", object(), {"run": 1}])
def test_what_is_no_storage_is_refused_by_its_type(no_storage):
    with pytest.raises(ConfigurationError, match=type(no_storage).__name__) as refusal:
        a_tracker(no_storage)
    assert "shop" not in refusal.value.message


def test_a_run_that_is_decorated_keeps_its_colour():
    class Timed(AsyncMemoryStorage):
        @functools.wraps(AsyncMemoryStorage.run)
        def run(self, work, **how):
            return super().run(work)

    awaited = AsyncTracker(Timed(), fingerprint_key=FINGERPRINT_SECRET)
    assert not asyncio.run(awaited.track(a_request(), "key")).replayed
    with pytest.raises(ConfigurationError, match=r"Use AsyncTracker\.$"):
        a_tracker(Timed())


def test_a_run_that_waits_for_a_synchronous_store_is_asynchronous():
    class Awaited(MemoryStorage):
        @functools.wraps(MemoryStorage.run)
        async def run(self, work, **how):
            return super().run(driven(work))

    awaited = AsyncTracker(Awaited(), fingerprint_key=FINGERPRINT_SECRET)
    assert not asyncio.run(awaited.track(a_request(), "key")).replayed
    with pytest.raises(ConfigurationError, match=r"Use AsyncTracker\.$"):
        a_tracker(Awaited())


def test_a_run_that_is_an_object_has_the_colour_of_its_call():
    class Run:
        def __init__(self, storage):
            self._storage = storage

        async def __call__(self, work):
            return await self._storage.run(work)

    storage = AsyncMemoryStorage()
    storage.run = Run(AsyncMemoryStorage())
    awaited = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    assert not asyncio.run(awaited.track(a_request(), "key")).replayed
    with pytest.raises(ConfigurationError, match=r"Use AsyncTracker\.$"):
        a_tracker(storage)


@pytest.mark.parametrize("storage", [MemoryStorage, AsyncMemoryStorage])
@pytest.mark.parametrize("face", [Journeys, AsyncJourneys])
def test_a_class_of_storages_is_no_storage(face, storage):
    with pytest.raises(ConfigurationError, match=f"{storage.__name__} is a class"):
        face(storage)


@pytest.mark.parametrize("leases", [None, 1, {"a": 1}, iter([])])
def test_leases_that_are_no_list_are_refused(leases):
    with pytest.raises(ConfigurationError, match="list of Lease"):
        check_leases(leases)
