"""Asking before something is destroyed."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from segmentflow_cli.flags import FLAG
from segmentflow_cli.tables import say
from segmentflow_core import SegmentflowError

__all__ = ["NotConfirmed", "Yes", "confirm"]

Yes = Annotated[bool, Parameter(name="--yes", help="Do it without asking."), FLAG]


class NotConfirmed(SegmentflowError):
    """Nobody confirmed what would destroy something. Nothing was changed."""

    code = "not_confirmed"
    status = 409
    should_retry = False
    default_message = "Nothing was changed: nobody confirmed it."


def confirm(question: str, *, yes: bool) -> None:
    """Ask on the terminal whether to go on; stdout stays free for what is printed.

    Args:
        question: what will be destroyed.
        yes: whether that was answered already.

    Raises:
        NotConfirmed: the answer is no, or there is no terminal to ask on.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NotConfirmed("This cannot be undone, and there is no terminal to ask on: give --yes.")
    console = Console(stderr=True, highlight=False)
    say(console, f"{question} This cannot be undone. [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotConfirmed
