"""What the check of a request says is wrong, never showing a value."""

from __future__ import annotations

import pytest

from segmentflow_core import Limits
from segmentflow_core.domain.request import check_request
from segmentflow_core.errors import InvalidRequest

CANARY = "canary-4111"


def violations(request, key="key", limits=None):
    """Give what is wrong with a request, as (path, message) pairs."""
    with pytest.raises(InvalidRequest) as refusal:
        check_request(request, key, limits or Limits())
    shown = f"{refusal.value!r} {refusal.value} {refusal.value.envelope()}"
    assert CANARY not in shown
    assert refusal.value.__cause__ is None
    return [(v.path, v.message) for v in refusal.value.violations]


def paths(request, key="key"):
    return [path for path, _ in violations(request, key)]
