"""Mistakes with what one call removes, and with where the next one goes on."""

from __future__ import annotations

from attrs import evolve

from broken_storages.altered import Broken
from segmentflow_core.ports import EventPlace

_INSTANT = "test_more_events_of_one_instant_than_a_page_holds_are_each_looked_at_once[2]"
_STAYS = "test_a_key_stays_taken_when_its_event_goes_whether_or_not_it_expires"
_FREE = "test_the_key_of_a_person_who_was_erased_is_free_once_it_has_expired"


class PagesByTimeAlone(Broken):
    caught_by = _INSTANT

    def retention_remove_events(self, call, organization_id, before, limit, after):
        behind = None if after is None else EventPlace(after.received_at, "~")
        return call(organization_id, before, limit, behind)


class PagesByIdAlone(Broken):
    """The next page begins behind the id, whatever its time."""

    caught_by = _INSTANT

    def retention_remove_events(self, call, organization_id, before, limit, after):
        if after is None:
            return call(organization_id, before, limit, None)
        first = min(e.received_at for e in self._tables.events.rows.values())
        return call(organization_id, before, limit, EventPlace(first, after.event_id))


class APageHoldsOneMore(Broken):
    caught_by = _INSTANT

    def retention_remove_events(self, call, organization_id, before, limit, after):
        return call(organization_id, before, limit + 1, after)


class EnrollmentsGoWithoutABound(Broken):
    caught_by = "test_a_call_removes_no_more_enrollments_than_its_limit"

    def retention_remove_enrollments(self, call, organization_id, before, limit):
        del limit
        return call(organization_id, before, 100_000)


class KeysThatNeverExpireGo(Broken):
    caught_by = _STAYS

    def retention_remove_events(self, call, *asked):
        tables = self._tables
        before = set(tables.events.rows)
        result = call(*asked)
        for at, claim in [*tables.key_claims.rows.items()]:
            gone = (at[0], claim.receipt.event_id) in before - tables.events.rows.keys()
            if gone and claim.expires_at is None:
                tables.key_claims.remove(at)
        return result


class AScrubbedKeyIsTakenForEver(Broken):
    caught_by = _FREE

    def people_scrub(self, call, organization_id, profile_id, limit):
        scrubbed = call(organization_id, profile_id, limit)
        claims = self._tables.key_claims
        for at, claim in [*claims.rows.items()]:
            if claim.fingerprint is None and claim.expires_at is not None:
                claims.put(at, evolve(claim, expires_at=None))
        return scrubbed


class AScrubbedKeyIsNotPurged(Broken):
    caught_by = _FREE

    def idempotency_purge(self, call, now, limit):
        claims = self._tables.key_claims
        kept = {at: claim for at, claim in claims.rows.items() if claim.fingerprint is None}
        purged = call(now, limit)
        for at, claim in kept.items():
            claims.put(at, claim)
        return purged - len(kept)
