"""How API Keys are created, found, listed, revoked, and their use noted."""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import bindparam, func, or_, select, update

from segmentflow_sql.schema import api_keys
from segmentflow_sql.statements.building import columns, compiled, equal_to_given, inserting
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.statement import RowStatement, Statement

__all__ = ["ApiKeyStatements", "api_key_statements"]


@frozen
class ApiKeyStatements:
    """The statements about API Keys."""

    create_api_key: RowStatement
    find_api_keys: Statement
    list_api_keys: Statement
    revoke_api_key: Statement
    note_api_key_use: Statement


def api_key_statements(dialect: Dialect) -> ApiKeyStatements:
    """Build and compile the statements about API Keys."""
    now = bindparam("now", type_=api_keys.c.revoked_at.type)
    read = columns(dialect, api_keys)
    listed = (
        select(*read)
        .where(equal_to_given(api_keys, "organization_id"))
        .order_by(api_keys.c.key_id.desc())
    )
    one = equal_to_given(api_keys, "organization_id", "key_id")
    revoked = func.coalesce(api_keys.c.revoked_at, now)
    used_earlier = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < now)
    return ApiKeyStatements(
        # A second run finds its own row when the commit succeeded but its answer was lost.
        create_api_key=inserting(
            dialect, "create_api_key", api_keys, lambda insert: insert.on_conflict_do_nothing()
        ),
        find_api_keys=compiled(
            dialect, "find_api_keys", select(*read).where(equal_to_given(api_keys, "lookup"))
        ),
        list_api_keys=compiled(dialect, "list_api_keys", listed),
        revoke_api_key=compiled(
            dialect,
            "revoke_api_key",
            update(api_keys).where(one).values(revoked_at=revoked).returning(*read),
        ),
        note_api_key_use=compiled(
            dialect,
            "note_api_key_use",
            update(api_keys).where(one, used_earlier).values(last_used_at=now),
        ),
    )
