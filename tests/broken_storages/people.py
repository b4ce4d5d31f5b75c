"""Mistakes with people: who is found, what is kept of her, what is left, who waits for whom."""

from __future__ import annotations

import threading

from attrs import evolve

from broken_storages.altered import Broken, planted
from optimistic_storages import OptimisticStorage
from segmentflow_core.ports import Alias, EnrollmentStatus, IdentityKind, Known
from segmentflow_core.testing.facts import FIELDS
from segmentflow_memory.repositories import MemoryTransaction

CHANGED = "test_what_a_host_changes_of_a_profile_comes_back_as_it_was_written"
ONE = "test_two_records_of_one_person_are_one_in_every_way_that_they_are_asked_for"
SCRUBBED = "test_scrubbing_is_bounded_takes_all_that_says_something_and_nothing_else"
BLOCKED = "test_blocked_identities_are_told_apart_by_organization_kind_and_value"
ERASED = "test_an_erased_person_is_in_nothing_that_is_read_and_her_retries_bring_nothing_back"
RECORDED = "test_every_value_of_a_record_of_what_was_done_comes_back_as_it_was"
UNFINISHED = "test_unfinished_enrollments_are_those_that_wait_are_claimed_or_dead"
EVENTS = "test_an_event_comes_before_or_after_what_a_host_does_to_its_profile"
WORKERS = "test_a_worker_claims_before_or_after_what_a_host_does_to_its_profile"


# --- who is found ------------------------------------------------------------------------------


class AliasesLeadNowhere(Broken):
    caught_by = f"{CHANGED}[aliases]"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        asked = {*intent.emails, *intent.external_ids}
        found = [
            profile
            for profile in known.profiles
            if asked & {profile.email, profile.external_id, *profile.former_emails}
        ]
        return Known(known.taken, tuple(found), known.journeys, known.blocked)


class AliasesFindNobody(Broken):
    caught_by = ONE

    def finding_profile(self, call, organization_id, kind, value):
        found = call(organization_id, kind, value)
        if found is not None and value not in (found.email, found.external_id):
            return None
        return found


class AliasesStay(Broken):
    """Adds the aliases that a Profile has by now, and takes away none that it had."""

    caught_by = f"{CHANGED}[aliases]"

    def tracking_write(self, call, organization_id, changes):
        had = {
            (organization_id, alias.kind, alias.value): before.profile_id
            for before in changes.previous_profiles
            for alias in before.aliases
        }
        call(organization_id, changes)
        for at, profile_id in had.items():
            if at not in self._tables.aliases.rows:
                self._tables.aliases.put(at, profile_id)


class AliasesGoToWhoHadThem(Broken):
    """Takes away what a Profile had after it gave it to the other one."""

    caught_by = "test_an_alias_moves_in_one_write_from_the_profile_that_had_it"

    def tracking_write(self, call, organization_id, changes):
        call(organization_id, changes)
        for before in changes.previous_profiles:
            for alias in before.aliases:
                at = (organization_id, alias.kind, alias.value)
                if at in self._tables.aliases.rows and len(changes.changed_profiles) > 1:
                    self._tables.aliases.remove(at)


class FormerEmailsOfTheErasedStay(Broken):
    """Frees the email and the external id of whom it erases, and no email that gave way."""

    caught_by = "test_an_identity_of_an_erased_person_founds_a_new_profile"

    def tracking_write(self, call, organization_id, changes):
        pairs = zip(changes.previous_profiles, changes.changed_profiles, strict=True)
        left = tuple(
            evolve(after, former_emails=before.former_emails or after.former_emails)
            for before, after in pairs
        )
        call(organization_id, evolve(changes, changed_profiles=left))


# --- what is kept of her -----------------------------------------------------------------------


def written(name, alter, fact):
    def tracking_write(self, call, organization_id, changes):
        if not changes.events:
            changed = tuple(alter(each) for each in changes.changed_profiles)
            changes = evolve(changes, changed_profiles=changed)
        call(organization_id, changes)

    return planted(name, f"{CHANGED}[{fact}]", tracking_write=tracking_write)


def to_the_second(moment):
    return None if moment is None else moment.replace(microsecond=0)


def recorded(name, field, alter):
    def audit_add(self, call, organization_id, record):
        call(organization_id, evolve(record, **{field: alter(getattr(record, field))}))

    audit_record = next(kind for kind in FIELDS if kind.__name__ == "AuditRecord")
    return planted(name, f"{RECORDED}[{FIELDS[audit_record][field]}]", audit_add=audit_add)


TABLES = [
    written(
        "SeriesBeforeAll",
        lambda each: evolve(each, merged=tuple(evolve(series, before=1) for series in each.merged)),
        "merged",
    ),
    written(
        "SeriesSorted",
        lambda each: evolve(
            each, merged=tuple(sorted(each.merged, key=lambda series: series.profile_id))
        ),
        "merged",
    ),
    written("MergedIntoNobody", lambda each: evolve(each, merged_into=None), "merged_into"),
    written(
        "SuppressedToTheSecond",
        lambda each: evolve(each, suppressed_at=to_the_second(each.suppressed_at)),
        "suppressed_at",
    ),
    written(
        "ErasedToTheSecond",
        lambda each: evolve(each, erased_at=to_the_second(each.erased_at)),
        "erased_at",
    ),
    written(
        "ScrubbedWhenErased",
        lambda each: evolve(each, scrubbed_at=each.scrubbed_at and each.erased_at),
        "scrubbed_at",
    ),
    recorded("SubjectsOnce", "subjects", lambda subjects: tuple(dict.fromkeys(subjects))),
    recorded("SubjectsSorted", "subjects", lambda subjects: tuple(sorted(subjects))),
    recorded(
        "CountsBelow2To31", "counts", lambda counts: {n: min(c, 2**31) for n, c in counts.items()}
    ),
    recorded("NobodyDidIt", "by", lambda by: by or ""),
    recorded("DoneToTheSecond", "at", to_the_second),
]


class WithdrawalsHaveNoTime(Broken):
    caught_by = "test_what_is_withdrawn_is_so_at_every_instant_and_handed_over_no_more"

    def hand_over_save(self, call, changes):
        call([evolve(each, after=evolve(each.after, withdrawn_at=None)) for each in changes])


class RecordsOutsideTheTransaction(Broken):
    caught_by = "test_a_record_of_what_was_done_is_kept_only_where_its_transaction_is"

    def audit_add(self, call, organization_id, record):
        noted = len(self._tables.undo)
        call(organization_id, record)
        del self._tables.undo[noted:]


class RecordsByInsertion(Broken):
    caught_by = "test_records_of_what_was_done_are_listed_newest_first_and_page_by_page"

    def audit_list(self, _, organization_id, limit, before):
        rows = self._tables.audit.rows
        found = [record for at, record in rows.items() if at[0] == organization_id]
        return [each for each in found if before is None or each.audit_id < before][-limit:]


class BlockedOfEveryOrganization(Broken):
    caught_by = BLOCKED

    def people_block(self, call, organization_id, profile_id, identities):
        call("everybody", profile_id, identities)

    def tracking_load(self, call, organization_id, intent):
        return evolve(call(organization_id, intent), blocked=call("everybody", intent).blocked)


class BlockedWhateverKind(Broken):
    caught_by = BLOCKED

    def people_block(self, call, organization_id, profile_id, identities):
        both = {Alias(kind, each.value) for each in identities for kind in IdentityKind}
        call(organization_id, profile_id, [*both])


class BlockedWithoutCase(Broken):
    caught_by = BLOCKED

    def people_block(self, call, organization_id, profile_id, identities):
        call(organization_id, profile_id, [evolve(e, value=e.value.lower()) for e in identities])

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        asked = {
            *(Alias(IdentityKind.EMAIL, each) for each in intent.emails),
            *(Alias(IdentityKind.EXTERNAL_ID, each) for each in intent.external_ids),
        }
        rows, hashed = self._tables.blocked.rows, self._tables.hashed
        found = (
            each
            for each in asked
            if (organization_id, hashed(organization_id, evolve(each, value=each.value.lower())))
            in rows
        )
        return evolve(known, blocked=frozenset(found))


class BlockedForThoseWhoWrite(Broken):
    """Says to those who only look that nobody is blocked."""

    caught_by = BLOCKED

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        return known if intent.keys else evolve(known, blocked=frozenset())


class BlockedForgotten(Broken):
    caught_by = ERASED

    def people_block(self, call, *arguments):
        pass


# --- what is left of her -----------------------------------------------------------------------


class ScrubLeavesReferences(Broken):
    caught_by = SCRUBBED

    def people_scrub(self, call, organization_id, profile_id, limit):
        rows = self._tables.events.rows
        own = [at for at, row in rows.items() if row.profile_id == profile_id]
        scrubbed = call(organization_id, profile_id, limit)
        if not scrubbed:
            for at in own:
                self._tables.events.put(at, evolve(rows[at], reference_id="left"))
        return scrubbed


class ScrubLeavesVersions(Broken):
    caught_by = SCRUBBED

    def people_scrub(self, call, organization_id, profile_id, limit):
        rows = self._tables.events.rows
        states = {at: row.profile for at, row in rows.items() if row.data}
        scrubbed = call(organization_id, profile_id, limit)
        self.states = {**getattr(self, "states", {}), **states}
        if not scrubbed:
            for at, state in self.states.items():
                self._tables.events.put(at, evolve(rows[at], profile=state))
        return scrubbed


class ScrubLeavesKeyClaims(Broken):
    caught_by = SCRUBBED

    def people_scrub(self, call, organization_id, profile_id, limit):
        claims = dict(self._tables.key_claims.rows)
        scrubbed = call(organization_id, profile_id, limit)
        self.claims = {**claims, **getattr(self, "claims", {})}
        if not scrubbed:
            for at, claim in self.claims.items():
                self._tables.key_claims.put(at, claim)
        return scrubbed


class ScrubLeavesEntryKeys(Broken):
    caught_by = SCRUBBED

    def people_scrub(self, call, organization_id, profile_id, limit):
        keys = dict(self._tables.entry_keys.rows)
        scrubbed = call(organization_id, profile_id, limit)
        for at, entry in keys.items():
            self._tables.entry_keys.put(at, entry)
        return scrubbed


class ScrubLeavesFailures(Broken):
    caught_by = SCRUBBED

    def people_scrub(self, call, organization_id, profile_id, limit):
        rows = self._tables.enrollments.rows
        words = {at: row.last_failure for at, row in rows.items()}
        scrubbed = call(organization_id, profile_id, limit)
        self.words = {**words, **getattr(self, "words", {})}
        if not scrubbed:
            for at, said in self.words.items():
                self._tables.enrollments.put(at, evolve(rows[at], last_failure=said))
        return scrubbed


class ScrubIsDoneTooEarly(Broken):
    """Counts what it scrubbed as all where that was less than the limit of one table."""

    caught_by = SCRUBBED

    def people_scrub(self, call, organization_id, profile_id, limit):
        scrubbed = call(organization_id, profile_id, limit)
        self.calls = getattr(self, "calls", 0) + 1
        return 0 if self.calls == 4 else scrubbed


class ScrubWithoutBound(Broken):
    caught_by = SCRUBBED

    def people_scrub(self, call, organization_id, profile_id, limit):
        return call(organization_id, profile_id, 10_000)


class ScrubOfWhoeverHasTheReference(Broken):
    caught_by = SCRUBBED

    def people_scrub(self, call, organization_id, profile_id, limit):
        tables = self._tables
        references = {
            row.reference_id
            for at, row in tables.events.rows.items()
            if at[0] == organization_id and row.profile_id == profile_id
        } - {None}
        scrubbed = call(organization_id, profile_id, limit)
        for at, row in list(tables.events.rows.items()):
            if at[0] == organization_id and row.reference_id in references:
                tables.events.put(at, evolve(row, data={}))
        return scrubbed


class UnscrubbedOfEveryOrganization(Broken):
    caught_by = SCRUBBED

    def people_unscrubbed(self, _, organization_id, limit):
        rows = self._tables.profiles.rows.values()
        found = [each for each in rows if each.erased_at and not each.scrubbed_at]
        return [each.profile_id for each in found][:limit]


class ErasedKeysAreFree(Broken):
    caught_by = ERASED

    def people_scrub(self, call, organization_id, profile_id, limit):
        scrubbed = call(organization_id, profile_id, limit)
        for at, claim in list(self._tables.key_claims.rows.items()):
            if claim.fingerprint is None:
                self._tables.key_claims.remove(at)
        return scrubbed


class UnfinishedWithTheCompleted(Broken):
    caught_by = UNFINISHED
    statuses = frozenset(EnrollmentStatus) - {EnrollmentStatus.WITHDRAWN}

    def people_unfinished(self, _, organization_id, profile_ids):
        rows = self._tables.enrollments.rows
        return [
            row
            for (of, _), row in rows.items()
            if of == organization_id
            and row.profile_id in profile_ids
            and row.status in self.statuses
        ]


class UnfinishedWithoutTheDead(UnfinishedWithTheCompleted):
    caught_by = UNFINISHED
    statuses = frozenset({EnrollmentStatus.PENDING, EnrollmentStatus.CLAIMED})


class UnfinishedWithoutTheClaimed(UnfinishedWithTheCompleted):
    caught_by = UNFINISHED
    statuses = frozenset({EnrollmentStatus.PENDING, EnrollmentStatus.DEAD})


class UnfinishedOfTheFirst(Broken):
    caught_by = UNFINISHED

    def people_unfinished(self, call, organization_id, profile_ids):
        return call(organization_id, profile_ids[:1])


class WithdrawnOneByOne(Broken):
    """Commits each Enrollment that is withdrawn by itself."""

    caught_by = "test_a_call_that_crashes_anywhere_leaves_nothing_or_all_and_is_made_again"

    def hand_over_save(self, call, changes):
        call(changes)
        self._tables.undo.clear()


# --- who waits for whom ------------------------------------------------------------------------


class Hurried(OptimisticStorage):
    """Runs work again that was overtaken: sound as it stands.

    Each mistake below lets calls of one kind write what they decided, though a call of another kind
    was committed after they had read: a lock that does not wait.
    """

    hurries = ""
    passes_over = frozenset()

    def __init__(self):
        super().__init__()
        self._kinds = []

    def run(self, work, **how):
        while True:
            attempt = self._committed.attempt()
            noting = Noting(MemoryTransaction(attempt.tables))
            result = work(noting)
            if not attempt.tables.undo or self._is_committed(attempt, noting):
                return result

    def _is_committed(self, attempt, noting):
        if attempt.commit():
            self._kinds.append(noting.kind)
            return True
        if noting.kind != self.hurries or {*self._kinds[attempt.version :]} - self.passes_over:
            return False
        latest = self._committed.attempt()
        transaction = MemoryTransaction(latest.tables)
        for name, method, arguments in noting.writes:
            getattr(getattr(transaction, name), method)(*arguments)
        return self._is_committed(latest, noting)


WRITES = {("tracking", "write"), ("hand_over", "save"), ("people", "block"), ("audit", "add")}


class Noting:
    """A transaction that notes what it wrote, and whose call it is."""

    def __init__(self, transaction):
        self._transaction = transaction
        self.kind = "event"
        self.writes = []

    def __getattr__(self, name):
        if name in ("people", "hand_over") and self.kind != "host":
            self.kind = "host" if name == "people" else "worker"
        return NotingPart(getattr(self._transaction, name), name, self.writes)


class NotingPart:
    def __init__(self, part, name, writes):
        self._part, self._name, self._writes = part, name, writes

    def __getattr__(self, method):
        call = getattr(self._part, method)

        def noted(*arguments):
            if (self._name, method) in WRITES:
                self._writes.append((self._name, method, arguments))
            return call(*arguments)

        return noted


class HostsPassOverEvents(Hurried):
    caught_by = EVENTS
    hurries, passes_over = "host", frozenset({"event"})


class EventsPassOverHosts(Hurried):
    caught_by = EVENTS
    hurries, passes_over = "event", frozenset({"host"})


class HostsPassOverWorkers(Hurried):
    caught_by = WORKERS
    hurries, passes_over = "host", frozenset({"worker"})


class WorkersPassOverHosts(Hurried):
    caught_by = WORKERS
    hurries, passes_over = "worker", frozenset({"host"})


class HostsPassOverHosts(Hurried):
    """The first two have read whom they merge before either of them writes."""

    caught_by = "test_merges_in_a_circle_at_once_leave_one_profile_that_all_leads_to"
    hurries, passes_over = "host", frozenset({"host", "event"})

    def __init__(self):
        super().__init__()
        self._met = threading.Barrier(2)
        self._places = iter(range(2))

    def run(self, work, **how):
        def meeting(transaction):
            result = work(transaction)
            if transaction.kind == "host" and next(self._places, None) is not None:
                self._met.wait(60)
            return result

        return super().run(meeting)
