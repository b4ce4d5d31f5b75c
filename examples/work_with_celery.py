"""Celery wakes, the store hands over: a task without arguments does whatever is available.

celery --app work_with_celery worker --beat         works
python work_with_celery.py alex@example.com         records an event, and wakes

A message says nothing but "look": one that is lost, late or delivered twice changes nothing.
"""

from __future__ import annotations

import os
import sys
from functools import cache

from celery import Celery

from segmentflow_core import Tracker
from segmentflow_sql import SqlStorage, open_storage
from segmentflow_worker import Assignment, Worker, wakes

STORE = os.environ.get("SHOP_STORE", "sqlite:///shop.db")
SECRET = os.environ.get("SHOP_SECRET", "only for this example: no secret at all")
JOURNEY = {"id": "welcome", "status": "active", "trigger": {"event": "signed.up"}}

LOOK = 10.0  # seconds between two looks that no message asked for

app = Celery("shop", broker=os.environ.get("SHOP_BROKER", "redis://localhost"))
# They find attempts that are due again, and what a lost message was sent for.
app.conf.beat_schedule = {"look": {"task": "shop.work", "schedule": LOOK}}


@cache
def storage() -> SqlStorage:
    """Open the store once in each process: Celery's forks must not share connections."""
    opened = open_storage(STORE)
    opened.create_all()  # or a migration of the host's own
    return opened


def welcome(assignment: Assignment) -> None:
    """Do the work of one Enrollment; the id lets a mail service tell that it did it before."""
    print(f"{assignment.idempotency_key} Welcome, {assignment.state['profile']['email']}!")


HANDLERS = {"welcome": welcome}


@app.task(name="shop.work", ignore_result=True)
def work() -> None:
    """Claim what is available, and finish it, until nothing is."""
    Worker(storage(), HANDLERS).drain()


class Messages:
    """Wakes by a message, which is worth nothing once another look is due anyway."""

    def wake(self) -> None:
        """Send one; a broker that is away must not hold up who tracks."""
        work.apply_async(retry=False, expires=LOOK)


def main(email: str) -> None:
    """Record that somebody signed up."""
    tracker = Tracker(storage(), fingerprint_key=SECRET, observers=[wakes(Messages())])
    tracker.journeys.publish([JOURNEY])
    receipt = tracker.track(
        {"event": "signed.up", "profile": {"email": email}}, idempotency_key=f"signed.up:{email}"
    )
    print("replayed" if receipt.replayed else "recorded")


if __name__ == "__main__":
    main(sys.argv[1])
