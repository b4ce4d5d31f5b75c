from __future__ import annotations

import json

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from segmentflow_core import Limits
from segmentflow_core.testing import DOCUMENTED_KEY, DOCUMENTED_REQUEST, a_request, json_objects
from segmentflow_core.wire import request_json_schema
from segmentflow_http import openapi, openapi_document
from segmentflow_http.routes import ERRORS, ROUTES

DOCUMENT = openapi_document(Limits())
OPERATION = DOCUMENT["paths"]["/api/v1/events"]["post"]


def valid(request):
    return Draft202012Validator(request_json_schema()).is_valid(request)


def test_the_document_is_valid_openapi_3_1():
    assert DOCUMENT["openapi"] == "3.1.0"
    validate(DOCUMENT)


def test_it_is_served_as_it_is_made(call):
    assert json.loads(call("GET", "/openapi.json", {}, b"").body) == DOCUMENT


def test_every_route_is_in_it():
    found = {
        (method.upper(), path, operation["operationId"])
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
    }
    assert found == {(route.method, route.path, route.operation_id) for route in ROUTES}


def test_the_headers_of_an_answer_that_accepts_are_in_it():
    headers = OPERATION["responses"]["202"]["headers"]
    assert set(headers) == {"idempotent-replayed", "redaction-unmatched", "x-request-id"}
    assert headers.keys() <= DOCUMENT["components"]["headers"].keys()


def test_every_error_of_the_table_is_an_example_under_its_status():
    found = {
        (int(status), code)
        for status, answer in OPERATION["responses"].items()
        for code in answer["content"]["application/json"].get("examples", {})
    }
    elsewhere = {"not_found", "method_not_allowed"}
    assert found == {(c.status, c.code) for c in ERRORS if c.code not in elsewhere}
    codes = DOCUMENT["components"]["schemas"]["Error"]["properties"]["error"]["enum"]
    assert set(codes) == {c.code for c in ERRORS}


def test_the_examples_keep_their_own_schemas():
    schemas = DOCUMENT["components"]["schemas"]
    error = Draft202012Validator(schemas["Error"])
    for answer in OPERATION["responses"].values():
        for example in answer["content"]["application/json"].get("examples", {}).values():
            error.validate(example["value"])
    Draft202012Validator(schemas["Receipt"]).validate(openapi.DOCUMENTED_RECEIPT)
    assert OPERATION["requestBody"]["content"]["application/json"]["example"] == DOCUMENTED_REQUEST
    assert OPERATION["parameters"][0]["example"] == DOCUMENTED_KEY
    assert valid(DOCUMENTED_REQUEST)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        a_request(""),
        a_request("x" * 256),
        a_request("\0"),
        a_request(profile={}),
        a_request(profile={"email": "nobody"}),
        a_request(profile={"email": "a@example.com", "name": "A"}),
        a_request(data=[]),
        a_request(redactedDataPaths="/event/x"),
        *(
            a_request(redactedDataPaths=[path])
            for path in ("/event", "/eventual/x", "#/event/x", "event/x", "/event/~2", "/profile/x")
        ),
        a_request(redactedDataPath=["/event/x"]),
        a_request(referenceId=1),
        a_request(occurredAt=None),
    ],
)
def test_what_the_schema_refuses_is_refused(post, request_):
    assert not valid(request_)
    assert post(request_).status == 400


@pytest.mark.parametrize("number", ["1e300", "-1e19", "18446744073709551615", "1e-300", "-0.0"])
def test_a_number_that_is_admitted_is_allowed(endpoint, headers, number):
    document = a_request(data={"number": json.loads(number)})
    assert valid(document)
    body = json.dumps(a_request(data={"number": "NUMBER"})).replace('"NUMBER"', number)
    assert number in body
    assert endpoint("POST", "/api/v1/events", headers, body.encode()).status == 202


@given(data=json_objects(), properties=json_objects())
def test_what_the_tracker_admits_the_schema_allows(data, properties):
    profile = {"email": "a@example.com", "properties": properties}
    assert valid(a_request(data=data, profile=profile, redactedDataPaths=["/event/", "/event/~01"]))
