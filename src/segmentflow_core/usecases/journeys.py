"""Publishing Journeys, pausing and archiving them: what would change, and changing it.

Knows that an archiving begins a new era, and that rows follow it. What an era means for an
Enrollment, `domain.hand_over` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from attrs import evolve, frozen

from segmentflow_core.colour import settle
from segmentflow_core.domain.audit import AuditAction
from segmentflow_core.domain.hand_over import EnrollmentChange, followed
from segmentflow_core.domain.journey import (
    Journey,
    JourneyDefinition,
    JourneyStatus,
    definition_changes,
    definition_digest,
)
from segmentflow_core.errors import ConfigurationError, NotFound
from segmentflow_core.ports import Transaction
from segmentflow_core.ports.pausing import PausingRepository
from segmentflow_core.usecases.audit import Actor, keep_record
from segmentflow_core.usecases.cancelling import can_cancel
from segmentflow_core.usecases.history import check_history

__all__ = [
    "JourneyChange",
    "PublishedJourney",
    "pausing_of",
    "publish_journeys",
    "set_status",
    "withdraw_some",
]

JourneyChange: TypeAlias = Literal["created", "new_version", "new_status", "unchanged"]


@frozen
class PublishedJourney:
    """What publishing did, or would do, to one Journey.

    Attributes:
        journey: as it stands afterwards.
        change: ``created``, ``new_version``, ``new_status`` or ``unchanged``.
        changed: where the definition differs from the one before: JSON Pointers into it.
    """

    journey: Journey
    change: JourneyChange
    changed: tuple[str, ...] = ()


async def publish_journeys(
    transaction: Transaction,
    organization_id: str,
    definitions: Sequence[JourneyDefinition],
    actor: Actor,
    *,
    dry_run: bool,
) -> list[PublishedJourney]:
    """Publish definitions; Journeys not named are left alone. Doing it twice changes nothing.

    What changed is kept on record.

    Raises:
        ConfigurationError: the storage cannot do what a definition asks for.
    """
    if not can_cancel(transaction):
        refused = sorted(each.journey_id for each in definitions if each.cancel_on)
        if refused:
            raise ConfigurationError(
                f"This storage keeps no Journeys with cancelOn: {', '.join(refused)}."
            )
    stored = await settle(transaction.journeys.list(organization_id))
    current = {journey.journey_id: journey for journey in stored}
    published = [_published(current.get(d.journey_id), d, actor.now) for d in definitions]
    check_history(transaction, [item.journey for item in published])
    if not dry_run:
        await _keep(transaction, organization_id, published, actor)
    return published


async def _keep(
    transaction: Transaction,
    organization_id: str,
    published: Sequence[PublishedJourney],
    actor: Actor,
) -> None:
    """Store what changed, and keep the record of it."""
    versions = _of(published, "created", "new_version")
    statuses = _of(published, "new_status")
    if versions or statuses:
        await settle(transaction.journeys.publish(organization_id, versions, statuses))
        changes = Counter(item.change for item in published)
        await keep_record(
            transaction,
            organization_id,
            actor,
            AuditAction.JOURNEYS_PUBLISHED,
            *sorted(journey.journey_id for journey in (*versions, *statuses)),
            created=changes["created"],
            newVersions=changes["new_version"],
            newStatuses=changes["new_status"],
        )


def _of(published: Sequence[PublishedJourney], *changes: JourneyChange) -> list[Journey]:
    """Return the Journeys that changed so, in the one order in which every transaction locks."""
    changed = [item.journey for item in published if item.change in changes]
    return sorted(changed, key=lambda journey: journey.journey_id)


def _published(
    current: Journey | None, definition: JourneyDefinition, now: datetime
) -> PublishedJourney:
    digest = definition_digest(definition)
    if current is None:
        return PublishedJourney(Journey(definition, 1, digest, now), "created")
    changed = definition_changes(current.definition, definition)
    standing = _standing(current, definition, now)
    if current.digest != digest:
        journey = evolve(standing, version=current.version + 1, digest=digest, published_at=now)
        return PublishedJourney(journey, "new_version", changed)
    if current.definition.status != definition.status:
        return PublishedJourney(standing, "new_status", changed)
    return PublishedJourney(current, "unchanged")


def _standing(current: Journey, definition: JourneyDefinition, now: datetime) -> Journey:
    """Return the Journey with another definition; where that archives it, a new era begins.

    Whatever waits in it, and whatever a concurrent event still enters, is of the era before, and
    so is withdrawn. No clock decides that.
    """
    was, is_to_be = current.definition.status, definition.status
    if is_to_be is was or is_to_be is not JourneyStatus.ARCHIVED:
        return evolve(current, definition=definition)
    return evolve(current, definition=definition, era=current.era + 1, archived_at=now)


async def set_status(
    transaction: Transaction,
    organization_id: str,
    journey_id: str,
    status: JourneyStatus,
    actor: Actor,
) -> PublishedJourney:
    """Give a Journey another status, as publishing its definition with that status does.

    Raises:
        NotFound: there is no such Journey.
    """
    pausing_of(transaction)
    current = await settle(transaction.journeys.get(organization_id, journey_id))
    if current is None:
        raise NotFound
    definition = evolve(current.definition, status=status)
    published = _published(current, definition, actor.now)
    await _keep(transaction, organization_id, [published], actor)
    return published


async def withdraw_some(
    transaction: Transaction, *, organization_id: str, now: datetime, limit: int, demanded: bool
) -> int:
    """Let the rows of withdrawn Enrollments say so; return of how many: at last, less than `limit`.

    Where it is not demanded, a storage that cannot pause Journeys has no such rows.
    """
    if not demanded and getattr(transaction, "pausing", None) is None:
        return 0
    found = await settle(pausing_of(transaction).overdue(organization_id, now, limit))
    changes = [
        EnrollmentChange(organization_id, before, followed(before))
        for before in sorted(found, key=lambda each: each.enrollment_id)
    ]
    if changes:
        await settle(transaction.hand_over.save(changes))
    return len(changes)


def pausing_of(transaction: Transaction) -> PausingRepository:
    """Return what a transaction has for pausing Journeys.

    Raises:
        ConfigurationError: the storage cannot pause them.
    """
    repository: PausingRepository | None = getattr(transaction, "pausing", None)
    if repository is None:
        raise ConfigurationError("This storage can neither pause nor archive Journeys.")
    return repository
