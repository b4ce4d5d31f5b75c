"""Mistakes that show when the store is out of reach or loses what it is asked or answers."""

from __future__ import annotations

from contextlib import suppress

from broken_storages.altered import Broken
from segmentflow_core.errors import StorageUnavailable
from segmentflow_memory import MemoryStorage


class DriverError(Exception):
    """What a driver raises."""


class Distant(MemoryStorage):
    """A store whose driver asks it over a line: sound as it stands.

    Every call of a port is an exchange, and so is the commit.
    """

    def __init__(self):
        super().__init__()
        self.line = self
        self.lost = 0
        self._count = 0
        self._losing = None
        self._loses_answer = self._is_cut = False

    @property
    def over_line(self):
        return OverLine(self)

    def lose(self, exchange, *, answer):
        self._count, self._losing, self._loses_answer = 0, exchange, answer

    def cut(self):
        self._is_cut = True

    def restore(self):
        self._is_cut, self._losing = False, None

    def exchange(self, call, *args):
        fails = self._count == self._losing
        self._count += 1
        self.lost += fails
        if self._is_cut or (fails and not self._loses_answer):
            raise DriverError
        answer = call(*args)
        if fails:
            raise DriverError
        return answer

    def distant_run(self, work):
        with suppress(DriverError):
            return self.asked(work)
        raise StorageUnavailable

    def asked(self, work):
        """Run work whose commit is an exchange of its own."""
        unheard = []

        def to_the_end(transaction):
            result = work(Asking(transaction, self))
            try:
                self.exchange(lambda: None)
            except DriverError:
                if self._is_cut or not self._loses_answer:
                    raise
                unheard.append(result)
            return result

        result = self.run(to_the_end)
        if unheard:
            raise DriverError
        return result


class OverLine:
    def __init__(self, storage):
        self._storage = storage

    def run(self, work, **how):
        return self._storage.distant_run(work)


class Asking:
    def __init__(self, inner, storage):
        self._inner = inner
        self._storage = storage

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return Asking(found, self._storage)
        return lambda *args: self._storage.exchange(found, *args)


class DriverErrorsComeThrough(Distant):
    caught_by = "test_a_store_out_of_reach_is_unavailable_and_serves_again_afterwards"

    def distant_run(self, work):
        return self.asked(work)


class DriverErrorsAreShown(Distant):
    caught_by = "test_a_call_that_lost_an_exchange_is_recorded_once"

    def distant_run(self, work):
        try:
            return self.asked(work)
        except DriverError as error:
            raise StorageUnavailable from error


class NeverServesAgain(Distant):
    caught_by = "test_a_store_out_of_reach_is_unavailable_and_serves_again_afterwards"
    broken = False

    def exchange(self, call, *args):
        self.broken = self.broken or self._is_cut
        if self.broken:
            raise DriverError
        return super().exchange(call, *args)


class AcknowledgedBeforeTheCommit(Distant):
    """Answers as if all were well where the commit was lost."""

    caught_by = "test_a_call_that_lost_an_exchange_is_recorded_once"

    def asked(self, work):
        answered = []

        def noting(transaction):
            answered[:] = [work(transaction)]
            return answered[0]

        try:
            return super().asked(noting)
        except DriverError:
            if not answered:
                raise
            return answered[0]


class TheWorkTakenForTheDriver(Broken):
    """Whatever fails amid a transaction is said to be the store."""

    caught_by = "test_what_the_work_raises_comes_through[ConnectionResetError]"

    def run(self, work, **how):
        with suppress(OSError):
            return super().run(work, **how)
        raise StorageUnavailable
