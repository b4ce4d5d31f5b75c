"""Each fault in a process of its own, and the tests that are to find it.

Knows how to run pytest over a module with a fault in it. Must never let a verdict depend on how
busy the machine is: what runs on for ever is told by the processor's time it takes.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import select
import signal
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import hypothesis
import pytest

from mutation.mutants import Mutant, planted

__all__ = ["Experience", "Judge", "Module", "Verdict"]

RANDOM = ("test_any_sequence", "test_explaining_what_a_race", "test_a_race_leaves")
"""Tests that try what they make up; what they alone find needs a test with a name."""
PASSED, INTERRUPTED = 0, 2
HANGS = 600
"""Seconds after which a process that waits for ever, and takes no processor time, is ended."""


@dataclass(frozen=True)
class Module:
    """What is mutated: a module's name, its source, and pytest's arguments, the nearest first."""

    name: str
    source: str
    stages: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant; `by` is the test that found it, None where it survived."""

    mutant: Mutant
    by: str | None


@dataclass(frozen=True)
class _Process:
    """One that judges; `tells` is the pipe on which it says what it found."""

    mutant: Mutant | None
    number: int
    tells: int


@dataclass(frozen=True)
class _End:
    process: _Process
    status: int
    told: dict[str, Any]
    seconds: float


@dataclass
class Experience:
    """What is learned of tests: how long they take, and which of them find the most."""

    seconds: float = 0.0
    kills: dict[str, int] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)


@dataclass
class Judge:
    """What judges the mutants of one module."""

    module: Module
    experience: Experience = field(default_factory=Experience)
    processes: int = 2

    def accept(self) -> None:
        """Require the tests to pass without a fault, and learn how long each takes."""
        (end,) = self._ended([self._start(None)])
        if end.status != PASSED:
            raise SystemExit(f"{self.module.name}: its tests fail without a fault, see above")
        self.experience.durations = end.told["durations"]
        self.experience.seconds = end.seconds
        # What is no part of the project is imported once, here, and not in each process again.
        for name in end.told["foreign"]:
            importlib.import_module(name)

    def judged(self, mutants: Sequence[Mutant]) -> Iterator[Verdict]:
        """Yield a verdict on each mutant, in the order in which they are found."""
        waiting = list(mutants)[::-1]
        running: list[_Process] = []
        while waiting or running:
            while waiting and len(running) < self.processes:
                running.append(self._start(waiting.pop()))
            for end in self._ended(running):
                running = [process for process in running if process is not end.process]
                by = None
                if end.status != PASSED:
                    by = end.told.get("failed") or f"ended with {end.status}"
                    kills = self.experience.kills
                    kills[by] = kills.get(by, 0) + 1
                assert end.process.mutant is not None
                yield Verdict(end.process.mutant, by)

    def _start(self, mutant: Mutant | None) -> _Process:
        reads, writes = os.pipe()
        number = os.fork()
        if number:
            os.close(writes)
            return _Process(mutant, number, reads)
        os.close(reads)
        try:
            self._judge(mutant, writes)
        except BaseException:  # noqa: BLE001 - this process must end here, whatever happened
            traceback.print_exc()
        finally:
            os._exit(INTERRUPTED)

    def _judge(self, mutant: Mutant | None, writes: int) -> None:
        if mutant is not None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(HANGS)
        if mutant is not None:
            most = int(3 * self.experience.seconds) + 5
            resource.setrlimit(resource.RLIMIT_CPU, (most, most + 1))
            sys.meta_path.insert(0, _Planting(self.module, mutant))
        listener = _Listener(self.experience)
        status = PASSED
        for stage in self.module.stages:
            arguments = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", *stage]
            status = int(pytest.main(arguments, plugins=[listener]))
            if status != PASSED:
                break
        told = json.dumps(
            {
                "failed": listener.failed,
                "durations": listener.durations,
                "foreign": [] if mutant else _foreign_modules(),
            }
        )
        with os.fdopen(writes, "w") as pipe:
            pipe.write(told)
        os._exit(status)

    def _ended(self, running: Sequence[_Process]) -> Iterator[_End]:
        """Wait until a process has told its end; yield what became of each that has."""
        told_by, _, _ = select.select([process.tells for process in running], [], [])
        for process in running:
            if process.tells in told_by:
                with os.fdopen(process.tells) as pipe:
                    told = json.loads(pipe.read() or "{}")
                _, status, used = os.wait4(process.number, 0)
                seconds = used.ru_utime + used.ru_stime
                yield _End(process, os.waitstatus_to_exitcode(status), told, seconds)


def _foreign_modules() -> list[str]:
    """Name what is imported from where packages are installed: the tools that the tests use."""
    installed = sysconfig.get_path("purelib")
    return sorted(
        name
        for name, module in sys.modules.items()
        if (getattr(module, "__file__", None) or "").startswith(installed)
        and getattr(module, "__spec__", None) is not None
        and not name.startswith("segmentflow")
    )


class _Planting(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The import of one module, with a fault in it."""

    def __init__(self, module: Module, mutant: Mutant) -> None:
        self._module = module
        self._mutant = mutant

    def find_spec(
        self, name: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._module.name:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        if found is None:
            return importlib.util.spec_from_loader(name, self)
        found.loader = self
        return found

    def exec_module(self, module: ModuleType) -> None:
        path = module.__file__ or "<page>"
        exec(compile(planted(self._module.source, self._mutant), path, "exec"), module.__dict__)


class _Listener:
    """Pytest's plugin: leaves random tests out, runs likely ones first, hears which one fails."""

    def __init__(self, experience: Experience) -> None:
        self._experience = experience
        self._seen: set[str] = set()
        self.failed: str | None = None
        self.durations: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        kills, durations = self._experience.kills, self._experience.durations
        # What an earlier stage tried is not tried again.
        items[:] = [i for i in items if not _is_random(i) and i.nodeid not in self._seen]
        self._seen.update(item.nodeid for item in items)
        items.sort(key=lambda item: (-kills.get(item.nodeid, 0), durations.get(item.nodeid, 0)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = self.durations.get(report.nodeid, 0.0)
        self.durations[report.nodeid] = told + report.duration
        if report.failed:
            self.failed = self.failed or report.nodeid


def _is_random(item: pytest.Item) -> bool:
    tried = getattr(item, "obj", None)
    return hypothesis.is_hypothesis_test(tried) or item.name.startswith(RANDOM)
