"""`segmentflow work`: a worker whose handlers stand in a Python module of the host's."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, cast

from cyclopts import Parameter
from cyclopts.validators import Number

from segmentflow_cli.flags import FLAG
from segmentflow_cli.options import COMMON, Common, MaxAttempts
from segmentflow_cli.stores import opened
from segmentflow_cli.times import LONGEST_WAIT, SECONDS, WAIT
from segmentflow_core.errors import ConfigurationError
from segmentflow_worker import Handler, LoggingObserver, Worker
from segmentflow_worker.ending import ended_in_time

__all__ = ["work"]

_LEASE: Final = timedelta(minutes=1)
_MOST_AT_ONCE: Final = 10_000


def work(
    handlers: Annotated[
        str,
        Parameter(
            name="MODULE:HANDLERS",
            help="Handlers by Journey id, or one function for every Journey, in a Python module "
            "that is found from here.",
        ),
    ],
    /,
    *,
    concurrency: Annotated[
        int,
        Parameter(
            help="How many handlers run at once.", validator=Number(gte=1, lte=_MOST_AT_ONCE)
        ),
    ] = 8,
    lease: Annotated[
        timedelta,
        Parameter(
            help="How long others wait for this worker if it dies, such as 1m or PT1M.",
            show_default=lambda _: "1m",
        ),
        WAIT,
    ] = _LEASE,
    max_attempts: MaxAttempts = 10,
    grace: Annotated[
        int,
        Parameter(
            help="Seconds that a stop waits for handlers, or as 1m.",
            validator=Number(gte=0, lte=int(LONGEST_WAIT.total_seconds())),
        ),
        SECONDS,
    ] = 30,
    measure: Annotated[
        timedelta | None,
        Parameter(help="Log so often how much waits, and how long, such as 30s."),
        WAIT,
    ] = None,
    drain: Annotated[
        bool,
        Parameter(help="End when nothing is available any more."),
        FLAG,
    ] = False,
    all_organizations: Annotated[
        bool, Parameter(help="Whatever Organization they are of."), FLAG
    ] = False,
    common: Common = COMMON,
) -> None:
    """Run handlers over Enrollments, until told to stop by SIGTERM or Ctrl-C.

    A stop lets handlers end, and gives back what they do not finish in time. Completions, failures
    and lost leases are logged to standard error. Where the store does not answer, the process ends
    5 seconds after the grace, or 3 seconds after a second signal, with status 1.
    """
    by_journey, default = _handlers(handlers)
    ending = ended_in_time(timedelta(seconds=grace))
    with ending, opened(common.store) as storage, _logged():
        worker = Worker(
            storage,
            by_journey,
            default=default,
            organization_id=None if all_organizations else common.organization,
            concurrency=concurrency,
            lease=lease,
            max_attempts=max_attempts,
            grace=timedelta(seconds=grace),
            measure=measure,
            observers=[LoggingObserver()],
        )
        completed = worker.drain() if drain else worker.run()
    common.printer.worked(completed)


def _handlers(target: str) -> tuple[Mapping[str, Handler], Handler | None]:
    """Import what the command names; return handlers by Journey id, and one for the others.

    Raises:
        ConfigurationError: there is no such module, or nothing in it that handles Enrollments.
    """
    module_name, colon, name = target.partition(":")
    if not (colon and name and all(module_name.split("."))):
        raise ConfigurationError("Name handlers as MODULE:HANDLERS, such as shop.mails:HANDLERS.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigurationError(f"The module {module_name} cannot be imported: {error}") from error
    found: Any = getattr(module, name, None)
    if isinstance(found, Mapping):
        return cast("Mapping[str, Handler]", found), None
    if callable(found):
        return {}, found
    raise ConfigurationError(
        f"{module_name} has no {name} that handles Enrollments: a mapping of Journey ids to"
        " functions, or a function."
    )


@contextmanager
def _logged() -> Generator[None]:
    """Write the worker's log to standard error, as it is now."""
    logger = logging.getLogger("segmentflow.worker")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
