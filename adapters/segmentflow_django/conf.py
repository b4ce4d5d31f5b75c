"""The setting `SEGMENTFLOW`: what a project says once, and `tracker()` goes by.

Knows the names and what each becomes. See docs/how-to/django.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from django import conf
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.module_loading import import_string

from segmentflow_core.errors import ConfigurationError

__all__ = ["database", "tracker_arguments"]

_DATABASE: Final = "DATABASE"
_KEY: Final = "FINGERPRINT_KEY"
_OBSERVERS: Final = "OBSERVERS"
_ARGUMENTS: Final = (
    _KEY,
    _OBSERVERS,
    "LIMITS",
    "KEY_LIFETIME",
    "CREATE_WITHOUT_EMAIL",
    "PROFILE_LIMITS",
    "REDACTION",
    "CLOCK",
    "IDS",
)
"""What is passed to a `Tracker`, by its names in small letters."""


def database() -> str:
    """Return the alias of the database that has the tables."""
    alias = _given().get(_DATABASE, DEFAULT_DB_ALIAS)
    if alias not in list(connections):
        raise ConfigurationError(
            f"{_DATABASE} of the setting SEGMENTFLOW must be one of DATABASES: "
            f"{', '.join(connections)}."
        )
    return str(alias)


def tracker_arguments() -> dict[str, Any]:
    """Return what a tracker of this project is made of. A text in its place names an object.

    Raises:
        ConfigurationError: there is no fingerprint key, or a text names nothing.
    """
    given = _given()
    if _KEY not in given:
        raise ConfigurationError(
            f"Tracking needs {_KEY} in the setting SEGMENTFLOW: at least 32 bytes, kept secret."
        )
    arguments = {name.lower(): given[name] for name in _ARGUMENTS if name in given}
    for name in arguments.keys() - {_KEY.lower(), _OBSERVERS.lower()}:
        arguments[name] = _named(arguments[name])
    observers = given.get(_OBSERVERS, ())
    if not isinstance(observers, (list, tuple)):
        raise ConfigurationError(f"{_OBSERVERS} of the setting SEGMENTFLOW must be a list.")
    arguments[_OBSERVERS.lower()] = [_named(each) for each in cast("list[Any]", observers)]
    return arguments


def _given() -> Mapping[str, Any]:
    given: Any = getattr(conf.settings, "SEGMENTFLOW", {})
    if not isinstance(given, Mapping):
        raise ConfigurationError("The setting SEGMENTFLOW must be a dict.")
    found = cast("Mapping[str, Any]", given)
    unknown = [name for name in found if name not in (_DATABASE, *_ARGUMENTS)]
    if unknown:
        raise ConfigurationError(
            f"The setting SEGMENTFLOW knows no {', '.join(map(str, unknown))}, but "
            f"{', '.join((_DATABASE, *_ARGUMENTS))}."
        )
    return found


def _named(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return import_string(value)
    except ImportError as error:
        raise ConfigurationError(f"SEGMENTFLOW names what cannot be imported: {error}") from error
