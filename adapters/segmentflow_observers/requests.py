"""What a request's observer is told once it is answered."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Answer"]


class Answer(Protocol):
    """An answered request, as `segmentflow_http.access.Answered` tells it."""

    @property
    def status(self) -> int:
        """The status of the answer."""
        ...

    @property
    def error(self) -> str | None:
        """The code of the error in the answer, or None."""
        ...

    @property
    def seconds(self) -> float:
        """The time from the request to the answer."""
        ...
