"""Organizations with the same ids, in the parts that a storage may lack.

A part of `StorageContract`, whose fixtures it uses. All that can be read of an Organization is read
while it is alone in the store, and again once others with the same ids, keys and identities have
come, and have had everything done to them that a host can do.

See docs/reference/rules/organizations.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from segmentflow_core.domain.people import identities_of
from segmentflow_core.ports import (
    Alias,
    Cancellers,
    EnrollmentFilter,
    EventFilter,
    HistoryProbe,
    IdentityKind,
    Probe,
    RecordedProbe,
)
from segmentflow_core.testing.builders import FixedClock, a_request
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.comparing import check_same, exact
from segmentflow_core.testing.contract.doors import Batch, Doors, batch_of
from segmentflow_core.testing.contract.earlier_entries import completed
from segmentflow_core.testing.facts import facts_of

__all__ = ["SameIdsContract"]

_MOMENT: Final = timedelta(microseconds=1)
_HOUR: Final = timedelta(hours=1)
_DIGEST: Final = "0" * 40
_NAME: Final = "order.created"
_FINISHED: Final = {"own": (0, 2), "theirs": (0,)}
"""Whose Enrollments are completed, in the Organization that acts and in its neighbours."""


class SameIdsContract:
    """What is done to one Organization, and changes nothing of another one of the same ids."""

    @needs("people")
    def test_a_person_of_one_organization_who_is_suppressed_is_not_so_in_another(
        self, doors: Doors, tracker: Any
    ) -> None:
        def suppress(number: int) -> None:
            done = tracker.people.suppress(_person(number), organization_id="a")
            assert done.withdrawn == int(number == 1)

        _check_others(doors, suppress)

    @needs("people")
    def test_a_person_of_one_organization_who_is_erased_and_blocked_is_not_so_in_another(
        self, doors: Doors, tracker: Any
    ) -> None:
        of: dict[str, Any] = {"organization_id": "a"}

        def begin(number: int) -> None:
            erasure = tracker.people.erase(_person(number), block=True, at_most=1, **of)
            assert (erasure.withdrawn, erasure.blocked) == (int(number == 1), 3)
            assert not erasure.done

        def finish(number: int) -> None:
            assert tracker.people.erase(_person(number), **of).done

        _check_others(doors, begin, finish)

    @needs("people")
    def test_people_of_one_organization_who_are_merged_are_apart_in_another(
        self, doors: Doors, tracker: Any
    ) -> None:
        def merge(number: int) -> None:
            if number:
                tracker.people.merge(_person(0), _person(number), organization_id="a")

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
            tracker.journeys.archive(_journey(number), **of)

        def follow(_: int) -> None:
            tracker.journeys.finish_archiving(**of)

        def activate(number: int) -> None:
            tracker.journeys.activate(_journey(number), **of)

        def enter(number: int) -> None:
            who = {"email": f"new{number}@example.org"}
            request = a_request(f"trigger {number}", profile=who)
            entered = tracker.track(request, f"new {number}", **of)
            assert entered.enrolled_journeys == 1
            if doors.offers("finding"):
                (backlog,) = tracker.enrollments.backlog(journey_ids=[_journey(number)], **of)
                assert backlog.depth == 1
            (claimed,) = tracker.enrollments.claim(journey_id=_journey(number), **of)
            assert claimed.enrollment.event_id == entered.event_id

        _check_others(doors, archive, follow, activate, enter)


def _check_others(doors: Doors, *steps: Callable[[int], None]) -> None:
    """Take steps with each person and Journey of an Organization; check its neighbours each time.

    One neighbour has all that it has, with other data; one has only the middle one of each kind.
    """
    alone: dict[str, dict[str, Any]] = {}
    for name, numbers in (("c", [1]), ("b", [0, 1, 2])):
        _write(doors, name, numbers, "theirs")
        alone[name] = _all_told(doors, name)
    _write(doors, "a", [0, 1, 2], "own")
    for number in range(3):
        for step in steps:
            step(number)
            for name, told in alone.items():
                check_same(_all_told(doors, name), told)
    # One that comes afterwards finds nothing of what was done.
    _write(doors, "d", [0, 1, 2], "theirs")
    check_same(_all_told(doors, "d"), alone["b"])


def _write(doors: Doors, organization_id: str, numbers: Iterable[int], data: str) -> None:
    """Write people with aliases, who entered Journeys, and complete some of their Enrollments."""
    befores = [_batch(number, data) for number in numbers]
    doors.write(organization_id, *befores)
    if doors.offers("people"):
        aliases = {number: (_alias(number),) for number in numbers}
        afters = [_batch(number, data, aliases=aliases[number]) for number in numbers]
        doors.change(organization_id, befores, afters)
    entered = {number: before.enrollment for number, before in zip(numbers, befores, strict=True)}
    done = [e.enrollment_id for n, e in entered.items() if e is not None and n in _FINISHED[data]]
    doors.become(organization_id, done, completed)


def _batch(number: int, data: str, **more: Any) -> Batch:
    own = {"of": data}
    cancellers = Cancellers(facts_of(number)["occurred_at"], (_DIGEST,))
    return batch_of(
        facts_of(
            number,
            data=own,
            properties=own,
            name=f"Of {data}",
            paths={"/data/of": data},
            entry_key="",
            reference_id="r",
            cancellers=cancellers,
            percent=100,
            **more,
        )
    )


def _person(number: int) -> str:
    person: str = facts_of(number)["profile_id"]
    return person


def _journey(number: int) -> str:
    journey: str = facts_of(number)["journey_id"]
    return journey


def _alias(number: int) -> Alias:
    return Alias(IdentityKind.EMAIL, f"alias{number}@example.org")


def _all_told(doors: Doors, organization_id: str) -> dict[str, Any]:
    """Ask every port all that three people and their Journeys have in common with others."""
    batches = [_batch(number, "", aliases=(_alias(number),)) for number in range(3)]
    told = {
        f"{repository}.{method}, question {place}": _sorted(
            doors.ask(repository, method, organization_id, *arguments)
        )
        for repository, asked in _questions(batches).items()
        if doors.offers(repository)
        for place, (method, *arguments) in enumerate(asked)
    }
    identities = [each for batch in batches for each in identities_of(batch.profile)]
    emails = {each.value for each in identities if each.kind is IdentityKind.EMAIL}
    others = {each.value for each in identities if each.kind is not IdentityKind.EMAIL}
    known = doors.known(
        organization_id,
        [batch.claim.key_digest for batch in batches],
        emails=tuple(sorted(emails)),
        external_ids=tuple(sorted(others)),
        events=tuple(sorted(batch.journey.definition.trigger.event for batch in batches)),
    )
    for name in ("taken", "profiles", "journeys", "blocked"):
        told[f"tracking.load, {name}"] = _sorted(getattr(known, name))
    return told


def _questions(batches: list[Batch]) -> dict[str, list[tuple[Any, ...]]]:
    people = [batch.profile.profile_id for batch in batches]
    journeys = [batch.journey.journey_id for batch in batches]
    events = [batch.event.event_id for batch in batches]
    now = batches[0].event.received_at + _HOUR
    since = batches[0].event.received_at - _MOMENT
    identities = [each for batch in batches for each in identities_of(batch.profile)]
    probes = [
        Probe(journey_id, profile_id, *rest)
        for journey_id, profile_id in zip(journeys, people, strict=True)
        for rest in (("",), (None, 2), ("", None, since))
    ]
    earlier = [HistoryProbe(each, _NAME, reads="state") for each in people]
    return {
        "tracking": [("prior_entries", probes)],
        "events": [("list", 99)],
        "enrollments": [("list", 99)],
        "journeys": [("list",), *(("get_version", each, 1) for each in journeys)],
        "people": [("lock", people), ("unfinished", people), ("unscrubbed", 99)],
        "finding": [
            *(("profile", each.kind, each.value) for each in identities),
            ("profiles", 99, None),
            *(("events", EventFilter(each), 99, None) for each in people),
            *(("events", EventFilter(**by), 99, None) for by in _FILTERS),
            *(("enrollments", EnrollmentFilter(each), 99, None) for each in people),
            *(("enrollments", EnrollmentFilter(event_id=each), 99, None) for each in events),
            *(("enrollments", EnrollmentFilter(journey_id=each), 99, None) for each in journeys),
            *(("entries", each, events) for each in people),
            ("backlogs", journeys, now, 99),
        ],
        "retention": [("gone", people)],
        "history": [("earlier", earlier, probes)],
        "cancelling": [
            ("cancellable", people, [_DIGEST]),
            ("recorded", [RecordedProbe(each, _NAME, since) for each in people]),
        ],
        "pausing": [("overdue", now, 99)],
        "audit": [("list", 99, None)],
    }


_FILTERS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"event": _NAME},
    {"reference_id": "r"},
    {"event": _NAME, "reference_id": "r"},
)


def _sorted(answer: Any) -> Any:
    """Make an answer comparable whose order nobody promises."""
    if isinstance(answer, tuple):
        return [_sorted(part) for part in answer]
    if isinstance(answer, Mapping):
        return {str(key): _sorted(value) for key, value in answer.items()}
    if isinstance(answer, Iterable) and not isinstance(answer, str):
        return sorted((exact(each) for each in answer), key=repr)
    return exact(answer)
