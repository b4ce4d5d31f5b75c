"""Handlers that write with Django's ORM: each effect once, by the Enrollment's id.

python work_with_django.py [sqlite:///shop.db | postgresql://user@host/shop]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.db import close_old_connections, connection, models, transaction

from segmentflow_core import Tracker
from segmentflow_sql import SqlStorage
from segmentflow_worker import Assignment, Worker, wakes
from shop_in_django import SECRET, Order, create_tables, order_created

JOURNEY = {"id": "thanks", "status": "active", "trigger": {"event": "order.created"}}


class Thanks(models.Model):
    """What was written to a customer; the key is the Enrollment's id."""

    enrollment_id: models.CharField[str, str] = models.CharField(max_length=36, primary_key=True)
    email: models.CharField[str, str] = models.CharField(max_length=255)

    class Meta:
        app_label = "shop"


def with_orm(handle: Callable[[Assignment], None]) -> Callable[[Assignment], None]:
    """Give a handler Django's connection of its own thread, as a request gets one."""

    @wraps(handle)
    def handled(assignment: Assignment) -> None:
        close_old_connections()
        try:
            handle(assignment)
        finally:
            close_old_connections()

    return handled


@with_orm
def thank(assignment: Assignment) -> None:
    """Write to the customer, unless an earlier attempt did."""
    Thanks.objects.get_or_create(
        enrollment_id=assignment.idempotency_key,
        defaults={"email": assignment.state["profile"]["email"]},
    )


def place_order(total: int, worker: Worker) -> None:
    """Write an order and track it in one transaction; wake the worker once that is committed."""
    with transaction.atomic():
        number = Order.objects.create(total=total).pk
        bound = SqlStorage.bound_to(connection.connection)
        tracker = Tracker(bound, fingerprint_key=SECRET, observers=[wakes(worker)])
        event = order_created(number, total, f"customer-{number}@example.com")
        tracker.track(event, idempotency_key=f"order.created:{number}")
        transaction.on_commit(bound.committed)


def main() -> None:
    """Place two orders, and let a worker thank each customer once."""
    storage = create_tables(Order, Thanks)
    Tracker(storage, fingerprint_key=SECRET).journeys.publish([JOURNEY])
    worker = Worker(storage, {"thanks": thank})
    for total in (49, 12):
        place_order(total, worker)
    # A process of its own runs `worker.run()`; here it works until nothing is available.
    completed = worker.drain()
    print("completed:", completed, "thanks:", Thanks.objects.count())
    connection.close()
    storage.close()


if __name__ == "__main__":
    main()
