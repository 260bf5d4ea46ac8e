"""Writing ENVI pairs: little-endian samples in any order of windows, and the header once they are complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import OutputError
from hsi_app.io.envi_header import CODES, clean, format_entry
from hsi_app.io.lazy import INTERLEAVES
from hsi_app.io.map_frame import format_map_info
from hsi_app.io.raw_writing import RawSamples
from hsi_app.io.writing import BlockWriter, Plan

# Facts that say how the source file was stored, or that the writer sets itself.
_OWN = {"format", "interleave", "rows are", "description", "array", "axes", "spectra names", "x start", "y start"}


def pair_names(path: Path) -> tuple[str, str]:
    """Names of the data file and the header that go with a target; 'out.hdr' brings 'out.bsq'."""
    if path.suffix.lower() == ".hdr":
        return f"{path.stem}.bsq", path.name
    return path.name, f"{path.stem}.hdr"


def envi_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The narrowest number type of ENVI that holds every value of ``dtype``."""
    if dtype.kind == "b":
        return np.dtype("u1")
    stand_in = {"i1": "i2", "f2": "f4", "f16": "f8"}.get(f"{dtype.kind}{dtype.itemsize}")
    return np.dtype(stand_in) if stand_in else dtype.newbyteorder("=")


@final
class EnviWriter(BlockWriter):
    """Writes data file and header in the folder of ``path``; the interleave follows the extension, else BSQ."""

    def __init__(self, path: Path, plan: Plan) -> None:
        data, self._header = (path.parent / name for name in pair_names(path))
        self._plan = plan
        suffix = data.suffix.lower()[1:]
        self._interleave = suffix if suffix in INTERLEAVES else "bsq"
        # Before the samples, so that facts the header cannot hold are reported at once.
        self._text = header_text(plan, self._interleave)
        self._samples = RawSamples(data, plan.shape, plan.dtype.newbyteorder("<"), INTERLEAVES[self._interleave])

    def put(self, rows: slice, cols: slice, block: np.ndarray) -> None:
        """See BlockWriter."""
        self._samples.put(rows, cols, block)

    def finish(self) -> None:
        """See BlockWriter."""
        self._samples.close()
        self._header.write_text(self._text, encoding="utf-8")

    def abandon(self) -> None:
        """See BlockWriter."""
        self._samples.close()


def _scale_entries(cube: Cube, count: int) -> list[str]:
    """Gain and offset as header entries.

    'reflectance scale factor' is what ENVI and EnMAP-Box read; it can only say one gain without an offset.
    """
    lines = []
    gain, offset = np.asarray(cube.gain, np.float64), np.asarray(cube.offset, np.float64)
    factor = None if gain.ndim or gain <= 0 else 1.0 / float(gain)
    if factor is not None and abs(factor - round(factor)) < 1e-9 * factor:
        factor = float(round(factor))
    if factor is not None and not offset.any() and cube.unit == "reflectance" and 1.0 / factor == float(gain):
        if factor != 1:
            lines.append(format_entry("reflectance scale factor", factor))
        return lines
    if gain.ndim or gain != 1:
        lines.append(format_entry("data gain values", np.broadcast_to(gain, (count,))))
    if offset.any():
        lines.append(format_entry("data offset values", np.broadcast_to(offset, (count,))))
    return lines


def header_text(plan: Plan, interleave: str) -> str:
    """The header of a file with the plan's shape, number type and facts.

    Raises OutputError where ENVI has no such number type.
    """
    cube, (count, height, width) = plan.like, plan.shape
    if plan.dtype not in CODES:
        raise OutputError(f"ENVI files cannot hold {plan.dtype}; ask for float32.")
    lines = ["ENVI"]
    if description := str(cube.facts.get("description", "")).strip():
        lines.append(f"description = {{{clean(description)}}}")
    lines += [
        format_entry(key, value)
        for key, value in (
            ("samples", width), ("lines", height), ("bands", count), ("header offset", 0),
            ("file type", "ENVI Standard"), ("data type", CODES[plan.dtype]), ("interleave", interleave),
            ("byte order", 0),
        )
    ]  # fmt: skip
    if plan.nodata is not None:
        whole = plan.dtype.kind in "iu" and float(plan.nodata).is_integer()
        lines.append(format_entry("data ignore value", int(plan.nodata) if whole else float(plan.nodata)))
    lines += _scale_entries(cube, count)
    if cube.unit:
        lines.append(format_entry("data units", clean(cube.unit).replace("\n", " ")))
    if cube.georef is not None:
        written = format_map_info(cube.georef)
        if written is None:
            raise OutputError(
                "ENVI headers cannot hold a sheared or mirrored map frame; write GeoTIFF (.tif) or Zarr (.zarr)."
            )
        lines.append(f"map info = {{{written[0]}}}")
        if written[1]:
            lines.append(f"coordinate system string = {{{written[1]}}}")
    lines += _band_entries(cube)
    reserved = {line.partition(" = ")[0] for line in lines} | _OWN
    lines += [
        format_fact(key, value)
        for key, value in cube.facts.items()
        if key.lower() not in reserved and "=" not in key and "\n" not in key and is_plain(value)
    ]
    if cube.history:
        history = "\n ".join(" ".join(clean(line).split()) for line in cube.history)
        lines.append(f"history = {{\n {history}}}")
    return "\n".join(lines) + "\n"


def _band_entries(cube: Cube) -> list[str]:
    axis, lines = cube.axis, []
    if axis.centres_nm is not None or axis.fwhm_nm is not None:
        lines.append("wavelength units = Nanometers")
    if axis.centres_nm is not None:
        lines.append(format_entry("wavelength", axis.centres_nm))
    if axis.fwhm_nm is not None:
        lines.append(format_entry("fwhm", axis.fwhm_nm))
    if axis.is_bad.any():
        lines.append(format_entry("bbl", (~axis.is_bad).astype(int)))
    if axis.names is not None:
        lines.append(format_entry("band names", axis.names))
    return lines


def is_plain(value: object) -> bool:
    """True for what a header entry can hold: text and numbers, and lists of them."""
    return isinstance(value, str | int | float) or (
        isinstance(value, list | tuple) and bool(value) and all(isinstance(v, str | int | float) for v in value)
    )


def format_fact(key: str, value: Any) -> str:
    """A fact as a header entry. Text that was a list or has several lines keeps its braces."""
    if isinstance(value, list | tuple):
        return format_entry(key, [str(v) for v in value])
    text = clean(str(value))
    return f"{key} = {{{text}}}" if "," in text or "\n" in text else f"{key} = {text}"
