"""The conformance kit: subclass `StorageContract`, give it one fixture, run pytest."""

from __future__ import annotations

from segmentflow_core.testing.builders import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    FixedClock,
    SequentialIds,
    a_journey,
    a_request,
)
from segmentflow_core.testing.contract import StorageContract
from segmentflow_core.testing.faults import FaultyStorage, InjectedFault
from segmentflow_core.testing.strategies import json_objects, json_values

__all__ = [
    "DOCUMENTED_KEY",
    "DOCUMENTED_REQUEST",
    "FINGERPRINT_SECRET",
    "FaultyStorage",
    "FixedClock",
    "InjectedFault",
    "SequentialIds",
    "StorageContract",
    "a_journey",
    "a_request",
    "json_objects",
    "json_values",
]
