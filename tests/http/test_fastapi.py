"""The routes of a FastAPI app: the endpoint's answers, in the host's own documentation."""

from __future__ import annotations

import asyncio
import json
import logging
import runpy
import threading
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI
from openapi_spec_validator import validate
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, create_engine, event, insert

from segmentflow_core import Tracker
from segmentflow_core.errors import IdentityConflict, StorageUnavailable
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET
from segmentflow_http.fastapi import answer_errors, events_router
from segmentflow_sql import SqlStorage

EXAMPLE = Path(__file__).parents[2] / "examples" / "order_with_fastapi.py"
BODY = json.dumps(DOCUMENTED_REQUEST).encode()
EVENTS = "/shops/eu/api/v1/events"
PLACES = {"/healthz", "/livez", "/readyz"}


def asked(app, method, path, **more):
    """Ask an app over HTTP, with its lifespan around."""

    async def ask():
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
                return await client.request(method, path, **more)

    return asyncio.run(ask())


@pytest.fixture(params=["sync", "async"])
def either(request, endpoint, async_endpoint):
    return endpoint if request.param == "sync" else async_endpoint


@pytest.fixture
def app(either):
    app = FastAPI()
    app.include_router(events_router(either), prefix="/shops/{shop}")
    answer_errors(app, either)
    return app


def test_the_documented_request_is_accepted_and_replayed_to_the_byte(app, headers):
    first = asked(app, "POST", EVENTS, headers=headers, content=BODY)
    again = asked(app, "POST", EVENTS, headers=headers, content=BODY)
    assert (first.status_code, first.headers["x-request-id"]) == (202, "r-1")
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotent-replayed"] == "true"


def test_what_was_recorded_is_read_by_its_id_and_by_query(app, headers, api_keys):
    tracked = asked(app, "POST", EVENTS, headers=headers, content=BODY).json()
    reader = {"x-api-key": api_keys.create(["events:read", "profiles:read"]).secret}
    profile_id = tracked["profileId"]
    for path in (
        f"/shops/eu/api/v1/profiles/{profile_id}",
        "/shops/eu/api/v1/profiles?email=alex@example.com",
    ):
        assert asked(app, "GET", path, headers=reader).json()["profileId"] == profile_id
    path = f"{EVENTS}/{tracked['eventId']}"
    assert asked(app, "GET", path, headers=reader).json()["event"] == "order.created"
    assert asked(app, "HEAD", path, headers=reader).content == b""


@pytest.mark.parametrize(
    ("asking", "changed", "refused"),
    [
        (("POST", EVENTS, BODY), {"x-api-key": "sk_live_nobody"}, (401, "unauthorized")),
        (("POST", EVENTS, b'{"event": 1}'), {}, (400, "invalid_request")),
        (("POST", EVENTS, b" " * 300_000), {}, (413, "payload_too_large")),
        (("POST", EVENTS, BODY), {"content-type": "text/plain"}, (415, "unsupported_media_type")),
        (("PUT", EVENTS, BODY), {}, (405, "method_not_allowed")),
        (("GET", f"{EVENTS}/batch", b""), {}, (405, "method_not_allowed")),
        (("GET", f"{EVENTS}/none", b""), {}, (403, "insufficient_scope")),
    ],
)
def test_a_refusal_is_the_endpoints(app, headers, asking, changed, refused):
    method, path, body = asking
    answer = asked(app, method, path, headers={**headers, **changed}, content=body)
    assert (answer.status_code, answer.json()["error"]) == refused
    assert answer.headers["x-request-id"] == "r-1"


def test_the_apps_own_document_has_every_route_with_its_bodies_and_errors(either):
    app = FastAPI()
    app.include_router(events_router(either), prefix="/tracking")
    document = asked(app, "GET", "/openapi.json").json()
    validate(document)
    ours = {f"/tracking{path}" for path in {*either.openapi["paths"]} - PLACES}
    assert set(document["paths"]) == ours - {"/tracking/openapi.json"}
    post = document["paths"]["/tracking/api/v1/events"]["post"]
    assert post["security"] == [{"apiKey": []}]
    body = post["requestBody"]["content"]["application/json"]
    assert (body["example"], body["schema"]["title"]) == (DOCUMENTED_REQUEST, "TrackRequest")
    assert set(body["schema"]["properties"]) >= {"event", "profile", "data", "redactedDataPaths"}
    assert set(post["responses"]) >= {"202", "400", "401", "403", "409", "413", "415", "422", "503"}
    assert "$ref" not in json.dumps(document)


def the_shop(shop: str) -> str:
    return shop


def test_a_prefix_with_a_parameter_is_documented_by_a_dependency_that_takes_it(endpoint, headers):
    app = FastAPI()
    takes_shop = [Depends(the_shop)]
    app.include_router(events_router(endpoint), prefix="/shops/{shop}", dependencies=takes_shop)
    document = asked(app, "GET", "/openapi.json").json()
    validate(document)
    for operations in document["paths"].values():
        for operation in operations.values():
            assert ("path", "shop") in {
                (each["in"], each["name"]) for each in operation["parameters"]
            }
    assert asked(app, "POST", EVENTS, headers=headers, content=BODY).status_code == 202


def operation_ids(app):
    paths = asked(app, "GET", "/openapi.json").json()["paths"].values()
    return [operation["operationId"] for each in paths for operation in each.values()]


def test_operations_have_the_ids_of_the_endpoints_document(endpoint):
    app = FastAPI()
    app.include_router(events_router(endpoint))
    described = endpoint.openapi["paths"].items()
    ours = {
        operation["operationId"]
        for path, operations in described
        if path not in {*PLACES, "/openapi.json"}
        for operation in operations.values()
    }
    assert set(operation_ids(app)) == ours


@pytest.mark.parametrize("place", ["app", "include"])
def test_the_hosts_own_ids_of_operations_tell_two_routers_apart(endpoint, place):
    def by_path(route):
        return route.path_format.strip("/") + "-" + route.name

    own = {"generate_unique_id_function": by_path}
    app = FastAPI(**own) if place == "app" else FastAPI()
    for prefix in ("/eu", "/us"):
        included = own if place == "include" else {}
        app.include_router(events_router(endpoint), prefix=prefix, **included)
    ids = operation_ids(app)
    assert len(set(ids)) == len(ids)
    assert "us/api/v1/events-trackEvent" in ids


@pytest.mark.parametrize("path", sorted(PLACES))
def test_health_is_a_route_where_it_is_asked_for(endpoint, path):
    app = FastAPI()
    app.include_router(events_router(endpoint, health=True))
    assert asked(app, "GET", path).json() == {"status": "ok"}
    assert path in asked(app, "GET", "/openapi.json").json()["paths"]


def test_the_hosts_own_routes_answer_errors_as_the_endpoint_does(app, caplog):
    @app.get("/conflict")
    def conflict():
        raise IdentityConflict

    @app.get("/away")
    async def away():
        raise StorageUnavailable(details={"at": "canary"}) from ValueError("canary")

    headers = {"x-request-id": "r-2"}
    answer = asked(app, "GET", "/conflict", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (409, "identity_conflict")
    assert (answer.headers["x-should-retry"], answer.headers["x-request-id"]) == ("false", "r-2")
    with caplog.at_level(logging.INFO, "segmentflow.http"):
        answer = asked(app, "GET", "/away", headers=headers)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "true")
    assert "retry-after" in answer.headers
    # Those of a client are no matter of ours.
    ours = [each for each in caplog.records if each.name.startswith("segmentflow")]
    (line,) = [record.getMessage() for record in ours]
    assert "r-2" in line
    assert "canary" not in line


def test_the_threads_of_a_router_end_with_the_app(endpoint, headers):
    before = set(threading.enumerate())
    app = FastAPI()
    app.include_router(events_router(endpoint))
    assert asked(app, "POST", "/api/v1/events", headers=headers, content=BODY).status_code == 202
    left = {*threading.enumerate()} - before
    assert not [thread for thread in left if thread.name.startswith("segmentflow")]


# --- the host's transaction ---------------------------------------------------------------------


@pytest.fixture
def example(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_STORE", f"sqlite:///{tmp_path / 'shop.db'}")
    return runpy.run_path(str(EXAMPLE))


def test_the_example_commits_an_order_with_its_event_before_it_answers(example):
    app, engine = example["app"], example["engine"]
    answer = asked(app, "POST", "/orders?total=49")
    assert answer.status_code == 201
    storage = SqlStorage(engine)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    assert [e.event_id for e in tracker.records.events()] == [answer.json()["eventId"]]
    document = asked(app, "GET", "/openapi.json").json()
    assert {"/orders", "/tracking/api/v1/events"} <= set(document["paths"])
    storage.close()


@pytest.mark.parametrize(
    ("scope", "status"), [("function", 500), ("request", 200)], ids=["safe", "trap"]
)
def test_a_commit_that_fails_is_heard_of_only_where_it_comes_before_the_answer(
    tmp_path, scope, status
):
    """FastAPI ends a dependency after the answer unless its scope is the function."""
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")

    @event.listens_for(engine, "connect")
    def enforce(connection, _record):
        connection.execute("PRAGMA foreign_keys = ON")

    shop = MetaData()
    customers = Table("customer", shop, Column("id", Integer, primary_key=True))
    reference = ForeignKey(customers.c.id, deferrable=True, initially="DEFERRED")
    orders = Table("orders", shop, Column("customer", Integer, reference))
    shop.create_all(engine)
    storage = SqlStorage(engine)
    storage.create_all()

    def in_transaction():
        with engine.begin() as connection:
            yield connection

    def place_order(connection):
        connection.execute(insert(orders).values(customer=7))  # there is no such customer
        tracker = Tracker(SqlStorage.bound_to(connection), fingerprint_key=FINGERPRINT_SECRET)
        return tracker.track(DOCUMENTED_REQUEST, "key").event_id

    app = FastAPI()
    place_order.__annotations__["connection"] = Annotated[
        object, Depends(in_transaction, scope=scope)
    ]
    app.post("/orders")(place_order)
    answer = asked(app, "POST", "/orders")
    assert answer.status_code == status
    assert Tracker(storage, fingerprint_key=FINGERPRINT_SECRET).records.events() == []
    storage.close()
