"""Hypothesis strategies for what a host sends: JSON values, pointers, requests, Journeys.

Everything drawn keeps the rules, so a host can test its own code with
anything it may receive. Must never draw what would be refused.

See docs/reference/rules/request.md and docs/reference/rules/journeys.md.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import strategies as st

from segmentflow_core import JourneyStatus
from segmentflow_core.domain.admission import MAX_INTEGER, MIN_INTEGER
from segmentflow_core.domain.pointer import format_pointer
from segmentflow_core.domain.request import is_placeholder

__all__ = ["journeys", "json_objects", "json_values", "pointers", "requests"]

_LETTERS: Final = string.ascii_lowercase + string.digits


def _texts(*, min_size: int = 0, max_size: int = 12) -> st.SearchStrategy[str]:
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.text(characters, min_size=min_size, max_size=max_size)


def json_values() -> st.SearchStrategy[Any]:
    """Return a strategy for every kind of JSON value a request may hold."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(MIN_INTEGER, MAX_INTEGER)
        # A negative zero is admitted as zero, so it would not come back.
        | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
        | _texts()
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts(), inner, max_size=4),
        max_leaves=12,
    )


def json_objects() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for JSON objects, such as an event's data."""
    return st.dictionaries(_texts(), json_values(), max_size=5)


def pointers(document: Mapping[str, Any] | None = None) -> st.SearchStrategy[str]:
    """Return a strategy for JSON Pointers into the event's data, each starting ``/event/``.

    Args:
        document: the data; about half of the pointers then name something in it.
    """
    anywhere = st.lists(_texts(), min_size=1, max_size=3).map(_event_pointer)
    places = [] if document is None else list(_places(document))
    return anywhere if not places else st.sampled_from(places).map(_event_pointer) | anywhere


def requests() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for valid requests, with the wire's names."""
    return json_objects().flatmap(_request)


def journeys() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for Journey definitions, as a Journey file has them."""
    names = _texts(min_size=1).filter(str.strip)
    durations = st.sampled_from(["PT1S", "PT24H", "P1D", "P30DT12H"])
    reentry = st.one_of(
        st.sampled_from([{"policy": "every_event"}, {"policy": "once"}]),
        st.builds(
            lambda key: {"policy": "once_per_key", "key": key},
            st.lists(pointers(), min_size=1, max_size=3, unique=True),
        ),
        st.builds(lambda length: {"policy": "cooldown", "duration": length}, durations),
        st.builds(
            lambda times, length: {"policy": "at_most", "times": times, "within": length},
            st.integers(1, 1_000),
            durations,
        ),
    )
    window = st.tuples(_moments(), _moments()).filter(lambda ends: ends[0] < ends[1])
    return st.fixed_dictionaries(
        {
            "id": names,
            "status": st.sampled_from([str(status) for status in JourneyStatus]),
            "trigger": st.fixed_dictionaries(
                {"event": _texts(min_size=1)}, optional={"where": _conditions()}
            ),
        },
        optional={
            "name": names,
            "reentry": reentry,
            "window": window.map(lambda ends: {"from": ends[0], "until": ends[1]}),
            "maxLateness": durations,
            "sample": st.fixed_dictionaries(
                {"percent": st.integers(0, 100), "seed": _texts(min_size=1)}
            ),
        },
    )


def _request(data: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    emails = st.builds(
        "{}@{}.example".format,
        st.text(_LETTERS, min_size=1, max_size=8),
        st.text(_LETTERS, min_size=1, max_size=8),
    )
    external_ids = _texts(min_size=1).filter(lambda text: not is_placeholder(text))
    properties = json_objects()
    return st.fixed_dictionaries(
        {
            "event": _texts(min_size=1),
            "profile": st.fixed_dictionaries(
                {"email": emails}, optional={"externalId": external_ids, "properties": properties}
            )
            | st.fixed_dictionaries(
                {"externalId": external_ids}, optional={"properties": properties}
            ),
            "data": st.just(data),
        },
        optional={
            "referenceId": _texts(min_size=1),
            "redactedDataPaths": st.lists(pointers(data), max_size=3),
            "occurredAt": _moments(),
        },
    )


def _conditions() -> st.SearchStrategy[dict[str, Any]]:
    numbers = st.integers(-1000, 1000)
    leaves = st.one_of(
        st.builds(
            lambda path, op, value: {"path": path, "op": op, "value": value},
            pointers(),
            st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]),
            numbers,
        ),
        st.builds(
            lambda path, op: {"path": path, "op": op},
            pointers(),
            st.sampled_from(["exists", "missing", "is_null"]),
        ),
        st.builds(
            lambda path, value: {"path": path, "op": "in", "value": value},
            pointers(),
            st.lists(numbers | _texts(), min_size=1, max_size=3, unique=True),
        ),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(
                lambda name, parts: {name: parts},
                st.sampled_from(["all", "any"]),
                st.lists(inner, min_size=1, max_size=3),
            ),
            st.builds(lambda part: {"not": part}, inner),
        ),
        max_leaves=4,
    )


def _moments() -> st.SearchStrategy[str]:
    moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
    return moments.map(datetime.isoformat)


def _event_pointer(tokens: list[str]) -> str:
    return format_pointer("event", *tokens)


def _places(value: Any) -> Iterator[list[str]]:
    """Yield the tokens of every place below a JSON value."""
    if isinstance(value, Mapping):
        inner = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, list):
        inner = [(str(index), item) for index, item in enumerate(value)]
    else:
        return
    for token, item in inner:
        yield [token]
        for rest in _places(item):
            yield [token, *rest]
