"""Mistakes that take another Organization's records of the same ids for one's own."""

from __future__ import annotations

from attrs import evolve

from broken_storages.altered import Broken
from segmentflow_core.ports import AVAILABLE_STATUSES
from segmentflow_memory.retention import Retention

_SUPPRESSED = "test_a_person_of_one_organization_who_is_suppressed_is_not_so_in_another"
_ERASED = "test_a_person_of_one_organization_who_is_erased_and_blocked_is_not_so_in_another"
_MERGED = "test_people_of_one_organization_who_are_merged_are_apart_in_another"
_REMOVED = "test_what_retention_removes_of_one_organization_stays_in_another"
_ARCHIVED = "test_a_journey_that_one_organization_archives_is_of_its_first_era_in_another"


class ByIdAlone(Broken):
    """A storage some of whose calls ask every Organization."""

    def organizations(self, first):
        return [first, *sorted({of for of, _ in self._tables.profiles.rows} - {first})]


class FindsUnfinishedOfEveryOrganization(ByIdAlone):
    caught_by = _SUPPRESSED

    def people_unfinished(self, call, organization_id, profile_ids):
        return [e for of in self.organizations(organization_id) for e in call(of, profile_ids)]


class FindsEntriesOfEveryOrganization(ByIdAlone):
    caught_by = _SUPPRESSED

    def finding_entries(self, call, organization_id, *asked):
        return [e for of in self.organizations(organization_id) for e in call(of, *asked)]


class CancelsInEveryOrganization(ByIdAlone):
    caught_by = _MERGED

    def cancelling_cancellable(self, call, organization_id, *asked):
        every = [call(of, *asked) for of in self.organizations(organization_id)]
        return evolve(every[0], enrollments=tuple(e for each in every for e in each.enrollments))


class FindsEventsThatAnotherOrganizationRecorded(ByIdAlone):
    caught_by = _MERGED

    def cancelling_recorded(self, call, organization_id, probes):
        every = [call(of, probes) for of in self.organizations(organization_id)]
        return {probe: [e for each in every for e in each[probe]] for probe in probes}


class ScrubsTheClaimsOfEveryOrganization(ByIdAlone):
    caught_by = _ERASED

    def people_scrub(self, call, organization_id, profile_id, limit):
        claims = self._tables.key_claims
        for at, claim in [*claims.rows.items()]:
            if claim.receipt.profile_id == profile_id:
                claims.put(at, evolve(claim, fingerprint=None, paths={}))
        return call(organization_id, profile_id, limit)


class BlocksInEveryOrganization(ByIdAlone):
    caught_by = _ERASED

    def people_block(self, call, organization_id, *asked):
        for of in self.organizations(organization_id):
            call(of, *asked)


class UnscrubbedWhoeverAsks(ByIdAlone):
    caught_by = _ERASED

    def people_unscrubbed(self, call, organization_id, limit):
        return [each for of in self.organizations(organization_id) for each in call(of, limit)]


class RemovesEnrollmentsByTheirIdAlone(ByIdAlone):
    caught_by = _REMOVED

    def retention_remove_enrollments(self, call, organization_id, *how):
        for of in self.organizations(organization_id)[1:]:
            call(of, *how)
        return call(organization_id, *how)


class CountsWhatWentElsewhere(ByIdAlone):
    caught_by = _REMOVED

    def retention_gone(self, call, organization_id, profile_ids):
        return [
            each for of in self.organizations(organization_id) for each in call(of, profile_ids)
        ]


class AnotherOrganizationHoldsAnEvent(ByIdAlone):
    caught_by = _REMOVED

    def retention_remove_events(self, _, organization_id, *how):
        tables = self._tables

        class Holding(Retention):
            def _is_held(self, organization_id, event):
                return any(
                    entry.event_id == event.event_id and entry.status in AVAILABLE_STATUSES
                    for entry in tables.enrollments.rows.values()
                )

        return Holding(tables).remove_events(organization_id, *how)


class HistoryOfAnotherOrganization(ByIdAlone):
    caught_by = _REMOVED

    def history_earlier(self, call, organization_id, probes, entries):
        every = [call(of, probes, entries) for of in self.organizations(organization_id)]
        answers, told = every[0]
        for other, _ in every[1:]:
            answers = {
                probe: evolve(found, gone=found.gone or other[probe].gone)
                for probe, found in answers.items()
            }
        return answers, told


class ErasOfAnotherOrganization(ByIdAlone):
    """Backlogs go by the era of whichever Journey of the id was published first."""

    caught_by = _ARCHIVED

    def finding_backlogs(self, call, organization_id, journey_ids, *how):
        eras = {}
        for (_, journey_id), journey in self._tables.journeys.rows.items():
            eras.setdefault(journey_id, journey.era)
        queue = self._tables.queue
        found = {
            each: queue.backlog(organization_id, (each, eras.get(each, 0)), *how)
            for each in journey_ids
        }
        return {journey_id: backlog for journey_id, backlog in found.items() if backlog}


class OverdueByAnotherOrganizationsEra(ByIdAlone):
    caught_by = _ARCHIVED

    def pausing_overdue(self, call, organization_id, now, limit):
        tables = self._tables
        late = {
            (journey_id, era)
            for (_, journey_id), journey in tables.journeys.rows.items()
            for era in range(journey.era)
        }
        return [
            tables.read(organization_id, entry)
            for at, entry in tables.enrollments.rows.items()
            if at[0] == organization_id
            and entry.status in AVAILABLE_STATUSES
            and (entry.journey_id, entry.era) in late
            and (entry.lease_until is None or entry.lease_until <= now)
        ][:limit]
