"""Shelves as Python objects: names are attributes, regions are NumPy arrays."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, Iterator

import numpy as np

from . import _array, errors
from ._core import Shelf as _CoreShelf
from ._array import Home, ShelvedArray, ndarray

READ, WRITE = 1, 2
_STREAM_BYTES = 64 << 20  # non-contiguous or huge sources are stored in pieces of about this size


@dataclass(frozen=True)
class Item:
    """One region as a listing shows it. Sizes are bytes."""

    name: str
    nbytes: int
    type: str
    shape: tuple[int, ...] | None
    dtype: str | None


class Shelf:
    """A named container of regions; assigning an array to an attribute stores it.

    ``s.x = array`` copies onto the shelf and is durable when it returns; replacing is atomic:
    after a crash the old value is there or the new one. ``s.x`` is a :class:`ShelvedArray`
    (``AttributeError`` when missing). Names that are not Python identifiers, or that
    are methods of this class, are reached as ``s["name"]``.

    Made by :func:`pmshelf.shelf` or :meth:`Client.shelf`. Threads: any.
    """

    _client: Any
    _core: _CoreShelf
    _read_only: bool
    _owns_client: bool
    _homes: weakref.WeakValueDictionary[str, Home]
    _buffers: weakref.WeakKeyDictionary[Any, str]
    _closed: bool

    def __init__(self, client: Any, core: _CoreShelf, read_only: bool, owns_client: bool) -> None:
        put = object.__setattr__
        put(self, "_client", client)
        put(self, "_core", core)
        put(self, "_read_only", read_only)
        put(self, "_owns_client", owns_client)
        put(self, "_homes", weakref.WeakValueDictionary())
        put(self, "_buffers", weakref.WeakKeyDictionary())
        put(self, "_closed", False)

    # ---- arrays by name

    def __getattr__(self, name: str) -> ShelvedArray:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except errors.NotFoundError:
            raise AttributeError(f"shelf '{self.name}' has no '{name}'") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or hasattr(type(self), name):
            raise AttributeError(
                f"'{name}' is not free as an attribute of a shelf; use shelf['{name}'] = ..."
            )
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            self.erase(name)
        except errors.NotFoundError:
            raise AttributeError(f"shelf '{self.name}' has no '{name}'") from None

    def __getitem__(self, name: str) -> ShelvedArray:
        self._require_open()
        home = self._homes.get(name)
        stat = self._core.stat_region(name)
        described = self._describe(name, stat)
        if home is None or home.region.id != stat["id"]:
            home = self._open(name)
        return _array.attach(described, home)

    def __setitem__(self, name: str, value: Any) -> None:
        self._require_writable()
        if isinstance(value, ShelvedArray) and self._is_at_home(name, value):
            value.persist()  # s.x += 1 ends here: the bytes are in place already
            return
        self._homes.pop(name, None)
        if isinstance(value, ndarray):
            self._allocate(name, value)
        else:
            self._store(name, value)

    def __delitem__(self, name: str) -> None:
        self.erase(name)

    def __contains__(self, name: object) -> bool:
        self._require_open()
        if not isinstance(name, str):
            return False
        try:
            self._core.stat_region(name)
        except (errors.NotFoundError, errors.InvalidArgumentError):
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self.get_item_names())

    def __len__(self) -> int:
        self._require_open()
        return int(self._core.stat()["region_count"])

    # ---- what is there

    @property
    def name(self) -> str:
        """The shelf's name."""
        return self._core.name

    @property
    def items(self) -> list[Item]:
        """What is on the shelf, by name."""
        return [_to_item(stat) for stat in self._scan(with_attributes=True)]

    def get_item_names(self) -> list[str]:
        """Names of all regions, sorted by their bytes."""
        return [stat["name"] for stat in self._scan(with_attributes=False)]

    @property
    def used(self) -> float:
        """Percent of the capacity in use."""
        stat = self._core.stat()
        return 100.0 * float(stat["used_bytes"] / stat["capacity_bytes"])

    @property
    def free_bytes(self) -> int:
        """Bytes that new regions can take."""
        return int(self._core.stat()["free_bytes"])

    @property
    def capacity_bytes(self) -> int:
        """Capacity in bytes."""
        return int(self._core.stat()["capacity_bytes"])

    @property
    def storage_class(self) -> str:
        """``"persistent"``, ``"file"`` or ``"volatile"``: what durable means here."""
        return str(self._core.stat()["storage_class"])

    def inspect(self) -> None:
        """Prints what is on the shelf."""
        print(repr(self))

    def __repr__(self) -> str:
        if self._closed:
            return "<closed pmshelf.Shelf>"
        stat = self._core.stat()
        lines = [
            f"shelf '{self.name}': {stat['used_bytes']} of {stat['capacity_bytes']} bytes used, "
            f"{stat['storage_class']}, path {self._client.path}"
        ]
        for item in self.items:
            shape = "" if item.shape is None else f" {item.shape} {item.dtype}"
            lines.append(f"  {item.name}: {item.type}{shape}, {item.nbytes} bytes")
        return "\n".join(lines)

    # ---- changes

    def erase(self, item: str | ShelvedArray) -> None:
        """Erases a region, given by name or by its array; durable when it returns.

        Raises:
            BusyError: arrays over it are still referenced (in this process or elsewhere).
            NotFoundError: there is no such region.
        """
        self._require_writable()
        name = item if isinstance(item, str) else item.region_name
        if name is None:
            raise errors.InvalidArgumentError("this array is not on a shelf")
        del item
        self._refuse_while_referenced([name], "erased")
        self._core.erase_region(name)

    def rename(self, name: str, new_name: str, replace: bool = False) -> None:
        """Renames a region; arrays over it stay valid. Durable and atomic.

        Raises:
            AlreadyExistsError: ``new_name`` is taken and ``replace`` is False.
        """
        self._require_writable()
        self._core.rename_region(name, new_name, replace)
        self._homes.pop(name, None)
        self._homes.pop(new_name, None)

    def grow(self, size_mb: int) -> None:
        """Sets the capacity to ``size_mb`` MiB, while in use."""
        self._client._core.resize_shelf(self.name, size_mb << 20)

    def persist(self) -> None:
        """Makes all arrays of this shelf that are open in this process durable."""
        self._require_open()
        for home in list(self._homes.values()):
            home.buffer.persist(0, home.buffer.nbytes)

    def close(self) -> None:
        """Ends the use of the shelf in this process.

        Raises:
            BusyError: arrays over it, or views of them, still live; the message names them.
        """
        if self._closed:
            return
        self._refuse_while_referenced(None, "closed")
        object.__setattr__(self, "_closed", True)
        if self._owns_client:
            self._client.close()

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is None:
            self.close()
            return
        try:  # an exception is on its way: its traceback may keep arrays alive
            self.close()
        except errors.BusyError:
            pass

    # ---- inside

    def _require_open(self) -> None:
        if self._closed:
            raise errors.InvalidArgumentError("the shelf is closed")

    def _require_writable(self) -> None:
        self._require_open()
        if self._read_only:
            raise errors.ReadOnlyError(f"shelf '{self.name}' was opened read-only")

    def _refuse_while_referenced(self, names: list[str] | None, what: str) -> None:
        live = sorted({name for name in self._buffers.values() if names is None or name in names})
        if live:
            shown = ", ".join(f"'{name}'" for name in live[:10])
            raise errors.BusyError(
                f"cannot be {what}: arrays over {shown} are still referenced; "
                "delete them (and views of them) first"
            )

    def _scan(self, with_attributes: bool) -> Iterator[dict[str, Any]]:
        self._require_open()
        after, more = "", True
        while more:
            page, more = self._core.list(after=after, with_attributes=with_attributes)
            yield from page
            if page:
                after = page[-1]["name"]

    def _describe(self, name: str, stat: dict[str, Any]) -> ndarray:
        attributes = stat["attributes"]
        if attributes.get(_array.TYPE_KEY) == b"ndarray":
            return _array.from_attributes(attributes)
        return ndarray((stat["bytes"],), np.uint8)  # put there by other means: raw bytes

    def _open(self, name: str) -> Home:
        region = self._core.open_region(name, READ if self._read_only else READ | WRITE)
        try:
            buffer: Any = region.map()
        except errors.UnsupportedError:
            buffer = region.image()
        home = Home(self.name, region, buffer)
        self._buffers[buffer] = name
        self._homes[name] = home
        return home

    def _is_at_home(self, name: str, array: ShelvedArray) -> bool:
        home = array._home
        if home is None or home.shelf_name != self.name or home.name != name:
            return False
        stat = self._core.stat_region(name)
        described = self._describe(name, stat)
        whole = array.flags.c_contiguous if described.order == "C" else array.flags.f_contiguous
        return bool(
            whole
            and stat["id"] == home.region.id
            and described.shape == array.shape
            and described.dtype == array.dtype
            and array.ctypes.data == home.buffer.address
        )

    def _allocate(self, name: str, described: ndarray) -> None:
        attributes = _array.to_attributes(described.dtype, described.shape, described.order)
        region = self._core.stage(described.nbytes, zero=True)
        self._core.commit([(region, name, attributes)])

    def _store(self, name: str, value: Any) -> None:
        array = np.asanyarray(value)
        if isinstance(array, np.ma.MaskedArray):
            raise TypeError("masked arrays are not supported yet; store .data and .mask")
        array = array.view(np.ndarray) if isinstance(array, ShelvedArray) else array
        _array.check_dtype(array.dtype)
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        attributes = _array.to_attributes(array.dtype, array.shape, order)
        flat = array.T if order == "F" else array
        if flat.flags.c_contiguous:
            self._core.put(name, flat.reshape(-1).view(np.uint8), attributes)
            return
        region = self._core.stage(array.nbytes)
        offset = 0
        for piece in _pieces(flat):
            region.write(offset, piece)
            offset += piece.nbytes
        self._core.commit([(region, name, attributes)])


def _pieces(array: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """The bytes of a non-contiguous array in C order, in contiguous copies of bounded size."""
    if array.nbytes <= _STREAM_BYTES or array.ndim == 0 or array.shape[0] <= 1:
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return
    row_bytes = max(1, array.nbytes // array.shape[0])
    rows = max(1, _STREAM_BYTES // row_bytes)
    for first in range(0, array.shape[0], rows):
        yield from _pieces(array[first : first + rows])


def _to_item(stat: dict[str, Any]) -> Item:
    kind = stat["attributes"].get(_array.TYPE_KEY, b"bytes").decode(errors="replace")
    if kind != "ndarray":
        return Item(stat["name"], stat["bytes"], kind, None, None)
    described = _array.from_attributes(stat["attributes"])
    return Item(stat["name"], stat["bytes"], kind, described.shape, str(described.dtype))
