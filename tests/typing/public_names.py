"""Never run: mypy and pyright read what a user of the library would write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar, assert_type

from sqlalchemy import create_engine

from segmentflow_console import AsyncConsole, Console, Operator, StoreFacades
from segmentflow_core import (
    ApiKey,
    ApiKeys,
    AsyncApiKeys,
    AsyncEnrollments,
    AsyncJourneys,
    AsyncPeople,
    AsyncRecords,
    AsyncTracker,
    Backlog,
    ClaimedEnrollment,
    CreatedApiKey,
    Enrollment,
    Enrollments,
    EnrollmentStatus,
    Journey,
    Journeys,
    Lease,
    Outcome,
    People,
    Profile,
    ProfileInput,
    ProfileLimits,
    PublishedJourney,
    Receipt,
    Records,
    SegmentflowError,
    SkipReason,
    Tracker,
    TrackRequest,
    UserEvent,
)
from segmentflow_core.colour import MaybeAwaitable, drive, is_asynchronous, settle
from segmentflow_core.explanation import (
    ExplainedEvent,
    ExplainedJourney,
    Explanation,
    Rehearsal,
    Story,
    ToldEvent,
)
from segmentflow_core.journeys import JourneyCounts, JourneyDay, JourneyStats
from segmentflow_core.people import AuditRecord, Erasure, Merge, Suppression
from segmentflow_core.ports import (
    AsyncStorage,
    ClaimTerms,
    KeyClaim,
    Storage,
    Transaction,
)
from segmentflow_core.templates import TemplateGaps, compile_template
from segmentflow_http import (
    ApiKeyAuthenticator,
    AsgiApp,
    AsyncApiKeyAuthenticator,
    AsyncEndpoint,
    Authenticator,
    Endpoint,
    KnownKeys,
    Response,
    WsgiApp,
)
from segmentflow_http.client import AsyncClient, Client
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
from segmentflow_observers import open_telemetry_worker_observer, prometheus_worker_observer
from segmentflow_sql import SqlStorage
from segmentflow_worker import (
    Assignment,
    AsyncWorker,
    GiveUp,
    LoggingObserver,
    TryAgain,
    Worker,
    wakes,
)

T = TypeVar("T")

memory: Storage = MemoryStorage()
sql: Storage = SqlStorage(create_engine("sqlite://"))
async_memory: AsyncStorage = AsyncMemoryStorage()

tracker = Tracker(
    sql,
    fingerprint_key=b"a secret of at least 32 bytes......",
    profile_limits=ProfileLimits(max_properties=100),
)
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
assert_type(tracker.records.event("id"), UserEvent)
assert_type(tracker.records.event("id").outcomes, tuple[Outcome, ...])
assert_type(tracker.records.event("id").outcomes[0].reason, SkipReason | None)
assert_type(tracker.records.events(), Sequence[UserEvent])
assert_type(tracker.records.profile("id"), Profile)
assert_type(tracker.journeys.list(), Sequence[Journey])
assert_type(tracker.journeys.get("welcome"), Journey)
assert_type(tracker.journeys.get("welcome", 1).definition.name, str)
assert_type(tracker.enrollments.list(), Sequence[Enrollment])
assert_type(tracker.enrollments.list(status=EnrollmentStatus.DEAD), Sequence[Enrollment])
assert_type(tracker.enrollments.get("id"), Enrollment)
(claimed,) = tracker.enrollments.claim(lease=timedelta(minutes=1), organization_id=None)
assert_type(claimed, ClaimedEnrollment)
assert_type(claimed.lease, Lease)
assert_type(claimed.state, Mapping[str, Any])
assert_type(tracker.enrollments.complete(claimed.lease), Enrollment)
assert_type(tracker.enrollments.release(claimed.lease, delay=timedelta(minutes=1)), Enrollment)
assert_type(tracker.enrollments.extend_many([claimed.lease]), list[Enrollment | SegmentflowError])
assert_type(tracker.enrollments.revive("id"), Enrollment)
Finished: TypeAlias = list[Enrollment | SegmentflowError]
assert_type(tracker.enrollments.complete_many([claimed.lease]), Finished)
assert_type(tracker.enrollments.release_many([claimed.lease], failed=False), Finished)
assert_type(tracker.journeys.publish({"journeys": []}), list[PublishedJourney])
assert_type(tracker.records.purge_keys(), int)

assert_type(tracker.journeys, Journeys)
assert_type(tracker.enrollments, Enrollments)
assert_type(tracker.records, Records)
assert_type(Journeys(sql).publish([], by="carol"), list[PublishedJourney])
assert_type(tracker.journeys.stats("welcome").journeys, tuple[JourneyCounts, ...])
assert_type(tracker.journeys.stats("welcome").journeys[0].days, tuple[JourneyDay, ...])
assert_type(tracker.records.audit(), Sequence[AuditRecord])
assert_type(tracker.people, People)
assert_type(tracker.people.suppress("cus_123"), Suppression)
assert_type(tracker.people.unsuppress("cus_123", by="carol"), Suppression)
assert_type(People(sql).erase("cus_123", block=True, at_most=100, on_progress=print), Erasure)
assert_type(tracker.people.finish_erasures(), int)
assert_type(tracker.people.merge("cus_123", "cus_124"), Merge)
assert_type(Enrollments(memory).backlog(journey_ids=["welcome"]), Sequence[Backlog])
assert_type(Enrollments(memory).claim(), list[ClaimedEnrollment])
records = Records(sql, profile_limits=ProfileLimits(max_bytes=1000), create_without_email=True)
assert_type(records.find_profile(email="alex@example.com"), Profile)
assert_type(records.why("alex@example.com", journey_id="welcome"), Story)
assert_type(records.why("alex@example.com").events, tuple[ToldEvent, ...])
assert_type(records.explain_request(request, journey_id="welcome"), ExplainedEvent)

explained = tracker.explain(request)
assert_type(explained, ExplainedEvent)
assert_type(explained.journeys, tuple[ExplainedJourney, ...])
assert_type(explained.journeys[0].condition, Explanation | None)
assert_type(tracker.records.explain("id", journeys={"journeys": []}), ExplainedEvent)
moment = datetime.fromisoformat("2026-05-31T12:00:00Z")
assert_type(tracker.journeys.rehearse([], since=moment, on_progress=print), Rehearsal)
template = compile_template({"to": {"$state": "/profile/email"}})
assert_type(template.paths, tuple[str, ...])
assert_type(tracker.records.template_gaps(template, journey_id="welcome"), TemplateGaps)
template.render({"event": {}, "profile": {}}, "error")


async def use_async() -> None:
    async_tracker = AsyncTracker(
        async_memory, fingerprint_key="a secret of at least 32 bytes......"
    )
    assert_type(await async_tracker.track(request, "key"), Receipt)
    assert_type(await async_tracker.track_many([]), list[Receipt | SegmentflowError])
    assert_type(await async_tracker.explain(request), ExplainedEvent)
    assert_type(await AsyncJourneys(async_memory).publish([]), list[PublishedJourney])
    assert_type(await AsyncJourneys(async_memory).get("welcome"), Journey)
    assert_type(await async_tracker.journeys.stats(), JourneyStats)
    assert_type(await async_tracker.records.audit(), Sequence[AuditRecord])
    assert_type(await AsyncPeople(async_memory).erase("cus_123"), Erasure)
    assert_type(await AsyncEnrollments(async_memory).complete_many([claimed.lease]), Finished)
    assert_type(await AsyncEnrollments(async_memory).release_many([claimed.lease]), Finished)
    assert_type(await AsyncRecords(async_memory).explain_request(request), ExplainedEvent)
    assert_type(await async_tracker.records.event("id"), UserEvent)
    assert_type(await async_tracker.records.find_profile("id"), Profile)
    assert_type(await async_tracker.records.why("id"), Story)
    assert_type(await async_tracker.enrollments.claim(), list[ClaimedEnrollment])
    assert_type(await async_tracker.enrollments.complete(claimed.lease), Enrollment)
    assert_type(
        await async_tracker.enrollments.revive_many([]), list[Enrollment | SegmentflowError]
    )


api_keys = ApiKeys(sql)
assert_type(api_keys.create(["events:write"], label="shop"), CreatedApiKey)
assert_type(api_keys.list(), Sequence[ApiKey])
assert_type(api_keys.authenticate("sk_live_x", "events:write"), ApiKey)

known: Authenticator = KnownKeys(["x" * 32])
stored: Authenticator = ApiKeyAuthenticator(api_keys)
endpoint = Endpoint(tracker, stored, prefix="/tracking")
assert_type(endpoint("POST", "/api/v1/events", {"x-api-key": "x"}, b""), Response)
assert_type(endpoint("GET", "/healthz", [(b"accept", b"*/*")], b"").status, int)
WsgiApp(endpoint)
AsgiApp(endpoint, threads=4)
assert_type(Client("http://x", "sk_x").track(request, "key"), Receipt)


async def use_async_over_http() -> None:
    async_tracker = AsyncTracker(async_memory, fingerprint_key="a secret of at least 32 bytes...")
    async_keys: Authenticator = AsyncApiKeyAuthenticator(AsyncApiKeys(async_memory))
    async_endpoint = AsyncEndpoint(async_tracker, async_keys)
    assert_type(await async_endpoint("GET", "/healthz", {}, b""), Response)
    AsgiApp(async_endpoint)
    assert_type(await AsyncClient("http://x", "sk_x").track({}, generate_key=True), Receipt)
    assert_type(await async_tracker.records.explain("id"), ExplainedEvent)
    assert_type(await async_tracker.journeys.rehearse([], since=moment), Rehearsal)


class OneBody:
    """An adapter's own code, written once for both colours."""

    def __init__(self, ask: Callable[[str], MaybeAwaitable[int]]) -> None:
        self.ask = ask

    async def count(self, claims: Sequence[KeyClaim], terms: ClaimTerms) -> int:
        assert_type(claims[0].taken_at, datetime)
        assert_type(terms.lease_until, datetime)
        found = await settle(self.ask(terms.token))
        assert_type(found, int)
        return found + len(claims)


async def counted(transaction: Transaction) -> int:
    assert_type(await settle(transaction.idempotency.purge(moment, 1)), int)
    return 1


class OwnStorage:
    """A storage of an author's own, over another."""

    def run(self, work: Callable[[Transaction], T], *, reads_only: bool = False) -> T:
        return memory.run(work, reads_only=reads_only)


own: Storage = OwnStorage()
assert_type(own.run(lambda transaction: drive(counted(transaction))), int)
assert_type(is_asynchronous(own.run), bool)


def a_handler(assignment: Assignment) -> None:
    assert_type(assignment.state, Mapping[str, Any])
    assert_type(assignment.idempotency_key, str)
    raise TryAgain("closed", after=timedelta(hours=1))


async def another_handler(assignment: Assignment) -> str:
    raise GiveUp(assignment.journey_id)


worker = Worker(MemoryStorage(), {"welcome": a_handler, "second": another_handler})
Worker(
    MemoryStorage(),
    {"welcome": a_handler},
    measure=timedelta(seconds=30),
    observers=[prometheus_worker_observer(), open_telemetry_worker_observer()],
)
assert_type(worker.run(), int)
assert_type(worker.drain(), int)
Tracker(MemoryStorage(), fingerprint_key="key", observers=[wakes(worker)])


async def work_on(storage: AsyncStorage) -> None:
    awaited = AsyncWorker(storage, {}, default=another_handler, observers=[LoggingObserver()])
    assert_type(await awaited.run(), int)
    assert_type(await awaited.drain(), int)


def who_asks(headers: Mapping[str, str]) -> Operator | None:
    return Operator(headers["x-user"], ["read"], "acme")


async def who_asks_awaited(headers: Mapping[str, str]) -> Operator | None:
    return who_asks(headers)


console = Console(tracker, who_asks, key=b"k" * 32, origins=["https://ops.example.com"])
assert_type(console("GET", "/", {}, b"", mount="/ops"), Response)
WsgiApp(console)
AsgiApp(Console(StoreFacades(MemoryStorage())))


async def operate(tracked: AsyncTracker) -> None:
    asynchronous = AsyncConsole(tracked, who_asks_awaited)
    assert_type(await asynchronous("GET", "/", {}, b""), Response)
    AsgiApp(asynchronous)
