"""`segmentflow console`: one browser is let in, once, until the command is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import webbrowser
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from segmentflow_cli import console as command
from segmentflow_cli.console_server import ConsoleServer


def get(address, path, **headers):
    connection = HTTPConnection(address, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, body


def test_the_printed_address_lets_one_browser_in(run, store, request_file, folder):
    run("track", request_file, "--idempotency-key", "1")
    (folder / "segmentflow.db.fingerprint-key").unlink()  # the page needs no secret
    with subprocess.Popen(
        [sys.executable, "-m", "segmentflow_cli", "console", "--no-browser", "--json"],
        cwd=folder,
        env={**os.environ, "LOGNAME": "carol"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            url = urlsplit(json.loads(process.stdout.readline())["url"])
            assert (url.scheme, url.hostname) == ("http", "127.0.0.1")
            assert get(url.netloc, "/")[0] == 401
            status, headers, _ = get(url.netloc, f"{url.path}?{url.query}")
            assert (status, headers["location"]) == (303, url.path.removesuffix("sign-in"))
            assert get(url.netloc, f"{url.path}?{url.query}")[0] == 401
            cookie = headers["set-cookie"].partition(";")[0]
            status, _, body = get(url.netloc, f"{headers['location']}people", cookie=cookie)
            assert (status, "alex@example.com" in body, "carol" in body) == (200, True, True)
        finally:
            process.send_signal(signal.SIGTERM)
        assert (process.wait(60), process.stderr.read()) == (0, "")


@pytest.fixture
def served(monkeypatch):
    """Let the server end at once, and keep what would have been opened and served."""
    opened, servers = [], []
    monkeypatch.setattr(webbrowser, "open", opened.append)

    def serve(server):
        servers.append(server)

    monkeypatch.setattr(ConsoleServer, "serve_forever", serve)
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    return opened, servers


def test_the_browser_is_opened_unless_told_otherwise(run, store, served):
    opened, servers = served
    status, out, _ = run("console", "--read-only", "--by", "dave")
    (url,) = opened
    assert (status, out.strip().endswith(url)) == (0, True)
    assert f":{servers[0].server_port}/" in url
    assert "/sign-in?token=" in url
    assert run("console", "--no-browser")[0] == 0
    assert len(opened) == 1


def test_a_store_without_tables_is_refused_before_anything_is_served(run, folder, served):
    status, _, err = run("console")
    assert (status, "segmentflow init" in err or "create_all" in err) == (1, True)
    assert served == ([], [])


def test_an_account_whose_name_is_no_utf_8_may_open_the_page(run, store, served, monkeypatch):
    monkeypatch.setenv("LOGNAME", "sam\udcff")
    assert run("console", "--no-browser")[0] == 0


def test_what_is_missing_is_named(run, store, served, monkeypatch):
    with ConsoleServer(0) as taken:
        status, _, err = run("console", "--port", taken.server_port)
        assert (status, f"Cannot listen on 127.0.0.1:{taken.server_port}" in err) == (1, True)
    status, _, err = run("console", "--by", "x" * 256)
    assert (status, "1 to 255 characters" in err) == (2, True)
    monkeypatch.setattr(command, "find_spec", lambda _name: None)
    status, _, err = run("console")
    assert (status, "extra console" in err) == (1, True)
