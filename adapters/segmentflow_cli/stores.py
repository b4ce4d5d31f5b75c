"""Opening a store by its URL, and finding the secret that belongs to it."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from segmentflow_core import FingerprintKey, FingerprintKeys
from segmentflow_core.errors import ConfigurationError, SegmentflowError
from segmentflow_core.ports.observation import Observer
from segmentflow_sql.connecting import place_of_url
from segmentflow_worker import wakes

__all__ = [
    "PREVIOUS_VARIABLE",
    "SECRET_VARIABLE",
    "create_secret",
    "find_keys",
    "opened",
    "place_of",
    "scheme_of",
    "secret_file",
    "secret_is_missing",
    "woken_workers",
]

SECRET_VARIABLE: Final = "SEGMENTFLOW_FINGERPRINT_KEY"
PREVIOUS_VARIABLE: Final = "SEGMENTFLOW_PREVIOUS_FINGERPRINT_KEYS"
"""Secrets that were current before, one a line."""

_OF_THE_STORE: Final = ("invalid_configuration", "not_found", "storage_unavailable")
"""Refusals that another store, or another Organization in it, may answer."""

_GROUP: Final = "segmentflow.storages"
_OF_SQL: Final = ("postgresql", "sqlite")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9.-]{0,31}")
_OTHER_SPELLINGS: Final = {"postgres": "postgresql"}


@contextmanager
def opened(url: str, *, create: bool = False, organization: str | None = None) -> Generator[Any]:
    """Open the store at `url` with the adapter registered for its scheme; close it afterwards.

    A refusal that another store may answer names this one: in a note, and in its details as
    ``store`` and ``organization``.

    Args:
        url: the store's URL.
        create: whether to create its tables, if it has any.
        organization: whose data is worked on, to be named with the store.

    Raises:
        ConfigurationError: no adapter is registered for its scheme, or the adapter refuses the URL.
    """
    storage = _open(url)
    try:
        if create and hasattr(storage, "create_all"):
            storage.create_all()
        yield storage
    except SegmentflowError as error:
        if error.code in _OF_THE_STORE:
            _name_store(error, place_of(url), organization)
        raise
    finally:
        if hasattr(storage, "close"):
            storage.close()


def _open(url: str) -> Any:
    known = entry_points(group=_GROUP)
    scheme = scheme_of(url)
    if scheme not in known.names:
        # The spelling that libpq takes as well, and many hosts' settings have.
        scheme = _OTHER_SPELLINGS.get(scheme, scheme)
    if scheme not in known.names:
        installed = sorted(known.names)
        raise ConfigurationError(
            f"No storage adapter is installed for {_told_scheme(url)}. A URL begins with one of "
            f"{', '.join(f'{name}:' for name in installed)}",
            details={"installed": installed},
        )
    return known[scheme].load()(url)


def _name_store(error: SegmentflowError, place: str, organization: str | None) -> None:
    """Let a refusal name the store: to programs in its details, to people in a note."""
    whose = {} if organization is None else {"organization": organization}
    error.details = {**error.details, "store": place, **whose}
    if place.partition(", ")[2] not in error.message or ", " not in place:
        told = "" if organization is None else f", Organization {organization}"
        error.add_note(f"The store: {place}{told}")


def place_of(url: str) -> str:
    """Say which store a URL means: its scheme, and its path or host and database; no password."""
    parsed = None
    with suppress(ArgumentError, ValueError):
        parsed = make_url(url)
    scheme = scheme_of(url)
    if parsed is not None and _OTHER_SPELLINGS.get(scheme, scheme) in _OF_SQL:
        place = place_of_url(parsed)
        return f"{scheme}, {place}" if place.isprintable() else f"{scheme}:"
    told = _told_scheme(url)
    # An @ that is no part of a user's name is one of a password that was not quoted.
    if parsed is None or "@" in f"{parsed.host}{parsed.database}":
        return told
    parts = (parsed.database, parsed.host and f"at {parsed.host}")
    return ", ".join([told, *filter(None, parts)])


def _told_scheme(url: str) -> str:
    """Name a URL's scheme; text that has none may be anything, a password too."""
    scheme = scheme_of(url)
    known = ":" in url and _SCHEME.fullmatch(scheme)
    return f"{scheme}:" if known else "a URL without a scheme"


@contextmanager
def woken_workers(storage: Any) -> Generator[list[Observer]]:
    """Give the observers that wake the workers of other processes, where the store can."""
    notifier = storage.notifier() if hasattr(storage, "notifier") else None
    if notifier is None:
        yield []
        return
    try:
        yield [wakes(notifier)]
    finally:
        notifier.close()


def secret_file(url: str) -> Path | None:
    """Return where the secret of a SQLite store is kept: beside its file.

    None for a store in memory and for every other kind of store.
    """
    if scheme_of(url) != "sqlite":
        return None
    parsed = None
    with suppress(ArgumentError, ValueError):
        parsed = make_url(url)
    if parsed is None or parsed.query.get("mode") == "memory":
        return None
    path = parsed.database or ""
    if "uri" in parsed.query:
        path = path.removeprefix("file:")
    return None if path in ("", ":memory:") else Path(f"{path}.fingerprint-key")


def scheme_of(url: str) -> str:
    """Return what a store's URL begins with, without the driver's name."""
    return url.partition(":")[0].partition("+")[0]


def find_keys(url: str) -> FingerprintKeys:
    """Return the fingerprint keys: from the environment, or from the files beside the store.

    Those that were current before are optional: a secret a line.

    Raises:
        ConfigurationError: there is no current one, one is too short or there twice, or a file is
            not UTF-8.
        OSError: a file may not be read.
    """
    current = FingerprintKey.derive(_current_secret(url))
    return FingerprintKeys(current, tuple(map(FingerprintKey.derive, _previous_secrets(url))))


def _previous_secrets(url: str) -> list[str]:
    path = secret_file(url)
    beside = None if path is None else path.with_name(f"{path.name}.previous")
    said = os.environ.get(PREVIOUS_VARIABLE)
    if not said and beside is not None and beside.exists():
        said = _read_secret(beside)
    return [line.strip() for line in (said or "").splitlines() if line.strip()]


def _current_secret(url: str) -> str:
    secret = os.environ.get(SECRET_VARIABLE)
    if secret:
        return secret
    path = secret_file(url)
    if path is not None and path.exists():
        return _read_secret(path)
    what = f"Set {SECRET_VARIABLE} to at least 32 bytes of UTF-8, the same for every process"
    if path is None:
        raise ConfigurationError(f"There is no fingerprint secret. {what}.")
    raise ConfigurationError(
        f"There is no fingerprint secret: no file {path}. {what}, or run `segmentflow init`."
    )


def secret_is_missing(url: str) -> bool:
    """Say whether tracking lacks a secret: there is none in the environment, nor a file."""
    path = secret_file(url)
    return not os.environ.get(SECRET_VARIABLE) and (path is None or not path.exists())


def _read_secret(path: Path) -> str:
    # Raised outside the handler: a UnicodeDecodeError holds the bytes of the secret.
    with suppress(UnicodeDecodeError):
        return path.read_text(encoding="utf-8").strip()
    raise ConfigurationError(f"The file {path} with fingerprint secrets is not UTF-8.")


def create_secret(url: str) -> Path | None:
    """Write a fresh secret beside a SQLite store, readable by its owner only.

    Returns:
        The file; None if it exists already, the environment has a secret, or the store has no
        file to put it beside.
    """
    path = secret_file(url)
    if path is None or os.environ.get(SECRET_VARIABLE):
        return None
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(secrets.token_urlsafe(48) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return path
