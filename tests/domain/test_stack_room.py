from __future__ import annotations

import sys
from functools import partial

import pytest
from bench.refused_bodies import BODIES, refuse

from segmentflow_core.domain.stack_room import with_room

resource = pytest.importorskip("resource")

SIZE = 32 * 1024
DEPTHS = range(150)
"""How many frames of Python to start below: up to more than one chunk of the stack holds."""

MANY_CALLS = {"NaN below 60 lists", "Journeys that are none", "places with another member"}


def below(frames, call):
    return below(frames - 1, call) if frames else call()


def pages_mapped(call):
    """Return how many pages the process had to map: each new chunk of the stack takes one."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    call()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def most_pages_mapped(call):
    call()
    return max(pages_mapped(partial(below, frames, call)) for frames in DEPTHS)


def many_calls():
    def nothing():
        pass

    for _ in range(4000):
        nothing()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="had no chunks")
def test_room_on_the_stack_is_needed_and_is_enough():
    assert most_pages_mapped(many_calls) >= 4000
    assert most_pages_mapped(lambda: with_room(many_calls)) < 1000


# Counted for the process as a whole: what measures coverage maps pages of its own.
@pytest.mark.once
@pytest.mark.parametrize("body", [body for body in BODIES if body.name in MANY_CALLS], ids=str)
def test_a_refusal_takes_no_longer_below_any_caller(body):
    text = body.make(SIZE)
    # What is listed is bounded: 1,000 violations and a few calls for each.
    assert most_pages_mapped(partial(refuse, body, text)) < 3500
