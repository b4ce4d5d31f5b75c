"""An observer that logs: what an operator wants to read, without a value of an event."""

from __future__ import annotations

import logging
from typing import Final

from segmentflow_worker.observing import (
    Claimed,
    Completed,
    Failed,
    GivenBack,
    LostLease,
    Measured,
    Started,
    Unavailable,
)

__all__ = ["LoggingObserver"]

_LOGGER: Final = logging.getLogger("segmentflow.worker")


class LoggingObserver:
    """Logs to `segmentflow.worker`: failures as warnings, the dead as errors, the rest below.

    Of a failure it logs the class alone. What it said is in the Enrollment's `last_failure`.
    """

    def claimed(self, details: Claimed) -> None:
        """Log a claim that was handed something."""
        if details.count:
            _LOGGER.debug("claimed %d of %d, lag %s", details.count, details.asked, details.lag)

    def started(self, details: Started) -> None:
        """Log that a handler begins."""
        _LOGGER.debug(
            "%s %s: attempt %d", details.journey_id, details.enrollment_id, details.attempt
        )

    def completed(self, details: Completed) -> None:
        """Log a completion."""
        _LOGGER.info(
            "%s %s: completed in %.3f s", details.journey_id, details.enrollment_id, details.seconds
        )

    def failed(self, details: Failed) -> None:
        """Log a failure."""
        _LOGGER.log(
            logging.ERROR if details.dead else logging.WARNING,
            "%s %s: attempt %d failed, %s; %s",
            details.journey_id,
            details.enrollment_id,
            details.attempt,
            type(details.error).__name__,
            "dead" if details.dead else f"again in {details.delay}",
        )

    def lease_lost(self, details: LostLease) -> None:
        """Log that a lease is lost."""
        _LOGGER.warning(
            "%s %s: %s, not completed", details.journey_id, details.enrollment_id, details.code
        )

    def given_back(self, details: GivenBack) -> None:
        """Log that a stop gave an Enrollment back."""
        _LOGGER.warning("%s %s: given back", details.journey_id, details.enrollment_id)

    def unavailable(self, details: Unavailable) -> None:
        """Log that the store could not be asked."""
        _LOGGER.warning("the store could not be asked: %s, %d", details.code, details.times)

    def measured(self, details: Measured) -> None:
        """Log how much waits."""
        for each in details.backlogs:
            if each.depth:
                depth = f"{each.depth} or more" if each.cut else each.depth
                _LOGGER.info("%s: %s waiting, lag %s", each.journey_id, depth, each.lag)
