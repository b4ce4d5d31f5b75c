"""What the erasure of a person answers, and the query that it takes.

Must never let a value of a query into a refusal, nor anything of what is erased into an answer.
"""

from __future__ import annotations

from typing import Any, Final

from segmentflow_core import AsyncPeople, AsyncRecords, People, Records
from segmentflow_core.colour import settle
from segmentflow_core.errors import InvalidRequest, Violation
from segmentflow_core.wire import erasure_document
from segmentflow_http.queries import read_query
from segmentflow_http.routes import ERASURE, id_in

__all__ = ["AT_MOST", "erase_profile"]

AT_MOST: Final = 2_000
"""About how many records one request scrubs: a person may have millions, a request may not."""

_FLAGS: Final = {"true": True, "false": False}


async def erase_profile(
    records: Records | AsyncRecords,
    people: People | AsyncPeople,
    path: str,
    query: str,
    *,
    organization_id: str,
    by: str | None,
) -> dict[str, Any]:
    """Erase a Profile as far as one request may, and say what was done.

    Raises:
        InvalidRequest: the query breaks a rule; every one is listed.
        NotFound: the Organization has no such Profile.
    """
    given = read_query(ERASURE, query)
    block = _FLAGS.get(given.get("block", "false"))
    if block is None:
        fault = Violation("/query/block", "must be true or false")
        raise InvalidRequest.from_violations([fault])
    identifier = id_in(ERASURE, path)
    # Whose it is, first: erasing would take an email or an external id as well.
    found: Any = records.profile(identifier, organization_id=organization_id)
    await settle(found)
    erased: Any = people.erase(
        identifier, block=block, by=by, at_most=AT_MOST, organization_id=organization_id
    )
    return erasure_document(await settle(erased))
