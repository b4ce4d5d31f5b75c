"""Calls of an endpoint, without a server, and what it says."""

from __future__ import annotations

import json

from segmentflow_core.testing import DOCUMENTED_REQUEST

EVENTS = "/api/v1/events"


def said(response):
    return json.loads(response.body)


def post_to(endpoint, body=DOCUMENTED_REQUEST):
    headers = {"x-api-key": "k" * 32, "idempotency-key": "1", "content-type": "application/json"}
    return endpoint("POST", EVENTS, headers, json.dumps(body).encode())
