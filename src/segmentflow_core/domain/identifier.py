"""The form of an id: a UUID (RFC 9562) in its lowercase text form.

Knows what an id looks like, so that no store is asked for a text that cannot be an id.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_id"]

_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_id(value: object) -> bool:
    """Say whether `value` could be the id of an event, a Profile or an Enrollment.

    >>> is_id("019bf964-302b-7a7f-add2-589343ef9f32"), is_id("ord_9421")
    (True, False)
    """
    return isinstance(value, str) and _ID.fullmatch(value) is not None
