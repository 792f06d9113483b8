"""Exceptions of pmshelf: one class for each reaction.

All derive from :class:`Error`, which carries ``code`` (the number of the error table in
``proto/pmshelf/v1/errors.proto``). Where Python has a class for the same reaction (``KeyError``,
``TimeoutError``, ...) ours derives from it as well.
"""

from __future__ import annotations


class Error(Exception):
    """Base of all pmshelf errors; also raised for codes that this version does not know."""

    code: int = 0

    def __str__(self) -> str:  # KeyError would show the repr
        return str(self.args[0]) if self.args else ""


class InvalidArgumentError(Error, ValueError):
    """Fix the call; the message names the field."""


class NotFoundError(Error, LookupError):
    """No such shelf or region, or none that you may know of."""


class AlreadyExistsError(Error):
    """Choose another name, or open the existing one."""


class PermissionDeniedError(Error, PermissionError):
    """Ask the shelf's owner for the right."""


class UnauthenticatedError(Error, PermissionError):
    """Present a valid token or certificate."""


class SessionExpiredError(Error, ConnectionError):
    """Connect again; grants and locks of the old session are gone."""


class StaleGrantError(Error):
    """The region was erased, replaced or revoked: read the attribute (``s.x``) again."""


class LockedError(Error):
    """Another session holds the lock: wait and try again."""


class BusyError(Error):
    """Still in use by somebody whom the message names."""


class NoSpaceError(Error, OSError):
    """Shelf or pool is full: erase something or grow it."""


class ResourceExhaustedError(Error):
    """A named limit of the daemon: raise it, or try later."""


class OutOfRangeError(Error, IndexError):
    """Offset and length reach beyond the end."""


class CorruptError(Error, OSError):
    """Damage on media: run ``pmshelf pool check``."""


class MediaError(Error, OSError):
    """The medium or the operating system failed; the message says how."""


class ReadOnlyError(Error):
    """The store is open read-only; the message says why."""


class UnavailableError(Error, ConnectionError):
    """The daemon cannot be reached, or is draining."""


class UnknownOutcomeError(Error, ConnectionError):
    """The connection broke in mid-call: it may or may not have happened."""


class DeadlineExceededError(Error, TimeoutError):
    """The call's own deadline passed: it may or may not have happened."""


class UnsupportedError(Error):
    """This version, medium or policy does not offer it."""


class ConflictError(Error):
    """Somebody else changed it first."""


class InternalError(Error):
    """A bug of pmshelf: please report it."""


_BY_CODE: dict[int, type[Error]] = {
    1: InvalidArgumentError,
    2: NotFoundError,
    3: AlreadyExistsError,
    4: PermissionDeniedError,
    5: UnauthenticatedError,
    6: SessionExpiredError,
    7: StaleGrantError,
    8: LockedError,
    9: BusyError,
    10: NoSpaceError,
    11: ResourceExhaustedError,
    12: OutOfRangeError,
    13: CorruptError,
    14: MediaError,
    15: ReadOnlyError,
    16: UnavailableError,
    17: UnknownOutcomeError,
    18: DeadlineExceededError,
    19: UnsupportedError,
    20: ConflictError,
    21: InternalError,
}


def make(code: int, message: str) -> Error:
    """The exception for an error number. Used by the extension module."""
    error = _BY_CODE.get(code, Error)(message)
    error.code = code
    return error
