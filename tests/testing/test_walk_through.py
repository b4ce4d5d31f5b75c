"""The adapter that the documentation writes passes the contract, wholly."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_it import MarkdownIt

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "storage-adapter.md"


@pytest.mark.once
def test_the_adapter_of_the_page_keeps_every_promise(pytester):
    blocks = [
        token.content
        for token in MarkdownIt("commonmark").parse(PAGE.read_text("utf-8"))
        if token.type == "fence" and token.info == "python"
    ]
    pytester.makepyfile(test_page="\n\n".join(blocks))
    result = pytester.runpytest_subprocess("-q", "-rs", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert set(outcomes) <= {"passed", "skipped"}
    assert outcomes["passed"] > 150
    reasons = {line.rpartition(": ")[2] for line in result.outlines if line.startswith("SKIPPED")}
    assert reasons == {"only asynchronous calls are cancelled", "no line is given"}
