"""The Journey cookbook: each recipe is applied, its story told, and the page prints the result."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from segmentflow_cli import main
from segmentflow_cli.journey_files import read_journey_file
from segmentflow_core.journeys import journey_definitions

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "journeys"
PAGE = (ROOT / "docs" / "how-to" / "cookbook.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```console\n\$ python tell\.py (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = dict(BLOCK.findall(PAGE))
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.fixture(scope="module")
def told():
    return runpy.run_path(str(FOLDER / "tell.py"))


def test_every_recipe_is_on_the_page_and_has_a_story():
    assert sorted(PRINTED) == RECIPES
    assert sorted(path.stem for path in FOLDER.glob("*.ndjson")) == RECIPES
    for recipe in RECIPES:
        assert f"```{{literalinclude}} ../../examples/journeys/{recipe}.yaml\n" in PAGE


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_applied_as_it_stands(recipe, tmp_path, capsys):
    store = ("--store", f"sqlite:///{tmp_path / 'store.db'}")
    assert main(["init", *store]) == 0
    file = str(FOLDER / f"{recipe}.yaml")
    assert main(["journeys", "apply", file, *store]) == 0
    capsys.readouterr()
    assert main(["journeys", "list", "--json", *store]) == 0
    applied = json.loads(capsys.readouterr().out)
    definitions = journey_definitions(read_journey_file(file))
    assert [(each["id"], each["status"]) for each in applied] == [
        (each.journey_id, "active") for each in sorted(definitions, key=lambda d: d.journey_id)
    ]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_page_prints_what_comes_of_a_story(recipe, told):
    assert PRINTED[recipe].splitlines() == told["tell"](recipe)


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_is_left_waiting_and_every_entry_is_told_of_once(recipe, told):
    story = told["telling"](recipe)
    lines = "\n".join(story.lines)
    entries = story.tracker.enrollments.list(limit=1000)
    assert {each.status for each in entries} <= {"completed", "withdrawn"}
    assert len(entries) == lines.count(": enrolled")
    assert sum(each.status == "completed" for each in entries) == lines.count(": handed over,")
    assert sum(each.status == "withdrawn" for each in entries) == lines.count(": withdrawn,")
