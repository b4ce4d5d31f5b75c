"""The how-to of the operator's page names every scope, and each action beside its scope."""

from __future__ import annotations

from reference_pages import rows
from segmentflow_console import Scope
from segmentflow_console.actions import ACTIONS

_SAID = {"unsuppress": "lift it"}


def test_the_scopes_and_what_each_lets_do():
    said = dict(rows("../how-to/console.md", "scope"))
    assert list(said) == [str(scope) for scope in Scope]
    for action in ACTIONS:
        name = _SAID.get(action.name, action.name)
        assert [scope for scope in said if name in said[scope]] == [str(action.scope)]
