"""The distribution keeps its shape: one version, typed packages, working entry points."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from segmentflow_core._version import __version__

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = sorted(
    Path(package).name
    for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
)
ENTRY_POINTS = sorted(
    point
    for point in importlib.metadata.distribution("segmentflow-core").entry_points
    if point.group in {"console_scripts", "pytest11", "segmentflow.storages"}
)

needs_source_tree = pytest.mark.skipif(
    not (ROOT / "src").is_dir(), reason="the source tree is out of sight"
)


def python_files() -> list[Path]:
    return [file for top in ("src", "adapters") for file in sorted((ROOT / top).rglob("*.py"))]


def test_the_distribution_has_the_version_of_the_version_module() -> None:
    assert importlib.metadata.version("segmentflow-core") == __version__


@needs_source_tree
def test_the_version_is_written_in_one_place() -> None:
    assignment = re.compile(r"^(__version__|VERSION|version)\s*(:.*)?=", re.MULTILINE)
    written_in = [file for file in python_files() if assignment.search(file.read_text("utf-8"))]
    assert written_in == [ROOT / "src/segmentflow_core/_version.py"]
    assert "version" not in PROJECT["project"]


@needs_source_tree
def test_the_changelog_has_a_section_for_what_is_unreleased() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines()


@needs_source_tree
def test_the_tools_that_judge_a_change_are_of_one_version_which_is_allowed() -> None:
    lines = (ROOT / ".ci" / "tools.txt").read_text("utf-8").splitlines()
    locked = {found.name.lower(): found for found in map(Requirement, filter(_is_a_pin, lines))}
    extras = PROJECT["project"]["optional-dependencies"]
    for line in (*extras["release"], *extras["docs"], *extras["dev"]):
        allowed = Requirement(line)
        if allowed.name in {"segmentflow-core", "nox"}:
            continue
        (pin,) = locked[allowed.name.lower()].specifier
        assert pin.operator == "=="
        assert allowed.specifier.contains(pin.version), allowed.name


def _is_a_pin(line: str) -> bool:
    return not line.startswith("#")


@needs_source_tree
def test_every_package_in_the_tree_is_in_the_wheel() -> None:
    in_tree = [
        init.parent.name
        for top in ("src", "adapters")
        for init in ROOT.glob(f"{top}/*/__init__.py")
    ]
    assert sorted(in_tree) == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package: str) -> None:
    (place,) = importlib.import_module(package).__path__
    assert (Path(place) / "py.typed").is_file()


@pytest.mark.parametrize("point", ENTRY_POINTS, ids=lambda point: point.name)
def test_every_entry_point_leads_to_something(point: EntryPoint) -> None:
    assert callable(point.load()) is (point.group != "pytest11")


def test_every_declared_entry_point_is_installed() -> None:
    declared = {**PROJECT["project"]["scripts"]}
    for group in PROJECT["project"]["entry-points"].values():
        declared |= group
    assert {point.name: point.value for point in ENTRY_POINTS} == declared


@needs_source_tree
def test_the_top_level_holds_what_the_design_says() -> None:
    for name in ("src", "adapters", "tests", "docs", "noxfile.py", "pyproject.toml", "LICENSE"):
        assert (ROOT / name).exists(), name


@needs_source_tree
def test_no_module_is_named_for_being_a_drawer() -> None:
    drawers = {
        "utils",
        "util",
        "helpers",
        "helper",
        "manager",
        "managers",
        "base",
        "common",
        "misc",
    }
    named_so = [file for file in python_files() if {file.stem, file.parent.name} & drawers]
    assert named_so == []


def test_the_base_install_needs_three_libraries_only() -> None:
    names = {re.match(r"[A-Za-z0-9._-]+", line)[0] for line in PROJECT["project"]["dependencies"]}  # type: ignore[index]
    assert names == {"attrs", "cattrs", "jsonpointer"}
