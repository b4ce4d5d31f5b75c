"""`segmentflow console`: the operator's page on this machine, for whoever runs the command.

Serves one person at a time from the standard library's server, on 127.0.0.1 alone. Must never log
a path: the first one holds the token that lets somebody in.
"""

from __future__ import annotations

import getpass
import signal
import sys
import webbrowser
from contextlib import suppress
from importlib.util import find_spec
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Annotated, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from cyclopts import Parameter
from cyclopts.validators import Number

from segmentflow_cli.options import COMMON, Common
from segmentflow_cli.stores import opened
from segmentflow_core.errors import ConfigurationError
from segmentflow_http import WsgiApp

if TYPE_CHECKING:
    from segmentflow_console import LocalConsole

__all__ = ["ConsoleServer", "console"]

HOST: Final = "127.0.0.1"
_TIMEOUT: Final = 30
_NOBODY: Final = "console"
_LONGEST: Final = 255


def console(
    *,
    port: Annotated[
        int, Parameter(help="The port; 0 takes a free one.", validator=Number(gte=0, lte=65_535))
    ] = 0,
    browser: Annotated[bool, Parameter(help="Open the page in the browser.")] = True,
    read_only: Annotated[
        bool, Parameter(help="Show everything, and change nothing.", negative="")
    ] = False,
    by: Annotated[
        str | None,
        Parameter(
            help="Who is at the page, for the record.",
            show_default=lambda _: "the name of your account on this machine",
        ),
    ] = None,
    common: Common = COMMON,
) -> None:
    """Open the operator's page on this machine, until it is stopped.

    The address that is printed lets one browser in, once.
    """
    if find_spec("jinja2") is None:
        raise ConfigurationError(
            "The page needs Jinja2: install segmentflow-core with the extra console.",
            details={"missing": "jinja2", "extra": "console"},
        )
    from segmentflow_console import LocalConsole, Operator, StoreFacades  # noqa: PLC0415 - as above

    scopes = ["read"] if read_only else ["read", "act", "erase"]
    operator = Operator(by or _account(), scopes, common.organization)
    with opened(common.store) as storage, ConsoleServer(port) as server:
        facades = StoreFacades(storage)
        # A store that cannot be read is told of here rather than in the browser.
        facades.journeys.list(organization_id=common.organization)
        page = LocalConsole(facades, operator, port=server.server_port)
        server.show(page)
        url = server.url_of(page)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            common.printer.told({"url": url}, f"The page, for one browser, once: {url}")
            sys.stdout.flush()
            if browser:
                webbrowser.open(url)
            server.serve_forever()


def _account() -> str:
    """Return the name of who runs the command, where the machine tells."""
    with suppress(OSError, KeyError, ImportError):
        return getpass.getuser()[:_LONGEST] or _NOBODY
    return _NOBODY


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
