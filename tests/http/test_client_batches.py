"""`track_many` of the client: what is sent in batches, and what is made of the answers."""

from __future__ import annotations

import asyncio
import json
from types import MappingProxyType

import httpx
import pytest

from scripted_http import RECEIPT, URL, Script, answer, refusal
from segmentflow_core import ProfileInput, Receipt, TrackRequest
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyKeyRequired,
    IdempotencyKeyReuse,
    InternalError,
    InvalidRequest,
    StorageUnavailable,
    Unauthorized,
)
from segmentflow_core.testing import DOCUMENTED_KEY, DOCUMENTED_REQUEST, a_request
from segmentflow_http import AsgiApp, WsgiApp
from segmentflow_http.client import AsyncClient, Client, Retried, Retries, UnexpectedAnswer

ACCEPTED = {"status": 202, "receipt": RECEIPT}


def results(*items):
    return answer(200, {"results": list(items)})


def refused(error, **more):
    return {"status": error.status, "error": error.envelope(), **more}


@pytest.fixture(params=["sync", "async"])
def track_many(request):
    """Track a batch over a script, in either colour, always pausing as long as allowed."""

    def track_many(script, calls, *, on=None, **options):
        options = {"uniform": lambda _, longest: longest, **options}
        transport = httpx.MockTransport(script)
        if request.param == "sync":
            with httpx.Client(transport=transport) as http:
                client = Client(URL, "sk_test_x", http=http, sleep=script.pauses.append, **options)
                return client.track_many(calls, **(on or {}))

        async def run():
            async with httpx.AsyncClient(transport=transport) as http:
                client = AsyncClient(URL, "sk_test_x", http=http, sleep=script.sleep, **options)
                return await client.track_many(calls, **(on or {}))

        return asyncio.run(run())

    return track_many


def sent(script):
    return [json.loads(request.content)["events"] for request in script.requests]


def test_a_batch_is_sent_as_documented_and_each_result_read(track_many):
    reuse = IdempotencyKeyReuse(
        details={"changedPaths": ["/events/1/data", "/events/1"], "redactedPaths": []}
    )
    invalid = InvalidRequest(details={"violations": [{"path": "/events/2/x", "message": "no"}]})
    script = Script(
        results(
            {**ACCEPTED, "idempotentReplayed": True, "redactionUnmatched": 2},
            refused(reuse, shouldRetry=False),
            refused(invalid, shouldRetry=False),
            {**ACCEPTED, "redactionUnmatched": 1},
        )
    )
    unmatched = []
    typed = TrackRequest("x", ProfileInput(external_id="1", properties=MappingProxyType({"a": 1})))
    calls = [(DOCUMENTED_REQUEST, DOCUMENTED_KEY), (typed, '"k"'), ({}, "2"), (a_request(), "3")]
    told = track_many(script, calls, on_unmatched=unmatched.append)
    (request,) = script.requests
    assert (request.method, str(request.url)) == ("POST", f"{URL}/api/v1/events/batch")
    assert (request.headers["x-api-key"], "idempotency-key" in request.headers) == (
        "sk_test_x",
        False,
    )
    assert sent(script) == [
        [
            {"idempotencyKey": DOCUMENTED_KEY, **DOCUMENTED_REQUEST},
            {
                "idempotencyKey": '"k"',
                "event": "x",
                "profile": {"externalId": "1", "properties": {"a": 1}},
            },
            {"idempotencyKey": "2"},
            {"idempotencyKey": "3", **a_request()},
        ]
    ]
    assert [type(result) for result in told] == [
        Receipt,
        IdempotencyKeyReuse,
        InvalidRequest,
        Receipt,
    ]
    assert (told[0].replayed, told[3].replayed) == (True, False)
    assert told[1].details["changedPaths"] == ["/data", ""]
    assert [violation.path for violation in told[2].violations] == ["/x"]
    assert unmatched == [3]


def test_what_cannot_be_sent_is_refused_in_its_place_and_the_others_sent(track_many):
    script = Script(results(ACCEPTED))
    calls = [
        (a_request(data={"x": {"canary"}}), "1"),
        (a_request(), None),
        (a_request(), " k"),
        (a_request(), "2"),
    ]
    told = track_many(script, calls)
    assert [type(result) for result in told] == [
        InvalidRequest,
        IdempotencyKeyRequired,
        InvalidRequest,
        Receipt,
    ]
    assert [[event["idempotencyKey"] for event in events] for events in sent(script)] == [["2"]]
    assert told[0].__traceback__ is told[0].__context__ is None
    assert track_many(Script(), []) == []


@pytest.mark.parametrize("calls", [None, "ab", 5, [a_request()], [(a_request(),)], {"a": "b"}])
def test_what_is_no_list_of_pairs_is_refused_and_nothing_sent(track_many, calls):
    script = Script(results(ACCEPTED))
    with pytest.raises(ConfigurationError):
        track_many(script, calls)
    assert script.requests == []


def test_events_are_divided_by_number_and_by_bytes(track_many):
    class Counted(Script):
        def __call__(self, request):
            self.requests.append(request)
            return results(*[ACCEPTED] * len(json.loads(request.content)["events"]))

    script = Counted()
    told = track_many(script, [(a_request(), str(number)) for number in range(2001)])
    assert ([len(events) for events in sent(script)], len(told)) == ([1000, 1000, 1], 2001)
    keys = [event["idempotencyKey"] for events in sent(script) for event in events]
    assert keys == [str(number) for number in range(2001)]

    script = Counted()
    calls = [(a_request(data={"x": "y" * size}), str(size)) for size in (100, 100, 900, 10, 10)]
    track_many(script, calls, on={"max_batch_bytes": 700})
    assert [len(events) for events in sent(script)] == [2, 1, 2]
    assert [len(request.content) <= 700 for request in script.requests] == [True, False, True]


def test_a_batch_is_sent_again_while_that_may_help(track_many):
    script = Script(refusal(StorageUnavailable()), results(ACCEPTED, ACCEPTED))
    told = []
    calls = [(a_request(), "1"), (a_request(), "2")]
    assert len(track_many(script, calls, on_retried=told.append)) == 2
    assert told == [Retried(1, "storage_unavailable", 1.25)]
    assert script.requests[0].content == script.requests[1].content


def test_of_a_batch_only_what_may_yet_be_accepted_is_sent_again(track_many):
    busy = refused(StorageUnavailable(), shouldRetry=True)
    broken = refused(InternalError(), shouldRetry=False)
    script = Script(results(busy, ACCEPTED, broken, busy), results(ACCEPTED, busy), results(busy))
    calls = [(a_request(), str(number)) for number in range(4)]
    told = track_many(script, calls, retries=Retries(attempts=3, first_pause=1))
    assert [[event["idempotencyKey"] for event in events] for events in sent(script)] == [
        ["0", "1", "2", "3"],
        ["0", "3"],
        ["3"],
    ]
    assert [type(result) for result in told] == [
        Receipt,
        Receipt,
        InternalError,
        StorageUnavailable,
    ]
    assert script.pauses == [1, 2]


def test_what_hinders_a_batch_as_a_whole_is_told_of_the_calls_behind_it_too(track_many):
    busy = refused(StorageUnavailable(), shouldRetry=True)
    script = Script(results(ACCEPTED, busy), refusal(Unauthorized()))
    calls = [(a_request(data={"x": "y" * 300}), str(number)) for number in range(4)]
    told = track_many(script, calls, on={"max_batch_bytes": 900})
    assert [type(result) for result in told] == [Receipt, Unauthorized, Unauthorized, Unauthorized]
    assert len(script.requests) == 2


@pytest.mark.parametrize(
    "strange",
    [
        httpx.Response(200, text="<html>"),
        answer(200, ["results"]),
        answer(200, {}),
        answer(202, {"results": [ACCEPTED, ACCEPTED]}),
        results(ACCEPTED),
        results(ACCEPTED, ACCEPTED, ACCEPTED),
        results(ACCEPTED, 7),
        results(ACCEPTED, {"status": 202, "receipt": {**RECEIPT, "eventId": 1}}),
        results(ACCEPTED, {"status": 202, "receipt": None}),
        results(ACCEPTED, {"status": 400, "error": {"error": "unheard_of"}}),
        results(ACCEPTED, {"status": 400, "error": Unauthorized().envelope()}),
        results(ACCEPTED, {"status": 401, "error": [1]}),
    ],
)
def test_an_answer_of_something_else_is_not_taken_for_the_services(track_many, strange):
    told = track_many(Script(strange), [(a_request(), "1"), (a_request(), "2")])
    assert [type(result) for result in told] == [UnexpectedAnswer, UnexpectedAnswer]


def test_an_error_keeps_whatever_else_its_details_hold(track_many):
    odd = InvalidRequest(details={"violations": [7, {"path": 7}], "changedPaths": [7], "more": "x"})
    (told,) = track_many(Script(results(refused(odd))), [(a_request(), "1")])
    assert told.details == odd.details


def test_the_client_and_the_endpoint_understand_each_other(endpoint, async_endpoint, secret):
    calls = [
        (DOCUMENTED_REQUEST, DOCUMENTED_KEY),
        ({**DOCUMENTED_REQUEST, "event": "x"}, DOCUMENTED_KEY),
        ({"event": "x", "idempotencyKey": "twice"}, "1"),
        ([], "2"),
    ]
    with httpx.Client(transport=httpx.WSGITransport(WsgiApp(endpoint))) as http:
        told = Client(URL, secret, http=http).track_many(calls)
    assert told[1].details["changedPaths"] == ["/event"]
    assert {violation.path for violation in told[2].violations} == {"/idempotencyKey", "/profile"}
    assert isinstance(told[3], InvalidRequest)

    async def again():
        transport = httpx.ASGITransport(AsgiApp(async_endpoint))
        async with httpx.AsyncClient(transport=transport) as http:
            return await AsyncClient(URL, secret, http=http).track_many(calls)

    replay = asyncio.run(again())
    assert replay[0] == told[0]
    assert (told[0].replayed, replay[0].replayed) == (False, True)
    assert [error.details for error in replay[1:]] == [error.details for error in told[1:]]


def test_what_is_not_json_is_not_sent_and_named_by_its_path(track_many):
    script = Script(results(ACCEPTED))
    told, receipt = track_many(script, [(a_request(data={"x": {1}}), "1"), (a_request(), "2")])
    assert [each.path for each in told.violations] == ["/data/x"]
    assert type(receipt) is Receipt
    assert sent(script) == [[{"idempotencyKey": "2", **a_request()}]]
