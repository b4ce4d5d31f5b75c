"""The page of figures: a run's own, between its marks, and drawn the same each time."""

from __future__ import annotations

import pytest
from bench.__main__ import document
from bench.machine import Machine
from bench.plots import PAGE, PLOTS, with_figures, write
from bench.report import Line, Point

MACHINE = Machine("CPython 3.14.2", "GCC 14, with PGO, with LTO", "3.50.0", 2, "a processor", 0.25)
LINES = [
    Line("  a batch | of 100", "7.10 ×", "7 / 1 µs", "≥ 7 ×", True),
    Line("serve, 64 connections", "900 /s", "", "≥ 2,000 /s", False),
    *(
        Line("drawn", "", "", "", None, (Point(plot.name, "a series", x, 1 / x),))
        for plot in PLOTS
        for x in (1, 10)
    ),
]


def a_run():
    return {**document(MACHINE, LINES, "python -m bench"), "date": "2026-05-31"}


def test_a_runs_figures_replace_those_of_the_one_before_and_nothing_else():
    text = PAGE.read_text(encoding="utf-8")
    once = with_figures(text, a_run(), [])
    before, after = text.split("## Figures")[0], text.rpartition("% to here\n")[2]
    assert once.startswith(before)
    assert once.endswith(f"% to here\n{after}")
    assert with_figures(once, a_run(), []) == once
    assert once[len(before) :].splitlines()[4:10] == [
        f"`python -m bench`, 2026-05-31: {MACHINE.title}.",
        "",
        "| work | figure | compared | target | met |",
        "|---|---|---|---|---|",
        r"| a batch \| of 100 | 7.10 × | 7 / 1 µs | ≥ 7 × | yes |",
        "| serve, 64 connections | 900 /s |  | ≥ 2,000 /s | **no** |",
    ]


def test_every_plot_is_drawn_and_is_the_same_each_time(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `bench` has it")
    page = tmp_path / "page.md"
    drawn = []
    for folder in ("first", "second"):
        page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
        *plots, _ = write(a_run(), page, tmp_path / folder)
        drawn.append([(path.name, path.read_bytes()) for path in plots])
        assert [f"](../_static/{folder}/{path.name})" in page.read_text("utf-8") for path in plots]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == len(PLOTS)


def test_the_title_of_a_run_says_how_its_interpreter_was_built_and_what_else_the_machine_did():
    assert MACHINE.title == (
        "CPython 3.14.2 (GCC 14, with PGO, with LTO), SQLite 3.50.0, 2 × a processor, "
        "load 0.25 before"
    )
    here = Machine.here()
    assert "PGO" in here.build
    assert here.interpreter in here.title
    assert here.cores >= 1
