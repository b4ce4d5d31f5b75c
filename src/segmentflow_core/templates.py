"""Templates: JSON with places that the state document of a claimed Enrollment fills in."""

from __future__ import annotations

from segmentflow_core.domain.template import (
    OnMissing,
    Template,
    check_template,
    compile_template,
)
from segmentflow_core.domain.template_gaps import PathGaps, TemplateGaps

__all__ = [
    "OnMissing",
    "PathGaps",
    "Template",
    "TemplateGaps",
    "check_template",
    "compile_template",
]
