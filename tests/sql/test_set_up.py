"""A database or an engine that is set up wrongly: what the host is told."""

from __future__ import annotations

import warnings

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.testing import a_request
from segmentflow_sql import AsyncSqlStorage, SqlStorage, open_storage
from segmentflow_sql.drivers import open_engine
from store_trackers import a_tracker


def refusal_of(url):
    storage = open_storage(url)
    try:
        for use in (storage.create_all, a_tracker(storage).records.events):
            with pytest.raises((ConfigurationError, StorageUnavailable)) as refusal:
                use()
        return refusal.value
    finally:
        storage.close()


@pytest.mark.parametrize(
    ("query", "environment", "bounds"),
    [
        ("", {}, {"connect_timeout": 10, "tcp_user_timeout": 30_000}),
        ("", {"PGCONNECT_TIMEOUT": "3"}, {"tcp_user_timeout": 30_000}),
        (
            "?connect_timeout=5&tcp_user_timeout=0",
            {},
            {"connect_timeout": "5", "tcp_user_timeout": "0"},
        ),
    ],
)
def test_a_server_that_is_not_there_is_not_waited_for_for_ever(
    monkeypatch, query, environment, bounds
):
    class Asked(Exception):
        pass

    def connect(**options):
        asked.update(options)
        raise Asked

    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    asked = {}
    engine = open_engine(f"postgresql://u@127.0.0.1:1/shop{query}")
    monkeypatch.setattr(engine.dialect, "connect", connect)
    with pytest.raises(Asked):
        engine.raw_connection()
    assert {name: asked[name] for name in asked if name.endswith("_timeout")} == bounds


@pytest.mark.parametrize(
    ("url", "final", "code", "words"),
    [
        (
            "{scheme}://postgres:canary@/none?host={host}",
            True,
            "3D000",
            '"none" at {host}',
        ),
        ("postgres://postgres:canary@/none?host={host}", True, "3D000", "does not exist"),
        ("{scheme}://nobody:canary@/postgres?host={host}", True, "28000", 'user "nobody"'),
        ("{scheme}://u:canary@/shop?host=/no/where", False, "08001", "at /no/where cannot be"),
        ("{scheme}://u:canary@127.0.0.1:1/shop", False, "08001", '"shop" at 127.0.0.1:1 cannot'),
        ("{scheme}://u:canary@no.invalid/shop", False, "08001", "at no.invalid cannot be"),
        ("{scheme}://u:canary@127.0.0.1:1/shop?canary=1", True, "08001", "an unknown option"),
        ("{scheme}://u:can@canary/x@127.0.0.1:1/shop", False, "08001", "cannot be reached"),
    ],
)
def test_a_database_that_cannot_be_connected_to_is_named(postgres, url, final, code, words):
    names = {"host": postgres.host, "scheme": "postgresql"}
    refusal = refusal_of(url.format(**names))
    assert isinstance(refusal, ConfigurationError if final else StorageUnavailable)
    assert refusal.should_retry is (None if final else True)
    assert refusal.details == {"error": code}
    assert words.format(**names) in refusal.message
    assert "canary" not in str(refusal)
    assert refusal.__context__ is None


def test_a_wrong_password_is_said_and_not_shown(postgres, admin):
    """The server trusts everybody, so its words are put into the driver's mouth."""
    import psycopg

    from segmentflow_sql.connecting import explained

    url = create_engine("postgresql+psycopg://alex:canary@db.internal:5433/shop").url
    error = psycopg.OperationalError(
        'connection failed: FATAL:  password authentication failed for user "alex"'
    )
    refusal = explained(error, url)
    assert isinstance(refusal, ConfigurationError)
    assert refusal.details == {"error": "28P01"}
    assert refusal.message == (
        'The database "shop" at db.internal:5433 does not take the password of user "alex".'
    )
    too_many = psycopg.OperationalError("FATAL:  sorry, too many clients already")
    assert explained(too_many, url).should_retry


def test_a_session_without_a_search_path_is_told_so(admin, shop, postgres):
    admin(f"ALTER DATABASE {shop} SET search_path = ''")
    storage = open_storage(postgres.url(shop))
    with pytest.raises(ConfigurationError, match="search_path") as refusal:
        storage.create_all()
    assert refusal.value.details == {"error": "3F000"}
    assert f'"{shop}"' in refusal.value.message
    with pytest.raises(ConfigurationError, match="no tables yet") as refusal:
        a_tracker(storage).records.events()
    assert "(none)" in refusal.value.message or '""' in refusal.value.message
    storage.close()


def test_a_statement_timeout_that_is_too_short_is_named(admin, shop, postgres):
    storage = open_storage(postgres.url(shop))
    tracker = a_tracker(storage)
    tracker.records.events()
    storage._engine.dispose()
    admin(f"ALTER DATABASE {shop} SET statement_timeout = 1")
    with postgres.connect(shop) as other:
        other.execute("BEGIN; LOCK TABLE segmentflow_claims IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StorageUnavailable, match="statement_timeout") as failure:
            tracker.track(a_request(), "key")
        other.execute("ROLLBACK")
    assert failure.value.details == {"error": "57014"}
    storage.close()


def test_a_sqlite_file_in_no_folder_is_named(tmp_path):
    path = tmp_path / "none" / "store.db"
    storage = open_storage(f"sqlite:///{path}")
    with pytest.raises(ConfigurationError, match="folder does not exist") as refusal:
        storage.create_all()
    assert str(path) in refusal.value.message
    with pytest.raises(ConfigurationError, match="no tables yet") as refusal:
        a_tracker(storage).records.events()
    assert str(path) in refusal.value.message
    storage.close()


@pytest.mark.parametrize(
    "query", ["canary=1", "mode=ro", "timeout=3&canary=1", "uri=false&mode=ro"]
)
@pytest.mark.parametrize("driver", ["sqlite", "sqlite+pysqlite"])
def test_an_option_that_sqlites_driver_does_not_take_is_refused(tmp_path, driver, query):
    url = f"{driver}:///{tmp_path / 'store.db'}?{query}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigurationError, match="uri=true") as refusal:
            open_storage(url)
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize("query", ["timeout=3", "uri=true&mode=rwc", "segmentflow_database=sqlite"])
def test_an_option_that_something_takes_is_passed_on(tmp_path, query):
    storage = open_storage(f"sqlite:///file:{tmp_path / 'store.db'}?{query}")
    storage.close()


@pytest.mark.parametrize("given", ["x", None, 1, object()])
def test_what_is_no_engine_or_connection_is_told_what_is_needed(given):
    with pytest.raises(ConfigurationError, match="SqlStorage needs an engine"):
        SqlStorage(given)
    with pytest.raises(ConfigurationError, match="AsyncSqlStorage needs an asynchronous engine"):
        AsyncSqlStorage(given)
    for storage in (SqlStorage, AsyncSqlStorage):
        with pytest.raises(ConfigurationError, match="bound to a connection of SQLAlchemy"):
            storage.bound_to(given)


def test_an_engine_is_no_connection_and_a_connection_no_engine():
    engine = create_engine("sqlite://")
    with pytest.raises(ConfigurationError, match="bound to a connection"):
        SqlStorage.bound_to(engine)
    with engine.connect() as connection:
        with pytest.raises(ConfigurationError, match="needs an engine"):
            SqlStorage(connection)
        with pytest.raises(ConfigurationError, match="needs"):
            AsyncSqlStorage.bound_to(connection)
    with pytest.raises(ConfigurationError, match="needs an engine"):
        SqlStorage(create_async_engine("sqlite+aiosqlite://"))
    engine.dispose()
