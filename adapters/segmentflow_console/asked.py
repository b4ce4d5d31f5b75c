"""What one request asks for, and what a view gives: a page, or the place to go to."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

from attrs import field, frozen

from segmentflow_console.access import Operator
from segmentflow_console.facades import Facades
from segmentflow_core.errors import NotFound

__all__ = ["PAGE", "Asked", "GoTo", "Page", "View", "paged"]

T = TypeVar("T")

PAGE: Final = 25
"""How many records a page lists."""

_ID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


@frozen(repr=False)
class Asked:
    """One request of somebody who may make it.

    Attributes:
        facades: the store.
        operator: who asks.
        now: when.
        subject: the id that the path or the query names, or "".
        query: of the URL, each name once.
        form: what a form sent, each name once.
    """

    facades: Facades
    operator: Operator
    now: datetime
    subject: str
    query: Mapping[str, str]
    form: Mapping[str, str]

    @property
    def organization_id(self) -> str:
        """Return whose data is asked for."""
        return self.operator.organization_id

    @property
    def before(self) -> str | None:
        """Return where the page starts; None for the first.

        Raises:
            NotFound: it is no id.
        """
        return self.id_of("before")

    def id_of(self, name: str) -> str | None:
        """Return an id of the query, or None.

        Raises:
            NotFound: it is no id.
        """
        given = self.query.get(name)
        if not given:
            return None
        if _ID.fullmatch(given) is None:
            raise NotFound
        return given

    def one_of(self, name: str, known: Sequence[T], missing: T) -> T:
        """Return a choice of the query.

        Raises:
            NotFound: there is no such choice.
        """
        given = self.query.get(name)
        if not given:
            return missing
        for each in known:
            if str(each) == given:
                return each
        raise NotFound


@frozen(repr=False)
class Page:
    """A page to be shown.

    Attributes:
        template: the name of its template.
        title: what it is about; nothing of a person, since histories and tabs keep it.
        values: what the template shows.
        status: of the answer.
    """

    template: str
    title: str
    values: Mapping[str, Any] = field(factory=dict[str, Any])
    status: int = 200


@frozen(repr=False)
class GoTo:
    """The place to go to: what a form leads to.

    Attributes:
        path: below the mount point.
        query: of its URL.
    """

    path: str
    query: Mapping[str, str] = field(factory=dict[str, str])


View: TypeAlias = Callable[[Asked], Awaitable["Page | GoTo"]]


def paged(
    found: Sequence[T], id_of: Callable[[T], str], size: int = PAGE
) -> tuple[Sequence[T], str | None]:
    """Return a page of what was found, one more than it holds, and where the next one starts."""
    if len(found) <= size:
        return found, None
    return found[:size], id_of(found[size - 1])
