"""What a traceback must not show: the local variables of the frames an error has passed.

Error trackers and debug pages print the local variables of every frame of a traceback. The
frames of this library hold requests, keys and secrets. Whatever function takes such a value
and may raise is marked `forgets_locals`: the traceback keeps each place and loses what stood
there. Must never change the error itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from traceback import clear_frames
from types import FrameType
from typing import Any, TypeVar, cast

__all__ = ["forget_locals", "forgets_locals"]

F = TypeVar("F", bound=Callable[..., Any])


def forget_locals(error: BaseException) -> None:
    """Clear the local variables of every finished frame that an error has passed.

    Clears the frames of its causes and contexts too, up to the one that the host was already
    handling when it called: that one is not ours. Frames that still run keep their variables.

    Args:
        error: what is being handled, or was.
    """
    frames = inspect.currentframe()
    running: set[FrameType] = set()
    # Our caller's frame handles `error`; what was caught in a frame above it is the host's.
    frame = None if frames is None or frames.f_back is None else frames.f_back.f_back
    while frame is not None:
        running.add(frame)
        frame = frame.f_back
    clear_frames(error.__traceback__)
    seen = {id(error)}
    chained = [error.__cause__, error.__context__]
    while chained:
        one = chained.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if one.__traceback__ is not None and one.__traceback__.tb_frame in running:
            continue
        clear_frames(one.__traceback__)
        chained += [one.__cause__, one.__context__]


def forgets_locals(function: F) -> F:
    """Mark a function, of either colour: an error that leaves it shows no local variable.

    Marks of a class what makes its instances; put it above what writes the class.

    >>> @forgets_locals
    ... def read(secret):
    ...     raise ValueError("cannot be read")
    """
    if inspect.isclass(function):
        made: Any = function
        made.__init__ = forgets_locals(made.__init__)
        return cast("F", made)
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            try:
                return await function(*args, **kwargs)
            except BaseException as error:
                del args, kwargs
                forget_locals(error)
                raise

        return cast("F", awaited)

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            forget_locals(error)
            raise

    return cast("F", called)
