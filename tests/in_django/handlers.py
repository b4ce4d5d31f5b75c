"""Handlers for `segmentflow_work`, as a project has them."""

from __future__ import annotations

from django.db import connections

from segmentflow_worker import GiveUp

DONE = []


def welcome(assignment):
    """Write a row by Django's own connection, which is this thread's."""
    alias = assignment.state["event"]["alias"]
    with connections[alias].cursor() as cursor:
        cursor.execute("INSERT INTO sent VALUES (%s)", [assignment.state["event"]["n"]])
    DONE.append(assignment.idempotency_key)


def failing(_):
    raise GiveUp("no")


def yields(_):
    yield


HANDLERS = {"welcome": welcome}
NO_HANDLERS = 5
