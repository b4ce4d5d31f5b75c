"""A Django project of each test's own, on SQLite on disk and on PostgreSQL.

Imports Django where a fixture needs it: without Django, each test file says that it is skipped.
"""

from __future__ import annotations

import itertools
import shutil
from io import StringIO

import psycopg
import pytest

from stores.made_by_0_1_0 import MADE
from stores.plain_rows import postgresql_rows, sqlite_rows

_aliases = (f"project{number}" for number in itertools.count())


class Project:
    """A project with one database of a test's own beside an empty default one.

    Args:
        connection: Django's.
        url: of the same database.
        stored: reads all rows, by table.
    """

    def __init__(self, connection, url, stored):
        self.connection, self.alias, self.url = connection, connection.alias, url
        self.stored = stored

    def manage(self, command, *arguments, **options):
        """Run a command of `manage.py` on the database; return what it prints."""
        from django.core.management import call_command

        out = StringIO()
        call_command(command, *arguments, database=self.alias, stdout=out, **options)
        return out.getvalue()

    def migrate(self, *target, **options):
        return self.manage("migrate", *target, verbosity=1, **options)

    def rows(self, statement):
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    @property
    def version(self):
        ((version,),) = self.rows("SELECT version FROM segmentflow_schema")
        return version

    @property
    def tables(self):
        return set(self.connection.introspection.table_names())


@pytest.fixture
def project_settings():
    """Give Django settings of our own, and those of other tests back afterwards."""
    import django
    from django.apps import apps
    from django.conf import settings
    from django.utils.functional import empty

    before, settings._wrapped = settings._wrapped, empty
    settings.configure(LOGGING_CONFIG=None, USE_TZ=True, SECRET_KEY="for tests alone")
    django.setup()
    apps.set_installed_apps(["segmentflow_django"])
    yield
    apps.unset_installed_apps()
    settings._wrapped = before


@pytest.fixture
def connect(project_settings):
    """Give a function that opens a database in Django's way; closed after the test."""
    from django.db import connections

    opened = []

    def connect(engine, name, **where):
        alias = next(_aliases)
        database = {"ENGINE": engine, "NAME": name, **where}
        connections.settings[alias] = connections.configure_settings({"default": database})[
            "default"
        ]
        opened.append(alias)
        return connections[alias]

    yield connect
    for alias in opened:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


@pytest.fixture(params=["sqlite", "postgresql"])
def vendor(request):
    return request.param


@pytest.fixture
def opened(request, vendor, connect, tmp_path):
    """Give a function that opens a project on an empty database, or on the store of 0.1.0."""

    files = itertools.count()

    def opened(store=None, **where):
        if vendor == "sqlite":
            file = tmp_path / f"{next(files)}.db"
            if store is not None:
                shutil.copy(MADE / "store.sqlite3", file)
            connection = connect("django.db.backends.sqlite3", file, **where)
            return Project(connection, f"sqlite:///{file}", lambda: sqlite_rows(file))
        postgres = request.getfixturevalue("postgres")
        name = request.getfixturevalue("new_database")()
        if store is not None:
            with psycopg.connect(postgres.conninfo(name)) as connection:
                connection.execute((MADE / "postgresql.sql").read_bytes())
        connection = connect(
            "django.db.backends.postgresql", name, USER="postgres", HOST=postgres.host, **where
        )
        conninfo = postgres.conninfo(name)
        return Project(connection, postgres.url(name), lambda: postgresql_rows(conninfo))

    return opened
