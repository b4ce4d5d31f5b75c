"""Mistakes with what waits in Journeys that are not active."""

from __future__ import annotations

from attrs import evolve

from broken_storages.altered import Broken
from segmentflow_core.ports import JourneyStatus

_PASSED_OVER = (
    "test_a_claim_passes_over_journeys_that_are_not_active_and_keeps_to_its_order[{}-in steps]"
)
_READ = (
    "test_what_waits_in_an_archived_journey_reads_as_withdrawn_at_once_wherever_it_is_read"
    "[archived]"
)
_READ_AGAIN = _READ.replace("[archived]", "[active again]")
_HELD = (
    "test_a_worker_that_holds_an_enrollment_may_finish_it_whatever_its_journey_became[{}-in steps]"
)
_GOES = "test_a_withdrawn_enrollments_event_goes_once_its_row_says_so"


class Moving(Broken):
    """A storage with its own idea of which lines move."""

    def moves(self, journey, era):
        raise NotImplementedError

    def hand_over_waiting(self, _, terms):
        tables = self._tables

        def moves(organization_id, journey_id, era):
            return self.moves(tables.journeys.rows[organization_id, journey_id], era)

        at = tables.queue.available(terms, moves)
        return [(of, tables.enrollments.rows[of, identifier]) for of, identifier in at]


class PausedJourneysAreHandedOver(Moving):
    caught_by = _PASSED_OVER.format("paused")

    def moves(self, journey, era):
        return journey.era == era and journey.definition.status is not JourneyStatus.DRAFT


class DraftsAreHandedOver(Moving):
    caught_by = _PASSED_OVER.format("draft")

    def moves(self, journey, era):
        return journey.era == era and journey.definition.status is not JourneyStatus.PAUSED


class WhatWasWithdrawnIsHandedOverOnceActiveAgain(Moving):
    caught_by = _PASSED_OVER.format("archived")

    def moves(self, journey, era):
        del era
        return journey.definition.status is JourneyStatus.ACTIVE


class ALimitCountsWhatStandsStill(Broken):
    caught_by = _PASSED_OVER.format("paused")

    def hand_over_waiting(self, call, terms):
        found = {each.enrollment_id for _, each in call(terms)}
        at = self._tables.queue.available(terms, lambda *_: True)
        rows = self._tables.enrollments.rows
        return [(of, rows[of, each]) for of, each in at if each in found]


class AsStored(Broken):
    """A storage that reads rows as they are stored."""

    def stored(self, organization_id, found):
        rows = self._tables.enrollments.rows
        return [rows[organization_id, each.enrollment_id] for each in found]


class OneIsReadAsStored(AsStored):
    caught_by = _READ

    def enrollments_get(self, call, *at):
        return call(*at) and self._tables.enrollments.rows[at]


class AListIsReadAsStored(AsStored):
    caught_by = _READ

    def enrollments_list(self, call, organization_id, *asked):
        return self.stored(organization_id, call(organization_id, *asked))


class AStatusIsLookedForAsStored(AsStored):
    caught_by = _READ

    def enrollments_list(self, call, *asked):
        *others, status = asked
        organization_id = asked[0]
        found = call(*others, None)
        kept = zip(found, self.stored(organization_id, found), strict=True)
        return [read for read, stored in kept if status in (None, stored.status)]


class WhatIsFoundIsReadAsStored(AsStored):
    caught_by = _READ

    def finding_enrollments(self, call, organization_id, *asked):
        return self.stored(organization_id, call(organization_id, *asked))


class EntriesAreReadAsStored(AsStored):
    caught_by = _READ

    def finding_entries(self, call, organization_id, *asked):
        return self.stored(organization_id, call(organization_id, *asked))


class WhatIsUnfinishedIsReadAsStored(Broken):
    caught_by = _READ

    def people_unfinished(self, _, organization_id, profile_ids):
        return [
            each
            for at, each in self._tables.enrollments.rows.items()
            if at[0] == organization_id
            and each.profile_id in profile_ids
            and each.status in ("pending", "claimed", "dead")
        ]


class WhatIsLockedIsReadAsStored(AsStored):
    caught_by = _HELD.format("archived")

    def hand_over_lock(self, call, named):
        return [(of, self._tables.enrollments.rows[of, e.enrollment_id]) for of, e in call(named)]


class ItIsForgottenWhenAJourneyWasArchived(Broken):
    caught_by = _READ

    def journeys_publish(self, call, organization_id, versions, statuses):
        call(organization_id, versions, [evolve(each, archived_at=None) for each in statuses])


class AnEraIsForgotten(Broken):
    caught_by = _READ_AGAIN

    def journeys_publish(self, call, organization_id, versions, statuses):
        call(organization_id, versions, [evolve(each, era=0) for each in statuses])


class RowsOfAnyOrganizationFollow(Broken):
    caught_by = _READ

    def pausing_overdue(self, call, _, *how):
        return call("default", *how)


class RowsFollowWithoutABound(Broken):
    caught_by = _READ

    def pausing_overdue(self, call, organization_id, now, limit):
        del limit
        return call(organization_id, now, 100)


class RowsFollowUnderALease(Broken):
    caught_by = _READ

    def pausing_overdue(self, call, organization_id, now, limit):
        return call(organization_id, now.replace(year=now.year + 1), limit)


class WhoseWorkerIsGoneNeverFollows(Broken):
    caught_by = _READ

    def pausing_overdue(self, call, *how):
        return [each for each in call(*how) if each.lease_until is None]


class NoRowEverFollows(Broken):
    caught_by = _GOES

    def pausing_overdue(self, _, *how):
        return []
