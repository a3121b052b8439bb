"""The files that pickles are written to, and what is measured before the first of them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from eisen_deploy.packaging._errors import NotSerializable

from .object_graph import Graph
from .pickler import PickledByValue, Pickler, PicklingFailed, make_pickler

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def write_pickle(obj: object, path: Path, part: str, graph: Graph) -> PickledByValue:
    """Pickle an object into a new file, and return what of it went by value.

    :param part: what the object is, as an error names it.
    :param graph: what the files of the archive share.
    :raises NotSerializable: if it cannot be pickled.
    :raises OSError: if the file system refuses.
    """
    by_value = PickledByValue()
    with open_with_deferred_errors(path) as file, name_failures(part):
        make_pickler(graph, path.name, by_value)(file).dump(obj)
    return by_value


def measure_tensors(parts: Mapping[str, object]) -> Graph:
    """Return the graph for parts of an archive, with what is used of the memory of tensors.

    Nothing is written.

    :param parts: by name, as an error names them.
    :raises NotSerializable: if one of them cannot be pickled.
    """
    graph = Graph()
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a name of the system, no path
        for part, obj in parts.items():
            with name_failures(part):
                _Measuring(graph, part, nowhere).dump(obj)
    return graph.start_writing()


@contextmanager
def name_failures(part: str) -> Iterator[None]:
    """Turn a failure to pickle into an error that names what could not be pickled."""
    try:
        yield
    except PicklingFailed as error:
        raise NotSerializable(part, str(error)) from error.__cause__


class _Measuring(Pickler):
    """Pickles only to see the tensors; arrays of numpy, which may be large, hold none."""

    def __init__(self, graph: Graph, part: str, nowhere: IO[bytes]) -> None:
        self.shared, self.file_name = graph, part
        super().__init__(nowhere)
        self.reduce_tensor = graph.storages.note

    def persistent_id(self, obj: object) -> str | None:
        """Return what stands for the memory of a tensor."""
        return self.graph.storages.note_storage(obj)

    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        """Pickle one object of the graph."""
        is_plain = (
            isinstance(obj, np.ndarray)
            and type(obj) in (np.ndarray, np.memmap)
            and not obj.dtype.hasobject
        )
        super().save(None if is_plain else obj, save_persistent_id)


@contextmanager
def open_with_deferred_errors(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes all, and raise the first error when its writer is done.

    torch's writer of zip files ends the whole process if some of its writes fail, and with dill a
    full disk looks like an object that cannot be pickled.

    :raises OSError: if the file system refuses.
    """
    with path.open("xb") as file:
        deferring = _DeferringFile(file)
        try:
            yield deferring  # type: ignore[misc] # what is used of IO[bytes] is there
        finally:
            if deferring.error is not None:
                raise deferring.error


class _DeferringFile(io.RawIOBase):
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

    def write(self, data: ReadableBuffer) -> int:
        """Take all; lose it once something could not be written."""
        if self.error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes
