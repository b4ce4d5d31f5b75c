"""Workers told to stop over a database that does not answer."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from importlib.util import find_spec

import pytest

from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import open_storage
from segmentflow_worker.ending import ended_in_time
from servers import Postgres

HANDLERS = """
from threading import Event

def wait(assignment):
    print("begun", flush=True)
    Event().wait()
"""
MANAGE = """
import sys
import django
from django.conf import settings
from django.core.management import execute_from_command_line

where = {"HOST": sys.argv.pop(1), "NAME": sys.argv.pop(1), "USER": "postgres"}
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **where}},
    INSTALLED_APPS=["segmentflow_django"],
)
execute_from_command_line(sys.argv)
"""

_numbers = itertools.count()

suspends = pytest.mark.skipif(
    os.name == "nt", reason="a process cannot be suspended there: NOT TESTED"
)
of_django = pytest.mark.skipif(find_spec("django") is None, reason="Django is not installed")


@pytest.fixture(scope="module")
def postgres():
    server = Postgres(durable=False)
    yield server
    server.stop()


@pytest.fixture
def started(postgres, command, tmp_path):
    """Give the command line of a worker, for whose handler an Enrollment waits."""
    name = f"database{next(_numbers)}"
    with postgres.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}")
    storage = open_storage(postgres.url(name))
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey("welcome")])
    tracker.track(a_request(), "1")
    storage.close()
    (tmp_path / "mails.py").write_text(HANDLERS)
    (tmp_path / "manage.py").write_text(MANAGE)
    if command == "manage.py":
        return [command, postgres.host, name, "segmentflow_work", "mails.wait"]
    return ["-m", command, "work", "mails:wait", "--store", postgres.url(name)]


@suspends
@pytest.mark.server_side
@pytest.mark.parametrize("command", ["segmentflow_cli", pytest.param("manage.py", marks=of_django)])
@pytest.mark.parametrize(
    ("grace", "signals"),
    [("1s", [signal.SIGTERM]), ("9m", [signal.SIGTERM, signal.SIGINT])],
    ids=["after the grace", "after a second signal"],
)
def test_a_database_that_hangs_stops_no_stop(postgres, started, tmp_path, grace, signals):
    with subprocess.Popen(
        [sys.executable, *started, "--grace", grace],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "begun\n"
        with postgres.suspended():
            for each in signals:
                process.send_signal(each)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    (said,) = err.splitlines()
    assert "The store does not answer: the process ends." in said


def test_who_hears_of_signals_is_put_back_afterwards():
    before = signal.set_wakeup_fd(-1)
    try:
        with ended_in_time(timedelta()):
            assert signal.set_wakeup_fd(-1) != -1
        assert signal.set_wakeup_fd(-1) == -1
        assert "segmentflow-stop" not in [each.name for each in threading.enumerate()]
    finally:
        signal.set_wakeup_fd(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks there")
def test_a_process_that_a_handler_forks_tells_nobody_of_its_signals():
    code = """
import os, signal, threading
from datetime import timedelta
from segmentflow_worker.ending import ended_in_time

def fork():
    child = os.fork()
    if child == 0:
        os._exit(signal.set_wakeup_fd(-1) != -1)
    statuses.append(os.waitpid(child, 0)[1])

statuses = []
with ended_in_time(timedelta(0)):
    handler = threading.Thread(target=fork)
    handler.start()
    handler.join()
    still = signal.set_wakeup_fd(-1) != -1
assert (statuses, still) == ([0], True), (statuses, still)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
