"""The decision of a batch: what each item gets and what is written.

Every test here calls the pure function; no store is behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from deciding import (
    DAILY,
    NOW,
    ONCE,
    PER_ORDER,
    a_profile,
    an_item,
    decided,
    digest,
    known,
    published,
)
from segmentflow_core import Receipt, SegmentflowError
from segmentflow_core.domain.journey import PriorEntries
from segmentflow_core.domain.tracking import Changes, Known, Probe
from segmentflow_core.errors import (
    IdentityConflict,
    ProfileEmailRequired,
)
from segmentflow_core.testing import (
    SequentialIds,
    a_journey,
)


def test_a_first_event_makes_its_profile_and_is_recorded():
    item = an_item(
        profile={"email": "Alex@Example.com", "externalId": "x", "properties": {"plan": "Pro"}},
        data={"total": 49, "card": "4111"},
        redactedDataPaths=["/event/card", "/event/nothing"],
        referenceId="ord_1",
        occurredAt=NOW - timedelta(hours=1),
    )
    decision = decided(item, known=known(journeys=[a_journey()]))
    (receipt,) = decision.results
    (profile,) = decision.changes.created_profiles
    (event,) = decision.changes.events
    (enrollment,) = decision.changes.enrollments
    assert receipt == Receipt("mine", profile.profile_id, 1, 1, 0, False, ("/event/nothing",))
    assert (profile.email, profile.external_id) == ("alex@example.com", "x")
    assert profile.properties == {"plan": "Pro"}
    assert event.data == {"total": 49, "card": "[REDACTED]"}
    assert event.profile == profile.state()
    assert (event.event_id, event.reference_id) == ("mine", "ord_1")
    assert (event.occurred_at, event.received_at) == (NOW - timedelta(hours=1), NOW)
    assert (enrollment.journey_id, enrollment.profile_id) == ("welcome", profile.profile_id)
    assert (enrollment.event_id, enrollment.available_at) == ("mine", NOW)
    assert decision.changes.changed_profiles == decision.changes.freed == decision.probes == ()


def test_an_accepted_item_takes_its_key_with_its_receipt():
    item = an_item(redactedDataPaths=["/event/nothing"])
    expires_at = NOW + timedelta(days=1)
    decision = decided(item, expires_at=expires_at, known=known(journeys=[a_journey()]))
    (receipt,) = decision.results
    (claim,) = decision.changes.key_claims
    assert (claim.key_digest, claim.fingerprint) == (digest(), item.fingerprint)
    assert (claim.taken_at, claim.expires_at) == (NOW, expires_at)
    assert receipt.unmatched_paths == ("/event/nothing",)
    assert claim.receipt == evolve(receipt, unmatched_paths=())


def test_what_happened_at_no_said_time_happened_when_it_was_received():
    (event,) = decided(an_item()).changes.events
    assert event.occurred_at == event.received_at == NOW


def test_a_profile_that_an_event_changes_is_written_in_its_new_state():
    item = an_item(profile={"email": "alex@example.com", "properties": {"plan": "Pro"}})
    changes = decided(item, known=known(profiles=[a_profile(plan="Free")])).changes
    (profile,) = changes.changed_profiles
    assert (profile.profile_id, profile.properties) == ("p", {"plan": "Pro"})
    assert changes.created_profiles == ()


def test_a_profile_that_an_event_leaves_as_it_is_has_one_event_more_and_no_new_version():
    before = a_profile(plan="Pro")
    changes = decided(an_item(), known=known(profiles=[before])).changes
    (event,) = changes.events
    assert (event.profile_id, event.number, event.profile_version) == ("p", 8, 3)
    assert changes.changed_profiles == (evolve(before, number=8),)
    assert changes.created_profiles == changes.new_versions == ()
    assert event.profile["properties"] is before.properties


def test_events_of_a_profile_are_numbered_in_the_order_of_the_batch():
    who = [{"email": "new@example.com"}, {"email": "alex@example.com"}]
    refused = an_item("refused", "none", profile={"externalId": "unknown"})
    items = [an_item(f"{n}", f"event {n}", profile=who[n % 2]) for n in range(4)]
    again = an_item("0", "again", profile=who[0])
    changes = decided(refused, *items, again, known=known(profiles=[a_profile()])).changes
    assert [(event.event_id, event.number) for event in changes.events] == [
        ("event 0", 1),
        ("event 1", 8),
        ("event 2", 2),
        ("event 3", 9),
    ]
    (created,), (changed,) = changes.created_profiles, changes.changed_profiles
    assert (created.number, changed.number) == (2, 9)
    assert (created.version, changed.version) == (1, 3)


def test_an_entry_has_the_number_of_the_event_that_caused_it():
    changes = decided(
        an_item(), known=known(profiles=[a_profile()], journeys=[a_journey()])
    ).changes
    assert [entry.event_number for entry in changes.enrollments] == [8]


@pytest.mark.parametrize(
    ("before", "profile", "is_new"),
    [
        (a_profile(plan="Pro"), {"properties": {"plan": "Pro"}}, False),
        (a_profile(plan="Pro"), {"properties": {"plan": None}}, True),
        (a_profile(), {"properties": {"plan": None}}, False),
        (a_profile(n=1), {"properties": {"n": 1.0}}, True),
        (a_profile(n=1), {"properties": {"n": True}}, True),
        (a_profile(n={"a": [1]}), {"properties": {"n": {"a": [1]}}}, False),
        (a_profile(), {"externalId": "x"}, True),
        (a_profile(external_id="x"), {"externalId": "x"}, False),
        (a_profile(email="old@example.com", external_id="x"), {"externalId": "x"}, True),
    ],
)
def test_a_version_follows_where_identities_or_values_change(before, profile, is_new):
    item = an_item(profile={"email": "alex@example.com", **profile})
    changes = decided(item, known=known(profiles=[before])).changes
    (event,), (after,) = changes.events, changes.changed_profiles
    assert event.profile_version == after.version == 3 + is_new
    assert [(v.version, v.state()) for v in changes.new_versions] == [(4, event.profile)] * is_new
    assert event.profile == after.state()


def test_each_event_of_a_batch_refers_to_the_version_it_left():
    items = [
        an_item(f"{n}", f"{n}", profile={"email": "alex@example.com", "properties": {"n": value}})
        for n, value in enumerate([1, 1, 2, 1])
    ]
    changes = decided(*items).changes
    assert [event.profile_version for event in changes.events] == [1, 1, 2, 3]
    assert [v.properties for v in changes.new_versions] == [{"n": 1}, {"n": 2}, {"n": 1}]
    assert [event.profile["properties"] for event in changes.events] == [
        {"n": 1},
        {"n": 1},
        {"n": 2},
        {"n": 1},
    ]


def test_journeys_are_asked_in_the_order_of_their_ids_and_only_those_that_listen():
    other = a_journey("a", trigger={"event": "order.paid"})
    journeys = [a_journey("c"), other, a_journey("b", sample={"percent": 0, "seed": "s"})]
    decision = decided(an_item(), known=known(journeys=journeys))
    (event,) = decision.changes.events
    assert [(outcome.journey_id, outcome.reason) for outcome in event.outcomes] == [
        ("b", "sampled_out"),
        ("c", None),
    ]
    (receipt,) = decision.results
    counts = (receipt.matched_journeys, receipt.enrolled_journeys, receipt.skipped_journeys)
    assert counts == (2, 1, 1)


def test_an_outcome_says_whether_the_profile_entered_and_else_why_not():
    journeys = [a_journey("in"), a_journey("out", sample={"percent": 0, "seed": "s"})]
    decision = decided(an_item(), known=known(journeys=journeys))
    (event,) = decision.changes.events
    assert [(o.journey_id, o.version, o.outcome, o.reason) for o in event.outcomes] == [
        ("in", 1, "enrolled", None),
        ("out", 1, "skipped", "sampled_out"),
    ]


def test_journeys_see_the_profile_as_the_event_leaves_it_and_the_data_redacted():
    def where(path, value):
        return {"event": "order.created", "where": {"path": path, "op": "eq", "value": value}}

    journeys = [
        a_journey("plan", trigger=where("/profile/properties/plan", "Pro")),
        a_journey("card", trigger=where("/event/card", "4111")),
    ]
    item = an_item(
        profile={"email": "alex@example.com", "properties": {"plan": "Pro"}},
        data={"card": "4111"},
        redactedDataPaths=["/event/card"],
    )
    (event,) = decided(item, known=known(journeys=journeys)).changes.events
    assert [outcome.reason for outcome in event.outcomes] == ["condition_unknown", None]


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ({"externalId": "new"}, ProfileEmailRequired),
        ({"email": "alex@example.com", "externalId": "other"}, IdentityConflict),
        ({"email": "alex@example.com", "externalId": "theirs"}, IdentityConflict),
    ],
)
def test_a_request_about_nobody_or_about_two_is_refused_and_writes_nothing(profile, error):
    profiles = [a_profile("A", external_id="x"), a_profile("B", "b@example.com", "theirs")]
    decision = decided(an_item(profile=profile), known=known(profiles=profiles))
    assert [type(result) for result in decision.results] == [error]
    assert decision.changes == Changes(freed=(digest(),))
    assert not decision.changes.empty


def test_a_setting_lets_an_external_id_alone_make_a_profile():
    item = an_item(profile={"externalId": "x"})
    (profile,) = decided(item, create_without_email=True).changes.created_profiles
    assert (profile.email, profile.external_id) == (None, "x")


def test_each_item_is_decided_on_what_the_ones_before_it_left():
    decision = decided(
        an_item("1", "e1", profile={"email": "a@example.com", "properties": {"n": 1}}),
        an_item("2", "e2", profile={"email": "a@example.com", "externalId": "x"}),
        an_item("3", "e3", profile={"externalId": "x", "properties": {"n": 3}}),
    )
    assert len({receipt.profile_id for receipt in decision.results}) == 1
    (profile,) = decision.changes.created_profiles
    assert (profile.email, profile.external_id) == ("a@example.com", "x")
    assert profile.properties == {"n": 3}
    assert [event.profile["properties"] for event in decision.changes.events] == [
        {"n": 1},
        {"n": 1},
        {"n": 3},
    ]


def test_an_existing_profile_is_written_once_however_many_items_change_it():
    items = [
        an_item(str(n), f"e{n}", profile={"email": "alex@example.com", "properties": {"n": n}})
        for n in range(3)
    ]
    changes = decided(*items, known=known(profiles=[a_profile()])).changes
    assert [profile.properties for profile in changes.changed_profiles] == [{"n": 2}]


def test_an_email_that_its_profile_gave_up_makes_a_new_profile_in_the_same_batch():
    decision = decided(
        an_item("1", "e1", profile={"email": "new@example.com", "externalId": "x"}),
        an_item("2", "e2", profile={"email": "old@example.com"}),
        known=known(profiles=[a_profile("p", "old@example.com", "x")]),
    )
    (changed,) = decision.changes.changed_profiles
    (created,) = decision.changes.created_profiles
    assert (changed.profile_id, changed.email) == ("p", "new@example.com")
    assert created.email == "old@example.com"
    assert [result.profile_id for result in decision.results] == ["p", created.profile_id]


def test_an_external_id_given_away_earlier_in_the_batch_is_taken():
    decision = decided(
        an_item("1", "e1", profile={"email": "a@example.com", "externalId": "x"}),
        an_item("2", "e2", profile={"email": "b@example.com"}),
        an_item("3", "e3", profile={"email": "b@example.com", "externalId": "x"}),
    )
    assert isinstance(decision.results[2], IdentityConflict)
    assert len(decision.changes.created_profiles) == 2


def test_a_refused_item_frees_its_key_and_hinders_no_other():
    decision = decided(
        an_item("z", "e1"),
        an_item("b", "e2", profile={"externalId": "new"}),
        an_item("y", "e3"),
        an_item("a", "e4", profile={"externalId": "new"}),
    )
    assert [isinstance(result, Receipt) for result in decision.results] == [
        True,
        False,
        True,
        False,
    ]
    assert [event.event_id for event in decision.changes.events] == ["e1", "e3"]
    assert decision.changes.freed == tuple(sorted(map(digest, "ab")))
    claims = decision.changes.key_claims
    assert [claim.key_digest for claim in claims] == sorted(map(digest, "yz"))


def test_nothing_comes_of_nothing():
    decision = decided()
    assert (decision.results, decision.changes, decision.probes) == ((), Changes(), ())
    assert decision.changes.empty


class Entries(Mapping[Probe, PriorEntries]):
    """Answers to every probe about the Enrollments of an imagined store."""

    def __init__(self, enrollments):
        self.enrollments = enrollments

    def __getitem__(self, probe):
        own = [
            entry
            for entry in self.enrollments
            if (entry.journey_id, entry.profile_id) == (probe.journey_id, probe.profile_id)
        ]
        last = max((entry.entered_at for entry in own), default=None)
        return PriorEntries(last, any(entry.entry_key == probe.entry_key for entry in own))

    def __iter__(self):
        raise NotImplementedError

    def __len__(self):
        return 1


def one_after_another(items, journeys):
    """Decide each item as a batch of its own, on what the earlier ones left."""
    taken, profiles, recorded = {}, {}, {}
    results, events, enrollments = [], [], []
    new_id = SequentialIds().new_id
    for item in items:
        standing = Known(taken, tuple(profiles.values()), journeys)
        decision = decided(
            item, known=standing, prior=Entries(enrollments), recorded=recorded, new_id=new_id
        )
        assert decision.final
        (result,) = decision.results
        taken |= {claim.key_digest: claim for claim in decision.changes.key_claims}
        recorded |= {event.event_id: event for event in decision.changes.events}
        for profile in decision.changes.created_profiles + decision.changes.changed_profiles:
            profiles[profile.profile_id] = profile
        results.append(result)
        events += decision.changes.events
        enrollments += decision.changes.enrollments
    return results, events, enrollments, profiles, taken


identities = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from(["a@example.com", "b@example.com"]),
        "externalId": st.sampled_from(["x", "y"]),
    },
).filter(bool)


sendings = st.lists(
    st.tuples(
        st.sampled_from("jkl"),
        identities,
        st.dictionaries(st.sampled_from("mn"), st.none() | st.integers(0, 2), max_size=2),
        st.integers(0, 2),
    ),
    max_size=7,
)


JOURNEYS = published(
    a_journey("daily", reentry=DAILY),
    a_journey("every"),
    a_journey("once", reentry=ONCE),
    a_journey("per order", reentry=PER_ORDER),
)


def shown(result):
    if isinstance(result, SegmentflowError):
        return type(result), result.details
    return result, result.replayed


@given(sendings)
def test_a_batch_comes_to_what_its_items_come_to_one_after_another(sendings):
    items = [
        an_item(
            key,
            f"event {number}",
            profile={**who, "properties": properties},
            data={"order": order},
            occurredAt=NOW - timedelta(minutes=order),
        )
        for number, (key, who, properties, order) in enumerate(sendings)
    ]
    whole = decided(*items, known=Known({}, (), JOURNEYS))
    results, events, enrollments, profiles, taken = one_after_another(items, JOURNEYS)
    assert list(map(shown, whole.results)) == list(map(shown, results))
    assert list(whole.changes.events) == events
    assert list(whole.changes.enrollments) == enrollments
    assert list(whole.changes.created_profiles) == list(profiles.values())
    assert whole.probes == whole.changes.changed_profiles == ()
    assert whole.changes.key_claims == tuple(claim for _, claim in sorted(taken.items()))
    keys = {item.key_digest for item in items}
    assert whole.changes.freed == tuple(sorted(keys - taken.keys()))


@pytest.mark.parametrize(
    ("stored", "sent", "changed"),
    [
        ({}, {"email": "alex@example.com", "externalId": "x"}, True),
        ({"external_id": "x"}, {"email": "new@example.com", "externalId": "x"}, True),
        ({}, {"email": "alex@example.com", "properties": {"plan": "Pro"}}, True),
        ({"plan": "Pro"}, {"email": "alex@example.com", "properties": {"plan": None}}, True),
        ({"external_id": "x"}, {"externalId": "x"}, False),
        ({}, {"email": "alex@example.com"}, False),
    ],
    ids=["linked", "new-email", "property", "removed", "external-id-alone", "email-alone"],
)
def test_a_profile_was_last_changed_when_an_identity_or_a_property_was(stored, sent, changed):
    before, later = a_profile(**stored), NOW + timedelta(days=1)
    changes = decided(an_item(profile=sent), known=known(profiles=[before]), now=later).changes
    (after,) = changes.changed_profiles
    assert (after.created_at, after.updated_at) == (before.created_at, later if changed else NOW)
