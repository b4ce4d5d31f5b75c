"""A key of one Organization sees and changes nothing of another's: every route, every id."""

from __future__ import annotations

import json
import re

import pytest
from attrs import frozen

from segmentflow_core.domain.api_key import SCOPES
from segmentflow_core.testing import DOCUMENTED_KEY, DOCUMENTED_REQUEST, a_journey, a_request
from segmentflow_http import Response
from segmentflow_http.routes import EVENTS, ROUTES

THEIRS = "acme"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
KINDS = ("event", "profile", "enrollment", "journey", "api_key", "organization")
DOCUMENTED_BODY = json.dumps(DOCUMENTED_REQUEST).encode()


@pytest.fixture
def read_all(tracker, api_keys):
    """Read all that an Organization has."""

    def read_all(organization_id):
        whose = {"organization_id": organization_id}
        events = list(tracker.records.events(**whose))
        return {
            "events": events,
            "profiles": [tracker.records.profile(event.profile_id, **whose) for event in events],
            "enrollments": list(tracker.enrollments.list(**whose)),
            "journeys": list(tracker.journeys.list(**whose)),
            "api keys": list(api_keys.list(**whose)),
        }

    return read_all


@frozen
class Theirs:
    """What the other Organization has: its ids by kind, and the answer to its own request."""

    ids: dict[str, str]
    answer: Response
    send_again: object

    def is_hidden_from(self, response):
        shown = repr((response.headers, response.body))
        return not any(name in shown for name in self.ids.values())


@pytest.fixture
def theirs(call, headers, tracker, api_keys, read_all):
    """Let the other Organization record the documented request; check that all of it stays."""
    journey = a_journey("their-journey", reentry={"policy": "once"})
    tracker.journeys.publish({"journeys": [journey]}, organization_id=THEIRS)
    secret = api_keys.create(["events:write"], organization_id=THEIRS).secret

    def send():
        own = {**headers, "x-api-key": secret}
        return call(EVENTS.method, EVENTS.path, own, DOCUMENTED_BODY)

    answer = send()
    before = read_all(THEIRS)
    (event,), (enrollment,) = before["events"], before["enrollments"]
    ids = {
        "event": event.event_id,
        "profile": event.profile_id,
        "enrollment": enrollment.enrollment_id,
        "journey": enrollment.journey_id,
        "api_key": before["api keys"][0].key_id,
        "organization": THEIRS,
    }
    yield Theirs(ids, answer, send)
    assert read_all(THEIRS) == before


@pytest.fixture
def may_all(headers, api_keys):
    """Give headers with a key of ours that has every scope."""
    return {**headers, "x-api-key": api_keys.create([*SCOPES]).secret}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation_id)
@pytest.mark.parametrize("kind", KINDS)
def test_no_route_shows_or_changes_what_an_id_of_theirs_names(call, may_all, theirs, route, kind):
    name = theirs.ids[kind]
    asking = {**may_all, "x-organization": THEIRS, "organization-id": THEIRS, "x-id": name}
    path = re.sub(r"\{\w+\}", name, route.path)
    naming = json.dumps({"id": name, "organizationId": THEIRS, **DOCUMENTED_REQUEST}).encode()
    answered = set()
    named = [path] if "{" in route.path else []
    for place in (*named, f"{path}/{name}", f"{path}?id={name}&organization={THEIRS}"):
        for method in METHODS:
            for body in (DOCUMENTED_BODY, naming):
                response = call(method, place, asking, body)
                assert theirs.is_hidden_from(response)
                assert "idempotent-replayed" not in response.headers
                answered.add(response.status)
    assert ({404} if "{" in route.path else {200, 202, 400}) & answered


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_of_theirs_in_a_request_is_nothing_but_a_value(post, theirs, kind):
    name = theirs.ids[kind]
    response = post(
        a_request(
            name,
            profile={"email": f"{name}@example.com", "externalId": name},
            data={"id": name},
            referenceId=name,
        ),
        idempotency_key=name,
    )
    assert response.status == 202
    assert theirs.is_hidden_from(response)


@pytest.mark.parametrize("change", [{}, {"event": "order.paid"}], ids=["same", "changed"])
def test_their_idempotency_key_is_free_to_us(post, theirs, read_all, change):
    response = post({**DOCUMENTED_REQUEST, **change}, idempotency_key=DOCUMENTED_KEY)
    receipt = json.loads(response.body)
    assert (response.status, receipt["matchedJourneys"]) == (202, 0)
    assert "idempotent-replayed" not in response.headers
    assert theirs.is_hidden_from(response)
    assert [event.event_id for event in read_all("default")["events"]] == [receipt["eventId"]]


def test_their_idempotency_key_still_replays_their_receipt_to_them(post, theirs):
    post({**DOCUMENTED_REQUEST, "event": "order.paid"}, idempotency_key=DOCUMENTED_KEY)
    again = theirs.send_again()
    assert (again.status, again.body) == (202, theirs.answer.body)
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    "profile",
    [
        {"email": "alex@example.com", "properties": {"plan": "Free", "firstName": None}},
        {"email": "other@example.com", "externalId": "cus_123"},
    ],
)
def test_their_profile_is_neither_found_nor_changed_nor_in_the_way(post, theirs, profile):
    response = post(a_request(profile=profile))
    assert response.status == 202
    assert theirs.is_hidden_from(response)


@pytest.mark.usefixtures("theirs")
def test_their_external_id_alone_names_nobody_of_ours(post):
    assert post(a_request(profile={"externalId": "cus_123"})).code == "profile_email_required"
