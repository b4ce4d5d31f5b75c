"""Metrics of `segmentflow serve`, on a port of their own.

One process answers for itself. Several write theirs to files of a folder, and the process that
started them adds them up. Needs prometheus_client, which is imported when metrics are asked for.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Final

from segmentflow_core.errors import ConfigurationError

__all__ = ["FOLDER_VARIABLE", "add_up", "check_installed", "listening"]

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Where prometheus_client keeps what several processes measure. It reads it when it is imported."""


def check_installed() -> None:
    """Refuse to serve metrics without what they need.

    Raises:
        ConfigurationError: prometheus_client is not installed.
    """
    if find_spec("prometheus_client") is None:
        message = "For metrics, install the `observers` extra: segmentflow-core[observers]."
        raise ConfigurationError(message)


@contextmanager
def add_up() -> Generator[Any]:
    """Keep what the processes started meanwhile measure; give the registry that adds it up."""
    with TemporaryDirectory(prefix="segmentflow-metrics-") as folder:
        before = os.environ.get(FOLDER_VARIABLE)
        os.environ[FOLDER_VARIABLE] = folder
        try:
            from prometheus_client import CollectorRegistry  # noqa: PLC0415 - see above
            from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

            class Living(MultiProcessCollector):
                def collect(self) -> Any:
                    _forget_the_dead(Path(folder))
                    return super().collect()  # type: ignore[no-untyped-call]

            registry = CollectorRegistry()
            Living(registry, folder)  # type: ignore[no-untyped-call]
            yield registry
        finally:
            if before is None:
                del os.environ[FOLDER_VARIABLE]
            else:
                os.environ[FOLDER_VARIABLE] = before


def _forget_the_dead(folder: Path) -> None:
    """Remove what processes that ended have in work."""
    for file in folder.glob("gauge_live*_*.db"):
        with suppress(OSError, ValueError):
            process = int(file.stem.rpartition("_")[2])
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                file.unlink()


@contextmanager
def listening(host: str, port: int, registry: Any) -> Generator[int]:
    """Answer ``GET /metrics`` in threads of its own; give the port.

    Raises:
        ConfigurationError: it cannot listen on the address.
    """
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest  # noqa: PLC0415 - see above

    class Handler(_Handler):
        content_type = CONTENT_TYPE_LATEST

        def written(self) -> bytes:
            return bytes(generate_latest(registry))

    try:
        listener = _listener(host, port, Handler)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no host name"
    else:
        thread = threading.Thread(target=listener.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield listener.server_address[1]
        finally:
            listener.shutdown()
            listener.server_close()
        return
    raise ConfigurationError(f"Cannot listen on the host and port of metrics: {why}.")


def _listener(host: str, port: int, handler: type[_Handler]) -> ThreadingHTTPServer:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)

    class Listener(ThreadingHTTPServer):
        address_family = found[0][0]
        daemon_threads = True

        def server_bind(self) -> None:
            # HTTPServer would ask for the host's name, and may wait for it.
            socket.socket.bind(self.socket, self.server_address)
            self.server_address = self.socket.getsockname()

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of a client that left."""

    return Listener((str(found[0][4][0]), port), handler)


class _Handler(BaseHTTPRequestHandler):
    content_type: ClassVar[str]
    timeout = 10

    def written(self) -> bytes:
        raise NotImplementedError

    def do_GET(self) -> None:
        found = self.path.partition("?")[0] == "/metrics"
        body = self.written() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("content-type", self.content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
        """Say nothing: metrics are asked for every few seconds."""
