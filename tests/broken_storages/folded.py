"""Mistakes with keys: two of them are one, for how they read."""

from __future__ import annotations

import unicodedata

from broken_storages.altered import planted


class Folded(dict):
    """Rows whose keys are what `fold` makes of them; listed is the first key of each."""

    def __init__(self, fold):
        super().__init__()
        self._fold = fold
        self._first = {}

    def _key(self, key):
        return self._first.get(self._fold(key), key)

    def __setitem__(self, key, value):
        super().__setitem__(self._first.setdefault(self._fold(key), key), value)

    def __getitem__(self, key):
        return super().__getitem__(self._key(key))

    def __contains__(self, key):
        return super().__contains__(self._key(key))

    def get(self, key, default=None):
        return super().get(self._key(key), default)

    def pop(self, key, *default):
        found = super().pop(self._key(key), *default)
        self._first.pop(self._fold(key), None)
        return found


def folded(name, table, fold, caught_by):
    """Plant a mistake in the keys of one table."""

    def __init__(self):  # noqa: N807
        super(kind, self).__init__()
        getattr(self._tables, table).rows = Folded(fold)

    kind = planted(name, caught_by, {"__init__": __init__})
    return kind


def joined(joint):
    return lambda key: joint.join(map(str, key))


def without_organization(key):
    return key[1:]


def each(fold):
    return lambda key: tuple(fold(part) if isinstance(part, str) else part for part in key)


def _composed(text):
    return unicodedata.normalize("NFC", text)


def _bare(text):
    split = unicodedata.normalize("NFD", text)
    return "".join(letter for letter in split if not unicodedata.combining(letter))


JOINED = "test_keys_that_read_alike_when_their_parts_are_joined_are_different"
VALUES = "test_every_value_of_every_field_comes_back_as_it_was"
VERSIONS = "test_a_journey_and_its_version_are_no_other_journey"
SAME_IDS = "test_organizations_with_the_same_ids_read_their_own"
ENTRY_KEYS = "test_one_entry_key_serves_every_journey_and_every_profile"

FOLDED = [
    folded("ExternalIdsJoinedWithNothing", "external_ids", joined(""), f"{JOINED}[nothing]"),
    folded("ExternalIdsJoinedWithColons", "external_ids", joined(":"), f"{JOINED}[U+003A]"),
    folded("ExternalIdsJoinedWithSlashes", "external_ids", joined("/"), f"{JOINED}[U+002F]"),
    folded("ExternalIdsJoinedWithBars", "external_ids", joined("|"), f"{JOINED}[U+007C]"),
    folded("JourneysJoinedWithColons", "journeys", joined(":"), f"{JOINED}[U+003A]"),
    folded("TriggersJoinedWithDots", "listening", joined("."), f"{JOINED}[U+002E]"),
    folded("VersionsJoinedWithNothing", "versions", joined(""), f"{VERSIONS}[nothing]"),
    folded(
        "ExternalIdsWithoutAccents",
        "external_ids",
        each(_bare),
        f"{VALUES}[external_id]",
    ),
    folded("ExternalIdsWithoutPadding", "external_ids", each(str.rstrip), f"{VALUES}[external_id]"),
    folded("JourneysWithoutCase", "journeys", each(str.casefold), f"{VALUES}[journey_id]"),
    folded("TriggersWithoutForm", "listening", each(_composed), f"{VALUES}[trigger]"),
    folded(
        "OrganizationsWithoutCase", "profiles", each(str.casefold), f"{VALUES}[organization_id]"
    ),
    folded("EventsOfEveryOrganization", "events", without_organization, SAME_IDS),
    folded("ProfilesOfEveryOrganization", "profiles", without_organization, SAME_IDS),
    folded("EmailsOfEveryOrganization", "emails", without_organization, SAME_IDS),
    folded("ExternalIdsOfEveryOrganization", "external_ids", without_organization, SAME_IDS),
    folded("JourneysOfEveryOrganization", "journeys", without_organization, SAME_IDS),
    folded("ListenersOfEveryOrganization", "listening", without_organization, SAME_IDS),
    folded("KeysOfEveryOrganization", "key_claims", without_organization, SAME_IDS),
    folded("EnrollmentsOfEveryOrganization", "enrollments", without_organization, SAME_IDS),
    folded(
        "FormerEmailsOfEveryOrganization",
        "former_emails",
        without_organization,
        "test_an_email_that_gave_way_is_of_its_organization_alone",
    ),
    folded(
        "EntriesOfEveryOrganization",
        "entries",
        without_organization,
        "test_of_several_ids_an_organization_is_given_those_that_it_has",
    ),
    folded(
        "EntryKeysOfEveryOrganization",
        "entry_keys",
        without_organization,
        "test_of_several_ids_an_organization_is_given_those_that_it_has",
    ),
    folded(
        "EntryKeysOfEveryJourney",
        "entry_keys",
        lambda key: (key[0], *key[2:]),
        "test_an_entry_key_is_taken_for_its_journey_and_its_profile_alone",
    ),
    folded(
        "EntryKeysOfEveryProfile",
        "entry_keys",
        lambda key: (*key[:2], key[3]),
        "test_an_entry_key_is_taken_for_its_journey_and_its_profile_alone",
    ),
    folded(
        "ApiKeysOfEveryOrganization",
        "api_keys",
        without_organization,
        "test_keys_with_one_lookup_are_all_found_and_keys_of_one_id_are_apart",
    ),
]
