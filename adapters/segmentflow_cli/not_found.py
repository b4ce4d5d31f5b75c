"""What a command looked for and did not find, in words.

The library says the same of whatever is not there, since over HTTP nobody is to learn more. Whoever
types a command may read the store, and needs to know which of its words to mend.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from segmentflow_core.errors import NotFound

__all__ = ["API_KEY", "EMAIL", "ENROLLMENT", "EVENT", "JOURNEY", "JOURNEY_VERSION", "WHO", "sought"]

API_KEY: Final = "API Key has this id"
EMAIL: Final = "Profile has this email"
ENROLLMENT: Final = "Enrollment has this id"
EVENT: Final = "event has this id"
JOURNEY: Final = "Journey has this id"
JOURNEY_VERSION: Final = "Journey has this id and version"
WHO: Final = "Profile has this email, external id or id"


@contextmanager
def sought(what: str) -> Generator[None]:
    """Say of what is not found what was looked for, where nothing else has said it.

    Raises:
        NotFound: as it was raised, in these words.
    """
    try:
        yield
    except NotFound as error:
        if error.message != NotFound.default_message:
            raise
        refusal = NotFound(f"Not found: no {what}.", details=error.details)
    else:
        return
    raise refusal
