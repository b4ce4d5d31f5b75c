"""Enrollments worked on from Celery and from arq, with their own workers and brokers."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from redis_server import RedisServer
from segmentflow_core import Enrollments, EnrollmentStatus
from segmentflow_sql import open_storage

pytestmark = pytest.mark.once
EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 120.0

# What a host's own module sets: a broker of files. A message is worth something for an hour.
CELERY = """
import sys
import work_with_celery
from work_with_celery import app, main

work_with_celery.LOOK = 3600
app.conf.broker_url = "filesystem://"
app.conf.broker_transport_options = {
    "data_folder_in": "messages", "data_folder_out": "messages", "control_folder": "control"
}
app.conf.beat_schedule["look"]["schedule"] = 1.0

if __name__ == "__main__":
    main(sys.argv[1])
"""

ARQ = """
from arq import cron
from work_with_arq import WorkerSettings, work

WorkerSettings.cron_jobs = [cron(work, second=set(range(60)), keep_result=0)]
"""


def installed(package):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed: nothing was tested with it")


class Running:
    """A worker's process, and the lines it prints."""

    def __init__(self, command, **options):
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            **options,
        )
        self._lines = queue.SimpleQueue()
        self.printed = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, *texts):
        """Return once a line has been printed for each text, in whatever order."""
        left = list(texts)
        while left:
            line = self._lines.get(timeout=PATIENCE)
            assert line is not None, f"it ended:\n{''.join(self.printed)}"
            self.printed.append(line)
            found = next((text for text in left if text in line), None)
            if found is not None:
                left.remove(found)

    def kill(self):
        """End it, whatever it does; nothing where it has ended."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def stop(self):
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._reader.join()
        self._process.stdout.close()
        while (line := self._lines.get()) is not None:
            self.printed.append(line)
        return self._process.returncode


@pytest.fixture
def shop(tmp_path):
    """Give what a process of the shop is started with."""
    path = os.pathsep.join([str(EXAMPLES), *filter(None, sys.path)])
    environment = os.environ | {
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "SHOP_STORE": f"sqlite:///{tmp_path / 'shop.db'}",
    }
    (tmp_path / "messages").mkdir()
    (tmp_path / "shop_tasks.py").write_text(CELERY)
    return {"cwd": tmp_path, "env": environment}


def track(shop, program, email):
    """Record an event in a process of its own; return what that printed."""
    command = [sys.executable, program, email]
    return subprocess.run(command, **shop, capture_output=True, text=True, check=True).stdout


def statuses(shop):
    storage = open_storage(f"sqlite:///{shop['cwd'] / 'shop.db'}")
    try:
        return [each.status for each in Enrollments(storage).list()]
    finally:
        storage.close()


@pytest.fixture
def start(shop):
    """Start a worker's process; whatever becomes of the test, it ends with it."""
    started = []

    def start(*command, **options):
        started.append(Running(command, **shop | options))
        return started[-1]

    yield start
    for running in started:
        running.kill()


def celery(start, *more):
    quiet = ("--pool", "solo", "--loglevel", "info", "--without-gossip", "--without-mingle")
    return start("celery", "--app", "shop_tasks", "worker", *quiet, *more)


def test_a_celery_message_wakes_and_says_nothing(shop, start):
    installed("celery")
    assert track(shop, "shop_tasks.py", "alex@example.com") == "recorded\n"
    assert track(shop, "shop_tasks.py", "alex@example.com") == "replayed\n"
    # A replay enrols nobody, and sends nothing.
    (message,) = (shop["cwd"] / "messages").iterdir()
    assert b"alex" not in message.read_bytes()
    assert statuses(shop) == [EnrollmentStatus.PENDING]
    worker = celery(start)
    worker.wait_for("Welcome, alex@example.com!", "succeeded")
    track(shop, "shop_tasks.py", "robin@example.com")
    worker.wait_for("Welcome, robin@example.com!", "succeeded")
    assert worker.stop() == 0
    assert statuses(shop) == [EnrollmentStatus.COMPLETED] * 2
    assert "".join(worker.printed).count("Welcome, ") == 2


@pytest.mark.deep
def test_a_celery_message_that_is_lost_or_delivered_twice_changes_nothing(shop, start):
    installed("celery")
    track(shop, "shop_tasks.py", "alex@example.com")
    (lost,) = (shop["cwd"] / "messages").iterdir()
    lost.unlink()
    worker = celery(start, "--beat", "--schedule", "beat")
    worker.wait_for("Welcome, alex@example.com!", "succeeded")
    # Each further look is a message for an Enrollment that was worked on already.
    worker.wait_for("succeeded", "succeeded")
    worker.stop()
    assert statuses(shop) == [EnrollmentStatus.COMPLETED]
    assert "".join(worker.printed).count("Welcome, ") == 1


@pytest.fixture
def redis():
    server = RedisServer()
    yield server
    server.stop()


def test_an_arq_job_wakes_and_says_nothing_and_may_be_lost(shop, redis, start):
    installed("arq")
    environment = shop["env"] | {
        "SHOP_STORE": f"sqlite+aiosqlite:///{shop['cwd'] / 'shop.db'}",
        "SHOP_REDIS": f"unix://{redis.socket}",
    }
    shop = {**shop, "env": environment}
    (shop["cwd"] / "shop_jobs.py").write_text(ARQ)
    program = str(EXAMPLES / "work_with_arq.py")
    assert track(shop, program, "alex@example.com") == "recorded\n"
    assert track(shop, program, "alex@example.com") == "replayed\n"
    with redis.client() as client:
        # A replay enrols nobody, and sends nothing.
        (name,) = client.keys("arq:job:*")
        assert b"alex" not in client.get(name)
        worker = start("arq", "shop_jobs.WorkerSettings", env=environment)
        worker.wait_for("Welcome, alex@example.com!", " ← ")
        track(shop, program, "robin@example.com")
        worker.wait_for("Welcome, robin@example.com!", " ← ")
        worker.stop()
        track(shop, program, "sasha@example.com")
        client.flushall()
    finder = start("arq", "shop_jobs.WorkerSettings", env=environment)
    # Of the looks, whichever begins first finds it; those that follow find nothing.
    finder.wait_for("Welcome, sasha@example.com!", " ← ", " ← ")
    finder.stop()
    assert statuses(shop) == [EnrollmentStatus.COMPLETED] * 3
    assert "".join([*worker.printed, *finder.printed]).count("Welcome, ") == 3
