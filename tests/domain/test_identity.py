"""Which Profile a request is about: the identity table, row by row."""

from __future__ import annotations

import itertools

import pytest

from segmentflow_core import Tracker
from segmentflow_core.domain.identity import (
    REFUSALS,
    RESOLUTIONS,
    Given,
    Holders,
    IdentityKind,
    Resolution,
    classify,
)
from segmentflow_core.errors import IdentityConflict, ProfileEmailRequired
from segmentflow_core.testing import FINGERPRINT_SECRET, SequentialIds, a_request
from segmentflow_memory import MemoryStorage

# Email and external id as given, who holds the one, who holds the other, and the external id
# that the email's holder already has; then what happens.
ROWS = [
    (("e", None, None, None, None), "create"),
    (("e", None, "A", None, None), "E"),
    (("e", None, "A", None, "other"), "E"),
    ((None, "x", None, None, None), "profile_email_required"),
    ((None, "x", None, "A", None), "X"),
    (("e", "x", None, None, None), "create"),
    (("e", "x", "A", None, None), "E takes the external id"),
    (("e", "x", "A", None, "other"), "identity_conflict"),
    (
        ("e", "x", None, "A", None),
        "X, and its email becomes the new one, unless the event is older",
    ),
    (("e", "x", "A", "A", "x"), "E"),
    (("e", "x", "A", "B", None), "identity_conflict"),
    (("e", "x", "A", "B", "other"), "identity_conflict"),
]


@pytest.mark.parametrize(("given_and_held", "result"), ROWS)
def test_each_case_of_who_is_given_and_who_holds_it_has_its_result(given_and_held, result):
    assert RESOLUTIONS[classify(*given_and_held)] == result


def test_each_kind_of_identity_is_called_as_in_a_request():
    assert [*IdentityKind] == ["email", "externalId"]
    assert [*Given] == ["email", "externalId", "both"]


@pytest.mark.parametrize("value", ["", "0", " "])
def test_an_identity_that_is_given_counts_whatever_its_text(value):
    assert classify(value, None, None, None, None) == (Given.EMAIL, Holders.NOBODY)
    assert classify(None, value, None, value, None) == (Given.EXTERNAL_ID, Holders.X)
    assert classify(value, value, value, None, value) == (
        Given.BOTH,
        Holders.E_WITH_OTHER_EXTERNAL_ID,
    )


def test_a_refusal_has_the_error_that_its_row_names():
    assert {
        Resolution.EMAIL_REQUIRED: ProfileEmailRequired,
        Resolution.CONFLICT: IdentityConflict,
    } == REFUSALS
    assert all(error.code == resolution for resolution, error in REFUSALS.items())


def test_every_case_of_identity_has_a_row_and_every_refusal_an_error():
    found = set()
    for email, external_id, e, x, other in itertools.product(
        (None, "e"), (None, "x"), (None, "A"), (None, "A", "B"), (None, "other")
    ):
        if email is None and external_id is None:
            continue
        row = classify(email, external_id, e if email else None, x if external_id else None, other)
        found.add(row)
    assert found == set(RESOLUTIONS)
    assert set(REFUSALS) == {Resolution.EMAIL_REQUIRED, Resolution.CONFLICT}


_EMAIL, _OTHER = "e@example.com", "other@example.com"
_STORED = {
    Holders.NOBODY: [],
    Holders.E: [{"email": _EMAIL}],
    Holders.E_WITH_OTHER_EXTERNAL_ID: [{"email": _EMAIL, "externalId": "another"}],
    Holders.X: [{"email": _OTHER, "externalId": "x"}],
    Holders.SAME: [{"email": _EMAIL, "externalId": "x"}],
    Holders.DIFFERENT: [{"email": _EMAIL}, {"email": _OTHER, "externalId": "x"}],
}
_SENT = {
    Given.EMAIL: {"email": _EMAIL},
    Given.EXTERNAL_ID: {"externalId": "x"},
    Given.BOTH: {"email": _EMAIL, "externalId": "x"},
}


@pytest.mark.parametrize(("row", "resolution"), RESOLUTIONS.items(), ids=str)
def test_each_row_of_the_identity_table_happens(row, resolution):
    given, holders = row
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, ids=SequentialIds())
    stored = [
        tracker.track(a_request(profile=profile), f"stored {number}").profile_id
        for number, profile in enumerate(_STORED[holders])
    ]
    (result,) = tracker.track_many([(a_request(profile=_SENT[given]), "key")])
    if resolution in REFUSALS:
        assert type(result) is REFUSALS[resolution]
        assert len(tracker.records.events()) == len(stored)
        return
    profile = tracker.records.profile(result.profile_id)
    if resolution is Resolution.CREATE:
        assert result.profile_id not in stored
        assert (profile.email, profile.external_id) == (_EMAIL, _SENT[given].get("externalId"))
    else:
        assert [result.profile_id] == stored
    if given is Given.BOTH:
        assert (profile.email, profile.external_id) == (_EMAIL, "x")
