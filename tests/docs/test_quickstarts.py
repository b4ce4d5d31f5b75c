"""The quickstarts work as they are typed, and install what they use."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from typed_pages import FILE, blocks, type_page

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if any(FILE.fullmatch(block.info) for block in blocks(page.read_text("utf-8")))
]
PROGRAMS = {
    "django-admin": "Django",
    "flask": "Flask",
    "segmentflow": "segmentflow-core",
    "uvicorn": "uvicorn",
}


of_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_there_are_quickstarts():
    assert {page.stem for page in PAGES} == {"django", "fastapi", "flask", "worker"}


@pytest.mark.deep
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed: NOT TESTED")
@of_each_page
def test_a_quickstart_works_as_it_is_typed(page, tmp_path):
    type_page(page, tmp_path)


@of_each_page
def test_a_quickstart_installs_what_it_imports_and_calls(page):
    page = page.read_text("utf-8")
    (line,) = re.findall("^pip install (.*)$", page, re.MULTILINE)
    installed = set()
    for text in shlex.split(line):
        _install(text.replace("../segmentflow-core", "segmentflow-core"), installed)
    files = {
        FILE.fullmatch(block.info)[2]: block.content
        for block in blocks(page)
        if FILE.fullmatch(block.info)
    }
    its_own = {place.split("/")[0].removesuffix(".py") for place in files}
    imported = set(re.findall(r"^(?:from|import) (\w+)", "".join(files.values()), re.MULTILINE))
    distributions = metadata.packages_distributions()
    for module in imported - its_own - set(sys.stdlib_module_names):
        if not module.startswith("segmentflow_"):
            assert installed & {_normal(one) for one in distributions[module]}, module
    called = set(re.findall(r"^(?:\$ |KEY=\$\()?([\w-]+) ", page, re.MULTILINE)) & set(PROGRAMS)
    assert {_normal(PROGRAMS[program]) for program in called} <= installed
    # What a module of ours needs beside what it imports at once.
    if "segmentflow" in called:
        assert "cyclopts" in installed
    if "fastapi.testclient" in page:
        assert "httpx" in installed


def _install(text, installed, seen=None):
    """Note what pip would install for a requirement, by the metadata of what is installed here."""
    requirement, seen = Requirement(text), set() if seen is None else seen
    name = _normal(requirement.name)
    installed.add(name)
    for extra in {"", *requirement.extras}:
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for needed in metadata.requires(name) or []:
            marker = Requirement(needed).marker
            if marker is None or marker.evaluate({"extra": extra}):
                _install(needed, installed, seen)


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()
