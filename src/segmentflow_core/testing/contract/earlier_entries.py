"""What earlier entries count for, as tests of a storage adapter: whatever became of them, and all.

A part of `StorageContract`, whose fixtures it uses. Answers are compared with those that the core
itself gives from the Enrollments that were written.

See docs/reference/rules/reentry.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import product
from typing import Any, Final

import pytest
from attrs import evolve

from segmentflow_core import Enrollment, EnrollmentStatus
from segmentflow_core.ports import (
    KEY_SEPARATOR,
    HistoryProbe,
    PriorEntries,
    Probe,
    answer,
)
from segmentflow_core.testing import specimens
from segmentflow_core.testing.builders import FixedClock, a_journey, a_request
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.comparing import check_same
from segmentflow_core.testing.contract.doors import Batch, Doors, batch_of
from segmentflow_core.testing.facts import facts_of

__all__ = ["EarlierEntryContract", "became", "completed", "entries_of", "series", "write_series"]

_HOUR: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)
_KEYS: Final = ("0" * 64, "1" * 64)
_POLICIES: Final[dict[str, dict[str, Any]]] = {
    "every": {"policy": "every_event"},
    "once": {"policy": "once"},
    "per-order": {"policy": "once_per_key", "key": "/event/orderId"},
    "cooldown": {"policy": "cooldown", "duration": "P1D"},
    "at-most": {"policy": "at_most", "times": 1, "within": "P1D"},
    "at-most-an-order": {
        "policy": "at_most",
        "times": 1,
        "within": "P1D",
        "key": "/event/orderId",
    },
}
"""Re-entry policies, by the Journey that has each; all but the first let a person in once a day."""

_BECAME: Final[dict[EnrollmentStatus, Callable[[Enrollment], dict[str, Any]]]] = {
    EnrollmentStatus.PENDING: lambda _: {},
    EnrollmentStatus.CLAIMED: lambda entry: {
        "attempts": 1,
        "available_at": entry.entered_at + _HOUR,
        "lease_until": entry.entered_at + _HOUR,
        "token": specimens.an_id(2**91),
    },
    EnrollmentStatus.COMPLETED: lambda entry: {
        "attempts": 1,
        "completed_at": entry.entered_at + _HOUR,
        "cancellers": None,
    },
    EnrollmentStatus.DEAD: lambda _: {"attempts": 9, "last_failure": "no answer"},
    EnrollmentStatus.WITHDRAWN: lambda entry: {
        "withdrawn_at": entry.entered_at + _HOUR,
        "cancellers": None,
    },
}
"""What an Enrollment says beside its status."""


class EarlierEntryContract:
    """Which entries count, one test for each reason not to count one."""

    @pytest.mark.parametrize("status", EnrollmentStatus)
    def test_an_entry_counts_whatever_became_of_its_enrollment(
        self, tracker: Any, doors: Doors, clock: FixedClock, status: EnrollmentStatus
    ) -> None:
        """For every policy, and for every question that the core asks."""
        tracker.journeys.publish(
            [a_journey(name, reentry=policy) for name, policy in _POLICIES.items()]
        )
        request = a_request(data={"orderId": "A"})
        tracker.track(request, "first")
        entered = tracker.enrollments.list()
        assert len(entered) == len(_POLICIES)
        doors.become(
            "default", [e.enrollment_id for e in entered], lambda entry: became(entry, status)
        )
        entries = tracker.enrollments.list()
        assert {entry.status for entry in entries} == {status}
        probes = _probes(entries, [entered[0].entered_at - _SECOND, entered[0].entered_at])
        _check(doors, probes, entries)
        clock.advance(hours=1)
        assert tracker.track(request, "second").enrolled_journeys == 1
        (again,) = tracker.enrollments.list(limit=1)
        assert again.journey_id == "every"

    @needs("pausing")
    def test_an_entry_counts_that_an_archiving_withdrew(self, tracker: Any, doors: Doors) -> None:
        """Before its row says so, and after that."""
        names = [*_POLICIES]
        tracker.journeys.publish([a_journey(each, reentry=_POLICIES[each]) for each in names])
        request = a_request(data={"orderId": "A"})
        tracker.track(request, "first")
        entries = tracker.enrollments.list()
        for number in range(2):
            for name in names:
                tracker.journeys.archive(name)
            if number:
                tracker.journeys.finish_archiving()
            for name in names:
                tracker.journeys.activate(name)
            _check(doors, _probes(entries, [entries[0].entered_at - _SECOND]), entries)
            assert tracker.track(request, f"{number}").enrolled_journeys == 1
            entries = tracker.enrollments.list()

    def test_of_a_thousand_entries_all_are_counted_that_were_made_since(self, doors: Doors) -> None:
        """With each key and with any, up to each number; more than a page or a cap holds."""
        entries = entries_of(_write_many(doors))
        times = sorted(entry.entered_at for entry in entries)
        sinces = [times[-1 - count] for count in (0, 1, 10, 11, 100, 101, 500, 1_000)]
        sinces.append(times[0] - _SECOND)
        probes = _probes(entries, sinces, befores=(None, 2, 12, 500, 1_001))
        counts = {answer(probe, entries).count for probe in probes}
        assert {1, 10, 11, 100, 101, 500, 1_000, 1_001} <= counts
        _check(doors, probes, entries)

    @needs("retention")
    @pytest.mark.parametrize("latest", [0, 1, 2], ids=["first", "second", "third"])
    def test_the_latest_entry_that_removal_leaves_is_the_one_of_the_latest_time(
        self, doors: Doors, latest: int
    ) -> None:
        """Whatever the numbers of its event and its Enrollment, and in whatever order they go."""
        entries = entries_of(_write_late(doors, latest))
        pair = (entries[0].journey_id, entries[0].profile_id)
        probes = [Probe(*pair, None, before) for before in (None, 9)]
        expected = dict.fromkeys(probes, PriorEntries(entries[latest].entered_at))
        assert {probe: answer(probe, entries) for probe in probes} == expected
        end = max(entry.entered_at for entry in entries) + 2 * _HOUR
        for entry in (entries[latest], *entries[:latest], *entries[latest + 1 :]):
            doors.become("default", [entry.enrollment_id], completed)
            doors.ask("retention", "remove_enrollments", "default", end, 9)
            assert doors.ask("tracking", "prior_entries", "default", probes) == expected
        assert not [*doors.ask("enrollments", "list", "default", 9)]


def became(entry: Enrollment, status: EnrollmentStatus) -> Enrollment:
    """Return an Enrollment as it is stored with a status."""
    return evolve(entry, status=status, **_BECAME[status](entry))


def completed(entry: Enrollment) -> Enrollment:
    """Return an Enrollment as it is stored when a worker has completed it."""
    return became(entry, EnrollmentStatus.COMPLETED)


def entries_of(batches: Iterable[Batch]) -> list[Enrollment]:
    """Return the Enrollments of batches."""
    return [batch.enrollment for batch in batches if batch.enrollment is not None]


def series(count: int, **known: Sequence[Any]) -> list[Batch]:
    """Return events of one Profile, one a second, that each enter one Journey.

    Args:
        count: how many.
        known: facts that are to be other than usual, one for each event.
    """
    first = facts_of(0)
    own = ("event_id", "enrollment_id", "key_digest", "request_digest", "data")
    batches: list[Batch] = []
    for place in range(count):
        fresh = facts_of(place)
        moment = first["received_at"] + place * _SECOND
        times = dict.fromkeys(("occurred_at", "received_at", "entered_at", "available_at"), moment)
        facts = {**first, **{name: fresh[name] for name in own}, **times, "number": place + 1}
        batches.append(batch_of({**facts, **{name: each[place] for name, each in known.items()}}))
    return batches


def write_series(doors: Doors, batches: Sequence[Batch], whose: str = "default") -> None:
    """Write events of one Profile: the one that made it, then all others at once."""
    doors.write(whose, batches[0])
    doors.follow(whose, batches[0], batches[1:])


def _write_many(doors: Doors) -> list[Batch]:
    """Write a thousand entries and one, two in three with one key, the others with another."""
    count = 1_001
    ids = [facts_of(number)["event_id"] for number in range(count)]
    keys = [f"{_KEYS[place % 3 == 0]}{KEY_SEPARATOR}{each}" for place, each in enumerate(ids)]
    batches = series(count, entry_key=keys)
    write_series(doors, batches)
    return batches


def _write_late(doors: Doors, latest: int) -> list[Batch]:
    """Write three entries without keys, of which one has a later time than the others."""
    begin = facts_of(0)["received_at"]
    times = [begin + (_HOUR if place == latest else place * _SECOND) for place in range(3)]
    batches = series(3, received_at=times, entered_at=times, available_at=times)
    write_series(doors, batches)
    return batches


def _probes(
    entries: Sequence[Enrollment],
    sinces: Sequence[Any],
    befores: Sequence[int | None] = (None, 1, 2),
) -> list[Probe]:
    """Return all that the core may ask about the Journeys that were entered."""
    pairs = {(entry.journey_id, entry.profile_id): None for entry in entries}
    # It asks for the keys that entries were made with, without what tells these apart.
    made_with = [(entry.entry_key or "").partition(KEY_SEPARATOR)[0] for entry in entries]
    keys = dict.fromkeys((None, "", *_KEYS, *made_with))
    return [
        Probe(journey_id, profile_id, key, before, since)
        for (journey_id, profile_id), key, before, since in product(
            pairs, keys, befores, (None, *sinces)
        )
    ]


def _check(doors: Doors, probes: Sequence[Probe], entries: Sequence[Enrollment]) -> None:
    """Ask by either way that the core has."""
    expected = {probe: answer(probe, entries) for probe in probes}
    check_same(_told(doors.ask("tracking", "prior_entries", "default", probes)), _told(expected))
    for _ in range(doors.offers("history")):
        of = HistoryProbe(probes[0].profile_id, "order.created")
        _, answers = doors.ask("history", "earlier", "default", [of], probes)
        check_same(_told(answers), _told(expected))


def _told(answers: Any) -> dict[str, Any]:
    return {str(probe): found for probe, found in answers.items()}
