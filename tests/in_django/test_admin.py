"""The pages in Django's admin: who sees what, how it is found, and that nothing is written."""

from __future__ import annotations

import re
from html import unescape
from io import StringIO

import pytest

pytest.importorskip("django", reason="Django is not installed: its app is not tested.")

from django.test import Client, override_settings

from in_django.routers import Everything
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_django import DjangoStorage

CLOCK = FixedClock()
KINDS = ("profile", "userevent", "enrollment", "journey")
ALEX, BAD = "alex@example.com", "<script>alert(1)</script>"
BIG = a_journey(
    "big/one",
    name=BAD,
    trigger={"event": "order.created", "where": {"path": "/event/total", "op": "gte", "value": 40}},
    cancelOn=[{"event": "order.paid"}],
)
APPS = ["admin", "auth", "contenttypes", "sessions", "messages"]
TEMPLATES = {
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {
        "context_processors": [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]
    },
}
SETTINGS = {
    "INSTALLED_APPS": [*(f"django.contrib.{name}" for name in APPS), "segmentflow_django"],
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    "TEMPLATES": [TEMPLATES],
    "ROOT_URLCONF": "in_django.urls",
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    "STATIC_URL": "/static/",
    "ALLOWED_HOSTS": ["testserver"],
    "MIGRATION_MODULES": dict.fromkeys(APPS),
}


@pytest.fixture
def project(opened):
    """Give a project with an admin, whose setting names its database, and no fingerprint key."""
    project = opened()
    setting = {"DATABASE": project.alias, "CLOCK": CLOCK}
    routers = [Everything(project.alias)]
    with override_settings(**SETTINGS, SEGMENTFLOW=setting, DATABASE_ROUTERS=routers):
        project.migrate(run_syncdb=True)
        yield project


@pytest.fixture
def tracker(project):
    """Give a tracker of three orders: two big ones of Alex, and one of Bea."""
    storage = DjangoStorage(project.alias)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=CLOCK)
    tracker.journeys.publish([BIG])
    for number, total in enumerate([49, 7]):
        CLOCK.advance(seconds=1)
        tracker.track(order(number, total=total, coupon=BAD), f"{number}")
    CLOCK.advance(seconds=1)
    tracker.track(order(2, email="bea@example.com", external_id="cus_bea", total=90), "2")
    return tracker


def order(number, email=ALEX, external_id=None, **data):
    who = {"email": email, "properties": {"name": BAD}}
    if external_id is not None:
        who["externalId"] = external_id
    return a_request(
        profile=who,
        data={"payment": {"token": "canary"}, **data},
        referenceId=f"ord_{number}",
        redactedDataPaths=["/event/payment/token"],
    )


def browser(*kinds, staff=True):
    """Give a browser of a member of staff who may view these kinds of records."""
    from django.contrib.auth.models import Permission, User

    user = User.objects.create_user(f"user {User.objects.count()}", is_staff=staff)
    for kind in kinds:
        permission = Permission.objects.get(
            content_type__app_label="segmentflow_django", codename=f"view_{kind}"
        )
        user.user_permissions.add(permission)
    client = Client()
    client.force_login(user)
    return client


class Shown:
    """What a page shows: its status, its words, and where its links lead."""

    def __init__(self, answer):
        self.status, self.html = answer.status_code, answer.content.decode()
        main = self.html.partition('<div id="content-main">')[2]
        self.words = " ".join(unescape(re.sub(r"<[^>]*>", " ", main)).split())
        self.links = [unescape(link) for link in re.findall(r'href="([^"]*)"', main)]
        # Of a list: the first word of each row.
        self.rows = [
            unescape(re.sub(r"<[^>]*>", "", row)).strip()
            for row in re.findall(r"<tr><td>(.*?)</td>", main)
        ]


def see(client, kind, rest="", /, site="admin", **fields):
    return Shown(client.get(f"/{site}/segmentflow_django/{kind}/{rest}", fields))


def test_staff_find_what_they_may_view_on_the_index_and_others_nothing(project, tracker):
    (newest, *_) = tracker.records.events()
    pages = {"profile": newest.profile_id, "userevent": newest.event_id, "journey": "big_2Fone"}
    for kind in KINDS:
        client = browser(kind)
        index = client.get("/admin/").content.decode()
        for other in KINDS:
            link = f'href="/admin/segmentflow_django/{other}/"'
            assert (link in index) == (kind == other)
            status = 200 if kind == other else 403
            assert see(client, other).status == status
            if other in pages:
                assert see(client, other, f"{pages[other]}/change/").status == status
        assert "addlink" not in index
    # Her story is of events and Enrollments too.
    why = f"{newest.profile_id}/why/"
    assert [see(browser(*may), "profile", why).status for may in (KINDS[:2], KINDS[:3])] == [
        403,
        200,
    ]
    assert browser().get("/admin/").content.decode().count("segmentflow_django") == 0
    assert see(browser(*KINDS, staff=False), "profile").status == 302
    assert see(Client(), "profile").status == 302


def test_every_page_shows_what_is_recorded_escaped_and_redacted_by_links(project, tracker):
    """On each database: it goes from link to link, and reads what the library reads."""
    paid = a_request("order.paid", profile={"email": ALEX})
    CLOCK.advance(seconds=1)
    tracker.track(paid, "paid")
    (claimed,) = tracker.enrollments.claim(limit=1)
    tracker.enrollments.release(claimed.lease, error="the mail server said no")
    before = project.stored()
    client, seen, ahead = browser(*KINDS), {}, [f"/admin/segmentflow_django/{k}/" for k in KINDS]
    while ahead:
        url = ahead.pop()
        seen[url] = page = Shown(client.get(url))
        assert page.status == 200, url
        assert "<script>alert" not in page.html
        assert "canary" not in page.html
        ahead += [u for u in page.links if u.startswith("/admin/segm") and u not in (*seen, *ahead)]
    assert project.stored() == before
    alex, bea = (tracker.records.find_profile(who).profile_id for who in (ALEX, "cus_bea"))
    events, entries = tracker.records.events(), tracker.enrollments.list()

    def words(kind, rest):
        return seen[f"/admin/segmentflow_django/{kind}/{rest}"].words

    assert [len(seen[f"/admin/segmentflow_django/{kind}/"].rows) for kind in KINDS] == [2, 4, 2, 1]
    assert f"Email {ALEX} External id - Aliases 0" in words("profile", f"{alex}/change/")
    assert f'"name": "{BAD}"' in words("profile", f"{alex}/change/")
    first = words("userevent", f"{events[-1].event_id}/change/")
    assert '"token": "[REDACTED]"' in first
    assert "big/one 1 enrolled" in first
    assert "skipped, condition_not_met" in words("userevent", f"{events[-2].event_id}/change/")
    assert "Withdrew" in words("userevent", f"{events[0].event_id}/change/")
    (withdrawn,) = [e.enrollment_id for e in entries if e.status == "withdrawn"]
    assert f"Withdrawn by {events[0].event_id}" in words("enrollment", f"{withdrawn}/change/")
    (failed,) = [e.enrollment_id for e in entries if e.status == "pending"]
    said = words("enrollment", f"{failed}/change/")
    assert "Attempts 1 Last failure the mail server said no" in said
    assert claimed.lease.token not in said
    journey = words("journey", "big_2Fone/change/")
    assert "Matched 3 Enrolled 2 Skipped, condition_not_met 1" in journey
    assert '"op": "gte"' in journey
    story = words("profile", f"{alex}/why/")
    assert "order.paid big/one withdrew: withdrawn" in story
    assert story.index("order.paid") < story.index("skipped, condition_not_met")
    assert "enrolled withdrawn 0" in story
    assert "the mail server said no" in words("profile", f"{bea}/why/")


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_the_story_about_one_journey_shows_the_leaves_of_its_condition(project, tracker):
    client = browser(*KINDS)
    alex = tracker.records.find_profile(ALEX).profile_id
    story = see(client, "profile", f"{alex}/why/", journey="big/one")
    assert story.words.count('"op": "gte"') == 2
    assert '"found": 7' in story.words
    assert see(client, "profile", f"{alex}/why/", journey="other").status == 404


def test_records_are_found_by_who_and_what(project, tracker):
    client = browser(*KINDS)
    events, entries = tracker.records.events(), tracker.enrollments.list()
    alex = tracker.records.find_profile(ALEX).profile_id
    bea = tracker.records.find_profile("cus_bea").profile_id
    ids = [event.event_id for event in events]
    entered = [entry.enrollment_id for entry in entries]
    for kind, fields, rows in [
        ("profile", {}, [bea, alex]),
        ("profile", {"q": f" {ALEX.upper()} "}, [alex]),
        ("profile", {"q": "cus_bea"}, [bea]),
        ("profile", {"q": bea}, [bea]),
        ("profile", {"q": "nobody"}, []),
        ("profile", {"q": "\0"}, []),
        ("userevent", {}, ids),
        ("userevent", {"q": ids[1]}, [ids[1]]),
        ("userevent", {"q": ids[1], "event": "order.paid"}, []),
        ("userevent", {"q": ALEX}, ids[1:]),
        ("userevent", {"q": alex, "reference": "ord_1"}, [ids[1]]),
        ("userevent", {"event": "order.created"}, ids),
        ("userevent", {"event": "order"}, []),
        ("userevent", {"reference": "ord_2"}, [ids[0]]),
        ("userevent", {"q": BAD}, []),
        ("enrollment", {}, entered),
        ("enrollment", {"q": "cus_bea"}, entered[:1]),
        ("enrollment", {"q": ids[-1]}, entered[1:]),
        ("enrollment", {"journey": "big/one", "status": "pending"}, entered),
        ("enrollment", {"status": "dead"}, []),
        ("enrollment", {"status": "unheard-of"}, []),
        ("enrollment", {"journey": "big"}, []),
        ("journey", {"q": "SCRIPT"}, ["big/one"]),
        ("journey", {"q": "order.c"}, ["big/one"]),
        ("journey", {"q": "welcome"}, []),
    ]:
        page = see(client, kind, **fields)
        assert (page.status, page.rows) == (200, rows), (kind, fields)
        assert "<script>alert" not in page.html
    # Who may not view Profiles learns of no email whether it is anybody's, nor whose.
    for kind, rows in {"userevent": ids[1:], "enrollment": entered[1:]}.items():
        client = browser(kind)
        assert [see(client, kind, q=who).rows for who in (ALEX, "cus_bea", alex)] == [[], [], rows]
        assert "email" not in see(client, kind).words


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_list_is_read_page_by_page_with_its_fields(project, tracker, monkeypatch):
    monkeypatch.setattr("segmentflow_django.admin._ON_A_PAGE", 2)
    tracker.journeys.publish([a_journey("a"), a_journey("b"), a_journey("other"), BIG])
    for number in range(3, 6):
        CLOCK.advance(seconds=1)
        tracker.track(order(number, email=f"{number}@example.com", total=50), f"{number}")
    client = browser(*KINDS)
    alex = tracker.records.find_profile(ALEX).profile_id
    for number in range(6, 9):
        tracker.track(order(number, total=50), f"{number}")
    for kind, rest, fields, expected in [
        ("profile", "", {}, [p.profile_id for p in tracker.records.profiles()]),
        (
            "userevent",
            "",
            {"event": "order.created"},
            [e.event_id for e in tracker.records.events()],
        ),
        (
            "enrollment",
            "",
            {"journey": "big/one"},
            [e.enrollment_id for e in tracker.enrollments.list(journey_id="big/one")],
        ),
        ("journey", "", {"q": "o"}, ["a", "b", "big/one", "other"]),
        ("profile", f"{alex}/why/", {}, None),
    ]:
        address, rows, pages = f"/admin/segmentflow_django/{kind}/{rest}", [], 0
        page = Shown(client.get(address, fields))
        while True:
            rows, pages = [*rows, *page.rows], pages + 1
            (*_, last) = page.links
            if not re.fullmatch(r"\?.*before=.*", last):
                break
            page = Shown(client.get(address + last))
        if expected is not None:
            assert (rows, pages) == (expected, -(-len(expected) // 2)), kind
        else:
            # Of five events the two of a page have a row for each Journey.
            assert pages == 3
    assert see(client, "profile", before="yesterday").rows == []


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_each_organization_is_shown_alone_to_those_who_may(project, tracker):
    tracker.track(order(1, email="zoe@example.com", total=50), "1", organization_id="acme & co")
    (zoe,) = tracker.records.profiles(organization_id="acme & co")
    client, page = browser(*KINDS), f"{zoe.profile_id}/change/"
    acme = {"organization": "acme & co"}
    alone = see(client, "profile")
    assert "organization" not in alone.html
    assert see(client, "profile", **acme).status == 404
    assert see(client, "profile", page).status == 404
    given = {"DATABASE": project.alias, "CLOCK": CLOCK}
    with override_settings(SEGMENTFLOW={**given, "ORGANIZATIONS": ["default", "acme & co"]}):
        assert len(see(client, "profile").rows) == 2
        shown = see(client, "profile", **acme)
        assert shown.rows == [zoe.profile_id]
        assert '<option value="acme &amp; co" selected>' in shown.html
        (link,) = shown.links
        assert link.endswith(f"{zoe.profile_id}/change/?organization=acme+%26+co")
        followed = Shown(client.get(link))
        assert "zoe@example.com" in followed.words
        assert all("organization=acme+%26+co" in each for each in followed.links)
        assert see(client, "profile", page).status == 404
        assert see(client, "profile", organization="other").status == 404
    for setting, status in [
        (f"{__name__}.organizations_of", 200),
        (f"{__name__}.no_organizations", 403),
        ("no.such", 500),
        (["default", 7], 500),
        (7, 500),
    ]:
        with override_settings(SEGMENTFLOW={**given, "ORGANIZATIONS": setting}):
            assert see(client, "profile").status == status


def organizations_of(request):
    """Say whose records a user may be shown, as a project does."""
    return ["acme & co"] if request.user.is_staff else []


def no_organizations(_request):
    return []


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_who_was_merged_or_erased_is_shown_as_what_became_of_her(project, tracker):
    alex, bea = (tracker.records.find_profile(who).profile_id for who in (ALEX, "cus_bea"))
    client = browser(*KINDS)
    tracker.people.merge(alex, bea)
    merged = see(client, "profile", f"{bea}/change/")
    assert "bea@example.com" not in merged.html
    assert f"/admin/segmentflow_django/profile/{alex}/why/" in merged.links
    assert len(see(client, "userevent", q="cus_bea").rows) == 3
    tracker.people.erase(alex)
    for page in (f"{alex}/change/", f"{alex}/why/", ""):
        shown = see(client, "profile", page)
        assert shown.status == 200
        assert "erased" in shown.words.lower()
        assert ALEX not in shown.html
    (newest, *_) = tracker.records.events()
    event = see(client, "userevent", f"{newest.event_id}/change/")
    assert (event.status, "coupon" in event.words) == (200, False)


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_nothing_is_written_and_nothing_else_is_answered(project, tracker):
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    (newest, *_) = tracker.records.events()
    page = f"/admin/segmentflow_django/userevent/{newest.event_id}/"
    assert client.get(f"{page}change/").status_code == 200
    assert client.post(f"{page}change/").status_code == 405
    assert client.post("/admin/segmentflow_django/userevent/").status_code == 405
    for other in (f"{page}delete/", f"{page}history/", "/admin/segmentflow_django/userevent/add/"):
        assert client.get(other).status_code == 404
    for none in (f"{newest.profile_id}/change/", "nonsense/change/", "%00/change/"):
        assert see(client, "userevent", none).status == 404
    assert "userevent/add/" not in client.get("/admin/").content.decode()


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_an_admin_of_the_projects_own_links_only_what_it_has(project, tracker):
    client = browser(*KINDS)
    (newest, *_) = tracker.records.events()
    page = see(client, "userevent", f"{newest.event_id}/change/", site="ops")
    assert f"/ops/segmentflow_django/profile/{newest.profile_id}/change/" in page.links
    assert "big/one" in page.words
    assert not [link for link in page.links if "/journey/" in link or link.startswith("/admin")]


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_store_that_refuses_is_shown_as_its_words(project):
    with project.connection.cursor() as cursor:
        cursor.execute("UPDATE segmentflow_schema SET version = 99")
        cursor.execute("ALTER TABLE segmentflow_profiles RENAME TO of_a_newer_library")
    page = see(browser(*KINDS), "profile")
    assert page.status == 500
    assert "Not now" in page.html
    assert "of another version, 99" in page.words


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_the_models_are_names_that_no_table_stands_behind(project):
    from django.core.management import call_command

    from segmentflow_django.models import Profile

    out = StringIO()
    call_command("makemigrations", check=True, dry_run=True, stdout=out)
    assert "No changes detected" in out.getvalue()
    call_command("check", "segmentflow_django", fail_level="WARNING")
    call_command("dumpdata", "segmentflow_django", database=project.alias, use_base_manager=True)
    assert list(Profile.objects.using(project.alias)) == []
    assert not [table for table in project.tables if table.startswith("segmentflow_django_")]
