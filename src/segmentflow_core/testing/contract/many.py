"""More than a thousand of everything, in the parts that a storage may lack.

A part of `StorageContract`, whose fixtures it uses. Every call that returns records, or takes many,
is made with more of them than an engine's bound on values, a page or a cap of a store's own holds.

See docs/reference/rules/storage.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

from segmentflow_core.colour import settle
from segmentflow_core.ports import (
    LOOKED_AT,
    Alias,
    AuditRecord,
    Cancellers,
    Enrollment,
    EnrollmentFilter,
    EventFilter,
    HistoryProbe,
    IdentityKind,
    RecordedProbe,
    UserEvent,
    gone_events,
)
from segmentflow_core.testing.builders import FixedClock
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.comparing import check_same
from segmentflow_core.testing.contract.doors import Batch, Doors, InTransaction, batch_of
from segmentflow_core.testing.contract.earlier_entries import (
    completed,
    entries_of,
    series,
    write_series,
)
from segmentflow_core.testing.facts import build, facts_of

__all__ = ["ManyContract"]

_MANY: Final = 1_100
_ENOUGH: Final = 5_000
_SECOND: Final = timedelta(seconds=1)
_LATER: Final = datetime(2030, 1, 1, tzinfo=UTC)
_NAME: Final = "order.created"
_DIGEST: Final = "0" * 40


class ManyContract:
    """What a store tells of many, one test for each thing that there may be many of."""

    @needs("people")
    def test_what_waits_for_a_thousand_people_is_told_by_one_call(self, doors: Doors) -> None:
        """And which of them there are."""
        batches = _crowd(doors)
        people = [batch.profile.profile_id for batch in batches]
        locked = doors.ask("people", "lock", "default", people)
        _check_ids("profile_id", locked, people)
        entries = entries_of(batches)
        unfinished = doors.ask("people", "unfinished", "default", people)
        _check_same_records("enrollment_id", unfinished, entries)

    @needs("cancelling")
    def test_what_may_cancel_entries_of_a_thousand_people_is_told_by_one_call(
        self, doors: Doors
    ) -> None:
        batches = _crowd(doors)
        people = [batch.profile.profile_id for batch in batches]
        answer = doors.ask("cancelling", "cancellable", "default", people, [_DIGEST])
        _check_same_records("enrollment_id", answer.enrollments, entries_of(batches))
        since = batches[0].event.received_at - _SECOND
        probes = [RecordedProbe(each, _NAME, since) for each in people]
        recorded = doors.ask("cancelling", "recorded", "default", probes)
        found = {probe.profile_id: _ids("event_id", recorded[probe]) for probe in probes}
        assert found == {b.profile.profile_id: [b.event.event_id] for b in batches}

    @needs("people")
    def test_all_of_a_thousand_enrollments_of_one_person_are_unfinished(self, doors: Doors) -> None:
        """An erasure that missed one would leave it to a worker."""
        batches = _series(doors)
        (person,) = {batch.profile.profile_id for batch in batches}
        found = doors.ask("people", "unfinished", "default", [person])
        _check_same_records("enrollment_id", found, entries_of(batches))

    @needs("people")
    def test_a_thousand_identities_are_blocked_by_one_call(self, doors: Doors) -> None:
        written = batch_of(facts_of(0))
        doors.write("default", written)
        blocked = [
            Alias(kind, f"{number:04}@example.com")
            for kind in sorted(IdentityKind)
            for number in range(_MANY)
        ]
        doors.ask("people", "block", "default", written.profile.profile_id, blocked)
        names = tuple(f"{number:04}@example.com" for number in range(_MANY + 1))
        known = doors.load("default", emails=names, external_ids=names)
        assert {*known.blocked} == {*blocked}

    @needs("people")
    def test_a_thousand_people_are_erased_and_not_yet_scrubbed(self, doors: Doors) -> None:
        befores = [batch_of(facts_of(number)) for number in range(_MANY)]
        doors.write("default", *befores)
        gone: dict[str, Any] = {"email": None, "external_id": None, "properties": {}, "version": 2}
        gone["erased_at"] = befores[0].event.received_at
        doors.change(
            "default", befores, [batch_of(facts_of(number, **gone)) for number in range(_MANY)]
        )
        people = sorted(batch.profile.profile_id for batch in befores)
        for limit in (_ENOUGH, _MANY - 1, 101):
            found = sorted(doors.ask("people", "unscrubbed", "default", limit))
            assert len(found) == len({*found}) == min(limit, _MANY)
            assert {*found} <= {*people}

    @needs("finding")
    def test_of_a_thousand_events_those_are_found_that_all_filters_admit(
        self, doors: Doors
    ) -> None:
        """Each filter admits hundreds of events that another one does not."""
        names = [("a", "b")[place >= _MANY - 100] for place in range(_MANY)]
        references = [("r", "s", None)[place % 3] for place in range(_MANY)]
        batches = _series(doors, event=names[::-1], reference_id=references)
        events = [batch.event for batch in batches]
        (person,) = {event.profile_id for event in events}
        periods = [(None, None), (events[900].received_at, None), (None, events[150].received_at)]
        for by, name, reference, (since, until) in product(
            (person, None), ("a", "b", None), ("r", "s", None), periods
        ):
            wanted = EventFilter(by, name, reference, since, until)
            admitted = [event.event_id for event in events if wanted.admits(event)][::-1]
            for limit in (_ENOUGH, 20):
                found = doors.ask("finding", "events", "default", wanted, limit, None)
                ids = sorted(_ids("event_id", found), reverse=True)
                assert ids == admitted[:limit], wanted

    @needs("finding")
    def test_of_a_thousand_enrollments_all_are_found_that_events_caused(self, doors: Doors) -> None:
        batches = _series(doors)
        entries = entries_of(batches)
        (person,) = {entry.profile_id for entry in entries}
        events = [batch.event.event_id for batch in batches]
        found = doors.ask("finding", "entries", "default", person, events)
        _check_same_records("enrollment_id", found, entries)
        for wanted in (
            EnrollmentFilter(person),
            EnrollmentFilter(journey_id=entries[0].journey_id),
            EnrollmentFilter(person, journey_id=entries[0].journey_id, status=entries[0].status),
        ):
            found = doors.ask("finding", "enrollments", "default", wanted, _ENOUGH, None)
            _check_same_records("enrollment_id", found, entries)
        journeys = [entries[0].journey_id]
        earliest = min(entry.waits_until for entry in entries)
        for limit, depth in ((_ENOUGH, _MANY), (_MANY - 1, _MANY - 1)):
            told = doors.ask("finding", "backlogs", "default", journeys, _LATER, limit)
            assert told == {entries[0].journey_id: (depth, earliest)}

    @needs("finding")
    def test_of_a_thousand_journeys_and_people_all_are_told(self, doors: Doors) -> None:
        batches = _crowd(doors)
        journeys = [batch.journey.journey_id for batch in batches]
        told = doors.ask("finding", "backlogs", "default", journeys, _LATER, 9)
        assert told == dict.fromkeys(journeys, (1, batches[0].event.received_at))
        found = doors.ask("finding", "profiles", "default", _ENOUGH, None)
        _check_ids("profile_id", found, [batch.profile.profile_id for batch in batches])

    @needs("retention")
    def test_a_thousand_events_and_enrollments_go_by_one_call_and_all_are_counted(
        self, doors: Doors
    ) -> None:
        """Of a thousand people, one each; and of one person, of a thousand names."""
        names = [f"name {place}" for place in range(_MANY)]
        for organization_id, batches in (
            ("default", _crowd(doors)),
            ("acme", _series(doors, "acme", event=names)),
        ):
            entries = [entry.enrollment_id for entry in entries_of(batches)]
            doors.become(organization_id, entries, completed)
            went = doors.ask("retention", "remove_enrollments", organization_id, _LATER, _ENOUGH)
            assert went.removed == _MANY
            went = doors.ask("retention", "remove_events", organization_id, _LATER, _ENOUGH, None)
            assert (went.removed, went.held, went.place) == (_MANY, 0, None)
            people = sorted({batch.profile.profile_id for batch in batches})
            left = doors.ask("retention", "gone", organization_id, people)
            expected = gone_events([batch.event for batch in batches])
            check_same(sorted(left, key=_by_person_and_name), expected)

    @needs("history")
    def test_a_thousand_earlier_events_are_told_and_a_thousand_probes_answered(
        self, doors: Doors
    ) -> None:
        batches = _series(doors)
        (person,) = {batch.profile.profile_id for batch in batches}
        numbers = range(2, _MANY + 1)
        probes = [HistoryProbe(person, _NAME, before=number, limit=1) for number in numbers]
        probes.append(HistoryProbe(person, _NAME, reads="data"))
        answers, _ = doors.ask("history", "earlier", "default", probes, [])
        assert [_ids("number", answers[probe].events) for probe in probes[:-1]] == [
            [number - 1] for number in numbers
        ]
        told = _ids("number", answers[probes[-1]].events)
        assert told == [*range(_MANY, _MANY - probes[-1].limit, -1)]
        assert answers[probes[-1]].more

    @needs("cancelling")
    def test_of_a_thousand_that_wait_all_are_told_that_an_event_may_cancel(
        self, doors: Doors
    ) -> None:
        batches = _series(doors)
        (person,) = {batch.profile.profile_id for batch in batches}
        answer = doors.ask("cancelling", "cancellable", "default", [person], [_DIGEST])
        _check_same_records("enrollment_id", answer.enrollments, entries_of(batches))

    @needs("cancelling")
    def test_of_more_events_than_are_looked_at_those_are_told_that_occurred_last(
        self, doors: Doors
    ) -> None:
        """Not those received last, nor those of the highest numbers, unless they occurred at once.

        Two occurred at each instant, so that the last place is of one of two.
        """
        count = LOOKED_AT + 103
        since = facts_of(0)["occurred_at"]
        occurred = [since + (1 + place * 389 % count // 2) * _SECOND for place in range(count)]
        received = [_LATER + place * 701 % count * _SECOND for place in range(count)]
        batches = series(count, occurred_at=occurred, received_at=received, entered_at=received)
        write_series(doors, batches)
        events = [batch.event for batch in batches]
        (person,) = {event.profile_id for event in events}
        for before in (None, LOOKED_AT + 60, LOOKED_AT, 9):
            probe = RecordedProbe(person, _NAME, since, before)
            asked = [event for event in events if before is None or event.number < before]
            last = sorted(asked, key=_by_occurrence, reverse=True)[:LOOKED_AT]
            answer = doors.ask("cancelling", "recorded", "default", [probe])
            _check_ids("event_id", answer[probe], _ids("event_id", last))

    @needs("pausing")
    def test_a_thousand_enrollments_that_an_archiving_withdrew_are_overdue(
        self, doors: Doors, tracker: Any, clock: FixedClock
    ) -> None:
        entries = entries_of(_series(doors))
        tracker.journeys.archive(entries[0].journey_id)
        clock.advance(days=1)
        found = doors.ask("pausing", "overdue", "default", clock.now(), _ENOUGH)
        _check_ids("enrollment_id", found, [entry.enrollment_id for entry in entries])
        found = [*doors.ask("pausing", "overdue", "default", clock.now(), _MANY - 1)]
        assert len({entry.enrollment_id for entry in found}) == len(found) == _MANY - 1

    @needs("audit")
    def test_a_thousand_records_of_what_was_done_are_listed_page_by_page(
        self, doors: Doors, in_transaction: InTransaction
    ) -> None:
        records = [build(AuditRecord, facts_of(number)) for number in range(_MANY)]

        async def add(transaction: Any) -> None:
            for record in records:
                await settle(transaction.audit.add("default", record))

        in_transaction(add)
        ids = _ids("audit_id", records)[::-1]
        for limit, before in ((_ENOUGH, None), (_MANY - 1, None), (_ENOUGH, ids[100])):
            found = doors.ask("audit", "list", "default", limit, before)
            expected = [each for each in ids if before is None or each < before][:limit]
            _check_ids("audit_id", found, expected)


def _crowd(doors: Doors) -> list[Batch]:
    """Write a thousand people with an event each, which entered a Journey of its own."""
    batches = [batch_of(facts_of(number, **_cancellers())) for number in range(_MANY)]
    doors.write("default", *batches)
    return batches


def _series(doors: Doors, organization_id: str = "default", **known: Sequence[Any]) -> list[Batch]:
    """Write a thousand events of one person, which entered one Journey."""
    cancellers = [_cancellers()["cancellers"]] * _MANY
    batches = series(_MANY, cancellers=cancellers, **known)
    write_series(doors, batches, organization_id)
    return batches


def _cancellers() -> dict[str, Cancellers]:
    return {"cancellers": Cancellers(facts_of(0)["occurred_at"], (_DIGEST,))}


def _ids(name: str, records: Iterable[Any]) -> list[Any]:
    return [getattr(record, name) for record in records]


def _check_ids(name: str, got: Iterable[Any], ids: Iterable[str]) -> None:
    check_same(sorted(_ids(name, got)), sorted(ids))


def _check_same_records(name: str, got: Iterable[Any], written: Iterable[Enrollment]) -> None:
    """Compare records whatever their order; none may come twice."""
    check_same(_by_id(name, got), _by_id(name, written))


def _by_id(name: str, records: Iterable[Any]) -> list[Any]:
    return sorted(records, key=lambda record: str(getattr(record, name)))


def _by_person_and_name(left: Any) -> tuple[str, str]:
    return left.profile_id, left.event


def _by_occurrence(event: UserEvent) -> tuple[datetime, int]:
    return event.occurred_at, event.number
