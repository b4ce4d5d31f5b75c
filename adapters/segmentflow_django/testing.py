"""For the tests of a project: what its code tracked, within the transaction that a test rolls back.

Knows Django's test cases by what they say of databases, and needs no pytest.

See docs/how-to/test-your-app.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import timedelta
from inspect import isawaitable
from typing import Any, Final

from asgiref.sync import async_to_sync

from segmentflow_core.errors import ConfigurationError
from segmentflow_core.ports import ClaimedEnrollment
from segmentflow_django.conf import database
from segmentflow_django.tracking import tracker
from segmentflow_pytest.recording import Recording
from segmentflow_worker import Assignment, GiveUp, Handler, TryAgain
from segmentflow_worker.assignment import in_words, is_counted, rest_after
from segmentflow_worker.bodies import check_bodies, check_result

__all__ = ["DjangoRecording", "RecordingMixin"]

_MAX_ATTEMPTS: Final = 10
_LATER: Final = timedelta(minutes=1)


class DjangoRecording(Recording):
    """What the tracker of the project recorded, read on Django's connection of this thread.

    So it sees what the transaction of a `TestCase` holds, which nobody else does.

    Args:
        using: the alias of the database; by default `DATABASE` of the setting.

    Raises:
        ConfigurationError: the setting is not right.
    """

    def __init__(self, using: str | None = None) -> None:
        super().__init__(tracker(using))

    def work(self, handlers: Mapping[str, Handler]) -> int:
        """Run handlers over what is available now; return how many Enrollments were completed.

        They run one after the other in the thread of the test, since others see nothing of its
        transaction. What a handler raises fails the test, but for `TryAgain` and `GiveUp`.

        Args:
            handlers: what to do, by Journey, as of `segmentflow_worker.Worker`.

        Raises:
            ConfigurationError: a handler is a generator function, of which no line would run.
        """
        check_bodies(handlers.values())
        completed, found = 0, True
        while found:
            found = False
            for journey_id, handler in handlers.items():
                for claimed in self.enrollments.claim(limit=1, journey_id=journey_id):
                    found = True
                    completed += self._handle(claimed, handler)
        return completed

    def _handle(self, claimed: ClaimedEnrollment, handler: Handler) -> bool:
        """Run a handler; say whether it completed the Enrollment."""
        last = claimed.enrollment.attempts >= _MAX_ATTEMPTS
        try:
            done = handler(Assignment(claimed, last))
            check_result(async_to_sync(_awaited)(done) if isawaitable(done) else done)
        except GiveUp as raised:
            self.enrollments.release(claimed.lease, error=in_words(raised), max_attempts=1)
        except TryAgain as raised:
            after, counted = rest_after(raised), is_counted(raised)
            self.enrollments.release(
                claimed.lease,
                delay=_LATER if after is None else after,
                failed=counted,
                error=in_words(raised) if counted else None,
                max_attempts=_MAX_ATTEMPTS,
            )
        else:
            self.enrollments.complete(claimed.lease)
            return True
        return False


async def _awaited(done: Awaitable[Any]) -> Any:
    return await done


class RecordingMixin:
    """Gives a test case of Django's `self.segmentflow`, which says what was recorded.

    For `django.test.TestCase`: what a test tracks is rolled back with everything else. A
    `TransactionTestCase` does not empty these tables. Its `databases` must name the one that has
    them.
    """

    @property
    def segmentflow(self) -> DjangoRecording:
        """What was recorded in the database of the setting.

        Raises:
            ConfigurationError: the test case does not roll that database back.
        """
        using = database()
        if using not in getattr(self, "databases", ()):
            raise ConfigurationError(
                f"The database {using} has the tables: name it in `databases` of the test case."
            )
        return DjangoRecording(using)
