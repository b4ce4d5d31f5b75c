"""One line per measurement: what was measured, the figure, the target, whether it is met."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Line", "compared", "limited"]


@frozen
class Line:
    """One measurement, ready to print."""

    name: str
    figure: str
    detail: str
    target: str
    met: bool


def limited(name: str, seconds: float, limit: float) -> Line:
    """Report a time that has a limit."""
    figure = f"{seconds * 1e6:.2f} µs"
    return Line(name, figure, "", f"≤ {limit * 1e6:g} µs", seconds <= limit)


def compared(
    name: str,
    above: float,
    below: float,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Line:
    """Report the ratio of two times, `above` / `below`."""
    ratio = above / below
    detail = f"{above * 1e6:,.1f} / {below * 1e6:,.1f} µs"
    if at_least is not None:
        return Line(name, f"{ratio:.2f} ×", detail, f"≥ {at_least:g} ×", ratio >= at_least)
    assert at_most is not None
    return Line(name, f"{ratio:.2f} ×", detail, f"≤ {at_most:g} ×", ratio <= at_most)
