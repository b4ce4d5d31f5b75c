"""Mistakes with what retention removes and leaves."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from broken_storages.altered import Broken
from segmentflow_core.ports import EnrollmentStatus
from segmentflow_memory.retention import Retention

_MOMENT = timedelta(microseconds=1)
_BOUNDS = "test_an_event_goes_once_it_is_older_than_asked_for"
_NEEDED = "test_an_event_stays_as_long_as_an_unfinished_enrollment_needs_it"
_FINISHED = "test_a_finished_enrollment_goes_once_it_is_older_than_asked_for"
_SAME = "test_no_event_is_decided_otherwise_than_without_retention"
_KEY = "test_the_key_of_an_event_that_went_shows_nothing_more_and_an_erasure_finds_it"
_COUNTED = "test_removed_events_are_counted_by_profile_and_name"


class Forgetful(Broken):
    """A storage that removes by its own idea of which events are held."""

    holds = ()

    def retention_remove_events(self, _, organization_id, *how):
        kind, tables = type(self), self._tables

        class Holding(Retention):
            def _is_held(self, organization_id, event):
                rows = tables.enrollments.rows.items()
                caused = [e for at, e in rows if at[0] == organization_id]
                return any(e.event_id == event.event_id and e.status in kind.holds for e in caused)

        return Holding(tables).remove_events(organization_id, *how)


class EventsGoThatAreJustAsOld(Broken):
    caught_by = _BOUNDS

    def retention_remove_events(self, call, organization_id, before, limit, after):
        return call(organization_id, before + _MOMENT, limit, after)


class EventsOfEveryOrganizationGo(Broken):
    caught_by = _BOUNDS

    def retention_remove_events(self, call, organization_id, before, limit, after):
        call("acme", before, limit, None)
        return call(organization_id, before, limit, after)


class BatchesWithoutABound(Broken):
    caught_by = _BOUNDS

    def retention_remove_events(self, call, organization_id, before, limit, after):
        return call(organization_id, before, 100_000, after)


class KeysGoWithTheirEvents(Broken):
    caught_by = _BOUNDS

    def retention_remove_events(self, call, *asked):
        tables = self._tables
        result = call(*asked)
        for at, claim in list(tables.key_claims.rows.items()):
            if (at[0], claim.receipt.event_id) not in tables.events.rows:
                tables.key_claims.remove(at)
        return result


class RemovedEventsAreStillFound(Broken):
    caught_by = _BOUNDS

    def retention_remove_events(self, call, *asked):
        before = dict(self._tables.events.rows)
        result = call(*asked)
        self._gone = {**getattr(self, "_gone", {}), **before}
        return result

    def events_get(self, call, *at):
        return call(*at) or getattr(self, "_gone", {}).get(at)


class NothingHoldsAnEvent(Forgetful):
    caught_by = _NEEDED


class DeadOnesHoldNoEvent(Forgetful):
    caught_by = _NEEDED
    holds = (EnrollmentStatus.PENDING, EnrollmentStatus.CLAIMED)


class ClaimedOnesHoldNoEvent(Forgetful):
    caught_by = _NEEDED
    holds = (EnrollmentStatus.PENDING, EnrollmentStatus.DEAD)


class WithdrawnOnesHoldTheirEvent(Forgetful):
    caught_by = _NEEDED
    holds = tuple(each for each in EnrollmentStatus if each is not EnrollmentStatus.COMPLETED)


class AnEventThatIsHeldEndsTheRun(Broken):
    caught_by = _NEEDED

    def retention_remove_events(self, call, *asked):
        result = call(*asked)
        return evolve(result, place=None) if result.held else result


class EnrollmentsGoWithTheirEvents(Broken):
    caught_by = _NEEDED

    def retention_remove_events(self, call, organization_id, *how):
        tables = self._tables
        result = call(organization_id, *how)
        for at, enrollment in list(tables.enrollments.rows.items()):
            if (at[0], enrollment.event_id) not in tables.events.rows:
                tables.remove_enrollment(at[0], enrollment)
        return result


class EnrollmentsGoThatFinishedJustThen(Broken):
    caught_by = _FINISHED

    def retention_remove_enrollments(self, call, organization_id, before, limit):
        return call(organization_id, before + _MOMENT, limit)


class EnrollmentsGoByWhenTheyWereEntered(Broken):
    caught_by = _FINISHED

    def retention_remove_enrollments(self, call, organization_id, before, limit):
        rows = self._tables.enrollments.rows
        if any(at[0] == organization_id and e.entered_at < before for at, e in rows.items()):
            before += timedelta(days=1)
        return call(organization_id, before, limit)


class WithdrawnEnrollmentsStay(Broken):
    caught_by = _FINISHED

    def retention_remove_enrollments(self, call, organization_id, before, limit):
        tables = self._tables
        kept = {at: e for at, e in tables.enrollments.rows.items() if e.withdrawn_at}
        for at in kept:
            del tables.enrollments.rows[at]
        result = call(organization_id, before, limit)
        tables.enrollments.rows.update(kept)
        return result


class NoEntryIsLeft(Broken):
    caught_by = _SAME

    def retention_remove_enrollments(self, call, organization_id, *how):
        tables = self._tables
        result = call(organization_id, *how)
        entered = {(at[0], e.journey_id, e.profile_id) for at, e in tables.enrollments.rows.items()}
        for pair in [pair for pair in tables.entries.rows if pair not in entered]:
            tables.entries.remove(pair)
        return result


class NoKeyIsLeft(Broken):
    caught_by = _SAME

    def retention_remove_enrollments(self, call, organization_id, *how):
        tables = self._tables
        result = call(organization_id, *how)
        there = {
            (at[0], e.journey_id, e.profile_id, e.entry_key)
            for at, e in tables.enrollments.rows.items()
        }
        for key in set(tables.entry_keys.rows) - there:
            tables.entry_keys.remove(key)
        return result


class TheEntryOfTheHighestNumberIsLeft(Broken):
    caught_by = "test_the_latest_entry_that_removal_leaves_is_the_one_of_the_latest_time[second]"

    def retention_remove_enrollments(self, call, *asked):
        before = {pair: list(found) for pair, found in self._tables.history._entries.items()}
        result = call(*asked)
        for pair, entries in self._tables.history._entries.items():
            there = {
                entry.event_number
                for at, entry in self._tables.enrollments.rows.items()
                if (at[0], entry.journey_id, entry.profile_id) == pair
            }
            highest = max(number for number, *_ in before[pair])
            entries[:] = [
                (number, at, key)
                for number, at, key in before[pair]
                if number in there or key is not None or number == highest
            ]
        return result


class OnlyTheFirstRunIsCounted(Broken):
    caught_by = _COUNTED

    def retention_remove_events(self, call, *asked):
        before = dict(self._tables.gone.rows)
        result = call(*asked)
        self._tables.gone.rows.update(before)
        return result


class CountedByReceipt(Broken):
    caught_by = _COUNTED

    def retention_gone(self, call, organization_id, profile_ids):
        now = max(event.received_at for event in self._tables.events.rows.values())
        return [evolve(left, last_occurred_at=now) for left in call(organization_id, profile_ids)]


class CountedForEveryOrganization(Broken):
    caught_by = _COUNTED

    def retention_gone(self, call, _, profile_ids):
        return [*call("default", profile_ids), *call("acme", profile_ids)]


class EntriesOutliveTheErasure(Broken):
    caught_by = "test_an_erased_person_leaves_no_key_in_an_entry"

    def people_scrub(self, call, organization_id, *how):
        keys = dict(self._tables.entry_keys.rows)
        result = call(organization_id, *how)
        self._tables.entry_keys.rows.update(keys)
        return result


class DigestsOutliveTheirEvent(Broken):
    caught_by = _KEY

    def retention_remove_events(self, call, *asked):
        claims = dict(self._tables.key_claims.rows)
        result = call(*asked)
        self._tables.key_claims.rows.update(claims)
        return result


class KeysOfGoneEventsAreNotFound(Broken):
    caught_by = _KEY

    def people_scrub(self, call, organization_id, *how):
        tables = self._tables
        gone = {
            at: claim
            for at, claim in tables.key_claims.rows.items()
            if (at[0], claim.receipt.event_id) not in tables.events.rows
        }
        result = call(organization_id, *how)
        tables.key_claims.rows.update(gone)
        return result


class KeysThatAreSomebodyElsesByNowAreScrubbed(Broken):
    caught_by = _KEY

    def retention_remove_events(self, call, organization_id, *how):
        tables = self._tables
        before = dict(tables.events.rows)
        result = call(organization_id, *how)
        self._left = {
            **getattr(self, "_left", {}),
            **{
                at: claim.receipt.profile_id
                for at, claim in tables.key_claims.rows.items()
                if (at[0], claim.receipt.event_id) in before.keys() - tables.events.rows.keys()
            },
        }
        return result

    def people_scrub(self, call, organization_id, profile_id, limit):
        claims = self._tables.key_claims
        for at, of in getattr(self, "_left", {}).items():
            if (at[0], of) == (organization_id, profile_id) and at in claims.rows:
                claims.put(at, evolve(claims.rows[at], fingerprint=None, paths={}))
        return call(organization_id, profile_id, limit)
