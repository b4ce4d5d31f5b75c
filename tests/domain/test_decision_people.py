"""The decision about people who were suppressed, merged, erased and blocked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from deciding import DAILY, KEYS, NOW, ONCE, a_profile, an_item, decided, known, one
from segmentflow_core import Receipt
from segmentflow_core.domain.identity import RESOLUTIONS, Given, Holders, IdentityKind
from segmentflow_core.domain.item import claim_key
from segmentflow_core.domain.journey import PriorEntries
from segmentflow_core.domain.profile import Alias, MergedSeries
from segmentflow_core.domain.tracking import Probe
from segmentflow_core.errors import (
    IdentityBlocked,
    IdentityConflict,
    ProfileEmailRequired,
)
from segmentflow_core.testing import a_journey

EMAIL, EXTERNAL = IdentityKind.EMAIL, IdentityKind.EXTERNAL_ID
A_MINUTE_AGO = NOW - timedelta(minutes=1)


def test_every_journey_skips_a_suppressed_profile_and_asks_for_nothing():
    journeys = [a_journey("a", reentry=ONCE), a_journey("b", window={"from": "2030-01-01T00:00Z"})]
    suppressed = evolve(a_profile(), suppressed_at=NOW)
    decision = decided(an_item(), known=known(profiles=[suppressed], journeys=journeys))
    assert decision.probes == ()
    (event,) = decision.changes.events
    assert [outcome.reason for outcome in event.outcomes] == ["suppressed"] * 2
    assert decision.changes.enrollments == ()
    assert decision.results[0].skipped_journeys == 2
    (changed,) = decision.changes.changed_profiles
    assert (changed.suppressed_at, changed.number) == (NOW, 8)


# --- aliases, in every row of the identity table -----------------------------------------------

WITH_ALIASES = evolve(
    a_profile("e", "own@x.org", "own"),
    aliases=(Alias(EMAIL, "alias@x.org"), Alias(EXTERNAL, "alias")),
    former_emails={"alias@x.org": (1, 2, 3)},
    merged=(MergedSeries("gone", 8),),
    email_times=(1_700_000_000_000_000,) * 3,
)
ONLY_EMAILS = evolve(
    a_profile("o", "only@x.org"), aliases=(Alias(EMAIL, "also@x.org"),), former_emails={}
)
OTHER = a_profile("other", "other@x.org", "other")

ROWS = {
    (Given.EMAIL, Holders.NOBODY): [("new@x.org", None, "new")],
    (Given.EMAIL, Holders.E): [("alias@x.org", None, "e"), ("own@x.org", None, "e")],
    (Given.EXTERNAL_ID, Holders.NOBODY): [(None, "new", ProfileEmailRequired)],
    (Given.EXTERNAL_ID, Holders.X): [(None, "alias", "e"), (None, "own", "e")],
    (Given.BOTH, Holders.NOBODY): [("new@x.org", "new", "new")],
    (Given.BOTH, Holders.E): [("also@x.org", "new", "o")],
    (Given.BOTH, Holders.E_WITH_OTHER_EXTERNAL_ID): [("alias@x.org", "new", IdentityConflict)],
    (Given.BOTH, Holders.X): [("new@x.org", "alias", "e")],
    (Given.BOTH, Holders.SAME): [
        ("alias@x.org", "alias", "e"),
        ("alias@x.org", "own", "e"),
        ("own@x.org", "alias", "e"),
    ],
    (Given.BOTH, Holders.DIFFERENT): [
        ("alias@x.org", "other", IdentityConflict),
        ("other@x.org", "alias", IdentityConflict),
    ],
}


def test_every_row_is_tried_with_aliases():
    assert ROWS.keys() == RESOLUTIONS.keys()


@pytest.mark.parametrize(
    ("email", "external_id", "expected"),
    [case for cases in ROWS.values() for case in cases],
)
@pytest.mark.parametrize("occurred", [None, "2020-01-01T00:00:00Z"], ids=["now", "long ago"])
def test_an_alias_leads_to_its_profile_as_any_identity_does(email, external_id, expected, occurred):
    who = {"email": email, "externalId": external_id}
    profile = {name: value for name, value in who.items() if value is not None}
    more = {} if occurred is None else {"occurredAt": occurred}
    standing = known(profiles=[WITH_ALIASES, ONLY_EMAILS, OTHER])
    decision = decided(an_item(profile=profile, **more), known=standing)
    (result,) = decision.results
    if isinstance(expected, type):
        assert isinstance(result, expected)
        return
    if expected == "new":
        assert result.profile_id not in ("e", "o", "other")
        return
    assert result.profile_id == expected
    (changed,) = decision.changes.changed_profiles
    (before,) = decision.changes.previous_profiles
    kept = ("aliases", "merged", "created_at")
    assert [getattr(changed, name) for name in kept] == [getattr(before, name) for name in kept]
    if email == "new@x.org":
        assert changed.email == (email if occurred is None else before.email)
    else:
        # An alias never becomes the email of its Profile, and its times stay as they were.
        assert (changed.email, changed.former_emails) == (before.email, before.former_emails)
    expected_id = external_id if external_id == "new" else before.external_id
    assert changed.external_id == expected_id


def test_an_alias_leads_to_what_earlier_events_of_its_batch_left():
    items = [
        an_item(f"{n}", f"e{n}", profile={**who, "properties": {f"p{n}": n}})
        for n, who in enumerate(
            [{"email": "alias@x.org"}, {"externalId": "alias"}, {"email": "own@x.org"}]
        )
    ]
    decision = decided(*items, known=known(profiles=[WITH_ALIASES]))
    (changed,) = decision.changes.changed_profiles
    assert changed.properties == {"p0": 0, "p1": 1, "p2": 2}
    assert [event.number for event in decision.changes.events] == [8, 9, 10]


# --- re-entry asks every merged series ---------------------------------------------------------


@pytest.mark.parametrize(
    ("reentry", "answers", "reason"),
    [
        (ONCE, {}, None),
        (ONCE, {"gone": PriorEntries(A_MINUTE_AGO, key_taken=True)}, "already_enrolled"),
        (ONCE, {"e": PriorEntries(A_MINUTE_AGO, key_taken=True)}, "already_enrolled"),
        (DAILY, {"gone": PriorEntries(A_MINUTE_AGO)}, "cooling_down"),
        (
            DAILY,
            {"gone": PriorEntries(A_MINUTE_AGO), "e": PriorEntries(NOW - timedelta(days=2))},
            "cooling_down",
        ),
        (
            DAILY,
            {
                "e": PriorEntries(NOW - timedelta(days=2)),
                "gone": PriorEntries(NOW - timedelta(days=3)),
            },
            None,
        ),
    ],
)
def test_re_entry_asks_every_merged_series(reentry, answers, reason):
    standing = known(profiles=[WITH_ALIASES], journeys=[a_journey(reentry=reentry)])
    item = an_item(profile={"externalId": "alias"})
    asked = decided(item, known=standing).probes
    assert {probe.profile_id for probe in asked} == {"e", "gone"}
    prior = {probe: answers.get(probe.profile_id, PriorEntries()) for probe in asked}
    (event,) = decided(item, known=standing, prior=prior).changes.events
    assert [outcome.reason for outcome in event.outcomes] == [reason]


def test_a_series_that_is_not_answered_yet_is_asked_for():
    standing = known(profiles=[WITH_ALIASES], journeys=[a_journey(reentry=ONCE)])
    item = an_item(profile={"externalId": "alias"})
    first = Probe("welcome", "e", "")
    decision = decided(item, known=standing, prior={first: PriorEntries()})
    assert decision.probes == (Probe("welcome", "gone", ""),)


# --- blocked and erased ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocked", "refused"),
    [
        (Alias(EMAIL, "alex@example.com"), True),
        (Alias(EXTERNAL, "cus"), True),
        (Alias(EXTERNAL, "alex@example.com"), False),
        (Alias(EMAIL, "cus"), False),
        (Alias(EXTERNAL, "CUS"), False),
    ],
)
@pytest.mark.parametrize("profiles", [[], [a_profile(external_id="cus")]], ids=["new", "known"])
def test_a_blocked_identity_is_refused_whoever_it_leads_to(blocked, refused, profiles):
    standing = known(profiles=profiles)
    standing.blocked = frozenset({blocked})
    item = an_item(profile={"email": " Alex@Example.com", "externalId": "cus"})
    decision = decided(item, known=standing)
    (result,) = decision.results
    assert isinstance(result, IdentityBlocked if refused else Receipt)
    if refused:
        assert decision.changes.freed == (item.key_digest,)
        assert decision.changes.events == ()
        assert "alex" not in str(result).lower()


def test_an_erased_events_key_answers_with_its_receipt_whatever_is_sent():
    first = an_item(event_id="first", data={"n": 1})
    receipt = Receipt("first", "p", 3, 1, 2)
    claim = claim_key(first, receipt, KEYS.current, NOW, None)
    erased = evolve(claim, fingerprint=None, paths={})
    later = an_item(profile={"email": "else@x.org"}, data={}, redactedDataPaths=["/event/none"])
    answer = one(later, known=known(taken={first.key_digest: erased}))
    assert answer == evolve(receipt, unmatched_paths=("/event/none",))
    assert answer.replayed
    # And where the key's owner asks again itself, since its commit's answer was lost, it is new.
    assert not one(first, known=known(taken={first.key_digest: erased})).replayed
