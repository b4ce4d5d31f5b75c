"""Every example in README.md and docs/ runs as it stands on its page.

An example is a fenced ``python`` block. The blocks of one page run in order, in one
namespace, in an empty directory. A block that cannot run says why in its info string::

    ```python no-run: needs a PostgreSQL server

A block that is a file to write, ``python file: shop.py``, is run by test_quickstarts.py with all of
its page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from attrs import frozen
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts),
]
INFO = re.compile(r"python(?:\s+(?:no-run:\s*|(?=(?:file|append): ))(?P<reason>\S.*))?")
OTHER_SPELLINGS = {"py", "python3", "pycon", "python-console", "ipython"}


@frozen
class Example:
    source: str
    line: int
    not_run_because: str | None


def examples(markdown: str) -> Iterator[Example]:
    """Yield the examples of a page, refusing a block that could pass for one and never run."""
    for token in MarkdownIt("commonmark").parse(markdown):
        language, *_ = token.info.split(maxsplit=1) or [""]
        if token.type != "fence" or language not in {"python", *OTHER_SPELLINGS}:
            continue
        assert token.map is not None
        line = token.map[0] + 1
        info = INFO.fullmatch(token.info.strip())
        if info is None:
            raise ValueError(f"line {line}: write ```python, or ```python no-run: the reason")
        yield Example(token.content, line, info["reason"])


def run(page: Path, found: list[Example], monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    module = ModuleType("example")
    # Classes that an example defines look up their annotations by their module's name.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for example in found:
        if example.not_run_because is None:
            # Leading newlines give tracebacks the page's own line numbers.
            source = "\n" * example.line + example.source
            exec(compile(source, str(page), "exec", dont_inherit=True), vars(module))
    return vars(module)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_examples_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(page, list(examples(page.read_text("utf-8"))), monkeypatch)


def test_the_blocks_of_a_page_share_one_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    page = "```python\na = 1\n```\n\ntext\n\n- item\n\n  ```python\n  b = a + 1\n  ```\n"
    assert run(Path("page.md"), list(examples(page)), monkeypatch)["b"] == 2


def test_a_failing_example_is_reported_with_the_line_on_its_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = "# Title\n\n```python\na = 1\nassert a == 2\n```\n"
    with pytest.raises(AssertionError) as caught:
        run(Path("page.md"), list(examples(page)), monkeypatch)
    assert caught.traceback[-1].lineno + 1 == 5


def test_a_block_is_opted_out_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = examples("```python no-run: needs a server\n1 / 0\n```\n")
    assert example.not_run_because == "needs a server"
    run(Path("page.md"), [example], monkeypatch)


@pytest.mark.parametrize(
    "info",
    [
        "python no-run",
        "python no-run:",
        "python no-run:  ",
        "python skip",
        "py",
        "python3",
        "pycon",
    ],
)
def test_a_block_that_would_silently_not_run_is_refused(info: str) -> None:
    with pytest.raises(ValueError, match="line 1: write ```python"):
        list(examples(f"```{info}\n1 / 0\n```\n"))


@pytest.mark.parametrize("info", ["", "console", "sh", "json", "yaml", "{code-block} text"])
def test_blocks_of_other_languages_are_no_examples(info: str) -> None:
    assert list(examples(f"```{info}\nx\n```\n")) == []
