"""The summary of a batch as a page: every scene with its picture, how long it took, or why it failed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hsi_app.batch.journal import Entry, number
from hsi_app.batch.planning import Planned
from hsi_app.batch.unit import encodable, thumbnail_file
from hsi_app.device import format_bytes
from hsi_app.files import to_json, write_text
from hsi_app.report.charts import data_uri
from hsi_app.report.parts import duration, escape, frame, section, stat_tiles, table
from hsi_app.versions import versions

NAME = "batch"
# A page with a picture of each of many thousand scenes would open in no browser.
MOST_PICTURES = 400


def write_summary(
    folder: Path, planned: Sequence[Planned], known: Mapping[str, Entry], recipe: str, why: str, suffix: str = ""
) -> Path:
    """Write 'batch.html' and 'batch.json' into the folder of the results.

    Parameters
    ----------
    known : last entries of the journals
    recipe : TOML text; why : why the batch ended early, or nothing
    suffix : of a shard

    Returns the page. Raises OutputError if the disk refuses.
    """
    rows = [_row(one, known.get(one.item.out)) for one in planned]
    facts = {"recipe": recipe, "ended": why, "versions": versions(), "scenes": rows}
    write_text(folder / f"{NAME}{suffix}.json", encodable(to_json(facts)), overwrite=True)
    page = encodable(_page(folder, rows, recipe, why))
    return write_text(folder / f"{NAME}{suffix}.html", page, overwrite=True)


def _row(one: Planned, entry: Entry | None) -> dict[str, Any]:
    facts = {} if entry is None else entry.facts
    state = "not reached" if entry is None or entry.state == "started" else entry.state
    reason = str(facts.get("reason", ""))
    if one.state == "failed":
        state, reason = "failed", one.reason
    return {
        "source": one.item.source, "out": one.item.out, "state": state, "reason": reason,
        "shape": list(one.shape), "seconds": number(facts.get("seconds")),
        "peak_memory_bytes": number(facts.get("peak_memory_bytes")),
        "notes": _words(facts.get("notes")), "did": _words(facts.get("did")),
    }  # fmt: skip


def _words(found: Any) -> list[str]:
    """A list of words as a journal should hold it, whatever it holds."""
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _page(folder: Path, rows: Sequence[Mapping[str, Any]], recipe: str, why: str) -> str:
    done = [row for row in rows if row["state"] == "done"]
    failed = [row for row in rows if row["state"] == "failed"]
    left = len(rows) - len(done) - len(failed)
    seconds = [row["seconds"] for row in done if row["seconds"] is not None]
    peaks = [int(row["peak_memory_bytes"]) for row in done if row["peak_memory_bytes"] is not None]
    tiles = [
        (str(len(done)), "done"), (str(len(failed)), "failed"), (str(left), "not reached"),
        (duration(sum(seconds)), "of work in all"),
        (format_bytes(max(peaks, default=0)), "peak memory of a worker"),
    ]  # fmt: skip
    failures = table(
        ("Scene", "Reason"), [(escape(_short(row["source"])), escape(row["reason"])) for row in failed], numbers=False
    ) if failed else ""  # fmt: skip
    results = table(
        ("", "Result", "Size", "Time", "What was done"),
        [_result(folder, row, n < MOST_PICTURES) for n, row in enumerate(done)], numbers=False,
    ) if done else ""  # fmt: skip
    record = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions(),
        "notes": [why] if why else [],
    }  # fmt: skip
    about = f"{len(rows)} scenes"
    sections = [
        section("failed", "Failed", failures),
        section("results", "Results", results),
        section("recipe", "Recipe", f'<div class="card scroll"><pre>{escape(recipe)}</pre></div>'),
    ]
    return frame("Batch", folder.resolve().name, about, stat_tiles(tiles), sections, record)


def _result(folder: Path, row: Mapping[str, Any], has_picture: bool) -> tuple[str, ...]:
    picture = ""
    path = thumbnail_file(folder, row["out"])
    if has_picture and path.is_file():
        picture = f'<img src="{data_uri(path.read_bytes())}" alt="" style="max-height:64px;max-width:96px">'
    bands, height, width = row["shape"]
    notes = "".join(f'<br><span class="soft">{escape(note)}</span>' for note in row["notes"])
    seconds = row["seconds"]
    return (
        picture,
        f'<a href="{escape(quote(row["out"]))}">{escape(row["out"])}</a>',
        f"{bands} × {height} × {width}",
        "" if seconds is None else duration(seconds),
        escape(", then ".join(row["did"])) + notes,
    )


def _short(source: str) -> str:
    """The last parts of a long path."""
    parts = source.split(os.sep)
    return source if len(parts) <= 4 else os.sep.join(["…", *parts[-3:]])
