"""The journal of a batch: what became of each scene, a line a change, on which everything else can be built again."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
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
    told of is looked at anew. Within a journal the order of its lines counts, whatever the clock said. What a scene's
    last good end wrote ('outputs') stays with it through later failures.
    """
    entries: list[tuple[float, Entry]] = []
    for path in sorted(folder.glob(f"{NAME}*.jsonl")):
        try:
            text = path.read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        latest = -math.inf
        for stamp, entry in filter(None, map(_entry, text.split("\n"))):
            latest = max(latest, stamp)
            entries.append((latest, entry))
    found: dict[str, Entry] = {}
    for _, entry in sorted(entries, key=lambda pair: pair[0]):
        before = found.get(entry.item)
        if before is not None and "outputs" in before.facts:
            entry = replace(entry, facts={"outputs": before.facts["outputs"], **entry.facts})
        found[entry.item] = entry
    return found


def number(value: object) -> float | None:
    """A finite number from 0 on, as a journal should hold it, or None."""
    with suppress(OverflowError):
        if isinstance(value, (int, float)) and math.isfinite(value) and value >= 0:
            return float(value)
    return None


def _entry(line: str) -> tuple[float, Entry] | None:
    try:
        found = json.loads(line)
        stamp, item, state = float(found.pop("time")), found.pop("item"), found.pop("state")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    is_whole = isinstance(item, str) and math.isfinite(stamp) and state in ("started", "done", "failed")
    return (stamp, Entry(item, state, found)) if is_whole else None


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
        """Close the file; a line that the disk refused was told of before."""
        with suppress(OSError):
            self._file.close()


def _ends_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
