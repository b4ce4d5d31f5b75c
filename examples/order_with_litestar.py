"""A shop on Litestar: an order and its event in one commit, and events.track mounted beside it.

uvicorn order_with_litestar:app, after SHOP_STORE=sqlite+aiosqlite:///shop.db
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response, asgi, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery
from litestar.types import Receive, Scope, Send
from sqlalchemy import Column, Integer, MetaData, Table, insert
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from segmentflow_core import AsyncApiKeys, AsyncTracker, SegmentflowError
from segmentflow_http import AsgiApp, AsyncApiKeyAuthenticator, AsyncEndpoint
from segmentflow_sql import AsyncSqlStorage

SECRET = "only for this example: no secret at all"

shop = MetaData()
orders = Table("shop_order", shop, Column("number", Integer, primary_key=True))
engine = create_async_engine(os.environ.get("SHOP_STORE", "sqlite+aiosqlite:///shop.db"))
storage = AsyncSqlStorage(engine)
tracker = AsyncTracker(storage, fingerprint_key=SECRET)
endpoint = AsyncEndpoint(tracker, AsyncApiKeyAuthenticator(AsyncApiKeys(storage)))
app_for_others: Any = AsgiApp(endpoint)


async def open_connection() -> AsyncGenerator[AsyncConnection]:
    """Give a connection whose transaction is committed when the route has returned.

    Litestar ends a dependency before it answers: where the commit fails, so does the answer.
    """
    async with engine.begin() as connection:
        yield connection


@post("/orders/{number:int}")
async def place_order(
    number: FromPath[int], email: FromQuery[str], connection: NamedDependency[AsyncConnection]
) -> dict[str, bool]:
    """Write an order and track it: both or neither."""
    bound = AsyncTracker(AsyncSqlStorage.bound_to(connection), fingerprint_key=SECRET)
    receipt = await bound.track(
        {
            "event": "order.created",
            "profile": {"email": email},
            "data": {"orderId": number},
        },
        idempotency_key=f"order.created:{number}",
    )
    if not receipt.replayed:
        await connection.execute(insert(orders).values(number=number))
    return {"replayed": receipt.replayed}


@asgi("/tracking", is_mount=True, copy_scope=True)
async def events(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand on what is below the mount; Litestar ends its path with a slash that nobody sent."""
    below = {"path": scope["path"].rstrip("/"), "root_path": f"{scope['root_path']}/tracking"}
    await app_for_others({**scope, **below}, receive, send)


def refuse(_request: Request[Any, Any, Any], error: SegmentflowError) -> Response[dict[str, Any]]:
    """Answer a refusal in a route of the shop's own."""
    return Response(error.envelope(), status_code=error.status)


@asynccontextmanager
async def lifespan(_: Litestar) -> AsyncGenerator[None]:
    """Create the tables, and close the connections in the end."""
    await storage.create_all()
    async with engine.begin() as connection:
        await connection.run_sync(shop.create_all)
    yield
    await storage.close()


app = Litestar(
    route_handlers=[place_order, events],
    dependencies={"connection": Provide(open_connection)},
    exception_handlers={SegmentflowError: refuse},
    lifespan=[lifespan],
)
