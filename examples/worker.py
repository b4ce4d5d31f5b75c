"""A worker that takes Enrollments off the store, fills in the mail of each and prints it.

Run it twice: the second time, everything is recorded and sent already.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import create_engine

from segmentflow_core import ClaimedEnrollment, Enrollments, ProfileInput, Tracker, TrackRequest
from segmentflow_core.errors import LeaseLost
from segmentflow_core.templates import compile_template
from segmentflow_sql import SqlStorage

Mail = dict[str, Any]

JOURNEY = {
    "id": "order-confirmation",
    "status": "active",
    "trigger": {"event": "order.created"},
}
LEASE = timedelta(minutes=1)

# JSON, so it may as well be read from a file. Values keep their types; the
# sender writes them as text.
MAIL = compile_template(
    {
        "to": {"$state": "/profile/email"},
        "subject": ["Your order ", {"$state": "/event/orderId"}],
        "lines": [
            ["Dear ", {"$state": "/profile/properties/firstName"}, ","],
            ["thank you for your order of ", {"$state": "/event/total"}, "."],
        ],
    }
)


def write_mail(claimed: ClaimedEnrollment) -> Mail:
    """Fill in the mail of one Enrollment from its state document; refuse one with a gap."""
    # Who sends the mail can tell by this id that it was sent before.
    return {"id": claimed.enrollment.enrollment_id, **MAIL.render(claimed.state, "error")}


def work(enrollments: Enrollments, send: Callable[[Mail], None]) -> int:
    """Send the mail of every available Enrollment; return how many were completed."""
    completed = 0
    while claimed := enrollments.claim(limit=20, lease=LEASE, organization_id=None):
        for position, item in enumerate(claimed):
            try:
                send(write_mail(item))
                enrollments.complete(item.lease)
            except LeaseLost:
                continue  # Too late: another worker has it now.
            except Exception as failure:  # noqa: BLE001 - whatever it was, the others shall get their mail
                # Each attempt waits twice as long as the one before; the last one is followed
                # by none, and `segmentflow enrollments list --status dead` shows it.
                delay = timedelta(seconds=2**item.enrollment.attempts)
                enrollments.release_many([item.lease], delay=delay, error=repr(failure))
            except KeyboardInterrupt:
                # Shutting down: what was not begun counts as never handed over.
                rest = [other.lease for other in claimed[position:]]
                enrollments.release_many(rest, failed=False)
                raise
            else:
                completed += 1
    return completed


def print_mail(mail: Mail) -> None:
    """Print a mail in place of sending it."""
    print(f"To: {mail['to']}\nSubject: {as_text(mail['subject'])}\n")
    print(*map(as_text, mail["lines"]), sep="\n", end="\n\n")


def as_text(parts: list[Any]) -> str:
    """Write the parts of a line one after the other."""
    return "".join(map(str, parts))


def main(url: str = "sqlite:///shop.db") -> None:
    """Let two customers enter the Journey and write to both."""
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key="only for this example: no secret at all")
    tracker.journeys.publish([JOURNEY])
    for name, total in (("alex", 49), ("robin", 12)):
        tracker.track(
            TrackRequest(
                event="order.created",
                profile=ProfileInput(
                    email=f"{name}@example.com", properties={"firstName": name.title()}
                ),
                data={"orderId": f"ord_{name}", "total": total},
            ),
            idempotency_key=f"order.created:ord_{name}",
        )
    # A worker is given the store alone: handing over needs no fingerprint secret.
    print(work(Enrollments(storage), print_mail), "sent")
    storage.close()


if __name__ == "__main__":
    main()
