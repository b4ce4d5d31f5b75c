"""The adapter that the documentation writes passes the contract, wholly."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from segmentflow_core.testing.capabilities import CAPABILITIES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "storage-adapter.md"
REDIS = ROOT / "examples" / "custom_adapter" / "src" / "segmentflow_redis"
LMDB = ROOT / "tests" / "lmdb_storage.py"

MOST_LINES = {"the page's storage": 157, "the Redis example": 1079, "LMDB, by the page": 251}
"""How many lines an author writes, blank ones left out; before the core decided, 263 and 1242."""


LACKING = (
    *("finding", "people", "audit", "retention", "cancelling", "pausing", "history"),
    "short_waits",
)
"""What the page's storage leaves out, and says so."""


def python_of(text):
    tokens = MarkdownIt("commonmark").parse(text)
    return [t.content for t in tokens if t.type == "fence" and t.info == "python"]


def test_an_adapter_is_not_much_to_write(capsys):
    """No promise is kept here; it shows what a change of the ports asks of every author."""
    page, _ = PAGE.read_text("utf-8").split("## Prove it")
    sources = {
        "the page's storage": python_of(page),
        "the Redis example": [
            file.read_text("utf-8") for file in REDIS.iterdir() if file.suffix in (".py", ".lua")
        ],
        "LMDB, by the page": [LMDB.read_text("utf-8")],
    }
    lines = {
        name: sum(bool(line.strip()) for text in texts for line in text.splitlines())
        for name, texts in sources.items()
    }
    with capsys.disabled():
        print("\n", lines)
    assert {name: count for name, count in lines.items() if count > MOST_LINES[name]} == {}


@pytest.mark.deep
def test_the_adapter_of_the_page_keeps_every_promise(pytester):
    blocks = python_of(PAGE.read_text("utf-8"))
    pytester.makepyfile(test_page="\n\n".join(blocks))
    result = pytester.runpytest_subprocess("-q", "-rs", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert set(outcomes) <= {"passed", "skipped"}
    assert outcomes["passed"] > 150
    reasons = {line.rpartition(": ")[2] for line in result.outlines if line.startswith("SKIPPED")}
    lacking = {CAPABILITIES[name].rpartition(": ")[2] for name in LACKING}
    assert reasons == {"only asynchronous calls are cancelled", "no line is given", *lacking}
