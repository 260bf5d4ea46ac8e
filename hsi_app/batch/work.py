"""What a worker does with one scene: restore it in a hidden folder, look at the result, then give it its name."""

from __future__ import annotations

import base64
import errno
import json
import os
import shutil
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.batch.items import inside, written_names
from hsi_app.batch.keys import key_of, recipe_key, signature, weights_of
from hsi_app.batch.unit import Outcome, Unit, encodable, thumbnail_file
from hsi_app.errors import Cancelled, CheckpointError, HsiError, OutputError, PlanError, WeightsError
from hsi_app.jobs import Job, Progress
from hsi_app.record import steps_of, what_was_done

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hsi_app.cube import Cube
    from hsi_app.recipe import Recipe
    from hsi_app.runner import Result

# Bytes that the program itself is counted as: a number, not a measurement, so that tiles are the same in every process.
PROGRAM_BYTES = 640 * 2**20
# How often a worker looks whether it should stop, and says how far it is.
WATCH_S, SAY_S = 0.3, 1.0
PICTURE_PX = 120
# Rows of the result that are looked at, and share of samples that may be missing beside those the input lacked.
CHECKED_ROWS, LOST_SHARE = 64, 0.01
PROGRESS = "progress.json"
# Notes of a run that was interrupted or shared out, which its result does not show.
ON_THE_WAY = ("went on from a checkpoint", "a state of the checkpoint", "the state of the run")
STAC_PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"


def carry_out(unit: Unit) -> Outcome:
    """Do it, whatever happens: a failure is an outcome too."""
    try:
        return _carried_out(unit)
    except Cancelled as error:
        return Outcome("stopped", str(error), error.exit_code)
    except CheckpointError as error:
        # The worker of a driver that was killed may still hold the scene for a moment.
        return Outcome("failed", _line(error), error.exit_code, again=True)
    except (WeightsError, PlanError, OutputError) as error:
        return Outcome("failed", _line(error), error.exit_code, is_full=_is_full(error))
    except HsiError as error:
        return Outcome("failed", _line(error), error.exit_code)
    except MemoryError as error:
        return Outcome("failed", f"memory ran out: {_line(error)}"[:400], 5, again=True)
    # Nothing that one scene does may end the night.
    except Exception as error:
        words = f"unexpected {type(error).__name__}: {_line(error)}"
        return Outcome("failed", words[:400], 1, again=True, is_full=_is_full(error))


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if isinstance(error, PlanError) and "free some" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _carried_out(unit: Unit) -> Outcome:
    import torch

    from hsi_app.io import open_cube, read_mask
    from hsi_app.recipe import parse_recipe, run_recipe

    torch.set_num_threads(unit.threads)
    began = time.monotonic()
    recipe = parse_recipe(unit.recipe)
    target = inside(Path(unit.folder), unit.out)
    with _watched(unit, recipe.seed) as job:
        seen = signature([unit.source, unit.mask])
        cube = open_cube(unit.source)
        job.step(0.0, "reading")
        key = unit.key or key_of(cube, unit.mask, recipe, lambda: job.step(0.0, "reading"))
        told = {"key": key, "recipe_key": recipe_key(recipe), "signature": seen}
        if key == unit.known_key:
            shutil.rmtree(unit.hidden, ignore_errors=True)
            return Outcome("same", facts={**told, "outputs": sizes(Path(unit.folder), unit.out)})
        hidden = unit.hidden
        mask = None if unit.mask is None else read_mask(unit.mask)
        if unit.share is not None:
            tiles = _shared(unit, cube, mask, recipe, _state_folder(hidden, key), job)
            return Outcome("shared", facts={"tiles": tiles, "key": key})
        staged = hidden / "out"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        result = run_recipe(
            cube, recipe, device=unit.device, memory=unit.memory, mask=mask, out=staged / target.name, job=job,
            checkpoint=_state_folder(hidden, key), program=PROGRAM_BYTES,
        )  # fmt: skip
        share = _checked(result, cube, mask)
        with suppress(Exception):  # a picture is no reason to lose a result
            _draw(result.cube, thumbnail_file(Path(unit.folder), unit.out))
        _write_record(staged / f"{target.name}.json", unit, recipe, result, key, share)
        if unit.lease.is_over:
            raise Cancelled("stopped on request; nothing was written.")
        _publish(unit, staged, target)
    shutil.rmtree(hidden, ignore_errors=True)
    record = result.record
    facts = {
        **told, "outputs": sizes(Path(unit.folder), unit.out), "shape": list(cube.shape),
        "seconds": round(time.monotonic() - began, 3), "peak_memory_bytes": record["peak_memory_bytes"],
        "device": record["device"], "finite_share": round(share, 6), "notes": record["notes"],
        "did": what_was_done(record),
    }  # fmt: skip
    return Outcome("done", facts=facts)


def _shared(unit: Unit, cube: Cube, mask: np.ndarray | None, recipe: Recipe, state: Path, job: Job) -> int:
    """Do a share of the tiles of a recipe of one step, or what all shares need; returns how many tiles there are."""
    from hsi_app.recipe import step_settings
    from hsi_app.runner import restore_share

    (step,) = recipe.steps
    settings = step_settings(
        recipe, step, device=unit.device, memory=unit.memory, seed=job.seed, program=PROGRAM_BYTES
    )  # fmt: skip
    share = unit.share if unit.share is not None and unit.share[1] else None
    return restore_share(cube, step.method, step.params, settings, state, share, mask=mask, job=job)


def _state_folder(hidden: Path, key: str) -> Path:
    """For the state of this very run; what is left of another input or recipe is removed."""
    mine = hidden / f"state-{key}"
    for other in hidden.glob("state-*"):
        if other != mine:
            shutil.rmtree(other, ignore_errors=True)
    return mine


@contextmanager
def _watched(unit: Unit, seed: int) -> Iterator[Job]:
    """A job that tells the driver how far it is, and stops when the driver goes, or time is up."""
    unit.hidden.mkdir(parents=True, exist_ok=True)
    over, late = threading.Event(), threading.Event()
    began, told = time.monotonic(), [0.0]

    def watch() -> None:
        while not over.wait(WATCH_S):
            if unit.timeout_s is not None and time.monotonic() - began > unit.timeout_s:
                late.set()
            if late.is_set() or unit.lease.is_over:
                job.cancel()
                return

    def say(progress: Progress) -> None:
        now = time.monotonic()
        if unit.share is None and now - told[0] >= SAY_S:
            told[0] = now
            facts = {"fraction": round(progress.fraction, 4), "message": progress.message,
                     "remaining_s": progress.remaining_s}  # fmt: skip
            with suppress(OSError):
                making = unit.hidden / f"{PROGRESS}.part"
                making.write_text(json.dumps(facts), encoding="utf-8")
                making.replace(unit.hidden / PROGRESS)

    job = Job(seed=seed, on_progress=say)
    thread = threading.Thread(target=watch, name="hsi-watch", daemon=True)
    thread.start()
    try:
        yield job
    except Cancelled:
        if late.is_set():
            raise HsiError(
                f"it took longer than {unit.timeout_s:g} s (--timeout); give it more time, or a faster method."
            ) from None
        raise
    finally:
        over.set()
        thread.join()


def _checked(result: Result, cube: Cube, mask: np.ndarray | None) -> float:
    """Share of numbers among the samples of a result that is read again.

    Raises OutputError where it lacks more than the input did.
    """
    from hsi_app.tiling import Window

    after = result.cube
    height, width = after.shape[1:]
    rows = np.unique(np.linspace(0, height - 1, min(height, CHECKED_ROWS)).astype(int))
    kept = seen = 0
    for row in rows:
        kept += int(np.isfinite(after.read(Window(int(row), 0, 1, width))).sum())
        coarse = int(row) // result.scale
        valid = cube.block(Window(coarse, 0, 1, cube.shape[2]))[1]
        if mask is not None:
            valid = valid & np.broadcast_to(mask, cube.shape)[:, coarse : coarse + 1]
        seen += int(valid.sum()) * result.scale
    total = len(rows) * after.shape[0] * width
    if kept < seen - LOST_SHARE * total:
        raise OutputError(f"{1 - kept / total:.0%} of the result are no numbers, {1 - seen / total:.0%} of the input.")
    return kept / total


def _draw(cube: Cube, path: Path) -> None:
    from hsi_app.report.pictures import false_colour

    path.parent.mkdir(exist_ok=True)
    uri = false_colour(cube, "", PICTURE_PX).uri
    making = path.with_suffix(".part")
    making.write_bytes(base64.b64decode(uri.partition(",")[2]))
    making.replace(path)


def _write_record(path: Path, unit: Unit, recipe: Recipe, result: Result, key: str, share: float) -> None:
    """The sidecar: where the result came from, in the fields of STAC Processing. Without times or
    interruptions, so that the same work gives the same file."""
    from hsi_app.files import to_json

    record = result.record
    steps = steps_of(record)
    facts = {
        "stac_extensions": [STAC_PROCESSING],
        "properties": {
            "processing:software": record["versions"],
            "processing:lineage": ", then ".join(what_was_done(record)),
            "processing:expression": {"format": "hsi-app recipe (TOML)", "expression": recipe.to_toml()},
        },
        "source": unit.source, "mask": unit.mask, "input": steps[0]["input"], "key": key, "seed": record["seed"],
        "device": record["device"], "weights": weights_of(recipe), "finite_share": round(share, 6),
        "notes": [note for note in record["notes"] if not any(words in note for words in ON_THE_WAY)],
        "steps": [{name: step[name] for name in ("method", "task", "options", "tiles", "tile_px", "trace")}
                  for step in steps],
        "references": [reference for step in steps for reference in step["references"]],
    }  # fmt: skip
    path.write_text(encodable(to_json(facts)) + "\n", encoding="utf-8")


def _publish(unit: Unit, staged: Path, target: Path) -> None:
    """Move everything into place, the header of a pair last but for the record."""
    inside(Path(unit.folder), unit.out)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = staged.parent / "replaced"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        for name in written_names(target.name):
            final = target.parent / name
            if not final.is_dir() or final.is_symlink():
                os.replace(staged / name, final)
                continue
            if not (staged / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder; move it")
            final.rename(aside / name)  # a folder cannot be replaced in one step
            try:
                os.replace(staged / name, final)
            except OSError:
                (aside / name).rename(final)
                raise
    except OSError as error:
        raise OutputError(f"'{target}' cannot be put in place: {error.strerror or error}.") from error


def sizes(folder: Path, out: str) -> list[list[Any]]:
    """Name and size of each file of a result; of a folder, which changes as a whole, only the name."""
    found: list[list[Any]] = []
    for name in written_names(out):
        path = folder / PurePosixPath(name)
        found.append([name, path.stat().st_size if path.is_file() else (-1 if path.is_dir() else None)])
    return found
