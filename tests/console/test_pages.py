"""What the pages show, and to whom."""

from __future__ import annotations

import asyncio
import io
import re
from datetime import timedelta
from html.parser import HTMLParser
from urllib.parse import quote
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import anyio
import pytest

from console_asking import KEY, Asking, operator
from console_world import FAILURE, MARKUP, SECRET
from http_calls import Failing
from segmentflow_console import AsyncConsole, Console, Operator, StoreFacades
from segmentflow_core import AsyncTracker, Enrollments, Tracker
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_http import AsgiApp, WsgiApp
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage

PAUSED = quote("paused & <waiting>")


def pages(world):
    """Give every page, with what it must show."""
    person = f"/people/{world.alex}"
    return {
        "/": ["Find a person", "are dead", "order.created"],
        "/people": ["alex@example.com", "cus_person2", "suppressed", "merged"],
        person: [
            "alex@example.com",
            "cus_alex",
            "2 lead here",
            MARKUP,
            f"last failure: <bdi>{FAILURE}</bdi>",
            "cooling down",
            '"a\\u202eb"',
        ],
        f"/events/{world.order}": [
            '"token": "[REDACTED]"',
            "ord_9421",
            "/event/total gte 40",
            "found 49",
            '/profile/properties/plan eq "Pro"',
            "The Journey's condition is false.",
        ],
        "/journeys": ["order-confirmation", "paused & <waiting>", MARKUP, "condition not met"],
        "/journeys/show?id=order-confirmation": ["condition unknown", '"op": "gte"', "Jun 17"],
        f"/journeys/show?id={PAUSED}&days=30": ["paused & <waiting>", "0 enrolled"],
        "/queue": ["abandoned-cart", "15 d 10 h", FAILURE],
        "/enrollments": ["abandoned-cart", "Older"],
        "/enrollments?status=dead&journey=order-confirmation": [FAILURE],
        f"/enrollments?profile={world.alex}": ["Of one person"],
        f"/enrollments/{world.dead}": [FAILURE, "dead", "Revive"],
        "/record": ["journeys published", "deploy", "profiles merged", "support"],
        f"{person}/erase": ["Erase this person?", "carol", "Write erase to confirm"],
        f"{person}/suppress": ["Suppress this person?"],
        f"/journeys/activate?id={PAUSED}": ["Activate this Journey?", "paused & <waiting>"],
    }


class Parsed(HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.links = set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name in ("href", "action")]


def test_an_event_shows_what_became_of_its_enrollment(ask, world):
    entry = world.tracker.enrollments.get(world.dead)
    text = ask.get(f"/events/{entry.event_id}").text
    assert f"after {entry.attempts} attempt{'' if entry.attempts == 1 else 's'}" in text
    assert f"last failure: <bdi>{FAILURE}</bdi>" in text


def test_an_entry_that_an_event_that_is_gone_may_have_cancelled_is_not_claimed(storage, clock):
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    cart = a_journey("cart", cancelOn=[{"event": "order.paid"}])
    tracker.journeys.publish([cart])
    tracker.track(a_request("order.paid"), "paid")
    late = (clock.now() - timedelta(hours=1)).isoformat()
    clock.advance(hours=9)
    event_id = tracker.track(a_request(occurredAt=late), "late").event_id
    tracker.people.retain(events=timedelta(hours=8))
    asking = Asking(Console(tracker, lambda headers: operator(), clock=clock))
    assert "unless cancelled" not in asking.get(f"/events/{event_id}").text
    tracker.journeys.publish([{**cart, "name": "Other"}])
    assert "unless cancelled" in asking.get(f"/events/{event_id}").text


def test_every_page_shows_what_it_is_about_and_nothing_is_markup(ask, world):
    entries = world.tracker.enrollments.list(limit=1000)
    hidden = {SECRET, FINGERPRINT_SECRET, KEY.decode(), *(e.entry_key for e in entries)}
    hidden |= {entry.token for entry in entries}
    for path, shown in pages(world).items():
        answer, raw = ask.get(path), ask.raw(path)
        text = " ".join(answer.text.replace("<strong>", "").replace("</strong>", "").split())
        assert answer.status == 200, path
        assert [words for words in shown if words not in text] == [], path
        assert "<b>" not in raw
        assert "\u202e" not in raw
        assert [each for each in hidden - {None, ""} if each in raw] == [], path
        parsed = Parsed(raw)
        assert not parsed.tags & {"script", "style", "iframe", "object", "b"}
        assert {
            name for name in parsed.attributes if name.startswith("on") or name == "style"
        } == set()


def test_every_answer_forbids_scripts_frames_and_copies(ask, world):
    answers = [
        *(ask.get(path) for path in pages(world)),
        ask.get("/nowhere"),
        ask.get("/", operator=operator("act")),
        ask("DELETE", "/"),
        ask.post("/people/find", {}),
        ask.confirm(f"/people/{world.alex}/suppress"),
        ask("HEAD", "/"),
    ]
    assert [each.status for each in answers[-6:]] == [404, 403, 405, 403, 303, 200]
    for answer in answers:
        assert answer.headers["content-security-policy"] == (
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none';"
            " frame-ancestors 'none'"
        )
        expected = {
            "cache-control": "no-store",
            "x-frame-options": "DENY",
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
        }
        assert {name: answer.headers[name] for name in expected} == expected
    style = ask.get("/style.css", operator=None)
    assert (style.status, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    head, got = ask("HEAD", "/queue"), ask.get("/queue")
    assert (head.text, head.headers["content-length"]) == ("", got.headers["content-length"])


def test_whoever_the_host_does_not_know_sees_nothing(ask, world):
    for path in pages(world):
        refused = ask.get(path, operator=None)
        assert refused.status == 401
        assert "alex" not in refused.text
        assert "<nav" not in refused.text


def test_a_scope_lets_do_what_it_names_alone(ask_sync, world):
    person = f"/people/{world.alex}"
    for scopes, allowed in {
        (): "",
        ("read",): "read",
        ("act", "erase"): "act erase",
        ("read", "act"): "read act",
        ("read", "erase"): "read erase",
    }.items():
        ask_sync.who = Operator("carol", scopes)
        for scope, path in {
            "read": person,
            "act": f"{person}/suppress",
            "erase": f"{person}/erase",
        }.items():
            answer = ask_sync.get(path)
            assert answer.status == (200 if scope in allowed else 403), (scopes, path)
            assert ask_sync.post(path, {}).status in (403, 405)
        if "read" in scopes:
            shown = ask_sync.get(person).text
            assert [f"{person}/suppress" in shown, f"{person}/erase" in shown] == [
                "act" in scopes,
                "erase" in scopes,
            ]


def test_somebody_sees_her_own_organization_alone(ask, world):
    ask.who = operator(organization_id="acme")
    for path in (f"/people/{world.alex}", f"/events/{world.order}", f"/enrollments/{world.dead}"):
        assert ask.get(path).status == 404
    assert "No event is recorded yet." in ask.get("/").text
    assert "None" in ask.get("/queue").text


def test_a_person_is_found_by_whatever_leads_to_her_and_no_url_holds_it(ask, world):
    token = ask.get("/").token
    words = {
        "ALEX@example.com ": f"/people/{world.alex}",
        "cus_alex": f"/people/{world.alex}",
        "person5@example.com": f"/people/{world.alex}",
        world.alex: f"/people/{world.alex}",
        world.order: f"/events/{world.order}",
        world.dead: f"/enrollments/{world.dead}",
    }
    for word, place in words.items():
        answer = ask.post("/people/find", {"token": token, "who": word})
        assert (answer.status, answer.headers.get("location")) == (303, place), word
    nobody = ask.post("/people/find", {"token": token, "who": MARKUP})
    assert (nobody.status, "Nobody found" in nobody.text) == (404, True)
    assert f'value="{MARKUP}"' in nobody.text


def test_a_profile_that_was_merged_leads_to_the_one_that_stayed(ask, world):
    (gone,) = [each for each in world.tracker.records.profiles() if each.merged_into]
    text = ask.get(f"/people/{gone.profile_id}").text
    assert "was merged into this one" in text
    assert "alex@example.com" in text
    assert "was merged" not in ask.get(f"/people/{world.alex}").text


def test_lists_are_paged_and_a_mistyped_address_is_not_found(ask, world):
    seen, path = [], "/enrollments"
    while path:
        answer = ask.get(path)
        found = [line for line in answer.text.splitlines() if 'data-label="Enrollment"' in line]
        assert len(found) <= 25
        seen += found
        (path, *_) = [
            link for link in Parsed(ask.raw(path)).links if "before=" in link and path != link
        ] or [None]
    assert len(seen) == len(set(seen)) == len(world.tracker.enrollments.list(limit=1000))
    for path in (
        "/people?before=x",
        "/enrollments?profile=x",
        "/enrollments?status=x",
        "/enrollments?journey=x",
        "/journeys/show?id=x",
        "/journeys/show?id=order-confirmation&days=9",
        "/people/x",
        "/events/0",
        "/people//",
        "/%3F",
    ):
        assert ask.get(path).status == 404, path
    assert ask.get("/people?before=1&before=2").status == 400


def test_a_store_that_fails_shows_nothing_of_it_and_leaves_one_line(caplog):
    error = StorageUnavailable("canary at db.internal", details={"error": "57P01"})
    tracker = Tracker(Failing(error), fingerprint_key=FINGERPRINT_SECRET)
    answer = Asking(Console(tracker)).get("/queue")
    assert (answer.status, "canary" in answer.text) == (503, False)
    assert answer.headers["x-request-id"] in answer.text
    (line,) = caplog.messages
    assert "57P01" in line
    assert "canary" not in line


def served_below(app, path, headers):
    """Ask an ASGI app that is mounted at /ops; give status and body."""
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "/ops"}
    messages, sent = [{"type": "http.request", "body": b""}], []

    async def receive():
        if not messages:
            await anyio.sleep_forever()
        return messages.pop()

    async def send(message):
        sent.append(message)

    anyio.run(app, {**scope, "query_string": b"", "headers": headers}, receive, send)
    return sent[0]["status"], sent[1]["body"]


def test_it_is_mounted_below_a_path_in_wsgi_and_asgi(world, storage, clock):
    def who(headers):
        return operator() if headers.get("cookie") == "session=1; theme=dark" else None

    told = []
    wsgi = validator(WsgiApp(Console(world.tracker, who, clock=clock), on_answered=told.append))
    environ = {
        "SCRIPT_NAME": "/ops",
        "PATH_INFO": "/people",
        "HTTP_COOKIE": "session=1; theme=dark",
    }
    environ |= {"wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "0", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    started = []
    result = wsgi(environ, lambda *given: started.append(given))
    text = b"".join(result).decode()
    result.close()
    assert started[0][0] == "200 OK"
    assert [link for link in Parsed(text).links if not link.startswith(("/ops/", "#"))] == []

    tracker = AsyncTracker(
        AsyncMemoryStorage(storage), fingerprint_key=FINGERPRINT_SECRET, clock=clock
    )
    for console in (Console(world.tracker, who, clock=clock), AsyncConsole(tracker, who)):
        app = AsgiApp(console, on_answered=told.append)
        cookies = [(b"cookie", b"session=1"), (b"cookie", b"theme=dark")]
        assert served_below(app, "/ops/nowhere", [])[0] == 404
        status, body = served_below(app, "/ops/people", cookies)
        assert (status, b'href="/ops/style.css?' in body) == (200, True)
        assert served_below(app, "/ops", cookies)[0] == 200
        app.close()
    assert [each.error for each in told if each.status == 404] == [None, None]


def test_what_breaks_its_rule_is_refused_when_it_is_given(world, storage, clock):
    asynchronous = AsyncTracker(AsyncMemoryStorage(storage), fingerprint_key=FINGERPRINT_SECRET)

    async def awaited(_headers):
        await asyncio.sleep(0)
        return operator()

    for wrong in (
        lambda: Console(asynchronous),
        lambda: Console(world.tracker, awaited),
        lambda: AsyncConsole(world.tracker),
        lambda: Console(world.tracker, key=b"short"),
        lambda: Console(world.tracker, origins="https://ops.example.com"),
        lambda: Operator("", ["read"]),
        lambda: Operator("c" * 256, ["read"]),
        lambda: Operator("carol", ["write"]),
        lambda: Operator("sam\ud800", ["read"]),
        lambda: Operator("sam\0", ["read"]),
        lambda: Operator(None, ["read"]),
        lambda: Operator("carol", ["read"], ""),
        lambda: Operator("carol", ["read"], "o" * 256),
        lambda: Operator("carol", ["read"], "a\ud800"),
        lambda: Operator("carol", ["read"], 7),
    ):
        with pytest.raises(ConfigurationError):
            wrong()
    assert repr(operator("act")) == "<Operator act>"
    console = AsyncConsole(asynchronous, awaited)
    assert Asking(console).get("/", operator=None).status == 200
    hidden = Asking(Console(world.tracker, lambda headers: awaited({**headers})))
    assert hidden.get("/", operator=None).status == 500


def folded_away(page):
    """Give a page without what its closed details hold, those within others first."""
    innermost = re.compile(r"<details>(?:(?!<details>).)*?</details>", re.DOTALL)
    while innermost.search(page):
        page = innermost.sub("", page)
    return page


def test_a_long_property_is_cut_and_all_of_it_is_behind_a_line_to_open(ask_sync, world):
    long = "x" * 60_000
    properties = {"bio": f"{long}end", "plan": "Pro"}
    request = a_request(profile={"email": "long@example.com", "properties": properties})
    profile_id = world.tracker.track(request, "long").profile_id
    page = ask_sync.raw(f"/people/{profile_id}")
    shown = folded_away(page)
    assert "x" * 199 in shown
    assert "x" * 200 not in shown
    assert "All 60,005 characters" in page
    assert f"{long}end" in page


def test_of_many_properties_some_are_shown_and_the_others_are_behind_a_line_to_open(
    ask_sync, world
):
    properties = {f"p{number:03}": number for number in range(100)}
    request = a_request(profile={"email": "many@example.com", "properties": properties})
    profile_id = world.tracker.track(request, "many").profile_id
    page = ask_sync.raw(f"/people/{profile_id}")
    shown = folded_away(page)
    assert ("p019" in shown, "p020" in shown, "p099" in page) == (True, False, True)
    assert "80 more" in page


def test_a_store_without_a_tracker_is_enough():
    storage = MemoryStorage()
    Tracker(storage, fingerprint_key=FINGERPRINT_SECRET).track(a_request(), "1")
    assert Enrollments(storage).list() == []
    assert Asking(Console(StoreFacades(storage))).get("/").status == 200
