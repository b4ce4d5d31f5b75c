"""The port of Journeys, and what a process remembers of those it has read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import evolve, frozen

from segmentflow_core.ports import Journey, encode_json, from_microseconds
from segmentflow_sql import rows
from segmentflow_sql.codecs import may_be_stored
from segmentflow_sql.exchange import Call, Connection, LostRace, ask, calls_for_rows
from segmentflow_sql.rows import Row

__all__ = ["JourneyRepository", "current_journeys"]

_MAX_CACHED_JOURNEYS: Final = 10_000


class _JourneyCache:
    """Definitions parsed once. A version never changes, and its digest says which it is."""

    def __init__(self) -> None:
        self._journeys: dict[tuple[str, Row], Journey] = {}

    def find(self, organization_id: str, row: Row) -> Journey | None:
        """Return the Journey of a row, if it is known.

        Args:
            organization_id: whose Journey.
            row: id, status, version, digest, when it was published, and era.
        """
        return self._journeys.get((organization_id, row))

    def keep(self, organization_id: str, row: Row, definition: str) -> Journey:
        """Parse a definition, and remember it."""
        _, status, version, digest, published_at, era = row
        parsed = rows.definition_from(definition, status)
        journey = Journey(parsed, version, digest, from_microseconds(published_at), era)
        if len(self._journeys) >= _MAX_CACHED_JOURNEYS:
            self._journeys.clear()
        self._journeys[organization_id, row] = journey
        return journey


# What a definition says is in its digest, so every storage of a process may share them.
_CACHE: Final = _JourneyCache()


async def current_journeys(
    connection: Connection, organization_id: str, found: Sequence[Row]
) -> tuple[Journey, ...]:
    """Return the Journeys of rows without definitions; those not yet known are read."""
    known = {row: _CACHE.find(organization_id, row) for row in found}
    missing = {row[0]: row for row, journey in known.items() if journey is None}
    if missing:
        versions = await ask(
            connection,
            connection.kind.statements.journeys.read_versions,
            organization_id=organization_id,
            rows=encode_json([(row[0], row[2]) for row in missing.values()]),
        )
        for journey_id, _, _, definition in versions:
            row = missing[journey_id]
            known[row] = _CACHE.keep(organization_id, row, definition)
    return tuple([journey for journey in known.values() if journey is not None])


def _journey(organization_id: str, row: Row) -> Journey:
    *columns, archived_at, definition = row
    at = tuple(columns)
    known = _CACHE.find(organization_id, at) or _CACHE.keep(organization_id, at, definition)
    if archived_at is None:
        return known
    return evolve(known, archived_at=from_microseconds(archived_at))


@frozen
class JourneyRepository:
    """The published Journeys of an Organization."""

    _connection: Connection

    async def list(self, organization_id: str) -> Sequence[Journey]:
        """Return every Journey as it stands."""
        listing = self._connection.kind.statements.journeys.list_journeys
        found = await ask(self._connection, listing, organization_id=organization_id)
        return [_journey(organization_id, row) for row in found]

    async def get(self, organization_id: str, journey_id: str) -> Journey | None:
        """Return a Journey as it stands, or None."""
        return await self._get(organization_id, journey_id, None)

    async def get_version(
        self, organization_id: str, journey_id: str, version: int
    ) -> Journey | None:
        """Return one version of a Journey, or None."""
        return await self._get(organization_id, journey_id, version)

    async def _get(
        self, organization_id: str, journey_id: str, version: int | None
    ) -> Journey | None:
        if not may_be_stored(journey_id):
            return None
        found = await ask(
            self._connection,
            self._connection.kind.statements.journeys.get_journey,
            organization_id=organization_id,
            journey_id=journey_id,
            version=version,
        )
        return _journey(organization_id, found[0]) if found else None

    async def publish(
        self, organization_id: str, versions: Sequence[Journey], statuses: Sequence[Journey]
    ) -> None:
        """Write versions and make them current, unless a concurrent transaction was first.

        A version that is stored already must say the same, and a current one must not be
        newer: otherwise the decision was made over an older state.
        """
        kind = self._connection.kind
        statements, codec = kind.statements.journeys, kind.codec
        written = calls_for_rows(
            statements.write_versions,
            [rows.version_row(codec, organization_id, journey) for journey in versions],
        )
        chosen = encode_json([(journey.journey_id, journey.version) for journey in versions])
        read = statements.read_versions
        check = Call(read, read.arguments(organization_id=organization_id, rows=chosen))
        published = sorted((*versions, *statuses), key=lambda journey: journey.journey_id)
        made_current = calls_for_rows(
            statements.publish_journeys,
            [rows.journey_row(codec, organization_id, journey) for journey in published],
        )
        answers = await self._connection.exchange([*written, check, *made_current])
        stored, *made = answers[len(written) :]
        current = [row for answer in made for row in answer]
        digests = {journey_id: digest for journey_id, _, digest, _ in stored}
        as_meant = all(digests[journey.journey_id] == journey.digest for journey in versions)
        if not as_meant or len(current) < len(published):
            raise LostRace
