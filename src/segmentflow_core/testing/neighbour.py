"""A process of its own on the same data, which makes calls when it is asked to.

Knows how a call gets there and its answer back: pickled, over the process's standard input and
output. A process that is not killed serves one neighbour after another, since starting one takes
long. Must never know what a call does.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import define, frozen

from segmentflow_core import AsyncTracker, SegmentflowError, Tracker
from segmentflow_core.colour import drive, settle
from segmentflow_core.testing.builders import FINGERPRINT_SECRET, FixedClock
from segmentflow_core.testing.callers import is_asynchronous
from segmentflow_core.testing.port_calls import TappedStorage, WatchedStorage

__all__ = ["Neighbour", "Opener", "Refusal", "serve"]

Opener: TypeAlias = Callable[[], Any]
"""Opens the data of a storage in another process; picklable."""

_HANGS: Final = 60.0
_SERVE: Final = "from segmentflow_core.testing.neighbour import serve; serve()"
_CLOSE: Final = "close"


@frozen
class Refusal:
    """The code of the error that a call in another process was refused with."""

    code: str


@frozen
class _Order:
    """A call to make.

    Attributes:
        function: an `async def` of a module; is given a tracker and the arguments.
        arguments: what it is given.
        stop: after how many calls of a port the process stops for ever; 0 for never.
        now: what its clock shows.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    stop: int
    now: Any


@define
class _Heard:
    """What a process has told of its current call.

    Attributes:
        signs: how often it has told that it is alive.
        stopped: whether it has stopped where it was told to.
        answer: the result or `Refusal`, in a tuple of one.
        failure: what went wrong otherwise.
    """

    signs: int = 0
    stopped: bool = False
    answer: tuple[Any, ...] = ()
    failure: str = ""

    @property
    def ended(self) -> bool:
        """Whether the call has ended."""
        return bool(self.answer or self.failure)


class Neighbour:
    """A process that has opened a store again.

    Args:
        opener: opens the store there.
        clock: the clock of its trackers shows what this one shows when a call begins.
    """

    def __init__(self, opener: Opener, clock: FixedClock) -> None:
        self._clock = clock
        self._process = _idle.pop() if _idle else _Process()
        # Where an opener is found must be known before it is read.
        self._process.send([place or str(Path.cwd()) for place in sys.path])
        self._process.send(opener)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Make a call there, and return its result or its `Refusal`."""
        self.start(function, *arguments)
        return self.answer()

    def start(self, function: Callable[..., Any], *arguments: Any, stop: int = 0) -> None:
        """Begin a call there.

        Args:
            function: an `async def` of a module; is given a tracker and the arguments.
            arguments: picklable.
            stop: after how many calls of a port the process stops, until it is killed.
        """
        self._process.begin(_Order(function, arguments, stop, self._clock.now()))

    @property
    def signs(self) -> int:
        """How often the call has told that it is alive: 0 before it is in a transaction."""
        return self._process.heard.signs

    def has_begun(self) -> bool:
        """Wait until the call is in a transaction, or has ended; say whether it is."""
        self._process.wait(lambda heard: heard.signs > 0 or heard.ended, _HANGS)
        return self.signs > 0

    def has_stopped(self) -> bool:
        """Wait until the call has stopped, or has ended before that; say whether it stopped."""
        self._process.wait(lambda heard: heard.stopped or heard.ended, _HANGS)
        return self._process.heard.stopped

    def has_ended(self, seconds: float) -> bool:
        """Wait for the call's end for so long at most; say whether it has ended."""
        return self._process.wait(lambda heard: heard.ended, seconds)

    def answer(self) -> Any:
        """Wait for the call's end, and return its result or its `Refusal`.

        Raises:
            AssertionError: it failed, or did not end in time.
        """
        assert self.has_ended(_HANGS), "The call in another process does not end."
        heard = self._process.heard
        assert not heard.failure, heard.failure
        (answer,) = heard.answer
        return answer

    def kill(self) -> None:
        """Kill the process at once."""
        self._process.kill()

    def close(self) -> None:
        """Let the process close its store; one that is amid a call is killed."""
        if self._process.serves:
            self._process.send(_CLOSE)
            _idle.append(self._process)
        else:
            self._process.kill()


class _Process:
    """A process that serves, what it is told and what is heard of it."""

    def __init__(self) -> None:
        self.heard = _Heard(answer=(None,))
        self._changed = threading.Condition()
        self._process = subprocess.Popen(  # noqa: S603 - this Python, and a text of ours
            [sys.executable, "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    @property
    def serves(self) -> bool:
        """Whether it has answered all there was, and waits for more."""
        return bool(self.heard.answer) and not self.heard.failure

    def begin(self, order: _Order) -> None:
        """Send a call to make, of which nothing is heard yet."""
        self.heard = _Heard()
        self.send(order)

    def send(self, message: Any) -> None:
        """Send anything that can be pickled."""
        assert self._process.stdin is not None
        pickle.dump(message, self._process.stdin)
        self._process.stdin.flush()

    def wait(self, happened: Callable[[_Heard], bool], seconds: float) -> bool:
        """Wait until something was heard, for so long at most; say whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: happened(self.heard), seconds)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(_HANGS)
        self._reader.join(_HANGS)
        self._process.stdout.close()

    def _listen(self) -> None:
        while (message := _received(self._process.stdout)) is not None:
            self._hear(*message)
        self._hear("failure", self.heard.failure or "The other process has ended.")

    def _hear(self, name: str, value: Any) -> None:
        with self._changed:
            setattr(self.heard, name, value)
            self._changed.notify_all()


_idle: Final[list[_Process]] = []


@atexit.register
def _end_all() -> None:
    while _idle:
        _idle.pop().end()


def _received(source: Any) -> Any:
    try:
        return pickle.load(source)  # noqa: S301 - a process of our own wrote it
    except EOFError:
        return None


def serve() -> None:
    """Serve one neighbour after another over standard input and output, in a process apart."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    # What a storage prints must not come between the answers.
    sys.stdout = sys.stderr

    def tell(name: str, value: Any) -> None:
        # Whole, or nothing at all: what cannot be pickled must not be told in part.
        sink.write(pickle.dumps((name, value)))
        sink.flush()

    while (places := _received(source)) is not None:
        sys.path[:] = places
        storage = _received(source)()
        with asyncio.Runner() as runner:
            run = runner.run if is_asynchronous(storage) else drive
            while isinstance(order := _received(source), _Order):
                _obey(order, storage, run, tell)
            close = getattr(storage, "close", None)
            if close is not None:
                run(settle(close()))


def _obey(order: _Order, storage: Any, run: Callable[..., Any], tell: Callable[..., None]) -> None:
    def tap(number: int) -> None:
        if number == order.stop:  # pragma: no cover - in a process that is killed there
            tell("stopped", True)
            threading.Event().wait()

    watched = WatchedStorage(storage, lambda signs: tell("signs", signs))
    kind: Any = AsyncTracker if is_asynchronous(storage) else Tracker
    tracker = kind(
        TappedStorage(watched, tap), fingerprint_key=FINGERPRINT_SECRET, clock=FixedClock(order.now)
    )
    try:
        tell("answer", (run(order.function(tracker, *order.arguments)),))
    except SegmentflowError as refusal:  # pragma: no cover - in the other process
        tell("answer", (Refusal(refusal.code),))
    except BaseException:  # noqa: BLE001  # pragma: no cover - told to the process that asked
        tell("failure", traceback.format_exc())
