"""The host's redaction policy, through every face and on storages of two kinds."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import traceback

import pytest

from segmentflow_cli.importing import ImportReport, import_lines, read_lines
from segmentflow_core import (
    AsyncRecords,
    AsyncTracker,
    Records,
    RedactionPolicy,
    SegmentflowError,
    Tracker,
)
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyKeyReuse,
    InvalidRequest,
    StorageUnavailable,
)
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_core.wire import event_document, explained_document
from segmentflow_http import Endpoint, KnownKeys
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
from segmentflow_sql import open_storage

CANARY = "canary-4111"
KEY = "sk_test_" + "0" * 43
POLICY = RedactionPolicy(
    paths=["/event/items/*/token", "/profile/properties/us/*"], names=["PassWord", "ssn"]
)
JOURNEYS = {
    "journeys": [
        a_journey(
            str(number),
            trigger={
                "event": "order.created",
                "where": {"path": path, "op": op, "value": value},
            },
            reentry={"policy": "once_per_key", "key": path},
        )
        for number, (path, op, value) in enumerate(
            [
                ("/event/form/password", "eq", "a guess"),
                ("/profile/properties/ssn", "starts_with", "a guess"),
                ("/profile/properties/us/id", "ne", "other"),
                ("/profile/properties/plan", "eq", "Pro"),
            ]
        )
    ]
}


def a_secret_request(**members):
    return a_request(
        **{
            "data": {
                "form": {"password": CANARY},
                "items": [{"token": [CANARY]}, {"id": 1}],
                "pin": CANARY,
                "total": 1,
            },
            "profile": {
                "email": "a@example.com",
                "properties": {"ssn": CANARY, "us": {"id": [CANARY]}, "plan": "Pro"},
            },
            "redactedDataPaths": ["/event/pin", "/event/pan"],
            **members,
        }
    )


class Everything:
    """An observer that keeps all that it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        return lambda details: self.told.append((name, details))


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path):
    if request.param == "memory":
        yield MemoryStorage()
        return
    storage = open_storage(f"sqlite:///{tmp_path / 'store.db'}")
    storage.create_all()
    yield storage
    storage.close()


@pytest.fixture
def observer():
    return Everything()


@pytest.fixture
def tracker(storage, observer):
    tracker = Tracker(
        storage, fingerprint_key=FINGERPRINT_SECRET, redaction=POLICY, observers=[observer]
    )
    tracker.journeys.publish(JOURNEYS)
    return tracker


def texts_within(value, seen):
    """Give every text that an object of ours holds, however deep."""
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, (str, bytes)):
        yield str(value)
    elif isinstance(value, dict):
        for item in (*value, *value.values()):
            yield from texts_within(item, seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from texts_within(item, seen)
    else:
        yield repr(value)
        names = [n for kind in type(value).__mro__ for n in getattr(kind, "__slots__", ())]
        held = [getattr(value, name, None) for name in names if name != "__weakref__"]
        for item in (*held, *getattr(value, "__dict__", {}).values()):
            yield from texts_within(item, seen)


@pytest.fixture
def held(storage, tmp_path):
    """Give what the storage holds, as text: on SQLite the bytes of its files, the WAL too."""

    def held():
        if isinstance(storage, MemoryStorage):
            return "\n".join(texts_within(storage, {}))
        assert {path.suffix for path in tmp_path.iterdir()} >= {".db", ".db-wal"}
        return repr([path.read_bytes() for path in tmp_path.iterdir()])

    return held


def by_call(tracker):
    request = a_secret_request()
    yield tracker.track(request, "1")
    yield tracker.track(request, "1")
    yield explained_document(tracker.explain(request))
    # In the order of what is told apart: another request, a fault, no Profile.
    data = {**request["data"], "form": {"password": f"{CANARY}-2"}}
    for members in (
        {"data": data},
        {"data": {"form": {"password": {CANARY: {CANARY}}}}},
        {"profile": {"externalId": "x", "properties": {"ssn": {CANARY: float("nan")}}}},
        {"profile": {"externalId": "nobody"}},
    ):
        try:
            tracker.track(a_secret_request(**members), "1" if "data" in members else "2")
        except Exception as error:  # noqa: BLE001 - whatever it is must not tell
            yield error.envelope()
            yield "".join(traceback.format_exception(error))
        else:
            raise AssertionError(members)


def by_batch(tracker):
    calls = [
        (a_secret_request(), "1"),
        (a_secret_request(), "1"),
        (a_secret_request(data={"password": {CANARY: {1}}}), "2"),
    ]
    for result in tracker.track_many(calls):
        yield result.envelope() if isinstance(result, Exception) else result


def by_import(tracker):
    report = ImportReport(name="history")
    lines = io.BytesIO(b"\n".join(json.dumps(a_secret_request()).encode() for _ in range(3)))
    import_lines(
        tracker,
        read_lines(lines),
        report,
        organization_id="default",
        batch=2,
        match_journeys=True,
        on_progress=lambda size, refused: None,
    )
    yield report
    assert (report.recorded, report.unmatched) == (3, 3)


def by_http(tracker):
    endpoint = Endpoint(tracker, KnownKeys([KEY]))
    headers = {"x-api-key": KEY, "content-type": "application/json"}
    for key, request in (
        ("1", a_secret_request()),
        ("1", a_secret_request()),
        ("1", a_secret_request(data={"password": CANARY})),
        ("2", a_secret_request(event=1)),
    ):
        body = json.dumps(request).encode()
        yield endpoint("POST", "/api/v1/events", {**headers, "idempotency-key": key}, body)


@pytest.mark.parametrize("face", [by_call, by_batch, by_import, by_http])
def test_what_a_policy_redacts_is_nowhere(face, tracker, held, observer, caplog):
    caplog.set_level(logging.DEBUG)
    shown = list(face(tracker))
    events = tracker.records.events()
    assert events
    for event in events:
        assert event.data["form"] == {"password": "[REDACTED]"}
        assert event.data["items"] == [{"token": "[REDACTED]"}, {"id": 1}]
        profile = tracker.records.profile(event.profile_id)
        assert profile.properties == {
            "ssn": "[REDACTED]",
            "us": {"id": "[REDACTED]"},
            "plan": "Pro",
        }
        reasons = [outcome.reason for outcome in event.outcomes]
        assert reasons[:3] == ["condition_unknown"] * 3
        shown += [event_document(event), event.outcomes]
        shown += [explained_document(tracker.records.explain(event.event_id))]
    shown += [repr(observer.told), caplog.text, held()]
    for each in shown:
        assert CANARY not in repr(each)
    assert "Tracked" in repr(observer.told)
    assert "[REDACTED]" in held()


def locals_of_ours(error):
    """Give what an error tracker that sends locals would send of our own frames."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    while told is not None:
        for frame in told.stack:
            if "segmentflow_" in frame.filename and "/tests/" not in frame.filename:
                yield from (frame.locals or {}).values()
        told = told.__cause__ or told.__context__


class Failing(MemoryStorage):
    """Fails after the work was done, as a store does that loses its connection."""

    def run(self, work, **how):
        super().run(work)
        raise StorageUnavailable


@pytest.mark.parametrize(
    ("members", "key", "code"),
    [
        ({"data": {"form": {"password": CANARY}}}, "1", "idempotency_key_reuse"),
        ({"data": {"password": {CANARY: {CANARY}}}}, "2", "invalid_request"),
        ({"profile": {"email": "a@b.co", "properties": {"ssn": {CANARY}}}}, "2", "invalid_request"),
        ({"data": {"password": CANARY}}, None, "idempotency_key_required"),
        ({"data": {"password": CANARY * 30_000}}, "2", "payload_too_large"),
        ({"profile": {"externalId": "nobody"}}, "2", "profile_email_required"),
    ],
)
def test_no_traceback_holds_what_a_policy_redacts(tracker, members, key, code):
    tracker.track(a_secret_request(), "1")
    calls = [lambda request: tracker.track(request, key)]
    if not code.startswith("idempotency"):
        calls.append(tracker.explain)
    for call in calls:
        with pytest.raises(SegmentflowError) as caught:
            call(a_secret_request(**members))
        assert caught.value.code == code
        assert CANARY not in repr(list(locals_of_ours(caught.value)))


def test_no_traceback_of_a_failing_store_holds_what_a_policy_redacts():
    tracker = Tracker(Failing(), fingerprint_key=FINGERPRINT_SECRET, redaction=POLICY)
    for call in (
        lambda: tracker.track(a_secret_request(), "1"),
        lambda: tracker.track_many([(a_secret_request(), "1")]),
        lambda: tracker.explain(a_secret_request()),
    ):
        with pytest.raises(StorageUnavailable) as caught:
            call()
        assert CANARY not in repr(list(locals_of_ours(caught.value)))


def test_a_policy_turns_no_retry_into_a_conflict(storage):
    for redaction in (POLICY, RedactionPolicy(), RedactionPolicy(names=["total"]), POLICY):
        tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, redaction=redaction)
        receipt = tracker.track(a_secret_request(), "1")
        assert receipt.unmatched_paths == ("/event/pan",)
    assert receipt.replayed
    assert len(tracker.records.events()) == 1
    with pytest.raises(IdempotencyKeyReuse):
        tracker.track(a_secret_request(data={"form": {"password": "another"}}), "1")


def test_a_removed_property_goes_under_a_policy_too(tracker):
    def left(properties, key):
        profile = {"email": "a@example.com", "properties": properties}
        receipt = tracker.track(a_request(profile=profile), key)
        return tracker.records.profile(receipt.profile_id).properties

    assert left({"ssn": CANARY, "plan": "Pro"}, "1") == {"ssn": "[REDACTED]", "plan": "Pro"}
    assert left({"ssn": None}, "2") == {"plan": "Pro"}


def test_what_names_nothing_is_refused_where_a_tracker_says_so(storage):
    policy = RedactionPolicy(refuse_unmatched=True)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, redaction=policy)
    with pytest.raises(InvalidRequest) as caught:
        tracker.track(a_secret_request(), "1")
    assert caught.value.details["violations"] == [
        {"path": "/redactedDataPaths/1", "message": "names nothing in data"}
    ]
    with pytest.raises(InvalidRequest):
        tracker.explain(a_secret_request())
    assert not tracker.records.events()


def test_asynchronous_trackers_and_records_have_the_policy_too():
    async def run():
        storage = AsyncMemoryStorage(MemoryStorage())
        tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET, redaction=POLICY)
        assert tracker.redaction is POLICY
        await tracker.journeys.publish(JOURNEYS)
        receipt = await tracker.track(a_secret_request(), "1")
        records = AsyncRecords(storage, redaction=POLICY)
        return [
            await tracker.records.profile(receipt.profile_id),
            event_document(await tracker.records.event(receipt.event_id)),
            explained_document(await tracker.explain(a_secret_request())),
            explained_document(await records.explain_request(a_secret_request())),
        ]

    profile, *documents = asyncio.run(run())
    assert profile.properties["ssn"] == "[REDACTED]"
    assert CANARY not in repr(documents)


def test_records_explain_a_request_under_the_policy(storage):
    records = Records(storage, clock=FixedClock(), redaction=POLICY)
    explained = records.explain_request(a_secret_request(), journeys=JOURNEYS)
    assert CANARY not in repr(explained_document(explained))
    assert [journey.reason for journey in explained.journeys][:3] == ["condition_unknown"] * 3


@pytest.mark.parametrize("given", [None, ["/event/password"], "password", RedactionPolicy])
def test_what_is_no_policy_is_refused(given):
    for make in (
        lambda: Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, redaction=given),
        lambda: Records(MemoryStorage(), redaction=given),
    ):
        with pytest.raises(ConfigurationError, match="RedactionPolicy"):
            make()


def test_an_unmatched_path_is_named_beside_the_other_faults_of_a_request():
    policy = RedactionPolicy(refuse_unmatched=True)
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, redaction=policy)
    request = a_request("", data={"a": 1}, redactedDataPaths=["/event/b"], referenceId="")
    with pytest.raises(InvalidRequest) as refusal:
        tracker.track(request, "key")
    paths = {violation.path for violation in refusal.value.violations}
    assert paths == {"/event", "/redactedDataPaths/0", "/referenceId"}
