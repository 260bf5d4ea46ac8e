"""File locks that end with the process that holds them, however that ends."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import IO


def lock_file(path: Path, *, shared: bool = False) -> IO[str] | None:
    """Lock a file, made where it is not there; the lock ends when the handle is closed, or with the process.

    Parameters
    ----------
    shared : let others hold it so too; it keeps out who wants it alone

    Returns
    -------
    The open handle; None where the system or the file system has no locks. Raises BlockingIOError if it is taken.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    handle = open(path, "a", encoding="utf-8")  # noqa: SIM115 - open for as long as the lock is held
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise
    except OSError:  # a file system without locks
        handle.close()
        return None
    return handle


def is_locked(path: Path) -> bool:
    """True where somebody holds the lock of a file that exists, alone; nothing is made."""
    with suppress(FileNotFoundError):
        try:
            handle = open(path, encoding="utf-8")  # noqa: SIM115 - closed below
        except PermissionError:
            return False
        with handle:
            try:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except (ImportError, OSError):
                return False
    return False
