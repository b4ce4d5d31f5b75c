"""The stores that version 0.1.0 made: a copy of the file, and a database of the dump."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from stores.made_by_0_1_0 import MADE


@pytest.fixture
def sqlite_file(tmp_path):
    return Path(shutil.copy(MADE / "store.sqlite3", tmp_path))


@pytest.fixture
def postgresql_database(postgres, new_database):
    name = new_database()
    with psycopg.connect(postgres.conninfo(name)) as connection:
        # Statements only, and as bytes: a text with "\r\n" in it is among the values.
        connection.execute((MADE / "postgresql.sql").read_bytes())
    return name
