"""What the examples for Django share: settings, orders, and a store beside them in one database.

Imported by order_with_django.py and work_with_django.py, which take the URL of the database.
"""

from __future__ import annotations

import sys

import django
from django.conf import settings
from django.db import connection, models
from sqlalchemy import make_url

from segmentflow_sql import SqlStorage, open_storage

SECRET = "only for this example: no secret at all"
URL = make_url(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///shop.db")
SQLITE = URL.get_backend_name() == "sqlite"

DATABASE = {
    "ENGINE": f"django.db.backends.{'sqlite3' if SQLITE else 'postgresql'}",
    "NAME": URL.database,
    "USER": URL.username,
    "PASSWORD": URL.password,
    "HOST": URL.host or URL.query.get("host"),
    "PORT": URL.port,
    # On SQLite, of two transactions that both began by reading only one may write.
    "OPTIONS": {"transaction_mode": "IMMEDIATE"} if SQLITE else {},
}
settings.configure(DATABASES={"default": DATABASE})
django.setup()


class Order(models.Model):
    """One order of a customer."""

    total: models.IntegerField[int, int] = models.IntegerField()

    class Meta:
        app_label = "shop"


def order_created(number: int, total: int, email: str) -> dict[str, object]:
    """Say that an order was created."""
    return {
        "event": "order.created",
        "profile": {"email": email},
        "data": {"orderId": number, "total": total},
    }


def create_tables(*of: type[models.Model]) -> SqlStorage:
    """Create what is missing, as migrations would; return the store in the same database."""
    storage = open_storage(URL.render_as_string(hide_password=False))
    storage.create_all()
    for model in of:
        if model._meta.db_table not in connection.introspection.table_names():
            with connection.schema_editor() as editor:
                editor.create_model(model)
    return storage
