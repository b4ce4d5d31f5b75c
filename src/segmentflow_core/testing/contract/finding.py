"""Finding records by what they say, and one person's story, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/finding.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from segmentflow_core import EnrollmentStatus
from segmentflow_core.colour import settle
from segmentflow_core.errors import NotFound
from segmentflow_core.ports import Alias, IdentityKind
from segmentflow_core.testing import specimens
from segmentflow_core.testing.builders import FixedClock, a_journey, a_request
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.comparing import exact
from segmentflow_core.testing.contract.doors import Doors, InTransaction, batch_of
from segmentflow_core.testing.contract.reading import EVERY_POLICY
from segmentflow_core.testing.facts import facts_of
from segmentflow_core.testing.faults import FaultyStorage, InjectedFault

__all__ = ["FindingContract"]

_PEOPLE = ("a", "b")
_NAMES = ("order.created", "order.paid", "Order.created")
_REFERENCES = ("1", "2", None)
_NOBODY = "019bf964-302b-7000-8000-00000000dead"


class FindingContract:
    """What is found is what was asked for, all of it, and nothing else."""

    @needs("finding")
    def test_a_profile_is_found_by_what_identifies_it(self, tracker: Any) -> None:
        who = {"email": "Alex@Example.com", "externalId": "cus_123"}
        tracker.track(a_request(profile={"email": "other@example.com"}), "1")
        profile_id = tracker.track(a_request(profile=who), "2").profile_id
        records = tracker.records
        expected = records.profile(profile_id)
        assert records.find_profile(email=" ALEX@example.com ") == expected
        assert records.find_profile(external_id="cus_123") == expected
        for word in (profile_id, "alex@EXAMPLE.com", "cus_123"):
            assert records.find_profile(word) == expected

    @needs("finding")
    @pytest.mark.parametrize(
        "who",
        [
            {"email": "nobody@example.com"},
            {"email": "cus_123"},
            {"external_id": "alex@example.com"},
            {"external_id": "CUS_123"},
            {"external_id": "cus_123 "},
            {"who": _NOBODY},
            {"who": ""},
            {"who": "a\0b"},
            {"who": "\ud800"},
            {"who": "x" * 100_000},
            {"email": "ale\u212a@example.com", "organization_id": "acme"},
        ],
        ids=[
            "unknown",
            "external id as email",
            "email as external id",
            "other case",
            "space behind",
            "unknown id",
            "nothing",
            "U+0000",
            "a lone surrogate",
            "too long",
            "a letter that lowercases to ASCII",
        ],
    )
    def test_nobody_is_found_by_what_is_only_like_it(
        self, tracker: Any, who: dict[str, str]
    ) -> None:
        whole = {"email": "alex@example.com", "externalId": "cus_123"}
        tracker.track(a_request(profile=whole), "1")
        tracker.track(a_request(profile={"email": "alek@example.com"}), "2", organization_id="acme")
        with pytest.raises(NotFound):
            tracker.records.find_profile(**who)

    @needs("finding", "people")
    @pytest.mark.parametrize("odd", [0, 1], ids=["even", "odd"])
    @pytest.mark.parametrize("kind", IdentityKind)
    def test_an_alias_finds_its_profile_and_what_is_only_like_it_nobody(
        self, doors: Doors, in_transaction: InTransaction, kind: IdentityKind, odd: int
    ) -> None:
        """Every second one of all that is alike, in this kind and in the other one."""
        values = (*specimens.EMAILS, *specimens.NAMES)
        if kind is IdentityKind.EMAIL:
            values = specimens.EMAILS
        aliases = tuple(Alias(kind, value) for value in sorted(values)[odd::2])
        before, after = batch_of(facts_of(0)), batch_of(facts_of(0, aliases=aliases))
        doors.write("default", before)
        doors.change("default", [before], [after])
        asked = [Alias(kind, value) for kind in IdentityKind for value in values]

        async def find(transaction: Any) -> list[Alias]:
            found: list[Alias] = []
            for each in asked:
                profile = await settle(
                    transaction.finding.profile("default", each.kind, each.value)
                )
                if profile is not None:
                    assert exact(profile) == exact(after.profile)
                    found.append(each)
            return found

        expected = {*aliases}
        assert {*in_transaction(find)} == expected
        led = doors.led_to("default", asked)
        assert {each for each, profiles in led.items() if profiles} == expected

    @needs("finding")
    def test_an_email_that_gave_way_finds_nobody(self, tracker: Any, clock: FixedClock) -> None:
        who = {"email": "old@example.com", "externalId": "cus_123"}
        receipt = tracker.track(a_request(profile=who), "1")
        clock.advance(seconds=1)
        tracker.track(a_request(profile={**who, "email": "new@example.com"}), "2")
        clock.advance(seconds=1)
        found = tracker.records.find_profile(email="new@example.com")
        assert found.profile_id == receipt.profile_id
        with pytest.raises(NotFound):
            tracker.records.find_profile(email="old@example.com")
        # It is free for somebody else, who then has it.
        tracker.track(a_request(profile={"email": "old@example.com"}), "next")
        other = tracker.records.find_profile(email="old@example.com")
        assert other.profile_id != receipt.profile_id

    @needs("finding")
    def test_profiles_are_listed_newest_first_and_page_by_page(
        self, new_tracker: Callable[..., Any]
    ) -> None:
        tracker = new_tracker(ids=MixedIds())
        made = [
            tracker.track(a_request(profile={"email": f"{n}@example.com"}), f"{n}").profile_id
            for n in range(5)
        ]
        tracker.track(a_request(), "else", organization_id="acme")
        tracker.track(a_request(profile={"email": "0@example.com"}), "again")
        listed = tracker.records.profiles()
        assert [profile.profile_id for profile in listed] == sorted(made, reverse=True)
        assert listed[0] == tracker.records.profile(listed[0].profile_id)
        first = tracker.records.profiles(limit=2)
        rest = tracker.records.profiles(before=first[-1].profile_id)
        assert [*first, *rest] == listed

    @needs("finding")
    def test_events_are_found_by_everything_that_is_asked_for_together(
        self, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        tracker = new_tracker(ids=MixedIds())
        ids: dict[str, str] = {}
        for number, (who, name, reference) in enumerate(
            itertools.product(_PEOPLE, _NAMES, _REFERENCES)
        ):
            more = {} if reference is None else {"referenceId": reference}
            request = a_request(name, profile={"email": f"{who}@example.com"}, **more)
            # What is received last did not occur last.
            occurred = clock.now() - timedelta(days=number)
            tracker.track({**request, "occurredAt": occurred.isoformat()}, f"{number}")
            ids[who] = tracker.track(request, f"{number} again").profile_id
            tracker.track(request, "of another " + str(number), organization_id="acme")
            clock.advance(seconds=1)
        every = tracker.records.events(limit=1000)
        times = sorted({event.received_at for event in every})
        asked: Iterable[tuple[Any, ...]] = itertools.product(
            (*ids.values(), None),
            (*_NAMES[:2], None),
            _REFERENCES,
            (times[7], times[0], None),
            (times[12], None),
        )
        for profile_id, name, reference, since, until in asked:
            wanted = [
                event
                for event in every
                if profile_id in (None, event.profile_id)
                and name in (None, event.event)
                and reference in (None, event.reference_id)
                and (since is None or since <= event.received_at)
                and (until is None or event.received_at < until)
            ]
            of = {
                "profile_id": profile_id,
                "event": name,
                "reference_id": reference,
                "since": since,
                "until": until,
            }
            assert list(tracker.records.events(**of)) == wanted, of
            _assert_pages(partial(tracker.records.events, **of), wanted)

    @needs("finding")
    def test_enrollments_are_found_by_everything_that_is_asked_for_together(
        self, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        tracker = new_tracker(ids=MixedIds())
        tracker.journeys.publish(EVERY_POLICY)
        events: list[str] = []
        ids: list[str] = []
        for number in range(6):
            who = {"email": f"{number % 2}@example.com"}
            receipt = tracker.track(a_request(profile=who, data={"orderId": number}), f"{number}")
            tracker.track(a_request(profile=who), f"{number} again")
            events.append(receipt.event_id)
            ids.append(receipt.profile_id)
            clock.advance(seconds=1)
        leases = [claimed.lease for claimed in tracker.enrollments.claim(limit=6)]
        tracker.enrollments.complete_many(leases[:2])
        tracker.enrollments.release_many(leases[2:4], max_attempts=1)
        every = tracker.enrollments.list(limit=1000)
        assert len({entry.status for entry in every}) == 4
        for profile_id, event_id, journey_id, status in itertools.product(
            (*ids[:2], None),
            (*events[:3], _NOBODY, None),
            ("once", "per-order", "none", None),
            (*EnrollmentStatus, None),
        ):
            wanted = [
                entry
                for entry in every
                if profile_id in (None, entry.profile_id)
                and event_id in (None, entry.event_id)
                and journey_id in (None, entry.journey_id)
                and status in (None, entry.status)
            ]
            of = {
                "profile_id": profile_id,
                "event_id": event_id,
                "journey_id": journey_id,
                "status": status,
            }
            assert list(tracker.enrollments.list(**of)) == wanted, of
            _assert_pages(partial(tracker.enrollments.list, **of), wanted)

    @needs("finding")
    def test_nothing_of_a_call_that_failed_is_found(
        self, storage: Any, new_tracker: Callable[..., Any]
    ) -> None:
        tracker = new_tracker()
        tracker.journeys.publish([a_journey()])
        kept = tracker.track(a_request(referenceId="1"), "kept")
        who = {"email": "new@example.com", "externalId": "cus_123"}
        failing = [a_request(referenceId="1"), a_request(referenceId="1", profile=who)]
        with pytest.raises(InjectedFault):
            new_tracker(FaultyStorage(storage, 1, after=True)).track_many(
                [(request, f"{number}") for number, request in enumerate(failing)]
            )
        (event,) = tracker.records.events()
        for of in (
            {"since": event.received_at},
            {"event": "order.created"},
            {"reference_id": "1"},
            {"profile_id": kept.profile_id},
        ):
            assert list(tracker.records.events(**of)) == [event], of
        (entry,) = tracker.enrollments.list(profile_id=kept.profile_id)
        assert entry.event_id == event.event_id
        assert [each.profile_id for each in tracker.records.profiles()] == [kept.profile_id]
        for identity in ({"email": "new@example.com"}, {"external_id": "cus_123"}):
            with pytest.raises(NotFound):
                tracker.records.find_profile(**identity)

    @needs("finding")
    def test_nothing_is_found_by_what_no_row_could_hold(self, tracker: Any) -> None:
        tracker.journeys.publish([a_journey()])
        tracker.track(a_request(), "key")
        long = "x" * 100_000
        assert list(tracker.records.events(event=long)) == []
        assert list(tracker.records.events(reference_id=long)) == []
        assert list(tracker.enrollments.list(journey_id=long, profile_id=_NOBODY)) == []

    @needs("finding")
    def test_a_backlog_is_what_a_claim_could_have_by_journey(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        names = ("a", "A", "b", "idle", "paused")
        triggers = {"a": "order.created", "idle": "never", "paused": "order.created"}
        journeys = [
            a_journey(each, trigger={"event": triggers.get(each, "order.paid")}) for each in names
        ]
        tracker.journeys.publish(journeys)
        began = clock.now()
        for number in range(3):
            tracker.track(a_request(profile={"email": f"{number}@example.com"}), f"{number}")
            clock.advance(seconds=10)
        tracker.track(a_request("order.paid"), "paid")
        elsewhere = "another Organization"
        tracker.journeys.publish([a_journey("a")], organization_id=elsewhere)
        tracker.track(a_request(), "elsewhere", organization_id=elsewhere)
        tracker.journeys.publish([{**journeys[-1], "status": "paused"}])

        def backlog(**asked: Any) -> list[tuple[str, int, bool, float | None]]:
            return [
                (each.journey_id, each.depth, each.cut, _seconds(each.lag))
                for each in tracker.enrollments.backlog(**asked)
            ]

        def of(journey_id: str) -> tuple[int, float | None]:
            ((_, depth, _, lag),) = backlog(journey_ids=[journey_id])
            return depth, lag

        clock.advance(seconds=5)
        assert backlog() == [
            ("A", 1, False, 5.0),
            ("a", 3, False, _seconds(clock.now() - began)),
            ("b", 1, False, 5.0),
            ("idle", 0, False, None),
        ]
        assert backlog(journey_ids=["a", "unheard-of", "paused"], at_most=2) == [
            ("a", 2, True, 35.0)
        ]
        assert backlog(at_most=3)[1] == ("a", 3, False, 35.0)
        assert backlog(organization_id=elsewhere) == [("a", 1, False, 5.0)]
        lease = timedelta(seconds=60)
        first, second = tracker.enrollments.claim(journey_id="a", limit=2, lease=lease)
        assert of("a") == (1, 15.0)
        tracker.enrollments.complete(first.lease)
        tracker.enrollments.release(second.lease, delay=timedelta(seconds=30), error="no answer")
        (third,) = tracker.enrollments.claim(journey_id="a", lease=lease)
        assert of("a") == (0, None)
        clock.advance(seconds=30)  # what failed may be handed over from this instant on
        assert of("a") == (1, 0.0)
        clock.advance(seconds=40)  # the third one's lease ran out 10 seconds ago
        assert of("a") == (2, 40.0)
        tracker.enrollments.complete(third.lease)
        assert of("a") == (1, 40.0)

    @needs("finding")
    def test_what_is_found_is_a_copy(self, tracker: Any) -> None:
        who = {"email": "alex@example.com", "properties": {"tags": ["a"]}}
        tracker.track(a_request(profile=who, data={"items": [1]}), "key")
        tracker.records.events(event="order.created")[0].data["items"].append(2)
        tracker.records.find_profile("alex@example.com").properties["tags"].append("b")
        tracker.records.profiles()[0].properties["tags"].append("c")
        assert tracker.records.events(event="order.created")[0].data == {"items": [1]}
        assert tracker.records.find_profile("alex@example.com").properties == {"tags": ["a"]}

    @needs("finding")
    def test_a_story_tells_what_became_of_each_event(self, tracker: Any, clock: FixedClock) -> None:
        where = {"path": "/event/total", "op": "gte", "value": 40}
        trigger = {"event": "order.created", "where": where}
        tracker.journeys.publish([a_journey("every"), a_journey("large", trigger=trigger)])
        sent: list[str] = []
        for number, total in enumerate((10, 50, 60)):
            sent.append(tracker.track(a_request(data={"total": total}), f"{number}").event_id)
            other = a_request(profile={"email": "other@example.com"}, data={"total": total})
            tracker.track(other, f"other {number}")
            clock.advance(seconds=1)
        (claimed, *_) = tracker.enrollments.claim(limit=1)
        tracker.enrollments.complete(claimed.lease)
        story = tracker.records.why("alex@example.com")
        assert story.profile.email == "alex@example.com"
        assert story.before is None
        assert [told.event.event_id for told in story.events] == sent[::-1]
        assert [
            [
                (o.outcome.journey_id, o.outcome.reason, o.enrollment and str(o.enrollment.status))
                for o in told.outcomes
            ]
            for told in story.events
        ] == [
            [("every", None, "pending"), ("large", None, "pending")],
            [("every", None, "pending"), ("large", None, "pending")],
            [("every", None, "completed"), ("large", "condition_not_met", None)],
        ]
        for told in story.events:
            assert told.event == tracker.records.event(told.event.event_id)
            for outcome in told.outcomes:
                if outcome.enrollment is not None:
                    assert outcome.enrollment.event_id == told.event.event_id

    @needs("finding")
    def test_a_story_about_one_journey_says_which_leaf_decided(self, tracker: Any) -> None:
        for limit in (40, 20):
            where = {"path": "/event/total", "op": "gte", "value": limit}
            trigger = {"event": "order.created", "where": where}
            once = {"policy": "once"}
            tracker.journeys.publish([a_journey("large", trigger=trigger, reentry=once)])
            tracker.track(a_request(data={"total": 30}), f"{limit}")
        tracker.track(a_request(data={"total": 30}), "again")
        tracker.track(a_request("order.paid"), "unheard")
        story = tracker.records.why("alex@example.com", journey_id="large")
        told = [each.outcomes[0] for each in story.events]
        assert [outcome.explained.reason for outcome in told] == [
            "already_enrolled",
            None,
            "condition_not_met",
        ]
        assert [outcome.explained.condition.result for outcome in told] == [True, True, False]
        assert [outcome.explained.version for outcome in told] == [2, 2, 1]
        with pytest.raises(NotFound):
            tracker.records.why("alex@example.com", journey_id="unheard-of")

    @needs("finding")
    def test_a_story_is_told_page_by_page(self, tracker: Any, clock: FixedClock) -> None:
        tracker.journeys.publish([a_journey()])
        sent: list[str] = []
        for number in range(5):
            name = "order.created" if number % 2 else "order.paid"
            sent.append(tracker.track(a_request(name), f"{number}").event_id)
            clock.advance(seconds=1)
        told: list[str] = []
        before: str | None = None
        for _ in range(3):
            page = tracker.records.why("alex@example.com", limit=2, before=before)
            told += [each.event.event_id for each in page.events]
            before = page.before
        assert (told, before) == (sent[::-1], None)
        page = tracker.records.why("alex@example.com", journey_id="welcome", limit=2)
        assert [each.event.event_id for each in page.events] == [sent[3]]
        assert page.before == sent[3]


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


class MixedIds:
    """Makes ids that neither rise nor fall: an order by age, either way, is not theirs."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new_id(self) -> str:
        # Multiples of a number modulo a prime: each once, all over the range.
        return f"019bf964-302b-7000-8000-{next(self._numbers) * 389 % 1009:012x}"


def _assert_pages(ask: Callable[..., Sequence[Any]], whole: Sequence[Any]) -> None:
    """Check that two pages are together what one is."""
    ids = [getattr(each, "enrollment_id", None) or each.event_id for each in whole]
    assert list(ask(limit=2)) == list(whole[:2])
    if len(ids) > 2:
        assert list(ask(before=ids[1])) == list(whole[2:])
