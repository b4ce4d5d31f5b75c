"""A state machine of the whole use case over a storage, compared with a model in dictionaries.

Knows which calls there are; hypothesis chooses their order and shortens what fails. Must
never look into the store: it compares what a tracker returns.

One store serves every example: each example has Organizations of its own.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from hypothesis import HealthCheck, Phase, reject, settings
from hypothesis import strategies as st
from hypothesis.control import current_build_context
from hypothesis.errors import HypothesisException
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from segmentflow_core import FingerprintKey, FingerprintKeys, SegmentflowError
from segmentflow_core.errors import ConfigurationError, LeaseLost, NotFound
from segmentflow_core.testing.builders import FixedClock
from segmentflow_core.testing.draws import (
    BLOCKS,
    CRASHES,
    JOURNEYS,
    JUMPS,
    KEYS,
    LIFTS,
    PLACES,
    REQUESTS,
)
from segmentflow_core.testing.faults import FaultyStorage, InjectedFault
from segmentflow_core.testing.model import Model, Row

__all__ = ["MACHINE_SETTINGS", "StorageMachine", "run_storage_machine"]

_LIFETIME: Final = timedelta(hours=2)
_COOLDOWN: Final = timedelta(hours=1)
_LEASE: Final = timedelta(minutes=30)
_ATTEMPTS: Final = 3
_LONG_AFTER: Final = timedelta(days=400)

_CANCELLING: Final = {
    "status": "draft",
    "trigger": {"event": "order.created"},
    "cancelOn": [{"event": "other"}],
}

_examples = itertools.count()


class StorageMachine(RuleBasedStateMachine):
    """Calls in any order, each compared with what the model says.

    Args:
        storage: the store, of either colour.
        new_tracker: makes a tracker over a storage; its calls are plain calls in either colour.
        clock: the clock of those trackers; it jumps.
    """

    compares_at_the_end = True

    def __init__(self, storage: Any, new_tracker: Callable[..., Any], clock: FixedClock) -> None:
        super().__init__()
        self._storage = storage
        self._new_tracker = new_tracker
        self._clock = clock
        self._example = next(_examples)
        self._ids: dict[tuple[str, int], str] = {}
        self._leases: list[tuple[str, int, Any]] = []
        self._sent: list[tuple[str, list[tuple[Row, str]]]] = []
        self._keys = FingerprintKeys(_fingerprint_key(0))
        records, people = self._tracker(storage).records, self._tracker(storage).people
        journeys = self._tracker(storage).journeys
        # What a storage lacks it says, whoever asks.
        cancelling = {**_CANCELLING, "id": "cancelling"}
        self._cancels = _is_offered(lambda: journeys.publish([cancelling], dry_run=True))
        pauses = _is_offered(lambda: _found(lambda: journeys.pause("nothing")))
        self._model = Model(_LIFETIME, _COOLDOWN, _ATTEMPTS, pauses=pauses)
        self._finds = _is_offered(lambda: records.profiles(limit=1))
        self._keeps_people = _is_offered(people.finish_erasures)

    # --- the calls ---------------------------------------------------------------------------

    @initialize(journeys=st.lists(JOURNEYS, min_size=2, max_size=3))
    def begin(self, journeys: list[Row]) -> None:
        """Begin with active Journeys, so that events enrol."""
        for journey in journeys:
            self.publish("a", {**journey, "status": "active"}, None)

    @rule(
        where=PLACES,
        calls=st.lists(st.tuples(REQUESTS, KEYS), min_size=1, max_size=3),
        crash=CRASHES,
    )
    def track(self, where: str, calls: list[tuple[Row, str]], crash: Any) -> None:
        """Track a batch; each key may be new, replayed, reused or refused."""
        self._sent.append((where, calls))
        of = self._organization(where)
        answers = self._call(lambda t: t.track_many(calls, organization_id=of), crash)
        if answers is None:
            return
        for (request, key), answer in zip(calls, answers, strict=True):
            expected = self._model.track(of, key, request, self._clock.now())
            if "refused" in expected:
                assert getattr(answer, "code", "accepted") == expected["refused"]
                continue
            assert not isinstance(answer, SegmentflowError), answer.code
            event = self._model.events[of, expected["event"]]
            self._pair(of, expected["event"], answer.event_id)
            self._pair(of, event["profile"], answer.profile_id)
            entered = [reason for _, _, reason in event["outcomes"]].count(None)
            matched = len(event["outcomes"])
            counts = (answer.matched_journeys, answer.enrolled_journeys, answer.skipped_journeys)
            assert counts == (matched, entered, matched - entered)
            assert answer.replayed is expected["replayed"]
        self._pair_entries(of)

    @precondition(lambda self: self._sent)
    @rule(choice=st.integers(0, 99), crash=CRASHES)
    def repeat(self, choice: int, crash: Any) -> None:
        """Send an earlier batch again, as a caller does whose answer was lost."""
        where, calls = self._sent[choice % len(self._sent)]
        self.track(where, calls, crash)

    @rule(where=PLACES, journey=JOURNEYS, crash=CRASHES)
    def publish(self, where: str, journey: Row, crash: Any) -> None:
        """Publish a Journey: a new one, a new version, or another status."""
        of = self._organization(where)
        if not self._cancels:
            journey = {name: value for name, value in journey.items() if name != "cancelOn"}
        published = self._call(lambda t: t.journeys.publish([journey], organization_id=of), crash)
        if published is not None:
            assert published[0].change == self._model.publish(of, journey)
            versions = self._model.journeys[of, journey["id"]]["versions"]
            assert published[0].journey.version == len(versions)

    @rule(crash=CRASHES)
    def purge(self, crash: Any) -> None:
        """Purge every expired key; with a limit the storage may choose which to keep."""
        count = self._call(lambda t: t.records.purge_keys(limit=100_000), crash)
        if count is not None:
            assert count == self._model.purge(self._clock.now())

    @rule(where=PLACES, limit=st.integers(1, 3), crash=CRASHES)
    def claim(self, where: str, limit: int, crash: Any) -> None:
        """Claim Enrollments."""
        of = self._organization(where)
        claimed = self._call(
            lambda t: t.enrollments.claim(
                limit=limit, lease=_LEASE, max_attempts=_ATTEMPTS, organization_id=of
            ),
            crash,
        )
        if claimed is None:
            return
        now = self._clock.now()
        order = {number: real for (place, number), real in self._ids.items() if place == of}
        expected = self._model.claim(of, order, now, now + _LEASE, limit)
        by_id = {item.enrollment.enrollment_id: item for item in claimed}
        assert sorted(by_id) == sorted(order[number] for number in expected)
        for number in expected:
            lease = by_id[order[number]].lease
            self._model.hold(of, number, lease.token)
            self._leases.append((of, number, lease))

    @precondition(lambda self: self._leases)
    @rule(choice=st.integers(0, 99), crash=CRASHES)
    def complete(self, choice: int, crash: Any) -> None:
        """Complete with a lease, held or lost."""
        of, number, lease = self._lease(choice)
        held = self._call(lambda t: _holds(t.enrollments.complete_many([lease])), crash)
        if held is not None:
            assert held is self._model.complete(of, number, lease.token)

    @precondition(lambda self: self._leases)
    @rule(choice=st.integers(0, 99), failed=st.booleans(), crash=CRASHES)
    def release(self, choice: int, failed: bool, crash: Any) -> None:
        """Give back with a lease, held or lost."""
        of, number, lease = self._lease(choice)
        said: dict[str, Any] = {"failed": failed}
        said["error"] = f"failure {choice}" if failed and choice % 2 else None
        held = self._call(
            lambda t: _holds(
                t.enrollments.release_many([lease], delay=_LEASE, max_attempts=_ATTEMPTS, **said)
            ),
            crash,
        )
        if held is not None:
            now = self._clock.now()
            assert held is self._model.release(of, number, lease.token, now, now + _LEASE, **said)

    @precondition(lambda self: self._leases)
    @rule(choice=st.integers(0, 99), crash=CRASHES)
    def extend(self, choice: int, crash: Any) -> None:
        """Extend a lease, held or lost."""
        of, number, lease = self._lease(choice)
        held = self._call(lambda t: _holds(t.enrollments.extend_many([lease], by=_LEASE)), crash)
        if held is not None:
            until = self._clock.now() + _LEASE
            assert held is self._model.extend(of, number, lease.token, until)

    @precondition(lambda self: self._leases)
    @rule(choice=st.integers(0, 99), crash=CRASHES)
    def revive(self, choice: int, crash: Any) -> None:
        """Revive an Enrollment, dead or alive."""
        of, number, lease = self._lease(choice)
        enrollment_id = lease.enrollment_id
        done = self._call(lambda t: t.enrollments.revive(enrollment_id, organization_id=of), crash)
        if done is not None:
            self._model.revive(of, number, self._clock.now())

    @precondition(lambda self: self._leases)
    @rule(choice=st.integers(0, 99), crash=CRASHES)
    def withdraw(self, choice: int, crash: Any) -> None:
        """Withdraw an Enrollment by hand, finished or not."""
        of, number, lease = self._lease(choice)
        enrollment_id = lease.enrollment_id
        done = self._call(
            lambda t: t.enrollments.withdraw(enrollment_id, organization_id=of), crash
        )
        if done is not None:
            self._model.withdraw(of, number, self._clock.now())

    @precondition(lambda self: self._keeps_people and self._model.profiles)
    @rule(choice=st.integers(0, 99), word=st.integers(0, 99), lift=LIFTS, crash=CRASHES)
    def suppress(self, choice: int, word: int, lift: bool, crash: Any) -> None:
        """Suppress a Profile or lift that, named by anything that leads to it."""
        of, number = self._profile(choice)
        who = self._word(of, number, word)
        done = self._call(
            lambda t: _found(
                lambda: (t.people.unsuppress if lift else t.people.suppress)(
                    who, organization_id=of
                )
            ),
            crash,
        )
        if done is not None:
            expected = self._model.suppress(of, number, self._clock.now(), lift=lift)
            got = None
            if done is not _NOBODY:
                got = (self._number(of, done.profile.profile_id), done.changed, done.withdrawn)
            assert got == expected

    @precondition(lambda self: self._keeps_people and self._model.profiles)
    @rule(choice=st.integers(0, 99), word=st.integers(0, 99), block=BLOCKS, crash=CRASHES)
    def erase(self, choice: int, word: int, block: bool, crash: Any) -> None:
        """Erase a person, named by anything that leads to her."""
        of, number = self._profile(choice)
        who = self._word(of, number, word)
        done = self._call(lambda t: t.people.erase(who, block=block, organization_id=of), crash)
        if done is not None:
            whose, withdrawn, blocked = self._model.erase(
                of, number, self._clock.now(), block=block
            )
            assert {self._number(of, each) for each in done.profile_ids} == whose
            assert (done.withdrawn, done.blocked) == (withdrawn, blocked)

    @precondition(lambda self: self._keeps_people and self._model.profiles)
    @rule(
        choices=st.tuples(st.integers(0, 99), st.integers(0, 99)),
        words=st.tuples(st.integers(0, 99), st.integers(0, 99)),
        crash=CRASHES,
    )
    def merge(self, choices: tuple[int, int], words: tuple[int, int], crash: Any) -> None:
        """Merge two Profiles, or one with itself, named by anything that leads to them."""
        of, stays = self._profile(choices[0])
        own = [number for place, number in self._model.profiles if place == of]
        goes = own[choices[1] % len(own)]
        who = [self._word(of, *each) for each in zip((stays, goes), words, strict=True)]
        done = self._call(lambda t: _found(lambda: t.people.merge(*who, organization_id=of)), crash)
        if done is not None:
            order = {number: real for (place, number), real in self._ids.items() if place == of}
            expected = self._model.merge(of, stays, goes, order, self._clock.now())
            got = None
            if done is not _NOBODY:
                got = (self._number(of, done.profile.profile_id), done.changed, done.withdrawn)
            assert got == expected

    @rule(jump=st.sampled_from(JUMPS))
    def jump(self, jump: timedelta) -> None:
        """Let the clock jump, now and then backwards."""
        self._clock.advance(seconds=jump.total_seconds())

    @rule()
    def rotate(self) -> None:
        """Make a new fingerprint key the current one."""
        earlier = (self._keys.current, *self._keys.previous)
        self._keys = FingerprintKeys(_fingerprint_key(len(earlier)), earlier)

    @rule(where=PLACES)
    def look(self, where: str) -> None:
        """Read everything and compare it."""
        self._compare(self._organization(where))

    def teardown(self) -> None:
        """Compare everything at the end; purge every key, so that no other example counts it."""
        try:
            if self.compares_at_the_end and sys.exc_info()[0] is None:
                for where in ("a", "b"):
                    self._compare(self._organization(where))
        finally:
            self._clock.advance(seconds=_LONG_AFTER.total_seconds())
            self._tracker(self._storage).records.purge_keys(limit=100_000)

    # --- comparing ---------------------------------------------------------------------------

    def _compare(self, of: str) -> None:
        tracker = self._tracker(self._storage)
        model, where = self._model, {"organization_id": of}
        events = {
            (e.event_id, self._ids[of, row["profile"]]): row
            for (place, number), row in model.events.items()
            if place == of
            for e in [tracker.records.event(self._ids[of, number], **where)]
            if _agrees(e, row)
        }
        listed = tracker.records.events(limit=10_000, **where)
        assert {(event.event_id, event.profile_id) for event in listed} == set(events)
        for (place, number), profile in model.profiles.items():
            if place == of:
                stored = tracker.records.profile(self._ids[of, number], **where)
                if profile["merged_into"] is None:
                    self._compare_profile(of, stored, profile)
                else:
                    assert self._number(of, stored.profile_id) in {
                        each
                        for (place, each), row in model.profiles.items()
                        if place == of and number in {gone for gone, _ in row["merged"]}
                    }
        assert [
            (journey.journey_id, journey.version, journey.definition.status)
            for journey in tracker.journeys.list(**where)
        ] == [
            (journey_id, len(journey["versions"]), journey["status"])
            for (place, journey_id), journey in sorted(model.journeys.items())
            if place == of
        ]
        entries = {e.enrollment_id: e for e in tracker.enrollments.list(limit=10_000, **where)}
        expected = {self._ids[at]: row for at, row in model.entries.items() if at[0] == of}
        assert set(entries) == set(expected)
        for enrollment_id, row in expected.items():
            entry = entries[enrollment_id]
            assert (entry.journey_id, entry.version, entry.status, entry.attempts) == (
                row["journey"],
                row["version"],
                row["status"],
                row["attempts"],
            )
            assert (entry.entered_at, entry.lease_until, entry.last_failure) == (
                row["entered"],
                row["until"],
                row["failure"],
            )
            assert entry.withdrawn_at == row["withdrawn"]
            cancelled = row["cancelled"]
            assert entry.cancelled_by == (None if cancelled is None else self._ids[of, cancelled])
        for event in listed:
            number = self._number(of, event.event_id)
            told = {(self._number(of, each.enrollment_id), each.marked) for each in event.withdrew}
            assert told == model.events[of, number]["withdrew"]

    def _compare_profile(self, of: str, stored: Any, row: Row) -> None:
        assert (stored.email, stored.external_id) == (row["email"], row["external_id"])
        assert set(stored.former_emails) == set(row["emails"]) - {row["email"]}
        assert {(alias.kind, alias.value) for alias in stored.aliases} == row["aliases"]
        merged = [(self._number(of, each.profile_id), each.before) for each in stored.merged]
        assert merged == row["merged"]
        assert (stored.suppressed_at, stored.erased_at) == (row["suppressed"], row["erased"])
        assert (stored.scrubbed_at is None) is (row["erased"] is None)
        assert _shown(stored.properties) == _shown(row["properties"])
        assert (stored.number, stored.version) == (row["count"], row["version"])

    def _call(self, call: Callable[[Any], Any], crash: Any) -> Any:
        """Make a call and return its result; None where it crashed."""
        if crash is None:
            return call(self._tracker(self._storage))
        fail_at, after = crash
        try:
            return call(self._tracker(FaultyStorage(self._storage, fail_at, after=after)))
        except InjectedFault:
            return None

    def _tracker(self, over: Any) -> Any:
        return self._new_tracker(over, fingerprint_key=self._keys, key_lifetime=_LIFETIME)

    def _organization(self, where: str) -> str:
        return f"example {self._example} {where}"

    def _lease(self, choice: int) -> tuple[str, int, Any]:
        return self._leases[choice % len(self._leases)]

    def _profile(self, choice: int) -> tuple[str, int]:
        """Return one of the Profiles that there are, those that have ended included."""
        known = [*self._model.profiles]
        return known[choice % len(known)]

    def _word(self, of: str, number: int, choice: int) -> str:
        """Return the id of a Profile, or something else that leads to it."""
        row = self._model.profiles[of, number]
        words = [row["email"], row["external_id"], *sorted(value for _, value in row["aliases"])]
        leading: list[str] = [self._ids[of, number], *(word for word in words if word is not None)]
        return leading[choice % len(leading)] if self._finds else leading[0]

    def _number(self, of: str, real: str) -> int:
        (number,) = (at[1] for at, known in self._ids.items() if (at[0], known) == (of, real))
        return number

    def _pair(self, of: str, number: int, real: str) -> None:
        """Note that the model's number and the storage's id name one row, and no other."""
        assert self._ids.setdefault((of, number), real) == real
        assert [at for at, known in self._ids.items() if known == real] == [(of, number)]

    def _pair_entries(self, of: str) -> None:
        """Find the ids of new Enrollments; for an event and a Journey there is exactly one."""
        new = {
            (self._ids[of, row["event"]], row["journey"]): number
            for (place, number), row in self._model.entries.items()
            if place == of and (of, number) not in self._ids
        }
        if new:
            tracker = self._tracker(self._storage)
            for entry in tracker.enrollments.list(limit=10_000, organization_id=of):
                number = new.pop((entry.event_id, entry.journey_id), None)
                if number is not None:
                    self._pair(of, number, entry.enrollment_id)
            assert not new, "an Enrollment is missing"


MACHINE_SETTINGS: Final = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    report_multiple_bugs=False,
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""The default: how many histories, of how many calls, are tried; they take about a second."""


_SHRINKING: Final = 15.0
"""For how many seconds a failure is made shorter; the shortest by then is shown."""


_FOUND_AND_RUN_AGAIN: Final = 2


class _Shrinking:
    """Says when a failure is short enough, since nobody waits for the shortest of all.

    Hypothesis runs the first failure again before it makes it shorter, and the shortest again
    before it shows it: both must fail again.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._failures = 0
        self._deadline: float | None = None

    def note_failure(self) -> None:
        """Note a failure; time starts when the first one was run again."""
        self._failures += 1
        if self._failures == _FOUND_AND_RUN_AGAIN + 1:
            self._deadline = time.monotonic() + self._seconds

    @property
    def is_over(self) -> bool:
        """Whether no other sequence may fail; the one that is shown in the end still does."""
        over = self._deadline is not None and time.monotonic() >= self._deadline
        return over and not current_build_context().is_final


def run_storage_machine(
    storage: Any,
    new_tracker: Callable[..., Any],
    clock: FixedClock,
    options: settings = MACHINE_SETTINGS,
    *,
    shrinking: float = _SHRINKING,
) -> None:
    """Run the machine on a store; a failure shows the shortest sequence of calls that was found.

    Args:
        storage: an empty store of either colour.
        new_tracker: makes a tracker over a storage; its calls are plain calls in either colour.
        clock: the clock of those trackers.
        options: hypothesis' settings, to try more or longer histories.
        shrinking: seconds for which a failure is made shorter.
    """
    time_left = _Shrinking(shrinking)

    class OnThisStore(StorageMachine):
        def __init__(self) -> None:
            super().__init__(storage, new_tracker, clock)

        def teardown(self) -> None:
            raised = sys.exc_info()[1]
            failed = isinstance(raised, Exception) and not isinstance(raised, HypothesisException)
            if failed:
                time_left.note_failure()
            over = time_left.is_over
            self.compares_at_the_end = not over
            super().teardown()
            if over and failed:
                # Its draws count as they were: only what became of them is left out.
                reject()

    run_state_machine_as_test(OnThisStore, settings=options)


def _fingerprint_key(number: int) -> FingerprintKey:
    return FingerprintKey(f"key {number}", f"secret number {number:032}".encode())


def _is_offered(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ConfigurationError:
        return False
    return True


_NOBODY: Final = object()


def _found(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or `_NOBODY` where it finds nobody."""
    try:
        return call()
    except NotFound:
        return _NOBODY


def _holds(answers: list[Any]) -> bool:
    (answer,) = answers
    assert not isinstance(answer, SegmentflowError) or isinstance(answer, LeaseLost)
    return not isinstance(answer, LeaseLost)


def _agrees(event: Any, row: Row) -> bool:
    assert (event.event, event.occurred_at, event.received_at) == (
        row["event"],
        row["occurred"],
        row["received"],
    )
    assert (event.number, event.profile_version) == (row["place"], row["version"])
    for name in ("email", "externalId"):
        assert event.profile.get(name) == row["left"].get(name)
    assert _shown(event.profile["properties"]) == _shown(row["left"]["properties"])
    assert _shown(event.data) == _shown(row["data"])
    outcomes = [(outcome.journey_id, outcome.version, outcome.reason) for outcome in event.outcomes]
    assert outcomes == row["outcomes"]
    return True


def _shown(value: Any) -> list[tuple[str, str]]:
    """Make properties comparable so that 1, 1.0 and True differ, as they do in JSON."""
    return sorted((name, repr(item)) for name, item in value.items())
