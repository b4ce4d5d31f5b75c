"""Mistakes with what is found."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from broken_storages.altered import Broken
from segmentflow_core.ports import IdentityKind


class FormerEmailsFindTheirProfile(Broken):
    caught_by = "test_an_email_that_gave_way_finds_nobody"

    def finding_profile(self, call, organization_id, kind, value):
        found = call(organization_id, kind, value)
        if found is None and kind is IdentityKind.EMAIL:
            for profile_id in self._tables.former_emails.rows.get((organization_id, value), ()):
                return self._tables.profiles.rows[organization_id, profile_id]
        return found


class FoundWithoutCase(Broken):
    caught_by = "test_nobody_is_found_by_what_is_only_like_it"

    def finding_profile(self, call, organization_id, kind, value):
        return call(organization_id, kind, value.lower())


class ProfilesByInsertion(Broken):
    caught_by = "test_profiles_are_listed_newest_first_and_page_by_page"

    def finding_profiles(self, _, organization_id, limit, before):
        rows = self._tables.profiles.rows
        found = [profile for at, profile in rows.items() if at[0] == organization_id]
        return [each for each in found if before is None or each.profile_id < before][-limit:]


class OneFilterOfMany(Broken):
    caught_by = "test_events_are_found_by_everything_that_is_asked_for_together"

    def finding_events(self, call, organization_id, wanted, limit, before):
        if wanted.profile_id is not None:
            wanted = evolve(wanted, event=None)
        return call(organization_id, wanted, limit, before)


class PeriodByOccurrence(Broken):
    caught_by = "test_events_are_found_by_everything_that_is_asked_for_together"

    def finding_events(self, call, organization_id, wanted, limit, before):
        found = call(organization_id, evolve(wanted, since=None, until=None), 100_000, before)
        found = [evolve(each, received_at=each.occurred_at) for each in found]
        kept = {each.event_id for each in found if wanted.admits(each)}
        every = call(organization_id, evolve(wanted, since=None, until=None), 100_000, before)
        return [each for each in every if each.event_id in kept][:limit]


class PeriodWithItsEnd(Broken):
    caught_by = "test_events_are_found_by_everything_that_is_asked_for_together"

    def finding_events(self, call, organization_id, wanted, limit, before):
        if wanted.until is not None:
            wanted = evolve(wanted, until=wanted.until.replace(microsecond=999_999))
        return call(organization_id, wanted, limit, before)


class LimitBeforeFilter(Broken):
    caught_by = "test_enrollments_are_found_by_everything_that_is_asked_for_together"

    def finding_enrollments(self, call, organization_id, wanted, limit, before):
        found = call(organization_id, evolve(wanted, status=None), limit, before)
        return [each for each in found if wanted.admits(each)]


class EntriesOfThePageOfOthers(Broken):
    caught_by = "test_a_story_tells_what_became_of_each_event"

    def finding_entries(self, call, organization_id, profile_id, event_ids):
        return call(organization_id, profile_id, event_ids[:1])


class PeriodByReceipt(Broken):
    caught_by = "test_events_are_found_by_everything_that_is_asked_for_together"

    def finding_events(self, call, organization_id, wanted, limit, before):
        found = call(organization_id, wanted, 100_000, before)
        if wanted.since is not None and (wanted.event, wanted.profile_id) == (None, None):
            found = sorted(found, key=lambda event: event.received_at)
        return found[:limit]


class FoundThoughTheCallFailed(Broken):
    caught_by = "test_nothing_of_a_call_that_failed_is_found"

    def __init__(self):
        super().__init__()
        self.written = {}

    def tracking_write(self, call, organization_id, changes):
        call(organization_id, changes)
        for profile in changes.created_profiles:
            self.written[organization_id, IdentityKind.EMAIL, profile.email] = profile
            self.written[organization_id, IdentityKind.EXTERNAL_ID, profile.external_id] = profile

    def finding_profile(self, call, organization_id, kind, value):
        found = call(organization_id, kind, value)
        return found or self.written.get((organization_id, kind, value))


class BacklogOfWhatRests(Broken):
    caught_by = "test_a_backlog_is_what_a_claim_could_have_by_journey"

    def finding_backlogs(self, call, organization_id, journey_ids, now, limit):
        return call(organization_id, journey_ids, now + timedelta(days=1), limit)


class BacklogWithoutItsBound(Broken):
    caught_by = "test_a_backlog_is_what_a_claim_could_have_by_journey"

    def finding_backlogs(self, call, organization_id, journey_ids, now, limit):
        return call(organization_id, journey_ids, now, min(limit, 1))
