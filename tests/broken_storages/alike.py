"""Mistakes with what leads to a Profile, or no longer does: aliases, and what is blocked."""

from __future__ import annotations

from attrs import evolve

from broken_storages.altered import Broken, planted
from segmentflow_core.ports import Alias, IdentityKind

_ALIAS = "test_an_alias_finds_its_profile_and_what_is_only_like_it_nobody"
_BLOCKED = "test_blocked_identities_that_read_alike_when_their_parts_are_joined_are_different"
_OVERDUE = (
    "test_what_an_archiving_withdrew_is_overdue_from_the_instant_at_which_its_lease_ends"
    "[2026-06-01T12:00:00+00:00]"
)


def by_alias(name, caught_by, alike):
    """Find Profiles by aliases that are only like what is asked for."""

    def finding_profile(self, call, organization_id, kind, value):
        found = call(organization_id, kind, value)
        for (of, *alias), profile_id in self._tables.aliases.rows.items():
            if found is None and of == organization_id and alike(Alias(*alias), Alias(kind, value)):
                found = self._tables.profiles.rows[organization_id, profile_id]
        return found

    return planted(name, caught_by, finding_profile=finding_profile)


ALIASES = [
    by_alias(
        "AliasesOfAnyCase",
        f"{_ALIAS}[externalId-even]",
        lambda one, other: (one.kind, one.value.casefold()) == (other.kind, other.value.casefold()),
    ),
    by_alias(
        "AliasesOfAnyKind",
        f"{_ALIAS}[email-even]",
        lambda one, other: one.value == other.value,
    ),
    by_alias(
        "AliasesWithSpaces",
        f"{_ALIAS}[externalId-odd]",
        lambda one, other: (one.kind, one.value.rstrip()) == (other.kind, other.value.rstrip()),
    ),
]


class Joins(Broken):
    """What is blocked is kept as one text, with nothing that tells its parts apart."""

    caught_by = _BLOCKED
    joint = ""

    def people_block(self, call, organization_id, profile_id, identities):
        call(organization_id, profile_id, identities)
        self._blocked = {
            *getattr(self, "_blocked", ()),
            *(self.joint.join((organization_id, *_parts(each))) for each in identities),
        }

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        asked = [Alias(IdentityKind.EXTERNAL_ID, each) for each in intent.external_ids]
        blocked = getattr(self, "_blocked", ())
        known.blocked = known.blocked | {
            each for each in asked if self.joint.join((organization_id, *_parts(each))) in blocked
        }
        return known


class JoinsByAColon(Joins):
    caught_by = _BLOCKED
    joint = ":"


class JoinsByASlash(Joins):
    caught_by = _BLOCKED
    joint = "/"


class OverdueAMomentAfterTheLease(Broken):
    caught_by = _OVERDUE

    def pausing_overdue(self, call, organization_id, now, limit):
        found = call(organization_id, now, limit)
        return [each for each in found if each.lease_until is None or each.lease_until < now]


class UsesOfRevokedKeysAreLost(Broken):
    caught_by = "test_when_a_key_was_used_and_when_revoked_are_stored_together"

    def api_keys_save(self, call, api_key):
        call(api_key)
        if api_key.revoked_at is not None:
            at = (api_key.organization_id, api_key.key_id)
            self._tables.api_keys.put(at, evolve(api_key, last_used_at=None))


def _parts(identity):
    return identity.kind, identity.value
