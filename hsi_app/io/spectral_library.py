"""Spectral libraries as files: ENVI (.sli), CSV and NumPy (.npz)."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.errors import FormatError, OutputError
from hsi_app.files import check_target, write_bytes, write_text
from hsi_app.io import numpy_files
from hsi_app.io.damage import readable
from hsi_app.io.envi import find_pair, open_envi
from hsi_app.io.envi_header import as_names, format_entry, read_header
from hsi_app.io.spectra_table import LABEL_NAMES, format_table, lengths, numbered, read_table
from hsi_app.io.wavelengths import VECTOR_NAMES, WIDTH_NAMES
from hsi_app.io.writing import output_error
from hsi_app.library import FILL, SpectralLibrary

MATRIX_NAMES = ("spectra", "endmembers", "library", "reflectance", "m", "e", "d")


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
    readers = {".sli": _read_envi, ".hdr": _read_envi, ".csv": read_table, ".txt": read_table, ".npz": _read_npz}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise FormatError(f"'{path}' is no library by its name; there are {', '.join(sorted(readers))}.")
    with readable(path, "a spectral library"):
        return reader(file)


def _read_envi(path: Path) -> SpectralLibrary:
    header, _ = find_pair(path)
    entries = read_header(header)
    if "spectral library" not in entries.get("file type", "").lower():
        raise FormatError(
            f"'{header}' is no spectral library (file type '{entries.get('file type', '')}'); open it as a cube."
        )
    # Layout, scale and missing value are those of an image: one line a spectrum, one sample a channel.
    cube = open_envi(path, None, True)
    stored = cube.read()
    gain, offset = (np.reshape(column, (-1, 1)) for column in (cube.gain, cube.offset))
    # Fill values go first: scaled, they might pass for numbers.
    measured = cube.valid_of(stored) & (np.abs(stored.astype(np.float64)) < FILL)
    spectra = np.where(measured, stored, np.nan)[:, :, 0] * gain + offset
    unit = entries.get("wavelength units", "")
    if cube.axis.centres_nm is None and entries.get("wavelength") and unit.lower() not in ("index", "band number"):
        raise FormatError(f"'{header}' has wavelengths that are no lengths; correct them, or take the list out.")
    return SpectralLibrary(
        spectra,
        _names_of(entries, cube.shape[1], header),
        cube.axis.centres_nm,
        cube.axis.fwhm_nm,
        cube.unit,
        str(path),
    )


def _names_of(entries: Mapping[str, str], count: int, header: Path) -> tuple[str, ...]:
    listed = entries.get("spectra names", "")
    if not listed.strip():
        return numbered(count)
    names = (" ".join(listed.split()).rstrip(" ,"),) if count == 1 else as_names(listed, count)
    if len(names) != count:
        raise FormatError(
            f"'{header}' has {count} spectra but lists {len(names)} names, which commas part; correct 'spectra names'."
        )
    return names


def _read_npz(path: Path) -> SpectralLibrary:
    if zipfile.is_zipfile(path):
        numpy_files.arrays(path)  # none of them larger than the file may hold
    with path.open("rb") as handle:
        archive = np.load(handle, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise FormatError(
                f"'{path}' holds one array without names or wavelengths; keep the library as .npz or .csv."
            )
        keys = {key.lower(): key for key in reversed(archive.files)}
        # Only what a library needs: a cube may lie beside it.
        spectra, centres, widths, names, kept = (
            _first(archive, keys, wanted)
            for wanted in (MATRIX_NAMES, VECTOR_NAMES, WIDTH_NAMES, LABEL_NAMES, ("selected_bands",))
        )
    if spectra is None or spectra.ndim not in (1, 2):
        raise FormatError(
            f"'{path}' holds {', '.join(keys.values()) or 'nothing'}; a library needs a matrix 'spectra'."
        )
    spectra = spectra[:, None] if spectra.ndim == 1 else spectra
    columns = [None if column is None else column.reshape(-1) for column in (centres, widths)]
    if kept is not None and kept.size in spectra.shape:
        # Spectra of the bands without water vapour, beside the wavelengths of all bands.
        columns = [c if c is None or c.size == kept.size else c[kept.reshape(-1)] for c in columns]
    bands = next((column.size for column in columns if column is not None), None)
    count = None if names is None or names.size < 1 else names.size
    if spectra.shape[0] != bands and (spectra.shape[1] == bands or (bands is None and spectra.shape[0] == count)):
        spectra = spectra.T
    for found, needed, what in ((bands, spectra.shape[0], "wavelengths"), (count, spectra.shape[1], "names")):
        if found not in (None, needed):
            raise FormatError(f"'{path}' has {found} {what} for spectra of shape {spectra.shape}; give {needed}.")
    scale = 1.0
    if columns[0] is not None:
        columns[0], scale = lengths(columns[0], None, path)
    return SpectralLibrary(
        spectra,
        numbered(spectra.shape[1]) if names is None else tuple(str(name) for name in names.reshape(-1)),
        columns[0],
        None if columns[1] is None else columns[1] * scale,
        source=str(path),
    )


def _first(archive: Mapping[str, Any], keys: Mapping[str, str], wanted: tuple[str, ...]) -> Any:
    return next((archive[keys[key]] for key in wanted if key in keys), None)


def write_library(library: SpectralLibrary, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a library: .csv (wavelength first, then a column a spectrum) or .sli with its header (float64, nm).

    Returns the path. Raises OutputError if the ending is another, or the file exists or cannot be written.
    """
    target = Path(path).expanduser()
    suffix = target.suffix.lower()
    if suffix == ".csv":
        return write_text(target, format_table(library), overwrite=overwrite)
    if suffix != ".sli":
        raise OutputError(f"'{path}' is no library by its name; end it in .csv or .sli.")
    header = target.with_suffix(".hdr")
    for file in (target, header):
        check_target(file, overwrite=overwrite)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".partial", dir=target.parent) as folder:
            hidden = Path(folder)
            write_bytes(hidden / target.name, np.ascontiguousarray(library.spectra.T, "<f8").tobytes())
            write_text(hidden / header.name, _header(library))
            # The header last: where it lies, the spectra lie too.
            for file in (target, header):
                os.replace(hidden / file.name, file)
    except OSError as error:
        raise output_error(error, target) from error
    return target


def _header(library: SpectralLibrary) -> str:
    entries: dict[str, Any] = {
        "samples": library.bands, "lines": library.count, "bands": 1, "header offset": 0,
        "file type": "ENVI Spectral Library", "data type": 5, "interleave": "bsq", "byte order": 0,
        "spectra names": [" ".join(name.split()) or f"spectrum {k}" for k, name in enumerate(library.names, 1)],
    }  # fmt: skip
    if library.centres_nm is not None or library.fwhm_nm is not None:
        entries["wavelength units"] = "Nanometers"
    if library.centres_nm is not None:
        entries["wavelength"] = library.centres_nm
    if library.fwhm_nm is not None:
        entries["fwhm"] = library.fwhm_nm
    if library.unit:
        entries["data units"] = library.unit
    return "ENVI\n" + "".join(f"{format_entry(key, value)}\n" for key, value in entries.items())
