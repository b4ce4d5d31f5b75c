"""Handlers that write with Django's ORM: each effect once, by the Enrollment's id.

python work_with_django.py [sqlite:///shop.db | postgresql://user@host/shop]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps

import django
from django.conf import settings
from django.db import close_old_connections, connection, models, transaction
from sqlalchemy import make_url

from segmentflow_core import Tracker
from segmentflow_sql import SqlStorage, open_storage
from segmentflow_worker import Assignment, Worker, wakes

SECRET = "only for this example: no secret at all"
URL = make_url(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///shop.db")
SQLITE = URL.get_backend_name() == "sqlite"
JOURNEY = {"id": "thanks", "status": "active", "trigger": {"event": "order.created"}}

DATABASE = {
    "ENGINE": f"django.db.backends.{'sqlite3' if SQLITE else 'postgresql'}",
    "NAME": URL.database,
    "USER": URL.username,
    "PASSWORD": URL.password,
    "HOST": URL.host or URL.query.get("host"),
    "PORT": URL.port,
    "OPTIONS": {"transaction_mode": "IMMEDIATE"} if SQLITE else {},
}
settings.configure(DATABASES={"default": DATABASE})
django.setup()


class Order(models.Model):
    """One order of a customer."""

    total: models.IntegerField[int, int] = models.IntegerField()

    class Meta:
        app_label = "shop"


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
        request = {
            "event": "order.created",
            "profile": {"email": f"customer-{number}@example.com"},
            "data": {"orderId": number, "total": total},
        }
        tracker.track(request, idempotency_key=f"order.created:{number}")
        transaction.on_commit(bound.committed)


def main() -> None:
    """Place two orders, and let a worker thank each customer once."""
    storage = open_storage(URL.render_as_string(hide_password=False))
    storage.create_all()  # or a migration of the host's own
    for model in (Order, Thanks):
        if model._meta.db_table not in connection.introspection.table_names():
            with connection.schema_editor() as editor:
                editor.create_model(model)
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
