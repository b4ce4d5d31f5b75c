from __future__ import annotations

import json

import pytest

from command_answers import answer
from segmentflow_cli import main
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import open_storage


@pytest.fixture(autouse=True)
def tracker(tmp_path, monkeypatch):
    """Give a tracker on the store that every command of the test opens."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    storage = open_storage(url)
    storage.create_all()
    monkeypatch.setenv("SEGMENTFLOW_STORE", url)
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", FINGERPRINT_SECRET)
    monkeypatch.setenv("COLUMNS", "300")
    yield Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    storage.close()


@pytest.fixture
def entered(tracker):
    """Let three Profiles enter a Journey; give the Enrollments' ids in their order."""
    return enrol(tracker, "abc")


def enrol(tracker, names, organization_id="default"):
    tracker.journeys.publish({"journeys": [a_journey()]}, organization_id=organization_id)
    for name in names:
        request = a_request(profile={"email": f"{name}@example.com"})
        tracker.track(request, name, organization_id=organization_id)
    found = tracker.enrollments.list(organization_id=organization_id)
    return [enrollment.enrollment_id for enrollment in found][::-1]


@pytest.fixture
def run(capsys):
    """Run the command below `enrollments`; give its exit status, stdout and stderr."""

    def run(*arguments):
        status = main(["enrollments", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_a_claim_prints_what_a_worker_needs_and_its_token(run, entered):
    claimed = answer(run("claim", "--limit", "2", "--lease", "PT1M", "--json"))
    assert [item["enrollmentId"] for item in claimed] == entered[:2]
    assert claimed[0]["state"]["profile"]["email"] == "a@example.com"
    assert claimed[0]["attempts"] == 1
    assert len({item["token"] for item in claimed}) == 1
    (third,) = answer(run("claim", "--json"))
    assert third["token"] != claimed[0]["token"]
    assert answer(run("claim", "--json")) == []


def test_a_claim_for_people_says_how_to_go_on(run, entered):
    status, out, _ = run("claim")
    assert status == 0
    assert all(identifier in out for identifier in entered)
    assert "segmentflow enrollments complete ID --token TOKEN" in out
    assert "--token" not in run("claim")[1]


def test_what_is_claimed_is_completed_by_its_token(run, entered):
    token = answer(run("claim", "--json"))[0]["token"]
    done = answer(run("complete", *entered[:2], "--token", token, "--json"))
    assert [item["status"] for item in done] == ["completed", "completed"]
    assert answer(run("complete", *entered[:2], "--token", token, "--json")) == done
    assert "completed" in run("complete", entered[2], "--token", token)[1]


def test_another_token_is_refused_by_code(run, entered):
    answer(run("claim", "--json"))
    status, out, err = run("complete", entered[0], "--token", "another", "--json")
    assert (status, out, json.loads(err)["error"]) == (1, "", "lease_lost")
    status, _, err = run("release", "nothing", "--token", "another")
    assert status == 1
    assert "not_found" in err


def test_one_refusal_hinders_no_other_and_is_told(run, entered):
    token = answer(run("claim", "--limit", "1", "--json"))[0]["token"]
    status, out, err = run("complete", entered[1], entered[0], "--token", token, "--json")
    assert (status, json.loads(err)["error"]) == (1, "lease_lost")
    assert [item["enrollmentId"] for item in json.loads(out)] == entered[:1]


def test_what_is_released_waits_for_its_delay(run, entered):
    token = answer(run("claim", "--json"))[0]["token"]
    answer(run("release", *entered[:2], "--token", token, "--delay", "P1D", "--json"))
    (back,) = answer(run("release", entered[2], "--token", token, "--uncounted", "--json"))
    assert (back["status"], back["attempts"]) == ("pending", 0)
    assert [item["enrollmentId"] for item in answer(run("claim", "--json"))] == entered[2:]


def test_a_lease_is_extended(run, entered):
    before = answer(run("claim", "--lease", "PT1M", "--json"))[0]
    (after,) = answer(
        run("extend", entered[0], "--token", before["token"], "--lease", "PT1H", "--json")
    )
    assert after["availableAt"] > before["leaseUntil"]


def test_what_is_dead_is_listed_and_revived(run, entered):
    token = answer(run("claim", "--json"))[0]["token"]
    assert "last failure" not in run("list")[1]
    words = "no answer\nfrom smtp.example.com"
    run("release", entered[0], "--token", token, "--max-attempts", "1", "--error", words)
    (dead,) = answer(run("list", "--status", "dead", "--json"))
    assert (dead["enrollmentId"], dead["lastFailure"]) == (entered[0], words)
    page = run("list", "--status", "dead")[1]
    assert "dead" in page
    assert "last failure" in page
    assert "no answer…" in page
    assert answer(run("show", entered[0], "--json"))["lastFailure"] == words
    (revived,) = answer(run("revive", entered[0], "--json"))
    assert (revived["status"], revived["attempts"]) == ("pending", 0)
    assert answer(run("list", "--status", "dead", "--json")) == []


def test_a_claim_keeps_to_one_journey_and_one_organization_unless_told_otherwise(run, tracker):
    enrol(tracker, "a", organization_id="acme")
    assert answer(run("claim", "--json")) == []
    assert answer(run("claim", "--journey", "other", "--all-organizations", "--json")) == []
    (claimed,) = answer(run("claim", "--all-organizations", "--json"))
    assert claimed["organizationId"] == "acme"


@pytest.mark.parametrize(
    "arguments",
    [
        ("complete", "--token", "t"),
        ("complete", "id"),
        ("claim", "--lease", "5 minutes"),
        ("claim", "--lease", "PT0S"),
        ("list", "--status", "lost"),
    ],
)
def test_wrong_usage_is_told_from_a_refusal(run, arguments):
    assert run(*arguments)[0] == 2


def test_a_lease_too_long_is_refused(run):
    status, _, err = run("claim", "--lease", "P1000D")
    assert status == 2
    assert "lease" in err


def test_what_is_not_finished_is_withdrawn_once_that_is_confirmed(run, entered, tracker):
    status, _, told = run("withdraw", *entered[:2])
    assert (status, "not_confirmed" in told or "--yes" in told) == (1, True)
    assert {entry.status for entry in tracker.enrollments.list()} == {"pending"}
    gone = answer(run("withdraw", *entered[:2], "--yes", "--by", "Kim", "--json"))
    assert [(item["enrollmentId"], item["status"]) for item in gone] == [
        (entered[0], "withdrawn"),
        (entered[1], "withdrawn"),
    ]
    assert [item["enrollmentId"] for item in answer(run("claim", "--json"))] == [entered[2]]
    (record, *_) = tracker.records.audit()
    assert (record.action, record.by, record.counts) == (
        "enrollments_withdrawn",
        "Kim",
        {"withdrawn": 2},
    )
    assert record.subjects == tuple(sorted(entered[:2]))


def test_what_an_event_cancelled_is_told_with_the_event(run, tracker, capsys):
    rules = [{"event": "order.paid", "same": ["/event/cart"]}]
    tracker.journeys.publish([a_journey(cancelOn=rules, delay="PT1H")])
    tracker.track(a_request(data={"cart": "A"}), "1")
    (entry,) = tracker.enrollments.list()
    assert main(["why", "alex@example.com"]) == 0
    assert "waiting, available from" in capsys.readouterr().out
    paid = tracker.track(a_request("order.paid", data={"cart": "A"}), "2").event_id
    assert answer(run("show", entry.enrollment_id, "--json"))["cancelledBy"] == paid
    for command in (["why", "alex@example.com"], ["explain", "--event", paid]):
        assert main(command) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert f"withdraws Enrollment {entry.enrollment_id} of welcome" in told
    assert main(["why", "alex@example.com", "--journey", "welcome"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"cancelled by event {paid}" in told
    assert "✔ no event recorded before this one cancels the entry" in told
    assert "delay: PT1H, available from" in told
