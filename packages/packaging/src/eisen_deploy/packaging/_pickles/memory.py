"""The memory of tensors and arrays: the elements that are used travel, no others.

A tensor may be a small view of a large storage, such as one row of a training set. torch writes
storages whole, and with the row all of the set. Here a storage of which not every element is used
is cut to what is used. Objects that share elements share them afterwards as well: tied weights
stay tied.

What is used is known only once all has been pickled, so that happens twice: the first time nothing
is written, and :meth:`Storages.note` sees each tensor; then :meth:`Storages.reduce` gives each
with its new storage.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.storage import TypedStorage, UntypedStorage

from . import Reduced

if TYPE_CHECKING:
    from .pickler import Pickler

Storage = TypedStorage | UntypedStorage
Change = Callable[[Storage, "View"], tuple[object, ...]]

_BY_SIZE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.complex128}
_ALIGNMENT = 16  # bytes, those of the largest element


class View(NamedTuple):
    """Where the elements of a tensor lie in a storage; all but ``itemsize`` counts elements."""

    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    itemsize: int

    @property
    def end(self) -> int:
        """The element after the last."""
        if 0 in self.size:
            return self.offset
        steps = zip(self.size, self.stride, strict=True)
        return self.offset + sum((count - 1) * step for count, step in steps) + 1

    @property
    def distinct(self) -> tuple[int, ...]:
        """The size without repeated elements, as ``expand`` makes them."""
        steps = zip(self.size, self.stride, strict=True)
        return tuple(min(count, 1) if step == 0 else count for count, step in steps)

    def read(self, storage: UntypedStorage) -> torch.Tensor:
        """Return the elements in a storage, once each, as numbers of their size."""
        empty = torch.empty(0, dtype=_BY_SIZE[self.itemsize], device=storage.device)
        return empty.set_(storage, self.offset, self.distinct, self.stride)


class Place(NamedTuple):
    """Where the elements of a tensor are after the cut."""

    storage: UntypedStorage
    offset: int
    stride: tuple[int, ...]


class Storages:
    """The storages behind the tensors of an archive, and what is used of each."""

    def __init__(self) -> None:
        # They are kept: an address that becomes free may be another one's the next moment.
        self._kept: dict[int, UntypedStorage] = {}
        self._views: dict[int, set[View]] = {}
        self._whole: set[int] = set()
        self._cuts: dict[int, dict[View, Place]] = {}

    def note(self, tensor: torch.Tensor) -> Reduced:
        """See a tensor, and return what is pickled of it but for its storage."""

        def see(storage: Storage, view: View) -> tuple[object, ...]:
            self._views.setdefault(self._keep(storage), set()).add(view)
            return (None, view.offset, view.size, view.stride)

        return _replace_storage(_reduce(tensor), tensor.element_size(), see)

    def note_storage(self, obj: object) -> str | None:
        """See an object, as ``persistent_id`` of a pickler; a storage by itself travels whole."""
        if not isinstance(obj, (TypedStorage, UntypedStorage)):
            return None
        self._whole.add(self._keep(obj))
        return "storage"

    def reduce(self, tensor: torch.Tensor) -> Reduced:
        """Return what is pickled of a tensor, with a storage of what is used."""

        def cut(storage: Storage, view: View) -> tuple[object, ...]:
            place = self._find_place(_get_untyped(storage), view)
            return (_wrap_like(storage, place.storage), place.offset, view.size, place.stride)

        return _replace_storage(_reduce(tensor), tensor.element_size(), cut)

    def _keep(self, storage: Storage) -> int:
        untyped = _get_untyped(storage)
        key: int = untyped._cdata  # noqa: SLF001 - as torch.save tells storages apart
        self._kept[key] = untyped
        return key

    def _find_place(self, storage: UntypedStorage, view: View) -> Place:
        key = storage._cdata  # noqa: SLF001
        if view not in self._views.get(key, ()):  # made while it is pickled, anew each time
            return _cut(storage, {view}).get(view, Place(storage, view.offset, view.stride))
        if key not in self._cuts:
            self._cuts[key] = {} if key in self._whole else _cut(storage, self._views[key])
        return self._cuts[key].get(view, Place(storage, view.offset, view.stride))


def cut_to_used(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors with storages of what they use together; those tied stay so."""
    storages = Storages()
    for tensor in tensors.values():
        storages.note(tensor.detach())
    found = {}
    for name, tensor in tensors.items():
        make, arguments, *_ = storages.reduce(tensor.detach())
        made = make(*arguments)
        is_parameter = isinstance(tensor, torch.nn.Parameter)
        found[name] = torch.nn.Parameter(made, tensor.requires_grad) if is_parameter else made
    return found


def is_used_whole(size: int, views: Iterable[View]) -> bool:
    """Whether tensors use every element of a storage of so many bytes."""
    return any(_fills(view, size) for view in views) or bool(_find_used(size, set(views)).all())


def find_storage(reduced: Reduced) -> UntypedStorage | None:
    """Return the storage in what is pickled of a tensor, if it is there itself."""
    make, arguments, *_ = reduced
    if make is torch._tensor._rebuild_from_type_v2:  # noqa: SLF001 - of subclasses and attributes
        return find_storage((arguments[0], arguments[2]))
    if arguments and isinstance(arguments[0], (TypedStorage, UntypedStorage)):
        return _get_untyped(arguments[0])
    return None


def _replace_storage(reduced: Reduced, itemsize: int, change: Change) -> Reduced:
    """Return what torch pickles of a tensor, with another storage, offset, size and stride."""
    make, arguments, *rest = reduced
    if make is torch._tensor._rebuild_from_type_v2:  # noqa: SLF001 - of subclasses and attributes
        inner = _replace_storage((arguments[0], arguments[2]), itemsize, change)
        return (make, (*arguments[:2], inner[1], *arguments[3:]), *rest)
    if arguments and isinstance(arguments[0], (TypedStorage, UntypedStorage)):
        storage, offset, size, stride, *others = arguments
        view = View(offset, tuple(size), tuple(stride), itemsize)
        return (make, (*change(storage, view), *others), *rest)
    return reduced


def _reduce(tensor: torch.Tensor) -> Reduced:
    reduced: Reduced = tensor.__reduce_ex__(pickle.DEFAULT_PROTOCOL)  # type: ignore[no-untyped-call]
    return reduced


def _wrap_like(storage: Storage, found: UntypedStorage) -> Storage:
    if isinstance(storage, UntypedStorage):
        return found
    return TypedStorage(  # type: ignore[no-untyped-call]
        wrap_storage=found, dtype=storage.dtype, _internal=True
    )


def _get_untyped(storage: Storage) -> UntypedStorage:
    return storage if isinstance(storage, UntypedStorage) else storage._untyped_storage  # noqa: SLF001


def _cut(storage: UntypedStorage, views: set[View]) -> dict[View, Place]:
    """Return where each tensor is in a storage that has no more than these; {} if it is whole."""
    size = storage.nbytes()
    # Where several elements share a byte, sizes do not count bytes.
    if any(view.end * view.itemsize > size for view in views) or is_used_whole(size, views):
        return {}
    if len(views) == 1:
        (view,) = views
        if math.prod(view.distinct) <= view.end - view.offset:  # else elements overlap
            return {view: _copy(storage, view)}
    return _join(storage, views)


def _copy(storage: UntypedStorage, view: View) -> Place:
    copy = view.read(storage).clone()
    steps = zip(copy.stride(), view.stride, strict=True)
    return Place(copy.untyped_storage(), 0, tuple(step and new for new, step in steps))


def _join(storage: UntypedStorage, views: set[View]) -> dict[View, Place]:
    """Copy the stretches that tensors use; what lies unused inside of one becomes 0."""
    size = storage.nbytes()
    used = _find_used(size, views)
    unit = size // len(used) if len(used) else 1
    stretches = _find_stretches(views, size)
    starts, total = {}, 0
    for start, end in stretches:
        starts[start] = total
        total += -(-(end - start) // _ALIGNMENT) * _ALIGNMENT
    old = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
    new = torch.zeros(total, dtype=torch.uint8, device=storage.device)
    for start, end in stretches:
        piece = new[starts[start] : starts[start] + end - start]
        piece.copy_(old[start:end])
        mask = used[start // unit : -(-end // unit)].repeat_interleave(unit)[: end - start]
        piece[~mask.to(storage.device)] = 0
    return {
        view: Place(new.untyped_storage(), _move(view, stretches, starts), view.stride)
        for view in views
    }


def _move(view: View, stretches: list[tuple[int, int]], starts: Mapping[int, int]) -> int:
    first = view.offset * view.itemsize
    for start, end in stretches:
        if start <= first and view.end * view.itemsize <= end:
            return (first - start + starts[start]) // view.itemsize
    return 0  # it has no elements


def _find_stretches(views: Iterable[View], size: int) -> list[tuple[int, int]]:
    """Return first and last byte of what is used, in order, apart from each other."""
    found: list[tuple[int, int]] = []
    for view in sorted(views, key=lambda view: view.offset * view.itemsize):
        if view.end == view.offset:
            continue
        start = view.offset * view.itemsize // _ALIGNMENT * _ALIGNMENT
        end = min(-(-view.end * view.itemsize // _ALIGNMENT) * _ALIGNMENT, size)
        if found and start <= found[-1][1]:
            start, end = found[-1][0], max(found.pop()[1], end)
        found.append((start, end))
    return found


def _fills(view: View, size: int) -> bool:
    """Whether the elements of one tensor are, in some order of its axes, all of a storage."""
    step = 1
    axes = [axis for axis in zip(view.stride, view.distinct, strict=True) if axis[1] != 1]
    for stride, count in sorted(axes):
        if stride != step:
            return False
        step *= count
    return view.offset == 0 and step * view.itemsize == size


def _find_used(size: int, views: set[View]) -> torch.Tensor:
    """Return for each piece of a storage, of the size of an element, whether it is used."""
    unit = math.gcd(size, *(view.itemsize for view in views)) or 1
    used = torch.zeros(size // unit, dtype=torch.bool)
    for view in views:
        pieces = view.itemsize // unit
        used.as_strided(
            (*view.distinct, pieces),
            (*(step * pieces for step in view.stride), 1),
            view.offset * pieces,
        ).fill_(True)
    return used


# --- memory that is a part of another object's ---------------------------------------------


def save_storage(pickler: Pickler, storage: torch.storage.TypedStorage) -> bool:
    """Write the memory of a tensor as that of another one, if that is in the archive."""
    tensor = None if pickler.is_for_torch else pickler.graph.find_tensor(storage)
    if tensor is None or not pickler.knows(tensor):
        return False
    pickler.save_reduce(torch.Tensor._typed_storage, (tensor,), obj=storage)  # noqa: SLF001
    return True


def save_array(pickler: Pickler, array: NDArray[np.generic]) -> bool:
    """Write a part of an array in the archive as just that, and one mapped from a file as plain."""
    whole = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    if pickler.knows(whole) and not array.dtype.hasobject and whole.flags.c_contiguous:
        offset = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        part = array.shape, array.dtype, whole, offset, array.strides
        pickler.save_reduce(np.ndarray, part, obj=array)
        return True
    if type(array) is np.memmap:
        pickler.save_reduce(*array.view(np.ndarray).__reduce__(), obj=array)
        return True
    return False
