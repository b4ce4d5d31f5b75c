"""The command that brings a store's tables to the version of the library."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from segmentflow_cli.flags import FLAG
from segmentflow_cli.options import COMMON, Common
from segmentflow_cli.stores import opened
from segmentflow_core.errors import ConfigurationError

__all__ = ["migrate"]


def migrate(
    *,
    dry_run: Annotated[bool, Parameter(help="Only say what would be done."), FLAG] = False,
    sql: Annotated[
        bool,
        Parameter(help="Only print the SQL of what would be done."),
        FLAG,
    ] = False,
    common: Common = COMMON,
) -> None:
    """Bring the store's tables to the version of this library. Doing it twice changes nothing.

    From version 1, stop every process that uses the store first. See the how-to "Upgrade".
    """
    with opened(common.store) as storage:
        if not hasattr(storage, "migrate"):
            raise ConfigurationError("A store of this kind has nothing to migrate.")
        if sql:
            common.printer.script(storage.migration_sql())
        else:
            report = storage.migrate(dry_run=dry_run)
            common.printer.migrated(report, dry_run=dry_run)
