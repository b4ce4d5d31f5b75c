"""Gathering: concurrent calls of one tracker share a transaction, and each gets its own answer.

Written once for both colours. Who goes together, `domain.gathering` says; how callers wait, a
port. Must never let one call feel what becomes of another: what fails as a whole is recorded
call by call, unless the store did not answer at all, and what needs something that is held
elsewhere waits for it without a writer.

See docs/reference/rules/gathering.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial

from attrs import define, evolve

from segmentflow_core.arguments import check_organization
from segmentflow_core.colour import settle
from segmentflow_core.domain.event import Enrollment, Receipt
from segmentflow_core.domain.gathering import MAX_ASIDE, MAX_TOGETHER, MAX_WRITERS, Aside, Line
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyInProgress,
    SegmentflowError,
    StorageUnavailable,
)
from segmentflow_core.observation import Observation, code_of
from segmentflow_core.ports import StillHeld
from segmentflow_core.ports.gathering import Gathers, NotAnswered, Place
from segmentflow_core.tracking import TrackingCalls
from segmentflow_core.usecases.record import AnyRequest, Prepared, Recorded, join

__all__ = ["MAX_ASIDE", "MAX_TOGETHER", "MAX_WRITERS", "GatheredCalls", "check_gathering"]


def check_gathering(gather: Gathers, storage: object, *, asynchronous: bool) -> None:
    """Refuse to gather what cannot be gathered, or in the other colour.

    Raises:
        ConfigurationError: `gather` is none, or of the other colour; or the storage takes part
            in a transaction of its host, which nobody else's calls may share.
    """
    if isinstance(gather, type) or getattr(gather, "asynchronous", None) is not asynchronous:
        face, needed = "Tracker", "a Gathering"
        if asynchronous:
            face, needed = "AsyncTracker", "an AsyncGathering"
        raise ConfigurationError(f"gather of {face} must be {needed} of segmentflow_gathering.")
    if getattr(storage, "is_bound", False):
        name = type(storage).__name__
        raise ConfigurationError(f"{name} is part of its host's transaction and never gathers.")


@define(eq=False, repr=False)
class _Call:
    """One call on its way: a `GatheredCall`, and what its caller is to do or to answer.

    Attributes:
        prepared: the call as a batch of one.
        observation: what its observers will be told; None without observers.
        place: where its caller waits, if it does.
        leads: the batch that its caller is to record, with this call in it.
        recorded: its answer.
    """

    group: tuple[str, bool]
    names: tuple[str, ...]
    prepared: Prepared
    observation: Observation | None
    place: Place | None = None
    alone: bool = False
    left: bool = False
    leads: list[_Call] | None = None
    recorded: Recorded | None = None


@define
class _Shared:
    """What callers share, and one of them at a time changes: their line, and who waits aside."""

    line: Line[_Call]
    aside: Aside[_Call]
    guard: AbstractContextManager[object]


class GatheredCalls:
    """Records single calls as `TrackingCalls` does, those that come meanwhile together.

    Args:
        calls: records what is not gathered.
        gather: bounds, and the colour's ways to wait.
    """

    def __init__(self, calls: TrackingCalls, gather: Gathers) -> None:
        self._calls = calls
        self._gather = gather
        self._on_batch = gather.on_batch
        self._shared = gather.shared(
            lambda: _Shared(Line(gather.most, gather.writers), Aside(gather.aside), gather.guard())
        )

    async def track_many(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        organization_id: str,
        match_journeys: bool,
    ) -> list[Receipt | SegmentflowError]:
        """Record a batch of one; as `TrackingCalls.track_many`."""
        observers = self._calls.observers
        observation = Observation(observers, organization_id, 1) if observers else None
        try:
            check_organization(organization_id)
            prepared = self._calls.prepared(calls, organization_id, match_journeys)
            if prepared.items:
                intent = prepared.intent
                intent.wait = self._gather.wait
                call = _Call(
                    (organization_id, bool(match_journeys)),
                    (*intent.keys, *intent.emails, *intent.external_ids),
                    prepared,
                    observation,
                )
                recorded = await self._recorded(self._shared(), call)
            else:
                recorded = Recorded([prepared.refused[0]])
        except Exception as error:
            if observation is not None:
                observation.failed(code_of(error))
            raise
        if observation is not None:
            observation.ended(recorded.results, recorded.written, recorded.enrollments)
        return recorded.results

    async def _recorded(self, shared: _Shared, call: _Call) -> Recorded:
        place: Place | None = None
        with shared.guard:
            batch = shared.line.enter(call)
            if batch is None:
                call.place = place = self._gather.place()
        try:
            if place is not None:
                await settle(place.wait())
                batch = call.leads
            if batch is not None and len(batch) > 1:
                await self._lead(shared, batch)
                batch = None
        except BaseException:
            self._leave(shared, call)
            raise
        if call.recorded is not None:
            return call.recorded
        observation = call.observation
        began = None if observation is None else observation.began
        recorded: Recorded | None = None
        try:
            with suppress(IdempotencyInProgress, StillHeld):
                # Nobody else feels what becomes of it: it is not kept apart from its caller.
                work = self._calls.work(call.prepared, call.group[0], began)
                recorded = await self._calls.run(work)
            if recorded is None:
                if batch is not None:
                    writing, batch = batch, None
                    self._change(shared, lambda: shared.line.finish(writing, alone=True))
                recorded = await self._record_aside(shared, call, began)
            self._tell_size(1)
            return recorded
        finally:
            if batch is None:
                self._change(shared, lambda: shared.line.ended(call))
            else:
                self._change(shared, lambda: shared.line.finish(batch, alone=False))

    async def _record_aside(
        self, shared: _Shared, call: _Call, began: Callable[[], object] | None
    ) -> Recorded:
        """Record a call that needs what another transaction holds, without a writer."""
        place: Place | None = None
        with shared.guard:
            if not shared.aside.enter(call):
                call.place = place = self._gather.place()
        if place is not None:
            try:
                await settle(place.wait())
            except BaseException:
                _call_all(shared, lambda: shared.aside.leave(call))
                raise
        prepared = call.prepared
        if not shared.aside.has_place(call):
            # It has waited as long as others do; what it needs may be free by now.
            return await self._calls.run(self._calls.work(prepared, call.group[0], began))
        patient = evolve(prepared, intent=evolve(prepared.intent, wait=None))
        in_vain = False
        try:
            return await self._calls.run(self._calls.work(patient, call.group[0], began))
        except (IdempotencyInProgress, StorageUnavailable):
            in_vain = True
            raise
        finally:
            _call_all(shared, lambda: shared.aside.ended(call, in_vain=in_vain))

    def _leave(self, shared: _Shared, call: _Call) -> None:
        """Let a caller go; a batch that waits for it to be led is recorded call by call."""
        self._change(shared, lambda: shared.line.leave(call))
        if call.leads is not None:
            self._finish(shared, call.leads, alone=True, apart=False)

    def _tell_size(self, size: int) -> None:
        if self._on_batch is not None:
            with suppress(Exception):
                self._on_batch(size)

    async def _lead(self, shared: _Shared, batch: list[_Call]) -> None:
        """Record a batch, and call everybody in it, whatever happens."""
        alone, apart = True, False
        try:
            prepared = join([call.prepared for call in batch], wait=self._gather.wait)
            told = [call.observation for call in batch if call.observation is not None]
            began = partial(_tell_began, told) if told else None
            work = self._calls.work(prepared, batch[0].group[0], began)
            recorded = await self._calls.run(work)
            written = {event.event_id: event for event in recorded.written}
            caused: dict[str, list[Enrollment]] = {}
            for enrollment in recorded.enrollments if told else ():
                caused.setdefault(enrollment.event_id, []).append(enrollment)
            for call, result in zip(batch, recorded.results, strict=True):
                event_id = call.prepared.items[0][1].event_id
                event = written.get(event_id)
                own = () if event is None else (event,)
                call.recorded = Recorded([result], own, caused.get(event_id, ()))
            alone, apart = False, True
            self._tell_size(len(batch))
        except NotAnswered as failure:
            for call in batch:
                call.recorded = Recorded([NotAnswered(failure.seconds)])
            alone, apart = False, True
        except Exception:  # noqa: BLE001 - each call is recorded alone, and told of its own failure
            apart = True
        finally:
            self._finish(shared, batch, alone=alone, apart=apart)

    def _finish(
        self, shared: _Shared, batch: list[_Call], *, alone: bool, apart: bool = True
    ) -> None:
        # The next batch first, so that the store has to do while these callers go their ways.
        self._change(shared, lambda: shared.line.finish(batch, alone=alone), apart=apart)
        for call in batch:
            call.leads = None
            _go_on(call)

    def _change(
        self, shared: _Shared, change: Callable[[], list[list[_Call]]], *, apart: bool = True
    ) -> None:
        """Change the line, and begin the batches that can be recorded from now on.

        Args:
            shared: what callers share.
            change: what is done to the line.
            apart: whether batches may begin apart from their callers. Where an event loop is
                about to end, that would only be cancelled.
        """
        apart = apart and self._gather.apart
        with shared.guard:
            batches = change()
            led = [batch for batch in batches if len(batch) == 1 or not apart]
            for batch in led:
                batch[0].leads = batch
        for batch in batches:
            if batch in led:
                _go_on(batch[0])
            else:
                self._gather.begin(partial(self._lead, shared, batch))


def _call_all(shared: _Shared, change: Callable[[], list[_Call]]) -> None:
    with shared.guard:
        called = change()
    for call in called:
        _go_on(call)


def _go_on(call: _Call) -> None:
    assert call.place is not None
    call.place.call()


def _tell_began(observations: Sequence[Observation]) -> None:
    for observation in observations:
        observation.began()
