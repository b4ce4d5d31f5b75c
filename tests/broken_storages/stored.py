"""Mistakes with what a field holds: what is stored is not what was written."""

from __future__ import annotations

import re
import struct
import unicodedata
from datetime import timedelta

from attrs import evolve

from broken_storages.altered import planted
from broken_storages.values import everywhere
from segmentflow_core.ports import (
    Enrollment,
    KeyClaim,
    Outcome,
    Profile,
    UserEvent,
)
from segmentflow_core.testing.facts import FIELDS

PLACES = {
    KeyClaim: ("key_claims",),
    Profile: ("created_profiles", "changed_profiles"),
    UserEvent: ("events",),
    Enrollment: ("enrollments",),
}


def stored(name, record, field, alter, fact=None):
    """Plant a mistake in one field of the records that tracking writes; null stays null."""

    def altered(each):
        value = getattr(each, field)
        return each if value is None else evolve(each, **{field: alter(value)})

    def tracking_write(self, call, organization_id, changes):
        places = {place: tuple(map(altered, getattr(changes, place))) for place in PLACES[record]}
        call(organization_id, evolve(changes, **places))

    fact = fact or FIELDS[record][field]
    test = f"test_every_value_of_every_field_comes_back_as_it_was[{fact}]"
    return planted(name, test, tracking_write=tracking_write)


def published(name, fact, alter):
    """Plant a mistake in the Journeys that are published."""

    def journeys_publish(self, call, organization_id, versions, statuses):
        call(organization_id, [alter(journey) for journey in versions], statuses)

    test = f"test_every_value_of_every_field_comes_back_as_it_was[{fact}]"
    return planted(name, test, journeys_publish=journeys_publish)


def defined(name, fact, alter, field=None):
    """Plant a mistake in one field of a Journey's definition; what is empty stays so."""

    def altered(journey):
        value = getattr(journey.definition, field or fact)
        if value is None:
            return journey
        return evolve(
            journey, definition=evolve(journey.definition, **{field or fact: alter(value)})
        )

    return published(name, fact, altered)


def normalized(form):
    return lambda text: unicodedata.normalize(form, text)


def without_wide(text):
    return "".join(letter if ord(letter) < 0x10000 else "?" for letter in text)


def as_date(text):
    return f"{text}T00:00:00" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text


def as_number(text):
    return "1" if text == "01" else text


def in_milliseconds(moment):
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def from_1970(moment):
    return max(moment, moment.replace(year=1970, month=1, day=1)) if moment.year < 1970 else moment


def as_single(number):
    """Keep a number as a float of 32 bits."""
    return int(struct.unpack("f", struct.pack("f", number))[0])


def in_json(alter):
    return lambda data: everywhere(data, alter)


def lists(alter):
    """Alter every list within a JSON value."""

    def walk(value):
        if isinstance(value, dict):
            return {name: walk(item) for name, item in value.items()}
        return alter([walk(item) for item in value]) if isinstance(value, list) else value

    return walk


def empty_lists_are_objects(data):
    return lists(lambda items: items or {})(data)


def names(alter):
    return lambda data: {alter(name): value for name, value in data.items()}


def fingerprinted(name, part, alter, fact):
    return stored(
        name, KeyClaim, "fingerprint", lambda f: evolve(f, **{part: alter(getattr(f, part))}), fact
    )


def received(name, part, alter, fact):
    return stored(
        name, KeyClaim, "receipt", lambda r: evolve(r, **{part: alter(getattr(r, part))}), fact
    )


STORED = [
    # Texts.
    stored("EventNamesAreTrimmed", UserEvent, "event", str.strip),
    stored("EventNamesHaveUnixLines", UserEvent, "event", lambda t: t.replace("\r\n", "\n")),
    stored("EventNamesOfThreeBytesALetter", UserEvent, "event", without_wide),
    stored("EventNamesAreCut", UserEvent, "event", lambda text: text[:254]),
    stored("ReferenceIdsAreComposed", UserEvent, "reference_id", normalized("NFC")),
    stored("ReferenceIdsAreCompatible", UserEvent, "reference_id", normalized("NFKC")),
    stored("ReferenceIdsThatLookLikeDates", UserEvent, "reference_id", as_date),
    stored("ReferenceIdsThatLookLikeNumbers", UserEvent, "reference_id", as_number),
    stored("ReferenceIdsArePadded", UserEvent, "reference_id", str.rstrip),
    stored("ExternalIdsAreDecomposed", Profile, "external_id", normalized("NFD")),
    stored("ExternalIdsAreUnquoted", Profile, "external_id", lambda t: t.replace("\\\\", "\\")),
    stored("EmailsAreCut", Profile, "email", lambda text: text[:254]),
    stored("EmailsWithoutDots", Profile, "email", lambda text: text.replace(".", "", 1)),
    stored("EntryKeysThatLookLikeNumbers", Enrollment, "entry_key", lambda k: k.lstrip("0")),
    stored("EmptyEntryKeysAreNull", Enrollment, "entry_key", lambda key: key or None),
    fingerprinted("KeyIdsAreTrimmed", "key_id", str.strip, "key_id"),
    fingerprinted("OneSchemeForAll", "scheme", str.lower, "scheme"),
    fingerprinted("DigestsEndAtZero", "digest", lambda d: d.rstrip(b"\0"), "request_digest"),
    stored("PathsAreComposed", KeyClaim, "paths", names(normalized("NFC"))),
    defined("NamesOfJourneysAreTrimmed", "name", str.strip),
    defined("JourneysLoseTheirSeed", "seed", lambda s: evolve(s, seed=s.seed.lower()), "sample"),
    # Numbers.
    stored("CountsOfTheEventAre32Bits", UserEvent, "number", lambda n: min(n, 2**31 - 1)),
    stored("CountsOfTheProfileAreSingle", Profile, "number", as_single),
    stored("VersionsOf16Bits", Profile, "version", lambda version: version % 65_536),
    received("ReceiptsOf8Bits", "matched_journeys", lambda count: count % 256, "matched"),
    received("NobodyIsSkipped", "skipped_journeys", lambda count: 0, "matched"),
    defined(
        "WholePercentsBecomeIntegers",
        "percent",
        lambda s: evolve(s, percent=int(s.percent) if s.percent == int(s.percent) else s.percent),
        "sample",
    ),
    # Times.
    stored("ReceiptTimesInMilliseconds", UserEvent, "received_at", in_milliseconds),
    stored("NothingHappenedBefore1970", UserEvent, "occurred_at", from_1970),
    stored("NaiveTimes", UserEvent, "received_at", lambda at: at.replace(tzinfo=None)),
    stored("CreationInMilliseconds", Profile, "created_at", in_milliseconds),
    stored("ChangesInMilliseconds", Profile, "updated_at", in_milliseconds),
    stored("EntriesInMilliseconds", Enrollment, "entered_at", in_milliseconds),
    stored("AvailableInMilliseconds", Enrollment, "available_at", in_milliseconds),
    stored("ClaimsInMilliseconds", KeyClaim, "taken_at", in_milliseconds),
    stored("ExpiryInMilliseconds", KeyClaim, "expires_at", in_milliseconds),
    stored(
        "PropertyTimesAsDoubles",
        Profile,
        "property_times",
        lambda times: {n: (int(float(o)), int(float(r))) for n, (o, r) in times.items()},
        "set_at",
    ),
    stored(
        "EmailTimesAsDoubles",
        Profile,
        "email_times",
        lambda times: tuple(int(float(time)) for time in times),
        "given_at",
    ),
    stored("FormerEmailsAreForgotten", Profile, "former_emails", lambda emails: {}),
    stored(
        "FormerEmailsLoseTheirTimes",
        Profile,
        "former_emails",
        lambda emails: {email: (last, last, last) for email, (_, _, last) in emails.items()},
    ),
    stored(
        "PropertyTimesAreComposed", Profile, "property_times", names(normalized("NFC")), "removed"
    ),
    published(
        "PublishedInMilliseconds",
        "published_at",
        lambda j: evolve(j, published_at=in_milliseconds(j.published_at)),
    ),
    defined(
        "WindowsInMilliseconds",
        "starts_at",
        lambda w: evolve(w, starts_at=w.starts_at and in_milliseconds(w.starts_at)),
        "window",
    ),
    defined("WindowsHaveNoEnd", "ends_at", lambda w: evolve(w, ends_at=None), "window"),
    # JSON.
    stored("TrueBecomesOne", UserEvent, "data", in_json(lambda v: 1 if v is True else v)),
    stored(
        "DigitsOfADoubleAreLost",
        UserEvent,
        "data",
        in_json(lambda v: float(f"{v:.15g}") if isinstance(v, float) else v),
    ),
    stored("EmptyListsBecomeObjects", UserEvent, "data", empty_lists_are_objects),
    stored("ListsAreSorted", UserEvent, "data", lists(lambda items: sorted(items, key=repr))),
    stored(
        "ListsAreSets", UserEvent, "data", lists(lambda items: [*dict.fromkeys(map(repr, items))])
    ),
    stored(
        "TextsAreCut", UserEvent, "data", in_json(lambda v: v[:65_535] if isinstance(v, str) else v)
    ),
    stored("NamesWithoutCase", UserEvent, "data", names(str.lower)),
    stored("NamesBeginWithNoDollar", UserEvent, "data", names(lambda name: name.lstrip("$"))),
    stored(
        "InnerNullsAreDropped",
        UserEvent,
        "data",
        lists(lambda items: [item for item in items if item is not None]),
    ),
    stored(
        "TextsThatLookLikeNumbers",
        UserEvent,
        "data",
        in_json(lambda v: 1 if v == "1" and isinstance(v, str) else v),
    ),
    stored("PropertiesWithoutCase", Profile, "properties", names(str.lower)),
    stored(
        "EmptyPropertiesAreDropped",
        Profile,
        "properties",
        lambda data: {name: value for name, value in data.items() if value not in ("", [], {})},
    ),
    # Outcomes and definitions.
    stored("OutcomesInReverse", UserEvent, "outcomes", lambda o: o[::-1], "other_outcomes"),
    stored("FiftyOutcomes", UserEvent, "outcomes", lambda o: o[:50], "other_outcomes"),
    stored(
        "OutcomesOfTheFirstVersion",
        UserEvent,
        "outcomes",
        lambda outcomes: tuple(evolve(o, version=1) for o in outcomes),
        "journey_version",
    ),
    stored(
        "ReasonsAsText",
        UserEvent,
        "outcomes",
        lambda o: tuple(Outcome(*_plain(each)) for each in o),
        "reason",
    ),
    defined("DurationsInHours", "max_lateness", lambda text: text.replace("PT60M", "PT1H")),
    defined("KeysAreSorted", "reentry", lambda r: evolve(r, key=tuple(sorted(r.key))), "reentry"),
    defined(
        "ConditionsWithoutTypes",
        "where",
        lambda t: evolve(t, where=t.where and everywhere(t.where, lambda v: 1 if v == 1 else v)),
        "trigger",
    ),
    defined("DraftsArePaused", "status", lambda s: "paused" if s == "draft" else s),
]


def _plain(outcome):
    reason = outcome.reason and str(outcome.reason)
    return outcome.journey_id, outcome.version, outcome.outcome, reason


def changed(name, fact, alter):
    """Plant a mistake in how a Profile that is there already is changed."""

    def tracking_write(self, call, organization_id, changes):
        rows = self._tables.profiles.rows
        after = tuple(
            alter(rows[organization_id, profile.profile_id], profile)
            for profile in changes.changed_profiles
        )
        call(organization_id, evolve(changes, changed_profiles=after))

    test = f"test_every_field_of_a_profile_may_change_to_every_value[{fact}]"
    return planted(name, test, tracking_write=tracking_write)


CHANGED = [
    changed("ExternalIdsStay", "external_id", lambda b, a: evolve(a, external_id=b.external_id)),
    changed(
        "PropertiesAreMerged",
        "properties",
        lambda b, a: evolve(a, properties={**b.properties, **a.properties}),
    ),
    changed(
        "TimesStayWherePropertiesDo",
        "set_at",
        lambda b, a: (
            evolve(a, property_times=b.property_times) if a.properties == b.properties else a
        ),
    ),
    changed(
        "RemovedOnesComeBack",
        "removed",
        lambda b, a: evolve(a, property_times={n: a.property_times[n] for n in a.properties}),
    ),
    changed("ChangesHaveNoTime", "updated_at", lambda b, a: evolve(a, updated_at=b.updated_at)),
    changed("NumbersGoByOne", "number", lambda b, a: evolve(a, number=b.number + 1)),
    changed("EmailTimesStay", "given_at", lambda b, a: evolve(a, email_times=b.email_times)),
    changed(
        "FormerEmailsStay", "former_emails", lambda b, a: evolve(a, former_emails=b.former_emails)
    ),
    changed("VersionsStay", "email", lambda b, a: evolve(a, version=b.version)),
    changed(
        "CreatedWhenChanged",
        "updated_at",
        lambda b, a: evolve(a, created_at=max(b.created_at, a.updated_at - timedelta(days=1))),
    ),
]
