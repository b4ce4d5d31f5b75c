"""How options look that are given or not: without a form that says no, or a default."""

from __future__ import annotations

from typing import Final

from cyclopts import Parameter

__all__ = ["FLAG"]

FLAG: Final = Parameter(negative="", show_default=False)
"""Of an option that is given or not, or given several times."""
