"""Spectral libraries as files: ENVI (.sli), CSV and NumPy (.npz)."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.errors import CubeError, FormatError, HsiError, OutputError
from hsi_app.files import check_target, write_bytes, write_text
from hsi_app.io.envi import find_pair
from hsi_app.io.envi_header import DTYPES, as_list, as_names, format_entry, read_header, whole
from hsi_app.io.wavelengths import VECTOR_NAMES, WIDTH_NAMES, nm_per_unit, numbers, to_nm
from hsi_app.library import SpectralLibrary

MATRIX_NAMES = ("spectra", "endmembers", "library", "reflectance", "m", "e", "d")
LABEL_NAMES = ("names", "name", "labels", "materials")


def read_library(path: str | Path) -> SpectralLibrary:
    """Read named spectra.

    Parameters
    ----------
    path : ENVI library (.sli, or its .hdr), table (.csv, .txt: the first column or the first row holds wavelengths),
        or .npz with 'spectra' or 'endmembers', 'names' and 'wavelengths_nm'

    Returns
    -------
    SpectralLibrary in nm; micrometres are told from their size

    Raises
    ------
    FormatError
        If the file is missing, or is none of these.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FormatError(f"there is no library '{path}'; check the path.")
    readers = {".sli": _read_envi, ".hdr": _read_envi, ".csv": _read_table, ".txt": _read_table, ".npz": _read_npz}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise FormatError(f"'{path}' is no library by its name; there are {', '.join(sorted(readers))}.")
    try:
        return reader(file)
    except CubeError as error:
        raise FormatError(f"'{path}': {error}") from error
    except HsiError:
        raise
    except (OSError, ValueError, KeyError, csv.Error, zipfile.BadZipFile) as error:
        raise FormatError(f"'{path}' cannot be read as a spectral library ({' '.join(str(error).split())}).") from error


def _read_envi(path: Path) -> SpectralLibrary:
    header, data = find_pair(path)
    entries = read_header(header)
    if "spectral library" not in entries.get("file type", "").lower():
        raise FormatError(
            f"'{header}' is no spectral library (file type '{entries.get('file type', '')}'); open it as a cube."
        )
    bands, count = whole(entries, "samples", header), whole(entries, "lines", header)
    code, order = whole(entries, "data type", header), whole(entries, "byte order", header, 0)
    if code not in DTYPES:
        raise FormatError(f"'{header}' has data type {code}, which no spectra have.")
    dtype = DTYPES[code].newbyteorder(">" if order else "<")
    offset = whole(entries, "header offset", header, 0)
    needed = offset + bands * count * dtype.itemsize
    if data.stat().st_size < needed:
        raise FormatError(f"'{data}' has {data.stat().st_size} of {needed} bytes; fetch it again.")
    values = np.fromfile(data, dtype, bands * count, offset=offset).reshape(count, bands).T.astype(np.float64)
    factor = (
        numbers([entries["reflectance scale factor"]], "reflectance scale factor", header)[0]
        if ("reflectance scale factor" in entries)
        else 1.0
    )
    names: Sequence[str] = as_names(entries["spectra names"], count) if "spectra names" in entries else ()
    if len(names) != count:
        names = [f"spectrum {k}" for k in range(1, count + 1)]
    unit = entries.get("wavelength units")
    centres, widths = (
        numbers(as_list(entries[key]), key, header) if key in entries else None for key in ("wavelength", "fwhm")
    )
    scale = 1.0
    if centres is not None:
        centres, scale = to_nm(centres, unit)
    widths = None if widths is None else widths * (scale if centres is not None else nm_per_unit(unit) or 1.0)
    return SpectralLibrary(
        values / (factor or 1.0), tuple(names), centres, widths, entries.get("data units", ""), str(path)
    )


def _read_table(path: Path) -> SpectralLibrary:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) < 2:
        raise FormatError(f"'{path}' has {len(lines)} lines; a table of spectra needs a header line and numbers.")
    delimiter = next((mark for mark in (";", "\t", ",") if mark in lines[0]), None)
    rows = [next(csv.reader([line], delimiter=delimiter)) if delimiter else line.split() for line in lines]
    width = len(rows[0])
    ragged = next((n for n, row in enumerate(rows) if len(row) != width), None)
    if width < 2 or ragged is not None:
        raise FormatError(
            f"'{path}': line {(ragged or 0) + 1} has {len(rows[ragged or 0])} columns, the first {width};"
            " a table needs the same, at least two, in every line."
        )
    head = [cell.strip() for cell in rows[0]]
    if all(_is_number(cell) for cell in head[1:]) and not all(_is_number(row[0]) for row in rows[1:]):
        # One spectrum a line, its name first.
        centres, _ = to_nm(numbers(head[1:], "wavelength", path), _unit_in(head[0]))
        names = [row[0].strip() for row in rows[1:]]
        return SpectralLibrary(_cells([row[1:] for row in rows[1:]], path).T, tuple(names), centres, source=str(path))
    if all(_is_number(cell) for cell in head):
        head = ["", *(f"spectrum {k}" for k in range(1, width))]
        body = rows
    else:
        body = rows[1:]
    table = _cells(body, path)
    is_index = any(word in head[0].lower() for word in ("band", "index", "channel"))
    centres, scale = (None, 1.0) if is_index else to_nm(table[:, 0], _unit_in(head[0]))
    keep = [k for k in range(1, width) if head[k].lower() not in WIDTH_NAMES]
    widths = next((table[:, k] * scale for k in range(1, width) if head[k].lower() in WIDTH_NAMES), None)
    if not keep:
        raise FormatError(f"'{path}' has wavelengths but no spectrum beside them.")
    return SpectralLibrary(table[:, keep], tuple(head[k] for k in keep), centres, widths, source=str(path))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unit_in(title: str) -> str | None:
    """The unit in a column's title such as 'wavelength_nm' or 'Wavelength (um)'."""
    words = "".join(mark if mark.isalnum() or mark == "µ" else " " for mark in title.lower()).split()
    return next((word for word in reversed(words) if nm_per_unit(word)), None)


def _cells(rows: list[list[str]], path: Path) -> np.ndarray:
    """Cells as numbers; an empty one is a missing value."""
    return np.stack([numbers([cell if cell.strip() else "nan" for cell in row], "spectra", path) for row in rows])


def _read_npz(path: Path) -> SpectralLibrary:
    with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
        arrays = {key.lower(): archive[key] for key in archive.files}
    spectra = _first(arrays, MATRIX_NAMES)
    if spectra is None or spectra.ndim != 2:
        raise FormatError(f"'{path}' holds {', '.join(arrays) or 'nothing'}; a library needs a matrix 'spectra'.")
    centres, widths, names = (_first(arrays, keys) for keys in (VECTOR_NAMES, WIDTH_NAMES, LABEL_NAMES))
    bands = None if centres is None else centres.size
    if spectra.shape[0] != bands and (
        spectra.shape[1] == bands or (names is not None and spectra.shape[0] == names.size)
    ):
        spectra = spectra.T
    if centres is not None and centres.size != spectra.shape[0]:
        centres = widths = None
    if names is None or names.size != spectra.shape[1]:
        names = np.array([f"spectrum {k}" for k in range(1, spectra.shape[1] + 1)])
    if centres is not None:
        centres, _ = to_nm(centres, None)
    return SpectralLibrary(spectra, tuple(str(name) for name in names.ravel()), centres, widths, source=str(path))


def _first(arrays: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((arrays[key] for key in keys if key in arrays), None)


def write_library(library: SpectralLibrary, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a library: .csv (wavelength first, then a column a spectrum) or .sli with its header (float64, nm).

    Returns the path. Raises OutputError if the ending is another, or the file exists or cannot be written.
    """
    target = Path(path).expanduser()
    suffix = target.suffix.lower()
    if suffix == ".csv":
        return write_text(target, _table(library), overwrite=overwrite)
    if suffix != ".sli":
        raise OutputError(f"'{path}' is no library by its name; end it in .csv or .sli.")
    header = target.with_suffix(".hdr")
    for file in (target, header):
        check_target(file, overwrite=overwrite)
    write_bytes(target, np.ascontiguousarray(library.spectra.T, "<f8").tobytes(), overwrite=overwrite)
    # The header last: where it lies, the spectra lie too.
    write_text(header, _header(library), overwrite=overwrite)
    return target


def _table(library: SpectralLibrary) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    has_width = library.fwhm_nm is not None
    first = "band" if library.centres_nm is None else "wavelength_nm"
    writer.writerow([first, *(["fwhm_nm"] if has_width else []), *library.names])
    x = np.arange(1, library.bands + 1) if library.centres_nm is None else library.centres_nm
    for b in range(library.bands):
        width = [f"{library.fwhm_nm[b]:.10g}"] if library.fwhm_nm is not None else []
        writer.writerow([f"{x[b]:.10g}", *width, *("" if np.isnan(v) else f"{v:.9g}" for v in library.spectra[b])])
    return buffer.getvalue()


def _header(library: SpectralLibrary) -> str:
    entries: dict[str, Any] = {
        "samples": library.bands, "lines": library.count, "bands": 1, "header offset": 0,
        "file type": "ENVI Spectral Library", "data type": 5, "interleave": "bsq", "byte order": 0,
        "spectra names": list(library.names),
    }  # fmt: skip
    if library.centres_nm is not None:
        entries |= {"wavelength units": "Nanometers", "wavelength": library.centres_nm}
        if library.fwhm_nm is not None:
            entries["fwhm"] = library.fwhm_nm
    if library.unit:
        entries["data units"] = library.unit
    return "ENVI\n" + "".join(f"{format_entry(key, value)}\n" for key, value in entries.items())
