"""Calls of an endpoint, without a server, and what it says."""

from __future__ import annotations

import json

from segmentflow_core import Tracker
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET
from segmentflow_http import Endpoint, KnownKeys
from segmentflow_memory import MemoryStorage

EVENTS = "/api/v1/events"


def said(response):
    return json.loads(response.body)


def post_to(endpoint, body=DOCUMENTED_REQUEST):
    headers = {"x-api-key": "k" * 32, "idempotency-key": "1", "content-type": "application/json"}
    return endpoint("POST", EVENTS, headers, json.dumps(body).encode())


class Failing(MemoryStorage):
    """A store whose every transaction ends with this error."""

    def __init__(self, error):
        super().__init__()
        self._error = error

    def run(self, work, **how):
        raise self._error


def failing(error):
    tracker = Tracker(Failing(error), fingerprint_key=FINGERPRINT_SECRET)
    return Endpoint(tracker, KnownKeys(["k" * 32]))
