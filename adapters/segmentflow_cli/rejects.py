"""The file that refused lines of an import go to, as they were.

They hold what they hold, secrets too, which nothing redacts: so only the file's owner may read it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from attrs import define

from segmentflow_cli.importing import Line

__all__ = ["Rejects", "opened_rejects"]

_OWNER_ONLY = 0o600


@define
class Rejects:
    """Takes refused lines, in the order of the file they come from.

    Attributes:
        path: the file's path.
        count: how many lines it took.
    """

    path: Path
    _file: BinaryIO
    count: int = 0
    _unended: bool = False

    def take(self, line: Line) -> None:
        """Write a line; of one that is too long, what was kept: `take_rest` has the rest."""
        self.end()
        self._write(line.raw)
        self.count += 1

    def take_rest(self, piece: bytes) -> None:
        """Write on with the line that was taken last."""
        self._write(piece)

    def flush(self) -> None:
        """Hand everything to the system."""
        try:
            self._file.flush()
        except OSError as error:
            raise _named(error, self.path) from None

    def end(self) -> None:
        """End the line that was taken last."""
        if self._unended:
            self._write(b"\n")

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise _named(error, self.path) from None
        self._unended = not data.endswith(b"\n")


@contextmanager
def opened_rejects(path: Path | None, source: BinaryIO) -> Generator[Rejects | None]:
    """Open the file anew, for its owner only; None where there is no path.

    Args:
        path: where it is; what it held is gone.
        source: the file that is imported, which it must not be.

    Raises:
        OSError: it cannot be written, or is the file that is imported.
    """
    if path is None:
        yield None
        return
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, _OWNER_ONLY)
    with os.fdopen(handle, "wb") as file:
        known = os.fstat(handle)
        if os.path.samestat(known, os.fstat(source.fileno())):
            raise OSError(errno.EINVAL, "is the file that is imported", str(path))
        if stat.S_ISREG(known.st_mode):
            # Before anything is written: the file may have been there, and open to others.
            os.chmod(  # noqa: PTH101 - of this very file, wherever its path leads by now
                handle if os.chmod in os.supports_fd else path, _OWNER_ONLY
            )
            os.ftruncate(handle, 0)
        rejects = Rejects(path, file)
        try:
            yield rejects
        finally:
            rejects.end()
            rejects.flush()


def _named(error: OSError, path: Path) -> OSError:
    return OSError(error.errno, error.strerror, str(path))
