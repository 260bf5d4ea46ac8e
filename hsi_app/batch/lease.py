"""Who drives a batch: one process holds the output folder, and workers see when it has gone or wants them to stop."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hsi_app.errors import OutputError
from hsi_app.locks import is_locked, lock_file
from hsi_app.states import write_whole

LOCK = "lock"


@dataclass(frozen=True)
class Shard:
    """Every ``count``-th scene, beginning with the ``number``-th (from 1)."""

    number: int = 1
    count: int = 1

    @property
    def suffix(self) -> str:
        """For the names of files that belong to it."""
        return "" if self.count == 1 else f"-{self.number}-of-{self.count}"


@dataclass(frozen=True)
class Lease:
    """What a worker goes by: it may write as long as the driver that sent it is there and wants it to go on.

    lock, token : files of the driver, the first '' where there are no locks; secret : what the second holds while it
        is that driver
    """

    lock: str
    token: str
    secret: str

    @property
    def is_over(self) -> bool:
        """True once the driver has gone, was followed by another, or has asked to stop."""
        try:
            holds = Path(self.token).read_text(encoding="utf-8") == self.secret
        except OSError:
            return True
        # Where there are no locks nobody can tell; the secret still tells a follower.
        return not holds or (self.lock != "" and not is_locked(Path(self.lock)))


@contextmanager
def held(hidden: Path, shard: Shard) -> Iterator[Lease]:
    """Hold the folder for one batch, or for one shard of a batch beside the others.

    Raises OutputError if another batch holds it.
    """
    own = hidden / f"driver{shard.suffix}.lock"
    handles = []
    try:
        try:
            handles.append(lock_file(hidden / LOCK, shared=shard.count > 1))
            handles.append(lock_file(own))
        except BlockingIOError:
            raise OutputError(
                f"'{hidden.parent}' is in use by another batch; wait for it, or choose another output folder."
            ) from None
        token, secret = hidden / f"driver{shard.suffix}.token", f"{os.getpid()} {secrets.token_hex(8)}"
        write_whole(token, lambda path: path.write_text(secret, encoding="utf-8"))
        lease = Lease("" if handles[-1] is None else str(own), str(token), secret)
        try:
            yield lease
        finally:
            with suppress(OSError):
                token.unlink(missing_ok=True)
    finally:
        for handle in handles:
            if handle is not None:
                handle.close()


def ask_to_stop(lease: Lease) -> None:
    """Let the workers of this driver stop at their next step."""
    with suppress(OSError):
        Path(lease.token).unlink(missing_ok=True)
