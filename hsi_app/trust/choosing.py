"""A target as people name it: pixels, a spectrum of a library, or painted regions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import ParameterError
from hsi_app.trust.targets import Target

LIBRARY_ENDINGS = (".sli", ".csv", ".txt", ".npz")
_PIXELS = re.compile(r"\s*\d+\s*,\s*\d+(\s+\d+\s*,\s*\d+)*\s*")


def read_target(text: str, cube: Cube) -> Target:
    """The target that a text names.

    Parameters
    ----------
    text : 'row,col row,col ...' counted from 0; a library (.sli, .csv, .txt, .npz), with '::name' where it holds
        several spectra; or an image of one band in which the target's pixels are not 0
    cube : whose bands count

    Raises
    ------
    ParameterError
        If it names no spectrum or pixel, or one of several.
    CubeError
        If the library does not cover the cube's bands.
    FormatError
        If a file cannot be read.
    """
    if _PIXELS.fullmatch(text):
        numbers = [int(n) for n in re.findall(r"\d+", text)]
        pixels = np.array(numbers).reshape(-1, 2)
        name = f"pixel {numbers[0]},{numbers[1]}" if len(pixels) == 1 else f"{len(pixels)} pixels"
        return Target(name, pixels=pixels)
    path, _, name = text.partition("::")
    if Path(path).suffix.lower() in LIBRARY_ENDINGS:
        return target_of_library(path, name, cube)
    from hsi_app.io import read_mask

    return target_of_region(read_mask(path), Path(path).stem, cube)


def target_of_library(path: str | Path, name: str, cube: Cube) -> Target:
    """A spectrum of a library on a cube's bands; ``name`` may be empty where the library holds one."""
    from hsi_app.io import read_library

    library = read_library(path)
    if not name and library.count > 1:
        known = ", ".join(library.names[:4])
        raise ParameterError(
            f"'{path}' holds {library.count} spectra ({known}{' ...' if library.count > 4 else ''});"
            f" say which, as in '{path}::{library.names[0]}'."
        )
    chosen = library.select([name]) if name else library
    on_bands, _ = chosen.on_bands(cube.axis)
    return Target(chosen.names[0], np.asarray(on_bands.spectra[:, 0]))


def target_of_region(mask: np.ndarray, name: str, cube: Cube) -> Target:
    """The pixels of a mask: (H, W), or (B, H, W) of which any band counts."""
    marked = np.asarray(mask) != 0
    marked = marked.any(axis=0) if marked.ndim == 3 else marked
    if marked.shape != cube.shape[1:]:
        raise ParameterError(
            f"region '{name}' has {marked.shape[0]} x {marked.shape[1]} pixels, the cube {cube.shape[1]} x"
            f" {cube.shape[2]}; give one of the cube's size."
        )
    if not marked.any():
        raise ParameterError(f"region '{name}' marks no pixel; mark the target with numbers above 0.")
    return Target(name, pixels=np.argwhere(marked))
