"""Publishing Journeys: what would change, and changing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from attrs import evolve, frozen

from segmentflow_core.colour import settle
from segmentflow_core.domain.audit import AuditAction
from segmentflow_core.domain.journey import (
    Journey,
    JourneyDefinition,
    definition_changes,
    definition_digest,
)
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.ports import Transaction
from segmentflow_core.usecases.audit import Actor, keep_record
from segmentflow_core.usecases.cancelling import can_cancel

__all__ = ["JourneyChange", "PublishedJourney", "publish_journeys"]

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
    versions = _of(published, "created", "new_version")
    statuses = _of(published, "new_status")
    if (versions or statuses) and not dry_run:
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
    return published


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
    if current.digest != digest:
        journey = Journey(definition, current.version + 1, digest, now)
        return PublishedJourney(journey, "new_version", changed)
    if current.definition.status != definition.status:
        return PublishedJourney(evolve(current, definition=definition), "new_status", changed)
    return PublishedJourney(current, "unchanged")
