"""Room on the interpreter's stack for work that makes very many calls.

CPython keeps the frames of Python functions in chunks of 16 KiB (3.11 to 3.14). A call that
happens to need the next chunk maps it, and its return unmaps it: 7 µs in place of 0.02. A loop
of 80,000 calls that starts just there takes half a second longer, and whoever sends a request
chooses how deep its check goes. `with_room` makes one call on a chunk of its own, with room for
all that follows. Must never know what is called.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, Final, TypeVar, cast

__all__ = ["MANY", "with_room"]

R = TypeVar("R")

MANY: Final = 4096
"""From how many characters of JSON on a call with room is worth its own 7 µs."""

# In words of 8 bytes. A chunk has a power of two of bytes and 1,000 words more than the frame it
# is made for: this frame takes 57 KiB of 128, and some 300 frames of ours fit into the rest.
_FRAME: Final = 7300


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


_call_with_room: Final = FunctionType(_call.__code__.replace(co_stacksize=_FRAME), globals())


def with_room(function: Callable[..., R], *arguments: Any) -> R:
    """Call a function with room on the stack for what it calls.

    >>> with_room(max, 1, 2)
    2
    """
    return cast("R", _call_with_room(function, arguments))
