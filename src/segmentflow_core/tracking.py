"""What both trackers share: running the use case that records, and telling the observers.

A batch that the store refuses as a whole is recorded by halves. The rules are elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from segmentflow_core.arguments import (
    check_flag,
    check_key_lifetime,
    check_limits,
    check_organization,
    check_policy,
    check_profile_limits,
    checked_observers,
)
from segmentflow_core.calls import StorageCalls, Work
from segmentflow_core.colour import settle
from segmentflow_core.domain.event import Enrollment, Receipt, UserEvent
from segmentflow_core.domain.fingerprint import FingerprintKeys, FingerprintKeySource
from segmentflow_core.domain.profile import ProfileLimits
from segmentflow_core.domain.redaction_policy import RedactionPolicy
from segmentflow_core.domain.request import Limits
from segmentflow_core.errors import SegmentflowError, StorageRefused
from segmentflow_core.observation import Observation, code_of
from segmentflow_core.ports import AsyncStorage, Clock, IdFactory, Storage
from segmentflow_core.ports.observation import Observer
from segmentflow_core.system import SystemClock
from segmentflow_core.usecases.record import (
    AnyRequest,
    Prepared,
    Recorded,
    Settings,
    prepare,
    record_batch,
)

__all__ = ["TrackingCalls", "settings_for"]


class TrackingCalls(StorageCalls):
    """What both trackers do.

    Args:
        storage: of the colour that the tracker has.
        settings: how the host wants its events tracked.
        clock: tells the time.
        ids: makes ids.
        observers: are told of what was tracked, after it is committed.
        asynchronous: the tracker's colour.

    Attributes:
        settings: how the host wants its events tracked.
        observers: are told of what was tracked.
    """

    def __init__(
        self,
        storage: Storage | AsyncStorage,
        settings: Settings,
        clock: Clock,
        ids: IdFactory,
        observers: Sequence[Observer],
        *,
        asynchronous: bool,
    ) -> None:
        face = "AsyncTracker" if asynchronous else "Tracker"
        super().__init__(storage, face, asynchronous=asynchronous)
        self.settings = settings
        self._clock = clock
        # Where the host gives no clock, workers' leases go by the store's.
        self._leases_by_store = isinstance(clock, SystemClock)
        self._ids = ids
        self.observers = checked_observers(observers)
        self._after_commit: Callable[[Callable[[], object]], object] = getattr(
            storage, "after_commit", _at_once
        )

    async def track_many(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        organization_id: str,
        match_journeys: bool,
    ) -> list[Receipt | SegmentflowError]:
        """Record a batch, and tell the observers; one receipt or error per call, in order."""
        observers, began = self.observers, None
        observation = Observation(observers, organization_id, len(calls)) if observers else None
        if observation is not None:
            began = observation.began
        try:
            check_organization(organization_id)
            work = self._work(calls, organization_id, match_journeys, began)
            recorded = work if isinstance(work, Recorded) else None
            if not isinstance(work, Recorded):
                try:
                    # Not by way of `_record`: each frame on this trunk costs every event.
                    recorded = await settle(self.run_in_storage(self.in_colour(work)))
                except StorageRefused:
                    if len(calls) < 2:
                        raise
            if recorded is None:
                recorded = await self._record_by_halves(
                    calls, organization_id, match_journeys, began
                )
        except Exception as error:
            if observation is not None:
                self._after_commit(partial(observation.failed, code_of(error)))
            raise
        if observation is not None:
            ended = partial(
                observation.ended, recorded.results, recorded.written, recorded.enrollments
            )
            self._after_commit(ended)
        return recorded.results

    def _work(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        organization_id: str,
        match_journeys: bool,
        began: Callable[[], object] | None,
    ) -> Work[Recorded] | Recorded:
        """Return what records the batch in a transaction, or its refusals if nothing is left."""
        prepared = self.prepared(calls, organization_id, match_journeys)
        if not prepared.items:
            return Recorded([prepared.refused[index] for index in range(len(calls))])
        return self.work(prepared, organization_id, began)

    def prepared(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        organization_id: str,
        match_journeys: bool,
    ) -> Prepared:
        """Check every request of a batch, before anything touches the store."""
        return prepare(
            calls,
            organization_id,
            self.settings,
            self._clock,
            self._ids,
            match_journeys=match_journeys,
        )

    def work(
        self, prepared: Prepared, organization_id: str, began: Callable[[], object] | None
    ) -> Work[Recorded]:
        """Return what records a prepared batch in a transaction.

        Args:
            prepared: the batch.
            organization_id: whose events they are.
            began: is called first, in each run of the transaction.
        """
        return partial(
            record_batch,
            organization_id=organization_id,
            prepared=prepared,
            settings=self.settings,
            ids=self._ids,
            began=began,
            leases_by_store=self._leases_by_store,
        )

    async def _record(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        organization_id: str,
        match_journeys: bool,
        began: Callable[[], object] | None,
    ) -> Recorded:
        work = self._work(calls, organization_id, match_journeys, began)
        if isinstance(work, Recorded):
            return work
        try:
            return await self.run(work)
        except StorageRefused:
            if len(calls) < 2:
                raise
        return await self._record_by_halves(calls, organization_id, match_journeys, began)

    async def _record_by_halves(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        organization_id: str,
        match_journeys: bool,
        began: Callable[[], object] | None,
    ) -> Recorded:
        """Record a batch that the store refused as a whole, so that only what it refuses is lost.

        A half may be committed when the other one fails: each failure is of its own calls.
        """
        results: list[Receipt | SegmentflowError] = []
        written: list[UserEvent] = []
        enrollments: list[Enrollment] = []
        middle = len(calls) // 2
        for half in (calls[:middle], calls[middle:]):
            try:
                recorded = await self._record(half, organization_id, match_journeys, began)
            except SegmentflowError as failure:
                results += [failure] * len(half)
            else:
                results += recorded.results
                written += recorded.written
                enrollments += recorded.enrollments
        return Recorded(results, written, enrollments)


def _at_once(tell: Callable[[], object]) -> None:
    """Tell of what is committed already."""
    tell()


def settings_for(
    fingerprint_key: FingerprintKeySource,
    limits: Limits,
    key_lifetime: timedelta | None,
    create_without_email: bool,
    *,
    profile_limits: ProfileLimits,
    redaction: RedactionPolicy,
) -> Settings:
    """Check what a host passes to a tracker.

    Raises:
        ConfigurationError: an argument breaks its rule.
    """
    check_key_lifetime(key_lifetime)
    check_policy(redaction)
    check_limits(limits)
    check_flag("create_without_email", create_without_email)
    check_profile_limits(profile_limits)
    keys = FingerprintKeys.of(fingerprint_key)
    return Settings(keys, limits, key_lifetime, create_without_email, profile_limits, redaction)
