"""Suppressing, merging and erasing from the command line, and the record of it."""

from __future__ import annotations

import json
import re

import pytest

from command_answers import answer
from segmentflow_core import ApiKeys, Tracker
from segmentflow_core.errors import IdentityBlocked
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_core.wire import audit_document, profile_document
from terminals import terminal

ALEX = {"email": "alex-canary@example.com", "externalId": "canary-1", "properties": {"n": "canary"}}
SAM = {"email": "sam@example.com", "externalId": "cus_2"}


@pytest.fixture
def tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


@pytest.fixture
def alex(tracker):
    """Let Alex enter a Journey with each of three events."""
    tracker.journeys.publish([a_journey()])
    return next(iter({track(tracker, f"key {number}").profile_id for number in range(3)}))


def track(tracker, key, profile=ALEX):
    request = a_request(profile=profile, data={"secret": "canary"}, referenceId=f"canary {key}")
    return tracker.track(request, key)


def profile(tracker, profile_id):
    return tracker.records.profile(profile_id)


def test_erasing_says_what_was_done_and_nothing_of_the_person(run, tracker, alex):
    status, out, err = run("profiles", "erase", "canary-1", "--yes", "--block")
    assert (status, err) == (0, "")
    assert out == (
        f"Erased Profile {alex}: 6 records scrubbed, 3 Enrollments withdrawn,"
        " 2 identities blocked.\n"
    )
    assert profile(tracker, alex).scrubbed_at is not None
    with pytest.raises(IdentityBlocked):
        track(tracker, "later")
    again = answer(run("profiles", "erase", alex, "--yes", "--json"))
    nothing = {"withdrawn": 0, "blocked": 0, "scrubbed": 0}
    assert again == {"profileId": alex, **nothing, "done": True}
    late = run("profiles", "erase", alex, "--yes", "--block")[1]
    assert "nothing was left to be blocked" in late
    for asked in (("profiles", "list"), ("profiles", "show", alex), ("why", alex), ("audit",)):
        status, out, err = run(*asked)
        assert (status, err) == (0, "")
        assert "canary" not in out
        assert alex in out
    assert "erased since" in run("profiles", "list")[1]
    assert "This Profile is erased since" in run("why", alex)[1]
    assert run("profiles", "show", "canary-1")[0] == 1


DESTROYING = pytest.mark.parametrize(
    "arguments",
    [
        ("profiles", "erase", "canary-1"),
        ("profiles", "merge", "canary-1", "cus_2"),
        ("keys", "revoke", "KEY"),
    ],
    ids=" ".join,
)


@pytest.fixture
def untouched(storage, tracker, alex):
    """Say whether Alex, Sam and the one API Key are as they were."""
    sam = track(tracker, "sam", SAM).profile_id

    def untouched():
        (key,) = ApiKeys(storage).list()
        people = [profile(tracker, each) for each in (alex, sam)]
        return [each.profile_id for each in people] == [alex, sam] and not (
            key.revoked_at or any(each.erased_at for each in people)
        )

    return untouched


@pytest.fixture
def asked(run, storage):
    """Run a command about the one API Key, or about somebody else."""
    key = ApiKeys(storage).create(["events:write"]).api_key.key_id
    return lambda arguments: run(*(key if each == "KEY" else each for each in arguments))


@DESTROYING
def test_what_destroys_needs_to_be_told_so_without_a_terminal(asked, untouched, arguments):
    status, out, err = asked(arguments)
    assert (status, out) == (1, "")
    assert err.startswith("not_confirmed: This cannot be undone")
    assert "--yes" in err
    assert untouched()


@DESTROYING
@pytest.mark.parametrize("typed", ["\n", "no\n", "y\n", " YES \n"])
def test_what_destroys_asks_on_a_terminal(asked, untouched, monkeypatch, arguments, typed):
    with terminal(monkeypatch, typed) as shown:
        status, _, _ = asked(arguments)
    (page,) = shown
    assert "This cannot be undone. [y/N]" in page
    assert "canary" not in page
    assert untouched() is (status == 1) is ("not_confirmed" in page) is ("y" not in typed.lower())


def test_with_json_a_refusal_to_go_on_is_an_envelope(run, alex):
    status, out, err = run("profiles", "erase", alex, "--json")
    assert (status, out, json.loads(err)["error"]) == (1, "", "not_confirmed")


def test_merging_leads_both_to_the_one_that_stays(run, tracker, alex):
    sam = track(tracker, "sam", SAM).profile_id
    merging = ("profiles", "merge", "canary-1", "cus_2")
    done = answer(run(*merging, "--yes", "--by", "carol", "--json"))
    assert done == {"profileId": alex, "changed": True, "withdrawn": 0}
    for who in ("cus_2", "sam@example.com", sam):
        shown = answer(run("profiles", "show", who, "--json"))
        assert (shown["profileId"], shown["aliases"]) == (alex, 2)
    assert f"merged into {alex}" in run("profiles", "list")[1]
    # It changes nothing any more, so nobody is asked.
    assert run(*merging) == (0, f"These are one Profile already: {alex}.\n", "")
    record = answer(run("audit", "--limit", "1", "--json"))[0]
    assert (record["action"], record["subjects"]) == ("profiles_merged", [alex, sam])
    assert record["by"] == "carol"


def test_a_page_says_what_was_merged(run, tracker, alex):
    sam = track(tracker, "sam", SAM).profile_id
    status, out, err = run("profiles", "merge", "canary-1", "cus_2", "--yes")
    line = f"Merged Profile {sam} into Profile {alex}; 0 Enrollments withdrawn.\n"
    assert (status, out, err) == (0, line, "")


def test_suppressing_withdraws_and_shows_wherever_the_person_does(run, tracker, alex):
    assert run("profiles", "suppress", "canary-1") == (
        0,
        f"Profile {alex} is suppressed; 3 Enrollments withdrawn.\n",
        "",
    )
    again = answer(run("profiles", "suppress", alex, "--json"))
    since = profile_document(profile(tracker, alex))["suppressedAt"]
    nothing = {"changed": False, "withdrawn": 0}
    assert again == {"profileId": alex, "suppressedAt": since, **nothing}
    assert "was suppressed already; 0 Enrollments" in run("profiles", "suppress", alex)[1]
    event = track(tracker, "suppressed").event_id
    page = run("why", "canary-1")[1]
    assert f"This Profile is suppressed since {since}." in page
    assert page.count("welcome (version 1): enrolled, withdrawn at ") == 3
    assert "welcome (version 1): skipped, suppressed" in page
    assert "skipped, suppressed" in run("explain", "--event", event)[1]
    assert f"suppressed since {since}" in run("profiles", "list")[1]


def test_a_suppression_is_lifted(run, tracker, alex):
    run("profiles", "suppress", alex)
    assert run("profiles", "unsuppress", alex)[1] == f"Profile {alex} is no longer suppressed.\n"
    assert run("profiles", "unsuppress", alex)[1] == f"Profile {alex} was not suppressed.\n"
    assert track(tracker, "again").enrolled_journeys == 1


def test_an_erasure_that_was_stopped_goes_on(run, storage, tracker, alex):
    storage.left = 1
    status, out, err = run("profiles", "erase", alex, "--yes")
    assert (status, out) == (130, "")
    assert "Go on with: segmentflow profiles erase --resume" in err
    storage.left = None
    assert "being erased" in run("profiles", "list")[1]
    assert run("profiles", "erase", "--resume")[1] == "1 Profile erased to the end.\n"
    assert profile(tracker, alex).scrubbed_at is not None
    assert answer(run("profiles", "erase", "--resume", "--json")) == {"finished": 0}


def test_an_erasure_shows_its_progress_on_a_terminal_only(run, alex, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    status, out, err = run("profiles", "erase", alex, "--yes", "--json")
    assert (status, json.loads(out)["done"]) == (0, True)
    assert "6 records" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)


@pytest.mark.parametrize(
    "arguments",
    [
        ("profiles", "erase"),
        ("profiles", "erase", "canary-1", "--resume"),
        ("profiles", "erase", "--resume", "--block"),
        ("profiles", "merge", "canary-1"),
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together_are_wrong_usage(run, alex, arguments):
    assert run(*arguments)[0] == 2


@pytest.mark.parametrize("command", ["suppress", "unsuppress", "erase"])
def test_whoever_is_not_there_is_not_found(run, alex, command):
    status, out, err = run("profiles", command, "nobody@example.com")
    assert (status, out, err.splitlines()[0]) == (
        1,
        "",
        "not_found: Not found: no Profile has this email, external id or id.",
    )


def test_the_record_says_who_did_what(run, tracker, alex, tmp_path):
    key = answer(run("keys", "create", "--scope", "events:write", "--by", "carol", "--json"))
    run("keys", "revoke", key["keyId"], "--yes", "--by", "dan")
    file = tmp_path / "journeys.json"
    file.write_text(json.dumps({"journeys": [a_journey(name="Another"), a_journey("new")]}))
    run("journeys", "apply", str(file), "--dry-run", "--by", "nobody")
    run("journeys", "apply", str(file), "--by", "erin")
    run("journeys", "apply", str(file), "--by", "nobody")
    found = answer(run("audit", "--json"))
    assert found == [audit_document(record) for record in tracker.records.audit()]
    assert [(each["action"], each["subjects"], each["by"]) for each in found] == [
        ("journeys_published", ["new", "welcome"], "erin"),
        ("api_key_revoked", [key["keyId"]], "dan"),
        ("api_key_created", [key["keyId"]], "carol"),
        ("journeys_published", ["welcome"], None),
    ]
    newest, *older = found
    paged = answer(run("audit", "--before", newest["auditId"], "--json"))
    assert paged == older
    assert answer(run("audit", "--organization", "acme", "--json")) == []
    page = run("audit", "--limit", "1")[1]
    assert "journeys_published" in page
    assert "1 created, 1 newVersions" in page
    assert "erin" in page
    assert "api_key" not in page


def test_a_publication_of_many_names_a_few(run, tracker):
    tracker.journeys.publish([a_journey(f"journey-{number}") for number in range(5)])
    assert "journey-0, journey-1, journey-2 and 2 more" in run("audit")[1]


def test_a_store_that_keeps_no_record_says_so(run, storage):
    vars(storage._transaction).pop("audit")
    status, out, err = run("audit")
    assert (status, out) == (1, "")
    assert err.startswith("invalid_configuration: This storage keeps no record of what was done.")
