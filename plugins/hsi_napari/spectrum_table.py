"""Picked spectra as a table for other programs."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.errors import CubeError

if TYPE_CHECKING:
    from hsi_napari.spectrum_model import SpectrumModel


def csv_of(model: SpectrumModel) -> str:
    """A table: a line a band, a column a spectrum; comment lines say where each pin lies and how large a region is.

    Spectra are in physical units (gain and offset applied) whatever the view, bad bands included and flagged; empty
    cells are missing. Regions have three columns: mean, standard deviation (sample), number of samples behind them.
    The second image has columns of its own where it shares the first one's bands.

    Raises
    ------
    CubeError
        If there is no image, or neither a pin nor a region.
    """
    if model.first is None or not (model.pins or model.regions):
        raise CubeError("there are no pinned spectra to export; click on the image to pin one, or choose regions.")
    axis = model.first.cube.axis
    sources = [(model.first, False)]
    if model.second is not None and model.second.cube.axis.count == axis.count:
        sources.append((model.second, True))
    columns: list[tuple[str, list[str]]] = []
    notes = []
    for pin in model.pins:
        notes.append(f"# pin {pin.number}: {model.describe(pin.y, pin.x)}")
        for source, _ in sources:
            pixel = source.pixel(pin.y, pin.x)
            if pixel is not None:
                values = source.spectra.read(*pixel, model.box)
                columns.append((f"pin {pin.number} {source.name}", _numbers(values)))
    for region in model.regions:
        notes.append(f"# {region.name}: {region.size}")
        for source, is_after in sources:
            spectrum = region.second if is_after else region.first
            if spectrum is not None:
                columns.append((f"{region.name} mean {source.name}", _numbers(spectrum.mean)))
                columns.append((f"{region.name} std {source.name}", _numbers(spectrum.std)))
                columns.append((f"{region.name} n {source.name}", [str(int(n)) for n in spectrum.samples]))
    out = io.StringIO()
    notes.append(f"# mean of {model.box} x {model.box} px; values: {model.value_title()}")
    out.write("\n".join(note.replace("≈", "about") for note in notes) + "\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["band", "wavelength_nm", "bad", *(title for title, _ in columns)])
    for band in range(axis.count):
        centre = "" if axis.centres_nm is None else f"{axis.centres_nm[band]:.10g}"
        writer.writerow([band + 1, centre, int(axis.is_bad[band]), *(cells[band] for _, cells in columns)])
    return out.getvalue()


def _numbers(values: np.ndarray) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.9g}" for value in values]
