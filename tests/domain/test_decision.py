"""The decision of a batch: what each item gets, what is written, what must be asked first.

Every test here calls the pure function; no store is behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core import FingerprintKey, FingerprintKeys, Receipt, SegmentflowError
from segmentflow_core.domain.decision import decide, item_for
from segmentflow_core.domain.fingerprint import Fingerprint
from segmentflow_core.domain.idempotency_key import key_digest
from segmentflow_core.domain.journey import Journey, PriorEntries
from segmentflow_core.domain.profile import Profile
from segmentflow_core.domain.request import check_request
from segmentflow_core.domain.tracking import Changes, Known, Probe
from segmentflow_core.errors import (
    FingerprintKeyUnknown,
    IdempotencyKeyReuse,
    IdentityConflict,
    ProfileEmailRequired,
)
from segmentflow_core.journeys import journey_definition
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    FixedClock,
    SequentialIds,
    a_journey,
    a_request,
)

KEYS = FingerprintKeys.of(FINGERPRINT_SECRET)
NOW = FixedClock().now()
NOTHING = Known({}, (), ())


def an_item(key="key", event_id="mine", keys=KEYS, **fields):
    request = check_request(a_request(**fields), key)
    return item_for(request, key, "default", event_id, keys)


def digest(key="key"):
    return key_digest("default", key)


def a_profile(profile_id="p", email="alex@example.com", external_id=None, **properties):
    return Profile(profile_id, email, external_id, properties, {}, NOW, NOW)


def published(*documents):
    return tuple(
        [Journey(journey_definition(document), 1, "digest", NOW) for document in documents]
    )


def known(*, taken=(), profiles=(), journeys=()):
    return Known(dict(taken), tuple(profiles), published(*journeys))


def decided(*items, known=NOTHING, prior=None, recorded=None, **options):
    options = {"keys": KEYS, "now": NOW, "new_id": SequentialIds().new_id, **options}
    return decide(items, known, prior or {}, recorded or {}, **options)


def one(item, known=NOTHING, **options):
    (result,) = decided(item, known=known, **options).results
    return result


# One item


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


def test_a_profile_that_an_event_leaves_as_it_is_is_not_written():
    changes = decided(an_item(), known=known(profiles=[a_profile()])).changes
    assert [event.profile_id for event in changes.events] == ["p"]
    assert (changes.created_profiles, changes.changed_profiles) == ((), ())


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


# Who a request is about


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


# Several items


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


# One key in a batch more than once


def test_a_key_repeated_with_its_request_gets_the_receipt_of_the_first():
    decision = decided(an_item("key", "first"), an_item("key", "second"))
    first, second = decision.results
    assert first == second
    assert (first.replayed, second.replayed) == (False, True)
    assert [event.event_id for event in decision.changes.events] == ["first"]
    assert decision.changes.freed == ()


def test_a_key_repeated_with_another_request_is_refused_by_the_paths_that_differ():
    decision = decided(
        an_item("key", "first", data={"total": 1, "same": 1}),
        an_item("key", "second", data={"total": 2, "same": 1}),
    )
    assert isinstance(decision.results[1], IdempotencyKeyReuse)
    assert decision.results[1].details == told("/data/total")
    assert [event.event_id for event in decision.changes.events] == ["first"]
    assert decision.changes.freed == ()


def test_a_key_that_a_refused_item_freed_goes_to_the_next_that_is_accepted():
    refused = an_item("key", "first", profile={"externalId": "new"})
    accepted = an_item("key", "second")
    decision = decided(refused, accepted, an_item("key", "third"))
    assert isinstance(decision.results[0], ProfileEmailRequired)
    assert [result.replayed for result in decision.results[1:]] == [False, True]
    assert decision.results[2].event_id == "second"
    assert decision.changes.freed == ()
    (claim,) = decision.changes.key_claims
    assert (claim.fingerprint, claim.receipt.event_id) == (accepted.fingerprint, "second")


def test_a_key_under_which_everything_is_refused_is_freed_once():
    items = [an_item("key", f"e{n}", profile={"externalId": f"x{n}"}) for n in range(3)]
    assert decided(*items).changes == Changes(freed=(digest(),))


# A key that is taken


def taken(item, **claim):
    """Say that an earlier call took an item's key for its request."""
    (theirs,) = decided(item, keys=item_keys(item)).changes.key_claims
    theirs = evolve(theirs, **{"receipt": Receipt("theirs", "p", 2, 1, 1), **claim})
    return known(taken={theirs.key_digest: theirs})


def item_keys(item):
    return KEYS if item.fingerprint.key_id == KEYS.current.key_id else FingerprintKeys(OLDER)


def recorded(item):
    (event,) = decided(item).changes.events
    return {"theirs": event}


def told(*changed, redacted=()):
    return {"changedPaths": list(changed), "redactedPaths": list(redacted)}


def test_a_taken_key_with_its_request_gives_the_receipt_again_and_writes_nothing():
    decision = decided(an_item(), known=taken(an_item()))
    (receipt,) = decision.results
    assert receipt == Receipt("theirs", "p", 2, 1, 1)
    assert receipt.replayed
    assert decision.changes == Changes()
    assert decision.changes.empty


def test_a_taken_key_that_this_very_call_took_is_no_replay():
    assert not one(an_item(event_id="theirs"), taken(an_item())).replayed


def test_a_replay_names_the_redaction_paths_that_name_nothing():
    item = an_item(data={"a": 1}, redactedDataPaths=["/event/a", "/event/b"])
    assert one(item, taken(item)).unmatched_paths == ("/event/b",)


def test_a_taken_key_with_another_request_asks_for_the_recorded_event_first():
    decision = decided(an_item(referenceId="2"), known=taken(an_item(referenceId="1")))
    assert (decision.disputed, decision.probes, decision.final) == (("theirs",), (), False)
    assert decision.changes == Changes()


def test_what_a_batch_asks_for_it_asks_for_once_and_all_at_once():
    item = an_item("disputed", profile={"email": "b@example.com"})
    standing = known(profiles=[a_profile()], journeys=[a_journey(reentry=ONCE)])
    standing = evolve(standing, taken=taken(item).taken)
    others = [an_item("disputed", f"e{n}", data={"n": n}) for n in range(2)]
    decision = decided(*others, an_item("free", "e9"), known=standing)
    assert (decision.disputed, len(decision.probes)) == (("theirs",), 1)


def test_a_taken_key_with_another_request_is_refused_and_stays_taken():
    first = an_item(referenceId="1")
    decision = decided(an_item(referenceId="2"), known=taken(first), recorded=recorded(first))
    (refusal,) = decision.results
    assert decision.final
    assert isinstance(refusal, IdempotencyKeyReuse)
    assert refusal.details == told("/referenceId")
    assert decision.changes == Changes()


def test_where_the_event_is_gone_nothing_is_compared_and_its_key_stays_taken():
    first = an_item(profile={"email": "a@example.com"})
    second = an_item(data={"card": "4111"}, redactedDataPaths=["/event/card"])
    refusal = one(second, taken(first), recorded={"theirs": None})
    assert refusal.details == told("", redacted=["/data/card"])
    assert one(first, taken(first)).replayed


def test_a_taken_key_answers_every_item_that_has_it_and_leaves_the_others_alone():
    item = an_item("taken")
    decision = decided(item, an_item("free", "e2"), an_item("taken", "e3"), known=taken(item))
    assert [result.event_id for result in decision.results] == ["theirs", "e2", "theirs"]
    assert [event.event_id for event in decision.changes.events] == ["e2"]
    assert decision.changes.freed == ()


OLDER = FingerprintKey("older", b"another secret, as long as it must be")


def test_a_fingerprint_made_under_an_older_key_is_compared_under_that_key():
    stored = an_item(keys=FingerprintKeys(OLDER), data={"total": 1})
    rotated = FingerprintKeys(KEYS.current, (OLDER,))
    assert one(an_item(data={"total": 1}), taken(stored), keys=rotated).replayed
    other = an_item(data={"total": 2}, profile={"email": "b@example.com"})
    refusal = one(other, taken(stored), keys=rotated, recorded=recorded(stored))
    assert refusal.details == told("/data/total", "/profile/email")


@pytest.mark.parametrize(
    ("scheme", "key_id", "details"),
    [
        (None, "lost", {"keyId": "lost"}),
        ("md5/guess/0", None, {"scheme": "md5/guess/0"}),
        ("md5/guess/0", "lost", {"keyId": "lost"}),
    ],
)
def test_a_fingerprint_that_cannot_be_compared_fails_closed(scheme, key_id, details):
    own = an_item().fingerprint
    stored = Fingerprint(scheme or own.scheme, key_id or own.key_id, own.digest)
    decision = decided(an_item(), known=taken(an_item(), fingerprint=stored))
    (refusal,) = decision.results
    assert isinstance(refusal, FingerprintKeyUnknown)
    assert refusal.details == details
    assert decision.changes == Changes()


# Earlier entries

ONCE = {"policy": "once"}
PER_ORDER = {"policy": "once_per_key", "key": "/event/order"}
DAILY = {"policy": "cooldown", "duration": "P1D"}
A_MINUTE_AGO = NOW - timedelta(minutes=1)


def test_a_profile_that_this_batch_makes_has_no_earlier_entries_to_ask_for():
    journeys = [a_journey("a", reentry=ONCE), a_journey("b", reentry=DAILY)]
    decision = decided(an_item(), known=known(journeys=journeys))
    assert decision.probes == ()
    assert decision.results[0].enrolled_journeys == 2


@pytest.mark.parametrize(
    ("reentry", "data", "asked"),
    [
        ({"policy": "every_event"}, {}, []),
        (ONCE, {}, [Probe("welcome", "p", "")]),
        (DAILY, {}, [Probe("welcome", "p", None)]),
        (PER_ORDER, {}, []),
    ],
)
def test_earlier_entries_are_asked_for_where_the_policy_needs_them(reentry, data, asked):
    standing = known(profiles=[a_profile()], journeys=[a_journey(reentry=reentry)])
    assert list(decided(an_item(data=data), known=standing).probes) == asked


def test_a_probe_about_one_of_several_keys_tells_them_apart():
    standing = known(profiles=[a_profile()], journeys=[a_journey(reentry=PER_ORDER)])
    items = [an_item(str(n), f"e{n}", data={"order": order}) for n, order in enumerate("abab")]
    probes = decided(*items, known=standing).probes
    assert len(probes) == 2
    assert len({probe.entry_key for probe in probes} | {None, ""}) == 4


def test_a_journey_that_skips_already_asks_for_nothing():
    journey = a_journey(reentry=ONCE, sample={"percent": 0, "seed": "s"})
    assert decided(an_item(), known=known(profiles=[a_profile()], journeys=[journey])).probes == ()


@pytest.mark.parametrize(
    ("reentry", "answer", "reason"),
    [
        (ONCE, PriorEntries(), None),
        (ONCE, PriorEntries(A_MINUTE_AGO), "already_enrolled"),
        (PER_ORDER, PriorEntries(A_MINUTE_AGO), None),
        (PER_ORDER, PriorEntries(A_MINUTE_AGO, key_taken=True), "already_enrolled"),
        (DAILY, PriorEntries(A_MINUTE_AGO), "cooling_down"),
        (DAILY, PriorEntries(NOW - timedelta(days=1)), None),
        (DAILY, PriorEntries(), None),
    ],
)
def test_an_answer_decides_and_is_not_asked_for_again(reentry, answer, reason):
    item = an_item(data={"order": "a"})
    standing = known(profiles=[a_profile()], journeys=[a_journey(reentry=reentry)])
    (probe,) = decided(item, known=standing).probes
    decision = decided(item, known=standing, prior={probe: answer})
    (outcome,) = decision.changes.events[0].outcomes
    assert (outcome.reason, decision.probes) == (reason, ())
    assert len(decision.changes.enrollments) == (reason is None)


@pytest.mark.parametrize(
    ("reentry", "reason"),
    [
        ({"policy": "every_event"}, None),
        (ONCE, "already_enrolled"),
        (PER_ORDER, "already_enrolled"),
        (DAILY, "cooling_down"),
    ],
)
def test_an_entry_counts_for_the_rest_of_its_batch(reentry, reason):
    items = [an_item(key, key, data={"order": "a"}) for key in ("1", "2")]
    changes = decided(*items, known=known(journeys=[a_journey(reentry=reentry)])).changes
    assert [event.outcomes[0].reason for event in changes.events] == [None, reason]


def test_an_entry_under_one_key_leaves_other_keys_free():
    items = [an_item(order, order, data={"order": order}) for order in ("a", "b")]
    changes = decided(*items, known=known(journeys=[a_journey(reentry=PER_ORDER)])).changes
    assert len(changes.enrollments) == 2
    assert len({enrollment.entry_key for enrollment in changes.enrollments}) == 2


# A batch is its items, one after another


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
