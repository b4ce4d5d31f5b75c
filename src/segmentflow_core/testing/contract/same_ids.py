"""Organizations with the same ids, in the parts that a storage may lack.

A part of `StorageContract`, whose fixtures it uses. All that can be read of an Organization is read
while it is alone in the store, and again once others with the same ids, keys and identities have
come, and have had everything done to them that a host can do.

See docs/reference/rules/organizations.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from segmentflow_core.testing.builders import FixedClock, a_request
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.comparing import check_same
from segmentflow_core.testing.contract.doors import Doors
from segmentflow_core.testing.contract.told import all_told, journey, person, write_people

__all__ = ["SameIdsContract"]

_HOUR: Final = timedelta(hours=1)


class SameIdsContract:
    """What is done to one Organization, and changes nothing of another one of the same ids."""

    @needs("people")
    def test_a_person_of_one_organization_who_is_suppressed_is_not_so_in_another(
        self, doors: Doors, tracker: Any
    ) -> None:
        def suppress(number: int) -> None:
            done = tracker.people.suppress(person(number), organization_id="a")
            assert done.withdrawn == int(number == 1)

        _check_others(doors, suppress)

    @needs("people")
    def test_a_person_of_one_organization_who_is_erased_and_blocked_is_not_so_in_another(
        self, doors: Doors, tracker: Any
    ) -> None:
        of: dict[str, Any] = {"organization_id": "a"}

        def begin(number: int) -> None:
            erasure = tracker.people.erase(person(number), block=True, at_most=1, **of)
            assert (erasure.withdrawn, erasure.blocked) == (int(number == 1), 3)
            assert not erasure.done

        def finish(number: int) -> None:
            assert tracker.people.erase(person(number), **of).done

        _check_others(doors, begin, finish)

    @needs("people")
    def test_people_of_one_organization_who_are_merged_are_apart_in_another(
        self, doors: Doors, tracker: Any
    ) -> None:
        def merge(number: int) -> None:
            if number:
                tracker.people.merge(person(0), person(number), organization_id="a")

        _check_others(doors, merge)

    @needs("retention")
    def test_what_retention_removes_of_one_organization_stays_in_another(
        self, doors: Doors, tracker: Any, clock: FixedClock
    ) -> None:
        """Events go, which are counted, and their Enrollments, whose entries are kept."""

        def retain(number: int) -> None:
            clock.advance(days=1)
            retained = tracker.people.retain(events=_HOUR, enrollments=_HOUR, organization_id="a")
            went = 2 if number == 0 else 0
            assert (retained.events, retained.enrollments) == (went, went)
            assert (retained.held, retained.entries) == (1, went)

        _check_others(doors, retain)

    @needs("pausing")
    def test_a_journey_that_one_organization_archives_is_of_its_first_era_in_another(
        self, doors: Doors, tracker: Any
    ) -> None:
        """What waits there is withdrawn; what enters in the new era waits as if it were alone."""
        of: dict[str, Any] = {"organization_id": "a"}

        def archive(number: int) -> None:
            tracker.journeys.archive(journey(number), **of)

        def follow(_: int) -> None:
            tracker.journeys.finish_archiving(**of)

        def activate(number: int) -> None:
            tracker.journeys.activate(journey(number), **of)

        def enter(number: int) -> None:
            who = {"email": f"new{number}@example.org"}
            request = a_request(f"trigger {number}", profile=who)
            entered = tracker.track(request, f"new {number}", **of)
            assert entered.enrolled_journeys == 1
            for _ in range(doors.offers("finding")):
                (backlog,) = tracker.enrollments.backlog(journey_ids=[journey(number)], **of)
                assert backlog.depth == 1
            (claimed,) = tracker.enrollments.claim(journey_id=journey(number), **of)
            assert claimed.enrollment.event_id == entered.event_id

        _check_others(doors, archive, follow, activate, enter)


def _check_others(doors: Doors, *steps: Callable[[int], None]) -> None:
    """Take steps with each person and Journey of an Organization; check its neighbours each time.

    One neighbour has all that it has, with other data; one has only the middle one of each kind.
    """
    alone: dict[str, dict[str, Any]] = {}
    for name, numbers in (("c", [1]), ("b", [0, 1, 2])):
        write_people(doors, name, numbers, "theirs")
        alone[name] = all_told(doors, name)
    write_people(doors, "a", [0, 1, 2], "own")
    for number in range(3):
        for step in steps:
            step(number)
            for name, told in alone.items():
                check_same(all_told(doors, name), told)
    # One that comes afterwards finds nothing of what was done.
    write_people(doors, "d", [0, 1, 2], "theirs")
    check_same(all_told(doors, "d"), alone["b"])
