"""`events.track`: check, take the keys and load, decide, write.

Knows the order of the steps and nothing of how any of them is done.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from attrs import define, frozen

from segmentflow_core.colour import settle
from segmentflow_core.domain.decision import decide
from segmentflow_core.domain.earlier_events import (
    EarlierEvents,
    Question,
)
from segmentflow_core.domain.event import Enrollment, Receipt, UserEvent
from segmentflow_core.domain.fingerprint import FingerprintKeys
from segmentflow_core.domain.item import Item, item_for
from segmentflow_core.domain.journey import PriorEntries
from segmentflow_core.domain.profile import DEFAULT_PROFILE_LIMITS, ProfileLimits
from segmentflow_core.domain.redaction_policy import NO_POLICY, RedactionPolicy
from segmentflow_core.domain.request import (
    Limits,
    RequestDocument,
    TrackRequest,
    ValidRequest,
    request_or_refusal,
)
from segmentflow_core.domain.tracking import Intent, Probe
from segmentflow_core.domain.withdrawals import NOTHING_LOOKED_UP
from segmentflow_core.errors import SegmentflowError
from segmentflow_core.ports import Clock, IdFactory, Transaction
from segmentflow_core.tracebacks import forget_locals
from segmentflow_core.usecases.cancelling import look_up, save_withdrawn
from segmentflow_core.usecases.history import ask_history

__all__ = ["AnyRequest", "Prepared", "Recorded", "Settings", "join", "prepare", "record_batch"]

AnyRequest: TypeAlias = TrackRequest | Mapping[str, Any] | RequestDocument
"""A request as a value, as a mapping with the wire's names, or as parsed raw JSON."""


@frozen
class Settings:
    """How a host wants its events tracked.

    Attributes:
        keys: fingerprint keys.
        limits: what a request may hold.
        key_lifetime: how long an idempotency key is remembered; None is for ever.
        create_without_email: whether a new external id alone creates a Profile.
        profile_limits: how much a Profile may hold.
        redaction: what is redacted beside each request's own paths.
    """

    keys: FingerprintKeys
    limits: Limits
    key_lifetime: timedelta | None
    create_without_email: bool
    profile_limits: ProfileLimits = DEFAULT_PROFILE_LIMITS
    redaction: RedactionPolicy = NO_POLICY


@define(repr=False)
class Prepared:
    """A batch that was checked: what goes on, and what was refused already, by position."""

    items: tuple[tuple[int, Item], ...]
    refused: Mapping[int, SegmentflowError]
    intent: Intent


def prepare(
    calls: Sequence[tuple[AnyRequest, str | None]],
    organization_id: str,
    settings: Settings,
    clock: Clock,
    ids: IdFactory,
    *,
    match_journeys: bool,
) -> Prepared:
    """Check every request and hash its key, before anything touches the store.

    Time and event ids are drawn here, once, so that a second run of the same work is the
    same call: it recognises its own event when the commit succeeded but its answer was lost.
    """
    now = clock.now()
    lifetime = settings.key_lifetime
    expires_at = None if lifetime is None else now + lifetime
    items: list[tuple[int, Item]] = []
    refused: dict[int, SegmentflowError] = {}
    for index, (request, key) in enumerate(calls):
        valid = request_or_refusal(request, key, settings.limits, settings.redaction)
        if type(valid) is not ValidRequest:
            assert isinstance(valid, SegmentflowError)
            refused[index] = valid
            continue
        assert key is not None
        if type(key) is not str:
            key = str.__str__(key)  # noqa: PLW2901 - a str subclass becomes plain
        items.append((index, item_for(valid, key, organization_id, ids.new_id(), settings.keys)))
    intent = _intent([item for _, item in items], match_journeys, now, expires_at)
    return Prepared(tuple(items), refused, intent)


def _intent(
    items: Sequence[Item], match_journeys: bool, now: datetime, expires_at: datetime | None
) -> Intent:
    if len(items) == 1:  # the common batch has nothing to sort
        (item,) = items
        request = item.request
        email, external_id = request.email, request.external_id
        return Intent(
            (item.key_digest,),
            () if email is None else (email,),
            () if external_id is None else (external_id,),
            (request.event,) if match_journeys else (),
            now,
            expires_at,
        )
    requests = [item.request for item in items]
    return Intent(
        _sorted({item.key_digest for item in items}),
        _sorted({request.email for request in requests} - _NOBODY),
        _sorted({request.external_id for request in requests} - _NOBODY),
        _sorted({request.event for request in requests}) if match_journeys else (),
        now,
        expires_at,
    )


def join(batches: Sequence[Prepared], *, wait: float) -> Prepared:
    """Make one batch of several that are about one Organization, received with the last of them.

    Args:
        batches: what was prepared, nothing of it refused.
        wait: seconds that it waits for what a concurrent transaction holds.
    """
    items = [item for batch in batches for _, item in batch.items]
    latest = max((batch.intent for batch in batches), key=lambda intent: intent.now)
    intent = _intent(items, bool(latest.events), latest.now, latest.expires_at)
    intent.wait = wait
    return Prepared(tuple(enumerate(items)), {}, intent)


_NOBODY: Final = frozenset({None})


def _sorted(values: Collection[Any]) -> tuple[str, ...]:
    return tuple(sorted(values))


@define(repr=False)
class Recorded:
    """The result of recording a batch.

    Attributes:
        results: a receipt or a refusal for each call, in order.
        written: the events that were written.
        enrollments: those that they caused.
    """

    results: list[Receipt | SegmentflowError]
    written: Sequence[UserEvent] = ()
    enrollments: Sequence[Enrollment] = ()


async def record_batch(
    transaction: Transaction,
    *,
    organization_id: str,
    prepared: Prepared,
    settings: Settings,
    ids: IdFactory,
    began: Callable[[], object] | None = None,
    leases_by_store: bool = False,
) -> Recorded:
    """Record a prepared batch within one transaction.

    Args:
        transaction: where.
        organization_id: whose events they are.
        prepared: the batch.
        settings: how the host wants its events tracked.
        ids: makes the ids of Profiles and Enrollments.
        began: is called first, in each run of the transaction.
        leases_by_store: whether leases go by the store's own clock, where it has one.
    """
    if began is not None:
        began()
    items = [item for _, item in prepared.items]
    known = await settle(transaction.tracking.load(organization_id, prepared.intent))
    answers: Mapping[Probe, PriorEntries] = {}
    recorded: Mapping[str, UserEvent | None] = {}
    earlier: Mapping[Question, EarlierEvents] = {}
    looked_up = NOTHING_LOOKED_UP
    while True:
        decision = decide(
            items,
            known,
            answers,
            recorded,
            earlier,
            keys=settings.keys,
            now=prepared.intent.now,
            expires_at=prepared.intent.expires_at,
            new_id=ids.new_id,
            create_without_email=settings.create_without_email,
            profile_limits=settings.profile_limits,
            looked_up=looked_up,
        )
        if decision.final:
            break
        # Asking again cannot add probes: each answer can only turn an entry into a skip.
        asked = (*answers, *decision.probes)
        if decision.history_probes:
            earlier, answers = await ask_history(
                transaction, organization_id, decision.history_probes, asked
            )
        elif decision.probes:
            answers = await settle(transaction.tracking.prior_entries(organization_id, asked))
        if decision.disputed:
            events = await settle(transaction.events.get_many(organization_id, decision.disputed))
            recorded = {event_id: events.get(event_id) for event_id in decision.disputed}
        if decision.questions:
            looked_up = await look_up(
                transaction,
                organization_id,
                decision.questions,
                looked_up,
                by_store=leases_by_store,
            )
    if not decision.changes.empty:
        await settle(transaction.tracking.write(organization_id, decision.changes))
    if decision.withdrawn:
        await save_withdrawn(transaction, organization_id, decision.withdrawn)
    results = list(decision.results)
    for result in results:
        if isinstance(result, SegmentflowError):
            # It is an item of the answer: the frames that it has passed hold the request.
            forget_locals(result)
    for index, refusal in sorted(prepared.refused.items()):
        results.insert(index, refusal)
    return Recorded(results, decision.changes.events, decision.changes.enrollments)
