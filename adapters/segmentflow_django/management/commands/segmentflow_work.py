"""`manage.py segmentflow_work`: a worker whose handlers stand in the project."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import wraps
from typing import Any, cast

from django.core.management import BaseCommand
from django.db import close_old_connections

from segmentflow_core.errors import ConfigurationError
from segmentflow_django.conf import named
from segmentflow_django.engines import opened
from segmentflow_django.management.options import add_common, duration, refusals_in_words
from segmentflow_worker import Assignment, Handler, LoggingObserver, Worker
from segmentflow_worker.bodies import check_bodies
from segmentflow_worker.ending import ended_in_time

__all__ = ["Command"]


class Command(BaseCommand):
    """Runs handlers over Enrollments, until told to stop by SIGTERM or Ctrl-C."""

    help = "Run handlers over Enrollments, until told to stop by SIGTERM or Ctrl-C."

    def add_arguments(self, parser: Any) -> None:
        """Say what may be given."""
        add_common(parser)
        parser.add_argument(
            "handlers",
            help="Handlers by Journey id, or one function for every Journey, such as "
            "shop.journeys.HANDLERS.",
        )
        parser.add_argument("--concurrency", type=int, default=8, help="Handlers at once.")
        parser.add_argument(
            "--lease",
            type=duration,
            default=timedelta(minutes=1),
            help="How long others wait for this worker if it dies, such as 1m.",
        )
        parser.add_argument("--max-attempts", type=int, default=10, help="Then it is dead.")
        parser.add_argument(
            "--grace",
            type=duration,
            default=timedelta(seconds=30),
            help="How long a stop waits for handlers, such as 30s.",
        )
        parser.add_argument(
            "--measure",
            type=duration,
            help="Log so often how much waits, and how long, such as 30s.",
        )
        parser.add_argument(
            "--drain", action="store_true", help="End when nothing is available any more."
        )
        parser.add_argument(
            "--all-organizations", action="store_true", help="Whatever Organization they are of."
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Work, and say how many Enrollments were completed.

        Raises:
            CommandError: there are no such handlers, or the store refuses.
        """
        with refusals_in_words(options) as using:
            by_journey, default = _handlers(options["handlers"])
            with ended_in_time(options["grace"]), opened(using) as storage:
                worker = Worker(
                    storage,
                    {name: _with_connections(each) for name, each in by_journey.items()},
                    default=None if default is None else _with_connections(default),
                    organization_id=None
                    if options["all_organizations"]
                    else options["organization"],
                    concurrency=options["concurrency"],
                    lease=options["lease"],
                    max_attempts=options["max_attempts"],
                    grace=options["grace"],
                    measure=options["measure"],
                    observers=[LoggingObserver()],
                )
                completed = worker.drain() if options["drain"] else worker.run()
        what = "Enrollment" if completed == 1 else "Enrollments"
        self.stdout.write(f"Completed {completed} {what}.")


def _handlers(name: str) -> tuple[Mapping[str, Handler], Handler | None]:
    """Import what the command names; return handlers by Journey id, and one for the others.

    Raises:
        ConfigurationError: there is nothing of that name, or it handles no Enrollments.
    """
    found: Any = named(name.replace(":", "."), f"There are no handlers {name}")
    if isinstance(found, Mapping):
        return cast("Mapping[str, Handler]", found), None
    if callable(found):
        return {}, found
    raise ConfigurationError(
        f"{name} handles no Enrollments: give a mapping of Journey ids to functions, or a function."
    )


def _with_connections(handler: Handler) -> Handler:
    """Let a handler find connections of Django's that work, as a request does.

    Raises:
        ConfigurationError: it is a generator function, which the worker would not see.
    """
    check_bodies([handler])

    @wraps(handler)
    def handle(assignment: Assignment) -> Any:
        close_old_connections()
        try:
            return handler(assignment)
        finally:
            close_old_connections()

    return handle
