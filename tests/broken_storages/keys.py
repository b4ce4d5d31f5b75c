"""Mistakes with idempotency keys, with all or nothing, and between Organizations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import evolve

from broken_storages.altered import Broken
from segmentflow_core.ports import Changes, Fingerprint, KeyClaim, Receipt
from segmentflow_core.testing import SequentialIds

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class NoExpiryCheck(Broken):
    caught_by = "test_an_expired_key_is_free_though_nothing_purged_it"

    def tracking_load(self, call, organization_id, intent):
        return call(organization_id, evolve(intent, now=_LONG_AGO))


class RefusedRequestKeepsItsKey(Broken):
    caught_by = "test_a_refused_request_leaves_its_key_unused"

    def tracking_write(self, call, organization_id, changes):
        call(organization_id, changes)
        nothing = Receipt("", "", 0, 0, 0)
        for key in changes.freed:
            claim = KeyClaim(key, Fingerprint("", "", b""), {}, nothing, _LONG_AGO, None)
            self._tables.key_claims.put((organization_id, key), claim)


class ReplayProlongsItsKey(Broken):
    caught_by = "test_a_replay_makes_its_key_last_no_longer"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        for key, claim in known.taken.items():
            kept = evolve(claim, expires_at=intent.expires_at)
            self._tables.key_claims.put((organization_id, key), kept)
        return known


class ReplayOfAnotherEvent(Broken):
    caught_by = "test_a_retry_gets_the_same_receipt_and_writes_nothing"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        taken = {}
        for key, claim in known.taken.items():
            receipt = evolve(claim.receipt, event_id=SequentialIds().new_id())
            taken[key] = evolve(claim, receipt=receipt)
        return evolve(known, taken=taken)


class PurgeOfLiveKeys(Broken):
    caught_by = "test_purge_removes_expired_keys_only_and_no_more_than_asked"

    def idempotency_purge(self, call, now, limit):
        return call(now + timedelta(hours=1), limit)


class PurgeOverTheLimit(Broken):
    caught_by = "test_purge_removes_expired_keys_only_and_no_more_than_asked"

    def idempotency_purge(self, call, now, limit):
        return call(now, limit + 1)


class ClaimWithoutItsPaths(Broken):
    caught_by = "test_another_request_under_a_used_key_is_refused_and_names_what_changed"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        taken = {key: evolve(claim, paths={}) for key, claim in known.taken.items()}
        return evolve(known, taken=taken)


class ReceiptOfWhatListensNow(Broken):
    caught_by = "test_a_replay_knows_what_the_journeys_did_then"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        taken = {}
        for key, claim in known.taken.items():
            receipt = evolve(claim.receipt, matched_journeys=len(known.journeys))
            taken[key] = evolve(claim, receipt=receipt)
        return evolve(known, taken=taken)


class OneEventOfMany(Broken):
    caught_by = "test_of_many_events_those_that_are_there_come_back"

    def events_get_many(self, call, organization_id, event_ids):
        return call(organization_id, event_ids[:1])


class KeyAndEffectsInTwoTransactions(Broken):
    caught_by = "test_an_exception_at_any_call_leaves_nothing_and_the_retry_succeeds"

    def tracking_write(self, call, organization_id, changes):
        call(organization_id, Changes(key_claims=changes.key_claims))
        self._tables.undo.clear()
        call(organization_id, evolve(changes, key_claims=()))


class InterruptCommits(Broken):
    caught_by = "test_an_interrupt_at_any_call_leaves_nothing_and_the_retry_succeeds"

    def run(self, work, **how):
        interrupts = []

        def guarded(transaction):
            try:
                return work(transaction)
            except Exception:
                raise
            except BaseException as interrupt:  # noqa: BLE001 - the planted mistake
                interrupts.append(interrupt)

        result = super().run(guarded)
        if interrupts:
            raise interrupts[0]
        return result


class EventsOfAnyOrganization(Broken):
    caught_by = "test_another_organizations_ids_are_not_found"

    def events_get(self, call, _, event_id):
        for organization_id, known in list(self._tables.events.rows):
            if known == event_id:
                return call(organization_id, event_id)
        return None


class IdentitiesOfAnyOrganization(Broken):
    caught_by = "test_organizations_share_nothing"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        found = tuple(p for p in self._tables.profiles.rows.values() if p.email in intent.emails)
        return evolve(known, profiles=found)


class EntriesOfAnyOrganization(Broken):
    caught_by = "test_another_organizations_lease_holds_nothing"

    def enrollments_get(self, call, _, enrollment_id):
        for organization_id, known in list(self._tables.enrollments.rows):
            if known == enrollment_id:
                return call(organization_id, enrollment_id)
        return None
