"""Three people in one Journey each, and all that the ports tell of them.

Knows which calls of a transaction read, of every repository that a storage may lack as well. Must
never look into a store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from segmentflow_core.domain.people import identities_of
from segmentflow_core.ports import (
    Alias,
    Cancellable,
    Cancellers,
    EnrollmentFilter,
    EventFilter,
    HistoryProbe,
    IdentityKind,
    Probe,
    RecordedProbe,
)
from segmentflow_core.testing.contract.comparing import exact
from segmentflow_core.testing.contract.doors import Batch, Doors, batch_of
from segmentflow_core.testing.contract.earlier_entries import completed
from segmentflow_core.testing.facts import facts_of

__all__ = ["a_batch", "alias", "all_told", "journey", "person", "write_people"]

_MOMENT: Final = timedelta(microseconds=1)
_HOUR: Final = timedelta(hours=1)
_DIGEST: Final = "0" * 40
_NAME: Final = "order.created"
_FINISHED: Final = {"own": (0, 2), "theirs": (0,)}
"""Whose Enrollments are completed, by the data that an Organization has."""


def write_people(doors: Doors, organization_id: str, numbers: Sequence[int], data: str) -> None:
    """Write people with aliases, who entered Journeys, and complete some of their Enrollments."""
    befores = [a_batch(number, data) for number in numbers]
    doors.write(organization_id, *befores)
    for _ in range(doors.offers("people")):
        aliases = {number: (alias(number),) for number in numbers}
        afters = [a_batch(number, data, aliases=aliases[number]) for number in numbers]
        doors.change(organization_id, befores, afters)
    entered = {number: before.enrollment for number, before in zip(numbers, befores, strict=True)}
    done = [e.enrollment_id for n, e in entered.items() if e is not None and n in _FINISHED[data]]
    doors.become(organization_id, done, completed)


def a_batch(number: int, data: str, **more: Any) -> Batch:
    """Make what one of the three was written as; `more` are facts that are to be other."""
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


def person(number: int) -> str:
    """Return the id of one of the three Profiles."""
    profile_id: str = facts_of(number)["profile_id"]
    return profile_id


def journey(number: int) -> str:
    """Return the id of one of the three Journeys."""
    journey_id: str = facts_of(number)["journey_id"]
    return journey_id


def alias(number: int, name: str = "alias") -> Alias:
    """Return what leads to one of the three since a merge."""
    return Alias(IdentityKind.EMAIL, f"{name}{number}@example.org")


def all_told(doors: Doors, organization_id: str) -> dict[str, Any]:
    """Ask every port all that three people and their Journeys have in common with others."""
    batches = [a_batch(number, "", aliases=(alias(number),)) for number in range(3)]
    told = {
        f"{repository}.{method}, question {place}": _ANSWERS.get(repository, _sorted)(
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
    for name in ("taken", "journeys", "blocked"):
        told[f"tracking.load, {name}"] = _sorted(getattr(known, name))
    # A store may load more than was asked for; the core passes over those.
    asked_for = [p for p in known.profiles if not {*identities}.isdisjoint(identities_of(p))]
    told["tracking.load, profiles"] = _sorted(asked_for)
    return told


def _rest_of_probes(since: datetime) -> tuple[tuple[Any, ...], ...]:
    """Return what probes ask beside the Journey and the Profile."""
    return ("",), (None, 2), ("", None, since)


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
        for rest in _rest_of_probes(since)
    ]
    earlier = [HistoryProbe(each, _NAME, reads="state") for each in people]
    return {
        "tracking": [("prior_entries", probes)],
        "events": [("list", 99)],
        "enrollments": [("list", 99)],
        "journeys": [("list",), *(("get_version", each, n) for each in journeys for n in (1, 2))],
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
    if isinstance(answer, Cancellable):
        return [_sorted(answer.enrollments), answer.complete]
    if isinstance(answer, Mapping):
        return {str(key): _sorted(value) for key, value in answer.items()}
    if isinstance(answer, Iterable) and not isinstance(answer, str):
        return sorted((exact(each) for each in answer), key=repr)
    return exact(answer)


_ANSWERS: Final[dict[str, Callable[[Any], Any]]] = {
    "history": lambda answer: [_sorted(part) for part in answer]
}
"""How answers are made comparable that are several in one."""
