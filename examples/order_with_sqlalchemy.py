"""An order row and its event in one commit, with SQLAlchemy: both or neither.

python order_with_sqlalchemy.py [sqlite:///shop.db | postgresql+psycopg://user@host/shop]
"""

from __future__ import annotations

import sys

from sqlalchemy import Connection, create_engine, func, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from segmentflow_core import Receipt, Tracker
from segmentflow_sql import SqlStorage

SECRET = "only for this example: no secret at all"


class Shop(DeclarativeBase):
    """What the shop itself keeps."""


class Order(Shop):
    """One order of a customer."""

    __tablename__ = "shop_order"
    number: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int]


def track_order(connection: Connection, number: int, total: int) -> Receipt:
    """Track an order in the transaction that its row is written in."""
    tracker = Tracker(SqlStorage.bound_to(connection), fingerprint_key=SECRET)
    request = {
        "event": "order.created",
        "profile": {"email": "alex@example.com"},
        "data": {"orderId": number, "total": total},
    }
    return tracker.track(request, idempotency_key=f"order.created:{number}")


def place_order_with_core(connection: Connection, total: int) -> Receipt:
    """Write an order with a statement, and track it."""
    written = insert(Order).values(total=total).returning(Order.number)
    return track_order(connection, connection.execute(written).scalar_one(), total)


def place_order_with_orm(session: Session, total: int) -> Receipt:
    """Write an order as an object, and track it."""
    order = Order(total=total)
    session.add(order)
    session.flush()  # the number is the database's to give
    return track_order(session.connection(), order.number, total)


def main(url: str = "sqlite:///shop.db") -> None:
    """Place two orders, and one whose payment fails; count what is there."""
    engine = create_engine(url)
    storage = SqlStorage(engine)
    storage.create_all()
    Shop.metadata.create_all(engine)
    with engine.begin() as connection:
        place_order_with_core(connection, 49)
    with Session(engine) as session, session.begin():
        place_order_with_orm(session, 12)
    with Session(engine) as session:
        place_order_with_orm(session, 1_000_000)
        session.rollback()  # the payment failed: no order, no event, and the key is free
    with engine.connect() as connection:
        orders = connection.execute(select(func.count()).select_from(Order)).scalar_one()
    events = Tracker(storage, fingerprint_key=SECRET).records.events()
    print("orders:", orders, "events:", len(events))
    storage.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
