"""The conformance kit: subclass `StorageContract`, give it one fixture, run pytest."""

from __future__ import annotations

import pytest

# Before the contract is imported: pytest rewrites its asserts, so that a failure shows values.
pytest.register_assert_rewrite(
    "segmentflow_core.testing.contract",
    "segmentflow_core.testing.api_keys",
    "segmentflow_core.testing.machine",
)

from segmentflow_core.testing.builders import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    FixedClock,
    SequentialIds,
    a_journey,
    a_request,
)
from segmentflow_core.testing.capabilities import CAPABILITIES, Capabilities
from segmentflow_core.testing.contract import StorageContract
from segmentflow_core.testing.contract.hand_over import HandOverContract
from segmentflow_core.testing.crashes import CrashingWorkers
from segmentflow_core.testing.faults import FaultyStorage, InjectedFault, InjectedInterrupt
from segmentflow_core.testing.history import (
    HISTORY_RULES,
    Call,
    Ending,
    History,
    Stored,
    contradictions,
)
from segmentflow_core.testing.interleavings import (
    Deadlock,
    Interleaving,
    interleavings,
    switch,
)
from segmentflow_core.testing.machine import (
    MACHINE_SETTINGS,
    StorageMachine,
    run_storage_machine,
)
from segmentflow_core.testing.port_calls import TappedStorage
from segmentflow_core.testing.strategies import (
    journeys,
    json_objects,
    json_values,
    pointers,
    requests,
)

__all__ = [
    "CAPABILITIES",
    "DOCUMENTED_KEY",
    "DOCUMENTED_REQUEST",
    "FINGERPRINT_SECRET",
    "HISTORY_RULES",
    "MACHINE_SETTINGS",
    "Call",
    "Capabilities",
    "CrashingWorkers",
    "Deadlock",
    "Ending",
    "FaultyStorage",
    "FixedClock",
    "HandOverContract",
    "History",
    "InjectedFault",
    "InjectedInterrupt",
    "Interleaving",
    "SequentialIds",
    "StorageContract",
    "StorageMachine",
    "Stored",
    "TappedStorage",
    "a_journey",
    "a_request",
    "contradictions",
    "interleavings",
    "journeys",
    "json_objects",
    "json_values",
    "pointers",
    "requests",
    "run_storage_machine",
    "switch",
]
