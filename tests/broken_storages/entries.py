"""Mistakes with Journeys, with what entered them, and with handing that over."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from broken_storages.altered import Broken
from segmentflow_core.ports import EnrollmentStatus, PriorEntries, answer

_COUNTS = "test_an_entry_counts_whatever_became_of_its_enrollment"


class StaleJourneys(Broken):
    caught_by = "test_a_paused_journey_stops_matching_at_once_and_an_active_one_begins"

    def __init__(self):
        super().__init__()
        self._cache = {}

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        at = (organization_id, intent.events)
        return evolve(known, journeys=self._cache.setdefault(at, known.journeys))


class EntriesOfOneVersion(Broken):
    caught_by = "test_entries_into_every_version_count"

    def tracking_prior_entries(self, call, organization_id, probes):
        answers = dict(call(organization_id, probes))
        for probe in probes:
            current = self._tables.journeys.rows.get((organization_id, probe.journey_id))
            if not any(
                (of, entry.journey_id, entry.profile_id, entry.version)
                == (organization_id, probe.journey_id, probe.profile_id, current.version)
                for (of, _), entry in self._tables.enrollments.rows.items()
            ):
                answers[probe] = PriorEntries()
        return answers


class NotEveryStatusCounts(Broken):
    """Entries are looked up among Enrollments of some statuses."""

    passes_over: EnrollmentStatus

    def tracking_prior_entries(self, _, organization_id, probes):
        rows = self._tables.enrollments.rows
        counted = [
            self._tables.read(organization_id, entry)
            for at, entry in rows.items()
            if at[0] == organization_id
        ]
        counted = [entry for entry in counted if entry.status is not self.passes_over]
        return {probe: answer(probe, counted) for probe in probes}


class WithdrawnEntriesDoNotCount(NotEveryStatusCounts):
    caught_by = f"{_COUNTS}[withdrawn]"
    passes_over = EnrollmentStatus.WITHDRAWN


class DeadEntriesDoNotCount(NotEveryStatusCounts):
    caught_by = f"{_COUNTS}[dead]"
    passes_over = EnrollmentStatus.DEAD


class CompletedEntriesDoNotCount(NotEveryStatusCounts):
    caught_by = f"{_COUNTS}[completed]"
    passes_over = EnrollmentStatus.COMPLETED


class ClaimedEntriesDoNotCount(NotEveryStatusCounts):
    caught_by = f"{_COUNTS}[claimed]"
    passes_over = EnrollmentStatus.CLAIMED


class ArchivedEntriesDoNotCount(NotEveryStatusCounts):
    caught_by = "test_an_entry_counts_that_an_archiving_withdrew"
    passes_over = EnrollmentStatus.WITHDRAWN


class LatestEntryIsTheLastWritten(Broken):
    caught_by = "test_the_latest_entry_is_the_one_of_the_latest_time"

    def tracking_write(self, call, organization_id, changes):
        call(organization_id, changes)
        for entry in changes.enrollments:
            at = (organization_id, entry.journey_id, entry.profile_id)
            self._tables.entries.put(at, entry.entered_at)


class VersionsAreOverwritten(Broken):
    caught_by = "test_a_version_entered_stays_readable"

    def journeys_publish(self, call, organization_id, versions, statuses):
        call(organization_id, versions, statuses)
        for journey in versions:
            for version in range(1, journey.version):
                at = (organization_id, journey.journey_id, version)
                self._tables.versions.put(at, evolve(journey, version=version))


class LeaseWithoutFencing(Broken):
    caught_by = "test_a_late_finisher_is_refused_and_changes_nothing"

    def hand_over_complete(self, call, leases, now):
        rows = self._tables.enrollments.rows
        current = {
            lease: evolve(lease, token=rows[lease.organization_id, lease.enrollment_id].token)
            for lease in leases
        }
        done = call(list(current.values()), now)
        return {lease: done[held] for lease, held in current.items() if held in done}


class ClaimIsForgotten(Broken):
    caught_by = "test_what_is_claimed_is_handed_to_nobody_else"

    def hand_over_claim(self, call, terms):
        claimed = call(terms)
        self._tables.roll_back()
        return claimed


class LeasesNeverRunOut(Broken):
    caught_by = "test_a_lease_that_ran_out_makes_its_enrollment_available_again"

    def hand_over_claim(self, call, terms):
        return call(evolve(terms, lease_until=terms.lease_until + timedelta(days=999)))


class LargestBacklogFirst(Broken):
    caught_by = "test_organizations_share_a_claim_whatever_their_backlogs"

    def hand_over_claim(self, call, terms):
        if terms.organization_id is not None:
            return call(terms)
        entries = self._tables.queue._entries
        largest = max(entries, key=lambda of: sum(map(len, entries[of].values())), default="")
        return call(evolve(terms, organization_id=largest))


class AQuickCallOfItsOwnMind(Broken):
    caught_by = "test_a_call_does_what_it_does_in_steps"

    def hand_over_release(self, call, leases, terms):
        return call(leases, evolve(terms, max_attempts=terms.max_attempts + 1))
