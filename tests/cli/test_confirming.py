"""What destroys: it asks on a terminal, takes --yes, and refuses without either."""

from __future__ import annotations

import pytest

from segmentflow_core import ApiKeys, Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from terminals import terminal

DESTROYS = {
    "profiles erase": "profiles erase a@example.com",
    "profiles merge": "profiles merge a@example.com b@example.com",
    "retain": "retain --events PT0.000001S --enrollments 1s",
    "journeys archive": "journeys archive welcome",
    "keys revoke": "keys revoke {key}",
    "enrollments withdraw": "enrollments withdraw {enrollment}",
}


@pytest.mark.parametrize("command", DESTROYS)
def test_what_destroys_asks_or_takes_yes_and_else_refuses(run, storage, monkeypatch, command):
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey()])
    for who in "ab":
        tracker.track(a_request(profile={"email": f"{who}@example.com"}), who)
    tracker.track(a_request(event="order.viewed"), "c")
    ids = {
        "key": ApiKeys(storage).create(["events:write"]).api_key.key_id,
        "enrollment": tracker.enrollments.list()[0].enrollment_id,
    }
    typed = DESTROYS[command].format(**ids).split()

    def done():
        return len(tracker.records.audit())

    before = done()
    status, out, err = run(*typed)
    assert (status, out, err.startswith("not_confirmed: ")) == (1, "", True)
    assert "--yes" in err
    with terminal(monkeypatch, "n\n") as shown:
        assert run(*typed)[0] == 1
    assert "This cannot be undone. [y/N]" in shown[0]
    assert done() == before
    assert run(*typed, "--yes")[0] == 0
    assert done() > before
