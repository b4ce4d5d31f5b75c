"""The operator's page in a view of Django's, as its documentation writes it."""

from __future__ import annotations

import re
import sys
from html import unescape
from pathlib import Path
from types import ModuleType
from urllib.parse import urlencode

import pytest

pytest.importorskip("django", reason="Django is not installed: its app is not tested.")

from django.test import Client, override_settings

from in_django.routers import Everything
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_django import DjangoStorage
from typed_pages import blocks

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "console.md"
KEY = b"the key of the tokens of forms!!"
APPS = ["auth", "contenttypes", "sessions"]
SETTINGS = {
    "INSTALLED_APPS": [*(f"django.contrib.{name}" for name in APPS), "segmentflow_django"],
    # The whole of what a new project has for forms: Django's own tokens are not asked for.
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    "ROOT_URLCONF": "urls_of_the_page",
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    "ALLOWED_HOSTS": ["testserver"],
    "MIGRATION_MODULES": dict.fromkeys(APPS),
    "OPS_FORM_KEY": KEY,
}


@pytest.fixture
def project(opened, monkeypatch):
    """Give a project whose only page is the operator's, below /ops."""
    project = opened()
    ours = {"DATABASE": project.alias, "FINGERPRINT_KEY": FINGERPRINT_SECRET}
    routers = [Everything(project.alias)]
    with override_settings(**SETTINGS, SEGMENTFLOW=ours, DATABASE_ROUTERS=routers):
        project.migrate(run_syncdb=True)
        monkeypatch.setitem(sys.modules, "urls_of_the_page", _urls())
        yield project


def _urls():
    from django.conf import settings
    from django.urls import re_path

    (block,) = [
        each.content
        for each in blocks(PAGE.read_text("utf-8"))
        if "django.contrib.auth.decorators" in each.content
    ]
    urls = ModuleType("urls_of_the_page")
    vars(urls).update(settings=settings, re_path=re_path, scopes_of=lambda user: ["read", "act"])
    exec(block, vars(urls))
    return urls


@pytest.mark.parametrize("vendor", ["sqlite"], indirect=True)
def test_a_view_shows_the_page_to_who_is_signed_in_and_acts_for_her(project):
    from django.contrib.auth.models import User

    tracker = Tracker(DjangoStorage(project.alias), fingerprint_key=FINGERPRINT_SECRET)
    person = tracker.track(a_request(), "order 1").profile_id
    browser = Client(enforce_csrf_checks=True)
    assert browser.get("/ops/queue").status_code == 302  # to where one signs in
    browser.force_login(User.objects.create_user("carol"))

    overview = browser.get("/ops")
    links = {unescape(link) for link in re.findall(r'href="([^"#]+)', overview.content.decode())}
    assert overview.status_code == 200
    assert {browser.get(link).status_code for link in links} == {200}

    path = f"/ops/people/{person}/suppress"
    token = re.findall(r'name="token" value="([^"]+)"', browser.get(path).content.decode())[-1]
    form = urlencode({"token": unescape(token)})
    sent = {"host": "testserver", "origin": "http://testserver"}
    done = browser.post(path, form, "application/x-www-form-urlencoded", headers=sent)
    assert done.status_code == 303
    assert done["location"].startswith(f"/ops/people/{person}")
    assert tracker.records.audit(limit=1)[0].by == "carol"
