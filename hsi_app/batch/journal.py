"""The journal of a batch: what became of each scene, a line a change, on which everything else can be built again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from hsi_app.errors import OutputError

NAME = "journal"


@dataclass(frozen=True)
class Entry:
    """A change of state.

    item : name of the result
    state : 'started', 'done' or 'failed'
    facts : plain values that go with it
    """

    item: str
    state: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def read_journals(folder: Path) -> dict[str, Entry]:
    """The last word on each scene, by name, of all journals in a folder.

    A line that was cut short or damaged is left out, as is one whose facts are not what they should be: the scene it
    told of is looked at anew.
    """
    entries: list[tuple[float, Entry]] = []
    for path in sorted(folder.glob(f"{NAME}*.jsonl")):
        try:
            text = path.read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        entries += filter(None, map(_entry, text.split("\n")))
    return {entry.item: entry for _, entry in sorted(entries, key=lambda pair: pair[0])}


def _entry(line: str) -> tuple[float, Entry] | None:
    try:
        found = json.loads(line)
        stamp, item, state = found.pop("time"), found.pop("item"), found.pop("state")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    is_whole = isinstance(item, str) and isinstance(stamp, (int, float)) and state in ("started", "done", "failed")
    return (float(stamp), Entry(item, state, found)) if is_whole else None


class Journal:
    """Appends to a journal; one process holds it.

    Parameters
    ----------
    path : made where it is not there

    Raises
    ------
    OutputError
        If it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: IO[bytes] = open(path, "ab")  # noqa: SIM115 - open for as long as the batch runs
            if path.stat().st_size and not _ends_line(path):
                self._file.write(b"\n")
        except OSError as error:
            raise OutputError(f"'{path}' cannot be written: {error.strerror or error}.") from None

    def add(self, entry: Entry) -> None:
        """Write one line at once.

        Raises OutputError where the disk refuses.
        """
        line = json.dumps({"time": round(time.time(), 6), "item": entry.item, "state": entry.state, **entry.facts})
        try:
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"'{self._path}' cannot be written: {error.strerror or error}.") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _ends_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def counted(entries: Iterable[Entry]) -> dict[str, int]:
    """How many are in each state."""
    found: dict[str, int] = {}
    for entry in entries:
        found[entry.state] = found.get(entry.state, 0) + 1
    return found
