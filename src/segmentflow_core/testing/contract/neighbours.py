"""Two Organizations with the same ids, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses. Ids are unique by chance alone, and not at
all in a copy of the data; so a call that names an Organization reads and writes what is that
one's, whatever another one has of the same id.

See docs/reference/rules/organizations.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest
from attrs import evolve

from segmentflow_core.ports import PriorEntries, Probe
from segmentflow_core.testing.builders import FixedClock
from segmentflow_core.testing.contract.comparing import exact
from segmentflow_core.testing.contract.doors import Batch, Doors, batch_of
from segmentflow_core.testing.facts import Facts, facts_of

__all__ = ["NeighbourContract"]

_NAMES: Final = ("a", "b", "c")
"""Two Organizations with everything, and one that has only the middle one of each kind."""

Finish = Callable[[Any, Sequence[Any]], Any]

_FINISHES: Final[dict[str, Finish]] = {
    "complete": lambda enrollments, leases: enrollments.complete_many(leases),
    "extend": lambda enrollments, leases: enrollments.extend_many(leases),
    "release": lambda enrollments, leases: enrollments.release_many(leases),
    "kill": lambda enrollments, leases: enrollments.release_many(leases, max_attempts=1),
}


class NeighbourContract:
    """What another Organization has of the same id, one test for each way to meet it."""

    def test_organizations_with_the_same_ids_read_their_own(self, doors: Doors) -> None:
        neighbours = _write(doors)
        for organization_id, batches in neighbours.items():
            doors.check(organization_id, batches)

    def test_of_several_ids_an_organization_is_given_those_that_it_has(self, doors: Doors) -> None:
        """The third one has one in three of all that is asked for, the fourth one nothing."""
        neighbours = _write(doors)
        asked = neighbours["a"]
        for organization_id, own in (("c", neighbours["c"]), ("nobody", [])):
            ids = [batch.event.event_id for batch in asked]
            events = doors.ask("events", "get_many", organization_id, ids)
            assert exact(events) == exact({batch.event.event_id: batch.event for batch in own})
            probes = [_probe(batch) for batch in asked]
            answers = doors.ask("tracking", "prior_entries", organization_id, probes)
            entered = {_probe(batch): batch for batch in own}
            assert answers == {
                probe: PriorEntries(entered[probe].event.received_at, key_taken=True)
                if probe in entered
                else PriorEntries()
                for probe in probes
            }
            listening = tuple(sorted(b.journey.definition.trigger.event for b in asked))
            known = doors.load(organization_id, *asked, keys=(), events=listening)
            assert exact(known.profiles) == exact([batch.profile for batch in own])
            assert exact(known.journeys) == exact([batch.journey for batch in own])
            for batch in asked:
                for repository, identifier in (
                    ("profiles", batch.profile.profile_id),
                    ("events", batch.event.event_id),
                    ("journeys", batch.journey.journey_id),
                    ("enrollments", _entry_id(batch)),
                ):
                    found = doors.ask(repository, "get", organization_id, identifier)
                    assert (found is None) == (batch.event.event_id not in {*_event_ids(own)})

    def test_a_key_that_one_organization_frees_is_taken_in_another(self, doors: Doors) -> None:
        neighbours = _write(doors)
        doors.free("nobody", neighbours["a"][0])
        for organization_id, batches in neighbours.items():
            doors.check(organization_id, batches)

    def test_an_event_of_one_organization_changes_no_profile_of_another(self, doors: Doors) -> None:
        neighbours = _write(doors)
        before = neighbours["a"][1]
        facts = {**_facts("a", 1), "number": 2, "version": 2, "properties": {"changed": True}}
        fresh = facts_of(1_000)
        facts |= {name: fresh[name] for name in ("event_id", "enrollment_id", "key_digest")}
        doors.rewrite("a", [before], [batch_of({**facts, "email": "changed@example.org"})])
        for organization_id in ("b", "c"):
            doors.check(organization_id, neighbours[organization_id])

    @pytest.mark.parametrize(
        "change",
        [{"status": "paused"}, {"name": "Another"}, {"trigger": {"event": "another"}}],
        ids=["status", "name", "event"],
    )
    def test_a_publication_of_one_organization_changes_no_journey_of_another(
        self,
        doors: Doors,
        tracker: Any,
        change: dict[str, Any],
    ) -> None:
        neighbours = _write(doors)
        documents = [
            {
                "id": batch.journey.journey_id,
                "name": "Name",
                "status": "active",
                "trigger": {"event": batch.journey.definition.trigger.event},
                **change,
            }
            for batch in neighbours["a"]
        ]
        tracker.journeys.publish(documents, organization_id="a")
        for batch in neighbours["a"]:
            first = doors.journey("a", batch.journey.journey_id, 1)
            assert first is not None
            assert first.definition.name == "Of a"
            assert doors.journey("b", batch.journey.journey_id, 2) is None
        for organization_id in ("b", "c"):
            doors.check(organization_id, neighbours[organization_id])

    @pytest.mark.parametrize("finish", _FINISHES)
    def test_leases_of_one_organization_finish_nothing_of_another(
        self,
        doors: Doors,
        tracker: Any,
        clock: FixedClock,
        finish: str,
    ) -> None:
        _write(doors)
        enrollments = tracker.enrollments
        leases = {
            name: [c.lease for c in enrollments.claim(organization_id=name, limit=9)]
            for name in _NAMES
        }
        before = {name: enrollments.list(organization_id=name) for name in _NAMES}
        clock.advance(seconds=1)
        strange = [evolve(lease, organization_id="b") for lease in leases["a"]]
        strange += [evolve(lease, organization_id="nobody") for lease in leases["a"]]
        refusals = [answer.code for answer in _FINISHES[finish](enrollments, strange)]
        assert refusals == ["lease_lost"] * 3 + ["not_found"] * 3
        assert {name: enrollments.list(organization_id=name) for name in _NAMES} == before
        done = _FINISHES[finish](enrollments, [*leases["a"], *strange])[:3]
        assert len({answer.enrollment_id for answer in done}) == 3
        for name in ("b", "c"):
            assert enrollments.list(organization_id=name) == before[name]
        assert sorted(enrollments.list(organization_id="a"), key=_identifier) == sorted(
            done, key=_identifier
        )

    def test_a_revival_in_one_organization_revives_nothing_of_another(
        self, doors: Doors, tracker: Any
    ) -> None:
        neighbours = _write(doors)
        enrollments = tracker.enrollments
        leases = [c.lease for c in enrollments.claim(organization_id=None, limit=99)]
        assert len(leases) == sum(map(len, neighbours.values()))
        enrollments.release_many(leases, max_attempts=1)
        before = {name: enrollments.list(organization_id=name) for name in _NAMES}
        ids = [_entry_id(batch) for batch in neighbours["a"]]
        revived = enrollments.revive_many(ids[:2], organization_id="a")
        assert [item.status for item in revived] == ["pending", "pending"]
        assert [e.status for e in enrollments.list(organization_id="a")].count("dead") == 1
        for name in ("b", "c"):
            assert enrollments.list(organization_id=name) == before[name]
        answers = enrollments.revive_many(ids, organization_id="c")
        assert [getattr(answer, "code", "revived") for answer in answers] == [
            "not_found",
            "revived",
            "not_found",
        ]
        assert enrollments.list(organization_id="b") == before["b"]


def _write(doors: Doors) -> dict[str, list[Batch]]:
    """Write what three Organizations have: the same ids, keys and identities, other data."""
    written = {name: [batch_of(_facts(name, n)) for n in range(3)] for name in _NAMES}
    written["c"] = written["c"][1:2]
    for organization_id, batches in written.items():
        doors.write(organization_id, *batches)
    return written


def _facts(organization_id: str, number: int) -> Facts:
    own = {"of": organization_id}
    return facts_of(
        number,
        data=own,
        properties=own,
        name=f"Of {organization_id}",
        paths={"/data/of": organization_id},
        entry_key="",
    )


def _probe(batch: Batch) -> Probe:
    return Probe(batch.journey.journey_id, batch.profile.profile_id, "")


def _entry_id(batch: Batch) -> str:
    assert batch.enrollment is not None
    return batch.enrollment.enrollment_id


def _event_ids(batches: Sequence[Batch]) -> list[str]:
    return [batch.event.event_id for batch in batches]


def _identifier(enrollment: Any) -> str:
    return str(enrollment.enrollment_id)
