"""The Profiles that a batch is about: which one each of its events leads to."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from deciding import NOW, a_profile, an_item, decided, known
from segmentflow_core.domain.instant import to_microseconds
from segmentflow_core.domain.people import merged
from segmentflow_core.domain.profile import DEFAULT_PROFILE_LIMITS

LONG_AGO = NOW - timedelta(days=1)


def hour(number):
    return LONG_AGO + timedelta(hours=number)


def decided_in_turn(*sent, profiles=()):
    """Decide events, each of an hour, an email or none, and an external id or none."""
    items = []
    for number, (at, email, external_id) in enumerate(sent):
        given = {"email": email and f"{email}@example.com", "externalId": external_id}
        profile = {name: value for name, value in given.items() if value is not None}
        items.append(an_item(str(number), f"e{number}", profile=profile, occurredAt=hour(at)))
    return decided(*items, known=known(profiles=profiles))


def test_an_email_alone_is_not_given_once_more():
    decision = decided_in_turn((1, "a", "x"), (2, "a", None), (3, None, "x"))
    (profile,) = decision.changes.created_profiles
    first = to_microseconds(hour(1))
    assert profile.email_times == (first, first, to_microseconds(NOW))


def test_an_email_that_came_back_in_the_batch_leads_to_its_profile_as_any_own_one():
    decision = decided_in_turn((1, "a", "x"), (2, "b", "x"), (3, "a", "x"), (4, "a", None))
    assert len({receipt.profile_id for receipt in decision.results}) == 1
    (profile,) = decision.changes.created_profiles
    assert (profile.email, [*profile.former_emails]) == ("a@example.com", ["b@example.com"])


def test_an_email_that_gave_way_in_the_batch_leads_to_its_profile_for_older_events_alone():
    decision = decided_in_turn((1, "a", "x"), (3, "b", "x"), (2, "a", None), (3, "a", None))
    one, other = decision.changes.created_profiles
    given = [receipt.profile_id for receipt in decision.results]
    assert given == [one.profile_id] * 3 + [other.profile_id]
    assert (one.email, other.email) == ("b@example.com", "a@example.com")


def test_of_two_profiles_that_had_an_email_the_one_in_which_it_gave_way_first_is_led_to():
    decision = decided_in_turn(
        *((1, "a", "x"), (3, "b", "x"), (4, "a", "y"), (6, "c", "y")),
        *((2, "a", None), (5, "a", None), (6, "a", None)),
    )
    x, _, y, *_ = (receipt.profile_id for receipt in decision.results)
    assert [receipt.profile_id for receipt in decision.results[4:6]] == [x, y]
    assert decision.results[6].profile_id not in (x, y)


def test_a_loaded_profile_is_changed_and_a_new_one_is_created():
    loaded = a_profile("p", "a@example.com", "x")
    decision = decided_in_turn((1, "a", "x"), (2, "b", "y"), profiles=[loaded])
    changes = decision.changes
    assert [profile.profile_id for profile in changes.changed_profiles] == ["p"]
    assert changes.previous_profiles == (loaded,)
    assert [profile.external_id for profile in changes.created_profiles] == ["y"]


def merged_of(one, other):
    """Merge the two Profiles of a decision; the one that stays has an id no decision gives."""
    stays = evolve(one, profile_id="stays")
    return merged(stays, other, NOW, DEFAULT_PROFILE_LIMITS).stays


def test_an_email_that_gave_way_before_a_merge_is_not_brought_back_by_an_older_event():
    apart = decided_in_turn((1, "d", "x"), (2, "a", "y"), (5, "b", "y"))
    both = merged_of(*apart.changes.created_profiles)
    for at in (0, 3):
        decision = decided_in_turn((6, "a", None), (at, "a", "x"), profiles=[both])
        (newcomer,) = decision.changes.created_profiles
        (survivor,) = decision.changes.changed_profiles
        assert (newcomer.email, survivor.email) == ("a@example.com", "d@example.com")
        # It leads to the survivor until it gave way, as before.
        later = decided_in_turn((4, "a", None), (5, "a", None), profiles=[survivor, newcomer])
        led_to = [receipt.profile_id for receipt in later.results]
        assert led_to == [survivor.profile_id, newcomer.profile_id]


def test_an_email_that_gave_way_before_a_merge_comes_back_by_a_newer_event():
    apart = decided_in_turn((1, "d", "x"), (2, "a", "y"), (5, "b", "y"))
    both = merged_of(*apart.changes.created_profiles)
    for at in (5, 6):
        (survivor,) = decided_in_turn((at, "a", "x"), profiles=[both]).changes.changed_profiles
        assert (survivor.profile_id, survivor.email) == ("stays", "a@example.com")
