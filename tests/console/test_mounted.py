"""The page within other apps, as its documentation puts it there: each link and form leads back."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from console_asking import KEY, operator
from segmentflow_console import AsyncConsole, Console, Operator
from segmentflow_core import AsyncTracker
from segmentflow_core.testing import FINGERPRINT_SECRET
from segmentflow_http import AsgiApp, WsgiApp
from segmentflow_memory import AsyncMemoryStorage
from typed_pages import blocks

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "console.md"
BASE = "https://ops.example.com"


def who(headers):
    return operator() if headers.get("x-authenticated-user") == "carol" else None


class Asgi:
    def __init__(self, app):
        self.app = app

    def __call__(self, method, path, **more):
        async def ask():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
                # A mounted app of Starlette's begins with a slash, and a browser is led to it.
                return await client.request(method, path, **more, follow_redirects=method == "GET")

        return asyncio.run(ask())


class Wsgi:
    """A host that takes its mount point off the path, as WSGI servers and frameworks do."""

    def __init__(self, app):
        self.app = app

    def __call__(self, method, path, **more):
        below = path.removeprefix("/ops")
        assert below != path
        transport = httpx.WSGITransport(self.app, script_name="/ops")
        with httpx.Client(transport=transport, base_url=BASE) as client:
            return client.request(method, below, **more)


def mounted(console, _):
    app = FastAPI()
    app.mount("/ops", AsgiApp(console))
    return Asgi(app)


def mounted_asynchronous(_, console):
    return mounted(console, None)


def by_a_route(console, _):
    (block,) = [
        each.content for each in blocks(PAGE.read_text("utf-8")) if "@api.api_route" in each.content
    ]
    names = {"console": console, "who": who, "Operator": Operator}
    exec(block, names)
    return Asgi(names["api"])


def below_a_script(console, _):
    return Wsgi(WsgiApp(console))


@pytest.fixture(params=[mounted, mounted_asynchronous, by_a_route, below_a_script])
def host(request, world, storage, clock):
    shared = AsyncTracker(
        AsyncMemoryStorage(storage), fingerprint_key=FINGERPRINT_SECRET, clock=clock
    )
    console = Console(world.tracker, who, key=KEY, clock=clock)
    return request.param(console, AsyncConsole(shared, who, key=KEY, clock=clock))


def test_every_link_and_form_of_a_page_below_a_path_leads_below_it(host, world):
    carol = {"x-authenticated-user": "carol"}
    assert host("GET", "/ops/queue").status_code == 401

    seen, to_see = set(), ["/ops", f"/ops/people/{world.alex}"]
    while to_see:
        page = host("GET", to_see[-1], headers=carol)
        assert page.status_code == 200, to_see[-1]
        seen.add(to_see.pop().partition("?")[0])
        actions = re.findall(r'action="([^"]*)"', page.text)
        links = [unescape(link) for link in re.findall(r'href="([^"#]+)', page.text)]
        assert [link for link in [*actions, *links] if not link.startswith("/ops")] == []
        to_see += [link for link in set(links) if link.partition("?")[0] not in seen]
    assert len(seen) > 5


def test_what_is_done_on_a_page_below_a_path_is_done_and_shown_there(host, world):
    carol = {"x-authenticated-user": "carol"}
    path = f"/ops/people/{world.alex}/suppress"
    asking = host("GET", path, headers=carol)
    (token,) = set(re.findall(r'name="token" value="([^"]+)"', asking.text)[-1:])
    form = {"headers": {**carol, "origin": BASE}, "data": {"token": unescape(token)}}
    done = host("POST", path, **form)
    assert done.status_code == 303
    assert done.headers["location"].startswith(f"/ops/people/{world.alex}")
    assert "She is suppressed" in host("GET", done.headers["location"], headers=carol).text
    assert world.tracker.records.audit(limit=1)[0].by == "carol"
