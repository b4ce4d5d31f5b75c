"""No traceback of any error shows what a host or a caller passed in.

Error trackers send the local variables of every frame. So each error here is raised with a
canary in everything that was passed, and no frame of ours may hold it, nor any cause or
context of the error, whether or not it is suppressed.
"""

from __future__ import annotations

import asyncio
import traceback
from types import MappingProxyType

import httpx
import pytest

import segmentflow_memory
from canaries import (
    CANARY,
    EMAIL,
    Failing,
    Hostile,
    a_secret_request,
    a_tracker,
    assert_shows_nothing,
    invalid,
    raised,
)
from segmentflow_core import (
    ApiKeys,
    AsyncTracker,
    FingerprintKey,
    FingerprintKeys,
    ProfileInput,
    ProfileLimits,
    RedactionPolicy,
    TrackRequest,
)
from segmentflow_core.api_keys import refuse_write_key
from segmentflow_core.domain.condition import compile_condition
from segmentflow_core.domain.request import check_request
from segmentflow_core.errors import SegmentflowError, StorageUnavailable
from segmentflow_core.journeys import journey_definition, journey_definitions
from segmentflow_core.templates import compile_template
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_core.tracebacks import forget_locals, forgets_locals
from segmentflow_core.wire import parse_json, parse_request
from segmentflow_gathering import Gathering
from segmentflow_http import ApiKeyAuthenticator, KnownKeys
from segmentflow_http.client import AsyncClient, Client
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
from segmentflow_sql import AsyncSqlStorage, SqlStorage, open_storage

REFUSED = {
    "unknown fields": invalid(),
    "no request": CANARY,
    "a list": [CANARY],
    "any Mapping": MappingProxyType(invalid()),
    "a value": TrackRequest(CANARY, ProfileInput(CANARY), occurred_at=CANARY),
    "a bad email": a_secret_request(profile={"email": CANARY}),
    "a bad path": a_secret_request(redactedDataPaths=[CANARY, f"/event/~{CANARY}"]),
    "a bad date": a_secret_request(occurredAt=f"{CANARY}-05-31T12:00Z"),
    "no date": a_secret_request(occurredAt="2026-02-31T12:00Z"),
    "a value that is no JSON": a_secret_request(referenceId={CANARY}),
    "a placeholder": a_secret_request(profile={"externalId": "NULL", "properties": {"a": CANARY}}),
    "too large": a_secret_request(data={"a": CANARY * 60_000}),
}
TEXTS = {
    "no JSON": f'{{"a": "{CANARY}", {CANARY}',
    "no UTF-8": f'{{"a": "{CANARY}"}}'.encode() + b"\xff",
    "a byte order mark": f'\ufeff{{"a": "{CANARY}"}}',
    "nested too deep": f'["{CANARY}",{"[" * 300}',
    "too large": f'"{CANARY * 60_000}"',
    "too large, and no UTF-8": f'"{CANARY * 60_000}\ud800"',
}


A_KEY = FingerprintKey("id", FINGERPRINT_SECRET.encode())


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_request(name):
    request, key = REFUSED[name], f"{CANARY}\n"
    tracker = a_tracker()
    asynchronous = AsyncTracker(AsyncMemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    for call in (
        lambda: check_request(request, key),
        lambda: tracker.track(request, key),
        lambda: tracker.track(request, None),
        lambda: tracker.explain(request),
        lambda: tracker.records.explain_request(request),
        lambda: asyncio.run(asynchronous.track(request, key)),
        lambda: asyncio.run(asynchronous.explain(request)),
    ):
        error = raised(call)
        assert isinstance(error, SegmentflowError)
        assert_shows_nothing(error)
    for error in tracker.track_many([(request, key), (request, "key")]):
        assert isinstance(error, SegmentflowError)
        assert_shows_nothing(error)
        assert error.__traceback__ is None


@pytest.mark.parametrize("name", TEXTS)
def test_a_refused_text(name):
    text = TEXTS[name]
    assert_shows_nothing(raised(lambda: parse_request(text)))
    if not name.startswith("too large"):
        assert_shows_nothing(raised(lambda: parse_json(text)))


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path):
    if request.param == "memory":
        yield MemoryStorage()
        return
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/store.db")
    storage = SqlStorage(engine)
    storage.create_all()
    yield storage
    engine.dispose()


def test_what_a_profile_and_a_policy_refuse(storage):
    policy = RedactionPolicy(names=["secret"], refuse_unmatched=True)
    tracker = a_tracker(storage, profile_limits=ProfileLimits(max_properties=1), redaction=policy)
    codes = []
    large = {"email": EMAIL, "properties": {"a": CANARY, "b": CANARY}}
    for request in (
        a_secret_request(profile=large),
        a_secret_request(redactedDataPaths=["/event/none"]),
    ):
        error = raised(lambda request=request: tracker.track(request, CANARY))
        codes.append(error.code)
        assert_shows_nothing(error)
    assert codes == ["profile_too_large", "invalid_request"]


def test_a_refusal_of_the_decision(storage):
    tracker = a_tracker(storage)
    tracker.track(a_secret_request(), CANARY)
    tracker.track(a_request(profile={"email": "b@example.com", "externalId": "b"}), "b")
    refused = {
        "idempotency_key_reuse": (a_secret_request(referenceId=CANARY), CANARY),
        "identity_conflict": (a_secret_request(profile={"email": EMAIL, "externalId": "b"}), "c"),
        "profile_email_required": (a_secret_request(profile={"externalId": CANARY}), CANARY * 2),
    }
    for code, (request, key) in refused.items():
        error = raised(lambda request=request, key=key: tracker.track(request, key))
        assert error.code == code
        assert_shows_nothing(error)
    for error in tracker.track_many(list(refused.values())):
        assert_shows_nothing(error)
    newer = a_tracker(storage, fingerprint_key=FingerprintKeys(FingerprintKey("new", b"n" * 32)))
    error = raised(lambda: newer.track(a_secret_request(), CANARY))
    assert error.code == "internal_error"
    assert_shows_nothing(error)


@pytest.mark.parametrize("error", [StorageUnavailable(), ZeroDivisionError(), KeyboardInterrupt()])
def test_a_store_that_fails(error):
    tracker = a_tracker(Failing(error))
    definitions = [a_journey(CANARY, trigger={"event": CANARY})]
    gathering = a_tracker(Failing(error), gather=Gathering())
    for call in (
        lambda: tracker.track(a_secret_request(), CANARY),
        lambda: gathering.track(a_secret_request(), CANARY),
        lambda: tracker.track_many([(a_secret_request(), CANARY)]),
        lambda: tracker.explain(a_secret_request(), journeys=definitions),
        lambda: tracker.journeys.publish(definitions),
    ):
        assert raised(call) is error
        assert_shows_nothing(error)


def test_an_argument_whose_own_code_raises():
    tracker = a_tracker()
    for request in (Hostile(), a_secret_request(data=Hostile()), {"profile": Hostile()}):
        error = raised(lambda request=request: tracker.track(request, CANARY))
        assert error.code == "invalid_request"
        assert_shows_nothing(error)


def test_a_journey_a_condition_and_a_template():
    journey = a_journey(CANARY, trigger={"event": CANARY, "where": {"path": CANARY}})
    state = {"event": {"a": CANARY}, "profile": {"properties": {}}}
    template = compile_template({"a": {"$state": "/event/b"}, "b": CANARY})
    tracker = a_tracker()
    for call in (
        lambda: journey_definition(journey),
        lambda: journey_definitions({"journeys": [journey]}),
        lambda: journey_definitions([CANARY]),
        lambda: journey_definitions({"journeys": [CANARY * 500_000]}),
        lambda: tracker.journeys.publish([journey]),
        lambda: tracker.explain(a_secret_request(), journeys=[journey]),
        lambda: compile_condition({"path": CANARY, "op": CANARY}),
        lambda: compile_template({"a": {"$state": CANARY}}),
        lambda: template.render(state, "error"),
        lambda: template.render(state, CANARY),
    ):
        assert_shows_nothing(raised(call))


SECRETS = {
    "a secret that is too short": lambda: FingerprintKey("id", CANARY.encode()),
    "a secret that is text": lambda: FingerprintKey("id", CANARY),
    "a key id that breaks its rule": lambda: FingerprintKey("\n", CANARY.encode() * 4),
    "no key id": lambda: FingerprintKey(CANARY.encode() * 4, CANARY.encode() * 4),
    "one argument": lambda: FingerprintKey(secret=CANARY.encode() * 4),
    "a derived key": lambda: FingerprintKey.derive(CANARY),
    "a derived key of no UTF-8": lambda: FingerprintKey.derive(f"{CANARY}\ud800" * 4),
    "keys of": lambda: FingerprintKeys.of(CANARY),
    "keys of no text": lambda: FingerprintKeys.of([CANARY]),
    "keys that are none": lambda: FingerprintKeys(CANARY),
    "previous keys that are none": lambda: FingerprintKeys(A_KEY, [CANARY]),
    "previous keys of one id": lambda: FingerprintKeys(A_KEY, [A_KEY, CANARY]),
    "a tracker": lambda: a_tracker(fingerprint_key=CANARY),
    "a tracker's keys": lambda: a_tracker(fingerprint_key=[CANARY]),
    "an asynchronous tracker": lambda: AsyncTracker(AsyncMemoryStorage(), fingerprint_key=CANARY),
    "a tracker of the wrong storage": lambda: AsyncTracker(
        MemoryStorage(), fingerprint_key=CANARY * 4
    ),
    "an API Key": lambda: ApiKeys(MemoryStorage()).authenticate(CANARY, "events:write"),
    "a WriteKey": lambda: refuse_write_key(f"wk_{CANARY}"),
    "a known key": lambda: KnownKeys([CANARY]),
    "a known key that is none": lambda: KnownKeys([CANARY * 4, 5]),
    "a known key of no UTF-8": lambda: KnownKeys([f"{CANARY}\ud800" * 4]),
    "known keys": lambda: KnownKeys(["k" * 32]).authenticate({"x-api-key": CANARY}, "events:write"),
    "an endpoint's API Keys": lambda: ApiKeyAuthenticator(ApiKeys(MemoryStorage())).authenticate(
        {"x-api-key": f"wk_{CANARY}"}, "events:write"
    ),
    "a client": lambda: Client("http://events.test", f"{CANARY}\n"),
    "an asynchronous client": lambda: AsyncClient("http://events.test", f"{CANARY}\n"),
    "a client of the wrong colour": lambda: Client("", CANARY, http=httpx.AsyncClient()),
    "a store's URL": lambda: open_storage(f"sqlite+{CANARY}://"),
    "a store's port": lambda: open_storage(f"postgresql://a:{CANARY}@localhost:port/a"),
    "a store's driver": lambda: open_storage(f"postgresql+psycopg2://a:{CANARY}@localhost/a"),
    "a store's options": lambda: open_storage(
        f"postgresql://a:{CANARY}@localhost:1/a?none={CANARY}"
    ).create_all(),
    "a store out of reach": lambda: open_storage(
        f"postgresql://a:{CANARY}@localhost:1/a"
    ).create_all(),
    "a SQLite store's options": lambda: open_storage(
        f"sqlite:///a.db?timeout={CANARY}"
    ).create_all(),
    "a storage": lambda: SqlStorage(CANARY),
    "an asynchronous storage": lambda: AsyncSqlStorage(CANARY),
    "a bound storage": lambda: SqlStorage.bound_to(CANARY),
    "a storage in memory": lambda: segmentflow_memory.open_storage(f"memory://{CANARY}"),
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_cannot_be_used(name):
    assert_shows_nothing(raised(SECRETS[name]))


# --- how ----------------------------------------------------------------------------


def test_the_places_stay():
    error = raised(lambda: a_tracker().track(invalid(), "key"))
    told = traceback.format_exception(error)
    assert any("in track" in line for line in told)


def test_what_the_host_was_handling_is_left_alone():
    def fail():
        mine = "a variable of the host"
        raise LookupError(mine)

    try:
        fail()
    except LookupError as error:
        handled = error
        refusal = raised(lambda: a_tracker().track(invalid(), "key"))
    assert refusal.__context__ is handled
    frame = handled.__traceback__.tb_next.tb_frame
    assert frame.f_locals == {"mine": "a variable of the host"}
    assert_shows_nothing(refusal)


def test_a_cause_and_a_context_are_cleared_too():
    def first():
        secret = CANARY
        raise LookupError(len(secret))

    @forgets_locals
    def second():
        try:
            first()
        except LookupError as error:
            raise ValueError from error

    cause = raised(second).__cause__
    assert cause.__traceback__.tb_next.tb_frame.f_locals == {}


def test_errors_that_lead_to_each_other_end():
    one, other = ValueError(), ValueError()
    one.__cause__, other.__cause__ = other, one
    forget_locals(one)


def test_what_is_marked_stays_what_it_was():
    @forgets_locals
    async def twice(number: int) -> int:
        """Double a number."""
        return 2 * number

    assert asyncio.run(twice(2)) == 4
    assert (twice.__name__, twice.__doc__) == ("twice", "Double a number.")
    assert asyncio.iscoroutinefunction(twice)
