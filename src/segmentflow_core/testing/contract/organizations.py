"""Isolation between Organizations, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/organizations.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from segmentflow_core.errors import ConfigurationError, NotFound
from segmentflow_core.testing.builders import (
    FixedClock,
    a_journey,
    a_request,
)
from segmentflow_core.testing.contract.reading import EVERY_POLICY, everything

__all__ = ["OrganizationContract"]


class OrganizationContract:
    """No call sees another Organization's rows, one test for each kind of row."""

    def test_organizations_share_nothing(self, tracker: Any) -> None:
        tracker.journeys.publish({"journeys": [a_journey()]}, organization_id="a")
        first = tracker.track(a_request(), "key", organization_id="a")
        second = tracker.track(a_request(), "key", organization_id="b")
        assert first.event_id != second.event_id
        assert first.profile_id != second.profile_id
        assert (first.matched_journeys, second.matched_journeys) == (1, 0)
        assert not tracker.enrollments.list(organization_id="b")
        assert not tracker.journeys.list(organization_id="b")
        assert [e.event_id for e in tracker.records.events(organization_id="b")] == [
            second.event_id
        ]

    def test_another_organizations_ids_are_not_found(self, tracker: Any) -> None:
        tracker.journeys.publish({"journeys": [a_journey()]}, organization_id="a")
        receipt = tracker.track(a_request(), "key", organization_id="a")
        elsewhere = {"organization_id": "b"}
        for read, arguments, where in (
            (tracker.records.event, (receipt.event_id,), elsewhere),
            (tracker.records.profile, (receipt.profile_id,), elsewhere),
            (tracker.journeys.get, ("welcome",), elsewhere),
            (tracker.journeys.get, ("welcome", 1), elsewhere),
            (tracker.journeys.get, ("welcome", 2), {"organization_id": "a"}),
        ):
            with pytest.raises(NotFound):
                read(*arguments, **where)

    def test_what_cannot_be_an_id_is_not_found(self, tracker: Any) -> None:
        tracker.track(a_request(), "key")
        for odd in ("", "no id", "019BF964-302B-7A7F-ADD2-589343EF9F32", "{1}", "\0", "'; --"):
            for read in (tracker.records.event, tracker.records.profile, tracker.enrollments.get):
                with pytest.raises(NotFound):
                    read(odd)
            for pages in (tracker.records.events, tracker.enrollments.list):
                with pytest.raises(ConfigurationError):
                    pages(before=odd)
        with pytest.raises(ConfigurationError):
            tracker.enrollments.list(journey_id="a\0b")
        with pytest.raises(ConfigurationError):
            tracker.enrollments.claim(journey_id="\ud800")
        for version in (0, -1, 2**31, 2**63):
            with pytest.raises(NotFound):
                tracker.journeys.get("welcome", version)

    @pytest.mark.parametrize(
        "no_id",
        ["", "no id", "{}", "\0", "\ud800", "x" * 300],
        ids=["empty", "words", "braces", "nul", "surrogate", "long"],
    )
    def test_what_is_no_id_is_not_found(self, tracker: Any, no_id: str) -> None:
        tracker.journeys.publish({"journeys": [a_journey()]})
        receipt = tracker.track(a_request(), "key")
        for read, identifier in (
            (tracker.records.event, receipt.event_id),
            (tracker.records.profile, receipt.profile_id),
            (tracker.journeys.get, "welcome"),
        ):
            for asked in (no_id, f"{identifier}{no_id or ' '}"):
                with pytest.raises(NotFound):
                    read(asked)

    @pytest.mark.parametrize("organization_id", ["", "a\0b", "\ud800", "x" * 256], ids=range(4))
    def test_what_is_no_organization_is_refused_by_reads_as_well(
        self, tracker: Any, organization_id: str
    ) -> None:
        for read in (tracker.records.events, tracker.enrollments.list, tracker.journeys.list):
            with pytest.raises(ConfigurationError):
                read(organization_id=organization_id)

    def test_entries_of_another_organization_do_not_count(self, tracker: Any) -> None:
        for name in ("a", "b"):
            tracker.journeys.publish(EVERY_POLICY, organization_id=name)
            order = a_request(data={"orderId": "A"})
            receipt = tracker.track(order, "key", organization_id=name)
            assert receipt.enrolled_journeys == 3

    def test_an_identity_belongs_to_each_organization_alone(self, tracker: Any) -> None:
        both = {"email": "a@example.com", "externalId": "X", "properties": {"plan": "Pro"}}
        first = tracker.track(a_request(profile=both), "1", organization_id="a")
        other = {"email": "b@example.com", "externalId": "X"}
        second = tracker.track(a_request(profile=other), "1", organization_id="b")
        assert tracker.records.profile(second.profile_id, organization_id="b").properties == {}
        assert (
            tracker.records.profile(first.profile_id, organization_id="a").email == "a@example.com"
        )

    def test_what_one_organization_does_changes_nothing_in_another(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        for name in ("a", "b"):
            tracker.journeys.publish(EVERY_POLICY, organization_id=name)
            tracker.track(a_request(data={"orderId": "A"}), "key", organization_id=name)
        before = everything(tracker, "a")
        clock.advance(days=1)
        moved = {"email": "alex@example.com", "externalId": "X", "properties": {"plan": "Pro"}}
        tracker.track(a_request(profile=moved), "other", organization_id="b")
        tracker.journeys.publish([a_journey("every", status="paused")], organization_id="b")
        leases = [c.lease for c in tracker.enrollments.claim(organization_id="b")]
        tracker.enrollments.complete_many(leases)
        assert everything(tracker, "a") == before

    @pytest.mark.parametrize(
        "others",
        [("Ab", "aB"), ("a", "a "), ("\u00e9" * 255, "\u00e9" * 254)],
        ids=["case", "space", "long"],
    )
    def test_organizations_with_names_that_look_alike_are_different(
        self, tracker: Any, others: tuple[str, str]
    ) -> None:
        receipts = [tracker.track(a_request(), "key", organization_id=name) for name in others]
        for name, receipt in zip(others, receipts, strict=True):
            (event,) = tracker.records.events(organization_id=name)
            assert event.event_id == receipt.event_id
