"""The facade of people: suppress, erase, merge, retain. Needs no fingerprint secret.

Each call but `retain` is about one person, named by the id of the Profile, an email or an
external id. What was done is kept on record, which `Records.audit` reads: its names are here as
well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, TypeAlias

from attrs import evolve

from segmentflow_core.arguments import (
    DEFAULT_ORGANIZATION,
    check_actor,
    check_ages,
    check_at_most,
    check_block,
    check_limit,
    check_organization,
    check_profile_limits,
    checked_clock,
    checked_ids,
    checked_who,
)
from segmentflow_core.calls import StorageCalls
from segmentflow_core.colour import drive
from segmentflow_core.domain.audit import AUDIT_ACTIONS, AuditAction, AuditRecord
from segmentflow_core.domain.people import Erasure, Merge, Suppression
from segmentflow_core.domain.profile import DEFAULT_PROFILE_LIMITS, ProfileLimits
from segmentflow_core.ports import AsyncStorage, Clock, IdFactory, Storage
from segmentflow_core.retaining import OnRetained, Retained, Run
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_core.usecases.audit import Actor
from segmentflow_core.usecases.people import (
    begin_erasure,
    merge_profiles,
    scrub_some,
    suppress_profile,
    unscrubbed_profiles,
)

__all__ = [
    "AUDIT_ACTIONS",
    "RETAINED_AT_ONCE",
    "AsyncPeople",
    "AuditAction",
    "AuditRecord",
    "Erasure",
    "Merge",
    "People",
    "Retained",
    "Suppression",
]

OnProgress: TypeAlias = Callable[[int], object]
"""Called with how many records were scrubbed so far."""

_AT_ONCE: Final = 500
"""How many records a transaction scrubs."""

RETAINED_AT_ONCE: Final = 50
"""How many records a transaction of `retain` looks at. A call that tracks meanwhile waits for one
such transaction at most."""


class _PeopleCalls(StorageCalls):
    """What both colours do."""

    def __init__(
        self,
        storage: Storage | AsyncStorage,
        clock: Clock | None,
        ids: IdFactory | None,
        limits: ProfileLimits,
        face: str,
        *,
        asynchronous: bool,
    ) -> None:
        super().__init__(storage, face, asynchronous=asynchronous)
        self._clock = checked_clock(clock)
        self._ids = checked_ids(ids)
        check_profile_limits(limits)
        self._limits = limits

    def _actor(self, by: str | None) -> Actor:
        return Actor(by, self._clock.now(), self._ids.new_id())

    async def suppress(
        self, who: str, suppress: bool, by: str | None, organization_id: str
    ) -> Suppression:
        word, actor = self._checked(who, by, organization_id)
        return await self.run(
            partial(
                suppress_profile,
                organization_id=organization_id,
                who=word,
                suppress=suppress,
                actor=actor,
            )
        )

    async def erase(
        self,
        who: str,
        block: bool,
        by: str | None,
        organization_id: str,
        *,
        on_progress: OnProgress | None,
        at_most: int | None,
    ) -> Erasure:
        word, actor = self._checked(who, by, organization_id)
        check_at_most(at_most)
        check_block(block)
        begun = await self.run(
            partial(
                begin_erasure, organization_id=organization_id, who=word, block=block, actor=actor
            )
        )
        scrubbed, done = await self._scrub(
            begun.profile_ids, by, on_progress, organization_id, at_most
        )
        return evolve(begun, scrubbed=scrubbed, done=done)

    async def finish(
        self, limit: int, by: str | None, on_progress: OnProgress | None, organization_id: str
    ) -> int:
        check_limit(limit)
        check_actor(by)
        check_organization(organization_id)
        found = await self.run(
            lambda t: unscrubbed_profiles(t, organization_id, limit), reads_only=True
        )
        await self._scrub(found, by, on_progress, organization_id)
        return len(found)

    async def _scrub(
        self,
        profile_ids: Sequence[str],
        by: str | None,
        on_progress: OnProgress | None,
        organization_id: str,
        at_most: int | None = None,
    ) -> tuple[int, bool]:
        """Scrub Profiles; return how many records that were, and whether nothing is left."""
        total = 0
        for profile_id in profile_ids:
            scrubbed = 1
            while scrubbed:
                if at_most is not None and total >= at_most:
                    return total, False
                limit = _AT_ONCE if at_most is None else min(_AT_ONCE, at_most - total)
                scrubbed = await self.run(
                    partial(
                        scrub_some,
                        organization_id=organization_id,
                        profile_id=profile_id,
                        limit=limit,
                        actor=self._actor(by),
                    )
                )
                total += scrubbed
                if scrubbed and on_progress is not None:
                    on_progress(total)
        return total, True

    async def merge(self, stays: str, goes: str, by: str | None, organization_id: str) -> Merge:
        one, actor = self._checked(stays, by, organization_id)
        other, _ = checked_who(goes, None, None)
        return await self.run(
            partial(
                merge_profiles,
                organization_id=organization_id,
                stays=one,
                goes=other,
                limits=self._limits,
                actor=actor,
            )
        )

    async def retain(
        self,
        *,
        events: timedelta | None,
        enrollments: timedelta | None,
        limit: int,
        by: str | None,
        on_progress: OnRetained | None,
        organization_id: str,
    ) -> Retained:
        check_ages(events=events, enrollments=enrollments)
        check_limit(limit)
        check_actor(by)
        check_organization(organization_id)
        run = Run(self, organization_id, limit, self._actor(by), on_progress)
        return await run.go(events, enrollments)

    def _checked(self, who: str, by: str | None, organization_id: str) -> tuple[str, Actor]:
        word, _ = checked_who(who, None, None)
        check_actor(by)
        check_organization(organization_id)
        return word, self._actor(by)


class People:
    """Suppresses, erases and merges Profiles, and forgets by age, over a synchronous storage.

    In each call `who` is the id of a Profile, an email or an external id, aliases included: it
    is tried as each of them in that order. `by` says who does it, for the record: a text of at
    most 255 characters, and no place for personal data.

    Args:
        storage: where everything is kept.
        clock: tells the time; default the machine's.
        ids: makes the ids of the record; default UUIDv7.
        profile_limits: how much a merged Profile may hold.

    Raises:
        ConfigurationError: the storage is asynchronous.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock | None = None,
        ids: IdFactory | None = None,
        profile_limits: ProfileLimits = DEFAULT_PROFILE_LIMITS,
    ) -> None:
        self._calls = _PeopleCalls(
            storage, clock, ids, profile_limits, "People", asynchronous=False
        )

    @forgets_locals
    def suppress(
        self,
        who: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Suppression:
        """Let no Journey enrol a Profile from now on, and withdraw what waits for it.

        Its events are recorded as before, and each matched Journey skips it as `suppressed`. A
        worker that holds one of its Enrollments has lost it. Doing it twice changes nothing.

        Raises:
            NotFound: there is no such Profile, or it is erased.
        """
        return drive(self._calls.suppress(who, True, by, organization_id))

    @forgets_locals
    def unsuppress(
        self,
        who: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Suppression:
        """Let Journeys enrol a Profile again. What was withdrawn stays so.

        Raises:
            NotFound: there is no such Profile, or it is erased.
        """
        return drive(self._calls.suppress(who, False, by, organization_id))

    @forgets_locals
    def erase(
        self,
        who: str,
        *,
        block: bool = False,
        by: str | None = None,
        on_progress: OnProgress | None = None,
        at_most: int | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Erasure:
        """Erase a person: identities, Properties, what her events say, and what waits for her.

        The first transaction frees the identities, empties the Profile and withdraws what
        waits; later ones, of a bounded size, take from her events what they say of her. Event
        names, times, outcomes and counts stay. A call that was killed goes on when it is made
        again with the Profile's id, or by `finish_erasures`. A retry of an erased event gets
        its receipt, whatever it says now, and brings nothing back. A later event founds a new
        Profile.

        Args:
            who: the person.
            block: refuse events with her identities from now on, as `identity_blocked`; only
                keyed hashes of them are kept. Of one that is erased already, nothing is left
                to be blocked.
            by: who does it, for the record.
            on_progress: told after each transaction how many records were scrubbed so far.
            at_most: scrub about so many records and no more, for a caller that has not the
                time for all: where `Erasure.done` is False, the same call with the Profile's id
                goes on. Default: until all is done.
            organization_id: whose Profile.

        Raises:
            NotFound: there is no such Profile.
        """
        return drive(
            self._calls.erase(
                who, block, by, organization_id, on_progress=on_progress, at_most=at_most
            )
        )

    @forgets_locals
    def finish_erasures(
        self,
        *,
        limit: int = 100,
        by: str | None = None,
        on_progress: OnProgress | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> int:
        """Go on with erasures that were begun and not done; return of how many Profiles.

        Args:
            limit: of how many Profiles at most.
            by: who does it, for the record.
            on_progress: told after each transaction how many records were scrubbed so far.
            organization_id: whose Profiles.
        """
        return drive(self._calls.finish(limit, by, on_progress, organization_id))

    @forgets_locals
    def merge(
        self,
        stays: str,
        goes: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Merge:
        """Merge two Profiles of one person: one stays, and everything of the other leads to it.

        An identity becomes the survivor's own where it had none, else an alias. Of each Property
        the value stays that was set later. Both histories read as one, and re-entry asks both.
        Nothing is triggered, no event moves, and it cannot be undone. Two words that lead to one
        Profile change nothing.

        Raises:
            NotFound: there is no such Profile, or one is erased.
            ProfileTooLarge: the survivor would hold more than a Profile may; nothing changed.
        """
        return drive(self._calls.merge(stays, goes, by, organization_id))

    @forgets_locals
    def retain(
        self,
        *,
        events: timedelta | None = None,
        enrollments: timedelta | None = None,
        limit: int = RETAINED_AT_ONCE,
        by: str | None = None,
        on_progress: OnRetained | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Retained:
        """Remove what is older than that, in small transactions, while others track.

        An event goes that was received longer ago than `events`, unless an Enrollment refers to
        it that is waiting, claimed or dead. An Enrollment goes that was completed or withdrawn
        longer ago than `enrollments`. No event is decided otherwise than before: of an Enrollment
        that re-entry needs, an entry is left. Keys that are remembered answer as before. Several
        runs at once do no harm; a run that was killed is made again. Each run leaves one record.
        See docs/reference/rules/retention.md.

        Args:
            events: how long events are kept; None removes none.
            enrollments: how long finished Enrollments are kept; None removes none.
            limit: how many events or Enrollments a transaction looks at, at most 100,000.
            by: who does it, for the record.
            on_progress: told after each transaction what has gone so far.
            organization_id: whose records.

        Returns:
            How much went.
        """
        return drive(
            self._calls.retain(
                events=events,
                enrollments=enrollments,
                limit=limit,
                by=by,
                on_progress=on_progress,
                organization_id=organization_id,
            )
        )


class AsyncPeople:
    """As `People`, over an asynchronous storage; every call is awaited."""

    def __init__(
        self,
        storage: AsyncStorage,
        *,
        clock: Clock | None = None,
        ids: IdFactory | None = None,
        profile_limits: ProfileLimits = DEFAULT_PROFILE_LIMITS,
    ) -> None:
        self._calls = _PeopleCalls(
            storage, clock, ids, profile_limits, "AsyncPeople", asynchronous=True
        )

    @forgets_locals
    async def suppress(
        self,
        who: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Suppression:
        """Suppress a Profile; as `People.suppress`."""
        return await self._calls.suppress(who, True, by, organization_id)

    @forgets_locals
    async def unsuppress(
        self,
        who: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Suppression:
        """Lift a suppression; as `People.unsuppress`."""
        return await self._calls.suppress(who, False, by, organization_id)

    @forgets_locals
    async def erase(
        self,
        who: str,
        *,
        block: bool = False,
        by: str | None = None,
        on_progress: OnProgress | None = None,
        at_most: int | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Erasure:
        """Erase a person; as `People.erase`."""
        return await self._calls.erase(
            who, block, by, organization_id, on_progress=on_progress, at_most=at_most
        )

    @forgets_locals
    async def finish_erasures(
        self,
        *,
        limit: int = 100,
        by: str | None = None,
        on_progress: OnProgress | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> int:
        """Go on with erasures; as `People.finish_erasures`."""
        return await self._calls.finish(limit, by, on_progress, organization_id)

    @forgets_locals
    async def merge(
        self,
        stays: str,
        goes: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Merge:
        """Merge two Profiles; as `People.merge`."""
        return await self._calls.merge(stays, goes, by, organization_id)

    @forgets_locals
    async def retain(
        self,
        *,
        events: timedelta | None = None,
        enrollments: timedelta | None = None,
        limit: int = RETAINED_AT_ONCE,
        by: str | None = None,
        on_progress: OnRetained | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Retained:
        """Remove what is older than that; as `People.retain`."""
        return await self._calls.retain(
            events=events,
            enrollments=enrollments,
            limit=limit,
            by=by,
            on_progress=on_progress,
            organization_id=organization_id,
        )
