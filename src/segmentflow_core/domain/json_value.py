"""JSON values as types; `admission` holds the rules they keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, Literal, TypeAlias

__all__ = ["MISSING", "JsonObject", "JsonValue", "Missing"]

JsonValue: TypeAlias = (
    "None | bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue]"
)
"""Any JSON value. Once admitted, objects are `dict` and arrays are `list`, exactly."""

JsonObject: TypeAlias = Mapping[str, JsonValue]


class Missing(Enum):
    """The type of `MISSING`, which says that nothing is there, not even null."""

    MISSING = "missing"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING
