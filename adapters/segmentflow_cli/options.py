"""The options that every command takes, and those that several commands share."""

from __future__ import annotations

import codecs
import errno
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, cast

from attrs import frozen
from cyclopts import App, Parameter
from cyclopts.validators import Number

from segmentflow_cli.flags import FLAG
from segmentflow_cli.not_found import API_KEY, ENROLLMENT, JOURNEY, WHO, sought
from segmentflow_cli.printing import Printer
from segmentflow_cli.stores import find_keys, opened, woken_workers
from segmentflow_core import (
    ApiKeys,
    Enrollments,
    Journeys,
    Limits,
    People,
    Records,
    RedactionPolicy,
    Tracker,
)

__all__ = [
    "COMMON",
    "DEFAULT_STORE",
    "MOST_AT_ONCE",
    "NOT_REDACTED",
    "REDACTION_VARIABLE",
    "Before",
    "By",
    "Common",
    "Limit",
    "MaxAttempts",
    "Organization",
    "PlaceholderIds",
    "Redacted",
    "behind_the_command",
    "check_length",
    "read_bytes",
    "standard_input",
]

DEFAULT_STORE: Final = "sqlite:///segmentflow.db"
_LIMITS: Final = Limits()

MOST_AT_ONCE: Final = 100_000
"""How many records a page or a batch may have, at most."""

_MOST_ATTEMPTS: Final = 1_000_000
_LONGEST: Final = 255


def check_length(_type: object, text: str | None) -> None:
    """Check the length of a name that is kept, such as who does something.

    Raises:
        ValueError: it is not 1 to 255 characters; this is wrong usage.
    """
    if text is not None and not 0 < len(text) <= _LONGEST:
        raise ValueError(f"Must have 1 to {_LONGEST} characters.")


def _check_organization(_type: object, organization: str) -> None:
    check_length(_type, organization)
    if not organization.isprintable():
        raise ValueError("Must be printable.")


Organization = Annotated[str, Parameter(help="Whose data it is.", validator=_check_organization)]

REDACTION_VARIABLE: Final = "SEGMENTFLOW_REDACT"
"""Holds paths and names between commas. Options add to it: none can take it back."""


@Parameter(name="*", group="Redaction")
@frozen
class Redacted:
    """The options of the commands that take requests: what of them is never stored."""

    redact: Annotated[
        tuple[str, ...],
        Parameter(
            help="Never store what is at this path, such as /event/items/*/token or "
            "/profile/properties/ssn. Repeatable; SEGMENTFLOW_REDACT lists more."
        ),
        FLAG,
    ] = ()
    redact_name: Annotated[
        tuple[str, ...],
        Parameter(help="Never store a member of this name. Repeatable."),
        FLAG,
    ] = ()
    refuse_unmatched: Annotated[
        bool,
        Parameter(help="Refuse a request where one of its redactedDataPaths names nothing."),
        FLAG,
    ] = False

    @property
    def policy(self) -> RedactionPolicy:
        """Return the policy of the options and of the environment.

        Raises:
            ConfigurationError: a path breaks its rule.
        """
        listed = os.environ.get(REDACTION_VARIABLE, "").split(",")
        known = [entry.strip() for entry in listed if entry.strip()]
        return RedactionPolicy(
            paths=[*self.redact, *(entry for entry in known if entry.startswith("/"))],
            names=[*self.redact_name, *(entry for entry in known if not entry.startswith("/"))],
            refuse_unmatched=self.refuse_unmatched,
        )


NOT_REDACTED: Final = Redacted()


@Parameter(name="*")
@frozen
class Common:
    """The options that every command takes."""

    store: Annotated[str, Parameter(help="URL of the store.", env_var="SEGMENTFLOW_STORE")] = (
        DEFAULT_STORE
    )
    organization: Organization = "default"
    json: Annotated[bool, Parameter(help="Print one JSON document."), FLAG] = False

    @contextmanager
    def tracker(self, redacted: Redacted, limits: Limits = _LIMITS) -> Generator[Tracker]:
        """Open the store, give a tracker with the store's secret, and close it afterwards."""
        policy = redacted.policy
        with (
            opened(self.store, organization=self.organization) as storage,
            woken_workers(storage) as observers,
        ):
            yield Tracker(
                storage,
                fingerprint_key=find_keys(self.store),
                limits=limits,
                redaction=policy,
                observers=observers,
            )

    @contextmanager
    def _opened(self, what: str) -> Generator[Any]:
        """Open the store to look for this, and close it afterwards."""
        with opened(self.store, organization=self.organization) as storage, sought(what):
            yield storage

    @contextmanager
    def journeys(self) -> Generator[Journeys]:
        """Open the store, give its Journeys, and close it afterwards."""
        with self._opened(JOURNEY) as storage:
            yield Journeys(storage)

    @contextmanager
    def enrollments(self) -> Generator[Enrollments]:
        """Open the store, give its Enrollments, and close it afterwards."""
        with self._opened(ENROLLMENT) as storage:
            yield Enrollments(storage)

    @contextmanager
    def records(
        self, redacted: Redacted | None = None, limits: Limits = _LIMITS
    ) -> Generator[Records]:
        """Open the store, give its records, and close it afterwards."""
        policy = RedactionPolicy() if redacted is None else redacted.policy
        with opened(self.store, organization=self.organization) as storage:
            yield Records(storage, limits=limits, redaction=policy)

    @contextmanager
    def people(self) -> Generator[People]:
        """Open the store, give its people, and close it afterwards."""
        with self._opened(WHO) as storage:
            yield People(storage)

    @contextmanager
    def api_keys(self) -> Generator[ApiKeys]:
        """Open the store, give its API Keys, and close it afterwards."""
        with self._opened(API_KEY) as storage:
            yield ApiKeys(storage)

    @property
    def printer(self) -> Printer:
        """Return the printer for the form that was asked for."""
        return Printer(as_json=self.json)


COMMON: Final = Common()


def standard_input() -> BinaryIO:
    """Return the stream that ``-`` stands for.

    Raises:
        OSError: the process was started without standard input.
    """
    stream: Any = sys.stdin
    if stream is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard input")
    return cast("BinaryIO", stream.buffer)


def read_bytes(file: str | Path, most: int | None = None) -> bytes:
    """Read a file; ``-`` is standard input.

    The mark of the byte order that a file of UTF-8 may start with is no part of what is read.

    Args:
        file: the file's path.
        most: how many bytes are read; default: all.

    Raises:
        OSError: it cannot be read.
    """
    size = -1 if most is None else most + len(codecs.BOM_UTF8)
    if file == "-":
        raw = standard_input().read(size)
    else:
        with Path(file).open("rb") as opened:
            raw = opened.read(size)
    return raw.removeprefix(codecs.BOM_UTF8)[:most]


_TOKENS: Final = {"--store": 2, "--organization": 2, "--json": 1}
"""How many tokens each common option takes, when its value is not joined to it by ``=``."""


def behind_the_command(app: App, tokens: Sequence[str]) -> list[str]:
    """Move common options from before a command to behind it, where they are read.

    If no command follows (``--help``, or a mistyped name), the common options are dropped, so
    that the answer is about what is left. Options given twice are not noticed here.
    """
    rest, path, moved = list(tokens), list[str](), list[str]()
    while rest:
        name, joined, _ = rest[0].partition("=")
        if name in _TOKENS:
            count = 1 if joined else _TOKENS[name]
            if len(rest) < count:
                break
            moved += rest[:count]
            del rest[:count]
        elif not name.startswith("-") and rest[0] in app:
            app = app[rest[0]]
            path.append(rest.pop(0))
        else:
            break
    return [*path, *moved, *rest] if app.default_command is not None else [*path, *rest]


PlaceholderIds = Annotated[
    bool,
    Parameter(
        name="--allow-placeholder-ids",
        help="Take external ids such as undefined, which only a broken client sends.",
    ),
    FLAG,
]


Limit = Annotated[
    int, Parameter(help="How many at most.", validator=Number(gte=1, lte=MOST_AT_ONCE))
]
MaxAttempts = Annotated[
    int,
    Parameter(
        help="After this many an Enrollment is dead.", validator=Number(gte=1, lte=_MOST_ATTEMPTS)
    ),
]
By = Annotated[
    str | None,
    Parameter(help="Who does it, for the record; no personal data.", validator=check_length),
]
Before = Annotated[str | None, Parameter(help="Only ids below this one: the next page.")]
