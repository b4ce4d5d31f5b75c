"""How another process opens a SQL store: pickled by name, so in a module that it can import."""

from __future__ import annotations

import os
from functools import partial

from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_sql import AsyncSqlStorage, SqlStorage


def synchronous(url, **options):
    return partial(_open, url, options)


def asynchronous(url, **options):
    return partial(_open_async, url, options)


def _open(url, options):
    return SqlStorage(create_engine(url, **options), wait=30)


def _open_async(url, options):
    return AsyncSqlStorage(create_async_engine(url, **options), wait=30)


# --- calls to make there --------------------------------------------------------------------------


async def list_events(tracker):
    return tracker.records.events()


async def complete(tracker, lease):
    return tracker.enrollments.complete(lease)


async def process_id(tracker):
    return os.getpid()


async def fail(tracker):
    raise ZeroDivisionError


async def give_what_cannot_be_pickled(tracker):
    return lambda: None
