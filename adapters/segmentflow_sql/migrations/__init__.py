"""How the tables of a store come from one version to the next: what `migrate` runs."""

from __future__ import annotations

from segmentflow_sql.migrations.migration import (
    Migration,
    MigrationReport,
    ReportedStep,
    Step,
    Versions,
)
from segmentflow_sql.migrations.to_2 import TO_2

__all__ = ["MIGRATIONS", "Migration", "MigrationReport", "ReportedStep", "Step", "Versions"]

MIGRATIONS = (TO_2,)
"""Every migration, in order: the first leads from version 1 to 2."""
