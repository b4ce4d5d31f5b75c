"""Canaries in everything that is passed, and what an error tracker shows of an error."""

from __future__ import annotations

import traceback
from collections.abc import Mapping

import pytest

import segmentflow_core
import segmentflow_memory
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_memory import MemoryStorage

CANARY = "canary-4111"
EMAIL = f"{CANARY}@example.com"
CANARIES = (CANARY, CANARY.upper())
OURS = tuple(
    str(package.__path__[0]).rsplit("/", 1)[0] + "/segmentflow_"
    for package in (segmentflow_core, segmentflow_memory)
)


def whole_chain(error):
    """Yield an error and all its causes and contexts, suppressed ones too."""
    pending, seen = [error], set()
    while pending:
        one = pending.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            pending += [one.__cause__, one.__context__]


def shown(error):
    """Give all that an error tracker would print of an error and of our frames."""
    for one in whole_chain(error):
        details = getattr(one, "details", "")
        yield f"{one} {one!r} {one.args} {details}"
        told = traceback.TracebackException.from_exception(one, capture_locals=True)
        for frame in told.stack:
            if frame.filename.startswith(OURS) or _is_of_ours(frame.filename):
                for name, text in (frame.locals or {}).items():
                    yield f"{frame.filename}:{frame.lineno} {frame.name}: {name} = {text}"


def _is_of_ours(filename):
    """Say whether this is the `__init__` that attrs wrote for a class of ours."""
    return filename.startswith("<attrs generated") and "segmentflow_" in filename


def assert_shows_nothing(error):
    found = [line for line in shown(error) if any(canary in line for canary in CANARIES)]
    assert found == []


def raised(call):
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whichever it is
        call()
    return caught.value


def a_secret_request(**members):
    request = a_request(
        data={"card": CANARY, "list": [CANARY]},
        profile={"email": EMAIL, "properties": {"pin": CANARY}},
    )
    return {**request, **members}


def invalid(**members):
    return a_secret_request(unknown=CANARY, occurredAt=CANARY, **members)


def a_tracker(storage=None, **options):
    options.setdefault("fingerprint_key", FINGERPRINT_SECRET)
    return Tracker(storage or MemoryStorage(), **options)


class Failing(MemoryStorage):
    """Runs the work, and fails after it as it was told."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def run(self, work, **how):
        def working(transaction):
            held = work(transaction)  # a row in a local variable
            raise self.error if held is not self else ZeroDivisionError

        return super().run(working)


class Hostile(Mapping):
    """A Mapping whose own code raises, and shows what it holds."""

    def __getitem__(self, name):
        raise LookupError(CANARY)

    def __iter__(self):
        raise LookupError(CANARY)

    def __len__(self):
        raise LookupError(CANARY)

    def __repr__(self):
        return CANARY
