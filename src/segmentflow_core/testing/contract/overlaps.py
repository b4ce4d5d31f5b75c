"""A call that comes while another one's transaction is open, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses. Each test is written once for both
colours: see `races`, where callers overlap as it happens.

See docs/reference/rules/idempotency.md and docs/reference/rules/storage.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import pytest

from segmentflow_core import Receipt
from segmentflow_core.arguments import DEFAULT_ORGANIZATION
from segmentflow_core.colour import driven, settle
from segmentflow_core.errors import (
    IdempotencyInProgress,
    IdempotencyKeyReuse,
    StorageUnavailable,
)
from segmentflow_core.ports import Intent, StillHeld, key_digest
from segmentflow_core.testing.builders import a_journey, a_request
from segmentflow_core.testing.callers import AtOnce, Client, Gate, is_asynchronous
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.overtaking import Overtaking, Patience, SomebodyWaits
from segmentflow_core.testing.port_calls import TappedStorage, WatchedStorage

__all__ = ["Hold", "OverlapContract"]

Hold: TypeAlias = Callable[..., list[Any]]
"""Makes a second call while the transaction of the first is open; returns both answers."""


class OverlapContract:
    """What a caller may rely on who overtakes an open transaction, one test each.

    Attributes:
        chance: seconds without a sign of life after which a call is taken to wait, where
            `somebody_waits` is not given. A correct storage passes with any value; a longer one
            catches more faults of a slow storage.
    """

    chance: ClassVar[float] = 0.1

    @needs("concurrent_writers", "open_transactions")
    @pytest.mark.parametrize("calls", [1, 2], ids=["loaded", "written"])
    def test_a_duplicate_that_comes_while_the_first_is_open_gets_its_receipt(
        self, hold: Hold, tracker: Any, calls: int
    ) -> None:
        tracker.track(a_request(), "earlier")
        first, duplicate = hold((a_request(), "key"), (a_request(), "key"), calls=calls)
        assert duplicate == first
        assert sorted([first.replayed, duplicate.replayed]) == [False, True]
        assert len(tracker.records.events()) == 2

    @needs("concurrent_writers", "open_transactions")
    def test_another_request_that_comes_while_the_first_is_open_is_refused(
        self, hold: Hold, tracker: Any
    ) -> None:
        answers = hold((a_request(data={"n": 1}), "key"), (a_request(data={"n": 2}), "key"))
        (refused,) = (a for a in answers if isinstance(a, IdempotencyKeyReuse))
        (accepted,) = (a for a in answers if isinstance(a, Receipt))
        assert refused.details == {"changedPaths": ["/data/n"], "redactedPaths": []}
        assert [event.event_id for event in tracker.records.events()] == [accepted.event_id]

    @needs("concurrent_writers", "open_transactions")
    def test_a_duplicate_of_a_first_that_fails_is_accepted_itself(
        self, hold: Hold, tracker: Any
    ) -> None:
        unknown = a_request(profile={"externalId": "unknown"})
        refused, accepted = hold((unknown, "key"), (a_request(), "key"))
        # A storage that runs the first again may let the duplicate go before it.
        assert refused.code in ("profile_email_required", "idempotency_key_reuse")
        assert not accepted.replayed
        assert [event.event_id for event in tracker.records.events()] == [accepted.event_id]

    @needs("concurrent_writers", "open_transactions", "reruns")
    @pytest.mark.parametrize(
        "who",
        [{"email": "new@example.com"}, {"email": None, "externalId": "new"}],
        ids=["email", "external-id"],
    )
    def test_two_first_events_about_one_identity_make_one_profile(
        self, hold: Hold, who: dict[str, Any]
    ) -> None:
        requests = [
            a_request(profile={name: value for name, value in who.items() if value is not None})
            for _ in range(2)
        ]
        first, second = hold((requests[0], "1"), (requests[1], "2"), create_without_email=True)
        assert first.event_id != second.event_id
        assert first.profile_id == second.profile_id

    @needs("concurrent_writers", "open_transactions")
    @pytest.mark.parametrize(
        "reentry",
        [
            {"policy": "once"},
            {"policy": "once_per_key", "key": "/event/orderId"},
            {"policy": "cooldown", "duration": "PT1H"},
            {"policy": "at_most", "times": 1, "within": "PT1H", "key": "/event/orderId"},
        ],
        ids=["once", "once-per-key", "cooldown", "at-most"],
    )
    def test_two_events_at_once_enter_a_journey_once(
        self, hold: Hold, tracker: Any, reentry: dict[str, Any]
    ) -> None:
        tracker.journeys.publish([a_journey(reentry=reentry)])
        tracker.track(a_request("other"), "earlier")
        order = a_request(data={"orderId": "A"})
        receipts = hold((order, "1"), (order, "2"), calls=2)
        assert sorted(receipt.enrolled_journeys for receipt in receipts) == [0, 1]
        assert len(tracker.enrollments.list()) == 1

    @needs("concurrent_writers", "open_transactions")
    def test_two_changes_of_one_profile_at_once_lose_neither(
        self, hold: Hold, tracker: Any
    ) -> None:
        tracker.track(a_request(), "earlier")
        first, _ = hold(
            *(
                (a_request(profile={"email": "alex@example.com", "properties": {name: 1}}), name)
                for name in ("a", "b")
            )
        )
        assert tracker.records.profile(first.profile_id).properties == {"a": 1, "b": 1}

    @needs("concurrent_writers", "open_transactions", "reruns")
    def test_a_newer_time_of_an_equal_value_is_seen_by_a_call_that_waited(
        self, hold: Hold, tracker: Any
    ) -> None:
        def plan(value: str, day: int) -> Any:
            profile = {"email": "alex@example.com", "properties": {"plan": value}}
            return a_request(profile=profile, occurredAt=f"2026-01-{day:02}T00:00:00Z")

        profile_id = tracker.track(plan("Pro", 1), "earlier").profile_id
        hold((plan("Pro", 3), "newest"), (plan("Free", 2), "older"))
        assert tracker.records.profile(profile_id).properties == {"plan": "Pro"}

    @needs("concurrent_writers", "open_transactions", "reruns")
    @pytest.mark.parametrize("day", [2, 4], ids=["older", "newer"])
    def test_an_email_that_gives_way_while_a_call_waits_leads_where_it_leads_by_then(
        self, hold: Hold, tracker: Any, day: int
    ) -> None:
        def given(email: str, day: int, **more: str) -> Any:
            profile = {"email": email, **more}
            return a_request(profile=profile, occurredAt=f"2026-01-{day:02}T00:00:00Z")

        tracker.track(given("a@x.org", 1, externalId="X"), "earlier")
        moved, found = hold(
            (given("b@x.org", 3, externalId="X"), "moves"), (given("a@x.org", day), "waits")
        )
        if moved.profile_id != found.profile_id:
            assert day > 3
        elif day > 3:
            # Where nobody waits, the call that came later may be decided, and numbered, first.
            numbers = [tracker.records.event(each.event_id).number for each in (moved, found)]
            assert numbers == [3, 2]
        assert tracker.records.profile(moved.profile_id).email == "b@x.org"

    @needs("concurrent_writers", "open_transactions")
    def test_two_events_of_one_profile_at_once_have_two_numbers(
        self, hold: Hold, tracker: Any
    ) -> None:
        tracker.track(a_request(), "earlier")
        hold((a_request(), "first"), (a_request(), "second"))
        assert sorted(event.number for event in tracker.records.events()) == [1, 2, 3]

    @needs("concurrent_writers", "open_transactions")
    def test_a_caller_waits_no_longer_than_the_bound_and_may_try_again(
        self,
        storage: Any,
        impatient_storage: Any,
        at_once: AtOnce,
        native_tracker: Callable[..., Any],
        new_tracker: Callable[..., Any],
    ) -> None:
        if impatient_storage is None:
            pytest.skip("no impatient_storage is given")
        asynchronous = is_asynchronous(storage)
        loaded, leave = Gate(asynchronous=asynchronous), Gate(asynchronous=asynchronous)

        def tap(number: int) -> Any:
            loaded.open()
            return leave.wait() if number == 1 else None

        async def holder(_: Any) -> Any:
            return await settle(native_tracker(TappedStorage(storage, tap)).track(a_request(), "k"))

        async def duplicate(_: Any) -> Any:
            await settle(loaded.wait())
            try:
                return await settle(native_tracker(impatient_storage).track(a_request(), "k"))
            finally:
                leave.open()

        first, refused = at_once([holder, duplicate])
        # A store that writes one transaction at a time is busy, whatever the keys.
        assert isinstance(refused, (IdempotencyInProgress, StorageUnavailable))
        assert new_tracker(impatient_storage).track(a_request(), "k") == first

    @needs("concurrent_writers", "open_transactions", "short_waits")
    @pytest.mark.parametrize("held", ["key", "profile"])
    def test_a_transaction_waits_no_longer_than_it_says_and_others_as_long_as_ever(
        self,
        storage: Any,
        at_once: AtOnce,
        native_tracker: Callable[..., Any],
        tracker: Any,
        held: str,
    ) -> None:
        tracker.track(a_request(), "known")
        asynchronous = is_asynchronous(storage)
        loaded, waits, leave = (Gate(asynchronous=asynchronous) for _ in range(3))
        keys = ("key", "key", "key") if held == "key" else ("first", "second", "third")
        intent = Intent(
            keys=(key_digest(DEFAULT_ORGANIZATION, keys[2]),),
            emails=("alex@example.com",),
            external_ids=(),
            events=(),
            now=tracker.records.events()[0].received_at,
            wait=0.01,
        )

        def stay(_: int) -> Any:
            loaded.open()
            return leave.wait()

        def tell(signs: int) -> None:
            if signs == 3:  # the transaction has begun, and its first call of a port begins
                waits.open()

        async def holder(_: Any) -> Any:
            held_open = native_tracker(TappedStorage(storage, stay))
            return await settle(held_open.track(a_request(), keys[0]))

        async def patient(_: Any) -> Any:
            await settle(loaded.wait())
            waiting = native_tracker(WatchedStorage(storage, tell))
            return await settle(waiting.track(a_request(), keys[1]))

        async def hurried(_: Any) -> Any:
            async def work(transaction: Any) -> Any:
                return await settle(transaction.tracking.load(DEFAULT_ORGANIZATION, intent))

            await settle(waits.wait())
            try:
                return await settle(storage.run(work if asynchronous else driven(work)))
            finally:
                leave.open()

        first, second, refused = at_once([holder, patient, hurried])
        assert isinstance(refused, (IdempotencyInProgress, StillHeld))
        assert {type(first), type(second)} == {Receipt}
        assert len(tracker.records.events()) == (2 if held == "key" else 3)

    @pytest.fixture
    def somebody_waits(self) -> SomebodyWaits | None:
        """Give a function that says whether a call waits for another one's transaction, or None."""
        return None

    @pytest.fixture
    def patience(self, somebody_waits: SomebodyWaits | None) -> Patience:
        """Give how long a call is let go on while another one's transaction is open."""
        return Patience(self.chance, somebody_waits)

    @pytest.fixture
    def hold(
        self,
        storage: Any,
        other_storage: Any,
        at_once: AtOnce,
        native_tracker: Callable[..., Any],
        patience: Patience,
    ) -> Hold:
        """Give a function that makes a second call while the first one's transaction is open.

        Each call is a request and its key, to be tracked, or a client. The first one stops after
        `calls` calls of a port, and goes on, or fails, when the second is done or waits: see
        `Overtaking`. The function returns both answers.
        """
        overtaking = Overtaking(storage, other_storage, at_once, patience)

        def run(
            first: Any, second: Any, *, calls: int = 1, fails: bool = False, **options: Any
        ) -> list[Any]:
            def new_tracker(over: Any) -> Any:
                return native_tracker(over, **options)

            return overtaking.run(
                _client(first), _client(second), new_tracker, calls=calls, fails=fails
            )

        return run


def _client(call: Any) -> Client:
    """Return a client as it is, or one that tracks a request with its key."""

    async def track(tracker: Any) -> Any:
        return await settle(tracker.track(*call))

    return track if isinstance(call, tuple) else call
