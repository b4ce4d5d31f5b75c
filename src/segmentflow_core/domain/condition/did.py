"""The leaf that counts what a Profile did before: its table, and its compiled form.

Knows how a count is compared, and what makes two events alike. Must never know where earlier
events are kept, nor which of them were found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias

from attrs import field, frozen

from segmentflow_core.domain.canonical import canonical_json
from segmentflow_core.domain.condition.reading import read
from segmentflow_core.domain.condition.truth import Truth
from segmentflow_core.domain.duration import parse_duration
from segmentflow_core.domain.json_value import JsonObject
from segmentflow_core.domain.pointer import Tokens, parse_pointer
from segmentflow_core.domain.redaction import REDACTED

__all__ = [
    "DID_LIMIT",
    "DID_MEMBERS",
    "MAX_EVENT_NAME",
    "MAX_SAME",
    "MAX_TIMES",
    "TIMES",
    "Did",
    "Reads",
    "bounds_of",
    "comparable",
]

DID_LIMIT: Final = 16
"""How many leaves of one condition may count earlier events."""

DID_MEMBERS: Final = ("did", "times", "within", "where", "same")

MAX_EVENT_NAME: Final = 255
MAX_SAME: Final = 8
"""How many values may be asked to be equal."""

MAX_TIMES: Final = 100
"""The largest count that can be asked for."""

TIMES: Final[Mapping[str, str]] = {
    "eq": "exactly so many",
    "gte": "so many or more",
    "lte": "so many or fewer",
    "between": "between two counts, both included",
}
"""What `times` may be, with what it says of the count."""

_ONCE: Final[Mapping[str, Any]] = {"gte": 1}

_COMPARED: Final = (str, bool, int, float)

Reads: TypeAlias = Literal["nothing", "data", "state"]
"""What counting looks at of an earlier event: only that it is there, its data, or its Profile too.
"""


def bounds_of(times: Mapping[str, Any]) -> tuple[int, int | None]:
    """Return the lowest count and the highest that a checked `times` admits; None for no end."""
    ((op, value),) = times.items()
    if op == "between":
        return value[0], value[1]
    return (0 if op == "lte" else value), (None if op == "gte" else value)


def comparable(value: Any) -> bytes | None:
    """Return the text that equal values share, or None for a value that equals nothing.

    The text is canonical JSON, as that of entry keys and of what cancels. Missing, null and what
    is redacted equal nothing, and so do objects and arrays.

    See docs/reference/rules/conditions.md.
    """
    if type(value) not in _COMPARED or value == REDACTED:
        return None
    return canonical_json(value)


@frozen(eq=False)
class Did:
    """One leaf, ready to count.

    Attributes:
        document: its definition.
        event: the name of the events that are counted.
        low: the lowest count that meets it.
        high: the highest, or None.
        within: how long before the event they may have occurred; None for ever.
        where: what each of them must meet, or None.
        same: where each must have the value that the event itself has.
        reads: what counting looks at.
        asks: what leaves have in common that ask about the same events.
        needs: how many of these are enough, where they are only counted.
    """

    document: JsonObject = field(repr=False)
    event: str
    low: int
    high: int | None
    within: timedelta | None
    where: Callable[[Any], Truth] | None
    same: tuple[Tokens, ...]
    reads: Reads
    asks: tuple[str, timedelta | None, Reads]
    needs: int

    @classmethod
    def of(
        cls,
        node: Mapping[str, Any],
        where: Callable[[Any], Truth] | None,
        paths: tuple[Tokens, ...],
    ) -> Did:
        """Compile a checked leaf.

        Args:
            node: the leaf.
            where: its compiled condition.
            paths: what that reads.
        """
        low, high = bounds_of(node.get("times", _ONCE))
        same = tuple(map(parse_pointer, node.get("same", ())))
        period = node.get("within")
        within = None if period is None else parse_duration(period)
        read_ones = (*same, *paths)
        reads: Reads = "nothing"
        if read_ones:
            reads = "state" if any(path[0] == "profile" for path in read_ones) else "data"
        return cls(
            node,
            node["did"],
            low,
            high,
            within,
            where,
            same,
            reads,
            (node["did"], within, reads),
            low if high is None else high + 1,
        )

    @property
    def always(self) -> bool:
        """Whether every count meets it."""
        return self.low == 0 and self.high is None

    def meets(self, least: int, most: int | None) -> Truth:
        """Say whether a count meets the leaf.

        Args:
            least: so many there are at least.
            most: and at most; None where nobody knows.

        Returns:
            True where every count from least to most meets it, False where none does, else None.
        """
        if self.low <= least and (self.high is None or (most is not None and most <= self.high)):
            return True
        if (self.high is not None and least > self.high) or (most is not None and most < self.low):
            return False
        return None

    def decided(self, least: int) -> bool:
        """Say whether more than `least` cannot change the answer."""
        return least > self.high if self.high is not None else least >= self.low

    def alike(self, state: Any) -> list[bytes] | None:
        """Return what makes two events alike, as texts, or None where a value equals nothing."""
        values: list[bytes] = []
        for tokens in self.same:
            value = comparable(read(state, tokens))
            if value is None:
                return None
            values.append(value)
        return values

    def judge(self, state: Any, alike: list[bytes] | None) -> Truth:
        """Say whether an earlier event counts.

        Args:
            state: its state document.
            alike: of the event itself.
        """
        if self.same and self.alike(state) != alike:
            return False
        return True if self.where is None else self.where(state)
