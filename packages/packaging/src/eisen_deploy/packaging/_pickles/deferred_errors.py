"""A file whose writer hears of no error.

torch's writer of zip files ends the whole process if some of its writes fail, and dill's errors do
not tell a full disk from an object that cannot be pickled.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def patient_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes all, and raise the first error when its writer is done.

    :raises OSError: if the file system refuses.
    """
    with path.open("xb") as file:
        patient = _Patient(file)
        try:
            yield patient  # type: ignore[misc] # what is used of IO[bytes] is there
        finally:
            if patient.error is not None:
                raise patient.error


class _Patient(io.RawIOBase):
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: ARG002
        """Do nothing: torch.export.save rewinds what it has written, and that is all."""
        return 0

    def write(self, data: Any) -> int:
        """Take all; lose it once something could not be written."""
        if self.error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes
