"""The search for cyclic garbage in a process that serves."""

from __future__ import annotations

import gc
import weakref

import pytest

from segmentflow_cli.garbage import rarely_searched


class Node:
    def __init__(self):
        self.own = self


@pytest.fixture(autouse=True)
def as_it_was():
    before = gc.get_threshold()
    yield
    assert gc.get_threshold() == before


def test_what_lives_already_is_left_out_and_what_comes_later_is_found():
    older = weakref.ref(node := Node())
    with rarely_searched():
        assert gc.get_threshold()[0] > 700
        later = weakref.ref(Node())
        del node
        gc.collect()
        assert (older() is None, later()) == (False, None)
    gc.collect()
    assert older() is None


def test_what_is_garbage_already_goes_first():
    found = weakref.ref(Node())
    with rarely_searched():
        assert found() is None
