"""An order of Django's ORM and its event in one commit: both or neither.

python order_with_django.py [sqlite:///shop.db | postgresql://user@host/shop]
"""

from __future__ import annotations

import sys

import django
from django.conf import settings
from django.db import connection, models, transaction
from sqlalchemy import make_url

from segmentflow_core import Receipt, Tracker
from segmentflow_sql import SqlStorage, open_storage

SECRET = "only for this example: no secret at all"
URL = make_url(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///shop.db")
SQLITE = URL.get_backend_name() == "sqlite"

DATABASE = {
    "ENGINE": f"django.db.backends.{'sqlite3' if SQLITE else 'postgresql'}",
    "NAME": URL.database,
    "USER": URL.username,
    "PASSWORD": URL.password,
    "HOST": URL.host or URL.query.get("host"),
    "PORT": URL.port,
    # On SQLite, of two transactions that both began by reading only one may write.
    "OPTIONS": {"transaction_mode": "IMMEDIATE"} if SQLITE else {},
}
settings.configure(DATABASES={"default": DATABASE})
django.setup()


class Order(models.Model):
    """One order of a customer."""

    total: models.IntegerField[int, int] = models.IntegerField()

    class Meta:
        app_label = "shop"


def place_order(total: int) -> Receipt:
    """Write an order and track it; `connection.connection` is the driver's own."""
    with transaction.atomic():
        number = Order.objects.create(total=total).pk
        tracker = Tracker(SqlStorage.bound_to(connection.connection), fingerprint_key=SECRET)
        request = {
            "event": "order.created",
            "profile": {"email": "alex@example.com"},
            "data": {"orderId": number, "total": total},
        }
        return tracker.track(request, idempotency_key=f"order.created:{number}")


def main() -> None:
    """Place an order, and one whose payment fails; count what is there."""
    storage = open_storage(URL.render_as_string(hide_password=False))
    storage.create_all()  # or a migration of the host's own
    if Order._meta.db_table not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(Order)
    place_order(49)
    with transaction.atomic():
        place_order(1_000_000)
        transaction.set_rollback(True)  # the payment failed: no order, no event, a free key
    events = Tracker(storage, fingerprint_key=SECRET).records.events()
    print("orders:", Order.objects.count(), "events:", len(events))
    connection.close()
    storage.close()


if __name__ == "__main__":
    main()
