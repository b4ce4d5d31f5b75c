"""The faults of one document: noted as they are found, and shown within bounds.

Knows places and messages. Noting a fault costs the same wherever it is and however many
there are: a place is a link to the place it is in, and only what is shown is written out as
a JSON Pointer. Must never know what a document means, nor hold a value of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias, TypeVar

from attrs import define, field

from segmentflow_core.domain.pointer import Tokens, format_pointer
from segmentflow_core.errors import MAX_VIOLATIONS, InvalidRequest, Violation, bounded

__all__ = ["MAX_PATH", "Faults", "Place", "taken_apart"]

MAX_PATH: Final = 1024
"""How many characters the path of a violation has. A longer one becomes an ancestor's."""

Place: TypeAlias = "str | tuple[Place, str | int | tuple[str | int, ...]]"
"""A place in a document: the pointer it all stands at, or a name or index in another place.

Several names and indexes, one in the other, may be given at once.
"""

R = TypeVar("R", bound=InvalidRequest)


@define
class Faults:
    """What is wrong with one document.

    Attributes:
        noted: (where, why) of the first faults, in the order they were found.
        omitted: how many more there are.
    """

    noted: list[tuple[Place, str]] = field(factory=list[tuple[Place, str]])
    omitted: int = 0

    def note(self, at: Place, why: str) -> None:
        """Note a fault; past the bound only count it."""
        if len(self.noted) < MAX_VIOLATIONS:
            self.noted.append((at, why))
        else:
            self.omitted += 1

    def note_all(self, faults: Iterable[tuple[Place, str]]) -> None:
        """Note several faults."""
        for at, why in faults:
            self.note(at, why)

    def add(self, later: Faults) -> None:
        """Add the faults of a later reading of the same document.

        A place that was named already is left out: that its value breaks another rule as
        well says nothing more. Faults past the bound are counted whatever their place.
        """
        named = {taken_apart(at) for at, _ in self.noted}
        self.note_all((at, why) for at, why in later.noted if taken_apart(at) not in named)
        self.omitted += later.omitted

    def violations(self) -> list[Violation]:
        """Return the faults as violations, as many as one error may list."""
        return bounded(self._shown(None))[0]

    def refusal(self, kind: type[R], open_to: Callable[[Tokens], Tokens] | None = None) -> R:
        """Build the one error that lists every fault, up to its bounds, and counts the others.

        Args:
            kind: the error's class.
            open_to: returns how much of a path may be shown.
        """
        return kind.from_violations(self._shown(open_to), self.omitted)

    def _shown(self, open_to: Callable[[Tokens], Tokens] | None) -> Iterator[Violation]:
        for at, why in self.noted:
            root, tokens = taken_apart(at)
            yield Violation(_written(root, tokens if open_to is None else open_to(tokens)), why)


def taken_apart(place: Place) -> tuple[str, Tokens]:
    """Return the pointer that a place starts from, and the tokens below it."""
    tokens: list[str] = []
    while not isinstance(place, str):
        place, token = place
        if isinstance(token, tuple):
            tokens.extend(map(str, reversed(token)))
        else:
            tokens.append(str(token))
    tokens.reverse()
    return place, tuple(tokens)


def _written(root: str, tokens: Tokens) -> str:
    """Write a path; one that is too long becomes that of the nearest ancestor that is not."""
    parts, room = [root], MAX_PATH - len(root)
    for token in tokens:
        if len(token) > room:  # tested first, for a name may be as long as the document
            break
        part = f"/{token}" if token.isalnum() else format_pointer(token)
        room -= len(part)
        if room < 0:
            break
        parts.append(part)
    return "".join(parts)
