from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from http_calls import EVENTS, post_to, said
from segmentflow_core.errors import ConfigurationError, InsufficientScope, Unauthorized
from segmentflow_core.testing import DOCUMENTED_REQUEST
from segmentflow_http import Caller, Endpoint, KnownKeys


def test_an_unknown_a_revoked_and_a_malformed_key_are_refused_alike(post, api_keys):
    revoked = api_keys.create(["events:write"])
    api_keys.revoke(revoked.api_key.key_id)
    answers = [
        post(x_api_key=key) for key in (None, "", "sk_live_" + "A" * 43, "nonsense", revoked.secret)
    ]
    assert len(set(map(str, answers))) == 1
    assert said(answers[0]) == Unauthorized().envelope()
    assert answers[0].headers["www-authenticate"] == "ApiKey"


@pytest.mark.parametrize("kept", ["in the store", "by the host"])
def test_a_write_key_is_sent_to_the_ingest_api(post, tracker, kept):
    if kept == "in the store":
        response = post(x_api_key="wk_public")
    else:
        endpoint = Endpoint(tracker, KnownKeys(["k" * 32]))
        response = endpoint("POST", EVENTS, {"x-api-key": "wk_public"}, b"")
    assert response.status == 401
    assert "Ingest API" in said(response)["message"]


def test_a_write_key_cannot_be_a_known_key():
    with pytest.raises(ConfigurationError, match="Ingest API"):
        KnownKeys(["wk_" + "k" * 32])


def test_authorisation_comes_before_anything_about_the_request(post, tracker):
    post()
    for answer in (post(x_api_key="sk_live_"), post(b"{", x_api_key=""), post({}, x_api_key="")):
        assert answer.status == 401
        assert "idempotent-replayed" not in answer.headers


class NoScope:
    def authenticate(self, headers: Mapping[str, str], scope: str) -> Caller:
        raise InsufficientScope(details={"required": [scope]})


def test_a_key_without_the_scope_is_told_which(tracker):
    response = post_to(Endpoint(tracker, NoScope()))
    assert (response.status, said(response)["details"]) == (403, {"required": ["events:write"]})


class ByHost:
    """A host that knows its callers by a header of its own."""

    def authenticate(self, headers: Mapping[str, str], scope: str) -> Caller:
        if headers.get("authorization") != "Bearer of-the-host":
            raise Unauthorized
        return Caller("acme")


def test_a_host_may_authenticate_callers_itself(tracker):
    endpoint = Endpoint(tracker, ByHost())
    headers = {
        "Authorization": "Bearer of-the-host",
        "Idempotency-Key": "1",
        "Content-Type": "application/json",
    }
    body = json.dumps(DOCUMENTED_REQUEST).encode()
    assert endpoint("POST", EVENTS, headers, body).status == 202
    assert len(tracker.records.events(organization_id="acme")) == 1
    assert endpoint("POST", EVENTS, {}, body).status == 401


def test_known_keys_are_compared_whole_and_must_be_long(tracker):
    endpoint = Endpoint(tracker, KnownKeys(["j" * 32, "k" * 32], organization_id="acme"))
    assert post_to(endpoint).status == 202
    assert len(tracker.records.events(organization_id="acme")) == 1
    assert endpoint("POST", EVENTS, {"x-api-key": "k" * 31}, b"").status == 401
    for secrets in ([], ["short"]):
        with pytest.raises(ConfigurationError):
            KnownKeys(secrets)
