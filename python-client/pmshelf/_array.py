"""Arrays whose memory is a region of a shelf."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Mapping, Protocol

import numpy as np
import numpy.typing as npt

from . import errors

if TYPE_CHECKING:
    from . import _core

# Attributes of regions that hold arrays (docs/tutorial/python.md, "What is stored").
TYPE_KEY = "type"
DTYPE_KEY = "dtype"
SHAPE_KEY = "shape"
ORDER_KEY = "order"


class ndarray:
    """Description of an array to be made on a shelf: ``s.x = pmshelf.ndarray((3, 4), float)``.

    Takes the parameters of ``numpy.ndarray`` that make sense for new memory.

    Args:
        shape: length of each dimension, or one int.
        dtype: any dtype without Python objects; default ``float64``.
        order: ``"C"`` (row-major) or ``"F"`` (column-major).

    The array is zero-filled and durable when the assignment returns; nothing is copied, so it may
    be larger than memory.
    """

    def __init__(
        self,
        shape: int | tuple[int, ...],
        dtype: npt.DTypeLike = float,
        order: str = "C",
    ) -> None:
        self.shape = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
        self.dtype = check_dtype(np.dtype(dtype))
        if any(length < 0 for length in self.shape):
            raise errors.InvalidArgumentError(f"shape {self.shape} has a negative length")
        if order not in ("C", "F"):
            raise errors.InvalidArgumentError(f"order is {order!r}; it must be 'C' or 'F'")
        self.order = order

    @property
    def nbytes(self) -> int:
        """Bytes that the array takes."""
        count = 1
        for length in self.shape:
            count *= length
        return count * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"pmshelf.ndarray({self.shape}, {self.dtype}, order={self.order!r})"


def check_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Refuses dtypes whose items are references to Python objects."""
    if dtype.hasobject:
        raise TypeError(
            f"dtype {dtype} holds Python objects, which cannot live on a shelf: "
            "convert to a plain dtype first, e.g. astype(float) or astype('U32')"
        )
    return dtype


def to_attributes(dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> dict[str, bytes]:
    """Region attributes that describe an array."""
    return {
        TYPE_KEY: b"ndarray",
        DTYPE_KEY: repr(np.lib.format.dtype_to_descr(dtype)).encode(),  # type: ignore[no-untyped-call]
        SHAPE_KEY: ",".join(str(length) for length in shape).encode(),
        ORDER_KEY: order.encode(),
    }


def from_attributes(attributes: Mapping[str, bytes]) -> ndarray:
    """The array that region attributes describe.

    Raises:
        CorruptError: the attributes are not those of an array.
    """
    try:
        descr = ast.literal_eval(attributes[DTYPE_KEY].decode())
        dtype = np.lib.format.descr_to_dtype(descr)  # type: ignore[no-untyped-call]
        text = attributes[SHAPE_KEY].decode()
        shape = tuple(int(length) for length in text.split(",")) if text else ()
        return ndarray(shape, dtype, attributes[ORDER_KEY].decode())
    except (KeyError, ValueError, SyntaxError, TypeError, UnicodeDecodeError) as error:
        raise errors.CorruptError(f"the attributes do not describe an array: {error}") from error


class Buffer(Protocol):
    """Memory of one open region: a mapping of it, or a local image."""

    @property
    def nbytes(self) -> int: ...
    @property
    def address(self) -> int: ...
    def persist(self, offset: int, nbytes: int) -> Any: ...


class Home:
    """Where a shelved array lives; shared by the array and its views."""

    def __init__(self, shelf_name: str, region: _core.Region, buffer: Buffer) -> None:
        self.shelf_name = shelf_name
        self.region = region
        self.buffer = buffer

    @property
    def name(self) -> str:
        return self.region.name

    def holds(self, array: np.ndarray[Any, Any]) -> bool:
        """True when the array's memory lies in this region."""
        low, high = np.byte_bounds(array)
        begin = self.buffer.address
        return begin <= low and high <= begin + self.buffer.nbytes

    def persist(self, array: np.ndarray[Any, Any]) -> None:
        if array.size == 0:
            return
        low, high = np.byte_bounds(array)
        self.buffer.persist(low - self.buffer.address, high - low)


class ShelvedArray(np.ndarray):  # type: ignore[type-arg]
    """A ``numpy.ndarray`` whose memory is a region of a shelf.

    In-place operations, item assignment, ``sort()``, ``out=`` and views write to the shelf's
    memory. Results of out-of-place operations are plain arrays. Changes are visible to others at
    once where the region is mapped (same host), and after :meth:`persist` where it is a local
    image (remote); they are **durable only after** :meth:`persist`.

    The memory stays valid for as long as this array or any view of it lives. Threads: as any
    ndarray.
    """

    _home: Home | None

    def __array_finalize__(self, obj: Any) -> None:
        home = getattr(obj, "_home", None)
        self._home = home if home is not None and home.holds(self) else None

    def __array_wrap__(self, array: Any, context: Any = None) -> Any:
        return array[()] if array.ndim == 0 else np.asarray(array)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        outputs = kwargs.get("out")
        if outputs is not None:
            kwargs["out"] = tuple(_plain(output) for output in outputs)
        result = getattr(ufunc, method)(*(_plain(value) for value in inputs), **kwargs)
        if outputs is None:
            return result
        if method == "at":
            return None
        if isinstance(result, tuple):
            return tuple(
                given if given is not None else made for given, made in zip(outputs, result)
            )
        return outputs[0] if outputs[0] is not None else result

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        out = kwargs.get("out")
        result = func(*_plain_all(args), **_plain_all(kwargs))
        return out if isinstance(out, ShelvedArray) else result

    def __getitem__(self, key: Any) -> Any:
        return self._rewrap(_plain(self)[_plain_all(key) if isinstance(key, tuple) else _plain(key)])

    def __reduce__(self) -> Any:
        return _plain(self).__reduce__()

    def __deepcopy__(self, memo: Any) -> Any:
        return np.array(_plain(self))

    def _rewrap(self, result: Any) -> Any:
        """Views stay shelved; everything else is plain."""
        if (
            self._home is not None
            and type(result) is np.ndarray
            and result.size > 0
            and self._home.holds(result)
        ):
            view = result.view(ShelvedArray)
            view._home = self._home
            return view
        return result

    @property
    def shelf_name(self) -> str | None:
        """Name of the shelf, or None when this array has left it."""
        return self._home.shelf_name if self._home else None

    @property
    def region_name(self) -> str | None:
        """Name of the region, or None when this array has left the shelf."""
        return self._home.name if self._home else None

    @property
    def path(self) -> str | None:
        """How the bytes travel: ``"local"`` (mapped) or ``"tcp"`` (local image)."""
        return self._home.region.path if self._home else None

    def persist(self) -> None:
        """Makes the bytes of this array (or view) durable.

        Durable means what the shelf's storage class says. On a local image only changed pages
        (4096 bytes) are sent. Threads: any; concurrent calls on one region take turns.

        Raises:
            StaleGrantError: the region was erased or replaced meanwhile.
            UnavailableError, UnknownOutcomeError: the daemon went away; call it again.
            Error: this array is not on a shelf.
        """
        self._require_home().persist(_plain(self))

    def persist_offset(self, offset: int, n: int) -> None:
        """Makes ``n`` items from item ``offset`` (of the flattened array) durable.

        Raises:
            OutOfRangeError: the items are not all inside the array.
        """
        home = self._require_home()
        if not self.flags.forc:
            raise errors.InvalidArgumentError("persist_offset needs a contiguous array")
        if offset < 0 or n < 0 or offset + n > self.size:
            raise errors.OutOfRangeError(
                f"items [{offset}, {offset + n}) are not inside an array of {self.size} items"
            )
        low, _ = np.byte_bounds(_plain(self))
        home.buffer.persist(low - home.buffer.address + offset * self.itemsize, n * self.itemsize)

    def refresh(self) -> None:
        """Makes what others have written visible here.

        Mapped arrays are always fresh. On a local image, pages that were changed here and not
        persisted stay as they are; all others are fetched again (the whole region).
        """
        refresh = getattr(self._require_home().buffer, "refresh", None)
        if refresh is not None:
            refresh()

    def _require_home(self) -> Home:
        if self._home is None:
            raise errors.InvalidArgumentError("this array is not on a shelf; assign it to one first")
        return self._home


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, ShelvedArray) else value


def _plain_all(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_plain_all(item) for item in value)
    if isinstance(value, list):
        return [_plain_all(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain_all(item) for key, item in value.items()}
    return _plain(value)


def _delegate(name: str) -> Any:
    plain_method = getattr(np.ndarray, name)

    def method(self: ShelvedArray, *args: Any, **kwargs: Any) -> Any:
        out = kwargs.get("out")
        result = plain_method(_plain(self), *_plain_all(args), **_plain_all(kwargs))
        return out if out is not None else self._rewrap(result)

    method.__name__ = name
    method.__doc__ = plain_method.__doc__
    return method


# Methods of ndarray that return arrays: views stay shelved, copies are plain.
for _name in (
    "all any argmax argmin argpartition argsort astype byteswap choose clip compress conj conjugate "
    "copy cumprod cumsum diagonal dot flatten getfield max mean min newbyteorder nonzero prod ptp "
    "ravel repeat reshape round searchsorted squeeze std sum swapaxes take trace transpose var "
    "__copy__"
).split():
    setattr(ShelvedArray, _name, _delegate(_name))


def attach(described: ndarray, home: Home) -> ShelvedArray:
    """The shelved array over an open region."""
    if described.nbytes > home.buffer.nbytes:
        raise errors.CorruptError(
            f"region '{home.name}' has {home.buffer.nbytes} bytes, but its attributes describe "
            f"an array of {described.nbytes}"
        )
    count = described.nbytes // described.dtype.itemsize if described.dtype.itemsize else 0
    if count == 0:
        plain = np.empty(described.shape, described.dtype, order=described.order)  # type: ignore[call-overload]
        view: ShelvedArray = plain.view(ShelvedArray)
    else:
        flat = np.frombuffer(home.buffer, dtype=described.dtype, count=count)  # type: ignore[call-overload]
        view = flat.reshape(described.shape, order=described.order).view(ShelvedArray)
    view._home = home
    return view
