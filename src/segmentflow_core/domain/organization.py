"""The id of an Organization, the tenant. Must never know what an Organization holds."""

from __future__ import annotations

from typing import Final

from segmentflow_core.errors import ConfigurationError

__all__ = ["check_organization"]

_MAX_ORGANIZATION: Final = 255


def check_organization(organization_id: object) -> None:
    """Check an Organization's id.

    Raises:
        ConfigurationError: it is not a string of 1 to 255 printable characters.
    """
    if not isinstance(organization_id, str) or not 0 < len(organization_id) <= _MAX_ORGANIZATION:
        raise ConfigurationError(
            f"organization_id must be a string of 1 to {_MAX_ORGANIZATION} characters."
        )
    if not organization_id.isprintable():
        raise ConfigurationError("organization_id must be printable.")
