from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from functools import partial
from types import MappingProxyType

import httpx
import pytest

from scripted_http import RECEIPT, URL, Script, answer, refusal
from segmentflow_core import ProfileInput, TrackRequest
from segmentflow_core.errors import (
    ERROR_CLASSES,
    ConfigurationError,
    IdempotencyInProgress,
    IdempotencyKeyRequired,
    IdempotencyKeyReuse,
    InternalError,
    InvalidRequest,
    PayloadTooLarge,
    StorageUnavailable,
    Unauthorized,
)
from segmentflow_core.testing import DOCUMENTED_KEY, DOCUMENTED_REQUEST, a_request
from segmentflow_http import AsgiApp, WsgiApp
from segmentflow_http.client import (
    AsyncClient,
    Client,
    Retried,
    Retries,
    UnexpectedAnswer,
    Unreachable,
)
from segmentflow_http.messages import idempotency_key


@pytest.fixture(params=["sync", "async"])
def track(request):
    """Track over a script, in either colour, always pausing as long as allowed."""

    def track(script, *arguments, generate_key=False, **options):
        options = {"uniform": lambda _, longest: longest, **options}
        transport = httpx.MockTransport(script)
        if request.param == "sync":
            with httpx.Client(transport=transport) as http:
                client = Client(URL, "sk_test_x", http=http, sleep=script.pauses.append, **options)
                return client.track(*arguments, generate_key=generate_key)

        async def run():
            async with httpx.AsyncClient(transport=transport) as http:
                client = AsyncClient(URL, "sk_test_x", http=http, sleep=script.sleep, **options)
                return await client.track(*arguments, generate_key=generate_key)

        return asyncio.run(run())

    return track


def test_a_receipt_is_read_and_the_request_sent_as_documented(track):
    script = Script(answer(202, RECEIPT))
    receipt = track(script, DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    assert (receipt.event_id, receipt.profile_id, receipt.replayed) == ("e", "p", False)
    assert (receipt.matched_journeys, receipt.enrolled_journeys, receipt.skipped_journeys) == (
        3,
        2,
        1,
    )
    (sent,) = script.requests
    assert (sent.method, str(sent.url)) == ("POST", f"{URL}/api/v1/events")
    assert json.loads(sent.content) == DOCUMENTED_REQUEST
    assert sent.headers["x-api-key"] == "sk_test_x"
    assert sent.headers["idempotency-key"] == DOCUMENTED_KEY
    assert sent.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("key", "sent"), [('"', '"'), ('""', '""""'), ('"k"', '""k""'), ('"k', '"k'), ('k"', 'k"')]
)
def test_a_key_in_quotes_is_sent_in_another_pair(track, key, sent):
    script = Script(answer(202, RECEIPT))
    track(script, DOCUMENTED_REQUEST, key)
    assert script.requests[0].headers["idempotency-key"] == sent
    assert idempotency_key({"idempotency-key": sent}) == key


@pytest.mark.parametrize("key", [b"key", 5, ["key"]])
def test_a_key_that_is_no_string_is_told(track, key):
    with pytest.raises(InvalidRequest) as refused:
        track(Script(answer(202, RECEIPT)), DOCUMENTED_REQUEST, key)
    assert [violation.path for violation in refused.value.violations] == ["/idempotencyKey"]


@pytest.mark.parametrize(
    ("told", "count"),
    [("3", [3]), (None, []), ("0", []), ("-1", []), ("x", []), (b"\xb2", []), ("9" * 5000, [])],
)
def test_paths_that_name_nothing_are_told(track, told, count):
    headers = {} if told is None else {"redaction_unmatched": told}
    heard = []
    script = Script(answer(202, RECEIPT, **headers))
    assert track(script, a_request(), "1", on_unmatched=heard.append).event_id == "e"
    assert heard == count
    track(script, a_request(), "1")


def test_a_typed_request_is_sent_with_the_wires_names(track):
    script = Script(answer(202, RECEIPT, idempotent_replayed="true"))
    request = TrackRequest(
        "order.created",
        ProfileInput(email="a@example.com", properties=MappingProxyType({"plan": None})),
        redacted_data_paths=("/event/x",),
        occurred_at=datetime(2026, 5, 31, 12, tzinfo=UTC),
    )
    assert track(script, request, "1").replayed
    assert json.loads(script.requests[0].content) == {
        "event": "order.created",
        "profile": {"email": "a@example.com", "properties": {"plan": None}},
        "redactedDataPaths": ["/event/x"],
        "occurredAt": "2026-05-31T12:00:00.000Z",
    }


@pytest.mark.parametrize(
    "failure",
    [
        refusal(StorageUnavailable()),
        refusal(IdempotencyInProgress()),
        refusal(InternalError()),
        answer(408),
        answer(429),
        answer(500),
        answer(502),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
    ],
)
def test_what_may_yet_succeed_is_sent_again_under_the_same_key(track, failure):
    script = Script(failure, failure, answer(202, RECEIPT))
    assert track(script, a_request(), "key").event_id == "e"
    assert [sent.headers["idempotency-key"] for sent in script.requests] == ["key"] * 3
    assert len({sent.content for sent in script.requests}) == 1


@pytest.mark.parametrize(
    "cls", [cls for cls in ERROR_CLASSES if cls.should_retry is False], ids=lambda cls: cls.code
)
def test_a_refusal_is_raised_by_its_code_and_not_repeated(track, cls):
    script = Script(refusal(cls("said so", details={"changedPaths": ["/x"]})))
    with pytest.raises(cls) as raised:
        track(script, a_request(), "key")
    assert type(raised.value) is cls
    assert (raised.value.message, raised.value.details) == ("said so", {"changedPaths": ["/x"]})
    assert len(script.requests) == 1


def test_what_the_service_says_about_retrying_counts_more_than_the_status(track):
    script = Script(answer(503, x_should_retry="false"))
    with pytest.raises(UnexpectedAnswer):
        track(script, a_request(), "key")
    assert len(script.requests) == 1
    script = Script(answer(400, x_should_retry="true"), answer(202, RECEIPT))
    track(script, a_request(), "key")
    assert len(script.requests) == 2


def test_pauses_double_up_to_the_longest(track):
    script = Script(answer(500))
    retries = Retries(attempts=6, first_pause=1, longest_pause=5)
    with pytest.raises(UnexpectedAnswer) as raised:
        track(script, a_request(), "key", retries=retries)
    assert raised.value.details == {"status": 500}
    assert script.pauses == [1, 2, 4, 5, 5]
    assert len(script.requests) == 6


def test_retry_after_is_honoured_and_a_little_more(track):
    soon = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    script = Script(
        answer(503, retry_after="7"),
        answer(503, retry_after=soon),
        answer(503, retry_after="Thu, 01 Jan 2026 00:00:00 -0000"),
        answer(503, retry_after="whenever"),
        answer(202, RECEIPT),
    )
    track(script, a_request(), "key", retries=Retries(first_pause=0.5))
    assert script.pauses == [7.5, 0.5, 0.5, 4]


def test_a_service_that_asks_for_too_long_a_wait_is_not_waited_for(track):
    script = Script(answer(503, retry_after="3600"))
    with pytest.raises(UnexpectedAnswer):
        track(script, a_request(), "key")
    assert script.pauses == []


def test_a_service_out_of_reach_is_an_error_of_its_own(track):
    script = Script(httpx.ConnectError("canary"))
    with pytest.raises(Unreachable) as raised:
        track(script, a_request(), "key", retries=Retries(attempts=2))
    assert len(script.requests) == 2
    assert "canary" not in str(raised.value.envelope())


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_page_of_a_proxy_that_may_pass_says_to_try_again(track, status):
    script = Script(httpx.Response(status, html="<html>canary</html>"))
    with pytest.raises(UnexpectedAnswer) as raised:
        track(script, a_request(), "key", retries=Retries(attempts=2))
    assert (raised.value.should_retry, raised.value.details) == (True, {"status": status})
    assert len(script.requests) == 2
    assert "canary" not in str(raised.value.envelope())


@pytest.mark.parametrize("status", [200, 302, 404])
def test_a_page_of_something_else_is_not_asked_for_again(track, status):
    script = Script(httpx.Response(status, html="<html>"))
    with pytest.raises(UnexpectedAnswer) as raised:
        track(script, a_request(), "key")
    assert (raised.value.should_retry, len(script.requests)) == (None, 1)


def test_an_answer_that_cannot_be_unpacked_is_asked_for_again(track):
    class Mangled(Script):
        def __call__(self, request):
            self.requests.append(request)
            packed = {"content-encoding": "gzip"}
            return httpx.Response(202, headers=packed, stream=httpx.ByteStream(b"canary"))

    script = Mangled()
    with pytest.raises(UnexpectedAnswer) as raised:
        track(script, a_request(), "key", retries=Retries(attempts=3))
    assert (raised.value.should_retry, len(script.requests)) == (True, 3)
    assert raised.value.__cause__ is raised.value.__context__ is None


@pytest.mark.parametrize("status", [200, 202, 400, 503])
def test_an_answer_nested_too_deep_to_read_is_not_the_services(track, status):
    for text in ("[" * 100_000, '{"error":' * 100_000):
        script = Script(httpx.Response(status, text=text))
        with pytest.raises(UnexpectedAnswer) as raised:
            track(script, a_request(), "key", retries=Retries(attempts=1))
        assert raised.value.__context__ is None


@pytest.mark.parametrize("failure", [httpx.TooManyRedirects("x"), httpx.UnsupportedProtocol("x")])
def test_what_no_further_attempt_can_change_is_not_tried_again(track, failure):
    script = Script(failure)
    with pytest.raises(UnexpectedAnswer) as raised:
        track(script, a_request(), "key")
    assert (raised.value.should_retry, len(script.requests)) == (None, 1)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "canary.example.com",
        "//canary.example.com",
        "ftp://canary",
        "http://",
        "http://[canary",
        "http://canary:99999",
        "http://canary:x",
        "http://can ary",
        "http://canary..com",
        "http://canary\n",
        f"http://{'canary' * 11}.com",
        "https://canary/?x=1",
        "https://canary/#x",
        "https://canary/?",
        "https://canary/#",
        b"https://canary",
    ],
)
def test_what_cannot_be_the_address_of_a_service_is_refused_when_given(url):
    for kind in (Client, AsyncClient):
        with pytest.raises(ConfigurationError) as raised:
            kind(url, "sk_test_x")
        assert "canary" not in str(raised.value)
        assert raised.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://events.test", "http://events.test"),
        ("HTTP://EVENTS.test:8000/", "http://events.test:8000"),
        ("https://events.test/behind/a/proxy//", "https://events.test/behind/a/proxy"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://10.0.0.1", "http://10.0.0.1"),
        ("http://b\u00fccher.test", "http://xn--bcher-kva.test"),
    ],
)
def test_the_events_are_below_the_address(url, sent):
    script = Script(answer(202, RECEIPT))
    with httpx.Client(transport=httpx.MockTransport(script)) as http:
        Client(url, "sk_test_x", http=http).track(a_request(), "key")
    assert script.requests[0].url == httpx.URL(f"{sent}/api/v1/events")


@pytest.mark.parametrize(
    "strange",
    [
        httpx.Response(202, text="<html>"),
        answer(202, {**RECEIPT, "matchedJourneys": True}),
        answer(202, {**RECEIPT, "eventId": 1}),
        answer(202, {**RECEIPT, "matchedJourneys": None}),
        answer(200, RECEIPT),
        answer(404, {"error": "unheard_of", "message": "", "details": {}}),
        answer(404, {"error": "unauthorized", "message": "", "details": {}}),
        answer(401, {"error": "unauthorized", "message": "", "details": []}),
        answer(301, location="http://elsewhere.test"),
        answer(400, ["no", "object"]),
    ],
)
def test_an_answer_of_something_else_is_not_taken_for_the_services(track, strange):
    with pytest.raises(UnexpectedAnswer):
        track(Script(strange), a_request(), "key")


def test_a_key_is_generated_when_asked_and_only_then(track):
    script = Script(answer(500), answer(202, RECEIPT))
    track(script, a_request(), generate_key=True)
    first, second = (sent.headers["idempotency-key"] for sent in script.requests)
    assert first == second
    script = Script(answer(202, RECEIPT))
    track(script, a_request(), generate_key=True)
    assert script.requests[0].headers["idempotency-key"] != first
    with pytest.raises(IdempotencyKeyRequired):
        track(script, a_request())
    assert len(script.requests) == 1


@pytest.mark.parametrize("key", [" key", "key ", "kéy", "k" * 256, "a\nb"])
def test_a_key_that_http_cannot_carry_is_refused_before_it_is_sent(track, key):
    script = Script(answer(202, RECEIPT))
    with pytest.raises(InvalidRequest):
        track(script, a_request(), key)
    assert script.requests == []


@pytest.mark.parametrize(
    "value",
    [float("nan"), {"canary"}, datetime(2026, 1, 1), b"canary", "\ud800"],  # noqa: DTZ001
)
def test_what_is_not_json_is_refused_without_showing_it(track, value):
    with pytest.raises(InvalidRequest) as raised:
        track(Script(answer(202, RECEIPT)), a_request(data={"x": value}), "key")
    assert raised.value.__cause__ is raised.value.__context__ is None


def test_what_is_not_json_is_named_by_its_path_as_the_library_names_it(track, tracker):
    when = datetime(2026, 5, 31, tzinfo=UTC)
    data = {"when": when, 1: "canary", "a": {"b": Decimal(1)}, "list": [float("inf")], "n": None}
    request = a_request(data=data)
    told = []
    for call in (partial(track, Script(answer(202, RECEIPT))), tracker.track):
        with pytest.raises(InvalidRequest) as raised:
            call(request, "key")
        told.append(raised.value.violations)
    assert told[0] == told[1]
    assert [each.path for each in told[0]] == ["/data/when", "/data", "/data/a/b", "/data/list/0"]


@pytest.mark.parametrize("moment", [datetime(2026, 5, 31, 12, tzinfo=UTC), None])
def test_a_mapping_may_say_when_it_happened_as_a_request_does(track, moment):
    script = Script(answer(202, RECEIPT))
    track(script, a_request(occurredAt=moment) if moment else a_request(), "key")
    sent = json.loads(script.requests[0].content)
    assert sent.get("occurredAt") == ("2026-05-31T12:00:00.000Z" if moment else None)
    with pytest.raises(InvalidRequest) as raised:
        track(script, a_request(occurredAt=datetime(2026, 5, 31)), "key")  # noqa: DTZ001
    assert [each.path for each in raised.value.violations] == ["/occurredAt"]


def test_what_no_service_takes_is_not_sent(track):
    script = Script(answer(202, RECEIPT))
    shared = "x" * 1024 * 1024
    with pytest.raises(PayloadTooLarge):
        track(script, a_request(data={"items": [shared] * 65}), "key")
    assert script.requests == []


def test_a_key_is_given_or_made_and_not_both(track):
    script = Script(answer(202, RECEIPT))
    with pytest.raises(ConfigurationError):
        track(script, a_request(), "key", generate_key=True)
    assert script.requests == []


def test_each_retry_is_told(track):
    told = []
    script = Script(refusal(StorageUnavailable()), answer(202, RECEIPT))
    track(script, a_request(), "key", on_retried=told.append)
    assert told == [Retried(1, "storage_unavailable", 1.25)]


def test_settings_are_checked():
    for wrong in (
        {"attempts": 0},
        {"attempts": "3"},
        {"attempts": 2.5},
        {"first_pause": -1},
        {"first_pause": "1"},
        {"longest_pause": float("inf")},
    ):
        with pytest.raises(ConfigurationError):
            Retries(**wrong)
    for wrong in (
        {"retries": 3},
        {"retries": None},
        {"timeout": "1"},
        {"timeout": 0},
        {"http": object()},
    ):
        for kind in (Client, AsyncClient):
            with pytest.raises(ConfigurationError):
                kind(URL, "sk_test_x", **wrong)
    for key in ("", "sk canary", "sk_é", None, b"sk_test_x", 5):
        with pytest.raises(ConfigurationError) as raised:
            Client(URL, key)
        assert "canary" not in str(raised.value)


def test_the_client_and_the_endpoint_understand_each_other(endpoint, async_endpoint, secret):
    with httpx.Client(transport=httpx.WSGITransport(WsgiApp(endpoint))) as http:
        client = Client(URL, secret, http=http)
        first = client.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        with pytest.raises(IdempotencyKeyReuse) as conflict:
            client.track({**DOCUMENTED_REQUEST, "event": "x"}, DOCUMENTED_KEY)
    assert conflict.value.details["changedPaths"] == ["/event"]

    async def again():
        transport = httpx.ASGITransport(AsgiApp(async_endpoint))
        async with httpx.AsyncClient(transport=transport) as http:
            async with AsyncClient(URL, secret, http=http) as client:
                receipt = await client.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
            with pytest.raises(Unauthorized):
                await AsyncClient(URL, "wk_public", http=http).track(a_request(), "1")
            return receipt

    replay = asyncio.run(again())
    assert replay == first
    assert (first.replayed, replay.replayed) == (False, True)


def test_a_client_closes_the_connections_that_are_its_own():
    with Client(URL, "sk_test_x") as client:
        pass
    with pytest.raises(RuntimeError):
        client.track(a_request(), "key")

    async def run():
        async with AsyncClient(URL, "sk_test_x") as client:
            pass
        with pytest.raises(RuntimeError):
            await client.track(a_request(), "key")

    asyncio.run(run())
