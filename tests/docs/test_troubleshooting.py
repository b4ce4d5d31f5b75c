"""Every code that a caller can meet has its section, and no other code has one."""

from __future__ import annotations

import re
from pathlib import Path

from reference_pages import rows
from segmentflow_core.errors import ERROR_CLASSES, ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "troubleshooting.md"


def test_each_code_has_its_section_in_the_order_of_the_table():
    explained = re.findall(r"^## `(\w+)`$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert explained == [code for code, *_ in rows("rules/errors.md", "code")]
    assert set(explained) == {error.code for error in (*ERROR_CLASSES, ConfigurationError)}


def test_each_detail_it_names_is_one_that_the_errors_page_or_the_code_has():
    named = set(re.findall(r"`details\.(\w+)`", PAGE.read_text("utf-8")))
    sources = Path(__file__).parents[2]
    code = "".join(
        path.read_text("utf-8")
        for place in ("src", "adapters")
        for path in (sources / place).rglob("*.py")
    )
    assert named
    assert [name for name in named if f'"{name}"' not in code] == []
