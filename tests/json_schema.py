"""JSON Schema by the few keywords our schemas use; an unknown keyword fails the test."""

from __future__ import annotations

import re
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
}
ANNOTATIONS = {"$schema", "$defs", "title", "description", "format"}


def accepts(schema: dict[str, Any], value: Any, root: dict[str, Any] | None = None) -> bool:
    """Say whether a schema accepts a value; `root` is what its references lead into."""
    root = schema if root is None else root
    return all(
        _holds(keyword, argument, value, schema, root)
        for keyword, argument in schema.items()
        if keyword not in ANNOTATIONS
    )


def _holds(
    keyword: str, argument: Any, value: Any, schema: dict[str, Any], root: dict[str, Any]
) -> bool:
    if keyword == "$ref":
        return accepts(root["$defs"][argument.removeprefix("#/$defs/")], value, root)
    if keyword == "not":
        return not accepts(argument, value, root)
    if keyword == "oneOf":
        return sum(accepts(one, value, root) for one in argument) == 1
    if keyword == "items":
        return type(value) is not list or all(accepts(argument, item, root) for item in value)
    if keyword == "properties":
        return type(value) is not dict or all(
            accepts(argument[name], item, root) for name, item in value.items() if name in argument
        )
    if keyword == "additionalProperties":
        return type(value) is not dict or value.keys() <= schema["properties"].keys()
    kind, rule = RULES[keyword]
    return not isinstance(value, kind) or rule(argument, value)


def _is_of(names: str | list[str], value: Any) -> bool:
    return any(type(value) in TYPES[name] for name in ([names] if type(names) is str else names))


RULES: dict[str, tuple[Any, Any]] = {
    "type": (object, _is_of),
    "const": (object, lambda wanted, value: value == wanted),
    "enum": (object, lambda wanted, value: value in wanted),
    "pattern": (str, lambda regex, value: re.search(regex, value) is not None),
    "minLength": (str, lambda least, value: len(value) >= least),
    "maxLength": (str, lambda most, value: len(value) <= most),
    "minItems": (list, lambda least, value: len(value) >= least),
    "maxItems": (list, lambda most, value: len(value) <= most),
    "minimum": (int | float, lambda least, value: value >= least),
    "maximum": (int | float, lambda most, value: value <= most),
    "required": (dict, lambda names, value: value.keys() >= set(names)),
    "minProperties": (dict, lambda least, value: len(value) >= least),
}
"""Each other keyword, with the type it speaks of: what is of another type passes."""
