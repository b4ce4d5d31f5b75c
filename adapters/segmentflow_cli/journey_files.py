"""Reading a Journey file: YAML, TOML or JSON, by its suffix."""

from __future__ import annotations

import tomllib
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

import yaml

from segmentflow_core import InvalidJourney, InvalidRequest, Violation, parse_json

__all__ = ["read_journey_file"]

_MAX_BYTES: Final = 4 * 1024 * 1024


class _Loader(yaml.SafeLoader):
    """YAML's JSON-like part: no dates (they are text here), no member twice, no aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(names) < len(node.value):
            raise yaml.YAMLError("a member's name is no plain value")
        if len(set(names)) < len(names):
            raise yaml.YAMLError("a member is given more than once")
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_journey_file(path: Path) -> Any:
    """Read a Journey file as a plain document, not yet checked.

    Raises:
        InvalidJourney: it cannot be read as what its suffix says, or is larger than 4 MiB.
        OSError: there is no such file, or it may not be read.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise _refusal(f"must not be larger than {_MAX_BYTES} bytes")
    raw = path.read_bytes()
    suffix = path.suffix.lower()
    try:
        if suffix == ".json":
            return parse_json(raw)
        text = raw.decode()
        if suffix == ".toml":
            return _without_dates(tomllib.loads(text))
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader, made stricter
    except InvalidRequest as error:
        raise InvalidJourney.from_violations(error.violations) from None
    except RecursionError:
        raise _refusal("is nested too deep to read") from None
    except (ValueError, yaml.YAMLError):
        pass
    raise _refusal(f"is not valid {'TOML' if suffix == '.toml' else 'YAML'}")


def _refusal(message: str) -> InvalidJourney:
    return InvalidJourney.from_violations([Violation("", message)])


def _without_dates(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_dates(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_dates(item) for item in value]
    return value.isoformat() if isinstance(value, (datetime, date, time)) else value
