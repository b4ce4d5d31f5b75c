"""Mistakes with idempotency keys, with all or nothing, and between Organizations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import evolve

from broken_storages.altered import Broken


class NoExpiryCheck(Broken):
    caught_by = "test_an_expired_key_is_free_though_nothing_purged_it"

    def tracking_load(self, call, organization_id, intent):
        return call(organization_id, evolve(intent, now=datetime.min.replace(tzinfo=UTC)))


class RefusedRequestKeepsItsKey(Broken):
    caught_by = "test_a_refused_request_leaves_its_key_unused"

    def tracking_write(self, call, organization_id, changes):
        call(organization_id, evolve(changes, freed=()))


class ReplayCountsAsNew(Broken):
    caught_by = "test_a_retry_gets_the_same_receipt_and_writes_nothing"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        ours = {claim.key: claim.event_id for claim in intent.keys}
        taken = {
            key: evolve(found, key_claim=evolve(found.key_claim, event_id=ours[key]))
            for key, found in known.taken.items()
        }
        return evolve(known, taken=taken)


class ReplayProlongsItsKey(Broken):
    caught_by = "test_a_replay_makes_its_key_last_no_longer"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        for claim in intent.keys:
            if claim.key in known.taken:
                at = (organization_id, intent.operation, claim.key)
                kept = evolve(known.taken[claim.key].key_claim, expires_at=claim.expires_at)
                self._tables.key_claims.put(at, kept)
        return known


class KeysWithoutCase(Broken):
    caught_by = "test_keys_that_differ_in_case_are_different_keys"

    def tracking_load(self, call, organization_id, intent):
        lower = tuple(evolve(claim, key=claim.key.lower()) for claim in intent.keys)
        known = call(organization_id, evolve(intent, keys=lower))
        taken = {
            claim.key: known.taken[claim.key.lower()]
            for claim in intent.keys
            if claim.key.lower() in known.taken
        }
        return evolve(known, taken=taken)


class PurgeOfLiveKeys(Broken):
    caught_by = "test_purge_removes_expired_keys_only_and_no_more_than_asked"

    def idempotency_purge(self, call, now, limit):
        return call(now + timedelta(hours=1), limit)


class PurgeOverTheLimit(Broken):
    caught_by = "test_purge_removes_expired_keys_only_and_no_more_than_asked"

    def idempotency_purge(self, call, now, limit):
        return call(now, limit + 1)


class HeldClaimWithoutItsPaths(Broken):
    caught_by = "test_another_request_under_a_used_key_is_refused_and_names_what_changed"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        taken = {
            key: evolve(found, key_claim=evolve(found.key_claim, paths={}))
            for key, found in known.taken.items()
        }
        return evolve(known, taken=taken)


class KeyAndEffectsInTwoTransactions(Broken):
    caught_by = "test_an_exception_at_any_call_leaves_nothing_and_the_retry_succeeds"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        self._tables.undo.clear()
        return known


class InterruptCommits(Broken):
    caught_by = "test_an_interrupt_at_any_call_leaves_nothing_and_the_retry_succeeds"

    def run(self, work):
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
