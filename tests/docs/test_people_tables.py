"""The rules about people are those of the code."""

from __future__ import annotations

from reference_pages import rows
from segmentflow_core.people import AUDIT_ACTIONS, AuditAction


def test_the_actions_that_are_kept_on_record():
    assert rows("rules/people.md", "action") == list(AUDIT_ACTIONS.items())
    assert list(AUDIT_ACTIONS) == list(AuditAction)
