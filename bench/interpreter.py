"""How the Python that runs was built: it decides how fast the same code is."""

from __future__ import annotations

import platform
import sys
import sysconfig

__all__ = ["described", "is_optimised"]


def is_optimised() -> bool:
    """Say whether Python was built with profile-guided optimisation.

    That of a Linux distribution is, and its configuration does not say so.
    """
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return "--enable-optimizations" in options or sys.base_prefix == "/usr"


def described() -> str:
    """Name the interpreter and how it was built."""
    built = "with" if is_optimised() else "without"
    return f"{platform.python_implementation()} {platform.python_version()}, built {built} PGO"
