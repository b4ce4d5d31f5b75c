"""Processes that share one file: at once, killed, and creating it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from segmentflow_core import Tracker
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    a_request,
)
from segmentflow_sql import open_storage

pytestmark = pytest.mark.once


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


_PAIRS = 200


_PROGRAM = textwrap.dedent(
    """
    import json, random, sys
    from sqlalchemy import create_engine
    from segmentflow_core import Tracker
    from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
    from segmentflow_sql import SqlStorage

    url, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    storage = SqlStorage(create_engine(url), wait=60)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in numbers:
        request = a_request(
            data={"number": number}, profile={"email": f"p{number % 20}@example.com"}
        )
        receipt = tracker.track(request, f"key {number}")
        print(json.dumps([number, receipt.event_id, receipt.profile_id]), flush=True)
    """
)


def start(path: Path, seed: int, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, f"sqlite:///{path}", str(seed), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def begin(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.close()
        process.stdin = None


def test_eight_processes_with_the_same_pairs_make_one_event_each(storage, path):
    processes = [start(path, seed, _PAIRS) for seed in range(8)]
    begin(processes)
    answers = [process.communicate(timeout=300)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    receipts = [{number: rest for number, *rest in map(json.loads, a)} for a in answers]
    assert all(receipt == receipts[0] for receipt in receipts)
    assert len(receipts[0]) == _PAIRS
    events = a_tracker(storage).records.events(limit=_PAIRS * 8)
    assert {e.event_id for e in events} == {event_id for event_id, _ in receipts[0].values()}
    assert len(events) == _PAIRS
    assert len({e.profile_id for e in events}) == 20


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_loses_nothing_it_acknowledged_and_leaves_no_key_stuck(storage, path):
    acknowledged = {}
    for attempt in range(5):
        process = start(path, seed=attempt, count=_PAIRS)
        begin([process])
        for _ in range(5 + 3 * attempt):
            number, event_id, _ = json.loads(process.stdout.readline())
            assert acknowledged.setdefault(number, event_id) == event_id
        os.kill(process.pid, signal.SIGKILL)
        for line in process.communicate()[0].splitlines():
            if line.endswith("]"):
                number, event_id, _ = json.loads(line)
                assert acknowledged.setdefault(number, event_id) == event_id
    survivor = start(path, seed=99, count=_PAIRS)
    begin([survivor])
    final = {n: e for n, e, _ in map(json.loads, survivor.communicate(timeout=300)[0].splitlines())}
    assert survivor.returncode == 0
    assert len(final) == _PAIRS
    assert acknowledged.items() <= final.items()
    stored = a_tracker(storage).records.events(limit=_PAIRS * 8)
    assert sorted(e.event_id for e in stored) == sorted(final.values())


_CREATE = textwrap.dedent(
    """
    import sys
    from segmentflow_sql import open_storage

    print("ready", flush=True)
    sys.stdin.readline()
    open_storage(sys.argv[1]).create_all()
    """
)


def test_many_processes_may_create_one_store_at_once(path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _CREATE, f"sqlite:///{path}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    begin(processes)
    for process in processes:
        process.communicate(timeout=600)
    assert [process.returncode for process in processes] == [0] * 8
    storage = open_storage(f"sqlite:///{path}")
    assert not a_tracker(storage).track(a_request(), "key").replayed
    storage.close()
