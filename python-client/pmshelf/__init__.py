"""pmshelf: remote persistent memory as simple as a local array.

>>> import pmshelf
>>> s = pmshelf.connect("host").shelf("train")     # remote: a daemon on another host
>>> s = pmshelf.shelf("train", pmem_path="/mnt/pmem0")   # this host, nothing to set up
>>> s.w = array            # stored, durable, atomic
>>> s.w[3] = 1             # in place
>>> s.w.persist()          # durable now
"""

from . import errors
from ._array import ShelvedArray, ndarray
from ._client import Client, connect, shelf
from ._core import version as __version__
from ._shelf import Item, Shelf
from .errors import *  # noqa: F401,F403
from .errors import Error

__all__ = [
    "Client",
    "Error",
    "Item",
    "Shelf",
    "ShelvedArray",
    "connect",
    "errors",
    "ndarray",
    "shelf",
    "__version__",
]
