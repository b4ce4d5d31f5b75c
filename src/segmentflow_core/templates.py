"""Templates: JSON with places that the state document of a claimed Enrollment fills in."""

from __future__ import annotations

from segmentflow_core.domain.template import (
    OnMissing,
    Template,
    check_template,
    compile_template,
)

__all__ = ["OnMissing", "Template", "check_template", "compile_template"]
