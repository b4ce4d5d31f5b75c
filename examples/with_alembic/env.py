"""A host's migrations, the library's tables among its own."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import CreateTableOp, ExecuteSQLOp, MigrationScript
from sqlalchemy import Column, Integer, MetaData, NullPool, Table, create_engine
from sqlalchemy.dialects.postgresql import JSONB

import segmentflow_sql

shop = MetaData()
Table(
    "shop_order",
    shop,
    Column("number", Integer, primary_key=True),
    Column("total", Integer, nullable=False),
)


def render(kind: str, item: object, written: AutogenContext) -> str | Literal[False]:
    """Write JSONB so that it can be read again: Alembic, run on SQLite, leaves out an import."""
    if kind == "type" and isinstance(item, JSONB):
        written.imports.add("from sqlalchemy.dialects import postgresql")
        return "postgresql.JSONB()"
    return False


def add_version(_context: Any, _revision: Any, scripts: list[MigrationScript]) -> None:
    """Let the migration that creates the tables say which version they are of."""
    for upgrade in (script.upgrade_ops for script in scripts):
        created = upgrade.ops if upgrade else []
        if any(isinstance(o, CreateTableOp) and o.table_name == VERSION.name for o in created):
            row = f"INSERT INTO {VERSION.name} VALUES ({segmentflow_sql.SCHEMA_VERSION})"
            created.append(ExecuteSQLOp(row))


VERSION = segmentflow_sql.metadata.tables["segmentflow_schema"]

engine = create_engine(context.config.get_main_option("sqlalchemy.url", ""), poolclass=NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=[shop, segmentflow_sql.metadata],
        render_item=render,
        process_revision_directives=add_version,
    )
    with context.begin_transaction():
        context.run_migrations()
