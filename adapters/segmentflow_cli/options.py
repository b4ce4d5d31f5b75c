"""The options that every command understands, and those that several share."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from secrets import token_bytes
from typing import Annotated, Final

from attrs import frozen
from cyclopts import Parameter

from segmentflow_cli.printing import Printer
from segmentflow_cli.stores import find_secret, opened
from segmentflow_core import ApiKeys, Tracker

__all__ = ["COMMON", "DEFAULT_STORE", "Before", "Common", "Limit"]

DEFAULT_STORE: Final = "sqlite:///segmentflow.db"


@Parameter(name="*")
@frozen
class Common:
    """What every command understands."""

    store: Annotated[str, Parameter(help="URL of the store.", env_var="SEGMENTFLOW_STORE")] = (
        DEFAULT_STORE
    )
    organization: Annotated[str, Parameter(help="Whose data it is.")] = "default"
    json: Annotated[bool, Parameter(help="Print one JSON document.", negative="")] = False

    @contextmanager
    def tracker(self) -> Generator[Tracker]:
        """Give a tracker on the store, with the store's own secret, and close it afterwards."""
        with opened(self.store) as storage:
            yield Tracker(storage, fingerprint_key=find_secret(self.store))

    @contextmanager
    def without_secret(self) -> Generator[Tracker]:
        """Give a tracker for what tracks nothing, and so needs not be told the store's secret.

        Its own is made up and forgotten: it must not track, for nobody could replay that.
        """
        with opened(self.store) as storage:
            yield Tracker(storage, fingerprint_key=token_bytes(32))

    @contextmanager
    def api_keys(self) -> Generator[ApiKeys]:
        """Give the API Keys of the store, and close it afterwards."""
        with opened(self.store) as storage:
            yield ApiKeys(storage)

    @property
    def printer(self) -> Printer:
        """Return what prints results in the form asked for."""
        return Printer(as_json=self.json)


COMMON: Final = Common()

Limit = Annotated[int, Parameter(help="How many at most.")]
Before = Annotated[str | None, Parameter(help="Only ids below this one: the next page.")]
