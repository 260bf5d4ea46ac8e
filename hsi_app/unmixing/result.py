"""What unmixing gives back, and the folder it is kept in."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import OutputError
from hsi_app.files import follow_umask, write_text
from hsi_app.library import SpectralLibrary

# A folder with this file is one of ours and may be replaced where overwriting is allowed.
MARK = "report.json"
ERROR_BANDS = ("rms error", "relative error")


@dataclass(frozen=True, eq=False)
class Channels:
    """What is known of each band of the cube.

    kept : (B,) bool, went with its neighbours; live : (B,) bool, took part at all
    agreement : (B,) float in [0, 1], correlation with the neighbours; NaN for bands marked bad
    weight : (B,) float, weight in the fit, largest 1; low for a channel that the materials do not explain; NaN for
        bands marked bad
    """

    kept: np.ndarray
    live: np.ndarray
    agreement: np.ndarray
    weight: np.ndarray

    def to_csv(self, axis: BandAxis) -> str:
        """One line a band."""
        rows = ["band,centre_nm,live,kept,agreement,weight"]
        for b in range(axis.count):
            centre = "" if axis.centres_nm is None else f"{axis.centres_nm[b]:.3f}"
            numbers = ",".join("" if np.isnan(v) else f"{v:.6g}" for v in (self.agreement[b], self.weight[b]))
            rows.append(f"{b + 1},{centre},{int(self.live[b])},{int(self.kept[b])},{numbers}")
        return "\n".join(rows) + "\n"


@dataclass(frozen=True, eq=False)
class Unmixing:
    """Materials of a scene and their fractions.

    Parameters
    ----------
    abundances : (K, H, W) float32 cube, one band a material; NaN where a pixel could not be unmixed
    endmembers : library of the K spectra in physical units, at the brightness they have in the scene, on the bands
        that were worked on
    error : (2, H, W) float32 cube: rms of observed - reconstructed over the bands in physical units, and that over the
        rms of the pixel
    maps : further (1, H, W) cubes by name ('guidance': learned sparsity, 0 = evenly mixed)
    channels : what is known of each band
    observed : the input
    record : plain values for the report
    """

    abundances: Cube
    endmembers: SpectralLibrary
    error: Cube
    maps: Mapping[str, Cube]
    channels: Channels
    observed: Cube
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the materials."""
        return self.endmembers.names

    @property
    def cubes(self) -> dict[str, Cube]:
        """All images by the stem of their file."""
        return {"abundances": self.abundances, "error": self.error, **self.maps}


@contextmanager
def new_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A hidden folder beside ``path`` that takes its name when the block ends well, and is removed otherwise.

    Raises OutputError if ``path`` is taken (and not an earlier result that may be overwritten) or cannot be made.
    """
    target = check_folder(path, overwrite=overwrite)
    try:
        hidden = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    except OSError as error:
        raise OutputError(f"'{target.parent}' may not be written to ({error.strerror}); choose another.") from None
    try:
        yield hidden
        follow_umask(hidden)
        if target.exists():
            old = hidden.with_suffix(".old")
            target.rename(old)
            hidden.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            hidden.rename(target)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def check_folder(path: str | Path, *, overwrite: bool = False) -> Path:
    """Make sure, before any work, that a result's folder may be made.

    Raises OutputError if it is taken or its place cannot be written to.
    """
    target = Path(path).absolute()
    if not target.parent.is_dir():
        raise OutputError(
            f"folder '{target.parent}' does not exist, so '{target.name}' cannot go there; make it first."
        )
    if target.exists():
        if not target.is_dir():
            raise OutputError(f"'{path}' is a file; name a folder for the results.")
        if any(target.iterdir()):
            if not (target / MARK).is_file():
                raise OutputError(f"folder '{path}' holds other things; name a new one.")
            if not overwrite:
                raise OutputError(f"folder '{path}' holds a result already; choose another or add --overwrite.")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"folder '{target.parent}' is not writable; choose another.")
    return target


def write_tables(result: Unmixing, folder: Path) -> None:
    """Endmembers (.csv and .sli) and channels (.csv) into a folder."""
    from hsi_app.io.spectral_library import write_library

    write_library(result.endmembers, folder / "endmembers.csv")
    write_library(result.endmembers, folder / "endmembers.sli")
    write_text(folder / "channels.csv", result.channels.to_csv(result.observed.axis))


def write_unmixing(result: Unmixing, path: str | Path, *, overwrite: bool = False) -> Path:
    """Keep a result in a folder: abundances, error and maps as ENVI cubes, endmembers as .csv and .sli, channels as
    .csv, and the report.

    Returns the folder. Raises OutputError if it is taken or cannot be written; then nothing appears.
    """
    from hsi_app.io import save_cube
    from hsi_app.report.unmixing import write_unmixing_report

    with new_folder(path, overwrite=overwrite) as folder:
        for stem, cube in result.cubes.items():
            save_cube(cube, folder / f"{stem}.hdr")
        write_tables(result, folder)
        write_unmixing_report(result, folder / "report.html")
    return Path(path)
