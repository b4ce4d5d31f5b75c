"""A shop on Starlette: an order and its event in one commit, and events.track mounted beside it.

uvicorn order_with_starlette:app, after SHOP_STORE=sqlite+aiosqlite:///shop.db
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy import Column, Integer, MetaData, Table, insert
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

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


async def place_order(request: Request) -> JSONResponse:
    """Write an order and track it: both or neither. The block commits before the answer."""
    number = request.path_params["number"]
    async with engine.begin() as connection:
        bound = AsyncTracker(AsyncSqlStorage.bound_to(connection), fingerprint_key=SECRET)
        receipt = await bound.track(
            {
                "event": "order.created",
                "profile": {"email": request.query_params["email"]},
                "data": {"orderId": number},
            },
            idempotency_key=f"order.created:{number}",
        )
        if not receipt.replayed:
            await connection.execute(insert(orders).values(number=number))
    return JSONResponse({"replayed": receipt.replayed}, 201)


async def refuse(_request: Request, error: Exception) -> JSONResponse:
    """Answer a refusal in a route of the shop's own."""
    assert isinstance(error, SegmentflowError)
    return JSONResponse(error.envelope(), error.status)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None]:
    """Create the tables, and close the connections in the end."""
    await storage.create_all()
    async with engine.begin() as connection:
        await connection.run_sync(shop.create_all)
    yield
    await storage.close()


app = Starlette(
    routes=[
        Route("/orders/{number:int}", place_order, methods=["POST"]),
        Mount("/tracking", AsgiApp(endpoint)),
    ],
    exception_handlers={SegmentflowError: refuse},
    lifespan=lifespan,
)
