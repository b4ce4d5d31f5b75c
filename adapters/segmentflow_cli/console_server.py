"""The server of `segmentflow console`: the standard library's, on 127.0.0.1 alone.

Must never log a path: the first one holds the token that lets somebody in.
"""

from __future__ import annotations

from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from segmentflow_console import LocalConsole
from segmentflow_core.errors import ConfigurationError
from segmentflow_http import WsgiApp

__all__ = ["ConsoleServer"]

HOST: Final = "127.0.0.1"
_TIMEOUT: Final = 30


class _Quiet(WSGIRequestHandler):
    """Logs no request, and waits for nobody for ever."""

    timeout = _TIMEOUT

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is overridden
        """Log nothing."""


class ConsoleServer(ThreadingMixIn, WSGIServer):
    """Serves a page on 127.0.0.1, each connection in a thread.

    Args:
        port: the port; 0 takes a free one.

    Raises:
        ConfigurationError: the port cannot be had.
    """

    daemon_threads = True
    # Else two runs of the command on one port would share its connections, on some systems.
    allow_reuse_address = False

    def __init__(self, port: int) -> None:
        try:
            super().__init__((HOST, port), _Quiet)
        except OSError as error:
            failed = error.strerror or "failed"
        else:
            return
        raise ConfigurationError(f"Cannot listen on {HOST}:{port}: {failed}.")

    def server_bind(self) -> None:
        """Bind the port, and ask nobody what this machine is called."""
        self.socket.bind(self.server_address)
        host, self.server_port = self.socket.getsockname()[:2]
        self.server_address = (host, self.server_port)
        self.server_name = host
        self.setup_environ()

    def show(self, page: LocalConsole) -> None:
        """Serve a page from now on."""
        self.set_app(WsgiApp(page))

    def url_of(self, page: LocalConsole) -> str:
        """Return the URL that lets somebody in, once."""
        return f"http://{HOST}:{self.server_port}{page.path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that broke off."""
