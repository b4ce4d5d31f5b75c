"""How API Keys are created, found, listed, locked and saved."""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import select

from segmentflow_sql.schema import api_keys
from segmentflow_sql.statements.building import (
    changing,
    columns,
    compiled,
    equal_to_given,
    inserting,
)
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.statement import RowStatement, Statement

__all__ = ["ApiKeyStatements", "api_key_statements"]


@frozen
class ApiKeyStatements:
    """The statements about API Keys."""

    create_api_key: RowStatement
    find_api_keys: Statement
    list_api_keys: Statement
    lock_api_key: Statement
    save_api_key: RowStatement


def api_key_statements(dialect: Dialect) -> ApiKeyStatements:
    """Build and compile the statements about API Keys."""
    read = columns(dialect, api_keys)
    listed = (
        select(*read)
        .where(equal_to_given(api_keys, "organization_id"))
        .order_by(api_keys.c.key_id.desc())
    )
    one = equal_to_given(api_keys, "organization_id", "key_id")
    return ApiKeyStatements(
        # A second run finds its own row when the commit succeeded but its answer was lost.
        create_api_key=inserting(
            dialect, "create_api_key", api_keys, lambda insert: insert.on_conflict_do_nothing()
        ),
        find_api_keys=compiled(
            dialect, "find_api_keys", select(*read).where(equal_to_given(api_keys, "lookup"))
        ),
        list_api_keys=compiled(dialect, "list_api_keys", listed),
        lock_api_key=compiled(dialect, "lock_api_key", select(*read).where(one).with_for_update()),
        save_api_key=changing(dialect, "save_api_key", api_keys, ("last_used_at", "revoked_at")),
    )
