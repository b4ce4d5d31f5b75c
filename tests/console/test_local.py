"""The page for one person on this machine: a token once, then the cookie of a session."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from segmentflow_console import LocalConsole, Operator
from segmentflow_http import WsgiApp

HOST = {"host": "127.0.0.1:8123"}


def place_of(local):
    """Return the path that all of the page is below."""
    return local.path.partition("/sign-in")[0]


@pytest.fixture
def local(world, clock):
    return LocalConsole(world.tracker, Operator("carol", ["read"]), port=8123, clock=clock)


def test_the_token_lets_in_once_and_the_cookie_from_then_on(local, clock):
    place = place_of(local)
    home = f"{place}/"
    assert local("GET", home, HOST, b"").status == 401
    assert local("GET", f"{place}/sign-in?token=x", HOST, b"").status == 401
    assert local("HEAD", local.path, HOST, b"").status == 404
    assert local("GET", local.path, {"host": "evil.example.com"}, b"").status == 403
    entered = local("GET", local.path, HOST, b"")
    assert (entered.status, entered.headers["location"]) == (303, home)
    cookie, *flags = entered.headers["set-cookie"].split("; ")
    assert sorted(flags) == ["HttpOnly", f"Path={place}", "SameSite=Strict"]
    assert cookie.startswith("segmentflow_console_8123=")
    assert local.path not in cookie

    again = local("GET", local.path, HOST, b"")
    assert (again.status, "set-cookie" in again.headers) == (401, False)
    assert b"used already" in again.body
    known = {**HOST, "cookie": f"other=[; {cookie}"}
    assert local("GET", home, known, b"").status == 200
    assert local("GET", home, {**HOST, "cookie": f"{cookie}x"}, b"").status == 401
    assert local("GET", home, {**known, "host": "evil.example.com"}, b"").status == 403
    assert local("GET", home, {**known, "host": "127.0.0.1.evil.com"}, b"").status == 403
    assert local.refuse_caller("GET", home, known) is None
    assert local.refuse_caller("GET", home, HOST).status == 401
    assert local("GET", f"{place}?a=b/c", known, b"").status == 200
    assert f'href="{place}/people"'.encode() in local("GET", home, known, b"").body
    clock.advance(hours=12)
    assert local("GET", home, known, b"").status == 401


def test_pages_of_other_ports_are_sent_no_cookie_and_are_not_told_where_the_page_is(local):
    """A cookie has no port: its path, which nobody can guess, keeps it from other servers here."""
    place = place_of(local)
    assert len(place) > 20
    known = {**HOST, "cookie": local("GET", local.path, HOST, b"").headers["set-cookie"]}
    for path in ("/", "/people", "/sign-in", f"/x{place}/", f"{place}x/", f"/people{place}"):
        refused = local("GET", path, known, b"")
        assert (refused.status, place.encode() in refused.body) == (401, False), path
        assert local.refuse_caller("GET", path, known).status == 401
    assert b'href="/style.css' in local("GET", "/", HOST, b"").body
    assert local("GET", "/style.css", HOST, b"").status == 200


def test_a_length_that_is_none_is_refused_before_the_body_is_read(local):
    reads = []
    for length in ("-1", "abc", "99999999"):
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": f"{place_of(local)}/sign-in",
            "HTTP_HOST": HOST["host"],
            "CONTENT_LENGTH": length,
            "wsgi.input": SimpleNamespace(read=reads.append),
        }
        assert WsgiApp(local).answer(environ).status in (400, 413), length
    assert reads == []
