"""Spectra as a table of text: one a column beside the wavelengths, or one a row."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from hsi_app.errors import FormatError
from hsi_app.io.wavelengths import WIDTH_NAMES, nm_per_unit, to_nm
from hsi_app.library import SpectralLibrary

LABEL_NAMES = ("names", "name", "labels", "materials")
# Titles of the first column, beside those, in a table of one spectrum a line.
NAME_TITLES = ("spectrum", "spectra", "material", "label", "class", "sample", "id")


def numbered(count: int) -> tuple[str, ...]:
    """Names for spectra that have none."""
    return tuple(f"spectrum {k}" for k in range(1, count + 1))


def _rows(path: Path) -> list[list[str]]:
    """Cells of a table, comments and empty lines left out; every row of the same length, at least two."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Spreadsheets of old write the micro sign in the Western code page.
        text = raw.decode("latin-1")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) < 2:
        raise FormatError(f"'{path}' has {len(lines)} lines; a table of spectra needs a header line and numbers.")
    for mark in (",", ";", "\t", None):
        rows = [line.split() for line in lines] if mark is None else list(csv.reader(lines, delimiter=mark))
        if len(rows[0]) > 1 and all(len(row) == len(rows[0]) for row in rows):
            while len(rows[0]) > 2 and not any(row[-1].strip() for row in rows):
                rows = [row[:-1] for row in rows]
            return rows
    mark = next((mark for mark in ("\t", ";", ",") if mark in lines[0]), None)
    widths = [len(line.split(mark)) for line in lines]
    wrong = next((n for n, width in enumerate(widths) if width != widths[0] or width < 2), 0)
    raise FormatError(
        f"'{path}': row {wrong + 1} has {widths[wrong]} columns, the first {widths[0]};"
        " a table needs the same, at least two, in every line."
    )


def read_table(path: Path) -> SpectralLibrary:
    """Read spectra in columns, wavelengths first (then, if titled so, widths), or in rows, names first.

    Cells are parted by commas, semicolons, tabs or spaces; '#' begins a comment line; an empty cell was not measured.
    A first column that counts the bands gives no wavelengths.

    Raises
    ------
    FormatError
        If rows differ in length, or hold something else than numbers.
    """
    rows = _rows(path)
    head = [" ".join(cell.split()) for cell in rows[0]]
    title, body = head[0], rows[1:]
    is_across = all(_is_number(cell) for cell in head[1:])
    is_down = all(_is_number(row[0]) for row in body)
    if is_across and (not is_down or title.lower() in (*LABEL_NAMES, *NAME_TITLES)):
        # One spectrum a line, its name first.
        column, names = _cells([head[1:]], path)[0], [" ".join(row[0].split()) for row in body]
        spectra = _cells([row[1:] for row in body], path).T
    else:
        if is_across and _is_number(title):
            title, head, body = "", ["", *numbered(len(head) - 1)], rows
        table = _cells(body, path)
        column, names, spectra = table[:, 0], head[1:], table[:, 1:]
    centres, scale = _table_lengths(title, column, path)
    widths = None
    if (first := names[0].lower()) in WIDTH_NAMES:
        widths = spectra[:, 0] * (1.0 if first.endswith("_nm") else scale)
        spectra, names = spectra[:, 1:], names[1:]
    if not names:
        raise FormatError(f"'{path}' has wavelengths and widths but no spectrum beside them.")
    return SpectralLibrary(spectra, tuple(names), centres, widths, source=str(path))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cells(rows: list[list[str]], path: Path) -> np.ndarray:
    """Cells as numbers; an empty one is a missing value."""
    bad = next((cell for row in rows for cell in row if cell.strip() and not _is_number(cell)), None)
    if bad is not None:
        raise FormatError(f"'{path}' has '{bad[:40]}' among its numbers; leave a cell empty where none was measured.")
    return np.array([[float(cell) if cell.strip() else np.nan for cell in row] for row in rows])


def _table_lengths(title: str, column: np.ndarray, path: Path) -> tuple[np.ndarray | None, float]:
    """Wavelengths by their title, such as 'wavelength_nm' or 'Wavelength (um)'; None where it counts the bands."""
    words = "".join(mark if mark.isalnum() else " " for mark in title.lower()).split()
    unit = next((word for word in reversed(words) if nm_per_unit(word)), None)
    if any(word.startswith("wavenumber") for word in words) or "cm-1" in title:
        unit = "wavenumber"
    is_count = any(np.array_equal(column, np.arange(first, first + column.size)) for first in (0, 1))
    if is_count and unit is None and not any(word.startswith(("wave", "lambda")) for word in words):
        return None, 1.0
    return lengths(column, unit, path)


def lengths(column: np.ndarray, unit: str | None, path: Path) -> tuple[np.ndarray, float]:
    """Wavelengths in nm, and nm per unit of the file. Raises FormatError where they are no positive numbers."""
    centres, scale = to_nm(column, unit)
    if centres is None:
        raise FormatError(f"'{path}' has wavelengths that are no positive numbers; correct them.")
    return centres, scale


def format_table(library: SpectralLibrary) -> str:
    """A library as a table that ``read_table`` reads: wavelengths, widths if known, a column a spectrum."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    has_width = library.fwhm_nm is not None
    first = "band" if library.centres_nm is None else "wavelength_nm"
    names = [" ".join(name.split()) for name in library.names]
    writer.writerow([first, *(["fwhm_nm"] if has_width else []), *names])
    x = np.arange(1, library.bands + 1) if library.centres_nm is None else library.centres_nm
    for b in range(library.bands):
        width = [f"{library.fwhm_nm[b]:.10g}"] if library.fwhm_nm is not None else []
        writer.writerow([f"{x[b]:.10g}", *width, *("" if np.isnan(v) else f"{v:.9g}" for v in library.spectra[b])])
    return buffer.getvalue()
