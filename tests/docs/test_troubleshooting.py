"""Every code that a caller can meet has its section, and no other code has one."""

from __future__ import annotations

import re
from pathlib import Path

import segmentflow_cli
import segmentflow_core
import segmentflow_http
import segmentflow_sql
from reference_pages import rows
from segmentflow_core.errors import ERROR_CLASSES, ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "troubleshooting.md"


def test_each_code_has_its_section_in_the_order_of_the_table():
    explained = re.findall(r"^## `(\w+)`$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert explained == [code for code, *_ in rows("rules/errors.md", "code")]
    assert set(explained) == {error.code for error in (*ERROR_CLASSES, ConfigurationError)}


def test_each_detail_it_names_is_one_that_the_errors_page_or_the_code_has():
    named = set(re.findall(r"`details\.(\w+)`", PAGE.read_text("utf-8")))
    code = "".join(
        path.read_text("utf-8")
        for package in (segmentflow_core, segmentflow_cli, segmentflow_http, segmentflow_sql)
        for path in Path(package.__file__).parent.rglob("*.py")
    )
    assert named
    assert [name for name in named if f'"{name}"' not in code] == []
