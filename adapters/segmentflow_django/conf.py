"""The setting `SEGMENTFLOW`: what a project says once, and `tracker()` goes by.

Knows the names and what each becomes. See docs/how-to/django.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from django import conf
from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest
from django.utils.module_loading import import_string

from segmentflow_core.errors import ConfigurationError

__all__ = ["database", "given", "named", "organizations_of", "tracker_arguments"]

_DATABASE: Final = "DATABASE"
_KEY: Final = "FINGERPRINT_KEY"
_OBSERVERS: Final = "OBSERVERS"
_ORGANIZATIONS: Final = "ORGANIZATIONS"
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

_NAMES: Final = (_DATABASE, *_ARGUMENTS, _ORGANIZATIONS)
_DEFAULT_ORGANIZATION: Final = "default"


def database(using: str | None = None) -> str:
    """Return the alias of the database that has the tables.

    Args:
        using: the alias that was asked for; by default `DATABASE` of the setting.

    Raises:
        ConfigurationError: there is no such alias, or the setting is not right.
    """
    alias = _setting().get(_DATABASE, DEFAULT_DB_ALIAS) if using is None else using
    if alias not in list(connections):
        what = f"{_DATABASE} of the setting SEGMENTFLOW" if using is None else "The database"
        raise ConfigurationError(f"{what} must be one of DATABASES: {', '.join(connections)}.")
    return str(alias)


def tracker_arguments() -> dict[str, Any]:
    """Return what a tracker of this project is made of. A text in its place names an object.

    Raises:
        ConfigurationError: there is no fingerprint key, or a text names nothing.
    """
    setting = _setting()
    if _KEY not in setting:
        raise ConfigurationError(
            f"Tracking needs {_KEY} in the setting SEGMENTFLOW: at least 32 bytes, kept secret."
        )
    arguments = {name.lower(): setting[name] for name in _ARGUMENTS if name in setting}
    for name in arguments.keys() - {_KEY.lower(), _OBSERVERS.lower()}:
        arguments[name] = _named(arguments[name])
    observers = setting.get(_OBSERVERS, ())
    if not isinstance(observers, (list, tuple)):
        raise ConfigurationError(f"{_OBSERVERS} of the setting SEGMENTFLOW must be a list.")
    arguments[_OBSERVERS.lower()] = [_named(each) for each in cast("list[Any]", observers)]
    return arguments


def given(name: str) -> Any:
    """Return what the setting says under a name; a text names an object. None where it is silent.

    Raises:
        ConfigurationError: the text names nothing.
    """
    return _named(_setting().get(name))


def organizations_of(request: HttpRequest) -> tuple[str, ...]:
    """Return the Organizations whose records the admin shows to who asks, the first by default.

    Raises:
        ConfigurationError: the setting says neither a list of them nor a function of requests.
    """
    found = given(_ORGANIZATIONS)
    if callable(found):
        found = found(request)
    if found is None:
        return (_DEFAULT_ORGANIZATION,)
    if isinstance(found, Iterable) and not isinstance(found, str):
        organizations = tuple(found)
        if all(isinstance(each, str) for each in organizations):
            return organizations
    raise ConfigurationError(
        f"{_ORGANIZATIONS} of the setting SEGMENTFLOW must be a list of Organizations, or a "
        "function that gives one for a request."
    )


def _setting() -> Mapping[str, Any]:
    setting: Any = getattr(conf.settings, "SEGMENTFLOW", {})
    if not isinstance(setting, Mapping):
        raise ConfigurationError("The setting SEGMENTFLOW must be a dict.")
    found = cast("Mapping[str, Any]", setting)
    unknown = [name for name in found if name not in _NAMES]
    if unknown:
        raise ConfigurationError(
            f"The setting SEGMENTFLOW knows no {', '.join(map(str, unknown))}, but "
            f"{', '.join(_NAMES)}."
        )
    return found


def _named(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return named(value, "SEGMENTFLOW names what cannot be imported")


def named(path: str, failure: str) -> Any:
    """Import what a dotted path names.

    Args:
        path: such as ``shop.journeys.HANDLERS``.
        failure: begins the refusal.

    Raises:
        ConfigurationError: it names nothing.
    """
    if not all(path.split(".")):
        raise ConfigurationError(f"{failure}: {path!r} is no path such as shop.journeys.HANDLERS")
    try:
        return import_string(path)
    except ImportError as error:
        raise ConfigurationError(f"{failure}: {error}") from error
