"""Writing HDF5: the cube as (band, row, col) in chunks, its wavelengths beside it, all facts as one JSON text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import final

import numpy as np

from hsi_app.io.cube_facts import AXES, facts_of
from hsi_app.io.hdf5 import FACTS_NAME
from hsi_app.io.writing import BlockWriter, Plan

CHUNK = (16, 256, 256)


@final
class Hdf5Writer(BlockWriter):
    """Writes '/cube', '/wavelength', '/fwhm', '/bbl' and the facts, which have no size limit as a dataset."""

    def __init__(self, path: Path, plan: Plan) -> None:
        import h5py

        facts = facts_of(plan)
        self._file = h5py.File(path, "w")
        chunks = tuple(min(piece, size) for piece, size in zip(CHUNK, plan.shape, strict=True))
        self._cube = self._file.create_dataset("cube", plan.shape, plan.dtype, chunks=chunks)
        self._cube.attrs["axes"] = " ".join(AXES)
        for name in ("wavelength", "fwhm", "bbl"):
            if name in facts:
                self._file[name] = np.asarray(facts[name])
        for name in ("wavelength", "fwhm"):
            if name in facts:
                self._file[name].attrs["units"] = "nm"
        self._file[FACTS_NAME] = json.dumps(facts)

    def put(self, rows: slice, cols: slice, block: np.ndarray) -> None:
        """See BlockWriter."""
        self._cube[:, rows, cols] = block

    def finish(self) -> None:
        """See BlockWriter."""
        self._file.close()

    def abandon(self) -> None:
        """See BlockWriter."""
        self._file.close()
