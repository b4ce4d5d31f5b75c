"""The shops on Starlette and Litestar: an order and its event are both there, or neither."""

from __future__ import annotations

import asyncio
import json
import runpy
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Column, ForeignKey, Integer, Table, create_engine, event, select

from segmentflow_core import ApiKeys, Tracker
from segmentflow_core.testing import DOCUMENTED_REQUEST
from segmentflow_sql import SqlStorage

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(params=["starlette", "litestar"])
def shop(request, tmp_path, monkeypatch):
    """Run an example over a file of its own; give its module and a function that asks it."""
    monkeypatch.setenv("SHOP_STORE", f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    module = runpy.run_path(str(EXAMPLES / f"order_with_{request.param}.py"))

    def ask(*requests):
        async def asked():
            app = module["app"]
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            context = (
                app.lifespan() if request.param == "litestar" else app.router.lifespan_context(app)
            )
            async with (
                context,
                httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
            ):
                return [await client.request(*message, **more) for *message, more in requests]

        return asyncio.run(asked())

    return module, ask, tmp_path / "shop.db"


def stored(path, module):
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        orders = list(connection.scalars(select(module["orders"].c.number)))
    recorded = Tracker(SqlStorage(engine), fingerprint_key=module["SECRET"]).records.events()
    engine.dispose()
    return orders, [each.data["orderId"] for each in recorded]


def test_an_order_is_placed_once_and_a_refusal_places_none(shop):
    module, ask, path = shop
    placed = "/orders/1?email=alex@example.com"
    answers = ask(
        ("POST", placed, {}),
        ("POST", placed, {}),
        ("POST", "/orders/1?email=robin@example.com", {}),
        ("POST", "/orders/2?email=nobody", {}),
    )
    assert [answer.status_code for answer in answers] == [201, 201, 409, 400]
    assert [answer.json().get("replayed") for answer in answers[:2]] == [False, True]
    assert answers[2].json()["details"]["changedPaths"] == ["/profile/email"]
    assert stored(path, module) == ([1], [1])


def test_a_commit_that_fails_is_no_answer_of_success(shop):
    """A foreign key that is checked at the commit: the route has returned by then."""
    module, ask, path = shop
    shelf = Table("shelf", module["shop"], Column("number", Integer, primary_key=True))
    deferred = ForeignKey(shelf.c.number, deferrable=True, initially="DEFERRED")
    module["orders"].append_column(Column("shelf", Integer, deferred, default=7))

    @event.listens_for(module["engine"].sync_engine, "connect")
    def check_foreign_keys(connection, _):
        connection.execute("PRAGMA foreign_keys = on")

    (answer,) = ask(("POST", "/orders/1?email=alex@example.com", {}))
    assert answer.status_code == 500
    assert stored(path, module) == ([], [])


def test_others_send_events_below_the_mount(shop):
    _, ask, path = shop
    ask(("POST", "/orders/1?email=alex@example.com", {}))
    storage = SqlStorage(create_engine(f"sqlite:///{path}"))
    headers = {
        "x-api-key": ApiKeys(storage).create(["events:write"]).secret,
        "idempotency-key": "order.created:ord_9421",
        "content-type": "application/json",
    }
    storage.close()
    body = {"headers": headers, "content": json.dumps(DOCUMENTED_REQUEST)}
    (answer,) = ask(("POST", "/tracking/api/v1/events", body))
    assert answer.status_code == 202
