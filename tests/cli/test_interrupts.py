"""An interrupt waits for the batch in hand, and for nothing else."""

from __future__ import annotations

import signal
import threading

import pytest

from segmentflow_cli.interrupts import interrupted_afterwards


def interrupt():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def block(*steps):
    with interrupted_afterwards():
        for step in steps:
            step()


def fail():
    raise ValueError("of the block")


def test_it_comes_once_the_block_has_ended():
    done = []
    with pytest.raises(KeyboardInterrupt):
        block(interrupt, lambda: done.append("the rest of the block"))
    assert done


def test_the_second_one_does_not_wait():
    done = []
    with pytest.raises(KeyboardInterrupt):
        block(interrupt, interrupt, lambda: done.append("never"))
    assert not done


def test_an_error_of_the_block_is_told_and_not_the_interrupt():
    with pytest.raises(ValueError, match="of the block"):
        block(interrupt, fail)


def test_without_an_interrupt_nothing_comes():
    block()


def test_where_interrupts_are_ignored_they_stay_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    block(interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_in_another_thread_they_are_left_to_the_first_one():
    ended = []

    thread = threading.Thread(target=block, args=[lambda: ended.append(True)])
    thread.start()
    thread.join()
    assert ended
