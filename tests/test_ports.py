"""What holds for every method of every port."""

from __future__ import annotations

from inspect import Parameter, signature
from typing import get_type_hints

from segmentflow_core.ports import FindsRecords, QuickHandOverRepository, Transaction
from segmentflow_core.ports.api_keys import KeepsApiKeys
from segmentflow_core.ports.audit import KeepsAudit
from segmentflow_core.ports.history import KnowsHistory
from segmentflow_core.ports.pausing import PausesJourneys
from segmentflow_core.ports.people import KeepsPeople
from segmentflow_core.ports.retention import KeepsForATime

PORTS = {
    get_type_hints(offered.fget)["return"]
    for offers in (
        *(Transaction, FindsRecords, KeepsApiKeys),
        *(KeepsAudit, KeepsPeople, KeepsForATime, PausesJourneys, KnowsHistory),
    )
    for offered in vars(offers).values()
    if isinstance(offered, property)
} | {QuickHandOverRepository}


def test_repositories_are_given_their_arguments_by_position_so_adapters_name_them_as_they_like():
    methods = [
        method
        for port in PORTS
        for name, method in vars(port).items()
        if callable(method) and name[0] != "_"
    ]
    assert len(methods) > 25
    assert [
        f"{method.__qualname__}: {parameter}"
        for method in methods
        for parameter in [*signature(method).parameters.values()][1:]
        if parameter.kind is not Parameter.POSITIONAL_ONLY
    ] == []
