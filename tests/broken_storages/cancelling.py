"""Mistakes with how many entries are counted, and with what events cancel."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from broken_storages.altered import Broken

_MOMENT = timedelta(microseconds=1)
_AT_MOST = "test_at_most_so_many_entries_are_let_in_within_a_period"
_WITHDRAWN = "test_a_later_event_with_equal_values_withdraws_whatever_no_worker_holds"
_RECORDED = "test_an_entry_whose_canceller_is_recorded_already_is_skipped"
_MERGED = "test_what_was_entered_before_a_merge_is_withdrawn_by_events_after_it"


class CountsEntriesOfEveryKey(Broken):
    caught_by = _AT_MOST

    def tracking_prior_entries(self, call, organization_id, probes):
        asked = {p: evolve(p, entry_key=None) if p.since else p for p in probes}
        answers = call(organization_id, list(dict.fromkeys(asked.values())))
        return {probe: answers[other] for probe, other in asked.items()}


class CountsEntriesThatAreJustTooOld(Broken):
    caught_by = _AT_MOST

    def tracking_prior_entries(self, call, organization_id, probes):
        asked = {p: evolve(p, since=p.since - _MOMENT) if p.since else p for p in probes}
        answers = call(organization_id, list(asked.values()))
        return {probe: answers[other] for probe, other in asked.items()}


class CountsNoMoreThanTen(Broken):
    caught_by = "test_of_a_thousand_entries_all_are_counted_that_were_made_since"

    def tracking_prior_entries(self, call, organization_id, probes):
        answers = call(organization_id, probes)
        return {p: evolve(found, count=min(found.count, 10)) for p, found in answers.items()}


class ForgetsWhatCancelled(Broken):
    caught_by = _WITHDRAWN

    def hand_over_save(self, call, changes):
        return call([evolve(c, after=evolve(c.after, cancelled_by=None)) for c in changes])


class FindsOnlyWhatIsPending(Broken):
    caught_by = _WITHDRAWN

    def cancelling_cancellable(self, call, *of):
        answer = call(*of)
        return evolve(answer, enrollments=[e for e in answer.enrollments if e.status == "pending"])


class SaysThatNothingElseWaits(Broken):
    caught_by = "test_of_many_that_wait_an_event_withdraws_its_own_and_the_others_wait_on"

    def cancelling_cancellable(self, call, *of):
        return evolve(call(*of), complete=True)


class FindsOnlyWhatOneProfileEntered(Broken):
    caught_by = _MERGED

    def cancelling_cancellable(self, call, organization_id, profile_ids, digests):
        return call(organization_id, profile_ids[:1], digests)


class FindsNoEventThatIsRecorded(Broken):
    caught_by = _RECORDED

    def cancelling_recorded(self, call, organization_id, probes):
        del call, organization_id
        return {probe: [] for probe in probes}


class FindsEventsOfEverybody(Broken):
    caught_by = _RECORDED

    def cancelling_recorded(self, call, organization_id, probes):
        found = call(organization_id, probes)
        everybody = [
            event for at, event in self._tables.events.rows.items() if at[0] == organization_id
        ]
        return dict.fromkeys(found, everybody)
