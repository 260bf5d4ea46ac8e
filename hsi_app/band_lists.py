"""Lists of bands as people write them: '1-4, 103-110, 1350-1450 nm', and files of bands marked bad."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.errors import FormatError, ParameterError
from hsi_app.files import write_text
from hsi_app.noise import NoiseReport

# Where water vapour lets nearly no light through, nm.
WATER_VAPOUR_NM = ((1350.0, 1450.0), (1800.0, 1950.0))

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_PART = re.compile(rf"{_NUMBER}\s*(?:(?:-|–|to|\.\.)\s*{_NUMBER})?\s*(nm|um|µm|μm)?", re.IGNORECASE)
_TO_NM = {"nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3}
# A list of bands is short; a cube given by mistake is not read.
_LARGEST_FILE = 2**20
_TRUE, _FALSE = {"1", "true", "yes", "bad"}, {"0", "false", "no", "good", ""}


def parse_bands(text: str, axis: BandAxis) -> np.ndarray:
    """Band indices from 0, ascending, of '1-4, 103-110, 1350-1450 nm, 0.76 um'; an empty text names none.

    Numbers without a unit are band numbers from 1, numbers with one are wavelengths: a stretch takes every band
    whose centre lies in it, a single wavelength the band nearest to it, bad or not.

    Raises
    ------
    ParameterError
        If a part is neither, a band is not in the cube, or wavelengths are asked for and unknown.
    """
    found: set[int] = set()
    for part in re.split(r"[,;\n]", text):
        if part.strip():
            found.update(bands_of_part(part.strip(), axis))
    return np.array(sorted(found), dtype=np.intp)


def bands_of_part(part: str, axis: BandAxis) -> list[int]:
    """The same of one part of such a list: '7', '1-4', '1350-1450 nm'; a part without text is none."""
    match = _PART.fullmatch(part)
    if match is None:
        raise ParameterError(f"'{part}' is no list of bands; write for example 1-4, 103-110, 1350-1450 nm.")
    first, last = float(match[1]), float(match[2] or match[1])
    if match[3]:
        unit = _TO_NM[match[3].lower()]
        return _between(first * unit, last * unit, axis, part)
    if not (first.is_integer() and last.is_integer() and 1 <= first <= last <= axis.count):
        raise ParameterError(f"'{part}' names no bands of 1 to {axis.count}; write wavelengths with nm after them.")
    return list(range(int(first) - 1, int(last)))


def _between(first_nm: float, last_nm: float, axis: BandAxis, part: str) -> list[int]:
    if axis.centres_nm is None:
        raise ParameterError(f"'{part}' asks for wavelengths, but none are known; write band numbers.")
    if first_nm == last_nm:
        return [int(np.argmin(np.abs(axis.centres_nm - first_nm)))]
    if first_nm > last_nm:
        raise ParameterError(f"'{part}' ends before it begins; write the smaller wavelength first.")
    return np.flatnonzero((axis.centres_nm >= first_nm) & (axis.centres_nm <= last_nm)).tolist()


def format_bands(indices: Iterable[int]) -> str:
    """'1-4, 9' for the indices 0, 1, 2, 3 and 8; runs are joined, an empty list is ''."""
    numbers = np.unique(np.asarray(list(indices), dtype=int)) + 1
    if not numbers.size:
        return ""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(str(run[0]) if run.size == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def water_vapour_bands(axis: BandAxis) -> np.ndarray:
    """Indices of the bands in the two stretches where water vapour takes the light.

    Raises ParameterError where no wavelengths are known.
    """
    return parse_bands(", ".join(f"{low:g}-{high:g} nm" for low, high in WATER_VAPOUR_NM), axis)


def noisy_bands(noise: NoiseReport, least_db: float) -> np.ndarray:
    """Indices of the bands whose signal-to-noise ratio is below ``least_db``, and of those where none was measured."""
    return np.flatnonzero(~(noise.snr_db >= least_db))


def write_band_list(path: str | Path, axis: BandAxis, *, overwrite: bool = False) -> Path:
    """Write which bands are bad: '.csv' a line a band with its wavelength, any other name the ranges as text.

    Raises OutputError as ``files.check_target`` does.
    """
    target = Path(path)
    if target.suffix.lower() != ".csv":
        return write_text(target, format_bands(np.flatnonzero(axis.is_bad)) + "\n", overwrite=overwrite)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["band", "wavelength_nm", "fwhm_nm", "is_bad"])
    for band in range(axis.count):
        columns = ("" if c is None else f"{c[band]:g}" for c in (axis.centres_nm, axis.fwhm_nm))
        writer.writerow([band + 1, *columns, int(axis.is_bad[band])])
    return write_text(target, table.getvalue(), overwrite=overwrite)


def read_band_list(path: str | Path, axis: BandAxis) -> np.ndarray:
    """Indices of the bad bands in a file, ascending.

    Parameters
    ----------
    path : a table with the columns 'band' and 'is_bad'; ranges as ``parse_bands`` takes them; an ENVI header with a
        bad-band list, or its numbers alone: one a band, 1 = good

    Raises
    ------
    FormatError
        If the file cannot be read or says nothing of this cube's bands.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise FormatError(f"'{file.name}' is too large for a list of bands; choose a CSV or text file.")
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is no text" if isinstance(error, UnicodeDecodeError) else error.strerror or error
        raise FormatError(f"'{file}' cannot be read as a list of bands: {reason}; choose another file.") from None
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    try:
        if lines and "is_bad" in lines[0].lower():
            return _of_table(lines, axis)
        return _of_text("\n".join(lines), axis, is_header=bool(lines) and lines[0].strip().upper() == "ENVI")
    except ParameterError as error:
        raise FormatError(f"'{file.name}': {error}") from None


def _of_table(lines: list[str], axis: BandAxis) -> np.ndarray:
    rows = csv.DictReader([lines[0].lower(), *lines[1:]])
    if not {"band", "is_bad"} <= set(rows.fieldnames or ()):
        raise ParameterError("the table needs the columns 'band' and 'is_bad'.")
    bad = []
    for row in rows:
        flag = (row["is_bad"] or "").strip().lower()
        if flag not in _TRUE | _FALSE:
            raise ParameterError(f"is_bad is '{row['is_bad']}'; write 1 for bad and 0 for good.")
        if flag in _TRUE:
            bad.append(str(row["band"]))
    return parse_bands(", ".join(bad), axis)


def _of_text(text: str, axis: BandAxis, *, is_header: bool) -> np.ndarray:
    listed = re.search(r"\bbbl\s*=\s*\{([^}]*)\}", text, re.IGNORECASE)
    if listed is None and is_header:
        raise ParameterError("the header has no bad-band list (bbl).")
    flags = re.split(r"[\s,;]+", (listed[1] if listed else text).strip())
    is_flags = all(re.fullmatch(r"[01](\.0*)?", flag) for flag in flags)
    if listed is not None or (is_flags and len(flags) == axis.count and axis.count > 1):
        if not is_flags or len(flags) != axis.count:
            raise ParameterError(f"its bad-band list has {len(flags)} entries for {axis.count} bands of this cube.")
        return np.flatnonzero([float(flag) == 0 for flag in flags])
    return parse_bands(text, axis)
