"""What the commands of `manage.py` share: options, durations, and refusals in words."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from django.core.management import CommandError

from segmentflow_core.errors import SegmentflowError
from segmentflow_core.journeys import parse_duration
from segmentflow_django.conf import database

__all__ = ["add_common", "duration", "refusals_in_words"]

_SHORT: Final = re.compile(r"(?=[0-9])([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,9}s)?")


def duration(text: str) -> timedelta:
    """Read a duration: short, such as ``5m`` or ``1d12h``, or ISO 8601, such as ``PT5M``.

    >>> duration("1d12h") == duration("P1DT12H")
    True
    """
    short = _SHORT.fullmatch(text)
    if short is not None:
        days, *rest = (part.upper() if part else "" for part in short.groups())
        text = f"P{days}{'T' if any(rest) else ''}{''.join(rest)}"
    try:
        return parse_duration(text)
    except ValueError:
        raise ArgumentTypeError(
            "must be a duration such as 5m, 7d, 1d12h or PT5M; "
            "a part has at most 6 digits, the seconds 9"
        ) from None


def add_common(parser: Any) -> None:
    """Add the options of every command."""
    parser.add_argument(
        "--database", help="The alias of the database; by default DATABASE of SEGMENTFLOW."
    )
    parser.add_argument("--organization", default="default", help="Whose records.")


@contextmanager
def refusals_in_words(options: dict[str, Any]) -> Generator[str]:
    """Give the alias of the database; let a refusal end the command with its words.

    Raises:
        CommandError: in place of an error of segmentflow's.
    """
    try:
        yield database(options["database"])
    except SegmentflowError as error:
        raise CommandError(f"{error.code}: {error}") from error
