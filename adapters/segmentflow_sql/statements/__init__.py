"""Every statement, built with SQLAlchemy Core and compiled once for each kind of database.

``python -m segmentflow_sql`` prints them all. Knows the tables and how each database
writes; must never know what runs a statement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import attrs
from attrs import frozen

from segmentflow_sql.statements.api_keys import ApiKeyStatements, api_key_statements
from segmentflow_sql.statements.cancelling import CancellingStatements, cancelling_statements
from segmentflow_sql.statements.dialects import DIALECTS, DatabaseName
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

    Attributes:
        definitions: create every table and index that is missing, in order.
    """

    tracking: TrackingStatements
    journeys: JourneyStatements
    records: RecordStatements
    finding: FindingStatements
    history: HistoryStatements
    hand_over: HandOverStatements
    retention: RetentionStatements
    cancelling: CancellingStatements
    stepwise: StepwiseStatements
    pausing: PausingStatements
    people: PeopleStatements
    api_keys: ApiKeyStatements
    installation: InstallationStatements
    definitions: tuple[Statement, ...]


@cache
def statements_for(database: DatabaseName) -> Statements:
    """Build and compile every statement for one kind of database; once for a process."""
    dialect = DIALECTS[database]
    return Statements(
        tracking=tracking_statements(dialect),
        journeys=journey_statements(dialect),
        records=record_statements(dialect),
        finding=finding_statements(dialect),
        history=history_statements(dialect),
        hand_over=hand_over_statements(dialect),
        retention=retention_statements(dialect),
        cancelling=cancelling_statements(dialect),
        stepwise=stepwise_statements(dialect),
        pausing=pausing_statements(dialect),
        people=people_statements(dialect),
        api_keys=api_key_statements(dialect),
        installation=installation_statements(dialect),
        definitions=definitions(dialect),
    )


def all_statements(group: Any) -> Iterator[Statement]:
    """Yield each statement of a group, in the order of its attributes; in every form it has."""
    if isinstance(group, Statement):
        yield group
        return
    items: Any = ()
    if isinstance(group, Mapping):
        items = group.values()
    elif isinstance(group, tuple):
        items = group
    elif attrs.has(type(group)):
        items = [getattr(group, each.name) for each in attrs.fields(type(group))]
    for item in items:
        yield from all_statements(item)
