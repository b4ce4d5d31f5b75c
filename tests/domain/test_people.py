"""What becomes of Profiles that are suppressed, erased and merged, as laws."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve, fields
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.emails import given_again, leads_before, with_email
from segmentflow_core.domain.event import Enrollment, EnrollmentStatus
from segmentflow_core.domain.identity import IdentityKind
from segmentflow_core.domain.people import (
    doubled,
    erased,
    identities_of,
    merged,
    suppressed,
    version_of,
)
from segmentflow_core.domain.profile import (
    Alias,
    MergedSeries,
    Profile,
    ProfileLimits,
    event_time,
    with_properties,
)
from segmentflow_core.errors import ProfileTooLarge

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
WIDE = ProfileLimits(max_properties=10_000, max_aliases=10_000, max_former_emails=10_000)
EMAIL, EXTERNAL = IdentityKind.EMAIL, IdentityKind.EXTERNAL_ID


def minute(number):
    return START + timedelta(minutes=number)


def nobody(profile_id="p", external_id=None):
    return Profile(profile_id, None, external_id, {}, {}, NOW, NOW)


def happened(profile, *events):
    """Let events of a Profile happen: (minute, email or None, Properties), received in turn."""
    for number, (at, email, properties) in enumerate(events):
        received = NOW + timedelta(microseconds=number)
        time = event_time(minute(at), received)
        if email is not None and email == profile.email:
            times = given_again(profile.email_times, *time)
            profile = evolve(profile, email_times=times)
        elif email is not None:
            profile = with_email(profile, email, minute(at), received, WIDE)
        found = with_properties(profile, properties, time, WIDE, is_timed=True)
        values, times = found or (profile.properties, profile.property_times)
        profile = evolve(
            profile, properties=values, property_times=times, number=profile.number + 1
        )
    return profile


PROPERTIES = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9) | st.none(), max_size=2)


@st.composite
def people(draw, count=2, emails="abcdef"):
    """Draw Profiles that have no own identity in common, each with a history of its own."""
    mine = [f"{letter}@x.org" for letter in draw(st.permutations(emails))]
    share = len(mine) // count
    found = []
    for place in range(count):
        owned = st.sampled_from(mine[place * share : (place + 1) * share])
        event = st.tuples(st.integers(0, 60), st.none() | owned, PROPERTIES)
        external_id = draw(st.sampled_from([None, f"x{place}"]))
        who = happened(nobody(f"p{place}", external_id), *draw(st.lists(event, max_size=7)))
        found.append(evolve(who, suppressed_at=draw(st.sampled_from([None, NOW, LATER]))))
    return found


def joined(profiles, limits=WIDE):
    """Merge all into the first, the last two first: a merge of what was merged."""
    first, *others = profiles
    gone = []
    while others:
        last = others.pop()
        stays = others[-1] if others else first
        both = merged(stays, last, LATER, limits)
        gone.append(both.goes)
        if others:
            others[-1] = both.stays
        else:
            first = both.stays
    return first, gone


def own(profile):
    values = ((EMAIL, profile.email), (EXTERNAL, profile.external_id))
    return {Alias(kind, value) for kind, value in values if value is not None}


@given(people(3))
def test_nobodys_identity_is_lost_by_a_merge_and_whoever_goes_keeps_none(profiles):
    survivor, gone = joined(profiles)
    before = {identity for profile in profiles for identity in identities_of(profile)}
    assert {*identities_of(survivor)} == before
    assert identities_of(survivor) == tuple(sorted(before, key=lambda a: (a.kind, a.value)))
    always = {identity for profile in profiles for identity in own(profile)}
    assert {*survivor.aliases} == always - own(survivor)
    assert own(survivor) <= always
    for each in gone:
        assert identities_of(each) == ()
        assert (each.properties, each.property_times, each.former_emails) == ({}, {}, {})
        assert each.has_ended


@given(people(3))
def test_the_survivor_keeps_what_is_its_own_and_gets_what_it_lacks(profiles):
    one, other = profiles[:2]
    both = merged(one, other, LATER, WIDE)
    for name in ("email", "external_id"):
        expected = getattr(one, name) or getattr(other, name)
        assert getattr(both.stays, name) == expected
    whose = one if one.email is not None else other
    assert both.stays.email_times == whose.email_times


@given(people(2))
def test_an_email_that_gave_way_leads_to_the_survivor_for_as_long_as_before(profiles):
    survivor, _ = joined(profiles)
    for profile in profiles:
        for email in profile.former_emails:
            assert leads_before(survivor, email) >= leads_before(profile, email)


@given(st.data())
def test_the_ends_of_emails_that_were_given_once_are_those_of_before(data):
    """Where no email was given again after another one, no end moves at all."""
    profiles = []
    for place in range(2):
        emails = [f"{place}{letter}@x.org" for letter in "abcd"]
        order = data.draw(st.lists(st.sampled_from(emails), unique=True))
        times = data.draw(st.lists(st.integers(0, 60), min_size=4, max_size=4, unique=True))
        events = [(at, email, {}) for at, email in zip(sorted(times), order, strict=False)]
        profiles.append(happened(nobody(f"p{place}", f"x{place}"), *events))
    survivor, _ = joined(profiles)
    for profile in profiles:
        for email in profile.former_emails:
            assert leads_before(survivor, email) == leads_before(profile, email)


def test_an_email_that_gave_way_in_both_leads_as_long_as_in_either():
    one = happened(nobody("p", "x0"), (1, "a@x.org", {}), (5, "b@x.org", {}))
    other = happened(nobody("q", "x1"), (2, "a@x.org", {}), (9, "c@x.org", {}))
    both = merged(one, other, LATER, WIDE).stays
    assert leads_before(both, "a@x.org") == leads_before(other, "a@x.org")
    assert both.former_emails["a@x.org"][0] == one.former_emails["a@x.org"][0]


def test_an_email_that_gave_way_in_the_one_and_is_the_others_own_is_no_other_than_that():
    one = happened(nobody("p", "x0"), (1, "a@x.org", {}), (5, "b@x.org", {}))
    other = happened(nobody("q"), (9, "a@x.org", {}))
    assert "a@x.org" not in merged(other, one, LATER, WIDE).stays.former_emails
    both = merged(one, other, LATER, WIDE).stays
    assert (both.email, both.aliases) == ("b@x.org", (Alias(EMAIL, "a@x.org"),))


WRITES = st.lists(
    st.tuples(st.integers(0, 99), st.booleans(), PROPERTIES),
    max_size=12,
    unique_by=lambda each: each[0],
)


@given(WRITES)
def test_properties_merge_as_if_both_histories_had_been_one(writes):
    """Whoever got a write: what counts is when it occurred."""

    def of(*sides):
        events = [(at, None, properties) for at, side, properties in writes if side in sides]
        return happened(nobody(), *events)

    both = merged(of(True), evolve(of(False), profile_id="q"), LATER, WIDE).stays
    whole = of(True, False)
    assert both.properties == whole.properties
    assert {n: at for n, (at, _) in both.property_times.items()} == {
        n: at for n, (at, _) in whole.property_times.items()
    }


def test_of_two_values_of_one_instant_the_survivors_stays():
    one, other = (happened(nobody(who), (1, None, {"n": who})) for who in "pq")
    assert merged(one, other, LATER, WIDE).stays.properties == {"n": "p"}


@given(people(3))
def test_both_histories_are_one_and_the_order_of_the_merges_is_kept(profiles):
    first, second, third = profiles
    inner = merged(second, third, LATER, WIDE)
    outer = merged(first, inner.stays, LATER, WIDE)
    assert inner.stays.merged == (MergedSeries("p2", second.number + 1),)
    place = first.number + 1
    assert outer.stays.merged == (MergedSeries("p1", place), MergedSeries("p2", place))
    # What went in before stays noted where it went in: an earlier event is explained by it.
    assert outer.goes.merged == inner.stays.merged
    assert (outer.goes.merged_into, inner.goes.merged_into) == ("p0", "p1")
    assert outer.stays.number == first.number


@given(people(2))
def test_a_merge_is_one_version_more_of_each_and_suppressed_where_either_was(profiles):
    one, other = profiles
    both = merged(one, other, LATER, WIDE)
    assert (both.stays.version, both.goes.version) == (one.version + 1, other.version + 1)
    since = [at for at in (one.suppressed_at, other.suppressed_at) if at is not None]
    assert both.stays.suppressed_at == min(since, default=None)
    assert both.goes.suppressed_at is None
    assert both.stays.updated_at == both.goes.updated_at == LATER


@pytest.mark.parametrize(
    ("limits", "events"),
    [
        ({"max_properties": 1}, [(1, None, {"b": 1})]),
        ({"max_bytes": 12}, [(1, None, {"b": "x" * 5})]),
        ({"max_aliases": 1}, []),
        ({"max_former_emails": 1}, [(1, "c@x.org", {}), (2, "d@x.org", {}), (3, "e@x.org", {})]),
    ],
    ids=["Properties", "bytes", "aliases", "emails that gave way"],
)
def test_a_merge_beyond_the_bounds_is_refused_and_within_them_is_not(limits, events):
    one = happened(nobody("p", "x0"), (0, "a@x.org", {"a": 1}))
    other = happened(nobody("q", "x1"), (0, "b@x.org", {}), *events)
    with pytest.raises(ProfileTooLarge):
        merged(one, other, LATER, ProfileLimits(**limits))
    roomy = ProfileLimits(**{name: 2 * value + 2 for name, value in limits.items()})
    merged(one, other, LATER, roomy)


def test_as_many_series_as_aliases_may_be_merged():
    limits = ProfileLimits(max_aliases=2)
    one = nobody("p", "x0")
    for number in range(2):
        one = merged(one, nobody(f"q{number}"), LATER, limits).stays
    with pytest.raises(ProfileTooLarge) as refusal:
        merged(one, nobody("q2"), LATER, limits)
    assert refusal.value.details == {"maxAliases": 2, "maxFormerEmails": 100}


def test_an_alias_goes_on_to_the_next_survivor():
    profiles = [happened(nobody(f"p{n}", f"x{n}"), (0, f"{n}@x.org", {})) for n in range(3)]
    survivor, _ = joined(profiles)
    assert [alias.value for alias in survivor.aliases] == ["1@x.org", "2@x.org", "x1", "x2"]
    assert leads_before(survivor, "2@x.org") > 10**18


# --- erasing and suppressing -------------------------------------------------------------------


@given(people(3))
def test_an_erasure_leaves_nothing_of_a_person(profiles):
    survivor, gone = joined(profiles)
    for profile in (survivor, *gone):
        after = erased(profile, LATER)
        kept = {"profile_id", "created_at", "number", "merged", "merged_into"}
        blank = Profile(profile.profile_id, None, None, {}, {}, NOW, NOW)
        for field in fields(Profile):
            expected = getattr(profile if field.name in kept else blank, field.name)
            if field.name in ("updated_at", "erased_at"):
                expected = LATER
            if field.name == "version":
                expected = profile.version + 1
            assert getattr(after, field.name) == expected, field.name
        assert identities_of(after) == ()
        assert after.has_ended
        assert version_of(after).state() == {"properties": {}}
        assert version_of(after).version == profile.version + 1


def test_a_profile_is_suppressed_since_it_first_was_and_until_that_is_lifted():
    profile = nobody()
    assert suppressed(profile, None) is profile
    since = suppressed(profile, NOW)
    assert since.suppressed_at == NOW
    assert suppressed(since, LATER) is since
    assert suppressed(since, None) == profile
    assert not since.has_ended


def test_an_alias_does_not_show_whose_it_is():
    assert repr(Alias(EMAIL, "canary@example.com")) == "<Alias email>"


# --- Enrollments of one entry ------------------------------------------------------------------


def an_enrollment(name, entered=0, *, key="k", journey="j", status="pending", until=None):
    return Enrollment(
        name,
        journey,
        1,
        "p",
        "e",
        1,
        key,
        minute(entered),
        available_at=minute(entered),
        status=EnrollmentStatus(status),
        lease_until=until,
    )


LIVE, RUN_OUT = LATER + timedelta(minutes=1), LATER


@pytest.mark.parametrize(
    ("waiting", "withdrawn"),
    [
        ([], ""),
        ([an_enrollment("a")], ""),
        ([an_enrollment("a", 2), an_enrollment("b", 1)], "a"),
        ([an_enrollment("a", 1), an_enrollment("b", 1), an_enrollment("c", 1)], "bc"),
        ([an_enrollment("a", 1), an_enrollment("b", 2, key="l")], ""),
        ([an_enrollment("a", 1), an_enrollment("b", 2, journey="k")], ""),
        ([an_enrollment("a", 1, key=None), an_enrollment("b", 2, key=None)], ""),
        ([an_enrollment("a", 1, key=""), an_enrollment("b", 2, key="")], "b"),
        ([an_enrollment("a", 1), an_enrollment("b", 2, status="claimed", until=LIVE)], "a"),
        ([an_enrollment("a", 1), an_enrollment("b", 2, status="claimed", until=RUN_OUT)], "b"),
        ([an_enrollment(each, 1, status="claimed", until=LIVE) for each in "ab"], ""),
        ([an_enrollment("a", 1, status="dead"), an_enrollment("b", 2)], "a"),
        ([an_enrollment("a", 2, status="dead"), an_enrollment("b", 1, status="dead")], "a"),
    ],
    ids=[
        "none",
        "one",
        "the later one",
        "by id",
        "other keys",
        "other Journeys",
        "without a key",
        "once",
        "a worker has the later one",
        "a lease that ran out",
        "workers have both",
        "rather a dead one",
        "two dead ones",
    ],
)
def test_of_equal_entries_one_is_left(waiting, withdrawn):
    for order in (waiting, waiting[::-1]):
        assert "".join(each.enrollment_id for each in doubled(order, LATER)) == withdrawn
