"""Connections and shelves by name."""

from __future__ import annotations

import os
from typing import Any

from . import _core, errors
from ._shelf import Shelf

_DEFAULT_SIZE_MB = 1024


class Client:
    """A session with one daemon. Made by :func:`pmshelf.connect`. Threads: any.

    Survives restarts of the daemon: calls wait for it to come back.
    """

    def __init__(self, core: _core.Client) -> None:
        self._core = core

    def shelf(
        self,
        name: str,
        size_mb: int | None = None,
        *,
        force_new: bool = False,
        read_only: bool = False,
        pool: str = "",
        same_host: str = "direct",
    ) -> Shelf:
        """Opens a shelf, or makes it.

        Args:
            name: 1 to 200 of ``[A-Za-z0-9._-]``.
            size_mb: capacity in MiB. None: any existing one, or 1024 for a new one. An existing
                smaller shelf is grown to it.
            force_new: erase an existing shelf of that name first.
            read_only: refuse changes; a missing shelf is NotFoundError.
            pool: for a new shelf; empty for the daemon's default.
            same_host: for a new shelf: ``"direct"``, ``"copy"`` or ``"off"``.

        Raises:
            InvalidArgumentError: the shelf exists and is larger than ``size_mb``.
            NoSpaceError: the pool has no room.
            PermissionDeniedError, NotFoundError: rights.
        """
        return _open_shelf(
            self, name, size_mb, force_new, read_only, pool, same_host, owns_client=False
        )

    def shelves(self) -> list[str]:
        """Names of the shelves that you may know of."""
        return [stat["name"] for stat in self._core.list_shelves()]

    def erase_shelf(self, name: str) -> None:
        """Erases a shelf with everything on it. There is no way back."""
        self._core.erase_shelf(name)

    def status(self) -> dict[str, Any]:
        """The daemon's version, boot epoch, counters, and who you are to it."""
        return self._core.status()

    def ping(self) -> float:
        """Seconds of one round trip on the data path."""
        return self._core.ping()

    @property
    def path(self) -> str:
        """Data path in use: ``"local"`` or ``"tcp"``."""
        return self._core.path

    def close(self) -> None:
        """Ends the session. Arrays that are mapped stay valid memory until they are dropped."""
        self._core.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self.close()


def connect(
    target: str = "",
    *,
    token: str = "",
    token_file: str = "",
    ca_file: str = "",
    cert_file: str = "",
    key_file: str = "",
    path: str = "auto",
    timeout: float = 30.0,
    reconnect_timeout: float = 30.0,
) -> Client:
    """Connects to a daemon.

    Args:
        target: ``""`` (the daemon of this host), ``"host"``, ``"host:port"``,
            ``"unix:/path/data.sock"`` or ``"dir:/pool/directory"``.
        token, token_file: bearer token; default ``$PMSHELF_TOKEN``, then
            ``~/.config/pmshelf/token``.
        ca_file, cert_file, key_file: TLS, needed for addresses that are not loopback.
        path: ``"auto"``, ``"local"`` or ``"tcp"``.
        timeout: seconds for one call.
        reconnect_timeout: seconds that calls wait for a restarting daemon.

    Raises:
        UnavailableError: nothing answers there; the message says what to start.
        UnauthenticatedError: no valid token or certificate.
    """
    core = _core.connect(
        target=target,
        token=token,
        token_file=token_file,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        path=path,
        timeout=timeout,
        reconnect_timeout=reconnect_timeout,
        client_name=f"python pid {os.getpid()}",
        daemon_path=os.environ.get("PMSHELFD", ""),
    )
    return Client(core)


def shelf(
    name: str,
    size_mb: int | None = None,
    pmem_path: str | os.PathLike[str] | None = None,
    force_new: bool = False,
    *,
    read_only: bool = False,
) -> Shelf:
    """Opens or makes a shelf in a directory of this host, without any set-up.

    A daemon is started for the directory when none serves it, and ends by itself; several
    processes may use one shelf at once.

    Args:
        name: of the shelf.
        size_mb: capacity in MiB; see :meth:`Client.shelf`.
        pmem_path: the pool's directory; default ``$PMSHELF_DIR``, then
            ``~/.local/share/pmshelf``. It is made when missing.
        force_new: erase an existing shelf of that name first.
        read_only: refuse changes.
    """
    directory = os.fspath(
        pmem_path or os.environ.get("PMSHELF_DIR") or os.path.expanduser("~/.local/share/pmshelf")
    )
    os.makedirs(directory, exist_ok=True)
    client = connect(f"dir:{os.path.abspath(directory)}")
    try:
        return _open_shelf(client, name, size_mb, force_new, read_only, "", "direct", owns_client=True)
    except BaseException:
        client.close()
        raise


def _open_shelf(
    client: Client,
    name: str,
    size_mb: int | None,
    force_new: bool,
    read_only: bool,
    pool: str,
    same_host: str,
    *,
    owns_client: bool,
) -> Shelf:
    core = client._core
    if force_new:
        try:
            core.erase_shelf(name)
        except errors.NotFoundError:
            pass
    if read_only:
        return Shelf(client, core.open_shelf(name), True, owns_client)
    try:
        opened = core.open_shelf(name)
    except errors.NotFoundError:
        size = _DEFAULT_SIZE_MB if size_mb is None else size_mb
        try:
            opened = core.create_shelf(name, size << 20, pool, same_host)
        except errors.AlreadyExistsError:  # another process was faster
            opened = core.open_shelf(name)
    if size_mb is not None:
        _match_capacity(client, opened, size_mb << 20)
    return Shelf(client, opened, False, owns_client)


def _match_capacity(client: Client, opened: _core.Shelf, wanted_bytes: int) -> None:
    capacity = int(opened.stat()["capacity_bytes"])
    if capacity < wanted_bytes:
        client._core.resize_shelf(opened.name, wanted_bytes)
    elif capacity >= wanted_bytes + (2 << 20):
        raise errors.InvalidArgumentError(
            f"shelf '{opened.name}' has a capacity of {capacity >> 20} MiB, more than the "
            f"{wanted_bytes >> 20} MiB asked for: leave size_mb out to open it as it is, "
            "or shrink it with `pmshelf shelf shrink`"
        )
