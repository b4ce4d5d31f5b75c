"""Every statement, built with SQLAlchemy Core and compiled once for each kind of database.

``python -m segmentflow_sql`` prints them all. Knows the tables and how each database
writes; must never know what runs a statement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from typing import Any, Final

import attrs
from attrs import frozen

from segmentflow_sql.statements.api_keys import ApiKeyStatements, api_key_statements
from segmentflow_sql.statements.cancelling import CancellingStatements, cancelling_statements
from segmentflow_sql.statements.dialects import DIALECTS, DatabaseName, Dialect
from segmentflow_sql.statements.finding import FindingStatements, finding_statements
from segmentflow_sql.statements.hand_over import HandOverStatements, hand_over_statements
from segmentflow_sql.statements.history import HistoryStatements, history_statements
from segmentflow_sql.statements.installation import (
    InstallationStatements,
    definitions,
    installation_statements,
)
from segmentflow_sql.statements.journeys import JourneyStatements, journey_statements
from segmentflow_sql.statements.pausing import PausingStatements, pausing_statements
from segmentflow_sql.statements.people import PeopleStatements, people_statements
from segmentflow_sql.statements.records import RecordStatements, record_statements
from segmentflow_sql.statements.retention import RetentionStatements, retention_statements
from segmentflow_sql.statements.statement import (
    FoundBy,
    Reader,
    RowStatement,
    Statement,
)
from segmentflow_sql.statements.stepwise import StepwiseStatements, stepwise_statements
from segmentflow_sql.statements.tracking import TrackingStatements, tracking_statements

__all__ = [
    "DIALECTS",
    "GROUPS",
    "DatabaseName",
    "FoundBy",
    "Reader",
    "RowStatement",
    "Statement",
    "Statements",
    "all_statements",
    "statements_for",
]


@frozen
class Statements:
    """Every statement there is, for one kind of database.

    A group is built and compiled when something of it is asked for first: a process that reads
    API Keys pays for nothing else.
    """

    _dialect: Dialect

    @cached_property
    def tracking(self) -> TrackingStatements:
        return tracking_statements(self._dialect)

    @cached_property
    def journeys(self) -> JourneyStatements:
        return journey_statements(self._dialect)

    @cached_property
    def records(self) -> RecordStatements:
        return record_statements(self._dialect)

    @cached_property
    def finding(self) -> FindingStatements:
        return finding_statements(self._dialect)

    @cached_property
    def history(self) -> HistoryStatements:
        return history_statements(self._dialect)

    @cached_property
    def hand_over(self) -> HandOverStatements:
        return hand_over_statements(self._dialect)

    @cached_property
    def retention(self) -> RetentionStatements:
        return retention_statements(self._dialect)

    @cached_property
    def cancelling(self) -> CancellingStatements:
        return cancelling_statements(self._dialect)

    @cached_property
    def stepwise(self) -> StepwiseStatements:
        return stepwise_statements(self._dialect)

    @cached_property
    def pausing(self) -> PausingStatements:
        return pausing_statements(self._dialect)

    @cached_property
    def people(self) -> PeopleStatements:
        return people_statements(self._dialect)

    @cached_property
    def api_keys(self) -> ApiKeyStatements:
        return api_key_statements(self._dialect)

    @cached_property
    def installation(self) -> InstallationStatements:
        return installation_statements(self._dialect)

    @cached_property
    def definitions(self) -> tuple[Statement, ...]:
        """What creates every table and index that is missing, in order."""
        return definitions(self._dialect)


GROUPS: Final = (
    *("tracking", "journeys", "records", "finding", "history", "hand_over", "retention"),
    *("cancelling", "stepwise", "pausing", "people", "api_keys", "installation", "definitions"),
)
"""The names of its groups."""


@cache
def statements_for(database: DatabaseName) -> Statements:
    """Return every statement for one kind of database; each is compiled once for a process."""
    return Statements(DIALECTS[database])


def all_statements(group: Any) -> Iterator[Statement]:
    """Yield each statement of a group, in the order of its attributes; in every form it has."""
    if isinstance(group, Statement):
        yield group
        return
    items: Any = ()
    if isinstance(group, Statements):
        items = [getattr(group, name) for name in GROUPS]
    elif isinstance(group, Mapping):
        items = group.values()
    elif isinstance(group, tuple):
        items = group
    elif attrs.has(type(group)):
        items = [getattr(group, each.name) for each in attrs.fields(type(group))]
    for item in items:
        yield from all_statements(item)
