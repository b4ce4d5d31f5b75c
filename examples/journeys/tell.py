"""Tell the story of a recipe: track its events at their times, and hand over what is due meanwhile.

python tell.py abandoned-cart
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from segmentflow_cli import load_journeys
from segmentflow_core import Enrollment, EnrollmentStatus, Tracker
from segmentflow_memory import MemoryStorage

HERE = Path(__file__).parent
SECRET = "only for this example: no secret at all"


class Clock:
    """Stands where the story is."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the instant of the story."""
        return self._now

    def go(self, to: datetime) -> None:
        """Go on to a later instant."""
        self._now = max(self._now, to)


class Story:
    """One telling, on a store of its own in memory."""

    def __init__(self, journeys: object, start: datetime) -> None:
        self._clock = Clock(start)
        self.tracker = Tracker(MemoryStorage(), fingerprint_key=SECRET, clock=self._clock)
        self.tracker.journeys.publish(journeys)
        self.lines: list[str] = []

    def track(self, request: dict[str, Any]) -> None:
        """Let the time pass until an event occurs, and track it."""
        occurred_at = datetime.fromisoformat(request["occurredAt"])
        self.hand_over(occurred_at)
        self._clock.go(occurred_at)
        waited = self._waiting()
        who = request["profile"]["email"].partition("@")[0]
        receipt = self.tracker.track(request, idempotency_key=str(len(self.lines)))
        self._say(f"{who}: {request['event']}{_shown(request)}")
        for enrollment in waited:
            if self._now(enrollment).status is EnrollmentStatus.WITHDRAWN:
                entered = f"entered {_day(enrollment.entered_at)}"
                self._add(f"{enrollment.journey_id}: withdrawn, {entered}")
        for outcome in self.tracker.records.event(receipt.event_id).outcomes:
            reason = "" if outcome.reason is None else f", {outcome.reason}"
            self._add(f"{outcome.journey_id}: {outcome.outcome}{reason}")

    def hand_over(self, until: datetime | None = None) -> None:
        """Hand over what is due before an instant, each when it is; a worker completes it."""
        while due := [
            each for each in self._waiting() if until is None or each.waits_until < until
        ]:
            self._clock.go(min(each.waits_until for each in due))
            for claimed in self.tracker.enrollments.claim():
                who = claimed.event.profile["email"].partition("@")[0]
                entered = f"entered {_day(claimed.enrollment.entered_at)}"
                self._say(f"{who}: handed over, {claimed.enrollment.journey_id}, {entered}")
                self.tracker.enrollments.complete(claimed.lease)

    def _waiting(self) -> list[Enrollment]:
        found = self.tracker.enrollments.list(status=EnrollmentStatus.PENDING, limit=1000)
        return sorted(found, key=lambda each: (each.waits_until, each.enrollment_id))

    def _now(self, enrollment: Enrollment) -> Enrollment:
        return self.tracker.enrollments.get(enrollment.enrollment_id)

    def _say(self, line: str) -> None:
        self.lines.append(f"{_day(self._clock.now())}  {line}")

    def _add(self, line: str) -> None:
        self.lines.append(f"{' ' * 17}{line}")


def _day(moment: datetime) -> str:
    return f"{moment:%m-%d %H:%M}"


def _shown(request: dict[str, Any]) -> str:
    told = {**request["data"], **request["profile"].get("properties", {})}
    return "".join(f", {name} {value}" for name, value in told.items())


def telling(recipe: str) -> Story:
    """Tell a recipe's story to its end."""
    text = (HERE / f"{recipe}.ndjson").read_text(encoding="utf-8")
    requests = [json.loads(line) for line in text.splitlines()]
    start = datetime.fromisoformat(requests[0]["occurredAt"])
    story = Story(load_journeys(HERE / f"{recipe}.yaml"), start)
    for request in requests:
        story.track(request)
    story.hand_over()
    return story


def tell(recipe: str) -> list[str]:
    """Tell a recipe's story, line by line."""
    return telling(recipe).lines


if __name__ == "__main__":
    print(*tell(sys.argv[1]), sep="\n")
