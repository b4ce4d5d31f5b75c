"""Forms: what was sent, and whether it was our own page that sent it.

A form has a token, an HMAC over who asks, what the form does and when it was made. So a page of
another origin cannot make one, and a form does nothing but what its confirmation said. Must never
put what was sent into a refusal.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

from attrs import field, frozen

from segmentflow_console.access import Operator
from segmentflow_core.errors import InvalidRequest, UnsupportedMediaType

__all__ = ["FormRefused", "FormTokens", "check_origin", "read_form", "read_query"]

_LIFETIME: Final = timedelta(hours=12)
_MOST_FIELDS: Final = 20
_FORM: Final = "application/x-www-form-urlencoded"


class FormRefused(Exception):
    """A form that is not one of ours, or is too old, or lacks what it asks for: nothing was done.

    Args:
        message: says why, to whoever sent it.
    """

    def __init__(
        self, message: str = "The form is too old, or this page did not make it. Open it again."
    ) -> None:
        super().__init__(message)


@frozen(repr=False)
class FormTokens:
    """Makes the tokens of forms, and tells whether one is ours.

    Attributes:
        key: the secret they are made with.
    """

    key: bytes = field(repr=False)

    def make(self, operator: Operator, purpose: str, now: datetime) -> str:
        """Return the token of a form for this operator."""
        made = str(int(now.timestamp()))
        return f"{made}.{self._mac(operator, purpose, made)}"

    def check(self, token: str, operator: Operator, purpose: str, now: datetime) -> None:
        """Tell whether a token is of such a form.

        Raises:
            FormRefused: it is not, or it is too old.
        """
        made, _, mac = token.partition(".")
        expected = self._mac(operator, purpose, made)
        if not hmac.compare_digest(mac.encode(), expected.encode()):
            raise FormRefused
        # It is ours, so that `made` is a number.
        # Another process may have made it, whose clock is ahead.
        if abs(now.timestamp() - int(made)) > _LIFETIME.total_seconds():
            raise FormRefused

    def _mac(self, operator: Operator, purpose: str, made: str) -> str:
        parts = (operator.organization_id, operator.name, purpose, made)
        # The length before each part: no two lists of parts are written alike.
        message = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.new(self.key, message.encode(), hashlib.sha256).hexdigest()


def check_origin(headers: Mapping[str, str], origins: Sequence[str]) -> None:
    """Refuse a form that a page of another origin sent, or that does not say which.

    Args:
        headers: the request's.
        origins: the page's own; where there are none, the host that the request names is.

    Raises:
        FormRefused: it is not of one of them.
    """
    origin = headers.get("origin", "")
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise FormRefused
    if origins:
        if origin not in origins:
            raise FormRefused
        return
    host = headers.get("host")
    if not host or origin not in (f"http://{host}", f"https://{host}"):
        raise FormRefused


def read_form(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """Read what a form sent.

    Raises:
        UnsupportedMediaType: it is no form.
        InvalidRequest: it cannot be read, or has a field twice.
    """
    if headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise UnsupportedMediaType("A form is sent as application/x-www-form-urlencoded.")
    return _fields(body.decode("latin-1"))


def read_query(query: str) -> dict[str, str]:
    """Read the query of a URL.

    Raises:
        InvalidRequest: it cannot be read, or has a name twice.
    """
    return _fields(query)


def _fields(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        pairs = None
    if pairs is None or len(dict(pairs)) < len(pairs):
        raise InvalidRequest("The form or the query cannot be read.")
    return dict(pairs)
