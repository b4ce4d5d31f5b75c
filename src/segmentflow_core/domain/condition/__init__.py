"""Conditions: JSON that says which state documents a Journey is for.

`operators` holds the table of operators. `check` and `json_schema` read it to refuse a
bad definition, `compiled` to turn a good one into closures, `explain` to say why a state
met it or not. `did` holds the leaf that counts earlier events, `comparisons` the tests behind
the table and `truth` how their answers combine. Knows state documents and definitions; must
never know where either is kept, what time it is, or any value that redaction took away.

See docs/reference/rules/conditions.md.
"""

from __future__ import annotations

from segmentflow_core.domain.condition.check import (
    DEPTH_LIMIT,
    NODE_LIMIT,
    check_condition,
    note_condition_faults,
)
from segmentflow_core.domain.condition.compiled import Condition, Judge, compile_condition
from segmentflow_core.domain.condition.did import DID_LIMIT, DID_MEMBERS, MAX_TIMES, TIMES, Did
from segmentflow_core.domain.condition.explain import (
    GAPS,
    ITEM_LIMIT,
    CountedEvent,
    Explanation,
    Gap,
    HistoryFact,
    Reason,
    explanation_document,
    why_unknown,
)
from segmentflow_core.domain.condition.json_schema import condition_json_schema
from segmentflow_core.domain.condition.operators import (
    OPERATORS,
    Operator,
    TruthRow,
    truth_table,
)
from segmentflow_core.domain.condition.values import ValueRule

__all__ = [
    "DEPTH_LIMIT",
    "DID_LIMIT",
    "DID_MEMBERS",
    "GAPS",
    "ITEM_LIMIT",
    "MAX_TIMES",
    "NODE_LIMIT",
    "OPERATORS",
    "TIMES",
    "Condition",
    "CountedEvent",
    "Did",
    "Explanation",
    "Gap",
    "HistoryFact",
    "Judge",
    "Operator",
    "Reason",
    "TruthRow",
    "ValueRule",
    "check_condition",
    "compile_condition",
    "condition_json_schema",
    "explanation_document",
    "note_condition_faults",
    "truth_table",
    "why_unknown",
]
