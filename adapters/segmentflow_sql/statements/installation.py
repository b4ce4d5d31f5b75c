"""What creates the tables, and tells which version of them is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen
from sqlalchemy import Integer, Table, bindparam, func, literal_column, select
from sqlalchemy.schema import CreateIndex, CreateTable

from segmentflow_sql.schema import metadata, schema
from segmentflow_sql.statements.building import compiled
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.statement import Statement

__all__ = ["InstallationStatements", "definitions", "installation_statements"]


@frozen
class InstallationStatements:
    """The statements about the version of the tables."""

    has_schema: Statement
    schema_version: Statement
    write_schema_version: Statement


def installation_statements(dialect: Dialect) -> InstallationStatements:
    """Build and compile the statements about the version of the tables."""
    name: Any = literal_column(f"'{schema.name}'")
    return InstallationStatements(
        has_schema=compiled(dialect, "has_schema", dialect.has_table(name)),
        schema_version=compiled(dialect, "schema_version", select(func.max(schema.c.version))),
        write_schema_version=compiled(
            dialect,
            "write_schema_version",
            dialect.insert(schema)
            .values(version=bindparam("version", type_=Integer))
            .on_conflict_do_nothing(),
        ),
    )


def definitions(dialect: Dialect) -> tuple[Statement, ...]:
    """Build and compile what creates every table and index that is missing, in order."""
    return tuple(
        definition
        for table in metadata.sorted_tables
        for definition in _definitions(dialect, table)
    )


def _definitions(dialect: Dialect, table: Table) -> Iterator[Statement]:
    creations: list[Any] = [CreateTable(table, if_not_exists=True)]
    creations += [
        CreateIndex(index, if_not_exists=True)
        for index in sorted(table.indexes, key=lambda index: str(index.name))
    ]
    for creation in creations:
        text = str(creation.compile(dialect=dialect.compiler))
        yield Statement(f"create_{creation.element.name}", text)
