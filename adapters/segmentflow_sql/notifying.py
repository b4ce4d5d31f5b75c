"""Waking workers on PostgreSQL: NOTIFY after commits, LISTEN where they wait.

Never in the transaction that enrols: commits that notify wait for each other in the server. So a
process notifies on a connection of its own, once its transaction is committed: at once, then at
most every ten milliseconds. What is lost, as when the connection is, polling covers. Knows nothing
of Enrollments: a notification says no more than that somebody should look.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy import Engine

__all__ = ["Notifier", "can_notify", "listening"]

_CHANNEL: Final = "segmentflow"
_PAUSE: Final = 0.01
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 5.0
_NOTIFYING: Final = ("postgresql", "citus")
"""Which of PostgreSQL's kin have NOTIFY."""


def can_notify(engine: Engine) -> bool:
    """Say whether what is behind an engine has NOTIFY."""
    name = engine.dialect.name
    return engine.get_execution_options().get("segmentflow_database", name) in _NOTIFYING


class _OwnConnection:
    """A connection that no transaction uses; made when needed, and again once it is lost."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._driver: Any = None
        self._close: Callable[[], object] = lambda: None

    def driver(self, *commands: str) -> Any:
        """Return psycopg's connection, on which these commands have been run."""
        if self._driver is None:
            if self._engine.dialect.is_async:
                import psycopg  # noqa: PLC0415 - SQLite needs no psycopg

                arguments, options = self._engine.dialect.create_connect_args(self._engine.url)
                driver: Any = psycopg.connect(*arguments, **options)
                self._close = driver.close
            else:
                taken = self._engine.raw_connection()
                driver, self._close = taken.driver_connection, taken.close
                taken.detach()
            self._driver = driver
            driver.rollback()
            driver.autocommit = True
            for command in commands:
                driver.execute(command)
        return self._driver

    def close(self) -> None:
        """Close it; the next call makes another one."""
        self._driver = None
        with suppress(Exception):
            self._close()


class Notifier:
    """Wakes the workers that listen on a PostgreSQL, whatever process they are in.

    Give it to `segmentflow_worker.wakes`, and that to a tracker as an observer. It notifies from a
    thread of its own, which begins with the first event that enrols.
    """

    def __init__(self, engine: Engine) -> None:
        self._connection = _OwnConnection(engine)
        self._asked = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._begun = False
        self._thread = threading.Thread(
            target=self._serve, name="segmentflow-notifier", daemon=True
        )

    def wake(self) -> None:
        """Notify soon. From any thread; it waits for nothing."""
        self._asked.set()
        if not self._begun:
            self._begin()

    def _begin(self) -> None:
        with self._lock:
            if self._begun or self._closed.is_set():
                return
            self._begun = True
            self._thread.start()

    def close(self) -> None:
        """Notify a last time if that was asked for, and end."""
        with self._lock:
            self._closed.set()
        if self._begun:
            asked = self._asked.is_set()
            self._asked.set()
            self._thread.join()
            if asked:
                self._notify()
            self._connection.close()

    def _serve(self) -> None:
        delay = _FIRST_DELAY
        while True:
            self._asked.wait()
            if self._closed.is_set():
                return
            self._asked.clear()
            # A connection that was lost since the last time is found out by using it.
            if self._notify() or self._notify():
                delay = _FIRST_DELAY
                self._closed.wait(_PAUSE)
            else:
                self._closed.wait(delay)
                delay = min(delay * 2, _LONGEST_DELAY)

    def _notify(self) -> bool:
        try:
            # A notification commits, and nobody need wait until the disk has that.
            driver = self._connection.driver("SET synchronous_commit = off")
            driver.execute(f"NOTIFY {_CHANNEL}")
        except Exception:  # noqa: BLE001 - whatever it was, polling covers it
            self._connection.close()
            return False
        return True


@contextmanager
def listening(engine: Engine, wake: Callable[[], None]) -> Generator[None]:
    """Call `wake` for whatever is notified, until the end; and once it listens, anew too."""
    stop, stopped = socket.socketpair()
    listener = threading.Thread(
        target=_listen,
        args=(_OwnConnection(engine), wake, stopped),
        name="segmentflow-listener",
        daemon=True,
    )
    listener.start()
    try:
        yield
    finally:
        stop.close()  # which the other end can read
        listener.join()
        stopped.close()


def _listen(connection: _OwnConnection, wake: Callable[[], None], stopped: socket.socket) -> None:
    delay = _FIRST_DELAY
    while True:
        try:
            driver = connection.driver(f"LISTEN {_CHANNEL}")
            # What was enrolled before it listened, nobody tells.
            wake()
            delay = _FIRST_DELAY
            while not _is_stopped(stopped, None, driver.pgconn.socket):
                driver.pgconn.consume_input()
                if _takes_notifications(driver.pgconn):
                    wake()
            return
        except Exception:  # noqa: BLE001 - whatever it was, polling covers it meanwhile
            if _is_stopped(stopped, delay):
                return
            delay = min(delay * 2, _LONGEST_DELAY)
        finally:
            connection.close()


def _is_stopped(stopped: socket.socket, seconds: float | None, *others: int) -> bool:
    """Wait for the end, so many seconds, or for something to read from others."""
    with selectors.DefaultSelector() as selector:
        for each in (stopped.fileno(), *others):
            selector.register(each, selectors.EVENT_READ)
        return any(key.fd == stopped.fileno() for key, _ in selector.select(seconds))


def _takes_notifications(pgconn: Any) -> bool:
    taken = False
    while pgconn.notifies() is not None:
        taken = True
    return taken
