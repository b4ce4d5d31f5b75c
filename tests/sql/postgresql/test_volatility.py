"""What a server says of the functions in our statements, and whether instants come back exactly."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from segmentflow_core.colour import drive
from segmentflow_core.ports import from_microseconds, to_microseconds
from segmentflow_sql import SqlStorage
from segmentflow_sql.exchange import Call, calls_for_rows
from segmentflow_sql.statements import DIALECTS, all_statements, statements_for

KIN = [name for name in DIALECTS if name != "sqlite"]

# --- volatility -----------------------------------------------------------------------------


class Analyzed:
    """Asks a server which functions a statement uses, casts and operators among them.

    The server prints each statement as it has understood it: functions and operators by their
    numbers, and casts by way of text by the number of the type.
    """

    _FUNCTION = re.compile(r":(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)")
    _CAST = re.compile(r"\{COERCEVIAIO :arg \{.*?:\w*(?:type|typeid) (\d+) .*?:resulttype (\d+) ")

    def __init__(self, connection):
        self._connection = connection
        self._trees = []
        connection.add_notice_handler(self._hear)
        for setting in ("debug_print_parse = on", "client_min_messages = log"):
            connection.execute(f"SET {setting}")
        self._volatility = dict(connection.execute("SELECT oid::int, provolatile FROM pg_proc"))
        self._names = dict(connection.execute("SELECT oid::int, proname FROM pg_proc"))
        found = connection.execute("SELECT oid::int, typinput::int, typoutput::int FROM pg_type")
        self._types = {oid: (in_, out) for oid, in_, out in found}

    def _hear(self, notice):
        if notice.message_primary == "parse tree:":
            self._trees.append(" ".join(notice.message_detail.split()))

    def changing_functions(self, text):
        """Return the names of the functions that are not immutable."""
        self._trees.clear()
        self._connection.execute(f"PREPARE asked AS {text}")
        self._connection.execute("DEALLOCATE asked")
        tree = next(tree for tree in self._trees if ":utilityStmt <>" in tree)
        used = {int(found) for found in self._FUNCTION.findall(tree)}
        casts = re.findall(r"\{COERCEVIAIO ", tree)
        read = self._CAST.findall(tree)
        assert len(read) >= len(casts) > 0 or not casts
        for given_type, result in read:
            used |= {self._types[int(result)][0], self._types[int(given_type)][1]}
        return {self._names[each] for each in used if self._volatility[each] != "i"}


@pytest.fixture
def analyzed(postgres, database):
    with postgres.connect(database) as connection:
        yield Analyzed(connection)


@pytest.mark.server_side
@pytest.mark.parametrize("database_name", KIN)
def test_every_function_in_every_statement_is_immutable(analyzed, database_name):
    """Citus refuses others in RETURNING and SET; elsewhere they would depend on the session."""
    known = statements_for(database_name)
    changing = {
        statement.name: analyzed.changing_functions(statement.text)
        for statement in all_statements(known)
        if statement not in known.definitions
    }
    # It reads the catalogue: whether there are tables is no property of a row.
    assert changing.pop("has_schema") >= {"to_regclass"}
    # It reads no table, and what it answers crosses as a value.
    assert changing.pop("read_clock") == {"clock_timestamp"}
    assert {name: found for name, found in changing.items() if found} == {}


@pytest.mark.server_side
@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("SELECT EXTRACT(epoch FROM taken_at) FROM segmentflow_claims", "extract"),
        ("UPDATE segmentflow_claims SET taken_at = CAST(key_id AS TIMESTAMPTZ)", "timestamptz_in"),
        ("SELECT 1 FROM segmentflow_claims WHERE key_id = ANY(CAST(key_id AS TEXT[]))", "array_in"),
        ("UPDATE segmentflow_claims SET key_id = CAST(taken_at AS TEXT)", "timestamptz_out"),
        ("SELECT taken_at + INTERVAL '1 day' FROM segmentflow_claims", "timestamptz_pl_interval"),
        ("DELETE FROM segmentflow_claims RETURNING random()", "random"),
    ],
)
def test_a_function_that_is_not_immutable_is_found(analyzed, text, function):
    assert function in analyzed.changing_functions(text)


# --- instants -------------------------------------------------------------------------------

FIRST, LAST = (
    to_microseconds(datetime.min.replace(tzinfo=UTC)),
    to_microseconds(datetime.max.replace(tzinfo=UTC)),
)
INSTANTS = st.one_of(
    st.integers(FIRST, LAST),
    st.datetimes(timezones=st.just(UTC)).map(to_microseconds),
    st.integers(-(10**12), 10**12),
)
EDGES = [
    *(FIRST, FIRST + 1, LAST, LAST - 1, -1, 0, 1),
    *(
        sign * (86_400_000_000 * day + off)
        for sign in (1, -1)
        for day in (1, 20_000)
        for off in (-1, 0, 1)
    ),
    *(sign * (2**53 + off) for sign in (1, -1) for off in (-1, 0, 1)),
]


@pytest.fixture(scope="module")
def odd_sessions(postgres):
    """Give storages, by database, whose sessions have settings that nobody expects."""
    with postgres.connect() as connection:
        connection.execute("CREATE DATABASE odd_sessions")
    odd = "-c TimeZone=Asia/Kathmandu -c DateStyle=SQL,DMY -c IntervalStyle=sql_standard"
    storages = {}
    for name in KIN:
        asked = "yugabytedb" if name.startswith("yugabytedb") else name
        level = "SERIALIZABLE" if name.endswith("serializable") else "READ COMMITTED"
        engine = create_engine(
            postgres.url("odd_sessions"),
            connect_args={"options": odd},
            execution_options={"segmentflow_database": asked, "isolation_level": level},
        )
        storages[name] = SqlStorage(engine)
        storages[name].create_all()
    yield storages
    for storage in storages.values():
        storage.close()


def stored_and_read(storage, counts):
    """Write instants each by itself, then all in one list; return what is read of either."""
    rows = [("org", f"{n}", from_microseconds(count)) for n, count in enumerate(counts)]
    now = from_microseconds(LAST)

    def work(transaction):
        connection = transaction.connection
        statements = connection.kind.statements.tracking
        codec = connection.kind.codec
        keys = codec.listed(key for _, key, _ in rows)
        given = {"organization_id": "org", "keys": keys}
        free = Call(statements.free_keys, statements.free_keys.arguments(**given))
        read = Call(statements.taken_keys.many, statements.taken_keys.many.arguments(**given))
        each = [call for row in rows for call in calls_for_rows(statements.take_keys, [row], now)]
        together = calls_for_rows(statements.take_keys, rows, now)
        answers = drive(connection.exchange([free, *each, read, free, *together, read, free]))
        return [
            [found for _, found in sorted((int(row[1]), row[2]) for row in answer)]
            for answer in (answers[1 + len(each)], answers[-2])
        ]

    return storage.run(work)


@pytest.mark.parametrize("database_name", KIN)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(INSTANTS, min_size=2, max_size=60))
@example(EDGES)
def test_instants_come_back_exactly_however_they_were_written(odd_sessions, database_name, counts):
    assert stored_and_read(odd_sessions[database_name], counts) == [counts, counts]


def as_doubles(database_name):
    """Return how a database reads an instant, in the arithmetic of those whose EXTRACT is a double.

    PostgreSQL keeps it as date_part.
    """
    text = statements_for(database_name).journeys.list_journeys.text
    (expression,) = re.findall(r"(CAST\(EXTRACT.*?) AS anon_1", text)
    doubled = re.sub(r"EXTRACT\((\w+) FROM ", r"date_part('\1', ", expression)
    return doubled.replace(
        "segmentflow_journey_versions.published_at", "CAST(moment AS TIMESTAMPTZ)"
    )


@pytest.mark.server_side
@pytest.mark.parametrize("database_name", ["yugabytedb", "yugabytedb_serializable", "cockroachdb"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(INSTANTS, min_size=2, max_size=60))
@example(EDGES)
def test_instants_are_read_exactly_where_extract_gives_a_double(
    admin_connection, database_name, counts
):
    moments = [from_microseconds(count).isoformat() for count in counts]
    query = (
        f"SELECT {as_doubles(database_name).replace('%', '%%')} "
        "FROM unnest(%s::text[]) WITH ORDINALITY AS given(moment, place) ORDER BY place"
    )
    assert [found for (found,) in admin_connection.execute(query, (moments,))] == counts


@pytest.mark.server_side
def test_a_double_of_seconds_would_not_be_exact(admin_connection):
    """What EXTRACT gives on PostgreSQL is no double, so its shorter form is exact there."""
    far = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC).isoformat()
    query = f"SELECT {as_doubles('postgresql')} FROM (VALUES (%s)) AS given(moment)"
    ((found,),) = admin_connection.execute(query, (far,)).fetchall()
    assert found != LAST


@pytest.fixture(scope="module")
def admin_connection(postgres):
    with postgres.connect() as connection:
        yield connection
