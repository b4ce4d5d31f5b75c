"""The tables for those who run or write a storage are those of the code."""

from __future__ import annotations

import re
import sqlite3
from typing import get_type_hints

from reference_pages import cells, rows
from segmentflow_core import ports
from segmentflow_core.ports.api_keys import ApiKeyRepository
from segmentflow_core.testing import CAPABILITIES, HISTORY_RULES
from segmentflow_core.testing.__main__ import promise_table
from segmentflow_sql import metadata, result_codes, sqlstates
from segmentflow_sql.kin import KIN

ADAPTER = "../how-to/storage-adapter.md"


def test_the_tables_of_the_schema():
    assert {name for name, _ in rows("storage.md", "table")} == set(metadata.tables)


def test_the_databases_that_an_engine_may_say_it_leads_to():
    shown = rows("../how-to/beyond-one-machine.md", "`segmentflow_database`")
    assert [name for name, _ in shown] == list(KIN)


def test_what_is_run_again():
    shown = " ".join(how for _, how in rows("storage.md", "what happened"))
    named = {*re.findall(r"\b[0-9A-Z]{5}\b", shown)}
    assert named == {
        *sqlstates.RACES,
        sqlstates.LOCK_NOT_AVAILABLE,
        *sqlstates.PREPARED_ELSEWHERE,
        sqlstates.CHANGED_RESULT,
        sqlstates.READ_ONLY,
        sqlstates.COMPLETION_UNKNOWN,
    }
    assert {*re.findall(r"\b(\w+)…", shown)} == {*sqlstates.SERVER_GOES}


def test_what_is_final():
    codes = {"StorageRefused": set(), "ConfigurationError": set(), "storage_unavailable": set()}
    for _, how, error, _ in rows("storage.md", "what else happened"):
        (name,) = (name for name in codes if name in error)
        codes[name] |= {*re.findall(r"\b(\w+)…", how), *re.findall(r"SQLITE_\w+", how)}
    assert codes["StorageRefused"] == {
        *sqlstates.VALUE_REFUSED,
        *(names_of(result_codes.VALUE_REFUSED)),
    }
    assert codes["ConfigurationError"] == {
        *sqlstates.WRONGLY_SET_UP,
        *(names_of(result_codes.WRONGLY_SET_UP)),
    }


def names_of(codes):
    known = {f"SQLITE_{name}" for name in _PRIMARY}
    return {name for name in known if getattr(sqlite3, name) in codes}


_PRIMARY = (
    *("ERROR", "PERM", "BUSY", "LOCKED", "READONLY", "IOERR", "CORRUPT", "FULL", "CANTOPEN"),
    *("TOOBIG", "CONSTRAINT", "MISMATCH", "NOTADB"),
)


def test_the_methods_of_the_ports():
    methods = []
    for subject, of in vars(ports.Transaction).items():
        if isinstance(of, property):
            repository = get_type_hints(of.fget)["return"]
            methods += [
                (f"{subject}.{name}", method.__doc__.splitlines()[0])
                for name, method in vars(repository).items()
                if not name.startswith("_") and callable(method)
            ]
    assert rows(ADAPTER, "method") == methods


def test_the_methods_of_the_port_of_api_keys():
    methods = [
        (name, method.__doc__.splitlines()[0])
        for name, method in vars(ApiKeyRepository).items()
        if not name.startswith("_") and callable(method)
    ]
    assert rows(ADAPTER, "method of `api_keys`") == methods


def test_the_capabilities():
    assert rows(ADAPTER, "capability") == list(CAPABILITIES.items())


def test_every_promise_of_the_contract():
    """`python -m segmentflow_core.testing` prints the table."""
    table = [cells(line) for line in promise_table().splitlines()]
    assert rows(ADAPTER, "subject") == table[2:]


def test_the_rules_of_every_history():
    assert [name for name, _ in rows("../how-to/test-your-code.md", "rule")] == list(HISTORY_RULES)
