"""Reading a Journey or template file: YAML, TOML or JSON.

Must never repeat the file's text in a message.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from jsonpointer import resolve_pointer

from segmentflow_cli.options import read_bytes
from segmentflow_cli.yaml_text import YamlFault, parse_yaml
from segmentflow_core.errors import InvalidJourney, InvalidRequest, InvalidTemplate, Violation
from segmentflow_core.journeys import journey_definitions
from segmentflow_core.ports import JourneyDefinition
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_core.wire import parse_json

__all__ = ["JourneyFormat", "load_journeys", "read_journey_file", "read_template_file"]

JourneyFormat: TypeAlias = Literal["yaml", "toml", "json"]

_SUFFIXES: Final[Mapping[str, JourneyFormat]] = {".toml": "toml", ".json": "json"}

_MAX_BYTES: Final = 4 * 1024 * 1024
_MAX_PARTS: Final = 100
"""No Journey file may nest deeper than a dotted key of this many parts."""

_STRING_OR_COMMENT: Final = re.compile(
    "|".join(
        (
            r'"""(?:[^\\]|\\.)*?(?:"""|\Z)',
            r"'''.*?(?:'''|\Z)",
            r'"(?:[^"\\\n]|\\.)*+"?',
            r"'[^'\n]*+'?",
            r"#[^\n]*+",
        )
    ),
    re.DOTALL,
)
_DOTTED_KEY: Final = re.compile(
    rf"(?<![\w\-'])[\w\-']++(?:[ \t]*+\.[ \t]*+[\w\-']++){{{_MAX_PARTS}}}", re.ASCII
)
_WANTS_TEXT: Final = "must be a string"
_UNQUOTED: Final = "in YAML, quote text that reads as a number, true, false or null"
_WHERE: Final = re.compile(r" \((at line [0-9]+, column [0-9]+|at end of document)\)\Z")


@forgets_locals
def load_journeys(
    file: str | Path, form: JourneyFormat | None = None
) -> tuple[JourneyDefinition, ...]:
    """Read a Journey file as `segmentflow journeys apply` does, for `journeys.publish`.

    Args:
        file: the file's path; ``-`` is standard input.
        form: the format; default: by the suffix, else YAML.

    Raises:
        InvalidJourney: the file is not in this format, is larger than 4 MiB, or defines a Journey
            that breaks a rule; every violation is listed.
        OSError: there is no such file, or it may not be read.
    """
    document, written = _read_document(file, form, InvalidJourney)
    try:
        return journey_definitions(document)
    except InvalidJourney as error:
        if written != "yaml":
            raise
        refusal = InvalidJourney.from_violations(
            [_hinted(violation, document) for violation in error.violations],
            error.details.get("omittedViolations", 0),
        )
    raise refusal


def _hinted(violation: Violation, document: Any) -> Violation:
    """Say where text has to be quoted in YAML, which reads it as another kind of value."""
    if not violation.message.startswith(_WANTS_TEXT):
        return violation
    value = resolve_pointer(document, violation.path, "")
    if value is not None and not isinstance(value, (bool, int, float)):
        return violation
    return Violation(violation.path, f"{violation.message}: {_UNQUOTED}")


@forgets_locals
def read_journey_file(file: str | Path, form: JourneyFormat | None = None) -> Any:
    """Read a Journey file as a plain document, not yet checked.

    Args:
        file: the file's path; ``-`` is standard input.
        form: the format; default: by the suffix, else YAML. Standard input has no suffix: it is
            JSON if it starts with a brace (YAML reads such text too, except for a few of JSON's
            escapes).

    Raises:
        InvalidJourney: the file is not in this format, or is larger than 4 MiB.
        OSError: there is no such file, or it may not be read.
    """
    return _read_document(file, form, InvalidJourney)[0]


@forgets_locals
def read_template_file(file: str | Path) -> Any:
    """Read a template's file as a plain document, not yet checked.

    Args:
        file: the file's path, its format by the suffix, else YAML; ``-`` is standard input.

    Raises:
        InvalidTemplate: the file is not in this format, or is larger than 4 MiB.
        OSError: there is no such file, or it may not be read.
    """
    return _read_document(file, None, InvalidTemplate)[0]


def _read_document(
    file: str | Path, form: JourneyFormat | None, refused: type[InvalidRequest]
) -> tuple[Any, JourneyFormat]:
    raw = read_bytes(file, _MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise _refusal(refused, f"must not be larger than {_MAX_BYTES} bytes")
    form = form or _form_of(file, raw)
    try:
        if form == "json":
            return parse_json(raw), form
        text = raw.decode()
        return (_parse_toml(text) if form == "toml" else parse_yaml(text)), form
    except InvalidRequest as error:
        refusal = refused.from_violations(error.violations)
    except UnicodeDecodeError:
        refusal = _refusal(refused, "is not UTF-8")
    except RecursionError:
        refusal = _refusal(refused, "is nested too deep to read")
    except YamlFault as fault:
        refusal = _refusal(refused, str(fault))
    except ValueError as error:
        where = _WHERE.search(str(error))
        refusal = _refusal(refused, f"is not valid TOML{f', {where[1]}' if where else ''}")
    # Raised outside the handlers: the parsers' errors quote what they read.
    raise refusal


def _form_of(file: str | Path, raw: bytes) -> JourneyFormat:
    if file == "-":
        return "json" if raw.lstrip().startswith(b"{") else "yaml"
    return _SUFFIXES.get(Path(file).suffix.lower(), "yaml")


def _parse_toml(text: str) -> Any:
    # The parser's time grows with the square of the number of a key's parts.
    if _has_very_long_key(text):
        raise RecursionError
    return _without_dates(tomllib.loads(text))


def _has_very_long_key(text: str) -> bool:
    # Dots in strings and comments separate no parts of a key; a quoted part counts as one.
    return _DOTTED_KEY.search(_STRING_OR_COMMENT.sub("'", text)) is not None


def _refusal(refused: type[InvalidRequest], message: str) -> InvalidRequest:
    return refused.from_violations([Violation("", message)])


def _without_dates(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_dates(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_dates(item) for item in value]
    return value.isoformat() if isinstance(value, (datetime, date, time)) else value
