"""Profiles and their Properties, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/identity.md and docs/reference/rules/properties.md.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any, Final

import pytest

from segmentflow_core import ProfileLimits
from segmentflow_core.errors import IdentityConflict, NotFound, ProfileEmailRequired
from segmentflow_core.ports import parse_instant, to_microseconds
from segmentflow_core.testing.builders import (
    FixedClock,
    a_request,
)
from segmentflow_core.testing.contract.reading import everything, typed

__all__ = ["ProfileContract"]


class ProfileContract:
    """Every promise about Profiles, one test each."""

    def test_an_email_identifies_whatever_its_case(self, tracker: Any) -> None:
        first = tracker.track(a_request(profile={"email": " Alex@Example.com "}), "1")
        second = tracker.track(a_request(profile={"email": "alex@example.com"}), "2")
        assert first.profile_id == second.profile_id
        assert tracker.records.profile(first.profile_id).email == "alex@example.com"

    def test_an_external_id_identifies_exactly(self, tracker: Any) -> None:
        both = {"email": "a@example.com", "externalId": "X"}
        first = tracker.track(a_request(profile=both), "1")
        assert tracker.track(a_request(profile={"externalId": "X"}), "2").profile_id == (
            first.profile_id
        )
        with pytest.raises(ProfileEmailRequired):
            tracker.track(a_request(profile={"externalId": "x"}), "3")

    def test_a_known_email_takes_a_new_external_id(self, tracker: Any) -> None:
        first = tracker.track(a_request(profile={"email": "a@example.com"}), "1")
        both = {"email": "a@example.com", "externalId": "X"}
        assert tracker.track(a_request(profile=both), "2").profile_id == first.profile_id
        assert tracker.records.profile(first.profile_id).external_id == "X"
        other = {"email": "a@example.com", "externalId": "Y"}
        with pytest.raises(IdentityConflict):
            tracker.track(a_request(profile=other), "3")

    def test_a_known_external_id_takes_a_new_email_and_frees_the_old_one(
        self, tracker: Any
    ) -> None:
        first = tracker.track(
            a_request(profile={"email": "old@example.com", "externalId": "X"}), "1"
        )
        moved = {"email": "new@example.com", "externalId": "X"}
        assert tracker.track(a_request(profile=moved), "2").profile_id == first.profile_id
        another = tracker.track(a_request(profile={"email": "old@example.com"}), "3")
        assert another.profile_id != first.profile_id

    def test_an_email_and_an_external_id_of_two_profiles_conflict(self, tracker: Any) -> None:
        tracker.track(a_request(profile={"email": "a@example.com", "externalId": "A"}), "1")
        tracker.track(a_request(profile={"email": "b@example.com", "externalId": "B"}), "2")
        before = everything(tracker)
        crossed = {"email": "a@example.com", "externalId": "B"}
        with pytest.raises(IdentityConflict) as refusal:
            tracker.track(a_request(profile=crossed), "3")
        assert refusal.value.details == {}
        assert everything(tracker) == before

    def test_a_setting_lets_an_external_id_alone_create_a_profile(
        self, new_tracker: Callable[..., Any]
    ) -> None:
        tracker = new_tracker(create_without_email=True)
        profiles = [
            tracker.track(a_request(profile={"externalId": name}), name).profile_id
            for name in ("A", "B")
        ]
        assert len(set(profiles)) == 2
        assert tracker.records.profile(profiles[0]).email is None
        both = {"email": "a@example.com", "externalId": "A"}
        assert tracker.track(a_request(profile=both), "C").profile_id == profiles[0]
        assert tracker.records.profile(profiles[0]).email == "a@example.com"

    def test_an_older_event_neither_overwrites_nor_revives_a_property(self, tracker: Any) -> None:
        def send(key: str, occurred_at: str, **properties: Any) -> str:
            profile = {"email": "a@example.com", "properties": properties}
            request = a_request(profile=profile, occurredAt=occurred_at)
            return str(tracker.track(request, key).profile_id)

        profile_id = send("1", "2026-03-01T00:00Z", plan="Pro", city=None)
        send("2", "2026-02-01T00:00Z", plan="Free", city="Oslo", since=2020)
        assert tracker.records.profile(profile_id).properties == {"plan": "Pro", "since": 2020}

    @pytest.mark.parametrize(
        "others",
        [("ABC", "abc"), ("caf\u00e9", "cafe\u0301"), ("x", "x "), (" x", "x"), ("\u00df", "ss")],
        ids=["case", "accents", "space-behind", "space-before", "sharp-s"],
    )
    def test_external_ids_that_look_alike_are_different(
        self, tracker: Any, others: tuple[str, str]
    ) -> None:
        profiles = [
            tracker.track(
                a_request(profile={"email": f"p{n}@example.com", "externalId": external_id}), f"{n}"
            ).profile_id
            for n, external_id in enumerate(others)
        ]
        assert [tracker.records.profile(profile_id).external_id for profile_id in profiles] == [
            *others
        ]
        alone = a_request(profile={"externalId": others[1]})
        assert tracker.track(alone, "alone").profile_id == profiles[1]

    def test_an_external_id_of_255_characters_is_kept_whole(self, tracker: Any) -> None:
        name = "\U0001f600" * 255
        both = {"email": "a@example.com", "externalId": name}
        receipt = tracker.track(a_request(profile=both), "1")
        assert tracker.records.profile(receipt.profile_id).external_id == name

    def test_each_property_remembers_when_it_was_set_or_removed(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        moment = "2026-03-01T00:00:00.000001Z"
        profile = {"email": "a@example.com", "properties": {"plan": "Pro", "city": None}}
        receipt = tracker.track(a_request(profile=profile, occurredAt=moment), "1")
        time = (to_microseconds(parse_instant(moment)), to_microseconds(clock.now()))
        stored = tracker.records.profile(receipt.profile_id)
        assert stored.property_times == {"plan": time, "city": time}

    def test_a_profile_knows_when_it_was_made_and_when_it_last_changed(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        made = clock.now()
        profile_id = tracker.track(a_request(), "1").profile_id
        clock.advance(microseconds=1)
        tracker.track(a_request(), "nothing new")
        assert tracker.records.profile(profile_id).updated_at == made
        changed = {"email": "alex@example.com", "properties": {"plan": "Pro"}}
        tracker.track(a_request(profile=changed), "2")
        stored = tracker.records.profile(profile_id)
        assert (stored.created_at, stored.updated_at) == (made, clock.now())

    def test_a_property_may_become_a_value_that_python_holds_equal(self, tracker: Any) -> None:
        for number, value in enumerate((1, True, 1.0)):
            profile = {"email": "a@example.com", "properties": {"n": value}}
            receipt = tracker.track(a_request(profile=profile), str(number))
            kept = tracker.records.profile(receipt.profile_id).properties["n"]
            assert typed(kept) == typed(value)

    @pytest.mark.parametrize("together", [False, True], ids=["by-call", "by-batch"])
    @pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
    def test_events_of_one_external_id_end_the_same_in_every_order(
        self, tracker: Any, order: tuple[int, ...], together: bool
    ) -> None:
        calls = [(_THREE_EMAILS[n], f"key {n}") for n in order]
        batches = [calls] if together else [[call] for call in calls]
        receipts = [receipt for batch in batches for receipt in tracker.track_many(batch)]
        (profile_id,) = {receipt.profile_id for receipt in receipts}
        stored = tracker.records.profile(profile_id)
        assert (stored.email, stored.external_id) == ("c@x.org", "X")
        assert stored.email_times[:2] == _micros(3, 3)
        assert {email: times[:2] for email, times in stored.former_emails.items()} == {
            "a@x.org": _micros(1, 1),
            "b@x.org": _micros(2, 2),
        }

    def test_an_email_that_gave_way_leads_to_its_profile_for_older_events_alone(
        self, tracker: Any
    ) -> None:
        first = tracker.track(_given("a@x.org", 2, "X"), "1").profile_id
        tracker.track(_given("b@x.org", 4, "X"), "2")
        assert tracker.track(_given("a@x.org", 3), "older").profile_id == first
        other = tracker.track(_given("a@x.org", 4), "not older").profile_id
        assert other != first
        assert tracker.track(_given("a@x.org", 3), "older, once more").profile_id == first
        assert tracker.track(_given("a@x.org", 5), "newer").profile_id == other
        assert tracker.track(_given("a@x.org"), "without a time").profile_id == other
        assert tracker.records.profile(first).email == "b@x.org"
        assert tracker.records.profile(other).email == "a@x.org"

    def test_an_older_event_leaves_the_email_as_it_is(self, tracker: Any) -> None:
        first = tracker.track(_given("b@x.org", 4, "X"), "1").profile_id
        assert tracker.track(_given("a@x.org", 2, "X"), "2").profile_id == first
        stored = tracker.records.profile(first)
        assert (stored.email, list(stored.former_emails)) == ("b@x.org", ["a@x.org"])
        assert tracker.track(_given("a@x.org", 3), "3").profile_id == first
        assert tracker.track(_given("b@x.org", 1), "4").profile_id == first

    def test_an_event_without_a_time_gives_the_newest_email(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        first = tracker.track(_given("a@x.org", None, "X"), "1").profile_id
        clock.advance(seconds=-5)
        assert tracker.track(_given("b@x.org", None, "X"), "2").profile_id == first
        assert tracker.records.profile(first).email == "b@x.org"

    def test_an_email_that_gave_way_may_become_the_profile_s_own_again(self, tracker: Any) -> None:
        profile_id = tracker.track(_given("a@x.org", 1, "X"), "1").profile_id
        tracker.track(_given("b@x.org", 2, "X"), "2")
        tracker.track(_given("a@x.org", 3, "X"), "3")
        stored = tracker.records.profile(profile_id)
        assert (stored.email, stored.email_times[:2]) == ("a@x.org", _micros(1, 3))
        assert list(stored.former_emails) == ["b@x.org"]
        assert tracker.track(_given("b@x.org", 2), "b, while it led").profile_id == profile_id
        assert tracker.track(_given("b@x.org", 4), "b, now").profile_id != profile_id

    def test_several_profiles_may_have_had_one_email_each_for_its_time(self, tracker: Any) -> None:
        holders = []
        for number, external_id in enumerate("XYZ"):
            day = 1 + 4 * number
            profile = tracker.track(_given("a@x.org", day, external_id), f"has {number}").profile_id
            tracker.track(_given(f"{number}@x.org", day + 2, external_id), f"moves {number}")
            holders.append(profile)
        assert len(set(holders)) == 3
        for number, holder in enumerate(holders):
            found = tracker.track(_given("a@x.org", 2 + 4 * number), f"late {number}")
            assert found.profile_id == holder
        crossed = tracker.track_many([(_given("a@x.org", 2, "Y"), "crossed")])
        assert isinstance(crossed[0], IdentityConflict)

    def test_an_email_that_gave_way_is_of_its_organization_alone(self, tracker: Any) -> None:
        first = tracker.track(_given("a@x.org", 1, "X"), "1").profile_id
        tracker.track(_given("b@x.org", 3, "X"), "2")
        late = tracker.track(_given("a@x.org", 2), "3", organization_id="another").profile_id
        assert late != first
        with pytest.raises(NotFound):
            tracker.records.profile(first, organization_id="another")

    def test_beyond_the_limit_the_email_that_gave_way_first_is_forgotten(
        self, new_tracker: Callable[..., Any]
    ) -> None:
        tracker = new_tracker(profile_limits=ProfileLimits(max_former_emails=2))
        profile_id = tracker.track(_given("1@x.org", 1, "X"), "1").profile_id
        for day in range(2, 5):
            tracker.track(_given(f"{day}@x.org", day, "X"), f"{day}")
        stored = tracker.records.profile(profile_id)
        assert set(stored.former_emails) == {"2@x.org", "3@x.org"}
        assert tracker.track(_given("2@x.org", 2), "known").profile_id == profile_id
        assert tracker.track(_given("1@x.org", 1), "forgotten").profile_id != profile_id

    def test_an_email_that_moved_on_identifies_its_new_holder_alone(self, tracker: Any) -> None:
        old = tracker.track(a_request(profile={"email": "a@x.org", "externalId": "A"}), "1")
        tracker.track(a_request(profile={"email": "b@x.org", "externalId": "A"}), "2")
        new = tracker.track(a_request(profile={"email": "a@x.org", "externalId": "B"}), "3")
        assert new.profile_id != old.profile_id
        for email, holder in (("a@x.org", new), ("b@x.org", old)):
            found = tracker.track(a_request(profile={"email": email}), f"who has {email}")
            assert found.profile_id == holder.profile_id


def _given(email: str, day: int | None = None, external_id: str | None = None) -> Any:
    """Return a request of a day in January, or without a time."""
    profile = {"email": email} | ({} if external_id is None else {"externalId": external_id})
    when = {} if day is None else {"occurredAt": f"2026-01-{day:02}T00:00:00Z"}
    return a_request(profile=profile, **when)


def _micros(*days: int) -> tuple[int, ...]:
    return tuple(to_microseconds(parse_instant(f"2026-01-{day:02}T00:00:00Z")) for day in days)


_THREE_EMAILS: Final = [
    _given(f"{email}@x.org", day, "X") for day, email in enumerate("abc", start=1)
]
