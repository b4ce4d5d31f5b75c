"""A host with orders of its own: their table beside ours, and trackers on its connections."""

from __future__ import annotations

from sqlalchemy import Column, Integer, MetaData, Table, select

from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET
from segmentflow_sql import AsyncSqlStorage, SqlStorage

ORDERS = Table("orders", MetaData(), Column("number", Integer, primary_key=True))


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


def bound(connection):
    return a_tracker(SqlStorage.bound_to(connection))


def async_bound(connection):
    return AsyncTracker(AsyncSqlStorage.bound_to(connection), fingerprint_key=FINGERPRINT_SECRET)


def orders(engine):
    with engine.connect() as connection:
        return list(connection.scalars(select(ORDERS.c.number)))
