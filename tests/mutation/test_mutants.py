"""What faults are put into code, and how the tests are judged by them."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys

import pytest

from mutation.__main__ import SURVIVORS, Count, explained, sample
from mutation.judge import Module
from mutation.mutants import mutants, planted


def faults(source):
    found = list(mutants(source))
    # Each is what its name says, and code.
    for mutant in found:
        compile(planted(source, mutant), "<fault>", "exec")
    return [mutant.name for mutant in found]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["a < b → a <= b"]),
        ("a is b", ["a is b → a is not b"]),
        ("a and b", ["a and b → a or b", "a and b → b", "a and b → a"]),
        ("not a", ["not a → a"]),
        ("a + 1", ["a + 1 → a - 1", "a + 1 → a + 2"]),
        ("x = True", ["x = True → x = False"]),
        ("x = 'a'", ["x = 'a' → x = 'a?'"]),
        ("[x for x in y if x]", ["for x in y if x → for x in y"]),
        ("a[:b]", [":b → :"]),
        ("{1: a, 2: b}", ["{1: a, 2: b} → {2: b}", "{1: a, 2: b} → {1: a}"]),
        ("f(a, b=c)", ["f(a, b=c) → pass", "f(a, b=c) → f(a)"]),
        ("max(a)", ["max(a) → pass", "max(a) → min(a)"]),
        ("x = deepcopy(a)", ["deepcopy(a) → a"]),
        ("if a: b()", ["a → not a", "b() → pass"]),
        ("a.b = c", ["a.b = c → pass"]),
        ("def f():\n    return a", ["f: return a → return None"]),
        ("class C:\n    def f(self):\n        raise E", ["C.f: raise E → pass"]),
        ("while a:\n    break", ["break → continue"]),
    ],
)
def test_each_kind_of_fault_is_named_by_its_place(source, expected):
    found = faults(source)
    assert [name for name in expected if name not in found] == []


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring says 1 < 2."""',
        "def f(x: int | None = None) -> list[str]: ...",
        "__all__ = ['a', 'b']",
        "T = TypeVar('T')",
        "Pair: TypeAlias = int | str",
        "@frozen(slots=True)\nclass C: ...",
        "x = 'a message to read'",
        "f'{x} of {y}'",
        "pairs = zip(a, b, strict=True)",
        "x = cast('int', y)",
        "remembered = lru_cache(maxsize=512)(f)",
    ],
)
def test_what_no_test_can_tell_is_left_alone(source):
    assert faults(source) == []


def test_no_answer_is_as_good_as_no():
    assert faults("def f():\n    return False") == ["f: return False → return True"]


def test_faults_that_read_alike_are_told_apart():
    assert faults("a < b\na < b") == ["a < b → a <= b", "a < b → a <= b #2"]


def test_the_source_is_left_as_it_is_but_for_the_fault():
    source = "def f(x):\n    return x if x < 1 else g(x, y=2)"
    for mutant in mutants(source):
        assert ast.unparse(planted(source, mutant)) != ast.unparse(ast.parse(source))


SOURCE = """
def grows(number):
    while number < 3:
        number += 1
    return number

def unused(number):
    return number > 2
"""
TESTS = "import planted_here\ndef test_it_grows():\n    assert planted_here.grows(1) == 3\n"


JUDGING = """
import json
from pathlib import Path
from mutation.judge import Judge, Module
from mutation.mutants import mutants

source = Path("planted_here.py").read_text("utf-8")
judge = Judge(Module("planted_here", source, (("-p", "no:xdist", "test_it.py"),)))
judge.accept()
found = {verdict.mutant.name: verdict.by for verdict in judge.judged(list(mutants(source)))}
Path("found.json").write_text(json.dumps(found), "utf-8")
"""


@pytest.mark.deep
def test_a_fault_is_found_by_name_or_by_its_time_and_what_is_not_tested_survives(tmp_path):
    (tmp_path / "planted_here.py").write_text(SOURCE, "utf-8")
    (tmp_path / "test_it.py").write_text(TESTS, "utf-8")
    # In a process of its own: a judge forks, and whoever runs this test may have threads.
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = os.environ | {"PYTHONPATH": path}
    judging = [sys.executable, "-c", JUDGING]
    subprocess.run(judging, cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL)
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert found["grows: return number → return None"] == "test_it.py::test_it_grows"
    assert found["grows: number += 1 → pass"] == "ended with -24"
    assert found["unused: number > 2 → number >= 2"] is None


def test_every_survivor_is_given_a_reason():
    lines = [line for line in SURVIVORS.read_text("utf-8").splitlines() if line.startswith("- ")]
    assert sum(map(len, explained().values())) == len(lines)


def test_a_seed_chooses_among_the_faults_and_says_how_many(capsys):
    module = Module("planted_here", SOURCE, ())
    (chosen,) = sample([module], 3).values()
    assert capsys.readouterr().out == "seed 1: 3 of 8 mutants\n"
    assert sample([module], 3) == {"planted_here": chosen}
    assert {mutant.name for mutant in chosen} < {mutant.name for mutant in mutants(SOURCE)}
    ((only,),) = sample([module], None, "return number > 2 → return None").values()
    assert only.name == "unused: return number > 2 → return None"


def test_a_module_is_counted_by_what_was_caught_and_what_is_explained():
    assert str(Count(7, 6) + Count(3, 1, 2)) == "7 of 10 caught, 2 explained"
    assert str(Count(1, 1)) == "1 of 1 caught"
