"""Keys made of parts, as tests of a storage adapter: none is another for how it reads.

A part of `StorageContract`, whose fixtures it uses. A store that joins the parts of a key to
one text must not take one key for another; nor may an index of one kind of thing answer for
another kind.

See docs/reference/rules/storage.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from segmentflow_core.ports import Alias, IdentityKind, PriorEntries, Probe
from segmentflow_core.testing import specimens
from segmentflow_core.testing.builders import a_request
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.comparing import exact
from segmentflow_core.testing.contract.doors import Batch, Doors, batch_of
from segmentflow_core.testing.facts import facts_of

__all__ = ["JOINTS", "KeyContract"]

JOINTS: Final = (
    *("", ":", "/", "|", "\x1f", "\x01", "\x1e", "-", "_", ".", ",", ";", " ", "\t"),
    *("#", "@", "+", "=", "\\", "\\:", "%3A", "%2F", "::", '","', "', '", "\n", "\x7f"),
    *("\u00b7", "\uffff", "\U0010ffff", "\U0001f600"),
)
"""What stores join the parts of a key with, and what some write in place of that."""


def _named(joint: str) -> str:
    # Plain text: pytest escapes what else a function names, and anew for each subclass.
    return "".join(f"U+{ord(each):04X}" for each in joint) or "nothing"


_KEYS: Final = (None, "", "0" * 64, "1" * 64)


def _splits(joint: str) -> tuple[tuple[str, str, str], ...]:
    """Return keys of three parts which all read ``abcd`` when they are joined with `joint`."""
    joined = joint.join
    return (
        (joined("ab"), "c", "d"),
        ("a", joined("bc"), "d"),
        ("a", "b", joined("cd")),
    )


class KeyContract:
    """No two keys are one, one test for each kind of key."""

    @pytest.mark.parametrize("joint", JOINTS, ids=_named)
    def test_keys_that_read_alike_when_their_parts_are_joined_are_different(
        self, doors: Doors, joint: str
    ) -> None:
        written: dict[str, list[Batch]] = {}
        for number, (organization_id, first, second) in enumerate(_splits(joint)):
            if organization_id.isprintable():
                rest = joint.join((first, second, *(["d"] * (number > 1))))
                texts = dict.fromkeys(
                    ("external_id", "journey_id", "trigger", "reference_id"), rest
                )
                batches = [
                    batch_of(facts_of(number, trigger=first, journey_id=second, entry_key="")),
                    batch_of(facts_of(10 + number, **texts, entry_key="")),
                ]
                doors.write(organization_id, *batches)
                written.setdefault(organization_id, []).extend(batches)
        for organization_id, batches in written.items():
            doors.check(organization_id, batches)

    @pytest.mark.parametrize("joint", JOINTS, ids=_named)
    def test_a_journey_and_its_version_are_no_other_journey(self, doors: Doors, joint: str) -> None:
        """Version 11 of one Journey, version 1 of another whose id ends with a 1."""
        versions = {f"a{joint}1{joint}1": 1, f"a{joint}1": 1, f"a{joint}": 1, "a": 11}
        journeys = {
            name: batch_of(facts_of(number, journey_id=name, journey_version=version)).journey
            for number, (name, version) in enumerate(versions.items())
        }
        doors.publish("default", *journeys.values())
        for name, own in versions.items():
            for version in (1, 11, 111):
                found = doors.journey("default", name, version)
                assert exact(found) == exact(journeys[name] if version == own else None)

    @needs("people")
    def test_blocked_identities_that_read_alike_when_their_parts_are_joined_are_different(
        self, doors: Doors
    ) -> None:
        """Of two Organizations, of which the second one has blocked nothing."""
        kind = IdentityKind.EXTERNAL_ID
        for number, joint in enumerate(filter(str.isprintable, JOINTS)):
            first, second = f"{number}", joint.join((f"{number}", kind, "a"))
            blocked = joint.join(("a", kind, "b"))
            doors.write(first, batch_of(facts_of(0)))
            person = facts_of(0)["profile_id"]
            doors.ask("people", "block", first, person, [Alias(kind, blocked)])
            asked = tuple(sorted({blocked, "b", joint.join(("", kind, "b"))}))
            for name, found in ((first, {Alias(kind, blocked)}), (second, set())):
                assert {*doors.load(name, external_ids=asked).blocked} == found

    def test_an_email_and_an_external_id_that_read_alike_are_of_two_profiles(
        self, doors: Doors, new_tracker: Callable[..., Any]
    ) -> None:
        crossed = ("a@example.com", "b@example.com")
        batches = [
            batch_of(facts_of(number, email=email, external_id=external_id))
            for number, (email, external_id) in enumerate((crossed, crossed[::-1]))
        ]
        for batch in batches:
            doors.write("default", batch)
        doors.check("default", batches)
        tracker = new_tracker(create_without_email=True)
        for batch in batches:
            by_email = tracker.track(
                a_request(profile={"email": batch.profile.email}), f"{batch.profile.email}"
            )
            assert by_email.profile_id == batch.profile.profile_id
        alone = tracker.track(a_request(profile={"externalId": "c@example.com"}), "c")
        other = tracker.track(a_request(profile={"email": "c@example.com"}), "d")
        assert alone.profile_id != other.profile_id

    def test_an_entry_key_is_taken_for_its_journey_and_its_profile_alone(
        self, doors: Doors
    ) -> None:
        """Every pair of two Journeys and two Profiles, of which each has another key taken."""
        batches = [batch_of(facts_of(number, entry_key=key)) for number, key in enumerate(_KEYS)]
        for organization_id in ("default", "other"):
            for batch in batches[:: 1 if organization_id == "default" else -2]:
                doors.write(organization_id, batch)
        probes = {
            Probe(journey.journey.journey_id, profile.profile.profile_id, key): PriorEntries(
                journey.event.received_at if journey is profile else None,
                key_taken=journey is profile and key is not None and _key_of(journey) == key,
            )
            for journey in batches
            for profile in batches
            for key in _KEYS
        }
        answers = doors.ask("tracking", "prior_entries", "default", [*probes])
        assert answers == probes
        doors.check("default", batches)
        doors.check("other", batches[::-2])

    def test_one_entry_key_serves_every_journey_and_every_profile(self, doors: Doors) -> None:
        batches = [batch_of(facts_of(number, entry_key="")) for number in range(3)]
        doors.write("default", *batches)
        doors.write("other", *batches)
        for organization_id in ("default", "other"):
            doors.check(organization_id, batches)

    def test_a_claim_for_a_journey_takes_no_entries_of_one_that_reads_alike(
        self, doors: Doors, tracker: Any
    ) -> None:
        names = tuple(
            dict.fromkeys((*specimens.NAMES, *(f"n{joint}n" for joint in JOINTS), "n", "nn"))
        )
        batches = [batch_of(facts_of(n, journey_id=name)) for n, name in enumerate(names)]
        doors.write("default", *batches)
        for name in names:
            claimed = tracker.enrollments.claim(journey_id=name, limit=1000)
            assert [c.enrollment.journey_id for c in claimed] == [name]
        assert tracker.enrollments.claim(limit=1000) == []

    def test_a_claim_for_an_organization_takes_no_entries_of_one_that_reads_alike(
        self, doors: Doors, tracker: Any
    ) -> None:
        joined = (f"n{joint}n" for joint in JOINTS if joint.isprintable())
        names = tuple(dict.fromkeys((*specimens.PRINTABLE, *joined, "n", "nn")))
        for name in names:
            doors.write(name, batch_of(facts_of(0)))
        for name in names:
            claimed = tracker.enrollments.claim(organization_id=name, limit=1000)
            assert [c.organization_id for c in claimed] == [name]
        assert tracker.enrollments.claim(organization_id=None, limit=1000) == []


def _key_of(batch: Batch) -> str | None:
    return None if batch.enrollment is None else batch.enrollment.entry_key
