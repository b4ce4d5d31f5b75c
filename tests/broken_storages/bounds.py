"""Mistakes by one: at an instant, at a page's end, at a limit, or in the order of writes."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from broken_storages.altered import planted
from broken_storages.stored import in_milliseconds
from segmentflow_core.ports import Changes, EnrollmentStatus, PriorEntries

STEP = timedelta(microseconds=1)


def asked(name, caught_by, alter):
    """Plant a mistake in what `load` takes the time of a batch for."""

    def tracking_load(self, call, organization_id, intent):
        return call(organization_id, evolve(intent, now=alter(intent.now)))

    return planted(name, caught_by, tracking_load=tracking_load)


def purged(name, caught_by, alter):
    def idempotency_purge(self, call, now, limit):
        return call(alter(now), limit)

    return planted(name, caught_by, idempotency_purge=idempotency_purge)


def claimed(name, caught_by, **alter):
    """Plant a mistake in the terms of a claim."""

    def hand_over_claim(self, call, terms):
        return call(evolve(terms, **{part: f(getattr(terms, part)) for part, f in alter.items()}))

    return planted(name, caught_by, hand_over_claim=hand_over_claim)


def rewritten(name, caught_by, method, alter):
    """Plant a mistake in what the hand-over stores; what it returns is right."""

    def hand_over(self, call, *arguments):
        done = call(*arguments)
        for at, row in [*self._tables.enrollments.rows.items()]:
            if any(row is each for each in _enrollments(done)):
                self._tables.put_enrollment(at[0], alter(row))
        return done

    return planted(name, caught_by, **{f"hand_over_{method}": hand_over})


def _enrollments(done):
    return done.values() if isinstance(done, dict) else [claimed.enrollment for claimed in done]


KEY = "test_a_key_is_taken_until_it_expires_and_no_longer"
PURGE = "test_keys_are_purged_from_the_instant_at_which_they_expire"
LEASE = "test_a_lease_holds_until_it_ends_and_no_longer"
WHOLE = "[2026-06-01T12:00:00+00:00]"
ODD = "[2026-06-01T12:00:00.123457+00:00]"
HAND_OVER = (
    "test_what_the_hand_over_writes_comes_back_at_every_instant[2026-05-31T12:00:00.000001+00:00]"
)
BOTH = "test_enrollments_are_listed_by_both_filters_at_once_page_by_page"
EVENTS = "test_events_are_listed_page_by_page_whatever_their_times"
CURSOR = "test_a_page_starts_below_its_cursor_whether_or_not_that_is_an_id"
THOUSAND = "test_a_thousand_of_everything_are_loaded_by_one_call"
FINISHED = "test_a_thousand_enrollments_are_claimed_and_finished_by_one_call_each"
TAKEN = "test_an_identity_that_is_given_up_may_be_taken_in_the_same_batch"
LATEST = "test_the_latest_of_entries_a_microsecond_apart_is_told"


def delayed(self, call, leases, terms):
    return call(leases, evolve(terms, available_at=terms.available_at + STEP))


def extended_in_milliseconds(self, call, leases, lease_until):
    return call(leases, in_milliseconds(lease_until))


def last_words_alone(self, call, leases, terms):
    """Forget the words of an earlier failure where the later one has none."""
    return call(leases, evolve(terms, error=terms.error or "nothing said"))


def revived_later(self, call, organization_id, ids, now):
    return call(organization_id, ids, now + STEP)


TIMES = [
    asked("KeysEndTooLate", f"{KEY}{WHOLE}", lambda now: now - STEP),
    asked("KeysEndTooEarly", f"{KEY}{WHOLE}", lambda now: now + STEP),
    asked("KeysEndByTheMillisecond", f"{KEY}{ODD}", in_milliseconds),
    asked("KeysEndByTheSecond", f"{KEY}{ODD}", lambda now: now.replace(microsecond=0)),
    purged("PurgeTooLate", f"{PURGE}{WHOLE}", lambda now: now - STEP),
    purged("PurgeTooEarly", f"{PURGE}{WHOLE}", lambda now: now + STEP),
    claimed("LeasesEndTooLate", f"{LEASE}{WHOLE}", now=lambda now: now - STEP),
    claimed("LeasesEndTooEarly", f"{LEASE}{WHOLE}", now=lambda now: now + STEP),
    claimed("LeasesByTheMillisecond", f"{LEASE}{ODD}", lease_until=in_milliseconds),
    planted(
        "GivenBackTooLate",
        f"test_what_was_given_back_is_available_from_the_instant_that_was_said{WHOLE}",
        hand_over_release=delayed,
    ),
    planted(
        "ExtendedByTheMillisecond",
        f"test_an_extended_lease_holds_until_its_new_end{ODD}",
        hand_over_extend=extended_in_milliseconds,
    ),
    planted(
        "RevivedTooLate",
        f"test_what_is_revived_is_available_from_then_on{WHOLE}",
        hand_over_revive=revived_later,
    ),
]


def answered(name, caught_by, alter):
    """Plant a mistake in the answers about earlier entries."""

    def tracking_prior_entries(self, call, organization_id, probes):
        return alter(lambda asked: call(organization_id, asked), probes)

    return planted(name, caught_by, tracking_prior_entries=tracking_prior_entries)


def _one_later(call, probes):
    later = [evolve(p, before=None if p.before is None else p.before + 1) for p in probes]
    answers = call(later)
    return {probe: answers[other] for probe, other in zip(probes, later, strict=True)}


def _in_milliseconds(call, probes):
    return {
        probe: evolve(
            answer,
            last_entered_at=answer.last_entered_at and in_milliseconds(answer.last_entered_at),
        )
        for probe, answer in call(probes).items()
    }


def _first_thousand(call, probes):
    return {**dict.fromkeys(probes, PriorEntries()), **call(probes[:1000])}


ENTRIES = [
    answered("BeforeIsIncluded", f"{LATEST}{WHOLE}", _one_later),
    answered("EntriesByTheMillisecond", f"{LATEST}{ODD}", _in_milliseconds),
    answered("AThousandProbes", THOUSAND, _first_thousand),
]


def filtered_after_the_limit(self, call, organization_id, limit, before, *filters):
    journey_id, status = filters
    page = call(organization_id, limit, before)
    return [
        entry
        for entry in page
        if journey_id in (None, entry.journey_id) and status in (None, entry.status)
    ]


def one_filter(self, call, organization_id, limit, before, *filters):
    journey_id, status = filters
    return call(organization_id, limit, before, journey_id, None if journey_id else status)


def no_cursor_with_a_filter(self, call, organization_id, limit, before, *filters):
    return call(organization_id, limit, None if filters[1] else before, *filters)


def a_hundred(self, call, organization_id, limit, *others):
    return call(organization_id, min(limit, 100), *others)


def a_thousand(self, call, organization_id, limit, *others):
    return call(organization_id, min(limit, 1000), *others)


def cursor_included(self, call, organization_id, limit, before=None, *others):
    page = call(organization_id, limit, before, *others)
    found = before and self._tables.events.rows.get((organization_id, before))
    return [found, *page][:limit] if found else page


def by_receipt(self, call, organization_id, limit, before=None):
    page = call(organization_id, 100_000, before)
    return sorted(page, key=lambda event: event.received_at, reverse=True)[:limit]


def a_thousand_events(self, call, organization_id, ids):
    return call(organization_id, ids[:1000])


def a_thousand_emails(self, call, organization_id, intent):
    return call(organization_id, evolve(intent, emails=intent.emails[:1000], external_ids=()))


def a_thousand_keys(self, call, organization_id, intent):
    return call(organization_id, evolve(intent, keys=intent.keys[:1000]))


def a_thousand_leases(self, call, leases, *others):
    return call(leases[:1000], *others)


def a_thousand_ids(self, call, organization_id, ids, now):
    return call(organization_id, ids[:1000], now)


def one_too_many(self, call, terms):
    return call(evolve(terms, limit=terms.limit + 1))


def by_id(self, call, terms):
    """Hand over by id whatever has been available longest."""
    waiting = call(evolve(terms, limit=100_000))
    chosen = sorted(waiting, key=lambda c: c.enrollment.enrollment_id)[: terms.limit]
    kept = {c.enrollment.enrollment_id for c in chosen}
    self._tables.roll_back()
    return [c for c in call(evolve(terms, limit=100_000)) if c.enrollment.enrollment_id in kept]


LISTS = [
    planted("FilteredAfterTheLimit", BOTH, enrollments_list=filtered_after_the_limit),
    planted("OneFilterAtATime", BOTH, enrollments_list=one_filter),
    planted("NoCursorWithAFilter", BOTH, enrollments_list=no_cursor_with_a_filter),
    planted("PagesOfAHundred", BOTH, enrollments_list=a_hundred),
    planted("PagesOfAThousand", EVENTS, events_list=a_thousand),
    planted("CursorIncluded", CURSOR, events_list=cursor_included),
    planted("EventsByReceipt", EVENTS, events_list=by_receipt),
    planted("AThousandEvents", THOUSAND, events_get_many=a_thousand_events),
    planted("AThousandEmails", THOUSAND, tracking_load=a_thousand_emails),
    planted("AThousandKeys", THOUSAND, tracking_load=a_thousand_keys),
    planted("AThousandCompletions", FINISHED, hand_over_complete=a_thousand_leases),
    planted("AThousandExtensions", FINISHED, hand_over_extend=a_thousand_leases),
    planted("AThousandReleases", FINISHED, hand_over_release=a_thousand_leases),
    planted("AThousandRevivals", FINISHED, hand_over_revive=a_thousand_ids),
    planted(
        "OneTooMany", "test_a_claim_takes_no_more_than_its_limit", hand_over_claim=one_too_many
    ),
    planted(
        "HandedOverById",
        f"test_what_is_available_longest_comes_first_by_a_microsecond{WHOLE}",
        hand_over_claim=by_id,
    ),
]


HANDED_OVER = [
    rewritten("AttemptsAreForgotten", HAND_OVER, "claim", lambda e: evolve(e, attempts=0)),
    rewritten("TokensAreForgotten", HAND_OVER, "release", lambda e: evolve(e, token=None)),
    rewritten(
        "LeasesOutliveTheirEnd",
        HAND_OVER,
        "complete",
        lambda e: evolve(e, lease_until=e.completed_at),
    ),
    rewritten(
        "CompletedByTheMillisecond",
        HAND_OVER,
        "complete",
        lambda e: evolve(e, completed_at=in_milliseconds(e.completed_at)),
    ),
    rewritten(
        "ExtensionsAreForgotten", HAND_OVER, "extend", lambda e: evolve(e, lease_until=e.entered_at)
    ),
    rewritten("RevivalsKeepTheToken", HAND_OVER, "revive", lambda e: evolve(e, token=e.event_id)),
    rewritten("RevivalsKeepTheAttempts", HAND_OVER, "revive", lambda e: evolve(e, attempts=2)),
    rewritten(
        "TheDeadArePending",
        HAND_OVER,
        "release",
        lambda e: evolve(e, status=EnrollmentStatus.PENDING),
    ),
    rewritten("FailuresAreForgotten", HAND_OVER, "claim", lambda e: evolve(e, last_failure=None)),
    rewritten(
        "FailuresOutliveSuccess", HAND_OVER, "complete", lambda e: evolve(e, last_failure="a")
    ),
    rewritten("FailuresOutliveRevival", HAND_OVER, "revive", lambda e: evolve(e, last_failure="a")),
    rewritten(
        "FailuresAreCut",
        "test_every_failure_in_words_comes_back",
        "release",
        lambda e: evolve(e, last_failure=e.last_failure and e.last_failure[:255]),
    ),
    planted("FailuresAreOverwritten", HAND_OVER, hand_over_release=last_words_alone),
]


def one_by_one(self, call, organization_id, changes):
    """Give up and take identities Profile by Profile."""
    for profile in changes.changed_profiles:
        call(organization_id, Changes(changed_profiles=(profile,)))
    call(organization_id, evolve(changes, changed_profiles=()))


def created_first(self, call, organization_id, changes):
    call(organization_id, Changes(created_profiles=changes.created_profiles))
    call(organization_id, evolve(changes, created_profiles=()))


def linked_late(self, call, organization_id, changes):
    """Index the external ids of new Profiles alone."""
    before = dict(self._tables.external_ids.rows)
    call(organization_id, changes)
    for profile in changes.changed_profiles:
        at = (organization_id, profile.external_id)
        if at not in before and at in self._tables.external_ids.rows:
            self._tables.external_ids.remove(at)


def led_nowhere(self, call, organization_id, changes):
    """Keep the emails that gave way, and find nobody by them."""
    call(organization_id, changes)
    for at in [*self._tables.former_emails.rows]:
        self._tables.former_emails.remove(at)


WRITES = [
    planted(
        "FormerEmailsLeadNowhere",
        "test_every_value_of_every_field_comes_back_as_it_was[former_emails]",
        tracking_write=led_nowhere,
    ),
    planted("IdentitiesOneByOne", f"{TAKEN}[swapped-(1, 0, 2)]", tracking_write=one_by_one),
    planted(
        "CreatedFirst", f"{TAKEN}[given-up-and-created-(0, 1, 2)]", tracking_write=created_first
    ),
    planted("LinksAreNotIndexed", f"{TAKEN}[linked-(0, 1, 2)]", tracking_write=linked_late),
]


def forgotten_label(self, call, api_key):
    call(evolve(api_key, label=api_key.label and api_key.label.strip()))


def forgotten_mode(self, call, api_key):
    call(evolve(api_key, test=False))


def sorted_scopes(self, call, api_key):
    call(evolve(api_key, scopes=tuple(sorted(api_key.scopes, key=str.casefold))))


def one_found(self, call, lookup):
    return call(lookup)[:1]


def last_use_wins(self, call, organization_id, key_id):
    found = call(organization_id, key_id)
    return found and evolve(found, last_used_at=None)


def last_revocation_wins(self, call, organization_id, key_id):
    found = call(organization_id, key_id)
    return found and evolve(found, revoked_at=None)


def used_by_the_millisecond(self, call, api_key):
    used = api_key.last_used_at
    call(evolve(api_key, last_used_at=used and in_milliseconds(used)))


def revocations_are_not_saved(self, call, api_key):
    call(evolve(api_key, revoked_at=None))


KEPT = "test_every_value_of_every_field_of_a_key_comes_back_as_it_was"
INSTANTS = "test_when_a_key_was_used_and_revoked_comes_back_at_every_instant"
LATER = "test_a_use_counts_if_it_is_later_and_a_revocation_if_it_is_the_first"
AT_1970 = f"{LATER}[1970-01-01 00:00:00+00:00]"

API_KEYS = [
    planted("LabelsAreTrimmed", f"{KEPT}[label]", api_keys_create=forgotten_label),
    planted("KeysForTestsAreLive", f"{KEPT}[test]", api_keys_create=forgotten_mode),
    planted("ScopesAreSorted", f"{KEPT}[scopes]", api_keys_create=sorted_scopes),
    planted(
        "OneKeyIsFound",
        "test_keys_with_one_lookup_are_all_found_and_keys_of_one_id_are_apart",
        api_keys_find=one_found,
    ),
    planted("TheLastUseWins", AT_1970, api_keys_lock=last_use_wins),
    planted(
        "TheLastRevocationWins",
        f"{LATER}[1970-01-01 00:00:00+00:00]",
        api_keys_lock=last_revocation_wins,
    ),
    planted("UsedByTheMillisecond", f"{INSTANTS}[use]", api_keys_save=used_by_the_millisecond),
    planted(
        "RevocationsAreNotSaved",
        f"{INSTANTS}[revoke]",
        api_keys_save=revocations_are_not_saved,
    ),
]

BY_ONE = [*TIMES, *ENTRIES, *LISTS, *HANDED_OVER, *WRITES, *API_KEYS]
