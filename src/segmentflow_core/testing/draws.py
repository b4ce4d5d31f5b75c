"""What the state machine draws: requests, keys, Journeys, crashes and jumps of its clock.

Each comes from few values, so that calls often meet: emails that differ in case, a number and
its text, moments a microsecond apart. Must never know what a call answers.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import strategies as st

from segmentflow_core.testing.model import Row

__all__ = [
    "BLOCKS",
    "CRASHES",
    "JOURNEYS",
    "JUMPS",
    "KEYS",
    "LIFTS",
    "PLACES",
    "REQUESTS",
]

_MOMENTS: Final = [
    datetime(2026, 5, 31, 12, tzinfo=UTC),
    datetime(2026, 5, 31, 12, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 6, 1, tzinfo=UTC),
    datetime(2030, 1, 1, tzinfo=UTC),
]
JUMPS: Final = [
    timedelta(microseconds=1),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=3),
    timedelta(minutes=-10),
]


def _members(required: Row, **optional: Any) -> st.SearchStrategy[Row]:
    return st.fixed_dictionaries(required, optional=optional)


_PROPERTIES: Final = st.dictionaries(
    st.sampled_from(["plan", "n"]), st.sampled_from(["Pro", 1, 1.0, True, None]), max_size=2
)
_EMAILS: Final = st.sampled_from(["a@x.org", "A@x.org", "b@x.org", "c@x.org"])
_EXTERNAL_IDS: Final = st.sampled_from(["X", "x", "Y"])
_PROFILES: Final = (
    _members({"email": _EMAILS}, properties=_PROPERTIES)
    | _members({"email": _EMAILS}, externalId=_EXTERNAL_IDS, properties=_PROPERTIES)
    | _members({"externalId": _EXTERNAL_IDS}, properties=_PROPERTIES)
)
_DATA: Final = _members(
    {},
    orderId=st.sampled_from(["A", "B", 1, 1.0, None]),
    total=st.sampled_from([39, 40, 40.5, "40", True]),
)
REQUESTS: Final = _members(
    {"event": st.sampled_from(["order.created"] * 3 + ["other"]), "profile": _PROFILES},
    data=_DATA,
    occurredAt=st.sampled_from(_MOMENTS),
    redactedDataPaths=st.sampled_from([["/event/orderId"], ["/event/total", "/event/none"]]),
)
KEYS: Final = st.sampled_from(["k", "K", "l", "m", "n"])
_REENTRY: Final = [
    {"policy": "every_event"},
    {"policy": "once"},
    {"policy": "once_per_key", "key": ["/event/orderId"]},
    {"policy": "cooldown", "duration": "PT1H"},
    {"policy": "at_most", "times": 2, "within": "PT1H"},
    {"policy": "at_most", "times": 1, "within": "PT1H", "key": ["/event/orderId"]},
]
_WHERE: Final = {"path": "/event/total", "op": "gte", "value": 40}
_BY_ORDER: Final = ["/event/orderId"]
_CANCEL_ON: Final[list[list[Row]]] = [
    [{"event": "other"}],
    [{"event": "other", "same": _BY_ORDER}],
    [{"event": "order.created", "same": _BY_ORDER}, {"event": "other", "same": _BY_ORDER}],
]
JOURNEYS: Final = st.builds(
    lambda journey_id, name, status, event, where, reentry, more: {
        "id": journey_id,
        "name": name,
        "status": status,
        "trigger": {"event": event, **({"where": _WHERE} if where else {})},
        "reentry": reentry,
        **more,
    },
    st.sampled_from(["one", "two", "three"]),
    st.sampled_from(["First", "Second"]),
    st.sampled_from(["active", "active", "active", "paused", "draft"]),
    st.sampled_from(["order.created", "order.created", "other"]),
    st.booleans(),
    st.sampled_from(_REENTRY),
    _members({}, delay=st.just("PT1H"), cancelOn=st.sampled_from(_CANCEL_ON)),
)
BLOCKS: Final = st.sampled_from([False, False, False, True])
LIFTS: Final = st.booleans()
PLACES: Final = st.sampled_from(["a", "a", "a", "b"])
CRASHES: Final = st.sampled_from(
    [None] * 12 + [(call, after) for call in range(3) for after in (False, True)]
)
"""Which call of a port fails, and whether after it took effect; mostly none."""
