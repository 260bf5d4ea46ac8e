"""Writing HDF5: the cube as (band, row, col), its wavelengths beside it, all facts as one JSON text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import final

import numpy as np

from hsi_app.io.cube_facts import AXES, facts_of
from hsi_app.io.hdf5 import FACTS_NAME
from hsi_app.io.raw_writing import RawSamples
from hsi_app.io.writing import BlockWriter, Plan


@final
class Hdf5Writer(BlockWriter):
    """Writes '/cube', '/wavelength', '/fwhm', '/bbl' and the facts, which have no size limit as a dataset.

    HDF5 lays the file out and is closed; the samples then go to their place as plain bytes. Were they written through
    the library, a disk that fills up would leave it with chunks it can neither store nor drop, which aborts the
    process (seen with h5py 3.16).
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        import h5py

        facts = facts_of(plan)
        stored = plan.dtype.newbyteorder("<")
        with h5py.File(path, "w") as file:
            layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            layout.set_layout(h5py.h5d.CONTIGUOUS)
            layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            space = h5py.h5s.create_simple(plan.shape)
            cube = h5py.h5d.create(file.id, b"cube", h5py.h5t.py_create(stored, logical=True), space, layout)
            offset = cube.get_offset()
            file["cube"].attrs["axes"] = " ".join(AXES)
            for name in ("wavelength", "fwhm", "bbl"):
                if name in facts:
                    file[name] = np.asarray(facts[name])
            for name in ("wavelength", "fwhm"):
                if name in facts:
                    file[name].attrs["units"] = "nm"
            file[FACTS_NAME] = json.dumps(facts)
        self._samples = RawSamples(path, plan.shape, stored, (0, 1, 2), offset=offset)

    def put(self, rows: slice, cols: slice, block: np.ndarray) -> None:
        """See BlockWriter."""
        self._samples.put(rows, cols, block)

    def finish(self) -> None:
        """See BlockWriter."""
        self._samples.close()

    def abandon(self) -> None:
        """See BlockWriter."""
        self._samples.close()
