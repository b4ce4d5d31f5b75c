"""What Profiles did before, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses. How earlier events are counted is the core's;
here it is told which ones there are.

See docs/reference/rules/history.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import product
from typing import Any, Final

from attrs import evolve

from segmentflow_core.colour import settle
from segmentflow_core.domain.condition.did import Reads
from segmentflow_core.domain.earlier_events import (
    EarlierEvents,
    HistoryProbe,
)
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.retention import gone_events
from segmentflow_core.domain.tracking import Probe
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.testing.builders import FixedClock, a_journey, a_request
from segmentflow_core.testing.callers import AtOnce, Client
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.doors import Doors
from segmentflow_core.testing.contract.reading import typed

__all__ = ["HistoryContract", "HistoryRaceContract"]

_HOUR: Final = timedelta(hours=1)
_MOMENT: Final = timedelta(microseconds=1)
_NOBODY: Final = "019bf964-302b-7000-8000-00000000dead"
_HER: Final = {"email": "her@example.com"}
_NAMES: Final = ("order.created", "Order.created", "order")
_READS: Final[tuple[tuple[int | None, Reads, int], ...]] = (
    (None, "state", 1000),
    (7, "data", 1000),
    (20, "nothing", 3),
    (None, "nothing", 2),
)
_OCCURRED: Final = (0, 5, 5, 2, 5, 9, 1, -3, 4, 2)
"""Hours before the first, in the order of receipt: some at one time, and an earlier one may have
happened later."""


def _after(count: int) -> dict[str, Any]:
    """Return a Journey for the event that comes after so many of its name."""
    where = {"did": "order.created", "times": {"eq": count}}
    trigger = {"event": "order.created", "where": where}
    return a_journey(f"after-{count}", trigger=trigger)


class HistoryContract:
    """A store tells which events are earlier, one test for each way to tell it wrong."""

    @needs("history")
    def test_every_probe_about_earlier_events_is_answered(
        self, tracker: Any, clock: FixedClock, doors: Doors
    ) -> None:
        """Of one Profile and one name, in a period and below a number, newest first, so many."""
        tracker.journeys.publish([a_journey("once", reentry={"policy": "once"})])
        begin = clock.now()
        for n, hours in enumerate(_OCCURRED):
            occurred = (begin - hours * _HOUR).isoformat()
            for name, who in product(_NAMES, (_HER, {"email": "him@example.com"})):
                profile = {**who, "properties": {"n": n // 3}}
                request = a_request(name, profile=profile, data={"n": n}, occurredAt=occurred)
                tracker.track(request, f"{name} {who} {n}")
                tracker.track(request, f"{name} {who} {n}", organization_id="acme")
            clock.advance(minutes=1)
        events = tracker.records.events(limit=100)
        profile_ids = sorted({event.profile_id for event in events})
        times = sorted({event.occurred_at for event in events})
        periods: list[tuple[datetime | None, datetime | None]] = [
            (None, None),
            (times[2], times[6]),
            (times[2] + _MOMENT, times[6] - _MOMENT),
            (times[4], None),
            (None, times[4]),
            (times[-1] + _HOUR, None),
        ]
        probes = [
            HistoryProbe(who, name, since, until, before, reads, limit)
            for who, name in product(profile_ids, _NAMES[:2])
            for since, until in periods
            for before, reads, limit in _READS
        ]
        probes.append(HistoryProbe(_NOBODY, _NAMES[0]))
        probes.append(HistoryProbe(profile_ids[0], "nothing"))
        entries = [Probe("once", who, "") for who in (*profile_ids, _NOBODY)]
        answers, told = doors.ask("history", "earlier", "default", probes, entries)
        assert set(answers) == set(probes)
        for probe in probes:
            expected = _earlier(probe, events)
            answer = answers[probe]
            assert [e.event_id for e in answer.events] == [e.event_id for e in expected]
            assert answer.more is (len(_earlier(evolve(probe, limit=1000), events)) > probe.limit)
            assert answer.gone is None
            for found, event in zip(answer.events, expected, strict=True):
                assert (found.number, found.occurred_at) == (event.number, event.occurred_at)
                if probe.reads != "nothing":
                    assert typed(found.state["event"]) == typed(event.data)
                if probe.reads == "state":
                    assert typed(found.state["profile"]) == typed(event.profile)
        assert [told[entry].key_taken for entry in entries] == [True, True, False]
        alone, nothing = doors.ask("history", "earlier", "default", probes[:1], [])
        assert (typed_answer(alone[probes[0]]), dict(nothing)) == (
            typed_answer(answers[probes[0]]),
            {},
        )
        ((_, elsewhere),) = doors.ask("history", "earlier", "acme", probes[:1], [])[0].items()
        assert not list(elsewhere.events)

    @needs("history")
    def test_a_condition_counts_what_came_before(self, tracker: Any, clock: FixedClock) -> None:
        """Events of the same batch as well; explaining and rehearsing count the same."""
        since = clock.now()
        conditions: dict[str, tuple[dict[str, Any], Sequence[int]]] = {
            "first": ({"times": {"eq": 0}}, [0]),
            "third": ({"times": {"eq": 2}}, [2]),
            "again soon": ({"within": "PT2H"}, [2, 3, 4, 5]),
            "large before": (
                {"where": {"path": "/event/total", "op": "gte", "value": 40}},
                [2, 3, 4, 5],
            ),
            "never as Pro": (
                {
                    "times": {"lte": 0},
                    "where": {"path": "/profile/properties/plan", "op": "eq", "value": "Pro"},
                },
                [0],
            ),
            "the same twice": ({"times": {"gte": 2}, "same": ["/event/sku"]}, [4]),
        }
        drafts = [
            a_journey(
                journey_id,
                trigger={"event": "order.created", "where": {"did": "order.created", **leaf}},
            )
            for journey_id, (leaf, _) in conditions.items()
        ]
        tracker.journeys.publish(drafts)
        receipts: list[Any] = []
        orders = [(10, "a"), (50, "b"), (10, "a"), (50, "b"), (10, "a"), (10, "c")]
        plans: list[dict[str, Any]] = [{"plan": plan} for plan in ("Free", "Pro", "Free")]
        requests = [
            a_request(
                profile={**_HER, "properties": (plans + plans)[n]},
                data={"total": total, "sku": sku},
            )
            for n, (total, sku) in enumerate(orders)
        ]
        # The first is without a plan that is known.
        requests[0]["profile"] = _HER
        receipts.append(tracker.track(requests[0], "0"))
        clock.advance(hours=3)
        receipts += tracker.track_many([(r, f"{n}") for n, r in enumerate(requests[1:4], 1)])
        tracker.track(a_request("other", profile=_HER), "other")
        clock.advance(hours=2)
        receipts += [tracker.track(requests[n], f"{n}") for n in (4, 5)]
        entered: dict[str, list[int]] = {journey_id: [] for journey_id in conditions}
        for n, receipt in enumerate(receipts):
            event = tracker.records.event(receipt.event_id)
            told = tracker.records.explain(receipt.event_id).journeys
            assert [(each.journey_id, each.reason) for each in told] == [
                (outcome.journey_id, outcome.reason) for outcome in event.outcomes
            ]
            for outcome in event.outcomes:
                if outcome.reason is None:
                    entered[outcome.journey_id].append(n)
        assert entered == {name: list(expected) for name, (_, expected) in conditions.items()}
        rehearsal = tracker.journeys.rehearse(drafts, since=since)
        assert {each.journey_id: each.entered for each in rehearsal.journeys} == {
            journey_id: len(numbers) for journey_id, numbers in entered.items()
        }

    @needs("history", "retention")
    def test_what_retention_removed_is_told_with_what_is_there(
        self, tracker: Any, clock: FixedClock, doors: Doors
    ) -> None:
        events: list[Any] = []
        for n in range(6):
            occurred = (clock.now() - (n * 5 % 6) * _HOUR).isoformat()
            request = a_request(_NAMES[n % 2], profile=_HER, occurredAt=occurred)
            events.append(tracker.records.event(tracker.track(request, f"{n}").event_id))
            clock.advance(hours=1)
        tracker.people.retain(events=2 * _HOUR)
        probes = [HistoryProbe(events[0].profile_id, name) for name in _NAMES]
        answers, _ = doors.ask("history", "earlier", "default", probes, [])
        left = {each.event: each for each in gone_events(events[:4])}
        for probe in probes:
            answer = answers[probe]
            assert answer.gone == left.get(probe.event)
            assert [each.event_id for each in answer.events] == [
                event.event_id for event in events[4:] if event.event == probe.event
            ]
            assert not answer.more


class HistoryRaceContract:
    """Callers at once are decided one after another, each by all that came before."""

    @needs("history", "concurrent_writers")
    def test_of_events_at_once_each_is_decided_by_all_before_it(
        self, at_once: AtOnce, tracker: Any
    ) -> None:
        """The third order is one order, however many come at once; batches are among them."""
        tracker.journeys.publish([_after(count) for count in range(24)])

        def client(number: int) -> Client:
            async def calls(tracker: Any) -> None:
                await _again_and_again(tracker.track, _order(), f"{number}")
                batch = [(_order(), f"{number} {n}") for n in range(2)]
                await _again_and_again(tracker.track_many, batch)

            return calls

        at_once([client(number) for number in range(8)])
        _each_is_decided_by_all_before_it(tracker, range(1, 25))

    @needs("history", "retention", "concurrent_writers")
    def test_an_event_is_there_or_removed_while_it_is_counted(
        self, at_once: AtOnce, tracker: Any, clock: FixedClock
    ) -> None:
        tracker.track_many([(_order(), f"old {n}") for n in range(12)])
        clock.advance(hours=2)
        tracker.journeys.publish([_after(count) for count in range(12, 28)])

        def client(number: int) -> Client:
            async def calls(tracker: Any) -> None:
                if number % 2:
                    await _again_and_again(tracker.people.retain, events=_HOUR, limit=2)
                for turn in range(4):
                    await _again_and_again(tracker.track, _order(), f"{number} {turn}")

            return calls

        at_once([client(number) for number in range(4)])
        _each_is_decided_by_all_before_it(tracker, range(13, 29))

    @needs("history", "people", "concurrent_writers")
    def test_a_merge_is_before_an_event_or_after_it(self, at_once: AtOnce, tracker: Any) -> None:
        """An event of before it counts its own series alone, and one of after it both."""
        tracker.journeys.publish([_after(count) for count in range(20)])
        him = {"email": "him@example.com"}
        goes = tracker.track_many([(a_request(profile=him), f"him {n}") for n in range(5)])
        stays = tracker.track(_order(), "her")

        def client(number: int) -> Client:
            async def calls(tracker: Any) -> None:
                if number == 1:
                    await _again_and_again(
                        tracker.people.merge, stays.profile_id, goes[0].profile_id
                    )
                for turn in range(3):
                    await _again_and_again(tracker.track, _order(), f"{number} {turn}")

            return calls

        at_once([client(number) for number in range(4)])
        (series,) = tracker.records.profile(stays.profile_id).merged
        own = [e for e in tracker.records.events(limit=100) if e.profile_id == stays.profile_id]
        assert sorted(event.number for event in own) == list(range(1, 14))
        for event in own:
            merged = 5 if event.number >= series.before else 0
            assert _entered(event) == [f"after-{event.number - 1 + merged}"]


def _order() -> dict[str, Any]:
    return a_request(profile=_HER)


def _entered(event: UserEvent) -> list[str]:
    return [outcome.journey_id for outcome in event.outcomes if outcome.reason is None]


def _each_is_decided_by_all_before_it(tracker: Any, numbers: range) -> None:
    events = [e for e in tracker.records.events(limit=1000) if e.number in numbers]
    assert sorted(event.number for event in events) == list(numbers)
    for event in events:
        assert _entered(event) == [f"after-{event.number - 1}"]


def typed_answer(answer: EarlierEvents) -> Any:
    """Make an answer comparable, whatever sequence its events are in."""
    return [(each.event_id, typed(dict(each.state))) for each in answer.events], answer.more


def _earlier(probe: HistoryProbe, events: Sequence[UserEvent]) -> list[UserEvent]:
    asked = [
        event
        for event in events
        if (event.profile_id, event.event) == (probe.profile_id, probe.event)
        and (probe.since is None or event.occurred_at >= probe.since)
        and (probe.until is None or event.occurred_at <= probe.until)
        and (probe.before is None or event.number < probe.before)
    ]
    asked.sort(key=lambda event: (event.occurred_at, event.number), reverse=True)
    return asked[: probe.limit]


async def _again_and_again(call: Any, *arguments: Any, **more: Any) -> None:
    """Call until it is answered, as callers of a storage do that runs nothing again itself."""
    while True:
        with suppress(StorageUnavailable):
            await settle(call(*arguments, **more))
            return
