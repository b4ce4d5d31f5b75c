"""Mistakes with many: what is cut at a cap of the store's own, or at the wrong end."""

from __future__ import annotations

from attrs import evolve

from broken_storages.altered import Broken, planted
from segmentflow_core.ports import LOOKED_AT, EventFilter

_CAP = 1_000


def cut(name, caught_by, method, cap=_CAP):
    """Plant a cap on what a call returns."""

    def capped(self, call, *asked):
        found = call(*asked)
        if isinstance(found, dict):
            return dict([*found.items()][:cap])
        return [*found][:cap]

    return planted(name, caught_by, **{method: capped})


def asked(name, caught_by, method, place, cap=_CAP):
    """Plant a cap on how many of one argument a call looks at."""

    def capped(self, call, *asked):
        return call(*asked[:place], asked[place][:cap], *asked[place + 1 :])

    return planted(name, caught_by, **{method: capped})


_PEOPLE = "test_what_waits_for_a_thousand_people_is_told_by_one_call"
_PERSON = "test_all_of_a_thousand_enrollments_of_one_person_are_unfinished"
_ERASED = "test_a_thousand_people_are_erased_and_not_yet_scrubbed"
_CAUSED = "test_of_a_thousand_enrollments_all_are_found_that_events_caused"
_JOURNEYS = "test_of_a_thousand_journeys_and_people_all_are_told"
_REMOVED = "test_a_thousand_events_and_enrollments_go_by_one_call_and_all_are_counted"
_OVERDUE = "test_a_thousand_enrollments_that_an_archiving_withdrew_are_overdue"
_BLOCKED = "test_a_thousand_identities_are_blocked_by_one_call"
_AUDIT = "test_a_thousand_records_of_what_was_done_are_listed_page_by_page"
_FILTERS = "test_of_a_thousand_events_those_are_found_that_all_filters_admit"
_LAST = "test_of_more_events_than_are_looked_at_those_are_told_that_occurred_last"
_WAITING = "test_of_a_thousand_that_wait_all_are_told_that_an_event_may_cancel"
_EARLIER = "test_a_thousand_earlier_events_are_told_and_a_thousand_probes_answered"

CAPPED = [
    cut("LocksAThousandPeople", _PEOPLE, "people_lock"),
    asked("WhatWaitsForAThousandPeople", _PEOPLE, "people_unfinished", 1),
    cut("AHundredAreUnfinished", _PERSON, "people_unfinished", 100),
    cut("AThousandAreUnscrubbed", _ERASED, "people_unscrubbed"),
    asked("BlocksAThousand", _BLOCKED, "people_block", 2),
    cut("AThousandEntriesAreFound", _CAUSED, "finding_entries"),
    asked("EntriesOfAThousandEvents", _CAUSED, "finding_entries", 2),
    cut("AThousandEnrollmentsAreFound", _CAUSED, "finding_enrollments"),
    cut("AThousandProfilesAreFound", _JOURNEYS, "finding_profiles"),
    asked("BacklogsOfAThousandJourneys", _JOURNEYS, "finding_backlogs", 1),
    asked("AThousandPeoplesEventsAreCounted", _REMOVED, "retention_gone", 1),
    cut("AThousandNamesAreCounted", _REMOVED, "retention_gone"),
    cut("AHundredAreOverdue", _OVERDUE, "pausing_overdue", 100),
    cut("AThousandRecordsAreListed", _AUDIT, "audit_list"),
]


class FiltersAfterTheLimit(Broken):
    """The newest of one name are read, then those kept that the referenceId is of."""

    caught_by = _FILTERS

    def finding_events(self, call, organization_id, wanted, limit, before):
        if wanted.event is None:
            return call(organization_id, wanted, limit, before)
        found = call(organization_id, EventFilter(event=wanted.event), 500, before)
        return [event for event in found if wanted.admits(event)][:limit]


class TheFirstOnesThatOccurred(Broken):
    caught_by = _LAST

    def cancelling_recorded(self, call, organization_id, probes):
        del call
        return {
            probe: sorted(_admitted(self, organization_id, probe), key=_by_time)[:LOOKED_AT]
            for probe in probes
        }


class TheLastOnesThatWereReceived(Broken):
    caught_by = _LAST

    def cancelling_recorded(self, call, organization_id, probes):
        del call
        return {
            probe: sorted(
                _admitted(self, organization_id, probe), key=lambda event: event.received_at
            )[-LOOKED_AT:]
            for probe in probes
        }


class TheLastOnesByNumber(Broken):
    caught_by = _LAST

    def cancelling_recorded(self, call, organization_id, probes):
        del call
        return {
            probe: sorted(_admitted(self, organization_id, probe), key=lambda e: e.number)[
                -LOOKED_AT:
            ]
            for probe in probes
        }


class OfEqualTimesTheFirstIsKept(Broken):
    caught_by = _LAST

    def cancelling_recorded(self, call, organization_id, probes):
        del call
        return {
            probe: sorted(
                _admitted(self, organization_id, probe), key=lambda e: (e.occurred_at, -e.number)
            )[-LOOKED_AT:]
            for probe in probes
        }


class CancelsNoMoreThanAHundred(Broken):
    caught_by = _WAITING

    def cancelling_cancellable(self, call, *asked):
        answer = call(*asked)
        return evolve(answer, enrollments=answer.enrollments[:100])


class AnswersNoMoreThanAThousandProbes(Broken):
    caught_by = _EARLIER

    def history_earlier(self, call, organization_id, probes, entries):
        answers, told = call(organization_id, probes, entries)
        empty = call(organization_id, [evolve(probes[0], profile_id="nobody")], [])[0]
        (nothing,) = empty.values()
        kept = {probe: answers[probe] for probe in probes[:_CAP]}
        return {**dict.fromkeys(probes, nothing), **kept}, told


def _admitted(storage, organization_id, probe):
    return [
        event
        for at, event in storage._tables.events.rows.items()
        if at[0] == organization_id
        and (event.profile_id, event.event) == (probe.profile_id, probe.event)
        and min(event.occurred_at, event.received_at) > probe.since
        and (probe.before is None or event.number < probe.before)
    ]


def _by_time(event):
    return event.occurred_at, event.number
