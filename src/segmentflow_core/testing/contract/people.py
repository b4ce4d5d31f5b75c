"""Profiles that are suppressed, erased and merged, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses; `hold` is that of `overlaps`. What becomes of
whom is the core's: here is what a store keeps, locks, takes away and finds.

See docs/reference/rules/people.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest
from attrs import evolve

from segmentflow_core.colour import settle
from segmentflow_core.domain.people import identities_of
from segmentflow_core.errors import (
    IdentityBlocked,
    IdentityConflict,
    LeaseLost,
    NotFound,
    SegmentflowError,
)
from segmentflow_core.ports import (
    FINISHED_STATUSES,
    KEY_SEPARATOR,
    Alias,
    EnrollmentStatus,
    EventFilter,
    IdentityKind,
    PriorEntries,
    Probe,
    Profile,
    key_digest,
)
from segmentflow_core.testing import specimens
from segmentflow_core.testing.builders import FixedClock, a_journey, a_request
from segmentflow_core.testing.callers import AtOnce, Client
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.comparing import exact
from segmentflow_core.testing.contract.doors import Batch, Doors, batch_of
from segmentflow_core.testing.contract.overlaps import Hold
from segmentflow_core.testing.contract.reading import everything
from segmentflow_core.testing.contract.values import OF_PEOPLE
from segmentflow_core.testing.facts import Facts, facts_of, values_of
from segmentflow_core.testing.faults import FaultyStorage, InjectedFault
from segmentflow_core.testing.overtaking import FAILED
from segmentflow_core.usecases.audit import Actor
from segmentflow_core.usecases.people import begin_erasure
from segmentflow_core.wire import event_document, profile_document

__all__ = ["PeopleContract", "PeopleRaceContract"]

_FACTS: Final[Mapping[str, tuple[Facts, ...]]] = {
    fact: tried for fact, tried in values_of(Profile).items() if fact in OF_PEOPLE
}
_LAST: Final = datetime(9999, 1, 1, tzinfo=UTC)
_ONCE: Final = {"policy": "once"}
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
_BY_ORDER: Final = {"policy": "once_per_key", "key": "/event/orderId"}
_NOBODY: Final = "019bf964-302b-7000-8000-00000000dead"
_VERBS: Final[dict[str, Callable[[Any, str, str], Any]]] = {
    "suppress": lambda people, one, _: people.suppress(one),
    "erase": lambda people, one, _: people.erase(one),
    "merge": lambda people, one, other: people.merge(other, one),
}
"""What is done to the first of two Profiles."""


class PeopleContract:
    """What a host does to people, one test for each promise."""

    # --- values and look-ups -----------------------------------------------------------------

    @needs("people")
    @pytest.mark.parametrize("fact", _FACTS)
    def test_what_a_host_changes_of_a_profile_comes_back_as_it_was_written(
        self, doors: Doors, fact: str
    ) -> None:
        """Whichever port returns it; no event comes with the change, and no other number."""
        befores: list[Batch] = []
        afters: list[Batch] = []
        for number, values in enumerate(_FACTS[fact]):
            befores.append(batch_of(facts_of(number)))
            afters.append(batch_of(facts_of(number, **values, version=2)))
        doors.write("default", *befores)
        doors.write("acme", *befores)
        doors.change("default", befores, afters)
        for before, after in zip(befores, afters, strict=True):
            profile = after.profile
            (locked,) = doors.ask("people", "lock", "default", [profile.profile_id])
            got = doors.ask("profiles", "get", "default", profile.profile_id)
            assert [exact(locked), exact(got)] == [exact(profile)] * 2
            unchanged = doors.ask("events", "get", "default", before.event.event_id)
            assert exact(unchanged) == exact(before.event)
            for identity, found in doors.led_to("default", identities_of(profile)).items():
                own = [each for each in found if each.profile_id == profile.profile_id]
                assert exact(own) == exact([profile]), identity.kind
        for before in befores:
            (kept,) = doors.ask("people", "lock", "acme", [before.profile.profile_id])
            assert exact(kept) == exact(before.profile)
        ids = sorted(batch.profile.profile_id for batch in befores)
        many = doors.ask("people", "lock", "default", [*ids, specimens.IDS[-1]])
        assert sorted(each.profile_id for each in many) == ids
        # What leads to the one is free again once it leads there no more.
        backs = [
            evolve(
                batch,
                profile=evolve(batch.profile, version=3),
                version=evolve(batch.version, version=3),
            )
            for batch in befores
        ]
        doors.change("default", afters, backs)
        for before, after in zip(befores, afters, strict=True):
            external_ids = [a for a in after.profile.aliases if a.kind is IdentityKind.EXTERNAL_ID]
            assert not any(doors.led_to("default", external_ids).values())
            for each in after.profile.aliases if doors.offers("finding") else ():
                found = doors.ask("finding", "profile", "default", each.kind, each.value)
                assert found is None
            got = doors.ask("profiles", "get", "default", before.profile.profile_id)
            assert exact(got) == exact(evolve(before.profile, version=got.version))

    @needs("people")
    def test_an_alias_moves_in_one_write_from_the_profile_that_had_it(self, doors: Doors) -> None:
        """And an own identity becomes the other one's alias, as a merge does it."""
        alias = Alias(IdentityKind.EXTERNAL_ID, "was-an-alias")
        goes, stays = batch_of(facts_of(1, aliases=(alias,))), batch_of(facts_of(2))
        doors.write("default", batch_of(facts_of(1)), stays)
        doors.change("default", [batch_of(facts_of(1))], [goes])
        aliases = (
            Alias(IdentityKind.EMAIL, str(goes.profile.email)),
            Alias(IdentityKind.EXTERNAL_ID, str(goes.profile.external_id)),
            alias,
        )
        gone = batch_of(facts_of(1, email=None, external_id=None, properties={}, version=2))
        kept = batch_of(facts_of(2, aliases=aliases, version=2))
        doors.change("default", [goes, stays], [gone, kept])
        for found in doors.led_to("default", aliases).values():
            assert exact(found) == exact([kept.profile])

    @needs("people")
    def test_unfinished_enrollments_are_those_that_wait_are_claimed_or_dead(
        self, tracker: Any, doors: Doors
    ) -> None:
        tracker.journeys.publish([a_journey()])
        ids: dict[str, str] = {}
        for number in range(12):
            who = {"email": f"{number % 3}@example.com"}
            receipt = tracker.track(a_request(profile=who), f"{number}")
            ids[who["email"]] = receipt.profile_id
            tracker.track(a_request(profile=who), f"{number}", organization_id="acme")
        leases = [claimed.lease for claimed in tracker.enrollments.claim(limit=9)]
        tracker.enrollments.complete_many(leases[:3])
        tracker.enrollments.release_many(leases[3:6], max_attempts=1)
        tracker.people.suppress(ids["2@example.com"])
        asked = sorted([ids["0@example.com"], ids["2@example.com"], _NOBODY])
        tracker.track(a_request(profile={"email": "0@example.com"}), "last")
        every = tracker.enrollments.list(limit=100)
        statuses = {entry.status for entry in every if entry.profile_id in asked}
        assert statuses == {*EnrollmentStatus}
        wanted = {
            entry.enrollment_id: entry
            for entry in every
            if entry.profile_id in asked and entry.status not in FINISHED_STATUSES
        }
        found = [*doors.ask("people", "unfinished", "default", asked)]
        assert exact({entry.enrollment_id: entry for entry in found}) == exact(wanted)
        assert len(found) == len(wanted)
        assert not [*doors.ask("people", "unfinished", "default", [_NOBODY])]

    @needs("people")
    def test_what_is_withdrawn_is_so_at_every_instant_and_handed_over_no_more(
        self, new_tracker: Callable[..., Any]
    ) -> None:
        for number, moment in enumerate(specimens.INSTANTS):
            clock = FixedClock(min(moment, _LAST))
            tracker = new_tracker(clock=clock)
            of = {"organization_id": f"{number}"}
            tracker.journeys.publish([a_journey()], **of)
            receipts = [tracker.track(a_request(), f"{n}", **of) for n in range(2)]
            (claimed,) = tracker.enrollments.claim(limit=1, lease=timedelta(seconds=9), **of)
            done = tracker.people.suppress(receipts[0].profile_id, **of)
            assert (done.withdrawn, done.profile.suppressed_at) == (2, clock.now())
            entries = tracker.enrollments.list(status=EnrollmentStatus.WITHDRAWN, **of)
            assert [exact(each.withdrawn_at) for each in entries] == [exact(clock.now())] * 2
            assert [each.lease_until for each in entries] == [None] * 2
            clock.advance(seconds=10)
            assert tracker.enrollments.claim(limit=10, **of) == []
            with pytest.raises(LeaseLost):
                tracker.enrollments.complete(claimed.lease)
            assert tracker.enrollments.list(**of) == entries

    @needs("people")
    def test_blocked_identities_are_told_apart_by_organization_kind_and_value(
        self, doors: Doors
    ) -> None:
        emails = [Alias(IdentityKind.EMAIL, each) for each in sorted(specimens.EMAILS)]
        names = [Alias(IdentityKind.EXTERNAL_ID, each) for each in sorted(specimens.NAMES)]
        # An external id that looks like an email is not the email.
        names += [Alias(IdentityKind.EXTERNAL_ID, each.value) for each in emails[1::2]]
        written = batch_of(facts_of(0))
        doors.write("default", written)
        blocked = [*emails[::2], *names[::2]]

        def block(identities: list[Alias]) -> None:
            doors.ask("people", "block", "default", written.profile.profile_id, identities)

        block(blocked)
        block(sorted(blocked[:3], key=lambda each: (each.kind, each.value)))

        def known(organization_id: str, **more: Any) -> Any:
            return doors.load(
                organization_id,
                emails=tuple(sorted(each.value for each in emails)),
                external_ids=tuple(sorted({each.value for each in names})),
                **more,
            ).blocked

        assert {*known("default")} == {*blocked}
        assert {*known("default", keys=(written.claim.key_digest,))} == {*blocked}
        assert not known("acme")
        assert not known("Default")

    # --- erasing -----------------------------------------------------------------------------

    @needs("people")
    def test_scrubbing_is_bounded_takes_all_that_says_something_and_nothing_else(
        self,
        tracker: Any,
        doors: Doors,
        in_transaction: Callable[[Any], Any],
        clock: FixedClock,
    ) -> None:
        """Of a person of many versions, with another one of the same values beside her."""
        few = {**_BY_ORDER, "policy": "at_most", "times": 50, "within": "P30D"}
        tracker.journeys.publish(
            [a_journey("order", reentry=_BY_ORDER), a_journey("few", reentry=few), a_journey()]
        )
        her, him = _two_of_the_same_values(tracker, clock)
        # Both have failures that say something: of what waits, and of what is dead.
        for claimed in tracker.enrollments.claim(limit=100):
            tracker.enrollments.release(claimed.lease, error="canary", max_attempts=1)
        events = {event.event_id: event for event in tracker.records.events(limit=100)}
        entries = {each.enrollment_id: each for each in tracker.enrollments.list(limit=100)}
        elsewhere = everything(tracker, "acme")
        actor = Actor(None, clock.now(), specimens.an_id(2**90))

        async def begin(transaction: Any) -> Any:
            return await begin_erasure(
                transaction, organization_id="default", who=her, block=False, actor=actor
            )

        assert in_transaction(begin).profile_ids == (her,)
        assert [*doors.ask("people", "unscrubbed", "default", 10)] == [her]
        assert not [*doors.ask("people", "unscrubbed", "default", 0)]
        assert not [*doors.ask("people", "unscrubbed", "acme", 10)]
        counts: list[int] = []
        while not counts or counts[-1]:
            counts.append(doors.ask("people", "scrub", "default", her, 3))
            assert len(counts) < 100
        # Each table may have its own bound.
        assert max(counts) <= 12
        assert len(counts) > 3
        assert [*doors.ask("people", "unscrubbed", "default", 10)] == [her]
        nothing: dict[str, Any] = {"data": {}, "reference_id": None, "profile": {"properties": {}}}
        for event_id, before in events.items():
            expected = evolve(before, **nothing) if before.profile_id == her else before
            many = doors.ask("events", "get_many", "default", [event_id])
            for after in (doors.ask("events", "get", "default", event_id), many[event_id]):
                assert exact(after) == exact(expected)
        _check_what_claims_and_references_tell(doors, her, him)
        for entry in tracker.enrollments.list(limit=100):
            kept = entries[entry.enrollment_id]
            if entry.profile_id == her:
                assert entry.status is EnrollmentStatus.WITHDRAWN
                assert entry.token is None
                changed = {
                    name: getattr(entry, name) for name in ("status", "withdrawn_at", "token")
                }
                kept = evolve(kept, **changed, entry_key=None, last_failure=None)
            assert exact(entry) == exact(kept)
        for entry in entries.values():
            # The key that it is kept with, and the one that it was made with.
            keys = {entry.entry_key, (entry.entry_key or "").partition(KEY_SEPARATOR)[0] or None}
            for key, since in product(keys, (None, _LONG_AGO)):
                probe = Probe(entry.journey_id, entry.profile_id, key, None, since)
                (answer,) = doors.ask("tracking", "prior_entries", "default", [probe]).values()
                assert isinstance(answer, PriorEntries)
                known = key is not None and entry.profile_id == him
                assert answer.key_taken is known
                assert (answer.count > 0) is (since is not None and (key is None or known))
        for who, profile_id in (("her", her), ("him", him)):
            for number in range(8):
                # Another body: hers is answered all the same, and his is a conflict.
                other = a_request(profile={"email": "else@example.com"}, data={"n": number})
                answer = tracker.track_many([(other, f"{who} {number}")])[0]
                if who == "her":
                    assert (answer.profile_id, answer.replayed) == (profile_id, True)
                else:
                    assert answer.code == "idempotency_key_reuse"
        assert everything(tracker, "acme") == elsewhere

    @needs("people")
    def test_an_erased_person_is_in_nothing_that_is_read_and_her_retries_bring_nothing_back(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """What she was merged with is she, too; another Organization keeps the same person."""
        tracker.journeys.publish([a_journey(reentry=_BY_ORDER)])
        tracker.journeys.publish([a_journey()], organization_id="acme")
        requests = [
            a_request(
                profile={
                    "email": f"canary{number % 4}@example.com",
                    "externalId": f"canary {number % 2}",
                    "properties": {f"canary {number}": "canary"},
                },
                data={"orderId": f"canary {number}"},
                referenceId=f"canary {number}",
            )
            for number in range(6)
        ]
        for number, request in enumerate(requests):
            tracker.track(request, f"canary {number}", organization_id="acme")
            clock.advance(seconds=1)
        there = everything(tracker, "acme")
        receipts = [tracker.track(request, f"{n}") for n, request in enumerate(requests)]
        counts = [(r.matched_journeys, r.enrolled_journeys) for r in receipts]
        stays, goes = receipts[0].profile_id, receipts[1].profile_id
        tracker.people.merge(stays, goes)
        erased = tracker.people.erase(goes, block=True)
        assert (erased.profile_id, erased.profile_ids) == (stays, tuple(sorted((stays, goes))))
        # Two external ids and four emails; two of those gave way.
        assert (erased.withdrawn, erased.blocked) == (6, 6)
        told = [event_document(event) for event in tracker.records.events(limit=100)]
        told += [profile_document(tracker.records.profile(each)) for each in (stays, goes)]
        told += [exact(tracker.records.profile(stays)), exact(tracker.records.profile(goes))]
        told += [exact(entry) for entry in tracker.enrollments.list(limit=100)]
        assert "canary" not in json.dumps(told)
        again = [tracker.track(request, f"{n}") for n, request in enumerate(requests)]
        assert again == receipts
        assert all(receipt.replayed for receipt in again)
        assert [(r.matched_journeys, r.enrolled_journeys) for r in again] == counts
        for number, request in enumerate(requests):
            for who in (
                {"email": request["profile"]["email"]},
                {"email": "new@example.com", "externalId": request["profile"]["externalId"]},
            ):
                with pytest.raises(IdentityBlocked):
                    tracker.track(a_request(profile=who), f"new {number}")
        assert len(tracker.records.events(limit=100)) == 6
        twice = tracker.people.erase(stays, block=True)
        assert (twice.withdrawn, twice.blocked, twice.scrubbed) == (0, 0, 0)
        assert tracker.people.finish_erasures() == 0
        for of in (stays, goes):
            with pytest.raises(NotFound):
                tracker.people.merge(of, of)
        assert everything(tracker, "acme") == there
        again = tracker.track(requests[0], "again", organization_id="acme")
        assert again.profile_id in {profile.profile_id for profile in there[1]}

    @needs("people")
    def test_an_identity_of_an_erased_person_founds_a_new_profile(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """An email that gave way is free, too, whenever an event with it occurred."""
        who = {"email": "was@x.org", "externalId": "alex", "properties": {"n": 1}}
        earlier = clock.now().isoformat()
        first = tracker.track(a_request(profile=who), "1")
        clock.advance(hours=1)
        tracker.track(a_request(profile={**who, "email": "alex@x.org"}), "2")
        tracker.people.erase(first.profile_id)
        ids = {first.profile_id}
        for number, (profile, more) in enumerate(
            [
                ({"email": "alex@x.org"}, {}),
                ({"email": "b@x.org", "externalId": "alex"}, {}),
                ({"email": "was@x.org"}, {"occurredAt": earlier}),
            ]
        ):
            receipt = tracker.track(a_request(profile=profile, **more), f"again {number}")
            found = tracker.records.profile(receipt.profile_id)
            assert (found.properties, found.number) == ({}, 1)
            ids.add(receipt.profile_id)
        assert len(ids) == 4

    # --- merging -----------------------------------------------------------------------------

    @needs("people", "finding")
    def test_two_records_of_one_person_are_one_in_every_way_that_they_are_asked_for(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        journeys = [a_journey("once", reentry=_ONCE), a_journey("order", reentry=_BY_ORDER)]
        tracker.journeys.publish(
            [
                *journeys,
                a_journey("rest", reentry={"policy": "cooldown", "duration": "P1D"}),
                a_journey("thrice", reentry={"policy": "at_most", "times": 3, "within": "P1D"}),
            ]
        )
        sent: list[Any] = []

        def track(who: dict[str, Any], order: str) -> Any:
            clock.advance(minutes=1)
            sent.append(tracker.track(a_request(profile=who, data={"orderId": order}), order))
            return sent[-1]

        one = {"email": "one@x.org", "externalId": "1"}
        other = {"email": "other@x.org", "externalId": "2", "properties": {"n": 2}}
        track({**other, "email": "earlier@x.org"}, "a")
        kept = track(other, "b").profile_id
        gone = track({**one, "properties": {"n": 1, "m": 1}}, "c").profile_id
        merge = tracker.people.merge("other@x.org", "1")
        assert (merge.changed, merge.profile.profile_id) == (True, kept)
        merge = tracker.people.merge("one@x.org", "2")
        assert (merge.changed, merge.profile.profile_id) == (False, kept)
        for who in (
            one,
            other,
            {"email": "one@x.org", "externalId": "2"},
            {"email": "other@x.org", "externalId": "1"},
            {"email": "one@x.org"},
            {"externalId": "1"},
            {"email": "other@x.org"},
            {"externalId": "2"},
        ):
            receipt = track({**who, "properties": {}}, f"new {len(sent)}")
            assert (receipt.profile_id, receipt.enrolled_journeys) == (kept, 1), who
        profile = tracker.records.profile(kept)
        assert profile.properties == {"n": 1, "m": 1}
        assert (profile.email, profile.external_id) == ("other@x.org", "2")
        words = ("one@x.org", "other@x.org", "1", "2", gone, kept)
        assert [tracker.records.find_profile(word) for word in words] == [profile] * 6
        assert tracker.records.profile(gone) == profile
        story = [receipt.event_id for receipt in sent[::-1]]
        for word in (*words[:2], gone):
            assert [told.event.event_id for told in tracker.records.why(word).events] == story
        for of in (gone, kept):
            listed = tracker.records.events(profile_id=of)
            assert [event.event_id for event in listed] == story
            page = tracker.records.events(profile_id=of, limit=2, before=story[1])
            assert [event.event_id for event in page] == story[2:4]
            entries = tracker.enrollments.list(profile_id=of)
            assert entries == tracker.enrollments.list(limit=1000)
        # What is explained now is what was decided then, before the merge and after it.
        for receipt in sent:
            event = tracker.records.event(receipt.event_id)
            explained = tracker.records.explain(receipt.event_id)
            decided = [outcome.reason for outcome in event.outcomes]
            assert [journey.reason for journey in explained.journeys] == decided
        explained = tracker.explain(a_request(profile={"email": "one@x.org"}))
        assert explained.profile_id == kept
        assert {journey.reason for journey in explained.journeys} == {
            "already_enrolled",
            "cooling_down",
            "entry_key_missing",
            "limit_reached",
        }

    # --- all or nothing ----------------------------------------------------------------------

    @needs("people")
    @pytest.mark.parametrize("verb", _VERBS)
    def test_a_call_that_crashes_anywhere_leaves_nothing_or_all_and_is_made_again(
        self, storage: Any, new_tracker: Callable[..., Any], doors: Doors, verb: str
    ) -> None:
        tracker = new_tracker()
        crashes, unseen = 0, 0
        keeps_audit = doors.offers("audit")
        crashed = True
        while crashed:
            of = f"crash {crashes}"
            where = {"organization_id": of}
            tracker.journeys.publish([a_journey()], **where)
            ids = [
                tracker.track(a_request(profile=_both(who)), who, **where).profile_id
                for who in "ab"
            ]
            before = everything(tracker, of)
            recorded = doors.audited(of) if keeps_audit else []
            faulty = new_tracker(FaultyStorage(storage, crashes // 2, after=bool(crashes % 2)))
            try:
                _VERBS[verb](_In(faulty.people, of), *ids)
                crashed = False
            except InjectedFault:
                unchanged = everything(tracker, of) == before
                unseen += unchanged
                told = keeps_audit and doors.audited(of) != recorded
                assert told is (keeps_audit and not unchanged)
            _VERBS[verb](_In(tracker.people, of), *ids)
            assert tracker.people.finish_erasures(**where) == 0
            profile = tracker.records.profile(ids[0], **where)
            entries = tracker.enrollments.list(**where)
            statuses = [each.status for each in entries if each.profile_id == ids[0]]
            if verb == "merge":
                assert (profile.profile_id, statuses) == (ids[1], ["pending"])
            else:
                assert statuses == ["withdrawn"]
                since = profile.scrubbed_at if verb == "erase" else profile.suppressed_at
                assert since is not None
            crashes += 1
        assert unseen > 4


class PeopleRaceContract:
    """What a host does to people while somebody else calls, one test each."""

    @needs("people", "concurrent_writers", "open_transactions")
    @pytest.mark.parametrize("verb", _VERBS)
    def test_what_is_not_committed_of_it_is_seen_by_nobody(
        self, hold: Hold, tracker: Any, verb: str
    ) -> None:
        tracker.journeys.publish([a_journey()])
        one, other = (
            tracker.track(a_request(profile={"email": f"{n}@x.org"}), f"{n}").profile_id
            for n in range(2)
        )

        async def change(tracker: Any) -> Any:
            return await settle(_VERBS[verb](tracker.people, one, other))

        async def look(tracker: Any) -> tuple[Any, ...]:
            return (
                await settle(tracker.records.events()),
                await settle(tracker.records.profile(one)),
                await settle(tracker.records.profile(other)),
                await settle(tracker.enrollments.list()),
            )

        before = (
            tracker.records.events(),
            tracker.records.profile(one),
            tracker.records.profile(other),
            tracker.enrollments.list(),
        )
        stops, changes = 0, 0
        while True:
            first, seen = hold(change, look, calls=stops + 1, fails=True)
            if first is not FAILED:
                break
            stops += 1
            if not isinstance(seen, SegmentflowError) and seen != before:
                # The first transaction of an erasure was committed, and a later one failed.
                assert verb == "erase"
                changes += 1
        assert stops > 3
        assert changes < stops - 2

    @needs("people", "concurrent_writers", "open_transactions", "reruns")
    @pytest.mark.parametrize("first", ["host", "event"])
    @pytest.mark.parametrize("verb", _VERBS)
    def test_an_event_comes_before_or_after_what_a_host_does_to_its_profile(
        self, hold: Hold, tracker: Any, verb: str, first: str
    ) -> None:
        """One waits for the other, or one of them runs again; whoever has it sees all of it."""
        tracker.journeys.publish([a_journey("every"), a_journey("once", reentry=_ONCE)])
        for stop in (1, 2, 3, 7) if first == "host" else (1, 3):
            names = [f"{stop} {who}" for who in ("goes", "stays")]
            whos = [{"email": f"{name[2:]}{stop}@x.org", "externalId": name} for name in names]
            goes, stays = (
                tracker.track(a_request(profile=who), name).profile_id
                for who, name in zip(whos, names, strict=True)
            )
            event = a_request(
                profile={**whos[0], "properties": {"late": 1}}, data={"canary": "late"}
            )

            async def change(tracker: Any, of: tuple[str, str] = (goes, stays)) -> Any:
                return await settle(_VERBS[verb](tracker.people, *of))

            calls = [change, (event, f"{stop} late")]
            if first == "event":
                calls.reverse()
            answers = hold(*calls, calls=stop)
            receipt = next(each for each in answers if hasattr(each, "event_id"))
            recorded = tracker.records.event(receipt.event_id)
            entries = tracker.enrollments.list(limit=1000)
            caused = [each for each in entries if each.event_id == receipt.event_id]
            assert len(caused) == receipt.enrolled_journeys
            check: Callable[..., None] = {
                "suppress": _check_suppressed,
                "erase": _check_erased,
                "merge": _check_merged,
            }[verb]
            check(tracker, recorded, caused, goes, stays)

    @needs("people", "concurrent_writers", "open_transactions", "reruns")
    @pytest.mark.parametrize("first", ["merge", "event"])
    def test_an_identity_that_moves_by_a_merge_while_a_call_waits_leads_where_it_leads_by_then(
        self, hold: Hold, tracker: Any, first: str
    ) -> None:
        """An event with one identity of each Profile is refused before, and theirs after."""
        for number, (one, other) in enumerate((("goes", "stays"), ("stays", "goes"))):
            ids: dict[str, str] = {}
            for who in ("goes", "stays"):
                profile = {"email": f"{who}{number}@x.org", "externalId": f"{who} {number}"}
                receipt = tracker.track(a_request(profile=profile), f"{who} {number}")
                ids[who] = receipt.profile_id

            async def merge(tracker: Any, ids: dict[str, str] = ids) -> Any:
                return await settle(tracker.people.merge(ids["stays"], ids["goes"]))

            both = {"email": f"{one}{number}@x.org", "externalId": f"{other} {number}"}
            calls = [merge, (a_request(profile=both), f"both {number}")]
            if first == "event":
                calls.reverse()
            for answer in hold(*calls, calls=1 if first == "event" else 3):
                if isinstance(answer, IdentityConflict):
                    continue
                merged: Any = getattr(answer, "profile", answer)
                assert merged.profile_id == ids["stays"]
            receipt = tracker.track(a_request(profile=both), f"later {number}")
            assert receipt.profile_id == ids["stays"]

    @needs("people", "concurrent_writers", "open_transactions", "reruns")
    @pytest.mark.parametrize("first", ["host", "worker"])
    @pytest.mark.parametrize("verb", _VERBS)
    def test_a_worker_claims_before_or_after_what_a_host_does_to_its_profile(
        self, hold: Hold, tracker: Any, verb: str, first: str
    ) -> None:
        tracker.journeys.publish([a_journey(reentry=_BY_ORDER)])
        for stop in (1, 2, 3, 4, 7) if first == "host" else (1, 2):
            of = f"of {stop}"
            tracker.journeys.publish([a_journey(reentry=_BY_ORDER)], organization_id=of)
            goes, stays = (
                tracker.track(
                    a_request(profile={"email": f"{who}@x.org"}, data={"orderId": "1"}),
                    who,
                    organization_id=of,
                ).profile_id
                for who in ("goes", "stays")
            )

            async def change(
                tracker: Any, ids: tuple[str, str] = (goes, stays), of: str = of
            ) -> Any:
                return await settle(_VERBS[verb](_In(tracker.people, of), *ids))

            async def claim(tracker: Any, of: str = of) -> Any:
                return await settle(tracker.enrollments.claim(limit=1, organization_id=of))

            if verb == "merge":
                # Let it be the later of the two that is available, which would be withdrawn.
                (earlier,) = tracker.enrollments.claim(limit=1, organization_id=of)
                tracker.enrollments.release(earlier.lease, delay=timedelta(hours=1))
            calls: list[Client] = [change, claim]
            if first == "worker":
                calls.reverse()
            answers = hold(*calls, calls=stop)
            claimed = next(each for each in answers if isinstance(each, list))
            entries = {
                entry.profile_id: entry
                for entry in tracker.enrollments.list(limit=10, organization_id=of)
            }
            done = [_holds(tracker, each.lease) for each in claimed]
            if verb != "merge":
                assert entries[goes].status is EnrollmentStatus.WITHDRAWN
                assert entries[stays].status in (EnrollmentStatus.PENDING, EnrollmentStatus.CLAIMED)
                owners = [each.enrollment.profile_id for each in claimed]
                assert done == [owner == stays for owner in owners]
                continue
            waiting = [e for e in entries.values() if e.status is not EnrollmentStatus.WITHDRAWN]
            assert len(waiting) == 1
            # What a worker has is never the one that is withdrawn.
            assert False not in done

    @needs("people", "concurrent_writers", "reruns")
    def test_merges_in_a_circle_at_once_leave_one_profile_that_all_leads_to(
        self, at_once: AtOnce, tracker: Any
    ) -> None:
        """While each of them gets events, by every identity that she has."""
        names = [f"{number}" for number in range(4)]
        tracker.journeys.publish([a_journey(reentry=_ONCE)])
        ids = [
            tracker.track(a_request(profile=_both(name)), f"founded {name}").profile_id
            for name in names
        ]

        def merging(number: int) -> Client:
            async def merge(tracker: Any) -> Any:
                merged = await settle(tracker.people.merge(ids[number], ids[(number + 1) % 4]))
                return merged.changed

            return merge

        def tracking(number: int) -> Client:
            async def track(tracker: Any) -> Any:
                receipts: list[Any] = []
                for place in range(8):
                    who = _both(names[(number + place) % 4])
                    if place % 2:
                        del who["externalId"]
                    who["properties"] = {f"{number} {place}": place}
                    request = a_request(profile=who)
                    receipts.append(await settle(tracker.track(request, f"{number} {place}")))
                return receipts

            return track

        answers = at_once([*map(merging, range(4)), tracking(1), tracking(3)])
        assert sorted(answers[:4]) == [False, True, True, True]
        (survivor,) = {tracker.records.profile(each).profile_id for each in ids}
        profile = tracker.records.profile(survivor)
        assert len(profile.aliases) == 6
        assert {series.profile_id for series in profile.merged} == {*ids} - {survivor}
        assert len(profile.properties) == 16
        events = tracker.records.events(limit=1000)
        assert len(events) == 4 + 16
        for profile_id in ids:
            numbers = [event.number for event in events if event.profile_id == profile_id]
            assert sorted(numbers) == [*range(1, len(numbers) + 1)]
        for name in names:
            again = tracker.track(a_request(profile=_both(name)), f"again {name}")
            assert (again.profile_id, again.enrolled_journeys) == (survivor, 0)
        # Of those that wait with one entry key, one is left.
        waiting = [e for e in tracker.enrollments.list(limit=100) if e.status == "pending"]
        assert len(waiting) == 1

    @needs("people", "concurrent_writers", "reruns")
    def test_a_person_who_is_erased_while_events_come_leaves_nothing_of_those_before(
        self, at_once: AtOnce, tracker: Any
    ) -> None:
        tracker.journeys.publish([a_journey(reentry=_BY_ORDER)])
        founded = tracker.track(a_request(profile=_both("x"), data={"orderId": "0"}), "0")

        def tracking(number: int) -> Client:
            async def track(tracker: Any) -> Any:
                return [
                    await settle(
                        tracker.track(
                            a_request(profile=_both("x"), data={"orderId": f"{number} {place}"}),
                            f"{number} {place}",
                        )
                    )
                    for place in range(6)
                ]

            return track

        async def erase(tracker: Any) -> Any:
            return await settle(tracker.people.erase(founded.profile_id))

        *receipts, _, _ = at_once([*map(tracking, range(3)), erase, erase])
        profile = tracker.records.profile(founded.profile_id)
        assert None not in (profile.erased_at, profile.scrubbed_at)
        events = {event.event_id: event for event in tracker.records.events(limit=1000)}
        for receipt in [founded, *(each for answers in receipts for each in answers)]:
            event = events.pop(receipt.event_id)
            assert bool(event.data) is (event.profile_id != founded.profile_id)
        assert not events
        assert len({e.profile_id for e in tracker.records.events(limit=1000)}) <= 2
        for entry in tracker.enrollments.list(limit=1000):
            is_hers = entry.profile_id == founded.profile_id
            assert entry.status == ("withdrawn" if is_hers else "pending")
            assert (entry.entry_key is None) is is_hers


def _two_of_the_same_values(tracker: Any, clock: FixedClock) -> list[str]:
    """Record people with equal data, in two Organizations; return the ids of the first two."""
    ids: list[str] = []
    for number in range(8):
        for who in ("her", "him"):
            married = number == 3 and who == "her"
            profile = {
                "email": f"{'married' if married else who}@example.com",
                "externalId": f"external id of {who}",
                # The last events share a version, and each of them says something else.
                "properties": {"canary": f"{who} {min(number, 5)}"},
            }
            says: dict[str, Any] = {
                "data": {"orderId": f"canary {number}"},
                "referenceId": f"canary {number}",
            }
            if number > 5:
                del says["data" if number == 6 else "referenceId"]
            request = a_request(profile=profile, **says)
            ids.append(tracker.track(request, f"{who} {number}").profile_id)
            clock.advance(seconds=1)
            tracker.track(request, f"{who} {number}", organization_id="acme")
    return ids[:2]


def _check_what_claims_and_references_tell(doors: Doors, her: str, him: str) -> None:
    """Of the erased person neither a key nor a reference says anything any more."""
    keys = [key_digest("default", f"{who} {n}") for who in ("her", "him") for n in range(8)]
    claims = doors.load("default", keys=tuple(sorted(keys))).taken.values()
    assert len(claims) == 16
    for claim in claims:
        is_hers = claim.receipt.profile_id == her
        assert (claim.fingerprint is None, not claim.paths) == (is_hers, is_hers)
    for number in range(8) if doors.offers("finding") else ():
        wanted = EventFilter(reference_id=f"canary {number}")
        found = doors.ask("finding", "events", "default", wanted, 10, None)
        assert [event.profile_id for event in found] == [him] * (number != 7)


class _In:
    """The people of one Organization."""

    def __init__(self, people: Any, organization_id: str) -> None:
        self._people = people
        self._of = {"organization_id": organization_id}

    def __getattr__(self, name: str) -> Any:
        return lambda *words: getattr(self._people, name)(*words, **self._of)


def _both(name: str) -> dict[str, Any]:
    return {"email": f"p{name}@example.com", "externalId": name}


def _holds(tracker: Any, lease: Any) -> bool:
    try:
        tracker.enrollments.complete(lease)
    except LeaseLost:
        return False
    return True


def _check_suppressed(tracker: Any, event: Any, caused: list[Any], goes: str, _: str) -> None:
    assert event.profile_id == goes
    assert (event.number, tracker.records.profile(goes).number) == (2, 2)
    reasons = {outcome.reason for outcome in event.outcomes}
    assert reasons in ({None, "already_enrolled"}, {"suppressed"})
    assert {entry.status for entry in caused} <= {EnrollmentStatus.WITHDRAWN}


def _check_erased(tracker: Any, event: Any, caused: list[Any], goes: str, _: str) -> None:
    erased = tracker.records.profile(goes)
    assert None not in (erased.erased_at, erased.scrubbed_at)
    if event.profile_id == goes:
        assert (event.data, event.profile) == ({}, {"properties": {}})
        assert {entry.status for entry in caused} <= {EnrollmentStatus.WITHDRAWN}
    else:
        new = tracker.records.profile(event.profile_id)
        assert (new.erased_at, new.number, new.properties) == (None, 1, {"late": 1})
        assert {entry.status for entry in caused} == {EnrollmentStatus.PENDING}
        assert len(caused) == 2


def _check_merged(tracker: Any, event: Any, caused: list[Any], goes: str, stays: str) -> None:
    profile = tracker.records.profile(goes)
    assert profile.profile_id == stays
    assert profile.properties == {"late": 1}
    (series,) = profile.merged
    assert event.profile_id in (goes, stays)
    assert (series.profile_id, series.before) == (goes, 2)
    assert event.number == 2
    assert profile.number == (2 if event.profile_id == stays else 1)
    assert [outcome.reason for outcome in event.outcomes] == [None, "already_enrolled"]
    assert [entry.status for entry in caused] == [EnrollmentStatus.PENDING]
