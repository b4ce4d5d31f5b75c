"""Mistakes with what a store tells of earlier events."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from broken_storages.altered import Broken

_MOMENT = timedelta(microseconds=1)
_PROBES = "test_every_probe_about_earlier_events_is_answered"
_COUNTS = "test_a_condition_counts_what_came_before"
_REMOVED = "test_what_retention_removed_is_told_with_what_is_there"
_RACE = "test_of_events_at_once_each_is_decided_by_all_before_it"


class Telling(Broken):
    """A storage that tells something else of earlier events."""

    def asked(self, probe):
        return probe

    def told(self, probe, answer):
        return answer

    def history_earlier(self, call, organization_id, probes, entries):
        asked = {probe: self.asked(probe) for probe in probes}
        answers, of_entries = call(organization_id, list(asked.values()), entries)
        told = {probe: self.told(probe, answers[asked[probe]]) for probe in probes}
        return told, of_entries


class ThePeriodBeginsLater(Telling):
    caught_by = _PROBES

    def asked(self, probe):
        return evolve(probe, since=probe.since and probe.since + _MOMENT)


class ThePeriodEndsEarlier(Telling):
    caught_by = _PROBES

    def asked(self, probe):
        return evolve(probe, until=probe.until and probe.until - _MOMENT)


class TheEventItselfIsEarlier(Telling):
    caught_by = _PROBES

    def asked(self, probe):
        return evolve(probe, before=probe.before and probe.before + 1)


class EveryNameIsOne(Telling):
    caught_by = _PROBES

    def asked(self, probe):
        return evolve(probe, event=probe.event.lower())


class TheOldestComeFirst(Telling):
    caught_by = _PROBES

    def told(self, probe, answer):
        return evolve(answer, events=answer.events[::-1])


class OfOneInstantTheFirstNumberComesFirst(Telling):
    caught_by = _PROBES

    def told(self, probe, answer):
        events = sorted(answer.events, key=lambda e: e.number)
        return evolve(answer, events=sorted(events, key=lambda e: e.occurred_at, reverse=True))


class NobodyIsToldOfOthers(Telling):
    caught_by = _PROBES

    def told(self, probe, answer):
        return evolve(answer, more=False)


class ThereAreAlwaysOthers(Telling):
    caught_by = _PROBES

    def told(self, probe, answer):
        return evolve(answer, more=True)


class EveryOrganizationIsOne(Telling):
    caught_by = _PROBES

    def history_earlier(self, call, _, probes, entries):
        return call("default", probes, entries)


class ProfilesAreToldAsTheyAreNow(Telling):
    caught_by = _PROBES

    def told(self, probe, answer):
        profiles = self._tables.profiles.rows
        now = profiles.get(("default", probe.profile_id))
        if now is None:
            return answer
        events = [evolve(e, state={**e.state, "profile": now.state()}) for e in answer.events]
        return evolve(answer, events=events)


class EntriesAreNotAsked(Telling):
    caught_by = _PROBES

    def history_earlier(self, call, organization_id, probes, entries):
        earlier, _ = call(organization_id, probes, ())
        _, of_nobody = call(organization_id, probes, [evolve(e, profile_id="") for e in entries])
        return earlier, dict(zip(entries, of_nobody.values(), strict=True))


class TheLastEventIsNotThereYet(Telling):
    caught_by = _COUNTS

    def told(self, probe, answer):
        return evolve(answer, events=answer.events[1:]) if probe.before is None else answer


class WhatWasRemovedIsForgotten(Telling):
    caught_by = _REMOVED

    def told(self, probe, answer):
        return evolve(answer, gone=None)


class WhatWasRemovedIsOfEveryName(Telling):
    caught_by = _REMOVED

    def told(self, probe, answer):
        if answer.gone is None:
            return answer
        counts = [left.count for left in self._tables.gone.rows.values()]
        return evolve(answer, gone=evolve(answer.gone, count=sum(counts)))


class HistoryIsOfTheLastCall(Telling):
    """It is read before the turn of the call that asks."""

    caught_by = _RACE

    def told(self, probe, answer):
        seen = self.__dict__.setdefault("_seen", {})
        before = seen.get(probe, answer)
        seen[probe] = answer
        return before
