"""A worker that takes Enrollments off the store, writes the mail of each and prints it.

Run it twice: the second time, everything is recorded and sent already.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import create_engine

from segmentflow_core import ClaimedEnrollment, LeaseLost, ProfileInput, Tracker, TrackRequest
from segmentflow_sql import SqlStorage

Mail = dict[str, Any]

JOURNEY = {
    "id": "order-confirmation",
    "status": "active",
    "trigger": {"event": "order.created"},
}
LEASE = timedelta(minutes=1)


def write_mail(claimed: ClaimedEnrollment) -> Mail:
    """Write the mail of one Enrollment from its state document."""
    event, profile = claimed.state["event"], claimed.state["profile"]
    return {
        # Who sends the mail can tell by this id that it was sent before.
        "id": claimed.enrollment.enrollment_id,
        "to": profile["email"],
        "subject": f"Your order {event['orderId']}",
        "text": f"Thank you for your order of {event['total']}.",
    }


def work(tracker: Tracker, send: Callable[[Mail], None]) -> int:
    """Send the mail of every available Enrollment; return how many were completed."""
    completed = 0
    while claimed := tracker.claim_enrollments(limit=20, lease=LEASE, organization_id=None):
        for position, item in enumerate(claimed):
            try:
                send(write_mail(item))
                tracker.complete_enrollment(item.lease)
            except LeaseLost:
                continue  # Too late: another worker has it now.
            except Exception:  # noqa: BLE001 - whatever it was, the others shall get their mail
                # Each attempt waits twice as long as the one before; the last one is followed
                # by none, and `segmentflow enrollments list --status dead` shows it.
                delay = timedelta(seconds=2**item.enrollment.attempts)
                tracker.release_enrollments([item.lease], delay=delay)
            except KeyboardInterrupt:
                # Shutting down: what was not begun counts as never handed over.
                rest = [other.lease for other in claimed[position:]]
                tracker.release_enrollments(rest, failed=False)
                raise
            else:
                completed += 1
    return completed


def print_mail(mail: Mail) -> None:
    """Print a mail in place of sending it."""
    print(f"To: {mail['to']}\nSubject: {mail['subject']}\n\n{mail['text']}\n")


def main(url: str = "sqlite:///shop.db") -> None:
    """Let two customers enter the Journey and write to both."""
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key="only for this example: no secret at all")
    tracker.publish_journeys([JOURNEY])
    for name, total in (("alex", 49), ("robin", 12)):
        tracker.track(
            TrackRequest(
                event="order.created",
                profile=ProfileInput(email=f"{name}@example.com"),
                data={"orderId": f"ord_{name}", "total": total},
            ),
            idempotency_key=f"order.created:ord_{name}",
        )
    print(work(tracker, print_mail), "sent")
    storage.close()


if __name__ == "__main__":
    main()
