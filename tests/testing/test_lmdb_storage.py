"""A storage in LMDB, written from the documentation's page alone, passes the contract."""

from __future__ import annotations

import os
from functools import partial

import pytest

from segmentflow_core import Tracker
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    Capabilities,
    StorageContract,
    a_request,
)
from segmentflow_core.testing.api_keys import ApiKeyContract

pytest.importorskip("lmdb", reason="LMDB: NOT TESTED, since lmdb cannot be imported")
pytest.importorskip("fcntl", reason="LMDB: NOT TESTED, since the storage locks files as Unix does")

from lmdb_storage import AsyncLmdbStorage, LmdbStorage

# From Python 3.12 on, a fork beside other threads, such as those of xdist, is warned of.
FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def at(path):
    return Tracker(LmdbStorage(path), fingerprint_key=FINGERPRINT_SECRET)


class OneEnvironment:
    """The fixtures of both colours: each storage is one more connection to one environment."""

    @pytest.fixture
    def storage(self, tmp_path):
        return self.opened(tmp_path / "store", wait=60)

    @pytest.fixture
    def other_storage(self, tmp_path):
        return self.opened(tmp_path / "store", wait=60)

    @pytest.fixture
    def impatient_storage(self, tmp_path):
        return self.opened(tmp_path / "store", wait=0.01)

    @pytest.fixture
    def open_elsewhere(self, tmp_path):
        return partial(self.opened, tmp_path / "store", wait=60)


@pytest.mark.deep
class TestLmdbStorage(OneEnvironment, ApiKeyContract, StorageContract):
    capabilities = Capabilities(
        finding=False,
        people=False,
        audit=False,
        retention=False,
        cancelling=False,
        pausing=False,
        history=False,
    )

    opened = LmdbStorage


@pytest.mark.deep
@pytest.mark.same_rules
class TestAsyncLmdbStorage(OneEnvironment, ApiKeyContract, StorageContract):
    capabilities = Capabilities(
        finding=False,
        people=False,
        audit=False,
        retention=False,
        cancelling=False,
        pausing=False,
        history=False,
    )

    opened = AsyncLmdbStorage


def forked(work):
    """Run work in a child, and return its process id; it exits with what the work returned."""
    child = os.fork()
    if not child:
        try:
            os._exit(work())
        finally:
            os._exit(9)
    return child


@FORKS
def test_a_forked_process_shares_the_data_and_disturbs_nobody(tmp_path):
    tracker = at(tmp_path / "store")
    tracker.track(a_request(), "parent")
    child = forked(lambda: int(tracker.track(a_request(), "child").replayed))
    assert os.waitpid(child, 0) == (child, 0)
    assert tracker.track(a_request(), "child").replayed
    assert tracker.track(a_request(), "parent").replayed


@FORKS
def test_a_process_forked_by_a_writer_keeps_nobody_waiting(tmp_path):
    storage = LmdbStorage(tmp_path / "store")
    stay, go = os.pipe()

    child = storage.run(lambda _: forked(lambda: len(os.read(stay, 1)) - 1))
    assert not at(tmp_path / "store").track(a_request(), "key").replayed
    os.write(go, b".")
    assert os.waitpid(child, 0) == (child, 0)


def test_a_place_that_cannot_be_opened_is_unavailable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable):
        at(tmp_path / "file" / "store").track(a_request(), "key")


def test_a_file_of_something_else_is_a_fault_of_the_setup(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data.mdb").write_bytes(bytes(range(256)) * 64)
    with pytest.raises(ConfigurationError):
        at(tmp_path / "store").track(a_request(), "key")


def test_a_full_map_is_unavailable_and_keeps_what_it_has(tmp_path):
    small = LmdbStorage(tmp_path / "store", map_size=1 << 17)
    tracker = Tracker(small, fingerprint_key=FINGERPRINT_SECRET)
    tracker.track(a_request(), "small")
    large = [(a_request(data={"text": "x" * 60_000}), key) for key in "abc"]
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            tracker.track_many(large)
    assert tracker.track(a_request(), "small").replayed
    assert len(tracker.records.events()) == 1
