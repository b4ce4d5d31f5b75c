"""Each test's subject: by which marker pytest selects it, and what its parameters are called.

Knows the classes of the contract and pytest's rules for ids. Must never know what a test does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any, Final

import pytest

__all__ = ["MARKERS", "mark_by_subject", "marker_of", "parameters_of"]

MARKERS: Final[dict[str, str]] = {
    "Idempotency": "keys",
    "Key": "keys",
    "Removal": "retention",
    "Undoing": "atomicity",
    "Profile": "profiles",
    "Identity": "profiles",
    "Record": "values",
    "Value": "values",
    "Number": "numbers",
    "Journey": "journeys",
    "EarlierEntry": "journeys",
    "Batch": "batches",
    "Boundary": "boundaries",
    "List": "lists",
    "Many": "lists",
    "Organization": "organizations",
    "Neighbour": "organizations",
    "SameIds": "organizations",
    "Exchange": "exchanges",
    "Race": "races",
    "Overlap": "races",
    "Lock": "races",
    "Process": "processes",
    "Outage": "outages",
    "Lease": "leases",
    "SharedClaim": "leases",
    "PausingRace": "pausing",
    "PeopleRace": "people",
    "CancellingRace": "cancelling",
    "HistoryRace": "history",
    "ApiKey": "api_keys",
}
"""The marker of each subject whose name it is not: `HandOver` has the marker `hand_over`."""


def marker_of(subject: str) -> str:
    """Return the marker of a subject, such as `Race`."""
    return MARKERS.get(subject) or re.sub(r"(?<!^)(?=[A-Z])", "_", subject).lower()


def mark_by_subject(contract: type, metafunc: pytest.Metafunc) -> None:
    """Give a test, before it is collected, the marker of its subject; and register that.

    Args:
        contract: a class with tests of the contract.
        metafunc: one of its tests.
    """
    test = metafunc.function
    (part, *_) = (part for part in contract.__mro__ if test.__name__ in vars(part))
    marker = marker_of(part.__name__.removesuffix("Contract"))
    line = f"{marker}: tests of a storage adapter, see segmentflow_core.testing"
    if line not in metafunc.config.getini("markers"):
        metafunc.config.addinivalue_line("markers", line)
    # Subclasses share the function, and so its marks.
    if not any(mark.name == marker for mark in getattr(test, "pytestmark", ())):
        getattr(pytest.mark, marker)(test)


def parameters_of(test: Callable[..., Any]) -> set[str]:
    """Return what stands in brackets after a test's name, for each of its parameter sets."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    choices = [_ids(mark.args[1], mark.kwargs.get("ids", _shown)) for mark in marks]
    return {"-".join(ids) for ids in product(*choices)} if marks else set()


def _ids(values: Iterable[Any], ids: Callable[[Any], str] | Sequence[Any]) -> Sequence[str]:
    # As pytest shows them.
    if callable(ids):
        return [_escaped(ids(value)) for value in values]
    return [_escaped(str(each)) for each in ids]


def _shown(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else str(value)


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")
