"""One scene of a batch as a worker is handed it, and what comes back: paths and plain values, never samples."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hsi_app.batch.items import HIDDEN
from hsi_app.batch.lease import Lease


@dataclass(frozen=True)
class Unit:
    """What to do.

    folder : of the results; out : name within it; source, mask : files
    recipe : TOML text, with the scene's own options in it
    seed, device, memory, threads : as in ``runner.Settings``; memory in bytes is for this unit alone
    known_key : key of what lies there from an earlier batch: where it still holds nothing is done; None: redo
    timeout_s : after which it is stopped, None never
    share : (number, count): only do every ``count``-th tile from the one of ``number``, from 0, and keep them; of count
        0 only prepare; None: all of it, with what the shares kept
    key : of the result, where another share has worked it out
    """

    folder: str
    out: str
    source: str
    mask: str | None
    recipe: str
    lease: Lease
    device: str = "cpu"
    memory: int = 4 * 2**30
    threads: int = 1
    known_key: str | None = None
    timeout_s: float | None = None
    share: tuple[int, int] | None = None
    key: str | None = None

    @property
    def hidden(self) -> Path:
        """Where everything unfinished of this scene lies."""
        return work_folder(Path(self.folder), self.out)


@dataclass(frozen=True)
class Outcome:
    """What became of it.

    state : 'done', 'same' (nothing had to be done), 'failed', 'stopped' (on request), 'shared' (a share was done)
    reason : one line, where it failed
    code : exit code that the failure would have alone
    again : a second try may help
    is_full : the disk has no room
    facts : for the journal
    """

    state: str
    reason: str = ""
    code: int = 0
    again: bool = False
    is_full: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


def encodable(text: str) -> str:
    """Text as UTF-8 can hold it: bytes of file names that are none become escapes, which JSON reads back."""
    return text.encode("utf-8", "backslashreplace").decode()


def short_id(out: str) -> str:
    """A file name for a scene, whatever its own."""
    return hashlib.blake2b(out.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def work_folder(folder: Path, out: str) -> Path:
    """Where the unfinished files of a result lie."""
    return folder / HIDDEN / "work" / short_id(out)


def thumbnail_file(folder: Path, out: str) -> Path:
    """The small picture of a result."""
    return folder / HIDDEN / "pictures" / f"{short_id(out)}.png"
