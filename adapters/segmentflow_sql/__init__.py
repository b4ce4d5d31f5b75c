"""SQL storage: SQLAlchemy Core tables and statements, run through the database's own driver."""

from __future__ import annotations

from segmentflow_sql.bound import AsyncBoundSqlStorage, BoundSqlStorage
from segmentflow_sql.migrations import MigrationReport, ReportedStep
from segmentflow_sql.notifying import Notifier
from segmentflow_sql.schema import SCHEMA_VERSION, metadata
from segmentflow_sql.storage import AsyncSqlStorage, SqlStorage, open_storage

__all__ = [
    "SCHEMA_VERSION",
    "AsyncBoundSqlStorage",
    "AsyncSqlStorage",
    "BoundSqlStorage",
    "MigrationReport",
    "Notifier",
    "ReportedStep",
    "SqlStorage",
    "metadata",
    "open_storage",
]
