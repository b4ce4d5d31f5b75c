"""The operation of this app's migrations: the same steps as `segmentflow migrate` makes.

Knows Django's schema editor and connection. The transaction is Django's to end. Must never know
what a step does.

See docs/how-to/django.md.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import router
from django.db.migrations.operations.base import Operation
from sqlalchemy import create_mock_engine

from segmentflow_core.errors import ConfigurationError
from segmentflow_sql import SCHEMA_VERSION, BoundSqlStorage, metadata

__all__ = ["BringTables"]

_ENGINES: Final = {"postgresql": "postgresql+psycopg://", "sqlite": "sqlite://"}
"""What SQLAlchemy calls the kinds of databases that Django names so."""

_LOCK: Final = 7306930742
"""Of PostgreSQL's advisory locks, the one that a migration of Django's holds."""

_VERSION_TABLE: Final = "segmentflow_schema"


class BringTables(Operation):
    """Bring the tables to a version; where there are none, create those of the installed one.

    A store that is at the version already, or beyond, is left as it is. Undone, it goes back to
    the version before as far as nothing is lost by that, and drops tables only where they are
    empty.

    Args:
        version: of the tables, once it is made.
        before: their version before; None where there were none.
    """

    # Always in a transaction: a step is made whole or not at all.
    atomic = True
    reduces_to_sql = True
    reversible = True

    def __init__(self, version: int, before: int | None) -> None:
        self.version = version
        self.before = before

    def describe(self) -> str:
        """Say what the operation does, for `migrate --plan` and `sqlmigrate`."""
        return f"Bring the tables of segmentflow-core to version {self.version}"

    @property
    def migration_name_fragment(self) -> str:
        """Name a migration that does no more than this."""
        return f"segmentflow_version_{self.version}"

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change no model: none has a table."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Create the tables, or bring them up.

        Raises:
            ConfigurationError: the database is of a kind without this storage; or the tables are
                newer than the library, or of no version.
            StorageUnavailable: another transaction uses the tables.
        """
        del from_state, to_state
        if not _is_meant(schema_editor, app_label):
            return
        if schema_editor.collect_sql:
            self._print(schema_editor)
            return
        _keep_others_out(schema_editor)
        storage = _storage(schema_editor)
        found = _version(schema_editor)
        if found is None:
            storage.create_all()
        elif found < self.version:
            storage.migrate(self.version)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Bring the tables back, or drop empty ones.

        Raises:
            ConfigurationError: something would be lost.
        """
        del from_state, to_state
        if not _is_meant(schema_editor, app_label):
            return
        if schema_editor.collect_sql:
            if self.before is None:
                _drop(schema_editor)
            else:
                _remark(schema_editor, "`segmentflow migrate --sql` prints the way back.")
            return
        _keep_others_out(schema_editor)
        if _version(schema_editor) is None:
            return
        if self.before is None:
            _check_empty(schema_editor)
            _drop(schema_editor)
        else:
            _storage(schema_editor).migrate(self.before)

    def _print(self, schema_editor: Any) -> None:
        """Print what creates the tables; printing looks at no database."""
        if self.before is None:
            _remark(schema_editor, "Where there are no tables yet:")
            _create(schema_editor)
        _remark(schema_editor, "Where there are older ones: see `segmentflow migrate --sql`.")


def _is_meant(schema_editor: Any, app_label: str) -> bool:
    """Say whether the tables are to be in this database, as the host's routers say.

    Raises:
        ConfigurationError: they are, and it is of a kind without this storage.
    """
    connection = schema_editor.connection
    if not router.allow_migrate(connection.alias, app_label):
        return False
    if connection.vendor not in _ENGINES:
        raise ConfigurationError(
            f"The database {connection.alias} is of the kind {connection.vendor}, and not one of "
            f"{' and '.join(_ENGINES)}: keep segmentflow_django out of it by a database router."
        )
    return True


def _keep_others_out(schema_editor: Any) -> None:
    """Wait for other migrations of Django's, before anything is read that locks a table."""
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _storage(schema_editor: Any) -> BoundSqlStorage:
    return BoundSqlStorage(schema_editor.connection.connection)


def _version(schema_editor: Any) -> int | None:
    """Return the version of the tables; None where there are none."""
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        if _VERSION_TABLE not in connection.introspection.table_names(cursor):
            return None
        cursor.execute(f"SELECT version FROM {_VERSION_TABLE}")  # noqa: S608 - a name of ours
        (found,) = cursor.fetchone()
        return int(found)


def _check_empty(schema_editor: Any) -> None:
    """Keep writers out until the transaction ends, and refuse tables that hold anything.

    Raises:
        ConfigurationError: they do.
    """
    connection = schema_editor.connection
    names = sorted(set(metadata.tables) - {_VERSION_TABLE})
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
        else:
            cursor.execute(f"UPDATE {_VERSION_TABLE} SET version = version")  # noqa: S608
        for name in names:
            cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {name})")  # noqa: S608 - of ours
            if cursor.fetchone()[0]:
                raise ConfigurationError(
                    f"{name} is not empty, and going back would drop it with all the others. Drop "
                    "the tables yourself if nothing of them is needed any more."
                )


def _create(schema_editor: Any) -> None:
    """Print what creates the tables."""
    metadata.create_all(_engine(schema_editor), checkfirst=False)
    version = f"INSERT INTO {_VERSION_TABLE} VALUES ({SCHEMA_VERSION:d})"  # noqa: S608 - a number
    schema_editor.execute(version, params=None)


def _drop(schema_editor: Any) -> None:
    metadata.drop_all(_engine(schema_editor), checkfirst=False)


def _engine(schema_editor: Any) -> Any:
    """Return what lets the schema editor run, or print, what SQLAlchemy would."""

    def execute(statement: Any, *_: Any, **__: Any) -> None:
        sql = str(statement.compile(dialect=engine.dialect)).strip()
        schema_editor.execute(sql, params=None)

    engine: Any = create_mock_engine(_ENGINES[schema_editor.connection.vendor], execute)
    return engine


def _remark(schema_editor: Any, text: str) -> None:
    schema_editor.collected_sql.append(f"-- {text}")
