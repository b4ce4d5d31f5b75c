"""What a run was measured on: the interpreter and its build, the machine, and what else it did."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import sysconfig
from pathlib import Path

from attrs import frozen

__all__ = ["Machine", "is_optimised"]


def is_optimised() -> bool:
    """Say whether Python was built with profile-guided optimisation.

    That of a Linux distribution is, and its configuration does not always say so.
    """
    configured = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    flags = str(sysconfig.get_config_var("PY_CFLAGS") or "")
    said = "enable-optimizations" in configured or "-fprofile-use" in flags
    return said or sys.base_prefix == "/usr"


@frozen
class Machine:
    """Where figures come from; without it, none of them can be compared with another.

    Attributes:
        interpreter: its name and version.
        build: the compiler, and whether it was optimised by profile (PGO) and at link time (LTO).
        sqlite: the version of SQLite.
        cores: how many there are for this process.
        processor: its name, as far as the system tells.
        load: how many others wanted to run in the minute before (the load average), or None.
    """

    interpreter: str
    build: str
    sqlite: str
    cores: int
    processor: str
    load: float | None

    @classmethod
    def here(cls) -> Machine:
        """Look at the present process and machine."""
        configured = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
        flags = str(sysconfig.get_config_var("PY_CFLAGS") or "")
        linked = "with-lto" in configured or "-flto" in flags
        parts = [
            platform.python_compiler(),
            "with PGO" if is_optimised() else "without PGO",
            "with LTO" if linked else "without LTO",
        ]
        if sysconfig.get_config_var("Py_DEBUG"):
            parts.append("for debugging")
        return cls(
            f"{platform.python_implementation()} {platform.python_version()}",
            ", ".join(parts),
            sqlite3.sqlite_version,
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1,
            _processor(),
            round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        )

    @property
    def title(self) -> str:
        """Everything, in a line."""
        load = "" if self.load is None else f", load {self.load:g} before"
        return (
            f"{self.interpreter} ({self.build}), SQLite {self.sqlite}, "
            f"{self.cores} × {self.processor}{load}"
        )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()
