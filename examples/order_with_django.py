"""An order of Django's ORM and its event in one commit: both or neither.

python order_with_django.py [sqlite:///shop.db | postgresql://user@host/shop]
"""

from __future__ import annotations

from django.db import connection, transaction

from segmentflow_core import Receipt, Tracker
from segmentflow_sql import SqlStorage
from shop_in_django import SECRET, Order, create_tables, order_created


def place_order(total: int) -> Receipt:
    """Write an order and track it; `connection.connection` is the driver's own."""
    with transaction.atomic():
        number = Order.objects.create(total=total).pk
        tracker = Tracker(SqlStorage.bound_to(connection.connection), fingerprint_key=SECRET)
        event = order_created(number, total, "alex@example.com")
        return tracker.track(event, idempotency_key=f"order.created:{number}")


def main() -> None:
    """Place an order, and one whose payment fails; count what is there."""
    storage = create_tables(Order)
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
