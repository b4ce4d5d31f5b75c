"""A process of its own: what is heard of it, and what only a second process can find."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import opened_elsewhere
from segmentflow_core import Lease
from segmentflow_core.testing import FixedClock
from segmentflow_core.testing.neighbour import Neighbour, Refusal
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
from segmentflow_sql import open_storage

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "storage-adapter.md"


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    storage = open_storage(url)
    storage.create_all()
    storage.close()
    return url


@pytest.fixture
def neighbour(url):
    neighbour = Neighbour(opened_elsewhere.synchronous(url), FixedClock())
    yield neighbour
    neighbour.close()


def test_a_call_is_made_there_and_gives_signs_of_life(neighbour):
    assert neighbour.call(opened_elsewhere.list_events) == []
    assert neighbour.signs == 4  # a transaction, its run, and a call's two ends


def test_a_refusal_comes_back_as_its_code(neighbour):
    refused = neighbour.call(opened_elsewhere.complete, Lease("default", "nothing", "no token"))
    assert refused == Refusal("not_found")


def test_what_fails_there_fails_here_with_its_traceback(neighbour):
    for function in (opened_elsewhere.fail, opened_elsewhere.give_what_cannot_be_pickled):
        with pytest.raises(AssertionError, match=function.__name__):
            neighbour.call(function)


def test_a_process_amid_a_call_is_killed_when_it_is_closed(url):
    neighbour = Neighbour(opened_elsewhere.synchronous(url), FixedClock())
    neighbour.start(opened_elsewhere.list_events, stop=1)
    assert neighbour.has_stopped()
    neighbour.close()
    with pytest.raises(AssertionError, match="has ended"):
        neighbour.answer()


def test_a_call_that_ends_early_never_stops(neighbour):
    neighbour.start(opened_elsewhere.list_events, stop=9)
    assert not neighbour.has_stopped()


def test_a_process_serves_one_neighbour_after_another(url):
    pids = []
    for _ in range(2):
        neighbour = Neighbour(opened_elsewhere.synchronous(url), FixedClock())
        pids.append(neighbour.call(opened_elsewhere.process_id))
        neighbour.close()
    assert pids[0] == pids[1] != os.getpid()


def test_a_store_without_an_end_is_served_in_its_colour():
    for opener in (MemoryStorage, AsyncMemoryStorage):
        neighbour = Neighbour(opener, FixedClock())
        neighbour.call(opened_elsewhere.process_id)
        neighbour.close()


# --- planted mistakes that only a second process can find -----------------------------------------

PLANTED = """
import threading


class LockOfOneProcess(FileStorage):
    lock = threading.Lock()

    @contextmanager
    def _locked(self, how):
        with self.lock:
            yield


class ReadOnce(FileStorage):
    content = None

    def run(self, work, *, reads_only=False):
        if self.content is not None:
            self._path.write_bytes(self.content)
        try:
            return super().run(work, reads_only=reads_only)
        finally:
            self.content = self._path.read_bytes() if self._path.exists() else None


class LockOutlivesItsHolder(FileStorage):

    @contextmanager
    def _locked(self, how):
        place = self._path.with_suffix(".held")
        deadline = time.monotonic() + 2
        while True:
            try:
                place.touch(exist_ok=False)
                break
            except FileExistsError:
                if time.monotonic() > deadline:
                    raise StorageUnavailable from None
        try:
            yield
        finally:
            place.unlink()


def tested(kind):
    @pytest.fixture
    def storage(self, tmp_path):
        return kind(tmp_path / "store", wait=60)

    @pytest.fixture
    def open_elsewhere(self, tmp_path):
        return partial(kind, tmp_path / "store", wait=60)

    members = {"storage": storage, "open_elsewhere": open_elsewhere}
    return type(f"Test{kind.__name__}", (StorageContract,), members)


PLANTED = LockOfOneProcess, ReadOnce, LockOutlivesItsHolder
for kind in PLANTED:
    globals()[f"Test{kind.__name__}"] = tested(kind)
"""
MEANT = {
    "LockOfOneProcess": "test_a_duplicate_from_another_process_gets_the_same_receipt",
    "ReadOnce": "test_another_process_sees_what_was_committed_and_replays_it",
    "LockOutlivesItsHolder": "test_a_process_that_is_killed_leaves_nothing_and_holds_nobody_up",
}


@pytest.mark.once
def test_what_is_wrong_between_processes_is_caught(pytester):
    blocks = [
        token.content
        for token in MarkdownIt("commonmark").parse(PAGE.read_text("utf-8"))
        if token.type == "fence" and token.info == "python"
    ]
    page = pytester.makepyfile(test_page="\n\n".join([*blocks, PLANTED]))
    nodes = [f"{page}::Test{kind}::{test}" for kind, test in MEANT.items()]
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", *nodes)
    for kind, test in MEANT.items():
        result.stdout.fnmatch_lines_random([f"FAILED *Test{kind}::{test}*"])
