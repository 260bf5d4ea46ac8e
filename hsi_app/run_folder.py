"""A folder that belongs to one run, whichever process carries it out: claimed, locked, and cleared at the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from hsi_app.errors import CheckpointError
from hsi_app.locks import lock_file
from hsi_app.states import UNFINISHED, write_whole

_RUN, _LOCK = "run.json", "lock"


class RunFolder:
    """Files of one run.

    Parameters
    ----------
    path : made, in a folder that exists, where it is not there
    is_own : tells by its name whether a file is one that runs leave here
    is_step : one step of several; its files stay until the whole run is done

    Raises
    ------
    CheckpointError
        If it is no folder, or one that holds something else.
    """

    def __init__(self, path: Path, is_own: Callable[[str], bool], *, is_step: bool = False) -> None:
        self.path, self._is_own, self._is_step = path, is_own, is_step
        self._lock: IO[str] | None = None
        self._was_made = False
        if not path.exists():
            return
        if not path.is_dir():
            raise CheckpointError(f"'{path}' is a file; name a folder for the checkpoint.")
        # Without its first file it may only hold what a kill in its first moment left.
        if not (path / _RUN).exists() and not all(map(self._belongs, path.iterdir())):
            raise CheckpointError(f"'{path}' holds other files; choose an empty folder, or one that is not there.")

    @property
    def is_locked(self) -> bool:
        """True where no other process can use it, so that whoever did is gone."""
        return self._lock is not None

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Hold it beside others that work on the same run, which was begun before; nothing is cleared.

        Raises CheckpointError if no run was begun in it, or a process holds it alone.
        """
        if not (self.path / _RUN).is_file():
            raise CheckpointError(f"'{self.path}' holds no run that could be joined.")
        self._lock = _locked(self.path / _LOCK, shared=True)
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def claimed(self, facts: Mapping[str, Any], *, clears: bool = True) -> Iterator[None]:
        """Hold it for the run that ``facts`` (JSON values by name) tell of; cleared at a good end, if it ``clears``.

        Raises
        ------
        CheckpointError
            If it holds another run, another process uses it, or it cannot be written.
        """
        try:
            try:
                self._claim(json.loads(json.dumps(dict(facts))))
            except CheckpointError:
                raise
            except OSError as error:
                reason = error.strerror or error
                raise CheckpointError(f"'{self.path}' cannot be used: {reason}; choose another folder.") from error
            yield
            if clears:
                self._clear()
        finally:
            self._release()

    def _claim(self, facts: dict[str, Any]) -> None:
        is_new = not self.path.exists()
        self.path.mkdir(exist_ok=True)
        self._lock = _locked(self.path / _LOCK)
        run = self.path / _RUN
        if not run.exists():
            text = json.dumps({"was_made": is_new, "facts": facts}, indent=2)
            write_whole(run, lambda path: path.write_text(text, encoding="utf-8"))
        try:
            found = json.loads(run.read_text(encoding="utf-8"))
            before, self._was_made = dict(found["facts"]), bool(found["was_made"])
        except (ValueError, KeyError, TypeError):
            raise CheckpointError(f"'{run}' is damaged; delete '{self.path}' or choose another folder.") from None
        if before != facts:
            raise CheckpointError(
                f"'{self.path}' holds the state of another run ({_difference(before, facts)});"
                " repeat that run, choose another folder, or delete it."
            )
        for left in self.path.glob("*" + UNFINISHED):
            left.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove what the run left, and the folder if it was made for it."""
        if self._is_step:
            return
        self._release()
        with suppress(OSError):
            for path in list(self.path.iterdir()):
                if path.is_dir() and (path / _RUN).exists():
                    shutil.rmtree(path, ignore_errors=True)
                elif self._belongs(path):
                    path.unlink()
            if self._was_made:
                self.path.rmdir()

    def _belongs(self, path: Path) -> bool:
        name = path.name.removesuffix(UNFINISHED)
        return name in (_RUN, _LOCK) or self._is_own(name)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first facts that differ: 'seed 1, now 2'."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    # What both have says more than what only one has, as the options of another method.
    names.sort(key=lambda name: not (name in before and name in now))
    return "; ".join(
        # Of these only digests are known.
        f"another {name}" if name in ("input", "mask") else f"{name} {before.get(name)}, now {now.get(name)}"
        for name in names[:3]
    )


def _locked(path: Path, *, shared: bool = False) -> IO[str] | None:
    """A lock of this process, None where there are none; CheckpointError if it is taken."""
    try:
        return lock_file(path, shared=shared)
    except BlockingIOError:
        raise CheckpointError(
            f"'{path.parent}' is in use by a run that is still going; wait for it or choose another folder."
        ) from None
