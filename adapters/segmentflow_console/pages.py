"""Pages as HTML: templates in which every value is escaped, and the headers of every answer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from segmentflow_http import Response

__all__ = ["HEADERS", "STYLE_VERSION", "go_to", "html", "render", "style_sheet"]

_PLACE: Final = Path(__file__).parent / "templates"
_STYLE: Final = (_PLACE / "style.css").read_bytes()
STYLE_VERSION: Final = hashlib.sha256(_STYLE).hexdigest()[:12]

HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Not `no-referrer`: with that, browsers send a form of ours as if of no origin at all.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex",
}
"""What every answer says: no script, nothing of a third party, no frame, no copy kept."""

_TURNED: Final = {
    code: f"\\u{code:04x}"
    for code in (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_CAPITAL: Final = re.compile("[A-Z]")
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def html(text: str, status: int = 200) -> Response:
    """Answer with a page."""
    body = text.encode("utf-8", "backslashreplace")
    headers = {"content-type": "text/html; charset=utf-8", "content-length": str(len(body))}
    return Response(status, {**HEADERS, **headers}, body)


def go_to(mount: str, path: str, query: Mapping[str, str], **headers: str) -> Response:
    """Send the browser to a page, with GET."""
    place = url(mount, path, query)
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(303, {**HEADERS, "location": place, "content-length": "0", **shown}, b"")


def style_sheet() -> Response:
    """Answer with the style sheet, whose URL changes with it: it may be kept."""
    headers = {
        "content-type": "text/css; charset=utf-8",
        "content-length": str(len(_STYLE)),
        "cache-control": "private, max-age=86400",
    }
    return Response(200, {**HEADERS, **headers}, _STYLE)


def url(mount: str, path: str, query: Mapping[str, Any] | None = None) -> str:
    """Write the URL of a page, what the query lacks left out."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    below = quote(path, safe="/")
    return f"{mount}{below}?{urlencode(given)}" if given else f"{mount}{below}"


def render(template: str, values: Mapping[str, Any]) -> str:
    """Write a page."""
    return _ENVIRONMENT.get_template(template).render(values)


def _age(length: timedelta | None) -> str:
    """Write a time in its two largest units."""
    if length is None:
        return "none"
    left, parts = max(int(length.total_seconds()), 0), list[str]()
    for unit, seconds in _UNITS:
        count, left = divmod(left, seconds)
        if count or parts or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _machine(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _pretty(value: Any) -> str:
    """Write a value as JSON, with what would turn its text around written as escapes."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=dict).translate(_TURNED)


def _words(code: str) -> str:
    """Write a code, or a name as it is on the wire, as words."""
    return _CAPITAL.sub(r" \g<0>", str(code)).replace("_", " ").lower()


def _short(identifier: str) -> str:
    return f"…{identifier[-8:]}"


def _count(number: int) -> str:
    return f"{number:,}"


_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(_PLACE),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "age": _age,
    "count": _count,
    "machine": _machine,
    "moment": _moment,
    "pretty": _pretty,
    "short": _short,
    "words": _words,
}
