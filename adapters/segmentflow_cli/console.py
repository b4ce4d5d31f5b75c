"""`segmentflow console`: the operator's page on this machine, for whoever runs the command.

What serves it is imported when it is served: other commands need none of it.
"""

from __future__ import annotations

import getpass
import signal
import sys
import webbrowser
from contextlib import suppress
from importlib.util import find_spec
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from segmentflow_cli.flags import FLAG
from segmentflow_cli.options import COMMON, Common, check_length
from segmentflow_cli.stores import opened
from segmentflow_core.errors import ConfigurationError

__all__ = ["console"]

_NOBODY: Final = "console"
_LONGEST: Final = 255


def console(
    *,
    port: Annotated[
        int, Parameter(help="The port; 0 takes a free one.", validator=Number(gte=0, lte=65_535))
    ] = 0,
    browser: Annotated[bool, Parameter(help="Open the page in the browser.")] = True,
    read_only: Annotated[
        bool, Parameter(help="Show everything, and change nothing."), FLAG
    ] = False,
    by: Annotated[
        str | None,
        Parameter(
            help="Who is at the page, for the record.",
            validator=check_length,
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
    from segmentflow_cli.console_server import ConsoleServer  # noqa: PLC0415 - as the module says
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
        name = getpass.getuser().encode("utf-8", "backslashreplace").decode()
        return name[:_LONGEST] or _NOBODY
    return _NOBODY
