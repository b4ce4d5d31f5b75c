"""Logs for a pipe that nobody reads."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from segmentflow_cli.lines import LineHandler

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes differ there: NOT TESTED")

LONG = "x" * 4000


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as reader:
        yield reader, writing
        os.close(writing)


@pytest.fixture
def a_log(pipe):
    """Make a handler over the pipe; give what logs a line to it."""

    def a_log(**options):
        handler = LineHandler(pipe[1], **options)

        def log(text):
            handler.handle(logging.makeLogRecord({"msg": text}))

        log.handler = handler
        return log

    return a_log


def read(reader, count):
    return [reader.readline().rstrip("\n") for _ in range(count)]


def test_lines_come_whole_and_in_order(a_log, pipe):
    log = a_log()
    for number in range(500):
        log(f"{number} \u00fc\ud800")
    assert read(pipe[0], 500) == [f"{number} \u00fc\\ud800" for number in range(500)]


@pytest.mark.parametrize("as_json", [False, True])
def test_what_finds_no_room_is_dropped_and_counted_once_somebody_reads(a_log, pipe, as_json):
    log = a_log(most=10, as_json=as_json)
    for _ in range(200):  # a pipe takes 16 of them; nobody has read one yet
        log(LONG)
    lines = []
    while not lines or lines[-1] == LONG:
        lines += read(pipe[0], 1)
    log("after")
    told = lines.pop()
    count = json.loads(told)["dropped"] if as_json else int(told.partition(" ")[0])
    assert count + len(lines) == 200
    assert count > 100
    assert read(pipe[0], 1) == ["after"]


def test_a_reader_that_left_stops_nobody(a_log, pipe):
    log = a_log()
    pipe[0].close()
    for _ in range(100):
        log(LONG)
    assert log.handler.wait(60)


def test_a_pipe_that_does_not_wait_loses_nothing(a_log, pipe):
    os.set_blocking(pipe[1], False)
    log = a_log()
    for _ in range(100):
        log(LONG)
    assert read(pipe[0], 100) == [LONG] * 100


def test_the_last_lines_of_a_process_are_written_and_nobody_waits_for_ever():
    program = (
        "import logging, sys\n"
        "from segmentflow_cli.lines import LineHandler\n"
        "log = logging.getLogger('x'); log.addHandler(LineHandler(1))\n"
        "for number in range(int(sys.argv[1])): log.error('%d' % number + 'x' * 100)\n"
    )
    run = [sys.executable, "-c", program]
    read_to_its_end = subprocess.run([*run, "1000"], stdout=subprocess.PIPE, check=True)
    assert read_to_its_end.stdout.count(b"\n") == 1000
    with subprocess.Popen([*run, "5000"], stdout=subprocess.PIPE) as unread:
        assert unread.wait(60) == 0
