"""What is done from the page: asked first, by whom it says, and by nobody else's form."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from console_asking import FORM, Asking, operator
from segmentflow_console import Console, actions
from segmentflow_core import EnrollmentStatus
from segmentflow_core.errors import IdentityBlocked
from segmentflow_core.testing import a_request

PAUSED = quote("paused & <waiting>")


def paths(world):
    person = f"/people/{world.alex}"
    return {
        "suppress": f"{person}/suppress",
        "unsuppress": f"{person}/unsuppress",
        "erase": f"{person}/erase",
        "revive": f"/enrollments/{world.dead}/revive",
        "withdraw": f"/enrollments/{world.waiting}/withdraw",
        "pause": "/journeys/pause?id=order-confirmation",
        "activate": f"/journeys/activate?id={PAUSED}",
    }


def last(world):
    (record,) = world.tracker.records.audit(limit=1)
    return record.action, record.subjects, record.by


def confirmed(ask, path, **fields):
    """Say yes, and follow to where that leads; give what the page then says."""
    answer = ask.confirm(path, **fields)
    assert answer.status == 303
    return ask.get(answer.headers["location"])


def test_what_is_done_is_on_record_with_who_did_it(ask, world):
    at, tracker = paths(world), world.tracker
    shown = confirmed(ask, at["suppress"])
    assert "She is suppressed" in shown.text
    assert last(world) == ("profile_suppressed", (world.alex,), "carol")
    assert "Nothing had to be changed." in confirmed(ask, at["suppress"]).text
    assert "Journeys may enrol her again." in confirmed(ask, at["unsuppress"]).text
    assert last(world) == ("profile_unsuppressed", (world.alex,), "carol")
    assert "The Enrollment is withdrawn." in confirmed(ask, at["withdraw"]).text
    assert last(world) == ("enrollments_withdrawn", (world.waiting,), "carol")
    assert "Nothing had to be changed." in confirmed(ask, at["withdraw"]).text
    assert "The Journey is paused." in confirmed(ask, at["pause"]).text
    assert last(world) == ("journeys_published", ("order-confirmation",), "carol")
    assert "The Journey is active." in confirmed(ask, at["activate"]).text
    assert tracker.journeys.get("paused & <waiting>").definition.status == "active"
    for action in ("activate", "unsuppress"):
        assert "Nothing had to be changed." in confirmed(ask, at[action]).text


def test_a_dead_enrollment_is_revived(ask, world):
    path = paths(world)["revive"]
    assert "available to workers again" in confirmed(ask, path).text
    revived = world.tracker.enrollments.get(world.dead)
    assert (revived.status, revived.attempts) == (EnrollmentStatus.PENDING, 0)
    assert "Nothing had to be changed." in confirmed(ask, path).text
    assert "Revive" not in ask.get(f"/enrollments/{world.dead}").text


def test_a_person_is_erased_only_once_the_word_is_written(ask, world, monkeypatch):
    monkeypatch.setattr(actions, "_AT_ONCE", 3)
    path, whose = paths(world)["erase"], f"/people/{world.alex}"
    refused = ask.confirm(path, word="yes")
    assert (refused.status, "Write the word erase" in refused.text) == (403, True)
    assert world.tracker.records.profile(world.alex).erased_at is None

    shown = confirmed(ask, path, word=" Erase", block="yes")
    assert "some of what her events held is still there" in shown.text
    assert last(world)[::2] == ("profile_erased", "carol")
    rounds = 0
    while "Go on erasing" in shown.text:
        shown = confirmed(ask, path, word="erase")
        rounds += 1
    assert rounds > 1
    assert "She is erased." in shown.text
    assert world.tracker.records.profile(world.alex).scrubbed_at is not None
    page = ask.get(whose).text
    assert "alex" not in page
    assert "/erase" not in page
    assert ask.get(f"/events/{world.order}").status == 200
    with pytest.raises(IdentityBlocked):
        world.tracker.track(a_request(profile={"email": "alex@example.com"}), "again")


def test_a_form_about_somebody_who_was_merged_meanwhile_does_nothing(ask_sync, world):
    """What is done would be done to the other one as well, whom the form did not name."""
    gone, stays = (
        world.alex,
        world.tracker.track(a_request(profile={"email": "other@example.com"}), "other"),
    )
    path = f"/people/{gone}/erase"
    token = ask_sync.get(path).token
    world.tracker.people.merge(stays.profile_id, gone)
    refused = ask_sync.post(path, {"token": token, "word": "erase"})
    assert (refused.status, "Nothing was done" in refused.text) == (403, True)
    assert ask_sync.get(path).status == 403
    assert world.tracker.records.profile(stays.profile_id).erased_at is None


FORGED = {
    "no token": ({}, {}),
    "another's token": ({"token": "hers"}, {}),
    "the token of something else": ({"token": "else"}, {}),
    "an old token": ({"token": "old"}, {}),
    "no number in the token": ({"token": "x.y"}, {}),
    "another origin": ({"token": "own"}, {"origin": "https://evil.example.com"}),
    "a part of the origin": ({"token": "own"}, {"origin": "https://ops.example.com.evil.net"}),
    "an opaque origin": ({"token": "own"}, {"origin": "null"}),
    "no origin": ({"token": "own"}, {"origin": ""}),
    "another site, as the browser says": ({"token": "own"}, {"sec-fetch-site": "same-site"}),
}


def test_a_form_that_the_page_did_not_make_does_nothing(ask_sync, world, clock):
    ask, path = ask_sync, paths(world)["suppress"]
    made = {"old": ask.get(path).token}
    clock.advance(hours=12, seconds=2)
    made |= {"own": ask.get(path).token, "else": ask.get(paths(world)["unsuppress"]).token}
    made["hers"] = ask.get(path, operator=operator(name="mallory")).token
    for forged, (given, headers) in FORGED.items():
        fields = {name: made.get(value, value) for name, value in given.items()}
        refused = ask.post(path, fields, {**FORM, **headers})
        assert (refused.status, "form_refused" in refused.text) == (403, True), forged
        assert world.tracker.records.profile(world.alex).suppressed_at is None, forged
    assert ask.post(path, {"token": made["own"]}).status == 303


def test_a_form_has_to_be_one(ask_sync, world):
    path = paths(world)["suppress"]
    assert ask_sync.post(path, {}, {**FORM, "content-type": "application/json"}).status == 415
    assert ask_sync("POST", path, FORM, b"token=1&token=2").status == 400
    assert ask_sync("POST", path, FORM, b"token=%ff").status == 400
    assert ask_sync("POST", path, FORM, b"&".join([b"a=1"] * 99)).status == 400
    assert ask_sync("POST", path, FORM, b"a" * 20_000).status == 413
    early = ask_sync.console.refuse_early("POST", path, {**FORM, "content-length": "99999"})
    assert early.status == 413
    caller = ask_sync.console.refuse_caller("POST", path, FORM)
    assert caller.status == 401
    assert world.tracker.records.profile(world.alex).suppressed_at is None


def test_a_host_behind_a_proxy_names_its_origins(world, clock):
    console = Console(world.tracker, clock=clock, origins=["https://ops.example.com"])
    ask, path = Asking(console), paths(world)["suppress"]
    token, behind = ask.get(path).token, {"host": "10.0.0.7:8000"}
    assert (
        ask.post(
            path, {"token": token}, {**FORM, **behind, "origin": "http://10.0.0.7:8000"}
        ).status
        == 403
    )
    assert ask.post(path, {"token": token}, {**FORM, **behind}).status == 303
