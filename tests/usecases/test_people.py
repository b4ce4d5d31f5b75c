"""Suppressing, erasing and merging: whom a word means, what is refused, what is told."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from segmentflow_core import AsyncPeople, People, Tracker
from segmentflow_core.colour import driven
from segmentflow_core.domain.profile import ProfileLimits
from segmentflow_core.errors import (
    ConfigurationError,
    IdentityBlocked,
    LeaseLost,
    NotFound,
    ProfileTooLarge,
)
from segmentflow_core.ports import Alias, IdentityKind
from segmentflow_core.testing import FINGERPRINT_SECRET, SequentialIds, a_journey, a_request
from segmentflow_core.usecases.audit import Actor, list_audit
from segmentflow_core.usecases.people import scrub_some
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage

NOBODY = "019bf964-302b-7000-8000-00000000dead"
ONCE = a_journey("once", reentry={"policy": "once"})


def send(tracker, email=None, external_id=None, name="order.created", **fields):
    """Track an event of a person under a key of its own."""
    found = {"email": email, "externalId": external_id, "properties": fields.pop("properties", {})}
    who = {key: value for key, value in found.items() if value is not None}
    tracker.sent = getattr(tracker, "sent", 0) + 1
    return tracker.track(a_request(name, profile=who, **fields), f"key {tracker.sent}")


def audited(storage, limit=1000, before=None):
    """Return the record of what was done to people, newest first."""
    listed = storage.run(driven(lambda t: list_audit(t, "default", limit, before)))
    return [record for record in listed if record.action.startswith("profile")]


def told(storage):
    return [
        (str(record.action), record.subjects, dict(record.counts)) for record in audited(storage)
    ][::-1]


def everything(storage):
    tables = storage._tables
    named = vars(tables).items()
    return {name: dict(table.rows) for name, table in named if hasattr(table, "rows")}


@pytest.fixture
def two(tracker):
    """Two records of one person: the ids of both."""
    return (
        send(tracker, "one@x.org", "1", properties={"a": 1}).profile_id,
        send(tracker, "two@x.org", "2", properties={"b": 2}).profile_id,
    )


# --- whom a word means -------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["{0}", "one@x.org", " ONE@x.org ", "1"])
def test_a_person_is_named_by_id_email_or_external_id(tracker, two, word):
    assert tracker.people.suppress(word.format(*two)).profile.profile_id == two[0]


@pytest.mark.parametrize("word", ["{1}", "two@x.org", "2"])
@pytest.mark.parametrize("verb", ["suppress", "unsuppress", "erase"])
def test_what_leads_to_a_merged_profile_means_the_one_that_stayed(tracker, two, verb, word):
    tracker.people.merge(*two)
    done = getattr(tracker.people, verb)(word.format(*two))
    assert getattr(done, "profile", done).profile_id == two[0]


@pytest.mark.parametrize("word", [NOBODY, "nobody@x.org", "nobody", "", "a\0b", "\ud800", 7])
@pytest.mark.parametrize("verb", ["suppress", "unsuppress", "erase", "merge", "merged"])
def test_nobody_is_not_found_and_nothing_changes(tracker, storage, two, verb, word):
    before = everything(storage)
    calls = {
        "merge": lambda: tracker.people.merge(word, two[0]),
        "merged": lambda: tracker.people.merge(two[0], word),
    }
    call = calls.get(verb) or (lambda: getattr(tracker.people, verb)(word))
    with pytest.raises(NotFound):
        call()
    assert everything(storage) == before


def test_another_organizations_person_is_not_found(tracker, two):
    with pytest.raises(NotFound):
        tracker.people.erase(two[0], organization_id="acme")


class Moving(MemoryStorage):
    """Lets something happen right before the first lock, as a call of another process does."""

    meanwhile = None

    def run(self, work, **how):
        return super().run(lambda transaction: work(MovingTransaction(self, transaction)), **how)


class MovingTransaction:
    def __init__(self, storage, inner):
        self._storage, self._inner = storage, inner
        self.people = self

    def __getattr__(self, name):
        return getattr(self._inner, name, None) or getattr(self._inner.people, name)

    def lock(self, organization_id, profile_ids):
        meanwhile, self._storage.meanwhile = self._storage.meanwhile, None
        if meanwhile is not None:
            self._storage._lock.release()
            meanwhile()
            self._storage._lock.acquire()
        return self._inner.people.lock(organization_id, profile_ids)


def test_an_email_that_another_person_has_by_the_time_of_the_lock_means_her(clock):
    storage = Moving()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    first = send(tracker, "one@x.org", "1").profile_id

    def meanwhile():
        clock.advance(hours=1)
        send(tracker, "new@x.org", "1")
        send(tracker, "one@x.org", "2")

    storage.meanwhile = meanwhile
    erased = tracker.people.erase("one@x.org")
    assert erased.profile_id != first
    assert tracker.records.profile(first).erased_at is None
    assert tracker.records.profile(erased.profile_id).erased_at is not None


def test_a_merge_into_another_one_by_the_time_of_the_lock_is_followed(clock):
    storage = Moving()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    ids = [send(tracker, f"{n}@x.org").profile_id for n in range(3)]
    storage.meanwhile = lambda: tracker.people.merge(ids[2], ids[0])
    merge = tracker.people.merge(ids[0], ids[1])
    assert merge.profile.profile_id == ids[2]
    assert {tracker.records.profile(each).profile_id for each in ids} == {ids[2]}


class Stale(Moving):
    """Reads what stood when its transaction first read, and locks what stands now."""

    def run(self, work, **how):
        return super().run(lambda transaction: work(StaleReads(transaction)), **how)


class StaleReads:
    def __init__(self, inner):
        self._inner, self._seen = inner, {}
        self.profiles = self

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def get(self, organization_id, profile_id):
        if profile_id not in self._seen:
            found = self._inner.profiles.get(organization_id, profile_id)
            self._seen[profile_id] = found
        return self._seen[profile_id]


def test_a_merge_that_only_the_locked_rows_show_is_followed(clock):
    storage = Stale()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    ids = [send(tracker, f"{n}@x.org").profile_id for n in range(2)]
    storage.meanwhile = lambda: tracker.people.merge(*ids)
    assert tracker.people.suppress(ids[1]).profile.profile_id == ids[0]


# --- suppressing -------------------------------------------------------------------------------


def test_suppressing_withdraws_what_waits_and_lifting_it_brings_nothing_back(
    tracker, storage, clock, two
):
    tracker.journeys.publish([a_journey()])
    send(tracker, "one@x.org")
    (claimed,) = tracker.enrollments.claim()
    clock.advance(seconds=1)
    first = tracker.people.suppress(two[0], by="ops")
    assert (first.changed, first.withdrawn) == (True, 1)
    assert first.profile == tracker.records.profile(two[0])
    assert first.profile.suppressed_at == clock.now()
    with pytest.raises(LeaseLost):
        tracker.enrollments.complete(claimed.lease)
    clock.advance(seconds=1)
    again = tracker.people.suppress(two[0])
    assert (again.changed, again.withdrawn, again.profile) == (False, 0, first.profile)
    assert send(tracker, "one@x.org").skipped_journeys == 1
    lifted = tracker.people.unsuppress(two[0])
    assert (lifted.changed, lifted.withdrawn, lifted.profile.suppressed_at) == (True, 0, None)
    assert tracker.people.unsuppress(two[0]).changed is False
    assert send(tracker, "one@x.org").enrolled_journeys == 1
    statuses = [str(entry.status) for entry in tracker.enrollments.list()]
    assert statuses == ["pending", "withdrawn"]
    assert told(storage) == [
        ("profile_suppressed", (two[0],), {"withdrawn": 1}),
        ("profile_unsuppressed", (two[0],), {"withdrawn": 0}),
    ]
    assert [record.by for record in audited(storage)] == [None, "ops"]


def test_suppressing_withdraws_what_the_merged_profiles_wait_for(tracker, two):
    tracker.journeys.publish([a_journey()])
    for email in ("one@x.org", "two@x.org"):
        send(tracker, email)
    tracker.people.merge(*two)
    assert tracker.people.suppress(two[1]).withdrawn == 2


def test_what_came_while_it_was_suppressed_already_is_withdrawn_by_suppressing_again(
    tracker, storage, two
):
    """A store may hold such an Enrollment from before its Profile was merged by hand."""
    tracker.journeys.publish([a_journey()])
    send(tracker, "one@x.org")
    at = ("default", two[0])
    profile = storage._tables.profiles.rows[at]
    suppressed = tracker.people.suppress("two@x.org").profile.suppressed_at
    storage._tables.profiles.rows[at] = type(profile)(
        *(profile.profile_id, profile.email, profile.external_id, profile.properties),
        *(profile.property_times, profile.created_at, profile.updated_at, profile.number),
        version=profile.version,
        suppressed_at=suppressed,
    )
    again = tracker.people.suppress(two[0])
    assert (again.changed, again.withdrawn) == (False, 1)
    assert told(storage)[-1] == ("profile_suppressed", (two[0],), {"withdrawn": 1})


# --- erasing -----------------------------------------------------------------------------------


def test_erasing_twice_by_any_name_that_is_left_changes_nothing(tracker, storage, two):
    tracker.people.merge(*two)
    erased = tracker.people.erase("two@x.org", by="ops")
    assert (erased.profile_id, erased.profile_ids) == (two[0], two)
    assert (erased.withdrawn, erased.blocked, erased.scrubbed) == (0, 0, 4)
    before = everything(storage)
    for word in two:
        again = tracker.people.erase(word, block=True)
        assert again.profile_ids == two
        assert (again.withdrawn, again.blocked, again.scrubbed) == (0, 0, 0)
    assert everything(storage) == before
    for word in ("one@x.org", "two@x.org", "1", "2"):
        with pytest.raises(NotFound):
            tracker.people.erase(word)
    assert told(storage) == [
        ("profiles_merged", two, {"withdrawn": 0}),
        ("profile_erased", (two[0],), {"profiles": 2, "withdrawn": 0, "blocked": 0}),
        ("profile_scrubbed", (two[0],), {}),
        ("profile_scrubbed", (two[1],), {}),
    ]
    assert [record.by for record in audited(storage)] == ["ops"] * 3 + [None]


@pytest.mark.parametrize("verb", ["suppress", "unsuppress"])
def test_an_erased_person_can_be_neither_suppressed_nor_merged(tracker, storage, two, verb):
    tracker.people.erase(two[0])
    before = everything(storage)
    for call in (
        lambda: getattr(tracker.people, verb)(two[0]),
        lambda: tracker.people.merge(*two),
        lambda: tracker.people.merge(*two[::-1]),
        lambda: tracker.people.merge(two[0], two[0]),
    ):
        with pytest.raises(NotFound):
            call()
    assert everything(storage) == before


def test_an_erasure_that_was_killed_goes_on_by_itself_or_by_hand(
    tracker, storage, two, monkeypatch
):
    for number in range(3):
        send(tracker, "one@x.org", data={"n": number})
    monkeypatch.setattr("segmentflow_core.people._AT_ONCE", 2)
    steps = []

    class Killed(Exception):
        pass

    def die(total):
        steps.append(total)
        raise Killed

    for expected in ([2], [2, 2]):
        with pytest.raises(Killed):
            tracker.people.erase(two[0], on_progress=die)
        assert steps == expected
    assert tracker.records.profile(two[0]).scrubbed_at is None
    steps.clear()
    assert tracker.people.finish_erasures(limit=5, by="cron", on_progress=steps.append) == 1
    assert steps == [2, 4]
    assert tracker.records.profile(two[0]).scrubbed_at is not None
    assert tracker.people.finish_erasures() == 0
    assert [record.by for record in audited(storage)] == ["cron", None]


def test_scrubbing_whom_nobody_erased_or_nobody_knows_does_nothing(tracker, storage, two, clock):
    before = everything(storage)
    actor = Actor(None, clock.now(), SequentialIds().new_id())
    for profile_id in (two[0], NOBODY):
        scrubbed = storage.run(
            driven(
                lambda t, who=profile_id: scrub_some(
                    t, organization_id="default", profile_id=who, limit=9, actor=actor
                )
            )
        )
        assert scrubbed == 0
    assert everything(storage) == before


def test_blocking_refuses_every_identity_that_led_to_her(tracker, clock, two):
    clock.advance(hours=1)
    send(tracker, "later@x.org", "1")
    tracker.people.merge(*two)
    erased = tracker.people.erase(two[1], block=True)
    assert erased.blocked == 5
    for who in (("one@x.org",), ("two@x.org",), ("later@x.org",), (None, "1"), ("new@x.org", "2")):
        with pytest.raises(IdentityBlocked):
            send(tracker, *who)
        request = a_request(profile={"email": who[0] or "free@x.org", "externalId": "1"})
        with pytest.raises(IdentityBlocked):
            tracker.explain(request)
    assert send(tracker, "free@x.org").enrolled_journeys == 0


def test_whom_no_email_gave_way_of_is_blocked_by_what_she_has(tracker, two):
    assert tracker.people.erase(two[0], block=True).blocked == 2


def test_an_email_that_gave_way_and_is_another_persons_by_now_is_not_blocked(tracker, clock, two):
    """One is her own by now, one her alias; the third is nobody's."""
    for hour, email in enumerate(("hers@x.org", "alias@x.org", "nobodys@x.org", "last@x.org")):
        clock.advance(hours=1 + hour)
        send(tracker, email, "1")
    clock.advance(hours=9)
    other = send(tracker, "hers@x.org", "3").profile_id
    merged = send(tracker, "alias@x.org", "4").profile_id
    tracker.people.merge(other, merged)
    erased = tracker.people.erase(two[0], block=True)
    # Her own email and external id, one@x.org and nobodys@x.org.
    assert erased.blocked == 4
    for email in ("hers@x.org", "alias@x.org"):
        assert send(tracker, email).profile_id == other
    for email in ("one@x.org", "nobodys@x.org", "last@x.org"):
        with pytest.raises(IdentityBlocked):
            send(tracker, email)


# --- merging -----------------------------------------------------------------------------------


def test_merging_again_in_a_circle_or_with_itself_changes_nothing(tracker, storage, two):
    third = send(tracker, "three@x.org").profile_id
    tracker.people.merge(two[0], two[1])
    tracker.people.merge(two[1], third)
    before = everything(storage)
    for stays in (*two, third, "one@x.org", "two@x.org", "three@x.org"):
        for goes in (*two, third, "2"):
            merge = tracker.people.merge(stays, goes)
            assert (merge.changed, merge.withdrawn) == (False, 0)
            assert merge.profile.profile_id == two[0]
    assert everything(storage) == before


def test_a_merge_beyond_the_bounds_writes_nothing(storage, clock):
    limits = ProfileLimits(max_properties=1)
    tracker = Tracker(
        storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock, profile_limits=limits
    )
    ids = [send(tracker, f"{n}@x.org", properties={f"{n}": n}).profile_id for n in range(2)]
    before = everything(storage)
    with pytest.raises(ProfileTooLarge):
        tracker.people.merge(*ids)
    with pytest.raises(ProfileTooLarge):
        People(storage, profile_limits=limits).merge(*ids)
    assert everything(storage) == before
    assert People(storage).merge(*ids).changed


def test_a_merge_withdraws_the_later_of_two_equal_entries(tracker, storage, clock, two):
    tracker.journeys.publish([ONCE, a_journey("every")])
    for email in ("two@x.org", "one@x.org"):
        send(tracker, email)
        clock.advance(minutes=1)
    merge = tracker.people.merge(*two)
    assert (merge.changed, merge.withdrawn) == (True, 1)
    (withdrawn,) = tracker.enrollments.list(status="withdrawn")
    assert (withdrawn.profile_id, withdrawn.journey_id) == (two[0], "once")
    assert withdrawn.withdrawn_at == clock.now()
    assert told(storage) == [("profiles_merged", two, {"withdrawn": 1})]
    assert send(tracker, "two@x.org").enrolled_journeys == 1


@pytest.mark.parametrize("suppressed", [0, 1])
def test_a_merge_with_a_suppressed_one_withdraws_all_that_waits(tracker, two, suppressed):
    tracker.journeys.publish([a_journey()])
    for email in ("one@x.org", "two@x.org"):
        send(tracker, email)
    since = tracker.people.suppress(two[suppressed]).profile.suppressed_at
    merge = tracker.people.merge(*two)
    assert (merge.withdrawn, merge.profile.suppressed_at) == (1, since)
    assert send(tracker, "one@x.org").skipped_journeys == 1


def test_what_is_merged_shows_its_own_identities_and_aliases_apart(tracker, two):
    profile = tracker.people.merge(*two).profile
    assert (profile.email, profile.external_id) == ("one@x.org", "1")
    assert profile.aliases == (
        Alias(IdentityKind.EMAIL, "two@x.org"),
        Alias(IdentityKind.EXTERNAL_ID, "2"),
    )
    assert profile.properties == {"a": 1, "b": 2}
    assert tracker.records.profile(two[1]) == profile
    assert tracker.records.find_profile(external_id="2") == profile


# --- explaining --------------------------------------------------------------------------------


def test_explanations_agree_with_what_was_decided_of_merged_and_suppressed_people(
    tracker, clock, two
):
    daily = {"policy": "cooldown", "duration": "P1D"}
    tracker.journeys.publish([ONCE, a_journey("daily", reentry=daily)])
    sent = []

    def track(who):
        clock.advance(hours=7)
        sent.append(send(tracker, who))

    for who in ("two@x.org", "one@x.org", "two@x.org", "one@x.org"):
        track(who)
    tracker.people.merge(*two)
    for who in ("two@x.org", "one@x.org", "two@x.org"):
        track(who)
    tracker.people.suppress(two[0])
    track("one@x.org")
    tracker.people.unsuppress(two[0])
    track("two@x.org")
    third = send(tracker, "three@x.org").profile_id
    tracker.people.merge(two[0], third)
    track("three@x.org")
    for receipt in sent:
        event = tracker.records.event(receipt.event_id)
        explained = tracker.records.explain(receipt.event_id)
        decided = [outcome.reason for outcome in event.outcomes]
        assert [journey.reason for journey in explained.journeys] == decided
    story = tracker.records.why("three@x.org", journey_id="once")
    assert len(story.events) == len(sent) + 1
    for told_of in story.events:
        (outcome,) = told_of.outcomes
        assert outcome.explained.reason == outcome.outcome.reason


def test_a_request_about_a_suppressed_person_is_explained_so(tracker, two):
    tracker.journeys.publish([a_journey(), ONCE])
    tracker.people.suppress(two[0])
    for request in (
        a_request(profile={"email": "one@x.org"}),
        a_request(profile={"externalId": "1"}),
    ):
        explained = tracker.explain(request)
        assert [journey.reason for journey in explained.journeys] == ["suppressed"] * 2
    other = tracker.explain(a_request(profile={"email": "two@x.org"}))
    assert [journey.reason for journey in other.journeys] == [None] * 2


def test_an_event_that_was_skipped_as_suppressed_enters_no_draft(tracker, two):
    tracker.journeys.publish([a_journey()])
    tracker.people.suppress(two[0])
    receipt = send(tracker, "one@x.org")
    explained = tracker.records.explain(receipt.event_id, journeys=[a_journey("draft")])
    assert [journey.reason for journey in explained.journeys] == ["suppressed"]


def test_an_erased_event_is_explained_by_what_is_left(tracker, two):
    where = {"path": "/event/total", "op": "gte", "value": 40}
    large = a_journey("large", trigger={"event": "order.created", "where": where})
    tracker.journeys.publish([large, ONCE])
    receipt = send(tracker, "one@x.org", data={"total": 50})
    tracker.people.erase(two[0])
    explained = tracker.records.explain(receipt.event_id)
    assert [journey.reason for journey in explained.journeys] == ["condition_unknown", None]
    story = tracker.records.why(two[0])
    assert [told_of.event.data for told_of in story.events] == [{}, {}]
    assert [outcome.outcome.reason for outcome in story.events[0].outcomes] == [None, None]


def test_both_colours_do_alike(clock):
    async def asynchronous(storage, ids):
        people = AsyncPeople(AsyncMemoryStorage(storage), clock=clock, ids=SequentialIds())
        return [
            await people.merge(ids[0], ids[1], by="a"),
            await people.suppress(ids[0], by="b"),
            await people.unsuppress(ids[0]),
            await people.erase(ids[1], block=True),
            await people.finish_erasures(),
        ]

    def synchronous(storage, ids):
        people = People(storage, clock=clock, ids=SequentialIds())
        return [
            people.merge(ids[0], ids[1], by="a"),
            people.suppress(ids[0], by="b"),
            people.unsuppress(ids[0]),
            people.erase(ids[1], block=True),
            people.finish_erasures(),
        ]

    answers = []
    for do in (synchronous, lambda *given: asyncio.run(asynchronous(*given))):
        storage = MemoryStorage()
        tracker = Tracker(
            storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock, ids=SequentialIds()
        )
        ids = [send(tracker, f"{n}@x.org").profile_id for n in range(2)]
        answers.append((do(storage, ids), audited(storage)))
    assert answers[0] == answers[1]


# --- what is checked ---------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["", "x" * 256, 7, "a\0b", "\ud800", b"ops"])
@pytest.mark.parametrize(
    "call",
    [
        lambda people, by: people.suppress("one@x.org", by=by),
        lambda people, by: people.unsuppress("one@x.org", by=by),
        lambda people, by: people.erase("one@x.org", by=by),
        lambda people, by: people.merge("one@x.org", "two@x.org", by=by),
        lambda people, by: people.finish_erasures(by=by),
    ],
    ids=["suppress", "unsuppress", "erase", "merge", "finish_erasures"],
)
def test_who_does_it_is_a_text_of_1_to_255_characters(tracker, storage, two, call, by):
    before = everything(storage)
    with pytest.raises(ConfigurationError, match="by must"):
        call(tracker.people, by)
    assert everything(storage) == before


def test_who_does_it_may_be_as_long_as_that(tracker, storage, two):
    by = "\U0001f600" * 255
    tracker.people.suppress(two[0], by=by)
    assert audited(storage)[0].by == by


@pytest.mark.parametrize("limit", [0, -1, "1"])
def test_a_limit_is_checked(tracker, limit):
    with pytest.raises(ConfigurationError):
        tracker.people.finish_erasures(limit=limit)


def test_the_record_is_read_page_by_page(tracker, storage, two):
    for _ in range(2):
        tracker.people.suppress(two[0])
        tracker.people.unsuppress(two[0])
    records = audited(storage)
    assert [record.audit_id for record in records] == sorted(
        (record.audit_id for record in records), reverse=True
    )
    assert list(audited(storage, 2)) == list(records[:2])
    assert list(audited(storage, 9, records[1].audit_id)) == list(records[2:])
    assert all(record.at - records[0].at < timedelta(1) for record in records)


class Without(MemoryStorage):
    """A storage that lacks some of what it may lack."""

    def __init__(self, *missing):
        super().__init__()
        for name in missing:
            delattr(self._transaction, name)


def test_a_storage_without_people_says_so():
    people = People(Without("people"))
    for call in (
        lambda: people.suppress(NOBODY),
        lambda: people.erase(NOBODY),
        lambda: people.merge(NOBODY, NOBODY),
        people.finish_erasures,
    ):
        with pytest.raises(ConfigurationError, match="neither erase nor merge nor suppress"):
            call()


def test_a_storage_without_a_record_does_it_all_the_same(clock):
    storage = Without("audit")
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    profile_id = send(tracker, "one@x.org").profile_id
    assert tracker.people.erase(profile_id).scrubbed == 2
    with pytest.raises(ConfigurationError, match="keeps no record"):
        audited(storage)


def test_a_storage_that_finds_nobody_takes_ids_alone(clock):
    storage = Without("finding")
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    profile_id = send(tracker, "one@x.org").profile_id
    assert tracker.people.suppress(profile_id).changed
    with pytest.raises(ConfigurationError):
        tracker.people.suppress("one@x.org")
