"""How expired keys are purged: as many at once as asked for, or those of one Organization."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, bindparam, delete, select, tuple_

from segmentflow_sql.schema import key_claims
from segmentflow_sql.statements.building import NO_OFFSET, compiled, equal_to_given
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.statement import Statement

__all__ = ["expired_keys", "purge_keys"]

_KEYS = tuple(key_claims.primary_key.columns)


def _expired() -> ColumnElement[bool]:
    return key_claims.c.expires_at <= bindparam("now", type_=key_claims.c.expires_at.type)


def _at_most(found: Select[Any]) -> Select[Any]:
    return found.where(_expired()).limit(bindparam("limit", type_=Integer)).offset(NO_OFFSET)


def expired_keys(dialect: Dialect) -> Statement:
    """Build the list of expired keys, whosever they are; locks nothing."""
    return compiled(dialect, "expired_keys", _at_most(select(*_KEYS)))


def purge_keys(dialect: Dialect) -> Statement:
    """Build the purge: of any keys up to a limit, or of an Organization's listed ones."""
    expired: Select[Any]
    if dialect.one_organization:
        of_one = equal_to_given(key_claims, "organization_id")
        expired = select(*_KEYS).where(
            of_one, dialect.among(key_claims.c.key_digest, "keys"), _expired()
        )
    else:
        of_one = None
        expired = _at_most(select(*_KEYS))
    if not dialect.one_writer:
        # Pass over keys in use. A CTE that locks runs only once.
        locked = expired.with_for_update(skip_locked=dialect.skips_locked)
        expired = select(locked.cte("expired"))
    purge = delete(key_claims).where(tuple_(*_KEYS).in_(expired)).returning(key_claims.c.key_digest)
    return compiled(dialect, "purge_keys", purge if of_one is None else purge.where(of_one))
