from __future__ import annotations

from bench.sizes import measure
from sqlalchemy import create_engine

from segmentflow_core.testing import DOCUMENTED_REQUEST


def test_the_bytes_of_an_event_grow_with_its_data(tmp_path):
    """What the page on operating says of sizes is what a command in the repository prints."""

    def bytes_of_an_event(name, **more):
        engine = create_engine(f"sqlite:///{tmp_path / name}.db")
        sizes = measure(engine, 100, {**DOCUMENTED_REQUEST, **more})
        engine.dispose()
        return sizes.an_event

    small = bytes_of_an_event("small")
    large = bytes_of_an_event("large", data={"text": "x" * 2_000})
    assert 500 < small < 10_000
    assert large > small + 2_000
