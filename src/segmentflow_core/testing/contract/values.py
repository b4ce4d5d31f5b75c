"""Every value of every field of every record, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses. The fields come from the records
themselves: a new one is tried from the day it is there.

See docs/reference/rules/storage.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from segmentflow_core.ports import (
    Enrollment,
    EnrollmentStatus,
    Journey,
    JourneyStatus,
    KeyClaim,
    Profile,
    ProfileVersion,
    SkipReason,
    UserEvent,
)
from segmentflow_core.testing import specimens
from segmentflow_core.testing.builders import FixedClock
from segmentflow_core.testing.contract.comparing import check_same, exact
from segmentflow_core.testing.contract.doors import Batch, Doors, batch_of
from segmentflow_core.testing.contract.entries import enrol
from segmentflow_core.testing.facts import Facts, facts_of, records_within, values_of

__all__ = ["OF_PEOPLE", "RECORDS", "ValueContract"]

RECORDS: Final = (KeyClaim, Profile, ProfileVersion, UserEvent, Enrollment, Journey)
"""The records that tracking and publishing write."""

OF_PEOPLE: Final = (
    *("aliases", "merged", "merged_into", "suppressed_at", "erased_at", "scrubbed_at"),
)
"""What no event writes of a Profile: see `people`."""

FACTS: Final[Mapping[str, tuple[Facts, ...]]] = {
    fact: tried
    for fact, tried in values_of(
        *(inner for record in RECORDS for inner in records_within(record))
    ).items()
    if fact not in OF_PEOPLE
}
CHANGING: Final = (
    *("email", "external_id", "properties", "removed", "set_at", "updated_at", "number"),
    *("given_at", "former_emails"),
)
"""What a later event changes of a Profile. Its version follows."""

_IDS: Final = ("event_id", "profile_id", "enrollment_id", "key_digest")
_STEP: Final = timedelta(microseconds=7)
_LAST: Final = datetime(9999, 1, 1, tzinfo=UTC)


class ValueContract:
    """What is read is what was written, one test for each fact that records tell."""

    @pytest.mark.parametrize("fact", FACTS)
    def test_every_value_of_every_field_comes_back_as_it_was(
        self, new_tracker: Callable[..., Any], doors: Doors, fact: str
    ) -> None:
        """Whichever port returns it, alone or among others, and with what looks alike beside it."""
        written: dict[Any, list[Batch]] = {}
        for number, values in enumerate(FACTS[fact]):
            facts = _facts(fact, number, values)
            # The keys of one batch expire at one instant.
            at = (facts["organization_id"], facts["expires_at"])
            written.setdefault(at, []).append(batch_of(facts))
        stored: dict[str, list[Batch]] = {}
        for (organization_id, _), batches in written.items():
            doors.write(organization_id, *batches)
            stored.setdefault(organization_id, []).extend(batches)
        tracker = new_tracker(clock=FixedClock(_LAST))
        for organization_id, batches in stored.items():
            doors.check(organization_id, batches)
            _check_claimed(tracker, organization_id, batches)

    def test_every_value_comes_back_that_was_written_by_a_call_of_its_own(
        self, doors: Doors
    ) -> None:
        """Each event has another value of every fact, as long as there are any."""
        # A window ends after it starts, so it has one of its ends.
        apart = (*_IDS, "organization_id", "matched", "enrolled", "ends_at")
        together = {fact: tried for fact, tried in FACTS.items() if fact not in apart}
        batches: list[Batch] = []
        for number in range(max(map(len, together.values()))):
            known = {
                fact: tried[number][fact] for fact, tried in together.items() if number < len(tried)
            }
            batches.append(batch_of(facts_of(number, **known)))
            doors.write("default", batches[-1])
        doors.check("default", batches, one_by_one=False)

    def test_every_text_may_be_as_long_as_it_may_be_at_once(self, doors: Doors) -> None:
        """Two records whose longest texts, of four bytes a character, differ in their last one."""
        longest = (specimens.LONGEST, specimens.LONGEST[:-1] + "\U0001f601")
        texts = [fact for fact, tried in FACTS.items() if {fact: longest[0]} in tried]
        assert {"organization_id", "external_id", "journey_id", "event"} <= {*texts}
        organization_id = longest[0]
        batches = [
            batch_of(facts_of(number, **dict.fromkeys(texts, text)))
            for number, text in enumerate(longest)
        ]
        for batch in batches:
            doors.write(organization_id, batch)
        doors.check(organization_id, batches)

    @pytest.mark.parametrize("fact", CHANGING)
    def test_every_field_of_a_profile_may_change_to_every_value(
        self, doors: Doors, fact: str
    ) -> None:
        """What its earlier event says of it stays as it was."""
        befores: list[Batch] = []
        afters: list[Batch] = []
        for number, values in enumerate(FACTS[fact]):
            if values[fact] is not None:
                facts = facts_of(number)
                befores.append(batch_of(facts))
                afters.append(batch_of(_changed(facts, number, fact, values[fact])))
        doors.write("default", *befores)
        # One alone, and the others in one batch.
        doors.rewrite("default", befores[:1], afters[:1])
        doors.rewrite("default", befores[1:], afters[1:])
        doors.check_profiles("default", befores, afters)

    @pytest.mark.parametrize("moment", specimens.INSTANTS, ids=datetime.isoformat)
    def test_what_the_hand_over_writes_comes_back_at_every_instant(
        self, new_tracker: Callable[..., Any], moment: datetime
    ) -> None:
        clock = FixedClock(min(moment, _LAST))
        enrollments = new_tracker(clock=clock).enrollments
        (identifier,) = enrol(new_tracker(clock=clock), 1)

        def check(returned: Enrollment, **expected: Any) -> None:
            empty = dict.fromkeys(("lease_until", "completed_at", "last_failure"))
            expected = {**empty, **expected}
            assert {name: exact(getattr(returned, name)) for name in expected} == exact(expected)
            listed = [*enrollments.list(), *enrollments.list(status=expected["status"])]
            read = [enrollments.get(identifier), *listed]
            assert [exact(each) for each in read] == [exact(returned)] * 3

        entered = enrollments.get(identifier)
        check(entered, status=EnrollmentStatus.PENDING, available_at=clock.now(), attempts=0)
        (claimed,) = enrollments.claim(lease=_STEP)
        end = clock.now() + _STEP
        leased = {"status": EnrollmentStatus.CLAIMED, "token": claimed.lease.token}
        check(claimed.enrollment, **leased, available_at=end, lease_until=end, attempts=1)
        extended = enrollments.extend(claimed.lease, by=3 * _STEP)
        end = clock.now() + 3 * _STEP
        check(extended, **leased, available_at=end, lease_until=end, attempts=1)
        back = enrollments.release(claimed.lease, delay=_STEP, error="first")
        end, said = clock.now() + _STEP, {"last_failure": "first"}
        given_back = leased | said | {"status": EnrollmentStatus.PENDING}
        check(back, **given_back, available_at=end, attempts=1)
        assert enrollments.release(claimed.lease, error="too late") == back
        clock.advance(microseconds=7)
        (claimed,) = enrollments.claim(lease=_STEP)
        end = clock.now() + _STEP
        leased = {"status": EnrollmentStatus.CLAIMED, "token": claimed.lease.token} | said
        check(claimed.enrollment, **leased, available_at=end, lease_until=end, attempts=2)
        dead = enrollments.release(claimed.lease, max_attempts=2)
        check(dead, status=EnrollmentStatus.DEAD, available_at=clock.now(), attempts=2, **said)
        clock.advance(microseconds=1)
        revived = enrollments.revive(identifier)
        pending = {"status": EnrollmentStatus.PENDING, "token": None}
        check(revived, **pending, available_at=clock.now(), attempts=0)
        (claimed,) = enrollments.claim(lease=_STEP)
        enrollments.release(claimed.lease, error="last")
        (claimed,) = enrollments.claim(lease=_STEP)
        clock.advance(microseconds=1)
        done = enrollments.complete(claimed.lease)
        token = claimed.lease.token
        completed = {"status": EnrollmentStatus.COMPLETED, "completed_at": clock.now()}
        check(done, **completed, token=token, attempts=2)

    def test_every_failure_in_words_comes_back(self, tracker: Any) -> None:
        enrollments = tracker.enrollments
        (identifier,) = enrol(tracker, 1)
        for words in specimens.FAILURES:
            (claimed,) = enrollments.claim(max_attempts=100)
            back = enrollments.release(claimed.lease, max_attempts=100, error=words)
            assert back.last_failure == words
            assert enrollments.get(identifier) == back


def _facts(fact: str, number: int, values: Facts) -> Facts:
    """Return the facts of an event; every Organization has the same ids, and other data."""
    if fact != "organization_id":
        return facts_of(number, **values)
    own = {"n": number}
    return facts_of(0, **values, data=own, properties=own, paths={"/data/n": f"{number}"})


def _changed(before: Facts, number: int, fact: str, value: Any) -> Facts:
    """Return the facts of the event that changes one fact of a Profile."""
    fresh = facts_of(1_000 + number)
    others = {name: fresh[name] for name in ("event_id", "enrollment_id", "key_digest", "data")}
    others |= {"number": 2, "reason": SkipReason.ALREADY_ENROLLED, fact: value}
    after = {**before, **others}
    if fact in ("email", "external_id", "properties"):
        after["version"] = 2
    if fact == "email":
        after["former_emails"] = {before["email"]: before["given_at"]}
    if fact == "number":
        after["number"] = value + 1
    return after


def _check_claimed(tracker: Any, organization_id: str, batches: list[Batch]) -> None:
    """A worker is given each event as it was written, too; of an active Journey it must be."""
    claimed = tracker.enrollments.claim(organization_id=organization_id, limit=1000)
    events = {c.enrollment.enrollment_id: exact(c.event) for c in claimed}
    available = {
        batch.enrollment.enrollment_id: batch
        for batch in batches
        if batch.enrollment is not None and not _is_late(batch.enrollment)
    }
    active = JourneyStatus.ACTIVE
    must = {name for name, b in available.items() if b.journey.definition.status is active}
    assert must <= events.keys()
    check_same(events, {name: exact(available[name].event) for name in events})


def _is_late(enrollment: Enrollment) -> bool:
    return enrollment.available_at is not None and enrollment.available_at > _LAST
