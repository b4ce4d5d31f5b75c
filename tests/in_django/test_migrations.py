"""`manage.py migrate`: from nothing, from the store of 0.1.0, and where all is done already."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("django", reason="Django is not installed: its app is not tested.")


from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.test import override_settings
from sqlalchemy import create_engine, inspect

from segmentflow_core import Tracker
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_django.operations import BringTables
from segmentflow_sql import SCHEMA_VERSION, metadata, open_storage

APP = "segmentflow_django"


def tracked(project):
    """Track an event in a storage of its own, which looks at the version of the tables first."""
    storage = open_storage(project.url)
    receipt = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET).track(a_request(), "key")
    storage.close()
    return receipt


def schema_of(project):
    """Return each table's columns, key and indexes, as the database has them."""
    engine = create_engine(project.url)
    inspector = inspect(engine)
    found = {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)],
            inspector.get_pk_constraint(name)["constrained_columns"],
            sorted(
                (i["name"], i["column_names"], i["unique"]) for i in inspector.get_indexes(name)
            ),
        )
        for name in metadata.tables
    }
    engine.dispose()
    return found


def test_an_empty_database_gets_the_tables_that_the_storage_itself_makes(opened):
    project = opened()
    assert "Applying segmentflow_django.0001_initial... OK" in project.migrate(APP)
    assert tracked(project).profile_id
    assert project.version == SCHEMA_VERSION
    created = opened()
    storage = open_storage(created.url)
    storage.create_all()
    storage.close()
    assert schema_of(project) == schema_of(created)
    assert "No migrations to apply" in project.migrate(APP)


def test_a_store_of_0_1_0_is_brought_up_with_its_rows_as_migrate_does(opened):
    by_django, by_storage = opened("0.1.0"), opened("0.1.0")
    by_django.migrate(APP)
    storage = open_storage(by_storage.url)
    storage.migrate()
    storage.close()
    rows = by_django.stored()
    assert {name: rows[name] for name in metadata.tables} == by_storage.stored()
    assert schema_of(by_django) == schema_of(by_storage)
    assert tracked(by_django).profile_id
    with pytest.raises(ConfigurationError, match="is not empty"):
        by_django.migrate(APP, "zero")
    assert by_django.version == 2


def test_tables_that_are_there_already_are_left_as_they_are(opened):
    project = opened()
    storage = open_storage(project.url)
    storage.create_all()
    storage.close()
    receipt = tracked(project)
    project.migrate(APP)
    assert tracked(project) == receipt
    assert project.version == SCHEMA_VERSION


def test_going_back_drops_empty_tables_and_no_others(opened):
    project = opened()
    project.migrate(APP)
    receipt = tracked(project)
    with pytest.raises(ConfigurationError, match="segmentflow_claims is not empty"):
        project.migrate(APP, "zero")
    assert tracked(project) == receipt
    with project.connection.cursor() as cursor:
        for name in set(metadata.tables) - {"segmentflow_schema"}:
            cursor.execute(f"DELETE FROM {name}")
    project.migrate(APP, "zero")
    assert not [name for name in project.tables if name.startswith("segmentflow_")]
    project.migrate(APP, fake=True)
    project.migrate(APP, "zero")  # of what is not there, nothing is dropped
    project.migrate(APP)
    assert tracked(project).profile_id


def test_a_refused_migration_leaves_everything_as_it_was(opened):
    project = opened("0.1.0")
    with project.connection.cursor() as cursor:
        cursor.execute("ALTER TABLE segmentflow_claims ADD COLUMN extra INTEGER")
    before = project.tables
    with pytest.raises(ConfigurationError, match=r"claims\.extra is too many"):
        project.migrate(APP)
    assert project.version == 1
    assert project.tables - before <= {"django_migrations"}
    with project.connection.cursor() as cursor:
        cursor.execute("ALTER TABLE segmentflow_claims DROP COLUMN extra")
    project.migrate(APP)
    assert project.version == 2


def test_tables_of_a_newer_library_are_left_alone(opened):
    """A project that goes back to an older library finds out where it tracks."""
    project = opened()
    project.migrate(APP)
    with project.connection.cursor() as cursor:
        cursor.execute("UPDATE segmentflow_schema SET version = 99")
    project.migrate(APP, fake=True)
    with project.connection.schema_editor() as editor:
        BringTables(2, before=None).database_forwards(APP, editor, None, None)
    assert project.version == 99


def test_what_is_planned_and_printed_says_what_it_does(opened, vendor):
    project = opened()
    assert "Bring the tables of segmentflow-core to version 2" in project.migrate(APP, plan=True)
    printed = project.manage("sqlmigrate", APP, "0001")
    assert not [name for name in project.tables if name.startswith("segmentflow_")]
    back = project.manage("sqlmigrate", APP, "0001", backwards=True)
    run(project, printed, vendor)
    assert project.version == SCHEMA_VERSION
    assert tracked(project).profile_id
    run(project, back, vendor)
    assert not [name for name in project.tables if name.startswith("segmentflow_")]
    assert "segmentflow migrate --sql" in printed


def run(project, script, vendor):
    """Run a script in the driver's own way: Django's cursor takes one statement at a time."""
    project.connection.ensure_connection()
    if vendor == "sqlite":
        project.connection.connection.executescript(script)
    else:
        project.connection.connection.execute(script)


def test_a_later_migration_goes_both_ways_where_its_step_does(opened):
    """Of version 2, which nothing leads back from."""
    project = opened("0.1.0")
    later = BringTables(2, before=1)
    with project.connection.schema_editor() as editor:
        later.database_forwards(APP, editor, None, None)
    assert project.version == 2
    with (
        project.connection.schema_editor() as editor,
        pytest.raises(ConfigurationError, match="no way back from version 2"),
    ):
        later.database_backwards(APP, editor, None, None)
    assert project.version == 2
    with project.connection.schema_editor(collect_sql=True) as editor:
        later.database_forwards(APP, editor, None, None)
        later.database_backwards(APP, editor, None, None)
    assert [line for line in editor.collected_sql if not line.startswith("--")] == []
    assert later.migration_name_fragment == "segmentflow_version_2"


@pytest.mark.parametrize("vendor", ["postgresql"])
@pytest.mark.parametrize("store", [None, "0.1.0"])
def test_of_several_that_migrate_at_once_one_does(opened, store):
    project, at_once = opened(store), threading.Barrier(3)
    failed = []

    def migrate():
        connection = connections[project.alias]
        try:
            with connection.schema_editor() as editor:
                connection.ensure_connection()
                at_once.wait()
                BringTables(2, before=None).database_forwards(APP, editor, None, None)
        except StorageUnavailable as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert project.version == 2
    assert tracked(project).profile_id


class Nowhere:
    """A router that keeps the app out of every database."""

    def allow_migrate(self, db, app_label, **_):
        return app_label != APP


def test_a_router_keeps_the_tables_out_of_a_database(opened):
    project = opened()
    with override_settings(DATABASE_ROUTERS=[Nowhere()]):
        project.migrate(APP)
        project.migrate(APP, "zero")
    assert not [name for name in project.tables if name.startswith("segmentflow_")]


@pytest.mark.usefixtures("project_settings")
def test_a_database_of_another_kind_is_refused():
    editor = SimpleNamespace(connection=SimpleNamespace(alias="default", vendor="oracle"))
    for change in ("database_forwards", "database_backwards"):
        with pytest.raises(ConfigurationError, match="of the kind oracle"):
            getattr(BringTables(2, before=None), change)(APP, editor, None, None)


@pytest.mark.usefixtures("project_settings")
def test_the_app_has_one_way_to_the_version_of_the_library_and_no_table_of_a_model():
    """A new version of the tables needs a migration of this app beside those of the storage."""
    loader = MigrationLoader(None)
    (leaf,) = loader.graph.leaf_nodes(APP)
    made = [
        operation
        for key in loader.graph.forwards_plan(leaf)
        for operation in loader.graph.nodes[key].operations
    ]
    steps = [operation for operation in made if isinstance(operation, BringTables)]
    assert [step.version for step in steps] == list(range(2, SCHEMA_VERSION + 1))
    models = loader.project_state().models
    assert [model.options["managed"] for model in models.values()] == [False] * 4
    _, arguments, named = steps[0].deconstruct()
    assert BringTables(*arguments, **named).version == 2
