"""`manage.py segmentflow_retain`: what is old goes, batch by batch."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management import BaseCommand, CommandError

from segmentflow_core.people import RETAINED_AT_ONCE, People
from segmentflow_django.engines import opened
from segmentflow_django.management.options import add_common, duration, refusals_in_words

__all__ = ["Command"]


class Command(BaseCommand):
    """Removes old events and finished Enrollments, while others track. Made to be run by cron."""

    help = "Remove old events and finished Enrollments, while others track."

    def add_arguments(self, parser: Any) -> None:
        """Say what may be given."""
        add_common(parser)
        parser.add_argument(
            "--events", type=duration, help="Events received longer ago go, such as 400d."
        )
        parser.add_argument(
            "--enrollments", type=duration, help="Enrollments finished longer ago go, such as 90d."
        )
        parser.add_argument(
            "--batch",
            type=int,
            default=RETAINED_AT_ONCE,
            help="Records that a transaction looks at.",
        )
        parser.add_argument("--by", help="Who does it, for the record.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")

    def handle(self, *_: Any, **options: Any) -> None:
        """Remove what is old, and say how much that was.

        Raises:
            CommandError: nothing says what is old, nobody confirmed it, or the store refuses.
        """
        ages = {name: options[name] for name in ("events", "enrollments") if options[name]}
        if not ages:
            raise CommandError("Give --events or --enrollments.")
        with refusals_in_words(options) as using:
            if not options["yes"]:
                _confirm(f"Remove {' and '.join(f'{n} of {age}' for n, age in ages.items())}")
            with opened(using) as storage:
                retained = People(storage).retain(
                    **ages,
                    limit=options["batch"],
                    by=options["by"],
                    organization_id=options["organization"],
                )
        self.stdout.write(
            f"Removed {retained.events} events and {retained.enrollments} Enrollments; "
            f"{retained.held} events stay for Enrollments that are not finished."
        )


def _confirm(what: str) -> None:
    """Ask on a terminal.

    Raises:
        CommandError: there is none, or the answer is no.
    """
    if not sys.stdin.isatty():
        raise CommandError("Nobody is there to ask: confirm with --yes.")
    if input(f"{what}? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise CommandError("Nothing was removed.")
