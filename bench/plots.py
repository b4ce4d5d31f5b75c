"""``python -m bench.plots [RUN.json]``: draws a run, and writes its figures into "How fast".

Without a file it measures first, as ``python -m bench --json`` does. Writes one SVG for each plot
into ``docs/_static/how-fast/``, and the figures between the marks of
``docs/explanation/how-fast.md``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from bench.__main__ import document, measured
from bench.machine import Machine

__all__ = ["PAGE", "PLOTS", "with_figures", "write"]

_ROOT: Final = Path(__file__).parents[1]
PAGE: Final = _ROOT / "docs" / "explanation" / "how-fast.md"
_FOLDER: Final = _ROOT / "docs" / "_static" / "how-fast"
_BEGIN: Final = "% Written by python -m bench.plots: from here\n"
_END: Final = "% to here\n"


@frozen
class Plot:
    """One plot: what is drawn, and how its axes are named.

    Attributes:
        name: of the points that are drawn, and of the file.
        says: what a reader sees in it, in a sentence.
        across: what was varied.
        up: what was measured.
        times: what a measured number is multiplied with to be of that unit.
    """

    name: str
    says: str
    across: str
    up: str
    times: float = 1.0


PLOTS: Final = (
    Plot(
        "latency by load",
        "How long a call takes, by how many callers there are",
        "callers at the same time",
        "milliseconds",
        1e3,
    ),
    Plot(
        "rate by load",
        "How many events a second are recorded, by how many callers there are",
        "callers at the same time",
        "events a second",
    ),
    Plot(
        "cost by size",
        "How long one event takes, by how much there is of something else",
        "how many",
        "microseconds",
        1e6,
    ),
)


def main() -> None:
    """Draw a run that was kept, or a new one."""
    parser = argparse.ArgumentParser(prog="python -m bench.plots", description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, help="what `python -m bench --json` printed")
    parser.add_argument("--quick", action="store_true", help="measure quickly")
    options = parser.parse_args()
    if options.run is None:
        machine = Machine.here()
        lines = list(measured(quick=options.quick, full=False))
        run = document(machine, lines, f"python -m bench{' --quick' if options.quick else ''}")
    else:
        run = json.loads(options.run.read_text(encoding="utf-8"))
    for path in write(run, PAGE, _FOLDER):
        print(path.relative_to(_ROOT), file=sys.stderr)


def write(run: Mapping[str, Any], page: Path, folder: Path) -> list[Path]:
    """Write the plots of a run into a folder, and its figures into the page; return what is new."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [path for plot in PLOTS if (path := _draw(plot, run, folder)) is not None]
    page.write_text(with_figures(page.read_text(encoding="utf-8"), run, drawn), encoding="utf-8")
    return [*drawn, page]


def with_figures(text: str, run: Mapping[str, Any], drawn: Sequence[Path]) -> str:
    """Return the page's text with the figures of a run between its marks."""
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    says = {_file(plot): plot.says for plot in PLOTS}
    figures = [
        f"`{run['command']}`, {run['date']}: {run['title']}.\n",
        *(f"![{says[path.name]}](../_static/{path.parent.name}/{path.name})\n" for path in drawn),
        "| work | figure | compared | target | met |\n|---|---|---|---|---|",
    ]
    rows = "".join(_row(line) for line in run["lines"])
    return f"{before}{_BEGIN}\n" + "\n".join(figures) + f"\n{rows}\n{_END}{after}"


def _row(line: Mapping[str, Any]) -> str:
    met = {True: "yes", False: "**no**", None: ""}[line["met"]]
    cells = [line["name"].strip(), line["figure"], line["detail"], line["target"], met]
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def _file(plot: Plot) -> str:
    return f"{plot.name.replace(' ', '-')}.svg"


def _draw(plot: Plot, run: Mapping[str, Any], folder: Path) -> Path | None:
    """Draw one plot; return its file, or None where the run has nothing of it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    points = [point for line in run["lines"] for point in line["points"]]
    series: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        if point["plot"] == plot.name:
            series.setdefault(point["series"], []).append((point["x"], point["y"] * plot.times))
    if not series:
        return None
    # The same run gives the same file: no date, no ids by chance, letters as letters.
    with mpl.rc_context({"svg.hashsalt": plot.name, "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        axes = figure.subplots()
        for name, dots in series.items():
            across, up = zip(*sorted(dots), strict=True)
            axes.plot(across, up, marker="o", label=name)
        axes.set(xscale="log", yscale="log", xlabel=plot.across, ylabel=plot.up, title=plot.says)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
        path = folder / _file(plot)
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path


if __name__ == "__main__":
    main()
