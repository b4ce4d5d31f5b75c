"""Who is at the page, and what she may do there. Unless the host says who, nobody is let in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final, TypeAlias

from attrs import field, frozen

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.errors import ConfigurationError

__all__ = ["Operator", "Scope", "Who", "nobody"]

_LONGEST: Final = 255
_UNKEPT: Final = re.compile("[\0\ud800-\udfff]")
"""Finds what no store keeps and no page shows."""


class Scope(StrEnum):
    """What somebody at the page may do. None includes another one."""

    READ = "read"
    ACT = "act"
    ERASE = "erase"


def _scopes(given: Iterable[str]) -> frozenset[Scope]:
    known = {str(scope): scope for scope in Scope}
    named = [given] if isinstance(given, str) else list(given)
    if not set(named) <= known.keys():
        raise ConfigurationError(f"scopes are some of {', '.join(known)}.")
    return frozenset(known[name] for name in named)


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST:
        raise ConfigurationError(f"{name} must be a string of 1 to {_LONGEST} characters.")
    if _UNKEPT.search(text) is not None:
        raise ConfigurationError(f"{name} must have no U+0000 and no lone surrogate.")


@frozen(repr=False)
class Operator:
    """Somebody at the page, as the host knows her.

    Attributes:
        name: who she is: what the record says as `by`, and the page shows. 1 to 255 characters.
        scopes: what she may do, some of ``"read"``, ``"act"`` and ``"erase"``.
        organization_id: whose data she sees.

    Raises:
        ConfigurationError: one of them breaks its rule.
    """

    name: str
    scopes: frozenset[Scope] = field(converter=_scopes)
    organization_id: str = "default"

    def __attrs_post_init__(self) -> None:
        for field_name in ("name", "organization_id"):
            _check_text(field_name, getattr(self, field_name))
        if not self.organization_id.isprintable():
            raise ConfigurationError("organization_id must be printable.")

    def __repr__(self) -> str:
        """Show what she may do, and not who she is."""
        return f"<Operator {', '.join(sorted(self.scopes))}>"


Who: TypeAlias = Callable[[Mapping[str, str]], MaybeAwaitable[Operator | None]]
"""Is given a request's headers by their lowercase names, and says who asks; None refuses her."""


def nobody(headers: Mapping[str, str]) -> Operator | None:  # noqa: ARG001 - it asks nobody
    """Let nobody in."""
    return None
