"""An order row and its event in one commit, with plain psycopg: both or neither.

python order_with_psycopg.py postgresql://user@host/shop
"""

from __future__ import annotations

import sys

import psycopg
from psycopg.rows import scalar_row

from segmentflow_core import Receipt, Tracker
from segmentflow_sql import SqlStorage, open_storage

SECRET = "only for this example: no secret at all"
ORDERS = """
    CREATE TABLE IF NOT EXISTS shop_order (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        total integer NOT NULL
    )
"""


def place_order(connection: psycopg.Connection, total: int) -> Receipt:
    """Write an order and track it, in whatever transaction the connection is in."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        written = "INSERT INTO shop_order (total) VALUES (%s) RETURNING number"
        number = cursor.execute(written, [total]).fetchone()
    tracker = Tracker(SqlStorage.bound_to(connection), fingerprint_key=SECRET)
    request = {
        "event": "order.created",
        "profile": {"email": "alex@example.com"},
        "data": {"orderId": number, "total": total},
    }
    return tracker.track(request, idempotency_key=f"order.created:{number}")


def main(url: str) -> None:
    """Place an order, and one whose payment fails; count what is there."""
    storage = open_storage(url)
    storage.create_all()  # or a migration of the host's own
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ORDERS)
        with connection.transaction():
            place_order(connection, 49)
        with connection.transaction(force_rollback=True):  # as when its payment fails
            place_order(connection, 1_000_000)  # no order, no event, and the key is free
        orders = connection.execute("SELECT number FROM shop_order").fetchall()
    events = Tracker(storage, fingerprint_key=SECRET).records.events()
    print("orders:", len(orders), "events:", len(events))
    storage.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
