"""The contract of a storage adapter, as tests (design: 6).

An author subclasses `StorageContract` in a module pytest collects and gives one fixture,
``storage``: an empty store for each test. An asynchronous adapter also gives
``run_async``, a function that runs a coroutine to its end, such as ``asyncio.run``.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from segmentflow_core import (
    AsyncTracker,
    FingerprintKey,
    FingerprintKeys,
    IdempotencyKeyReuse,
    IdentityConflict,
    InvalidRequest,
    NotFound,
    ProfileEmailRequired,
    Receipt,
    Tracker,
    event_document,
    published_document,
)
from segmentflow_core.testing.builders import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    FixedClock,
    a_journey,
    a_request,
)
from segmentflow_core.testing.faults import FaultyStorage, InjectedFault
from segmentflow_core.testing.strategies import json_objects

__all__ = ["StorageContract"]

_A_WHOLE_DAY = {
    "journeys": [
        a_journey("every"),
        a_journey("once", reentry={"policy": "once"}),
        a_journey("per-order", reentry={"policy": "once_per_key", "key": "/event/orderId"}),
    ]
}


class _Blocking:
    """An `AsyncTracker` whose calls are run to their end, so one test serves both colours."""

    def __init__(self, tracker: AsyncTracker, run_async: Callable[[Any], Any]) -> None:
        self._tracker = tracker
        self._run_async = run_async

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._tracker, name)
        return lambda *args, **kwargs: self._run_async(method(*args, **kwargs))


class StorageContract:
    """Every promise a storage adapter must keep, one test each."""

    @pytest.fixture
    def storage(self) -> Any:
        """Give an empty store of either colour; the author overrides this."""
        raise NotImplementedError("Give a fixture named `storage` that returns an empty store.")

    @pytest.fixture
    def run_async(self) -> Callable[[Any], Any]:
        """Give what runs a coroutine to its end; an asynchronous adapter overrides this."""
        raise NotImplementedError("Give a fixture named `run_async`, such as asyncio.run.")

    @pytest.fixture
    def clock(self) -> FixedClock:
        """Give the clock of the test's trackers."""
        return FixedClock()

    @pytest.fixture
    def new_tracker(
        self, storage: Any, clock: FixedClock, request: pytest.FixtureRequest
    ) -> Callable[..., Any]:
        """Give a function that makes a tracker, on the test's store unless told otherwise."""

        def make(over: Any = storage, **options: Any) -> Any:
            given: dict[str, Any] = {
                "fingerprint_key": FINGERPRINT_SECRET,
                "clock": clock,
                **options,
            }
            if inspect.iscoroutinefunction(storage.run):
                run_async = request.getfixturevalue("run_async")
                return _Blocking(AsyncTracker(over, **given), run_async)
            return Tracker(over, **given)

        return make

    @pytest.fixture
    def tracker(self, new_tracker: Callable[..., Any]) -> Any:
        """Give a tracker on the test's store."""
        return new_tracker()

    # --- idempotency ---------------------------------------------------------------

    def test_the_documented_request_is_recorded_without_its_secret(self, tracker: Any) -> None:
        receipt = tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        event = tracker.event(receipt.event_id)
        assert event.data == {
            "orderId": "ord_9421",
            "total": 49,
            "payment": {"token": "[REDACTED]"},
        }
        assert event.profile_id == receipt.profile_id
        assert (event.event, event.reference_id) == ("order.created", "ord_9421")
        assert (receipt.matched_journeys, receipt.replayed) == (0, False)

    def test_a_retry_gets_the_same_receipt_and_writes_nothing(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        tracker.publish_journeys(_A_WHOLE_DAY)
        first = tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        before = _everything(tracker)
        clock.advance(days=1)
        again = tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        assert again == first
        assert again.replayed
        assert _everything(tracker) == before

    def test_another_request_under_a_used_key_is_refused_and_names_what_changed(
        self, tracker: Any
    ) -> None:
        tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        before = _everything(tracker)
        changed = copy.deepcopy(dict(DOCUMENTED_REQUEST))
        changed["data"]["payment"]["token"] = "tok_live_xyz"
        with pytest.raises(IdempotencyKeyReuse) as refusal:
            tracker.track(changed, DOCUMENTED_KEY)
        assert refusal.value.details == {"changedPaths": ["/data/payment/token"]}
        assert _everything(tracker) == before

    def test_a_refused_request_leaves_its_key_unused(self, tracker: Any) -> None:
        with pytest.raises(ProfileEmailRequired):
            tracker.track(a_request(profile={"externalId": "new"}), "key")
        assert not tracker.track(a_request(), "key").replayed

    def test_an_invalid_request_leaves_its_key_unused(self, tracker: Any) -> None:
        with pytest.raises(InvalidRequest):
            tracker.track(a_request(occurredAt="2025-02-29T00:00Z"), "key")
        assert not tracker.events()
        assert not tracker.track(a_request(), "key").replayed

    def test_keys_that_differ_in_case_are_different_keys(self, tracker: Any) -> None:
        assert tracker.track(a_request(), "key") != tracker.track(a_request(), "KEY")

    def test_a_key_of_every_printable_character_is_kept_as_it_is(self, tracker: Any) -> None:
        key = "".join(map(chr, range(0x20, 0x7F)))
        first = tracker.track(a_request(), key)
        assert tracker.track(a_request(), key) == first

    def test_an_expired_key_is_free_though_nothing_purged_it(
        self, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        tracker = new_tracker(key_lifetime=timedelta(hours=1))
        first = tracker.track(a_request(), "key")
        clock.advance(hours=1, microseconds=-1)
        assert tracker.track(a_request(), "key") == first
        clock.advance(microseconds=1)
        second = tracker.track(a_request(), "key")
        assert second.event_id != first.event_id
        assert len(tracker.events()) == 2

    def test_a_key_without_a_lifetime_is_kept_for_ever(
        self, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        tracker = new_tracker(key_lifetime=None)
        first = tracker.track(a_request(), "key")
        clock.advance(days=36500)
        assert tracker.purge() == 0
        assert tracker.track(a_request(), "key") == first

    def test_purge_removes_expired_keys_only_and_no_more_than_asked(
        self, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        tracker = new_tracker(key_lifetime=timedelta(hours=1))
        for number in range(5):
            tracker.track(a_request(), f"old {number}")
        clock.advance(hours=1)
        kept = tracker.track(a_request(), "new")
        assert [tracker.purge(limit=2) for _ in range(4)] == [2, 2, 1, 0]
        assert tracker.track(a_request(), "new") == kept
        assert len(tracker.events()) == 6

    def test_a_rotated_fingerprint_key_still_recognises_older_requests(
        self, new_tracker: Callable[..., Any]
    ) -> None:
        old, new = (FingerprintKey(name, name.encode() * 16) for name in ("old", "new"))
        first = new_tracker(fingerprint_key=old).track(a_request(), "key")
        rotated = new_tracker(fingerprint_key=FingerprintKeys(new, (old,)))
        assert rotated.track(a_request(), "key") == first
        with pytest.raises(IdempotencyKeyReuse):
            rotated.track(a_request(data={"other": 1}), "key")

    def test_concurrent_callers_with_one_key_make_one_event(
        self, storage: Any, new_tracker: Callable[..., Any]
    ) -> None:
        if inspect.iscoroutinefunction(storage.run):
            pytest.skip("threads call a synchronous store")
        tracker = new_tracker()
        start = threading.Barrier(8)

        def call(_: int) -> Receipt:
            start.wait()
            receipt: Receipt = tracker.track(a_request(), "key")
            return receipt

        with ThreadPoolExecutor(8) as pool:
            receipts = list(pool.map(call, range(8)))
        assert len({receipt.event_id for receipt in receipts}) == 1
        assert sorted(receipt.replayed for receipt in receipts) == [False] + [True] * 7
        assert len(tracker.events()) == 1

    # --- all or nothing --------------------------------------------------------------

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_an_exception_at_any_call_leaves_nothing_and_the_retry_succeeds(
        self, storage: Any, new_tracker: Callable[..., Any], after: bool
    ) -> None:
        tracker = new_tracker()
        tracker.publish_journeys(_A_WHOLE_DAY)
        order = a_request(data={"orderId": "A"}, profile={"email": "a@example.com"})
        tracker.track(order, "earlier")
        before = _everything(tracker)
        calls = [
            (a_request(data={"orderId": "B"}, profile={"email": "a@example.com"}), "one"),
            (a_request(data={"orderId": "C"}, profile={"email": "c@example.com"}), "two"),
            (a_request(profile={"externalId": "unknown"}), "refused"),
        ]
        fail_at = 0
        while True:
            faulty = FaultyStorage(storage, fail_at, after=after)
            try:
                results = new_tracker(faulty).track_many(calls)
            except InjectedFault:
                assert _everything(tracker) == before
                fail_at += 1
                continue
            break
        assert fail_at == faulty.calls >= 2
        assert [getattr(result, "replayed", None) for result in results] == [False, False, None]
        assert len(tracker.events()) == 3

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_a_failed_publication_changes_no_journey(
        self, storage: Any, new_tracker: Callable[..., Any], after: bool
    ) -> None:
        tracker = new_tracker()
        tracker.publish_journeys({"journeys": [a_journey()]})
        before = _everything(tracker)
        faulty = new_tracker(FaultyStorage(storage, 1, after=after))
        with pytest.raises(InjectedFault):
            faulty.publish_journeys({"journeys": [a_journey(status="paused"), a_journey("new")]})
        assert _everything(tracker) == before
        assert tracker.track(a_request(), "key").enrolled_journeys == 1

    # --- Profiles --------------------------------------------------------------------

    def test_an_email_identifies_whatever_its_case(self, tracker: Any) -> None:
        first = tracker.track(a_request(profile={"email": " Alex@Example.com "}), "1")
        second = tracker.track(a_request(profile={"email": "alex@example.com"}), "2")
        assert first.profile_id == second.profile_id
        assert tracker.profile(first.profile_id).email == "alex@example.com"

    def test_an_external_id_identifies_exactly(self, tracker: Any) -> None:
        both = {"email": "a@example.com", "externalId": "X"}
        first = tracker.track(a_request(profile=both), "1")
        assert tracker.track(a_request(profile={"externalId": "X"}), "2").profile_id == (
            first.profile_id
        )
        with pytest.raises(ProfileEmailRequired):
            tracker.track(a_request(profile={"externalId": "x"}), "3")

    def test_a_known_email_takes_a_new_external_id(self, tracker: Any) -> None:
        first = tracker.track(a_request(profile={"email": "a@example.com"}), "1")
        both = {"email": "a@example.com", "externalId": "X"}
        assert tracker.track(a_request(profile=both), "2").profile_id == first.profile_id
        assert tracker.profile(first.profile_id).external_id == "X"
        other = {"email": "a@example.com", "externalId": "Y"}
        with pytest.raises(IdentityConflict):
            tracker.track(a_request(profile=other), "3")

    def test_a_known_external_id_takes_a_new_email_and_frees_the_old_one(
        self, tracker: Any
    ) -> None:
        first = tracker.track(
            a_request(profile={"email": "old@example.com", "externalId": "X"}), "1"
        )
        moved = {"email": "new@example.com", "externalId": "X"}
        assert tracker.track(a_request(profile=moved), "2").profile_id == first.profile_id
        another = tracker.track(a_request(profile={"email": "old@example.com"}), "3")
        assert another.profile_id != first.profile_id

    def test_an_email_and_an_external_id_of_two_profiles_conflict(self, tracker: Any) -> None:
        tracker.track(a_request(profile={"email": "a@example.com", "externalId": "A"}), "1")
        tracker.track(a_request(profile={"email": "b@example.com", "externalId": "B"}), "2")
        before = _everything(tracker)
        crossed = {"email": "a@example.com", "externalId": "B"}
        with pytest.raises(IdentityConflict) as refusal:
            tracker.track(a_request(profile=crossed), "3")
        assert refusal.value.details == {}
        assert _everything(tracker) == before

    def test_a_setting_lets_an_external_id_alone_create_a_profile(
        self, new_tracker: Callable[..., Any]
    ) -> None:
        tracker = new_tracker(create_without_email=True)
        profiles = [
            tracker.track(a_request(profile={"externalId": name}), name).profile_id
            for name in ("A", "B")
        ]
        assert len(set(profiles)) == 2
        assert tracker.profile(profiles[0]).email is None
        both = {"email": "a@example.com", "externalId": "A"}
        assert tracker.track(a_request(profile=both), "C").profile_id == profiles[0]
        assert tracker.profile(profiles[0]).email == "a@example.com"

    def test_an_older_event_neither_overwrites_nor_revives_a_property(self, tracker: Any) -> None:
        def send(key: str, occurred_at: str, **properties: Any) -> str:
            profile = {"email": "a@example.com", "properties": properties}
            request = a_request(profile=profile, occurredAt=occurred_at)
            return str(tracker.track(request, key).profile_id)

        profile_id = send("1", "2026-03-01T00:00Z", plan="Pro", city=None)
        send("2", "2026-02-01T00:00Z", plan="Free", city="Oslo", since=2020)
        assert tracker.profile(profile_id).properties == {"plan": "Pro", "since": 2020}

    # --- what is stored ----------------------------------------------------------------

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,  # every adapter's class inherits this test
            HealthCheck.too_slow,
        ],
    )
    @given(data=json_objects(), properties=json_objects())
    def test_every_json_value_comes_back_as_it_was(
        self, tracker: Any, data: dict[str, Any], properties: dict[str, Any]
    ) -> None:
        profile = {"email": "a@example.com", "properties": properties}
        key = str(len(tracker.events(limit=1000)))
        receipt = tracker.track(a_request(data=data, profile=profile), key)
        event = tracker.event(receipt.event_id)
        assert _typed(event.data) == _typed(data)
        kept = tracker.profile(receipt.profile_id).properties
        for name, value in properties.items():
            assert _typed(kept.get(name)) == _typed(value)

    def test_times_are_kept_to_the_microsecond(self, tracker: Any, clock: FixedClock) -> None:
        receipt = tracker.track(a_request(occurredAt="2026-05-31T14:00:00.123457+02:00"), "key")
        event = tracker.event(receipt.event_id)
        assert event.occurred_at.isoformat() == "2026-05-31T12:00:00.123457+00:00"
        assert event.received_at == clock.now()

    def test_what_is_read_is_a_copy(self, tracker: Any) -> None:
        receipt = tracker.track(a_request(data={"items": [1]}), "key")
        tracker.event(receipt.event_id).data["items"].append(2)
        assert tracker.event(receipt.event_id).data == {"items": [1]}

    def test_events_are_listed_newest_first_and_page_by_page(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        sent: list[str] = []
        for number in range(5):
            sent.append(tracker.track(a_request(), str(number)).event_id)
            clock.advance(seconds=1)
        first = [event.event_id for event in tracker.events(limit=3)]
        rest = [event.event_id for event in tracker.events(limit=3, before=first[-1])]
        assert first + rest == sent[::-1]

    # --- Journeys ----------------------------------------------------------------------

    def test_only_active_journeys_that_listen_for_the_event_match(self, tracker: Any) -> None:
        tracker.publish_journeys(
            {
                "journeys": [
                    *(a_journey(s, status=s) for s in ("draft", "active", "paused", "archived")),
                    a_journey("other", trigger={"event": "Order.created"}),
                ]
            }
        )
        receipt = tracker.track(a_request(), "key")
        assert (receipt.matched_journeys, receipt.enrolled_journeys) == (1, 1)
        assert [e.journey_id for e in tracker.enrollments()] == ["active"]

    def test_outcomes_are_stored_with_the_event_and_the_version_that_decided(
        self, tracker: Any
    ) -> None:
        where = {"path": "/event/total", "op": "gte", "value": 40}
        trigger = {"event": "order.created", "where": where}
        tracker.publish_journeys({"journeys": [a_journey("big", trigger=trigger), a_journey()]})
        tracker.publish_journeys({"journeys": [a_journey(name="Welcome!")]})
        receipt = tracker.track(a_request(data={"total": 39}), "key")
        assert event_document(tracker.event(receipt.event_id))["outcomes"] == [
            {
                "journeyId": "big",
                "version": 1,
                "outcome": "skipped",
                "reason": "condition_not_met",
            },
            {"journeyId": "welcome", "version": 2, "outcome": "enrolled", "reason": None},
        ]
        assert (receipt.matched_journeys, receipt.skipped_journeys) == (2, 1)

    def test_a_version_entered_stays_readable(self, tracker: Any) -> None:
        tracker.publish_journeys({"journeys": [a_journey(name="First")]})
        tracker.track(a_request(), "key")
        tracker.publish_journeys({"journeys": [a_journey(name="Second", status="paused")]})
        (enrollment,) = tracker.enrollments()
        entered = tracker.journey(enrollment.journey_id, enrollment.version)
        assert (entered.version, entered.definition.name) == (1, "First")
        assert published_document(tracker.journey("welcome"))["version"] == 2

    def test_publishing_twice_changes_nothing_and_a_status_is_no_version(
        self, tracker: Any
    ) -> None:
        active = {"journeys": [a_journey()]}
        changes = [
            tracker.publish_journeys(document)[0].change
            for document in (active, active, {"journeys": [a_journey(status="paused")]}, active)
        ]
        assert changes == ["created", "unchanged", "new_status", "new_status"]
        assert tracker.journey("welcome").version == 1

    def test_a_dry_run_publishes_nothing(self, tracker: Any) -> None:
        (plan,) = tracker.publish_journeys({"journeys": [a_journey()]}, dry_run=True)
        assert plan.change == "created"
        assert not tracker.journeys()

    def test_once_lets_a_profile_in_once(self, tracker: Any) -> None:
        tracker.publish_journeys({"journeys": [a_journey(reentry={"policy": "once"})]})
        enrolled = [tracker.track(a_request(), str(n)).enrolled_journeys for n in range(3)]
        assert enrolled == [1, 0, 0]
        other = a_request(profile={"email": "other@example.com"})
        assert tracker.track(other, "other").enrolled_journeys == 1

    def test_once_counts_entries_made_under_another_policy(self, tracker: Any) -> None:
        tracker.publish_journeys({"journeys": [a_journey()]})
        tracker.track(a_request(), "1")
        tracker.publish_journeys({"journeys": [a_journey(reentry={"policy": "once"})]})
        receipt = tracker.track(a_request(), "2")
        (outcome,) = tracker.event(receipt.event_id).outcomes
        assert outcome.reason == "already_enrolled"

    def test_once_per_key_lets_a_profile_in_once_for_each_key(self, tracker: Any) -> None:
        reentry = {"policy": "once_per_key", "key": ["/event/orderId", "/event/line"]}
        tracker.publish_journeys({"journeys": [a_journey(reentry=reentry)]})
        orders: list[dict[str, Any]] = [
            {"orderId": "A", "line": 1},
            {"orderId": "A", "line": 1.0},
            {"orderId": "A", "line": "1"},
            {"orderId": "B", "line": 1},
            {"orderId": "B"},
        ]
        receipts = [tracker.track(a_request(data=data), str(n)) for n, data in enumerate(orders)]
        reasons = [tracker.event(r.event_id).outcomes[0].reason for r in receipts]
        assert reasons == [None, "already_enrolled", None, None, "entry_key_missing"]

    def test_a_cooldown_counts_from_the_last_entry(self, tracker: Any, clock: FixedClock) -> None:
        reentry = {"policy": "cooldown", "duration": "PT1H"}
        tracker.publish_journeys({"journeys": [a_journey(reentry=reentry)]})
        enrolled: list[int] = []
        for minutes in (0, 30, 30, 59, 1):
            clock.advance(minutes=minutes)
            receipt = tracker.track(a_request(), f"{len(enrolled)}")
            enrolled.append(receipt.enrolled_journeys)
        assert enrolled == [1, 0, 1, 0, 1]

    def test_history_can_be_tracked_without_entering_journeys(self, tracker: Any) -> None:
        tracker.publish_journeys({"journeys": [a_journey()]})
        receipt = tracker.track(a_request(), "key", match_journeys=False)
        assert receipt.matched_journeys == 0
        assert not tracker.enrollments()

    # --- batches -----------------------------------------------------------------------

    def test_a_batch_answers_item_by_item_and_one_bad_item_hinders_no_other(
        self, tracker: Any
    ) -> None:
        results = tracker.track_many(
            [
                (a_request(), "1"),
                ({"event": ""}, "2"),
                (a_request(profile={"externalId": "unknown"}), "3"),
                (a_request(), None),
                (a_request(profile={"email": "b@example.com"}), "5"),
            ]
        )
        codes = [getattr(result, "code", "accepted") for result in results]
        assert codes == [
            "accepted",
            "invalid_request",
            "profile_email_required",
            "idempotency_key_required",
            "accepted",
        ]
        assert len(tracker.events()) == 2

    def test_a_key_twice_in_a_batch_is_one_event(self, tracker: Any) -> None:
        first, second, third = tracker.track_many(
            [(a_request(), "key"), (a_request(), "key"), (a_request("other"), "key")]
        )
        assert second == first
        assert second.replayed
        assert third.code == "idempotency_key_reuse"
        assert len(tracker.events()) == 1

    def test_a_key_refused_in_a_batch_is_free_for_the_next_item(self, tracker: Any) -> None:
        refused, accepted = tracker.track_many(
            [(a_request(profile={"externalId": "unknown"}), "key"), (a_request(), "key")]
        )
        assert refused.code == "profile_email_required"
        assert tracker.track(a_request(), "key") == accepted

    def test_events_of_one_new_profile_in_a_batch_share_it(self, tracker: Any) -> None:
        tracker.publish_journeys({"journeys": [a_journey(reentry={"policy": "once"})]})
        results = tracker.track_many([(a_request(), str(number)) for number in range(50)])
        assert len({receipt.profile_id for receipt in results}) == 1
        assert [receipt.enrolled_journeys for receipt in results] == [1] + [0] * 49

    def test_profiles_may_swap_their_emails_within_a_batch(self, tracker: Any) -> None:
        def who(email: str, external_id: str) -> dict[str, Any]:
            return a_request(profile={"email": email, "externalId": external_id})

        a, b = tracker.track_many(
            [(who("a@example.com", "A"), "1"), (who("b@example.com", "B"), "2")]
        )
        tracker.track_many(
            [
                (who("t@example.com", "A"), "3"),
                (who("a@example.com", "B"), "4"),
                (who("b@example.com", "A"), "5"),
            ]
        )
        assert tracker.profile(a.profile_id).email == "b@example.com"
        assert tracker.profile(b.profile_id).email == "a@example.com"

    def test_a_batch_of_a_thousand_is_tracked_and_replayed(self, tracker: Any) -> None:
        calls = [
            (a_request(profile={"email": f"p{number % 400}@example.com"}), str(number))
            for number in range(1000)
        ]
        first = tracker.track_many(calls)
        assert len({receipt.profile_id for receipt in first}) == 400
        again = tracker.track_many(calls[::-1])
        assert again == first[::-1]
        assert all(receipt.replayed for receipt in again)

    # --- Organizations -------------------------------------------------------------------

    def test_organizations_share_nothing(self, tracker: Any) -> None:
        tracker.publish_journeys({"journeys": [a_journey()]}, organization_id="a")
        first = tracker.track(a_request(), "key", organization_id="a")
        second = tracker.track(a_request(), "key", organization_id="b")
        assert first.event_id != second.event_id
        assert first.profile_id != second.profile_id
        assert (first.matched_journeys, second.matched_journeys) == (1, 0)
        assert not tracker.enrollments(organization_id="b")
        assert not tracker.journeys(organization_id="b")
        assert [e.event_id for e in tracker.events(organization_id="b")] == [second.event_id]

    def test_another_organizations_ids_are_not_found(self, tracker: Any) -> None:
        tracker.publish_journeys({"journeys": [a_journey()]}, organization_id="a")
        receipt = tracker.track(a_request(), "key", organization_id="a")
        elsewhere = {"organization_id": "b"}
        for read, arguments, where in (
            (tracker.event, (receipt.event_id,), elsewhere),
            (tracker.profile, (receipt.profile_id,), elsewhere),
            (tracker.journey, ("welcome",), elsewhere),
            (tracker.journey, ("welcome", 1), elsewhere),
            (tracker.journey, ("welcome", 2), {"organization_id": "a"}),
        ):
            with pytest.raises(NotFound):
                read(*arguments, **where)


def _everything(tracker: Any) -> tuple[Any, ...]:
    """Read all that can be read, to compare the store before and after."""
    events = tracker.events(limit=1000)
    profiles = {event.profile_id: None for event in events}
    return (
        [event_document(event) for event in events],
        [tracker.profile(profile_id) for profile_id in profiles],
        tracker.enrollments(limit=1000),
        [published_document(journey) for journey in tracker.journeys()],
    )


def _typed(value: Any) -> Any:
    """Make values comparable that Python holds equal and JSON does not: 1, 1.0 and True."""
    if isinstance(value, dict):
        return {name: _typed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return (type(value).__name__, repr(value))
