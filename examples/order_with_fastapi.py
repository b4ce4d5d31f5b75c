"""A shop on FastAPI: its orders and their events in one commit, and events.track as routes.

uvicorn order_with_fastapi:app, after SHOP_STORE=sqlite:///shop.db
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from segmentflow_core import ApiKeys, Receipt, Tracker
from segmentflow_http import ApiKeyAuthenticator, Endpoint
from segmentflow_http.fastapi import answer_errors, events_router
from segmentflow_sql import SqlStorage

SECRET = "only for this example: no secret at all"


class Shop(DeclarativeBase):
    """What the shop itself keeps."""


class Order(Shop):
    """One order of a customer."""

    __tablename__ = "shop_order"
    number: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int]


engine = create_engine(os.environ.get("SHOP_STORE", "sqlite:///shop.db"))
storage = SqlStorage(engine)
endpoint = Endpoint(Tracker(storage, fingerprint_key=SECRET), ApiKeyAuthenticator(ApiKeys(storage)))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """Create the tables, and close the connections in the end."""
    storage.create_all()
    Shop.metadata.create_all(engine)
    yield
    storage.close()


app = FastAPI(lifespan=lifespan)
app.include_router(events_router(endpoint), prefix="/tracking")
answer_errors(app, endpoint)


def open_session() -> Generator[Session]:
    """Give a session whose transaction is committed when the route has returned."""
    with Session(engine) as session, session.begin():
        yield session


# "function": the commit comes before the answer. Without it FastAPI answers first, and a
# commit that then fails takes an order along that its customer was told of.
InTransaction = Annotated[Session, Depends(open_session, scope="function")]


def bound_tracker(session: InTransaction) -> Tracker:
    """Give a tracker that writes in the transaction of the session."""
    return Tracker(SqlStorage.bound_to(session.connection()), fingerprint_key=SECRET)


BoundTracker = Annotated[Tracker, Depends(bound_tracker, scope="function")]


# A plain `def` runs in FastAPI's threads, where a synchronous tracker belongs.
@app.post("/orders", status_code=201)
def place_order(total: int, session: InTransaction, tracker: BoundTracker) -> dict[str, str]:
    """Write an order and track it: both or neither."""
    order = Order(total=total)
    session.add(order)
    session.flush()  # the number is the database's to give
    request = {
        "event": "order.created",
        "profile": {"email": "alex@example.com"},
        "data": {"orderId": order.number, "total": total},
    }
    receipt: Receipt = tracker.track(request, idempotency_key=f"order.created:{order.number}")
    return {"eventId": receipt.event_id}
