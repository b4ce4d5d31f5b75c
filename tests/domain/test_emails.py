"""The emails of a Profile: which is its own, and until when each other one leads to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.emails import given_again, leads_before
from segmentflow_core.domain.emails import with_email as with_other_email
from segmentflow_core.domain.profile import Profile, ProfileLimits, event_time

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 2, 1, tzinfo=UTC)
MANY = ProfileLimits(max_former_emails=1000)
NOBODY = Profile("p", None, "x", {}, {}, NOW, NOW)


def with_email(profile, email, occurred_at, received_at, limits):
    if email != profile.email:
        return with_other_email(profile, email, occurred_at, received_at, limits)
    times = given_again(profile.email_times, *event_time(occurred_at, received_at))
    return evolve(profile, email_times=times)


def day(number):
    return START + timedelta(days=number)


def micros(number):
    return int(day(number).timestamp()) * 1_000_000


def given_in_turn(*events, profile=NOBODY, limits=MANY, received=NOW):
    for email, number in events:
        occurred = None if number is None else day(number)
        profile = with_email(profile, email, occurred, received, limits)
    return profile


def seen(profile):
    ends = {email: leads_before(profile, email) for email in profile.former_emails}
    return profile.email, profile.email_times[:2], ends


GIVES = st.tuples(st.sampled_from("abcd"), st.integers(0, 20))


@given(st.lists(GIVES, max_size=6, unique_by=lambda each: each[1]), st.randoms())
def test_the_emails_end_the_same_in_every_order(events, dice):
    shuffled = list(events)
    dice.shuffle(shuffled)
    one, other = given_in_turn(*events), given_in_turn(*shuffled)
    assert seen(one) == seen(other)
    assert one.former_emails == other.former_emails


@given(st.lists(GIVES, min_size=1, max_size=8, unique_by=lambda each: each[1]))
def test_the_own_email_is_the_one_given_last(events):
    profile = given_in_turn(*events)
    assert profile.email == max(events, key=lambda each: each[1])[0]
    assert {profile.email, *profile.former_emails} == {email for email, _ in events}


@given(st.lists(GIVES, min_size=2, max_size=8, unique_by=lambda each: each[1]))
def test_an_email_leads_after_each_event_that_gave_it_and_up_to_a_later_one_of_another(events):
    profile = given_in_turn(*events)
    for email in profile.former_emails:
        end = leads_before(profile, email)
        assert all(micros(number) < end for each, number in events if each == email)
        assert any(micros(number) == end for each, number in events if each != email)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_three_emails_in_every_order(order):
    events = [("a", 1), ("b", 2), ("c", 3)]
    profile = given_in_turn(*(events[index] for index in order))
    assert seen(profile) == ("c", (micros(3), micros(3)), {"a": micros(2), "b": micros(3)})


def test_an_email_that_came_back_ends_the_other_one_at_its_last_event():
    profile = given_in_turn(("a", 1), ("b", 2), ("a", 3))
    assert seen(profile) == ("a", (micros(1), micros(3)), {"b": micros(3)})


def test_an_event_without_a_time_is_never_older_than_what_stands():
    profile = given_in_turn(("a", None), received=day(9))
    later = given_in_turn(("b", None), profile=profile, received=day(5))
    assert (later.email, list(later.former_emails)) == ("b", ["a"])
    assert later.email_times == (micros(9), micros(9), micros(9) + 1)
    again = given_in_turn(("b", None), profile=later, received=day(5))
    assert again.email_times == (micros(5), *later.email_times[1:])


def test_at_equal_times_the_later_call_wins():
    assert given_in_turn(("a", 1), ("b", 1)).email == "b"
    assert given_in_turn(("a", None), ("b", None), ("c", None)).email == "c"


def test_a_later_receipt_breaks_the_tie_of_equal_event_times():
    first = with_email(NOBODY, "a", day(1), day(8), MANY)
    assert with_email(first, "b", day(1), day(7), MANY).email == "a"
    assert with_email(first, "b", day(1), day(9), MANY).email == "b"


def test_an_event_time_after_the_receipt_counts_as_the_receipt():
    profile = with_email(NOBODY, "a", day(30), day(8), MANY)
    assert profile.email_times == (micros(8),) * 3


def test_an_event_between_the_first_and_the_last_changes_nothing():
    profile = given_in_turn(("a", 1), ("a", 5))
    assert given_in_turn(("a", 3), profile=profile) == profile


def test_a_profile_changes_when_its_email_does_and_not_when_an_email_is_given_again():
    profile = with_email(NOBODY, "a", day(1), day(2), MANY)
    assert profile.updated_at == day(2)
    assert with_email(profile, "a", day(3), day(3), MANY).updated_at == day(2)
    assert with_email(profile, "b", day(0), day(3), MANY).updated_at == day(2)
    assert with_email(profile, "b", day(3), day(3), MANY).updated_at == day(3)


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_beyond_the_limit_the_email_that_gave_way_first_is_forgotten(order):
    events = [(email, number) for number, email in enumerate("abcd")]
    limits = ProfileLimits(max_former_emails=1)
    profile = given_in_turn(*(events[index] for index in order), limits=limits)
    assert profile.email == "d"
    assert len(profile.former_emails) == 1


def test_what_is_forgotten_gave_way_first():
    limits = ProfileLimits(max_former_emails=2)
    profile = given_in_turn(*((email, n) for n, email in enumerate("abcd")), limits=limits)
    assert set(profile.former_emails) == {"b", "c"}
    unchanged = given_in_turn(("a", 0), profile=profile, limits=limits)
    assert unchanged.former_emails == profile.former_emails
