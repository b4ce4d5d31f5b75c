"""What a storage may lack: its transactions then have no such repository."""

from __future__ import annotations

from typing import Any

from segmentflow_core.errors import ConfigurationError
from segmentflow_core.ports import Transaction

__all__ = ["capability"]


def capability(transaction: Transaction, name: str, lacking: str) -> Any:
    """Return a repository that not every transaction has.

    Args:
        transaction: which may have it.
        name: of the repository.
        lacking: says, for people, what a storage without it cannot do.

    Raises:
        ConfigurationError: the storage lacks it.
    """
    repository = getattr(transaction, name, None)
    if repository is None:
        raise ConfigurationError(lacking)
    return repository
