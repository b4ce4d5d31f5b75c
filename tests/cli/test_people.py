"""Finding from the command line, and one person's story."""

from __future__ import annotations

from datetime import timedelta

import pytest

from command_answers import answer
from segmentflow_cli import main
from segmentflow_core import Tracker
from segmentflow_core.errors import IdentityBlocked
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_core.wire import enrollment_document, profile_document, story_document
from segmentflow_sql import open_storage

LARGE = {"event": "order.created", "where": {"path": "/event/total", "op": "gte", "value": 40}}
WHO = {"email": "alex@example.com", "externalId": "cus_123"}


@pytest.fixture(autouse=True)
def tracker(tmp_path, monkeypatch):
    """Give a tracker on the store that every command of the test opens."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    storage = open_storage(url)
    storage.create_all()
    monkeypatch.setenv("SEGMENTFLOW_STORE", url)
    monkeypatch.setenv("COLUMNS", "300")
    yield Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    storage.close()


@pytest.fixture
def run(capsys):
    """Run the command; give its exit status, stdout and stderr."""

    def run(*arguments):
        status = main(list(arguments))
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def receipt(tracker):
    """Let Alex enter one Journey of two."""
    tracker.journeys.publish([a_journey(), a_journey("large", trigger=LARGE)])
    return order(tracker, "1", total=30)


def order(tracker, key, profile=WHO, **data):
    return tracker.track(a_request(profile=profile, data=data, referenceId=key), key)


@pytest.mark.parametrize("who", ["alex@example.com", "ALEX@example.com", "cus_123"])
def test_why_starts_from_what_is_known_of_a_person(run, tracker, receipt, who):
    expected = story_document(tracker.records.why(receipt.profile_id))
    assert answer(run("why", who, "--json")) == expected
    status, page, _ = run("why", who)
    assert status == 0
    for line in (
        f"alex@example.com  cus_123  {receipt.profile_id}",
        f"order.created  {receipt.event_id}",
        "large (version 1): skipped, condition_not_met",
        "The Journey's condition is false.",
        "welcome (version 1): enrolled, waiting since",
    ):
        assert line in page


def test_why_leads_to_the_leaf_that_was_false(run, tracker, receipt):
    expected = story_document(tracker.records.why(receipt.profile_id, journey_id="large"))
    assert answer(run("why", "cus_123", "--journey", "large", "--json")) == expected
    _, page, _ = run("why", "cus_123", "--journey", "large")
    assert "✘ condition: /event/total gte 40: found 30" in page
    assert "welcome" not in page


def test_why_says_what_became_of_each_entry(run, tracker, receipt):
    def told():
        return run("why", "cus_123", "--journey", "welcome")[1]

    (claimed,) = tracker.enrollments.claim()
    assert "enrolled, claimed until" in told()
    tracker.enrollments.release(claimed.lease, delay=timedelta())
    assert "enrolled, waiting after 1 attempt" in told()
    (claimed,) = tracker.enrollments.claim()
    tracker.enrollments.release(claimed.lease, max_attempts=2, error="no answer from smtp")
    assert "enrolled, dead after 2 attempts" in told()
    assert "last failure: no answer from smtp" in told()
    tracker.enrollments.revive(claimed.enrollment.enrollment_id)
    assert "last failure" not in told()
    (claimed,) = tracker.enrollments.claim()
    tracker.enrollments.complete(claimed.lease)
    assert "enrolled, completed at" in told()


def test_why_tells_page_by_page(run, tracker, receipt):
    second = order(tracker, "2", total=50)
    page = answer(run("why", "cus_123", "--limit", "1", "--json"))
    assert [event["eventId"] for event in page["events"]] == [second.event_id]
    assert f"Older events: --before {second.event_id}" in run("why", "cus_123", "--limit", "1")[1]
    rest = answer(run("why", "cus_123", "--before", page["before"], "--json"))
    assert [event["eventId"] for event in rest["events"]] == [receipt.event_id]
    assert rest["before"] is None


def test_why_says_where_no_journey_listened(run, tracker, receipt):
    tracker.track(a_request("order.paid", profile={"email": "b@example.com"}), "paid")
    assert "No Journey listened for this event." in run("why", "b@example.com")[1]
    status, page, _ = run("why", "b@example.com", "--journey", "large")
    assert status == 0
    assert "large listened for none of these events." in page
    oldest = tracker.records.events()[-1].event_id
    assert "No event." in run("why", "cus_123", "--before", oldest)[1]


def test_why_of_one_journey_says_that_this_one_did_not_listen(run, tracker):
    """An event that withdrew what waited in it is told of, whatever it did in another."""
    tracker.journeys.publish(
        [
            a_journey(
                "reminder", trigger={"event": "cart.filled"}, cancelOn=[{"event": "order.created"}]
            ),
            a_journey(),
        ]
    )
    tracker.track(a_request("cart.filled", profile=WHO), "cart")
    order(tracker, "1")
    page = run("why", "cus_123", "--journey", "reminder")[1]
    assert "reminder did not listen for this event." in page
    assert "No Journey listened" not in page


@pytest.mark.parametrize("email", ["alex@example.com", " ALEX@example.com", "alias@example.com"])
def test_events_are_found_by_an_email(run, tracker, receipt, email):
    goes = order(tracker, "2", profile={"email": "alias@example.com"})
    order(tracker, "3", profile={"email": "b@example.com", "externalId": "alex@example.org"})
    tracker.people.merge(receipt.profile_id, goes.profile_id)
    found = answer(run("events", "list", "--email", email, "--json"))
    assert [event["eventId"] for event in found] == [goes.event_id, receipt.event_id]


def test_an_email_finds_no_other_identity_and_goes_with_no_profile(run, receipt):
    status, _, err = run("events", "list", "--email", "cus_123")
    assert (status, err.startswith("not_found: ")) == (1, True)
    status, _, err = run("events", "list", "--email", "alex@example.com", "--profile", "cus_123")
    assert (status, "--email" in err) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("why", "nobody@example.com"),
        ("why", "cus_123", "--journey", "unheard-of"),
        ("profiles", "show", "nobody"),
        ("events", "list", "--profile", "nobody"),
        ("events", "list", "--email", "nobody@example.com"),
        ("enrollments", "list", "--profile", "nobody"),
        ("enrollments", "show", "nothing"),
        ("why", "cus_123", "--organization", "acme"),
    ],
    ids=" ".join,
)
def test_whoever_is_not_there_is_not_found(run, receipt, arguments):
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("not_found: ")


def test_an_enrollment_whose_row_is_gone_is_told_all_the_same(run, receipt, tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("DELETE FROM segmentflow_enrollments")
    connection.close()
    assert "welcome (version 1): enrolled\n" in run("why", "cus_123")[1]


def test_profiles_are_listed_and_shown(run, tracker, receipt):
    profile = profile_document(tracker.records.profile(receipt.profile_id))
    other = order(tracker, "2", profile={"email": "b@example.com"}).profile_id
    listed = answer(run("profiles", "list", "--json"))
    assert [each["profileId"] for each in listed] == [other, receipt.profile_id]
    assert listed[1] == profile
    assert answer(run("profiles", "list", "--limit", "1", "--before", other, "--json")) == [profile]
    for who in ("cus_123", receipt.profile_id):
        assert answer(run("profiles", "show", who, "--json")) == profile
    page = run("profiles", "list")[1]
    assert "b@example.com" in page
    assert "None" not in page


def test_events_are_listed_by_what_they_say(run, tracker, receipt):
    tracker.track(a_request("order.paid", profile=WHO), "paid")
    order(tracker, "2", profile={"email": "b@example.com"})

    def listed(*options):
        return [event["eventId"] for event in answer(run("events", "list", *options, "--json"))]

    assert listed("--profile", "cus_123", "--event", "order.created") == [receipt.event_id]
    assert listed("--reference", "1") == [receipt.event_id]
    since = ("--since", "2020-01-01T00:00:00Z")
    assert listed("--profile", "alex@example.com", *since, "--reference", "1") == [receipt.event_id]
    assert listed("--until", "2020-01-01T00:00:00Z") == []
    assert len(listed(*since)) == 3


def test_enrollments_are_listed_by_profile_and_event_and_shown(run, tracker, receipt):
    other = order(tracker, "2", profile={"email": "b@example.com"})
    (entered,) = tracker.enrollments.list(profile_id=receipt.profile_id)
    expected = enrollment_document(entered)

    def listed(*options):
        return answer(run("enrollments", "list", *options, "--json"))

    assert listed("--profile", "cus_123") == [expected]
    assert listed("--event", receipt.event_id, "--status", "pending") == [expected]
    assert listed("--event", other.event_id, "--profile", "cus_123") == []
    assert answer(run("enrollments", "show", expected["enrollmentId"], "--json")) == expected


def test_a_person_is_merged_suppressed_and_erased_in_a_file(run, tracker, receipt):
    canary = {"email": "canary@example.com", "externalId": "canary", "properties": {"n": "canary"}}
    goes = order(tracker, "canary", profile=canary, secret="canary").profile_id
    merged = answer(run("profiles", "merge", "cus_123", "canary", "--yes", "--json"))
    assert (merged["profileId"], merged["changed"]) == (receipt.profile_id, True)
    suppressed = answer(run("profiles", "suppress", "canary@example.com", "--json"))
    assert (suppressed["profileId"], suppressed["withdrawn"]) == (receipt.profile_id, 2)
    order(tracker, "another canary", profile=canary, secret="canary")
    page = run("why", goes)[1]
    assert "welcome (version 1): skipped, suppressed" in page
    assert page.count("enrolled, withdrawn at") == 2
    counts = {
        each["journeyId"]: each for each in answer(run("journeys", "stats", "--json"))["journeys"]
    }
    assert counts["welcome"]["skipped"] == {"suppressed": 1}
    assert counts["welcome"]["enrollments"]["withdrawn"] == 2
    erased = answer(run("profiles", "erase", "canary", "--block", "--yes", "--json"))
    assert (erased["profileId"], erased["blocked"], erased["done"]) == (receipt.profile_id, 4, True)
    with pytest.raises(IdentityBlocked):
        order(tracker, "later", profile={"email": "CANARY@example.com"})
    for shown in ("profiles", "events", "enrollments"):
        assert "canary" not in run(shown, "list", "--json")[1]
    assert answer(run("profiles", "erase", "--resume", "--json")) == {"finished": 0}
    actions = [each["action"] for each in answer(run("audit", "--json"))]
    assert actions == [
        "profile_scrubbed",
        "profile_scrubbed",
        "profile_erased",
        "profile_suppressed",
        "profiles_merged",
        "journeys_published",
    ]
