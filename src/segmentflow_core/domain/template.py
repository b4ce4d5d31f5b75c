"""Templates: JSON with places that a state document fills in.

``{"$state": "/event/orderId"}``, in place of any value, becomes what the state document has
there, with its type; where it has nothing, a ``"default"`` beside it. A template can do nothing
else: it computes nothing and runs no text.
Knows templates and redacted state. Must never know what the result is used for, nor put a
value of the state into a message.

See docs/reference/rules/templates.md.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import define, field, frozen

from segmentflow_core.domain.admission import INADMISSIBLE, Admission
from segmentflow_core.domain.condition.reading import read
from segmentflow_core.domain.faults import Faults, Place
from segmentflow_core.domain.json_value import MISSING, JsonObject, JsonValue, Missing
from segmentflow_core.domain.pointer import PointerSyntaxError, Tokens, parse_pointer
from segmentflow_core.domain.stack_room import with_room
from segmentflow_core.errors import (
    ConfigurationError,
    InvalidTemplate,
    TemplateStateMissing,
    Violation,
)
from segmentflow_core.tracebacks import forgets_locals

__all__ = [
    "MAX_TEMPLATE_BYTES",
    "OnMissing",
    "Template",
    "check_template",
    "compile_template",
]

OnMissing: TypeAlias = Literal["omit", "null", "error"]
"""What a place becomes whose path names nothing."""

MAX_TEMPLATE_BYTES: Final = 1024 * 1024
"""How much JSON a template may hold."""

_MAX_DEPTH: Final = 64
_MAX_PLACES: Final = 1000
_STATE: Final = "$state"
_DEFAULT: Final = "default"

_Fill: TypeAlias = "Callable[[Any, None | Missing, dict[str, None]], Any]"
# Takes the state, the value for a missing place, and a dict to note missing paths in.


@frozen
class Template:
    """A template ready to be rendered.

    Attributes:
        document: its definition, as plain JSON; a copy of what was compiled.
        paths: JSON Pointers of the state it reads, in the order it first reads them.
        required: those of them that a place without a default reads.
    """

    document: JsonValue
    paths: tuple[str, ...] = field(repr=False, eq=False)
    required: tuple[str, ...] = field(repr=False, eq=False)
    _fill: _Fill = field(alias="fill", repr=False, eq=False)

    @forgets_locals
    def render(self, state: JsonObject, on_missing: OnMissing = "omit") -> Any:
        """Return the document with every place filled in; it shares nothing with `state`.

        Null in the state is a value, not missing. A redacted value, or one inside a redacted
        value, is the string ``"[REDACTED]"``. A place with a default is never missing.

        Args:
            state: the state document, of admitted JSON: ``{"event": …, "profile": …}``.
            on_missing: ``"omit"`` leaves out the member or item whose value is missing; a
                template that is one such place becomes null. ``"null"`` puts null there.
                ``"error"`` raises.

        Raises:
            TemplateStateMissing: with ``"error"``; its details list every missing path.
            ConfigurationError: `on_missing` is none of these.
        """
        if on_missing not in get_args(OnMissing):
            raise ConfigurationError(f"on_missing must be one of {', '.join(get_args(OnMissing))}.")
        missing: dict[str, None] = {}
        result = self._fill(state, None if on_missing == "null" else MISSING, missing)
        if missing and on_missing == "error":
            raise TemplateStateMissing(details={"missingPaths": list(missing)})
        return None if result is MISSING else result


def check_template(document: object) -> list[Violation]:
    """Name every fault of a template's definition, as many as one error may list.

    Args:
        document: the definition, as plain JSON; any Python object is accepted and checked.

    >>> check_template({"subject": {"$state": "event/orderId"}})
    [Violation(path='/subject/$state', message='must be a JSON Pointer (RFC 6901)')]
    """
    _, faults = with_room(_checked, document)
    return faults.violations()


@forgets_locals
def compile_template(document: object) -> Template:
    """Compile a template's definition.

    Raises:
        InvalidTemplate: it breaks a rule; `violations` lists every one.

    >>> template = compile_template({"order": {"$state": "/event/orderId"}, "copies": 2})
    >>> template.render({"event": {"orderId": 9421}, "profile": {}})
    {'order': 9421, 'copies': 2}
    >>> template = compile_template({"$state": "/profile/properties/name", "default": "friend"})
    >>> template.render({"event": {}, "profile": {}})
    'friend'
    """
    return with_room(_compiled, document)


def _compiled(document: object) -> Template:
    admitted, faults = _checked(document)
    if faults.noted:
        raise faults.refusal(InvalidTemplate)
    paths: dict[str, bool] = {}
    fill = _compile(admitted, paths)
    required = tuple(path for path, is_required in paths.items() if is_required)
    return Template(document=admitted, paths=tuple(paths), required=required, fill=fill)


def _checked(document: object) -> tuple[Any, Faults]:
    admission = Admission(_MAX_DEPTH, MAX_TEMPLATE_BYTES)
    admitted = admission.admit(document)
    if admission.too_large:
        too_large = f"must not hold more than {MAX_TEMPLATE_BYTES} bytes of JSON"
        return None, Faults([("", too_large)])
    reading = _TemplateReading(admission.faults)
    reading.node(admitted, "")
    if reading.places > _MAX_PLACES:
        reading.faults.note("", f"must not hold more than {_MAX_PLACES} of {_STATE}")
    return admitted, reading.faults


@define
class _TemplateReading:
    """One reading of one template: notes each fault, and how many places it holds so far."""

    faults: Faults
    places: int = 0

    def node(self, node: Any, at: Place) -> None:
        if type(node) is dict:
            if _STATE in node:
                self.place(node, at)
                return
            for name, inner in node.items():
                self.node(inner, (at, name))
        elif type(node) is list:
            for index, inner in enumerate(node):
                self.node(inner, (at, index))

    def place(self, node: dict[str, Any], at: Place) -> None:
        self.places += 1
        if node.keys() - {_STATE, _DEFAULT}:
            self.faults.note(at, f"must have no member beside {_STATE} and {_DEFAULT}")
        fault = _path_fault(node[_STATE])
        if fault is not None:
            self.faults.note((at, _STATE), fault)
        self.default(node.get(_DEFAULT), (at, _DEFAULT))

    def default(self, node: Any, at: Place) -> None:
        """Note each place in a default, which is taken as it is written."""
        if type(node) is dict:
            if _STATE in node:
                self.faults.note(at, f"must not hold {_STATE}: a default is taken as it is written")
                return
            for name, inner in node.items():
                self.default(inner, (at, name))
        elif type(node) is list:
            for index, inner in enumerate(node):
                self.default(inner, (at, index))


def _path_fault(path: Any) -> str | None:
    if type(path) is not str:
        # A value that is not JSON has been named already.
        return None if path is INADMISSIBLE else "must be a string"
    try:
        tokens = parse_pointer(path)
    except PointerSyntaxError:
        return "must be a JSON Pointer (RFC 6901)"
    match tokens:
        case ("event", *_) | ("profile", "properties", *_) | ("profile", "email" | "externalId"):
            return None
        case ("data", *_):
            return "must not start with /data, which belongs to EmailSend"
        case _:
            return (
                "must start with /event or /profile/properties,"
                " or be /profile/email or /profile/externalId"
            )


def _compile(node: Any, paths: dict[str, bool]) -> _Fill:
    """Compile a node; note of each path whether a place without a default reads it."""
    if type(node) is dict:
        if _STATE in node:
            path: str = node[_STATE]
            has_default = _DEFAULT in node
            paths[path] = paths.get(path, False) or not has_default
            tokens = parse_pointer(path)
            return _place_or(tokens, node[_DEFAULT]) if has_default else _place(tokens, path)
        return _object([(name, _compile(inner, paths)) for name, inner in node.items()])
    if type(node) is list:
        return _array([_compile(inner, paths) for inner in node])
    return lambda _state, _fallback, _missing: node


def _place(tokens: Tokens, path: str) -> _Fill:
    def fill(state: Any, fallback: None | Missing, missing: dict[str, None]) -> Any:
        value = read(state, tokens)
        if value is MISSING:
            missing[path] = None
            return fallback
        return deepcopy(value)

    return fill


def _place_or(tokens: Tokens, default: Any) -> _Fill:
    def fill(state: Any, _fallback: None | Missing, _missing: dict[str, None]) -> Any:
        value = read(state, tokens)
        return deepcopy(default if value is MISSING else value)

    return fill


def _object(members: list[tuple[str, _Fill]]) -> _Fill:
    def fill(state: Any, fallback: None | Missing, missing: dict[str, None]) -> Any:
        filled = [(name, inner(state, fallback, missing)) for name, inner in members]
        return {name: value for name, value in filled if value is not MISSING}

    return fill


def _array(items: list[_Fill]) -> _Fill:
    def fill(state: Any, fallback: None | Missing, missing: dict[str, None]) -> Any:
        filled = [inner(state, fallback, missing) for inner in items]
        return [value for value in filled if value is not MISSING]

    return fill
