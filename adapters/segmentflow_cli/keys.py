"""The commands about API Keys. A key's secret is printed when it is made, and never again."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import App, Parameter

from segmentflow_cli.confirming import Yes, confirm
from segmentflow_cli.flags import FLAG
from segmentflow_cli.ids import whole_key
from segmentflow_cli.options import COMMON, By, Common
from segmentflow_core.wire import api_key_document

__all__ = ["keys"]

keys: Final = App(name="keys", help="Make, list and revoke API Keys.")


@keys.command(name="create")
def create_key(
    *,
    scope: Annotated[
        list[str],
        Parameter(
            help="What its bearer may do: events:write, events:read, profiles:read or "
            "profiles:erase. Repeatable."
        ),
        FLAG,
    ],
    label: Annotated[str | None, Parameter(help="What people call it.")] = None,
    test: Annotated[bool, Parameter(help="Make an sk_test_ key."), FLAG] = False,
    by: By = None,
    common: Common = COMMON,
) -> None:
    """Make an API Key and print it, this once. Only a hash of it is stored."""
    with common.api_keys() as api_keys:
        created = api_keys.create(
            scope, label=label, test=test, by=by, organization_id=common.organization
        )
    common.printer.api_key(created.secret, api_key_document(created.api_key))


@keys.command(name="list")
def list_keys(*, common: Common = COMMON) -> None:
    """List API Keys, newest first, revoked ones too."""
    with common.api_keys() as api_keys:
        found = api_keys.list(organization_id=common.organization)
    common.printer.api_keys([api_key_document(api_key) for api_key in found])


@keys.command(name="revoke")
def revoke_key(
    key_id: Annotated[str, Parameter(name="ID", help="The key's id, whole or short.")],
    /,
    *,
    by: By = None,
    yes: Yes = False,
    common: Common = COMMON,
) -> None:
    """Refuse an API Key from now on. Doing it twice changes nothing."""
    with common.api_keys() as api_keys:
        key_id = whole_key(api_keys, key_id, common.organization)
        confirm(f"Revoke the API Key {key_id}?", yes=yes)
        revoked = api_keys.revoke(key_id, by=by, organization_id=common.organization)
    common.printer.api_key_revoked(api_key_document(revoked))
