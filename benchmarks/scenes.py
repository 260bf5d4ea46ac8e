"""The scenes that benchmarks run on: clean references cut from the test split, as the tables of the README use them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.tiling import Window

TEST = ("sandiego_airport_a", "abu_texas_coast2", "jasper_ridge_raw224", "samson")
TRAIN = ("sandiego_airport_b", "abu_la_airport1", "abu_texas_coast1", "paviaU_50", "muufl_100")


def data_folder() -> Path:
    """Folder of real scenes: HSI_TEST_DATA, or ../shared/data beside the project."""
    folder = Path(os.environ.get("HSI_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"no real scenes in {folder}; set HSI_TEST_DATA to the folder that holds them.")
    return folder


def reference(name: str) -> Cube:
    """A clean reference in [0, 1]: weak and noisy bands dropped, divided by the 99.9 percentile, clipped.

    Jasper Ridge uses its own list of 198 good bands.
    """
    folder = data_folder()
    facts = json.loads((folder / "manifest.json").read_text())[name]
    with np.load(folder / facts["file"], allow_pickle=False) as file:
        values = file["cube"].transpose(2, 0, 1).astype(np.float32)
        centres = file.get("wavelengths_nm")
        kept = file.get("selected_bands")
    if kept is None:
        kept = np.setdiff1d(np.arange(len(values)), facts["low_snr_bands_lt_20dB"])
    values = values[np.ravel(kept)]
    values = np.clip(values / np.quantile(values, 0.999), 0, 1)
    return Cube(values, BandAxis(len(values), None if centres is None else centres[np.ravel(kept)]), name=name)


def task_of(case: str) -> tuple[str, int]:
    """The task that undoes a degradation, and the ratio of the grids."""
    if case.startswith("sr-x"):
        return "sr", int(case.removeprefix("sr-x").partition("+")[0])
    return ("inpaint" if case.startswith(("inpaint", "pixels", "lines")) else "denoise"), 1


def reference_for(name: str, case: str) -> Cube:
    """A clean reference whose sides the case can divide."""
    truth, (_, scale) = reference(name), task_of(case)
    height, width = (length // scale * scale for length in truth.shape[1:])
    return truth.crop(Window(0, 0, height, width))
