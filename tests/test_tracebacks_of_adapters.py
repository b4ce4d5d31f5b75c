"""No traceback that leaves the app, the client or the command shows what was passed in."""

from __future__ import annotations

import asyncio
import io
import json

import httpx
import pytest

from canaries import (
    CANARY,
    Failing,
    Hostile,
    a_secret_request,
    a_tracker,
    assert_shows_nothing,
    invalid,
    raised,
)
from segmentflow_cli import main
from segmentflow_cli.importing import ImportReport, import_lines, read_lines
from segmentflow_cli.journey_files import read_journey_file
from segmentflow_core import Tracker
from segmentflow_core.errors import SegmentflowError, StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET
from segmentflow_http import AsgiApp, Endpoint, KnownKeys
from segmentflow_http.client import Client, Retries
from segmentflow_memory import MemoryStorage


class Interrupting:
    def authenticate(self, headers, scope):
        raise KeyboardInterrupt


def test_what_leaves_an_endpoint_or_an_app():
    endpoint = Endpoint(a_tracker(), Interrupting())
    headers = {"x-api-key": CANARY, "content-type": "application/json"}
    body = json.dumps(a_secret_request()).encode()
    assert_shows_nothing(raised(lambda: endpoint("POST", "/api/v1/events", headers, body)))

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_message):
        raise RuntimeError("the server is gone")

    scope = {"type": "http", "method": "POST", "path": "/api/v1/events"}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers.items()]
    app = AsgiApp(Endpoint(a_tracker(), KnownKeys(["k" * 32])))
    assert_shows_nothing(raised(lambda: asyncio.run(app(scope, receive, send))))


def answering(status, document):
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, json=document))
    return Client("http://events.test", CANARY, http=httpx.Client(transport=transport))


def unreachable():
    def refuse(request):
        raise httpx.ConnectError("refused", request=request)

    http = httpx.Client(transport=httpx.MockTransport(refuse))
    return Client("http://events.test", CANARY, http=http, retries=Retries(attempts=1))


def test_the_client():
    refusal = SegmentflowError().envelope()
    for call in (
        lambda: answering(200, {}).track(a_secret_request(), CANARY),
        lambda: answering(500, refusal).track(a_secret_request(), CANARY),
        lambda: answering(400, {"error": "invalid_request", "message": "", "details": {}}).track(
            a_secret_request(), CANARY
        ),
        lambda: unreachable().track(a_secret_request(), CANARY),
        lambda: unreachable().track(a_secret_request(), f"{CANARY}\n"),
        lambda: unreachable().track(a_secret_request(data={CANARY}), CANARY),
        lambda: unreachable().track(Hostile(), CANARY),
    ):
        error = raised(call)
        assert isinstance(error, SegmentflowError)
        assert_shows_nothing(error)


def test_an_import():
    lines = [invalid(), a_secret_request(), {"idempotencyKey": CANARY, "other": CANARY}]
    file = io.BytesIO("\n".join([CANARY, *map(json.dumps, lines)]).encode())
    report = ImportReport(name="history.ndjson")

    def run(storage):
        import_lines(
            a_tracker(storage),
            read_lines(file),
            report,
            organization_id="default",
            batch=500,
            match_journeys=True,
            on_progress=lambda _size, _refused: None,
            pause=lambda _seconds: None,
        )

    run(MemoryStorage())
    assert len(report.refused) == 3
    for refusal in report.refused:
        assert_shows_nothing(refusal.error)
    file.seek(0)
    assert_shows_nothing(raised(lambda: run(Failing(StorageUnavailable()))))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", f'{{"{CANARY}": '),
        ("a.toml", f'a = "{CANARY}'),
        ("a.yaml", f"a: [{CANARY}"),
        ("b.yaml", f"a: &a {CANARY}\nb: *a"),
        ("c.yaml", "[" * 5000 + CANARY),
        ("d.yaml", f"a: {CANARY}\0"),
        ("e.yaml", f"{CANARY}: 1\n{CANARY}: 2"),
    ],
)
def test_a_journey_file(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert_shows_nothing(raised(lambda: read_journey_file(tmp_path / name)))


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", FINGERPRINT_SECRET)
    assert main(["init"]) == 0

    def fail(*_arguments, **_named):
        raise ZeroDivisionError

    monkeypatch.setattr(Tracker, "track", fail)
    (tmp_path / "request.json").write_text(json.dumps(a_secret_request()))
    error = raised(lambda: main(["track", "request.json", "--idempotency-key", CANARY]))
    assert isinstance(error, ZeroDivisionError)
    assert_shows_nothing(error)
