"""ENVI files: a text header beside plain binary samples."""

from __future__ import annotations

import gzip
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import ArrayLike, Cube
from hsi_app.errors import FormatError
from hsi_app.io.damage import check_claim, readable
from hsi_app.io.envi_header import COMPLEX_CODES, DTYPES, as_lines, as_list, as_names, read_header, whole
from hsi_app.io.lazy import INTERLEAVES, RawValues
from hsi_app.io.map_frame import parse_map_info
from hsi_app.io.wavelengths import from_names, nm_per_unit, numbers, to_nm

DATA_SUFFIXES = (".bsq", ".bil", ".bip", ".img", ".dat", ".raw", ".sli", ".cube", ".bin", ".lan", "")
# A packed file up to this size is unpacked once on opening; a larger one is unpacked anew for each read.
UNPACK_LIMIT_BYTES = 256 * 2**20
_REQUIRED = ("samples", "lines", "bands", "data type")
# Read into the cube's own fields, so not repeated among its facts.
_CONSUMED = {
    "samples", "lines", "bands", "header offset", "data type", "interleave", "byte order", "file type",
    "file compression", "wavelength", "wavelength units", "fwhm", "bbl", "band names", "map info",
    "coordinate system string", "data ignore value", "reflectance scale factor", "data gain values",
    "data offset values", "data units", "history", "spectra names",
}  # fmt: skip


def find_pair(path: Path) -> tuple[Path, Path]:
    """Header and data file of a pair, given either.

    'scene.hdr' goes with scene, scene.img, scene.bsq ... in any case; 'scene.dat' with scene.hdr or scene.dat.hdr.

    Raises FormatError naming what was looked for where the other half is missing.
    """
    siblings = {entry.name.lower(): entry for entry in sorted(path.parent.iterdir(), reverse=True)}
    siblings[path.name.lower()] = path
    if path.suffix.lower() != ".hdr":
        for name in (f"{path.stem}.hdr", f"{path.name}.hdr"):
            if (header := siblings.get(name.lower())) is not None:
                return header, path
        raise FormatError(f"'{path}' has no header beside it; put '{path.stem}.hdr' there.")
    stem = path.name[: -len(".hdr")]
    found = [
        data
        for suffix in DATA_SUFFIXES
        if (data := siblings.get((stem + suffix).lower())) is not None and data.is_file()
    ]
    if not found:
        raise FormatError(f"'{path}' has no data file beside it; put '{stem}' or '{stem}.img' (.dat, .bsq ...) there.")
    return path, found[0] if len(found) == 1 else _fitting(path, found)


def _fitting(header: Path, found: list[Path]) -> Path:
    """Of several data files, the one of the header's size, before that the one named after its interleave."""
    entries = read_header(header)
    named = f".{entries.get('interleave', '').lower()}"
    found = sorted(found, key=lambda data: data.suffix.lower() != named)
    try:
        needed = _layout(entries, header)[3]
    except FormatError:
        return found[0]
    return next((data for data in found if data.stat().st_size >= needed), found[0])


def _layout(entries: Mapping[str, str], path: Path) -> tuple[tuple[int, int, int], np.dtype[Any], int, int]:
    """Shape (B, H, W), number type with byte order, offset, and bytes of the whole file."""
    missing = [key for key in _REQUIRED if key not in entries]
    if missing:
        raise FormatError(f"'{path}' lacks {', '.join(repr(key) for key in missing)}; add the entries to the header.")
    width, height, bands, code = (whole(entries, key, path) for key in _REQUIRED)
    offset, order = whole(entries, "header offset", path, 0), whole(entries, "byte order", path, 0)
    if min(width, height, bands) < 1 or offset < 0 or order not in (0, 1):
        raise FormatError(
            f"'{path}' says {bands} bands, {height} lines, {width} samples, offset {offset}, byte order {order};"
            " sizes must be positive and the byte order 0 or 1."
        )
    if code in COMPLEX_CODES:
        raise FormatError(f"'{path}' holds complex numbers (data type {code}); take the magnitude first.")
    if code not in DTYPES:
        raise FormatError(f"'{path}' has data type {code}; known are {', '.join(map(str, sorted(DTYPES)))}.")
    dtype = DTYPES[code].newbyteorder("<" if order == 0 else ">")
    # Python integers: an insane header must not wrap around.
    return (bands, height, width), dtype, offset, offset + bands * height * width * dtype.itemsize


def open_envi(path: Path, array: str | None, wavelengths: bool) -> Cube:
    """Open either file of an ENVI pair; reads the header only.

    A spectral library becomes a cube of shape (spectral channels, spectra, 1), its names in
    ``facts['spectra names']``.

    Raises FormatError for every disagreement between header, file size and lists.
    """
    if array is not None:
        raise FormatError(f"'{path}' holds one image only; open it without '::{array}'.")
    header, data = find_pair(path)
    entries = read_header(header)
    shape, dtype, offset, needed = _layout(entries, header)
    interleave = entries.get("interleave", "bsq").strip().lower()
    if interleave not in INTERLEAVES:
        raise FormatError(f"'{header}' has interleave '{interleave[:20]}'; known are bsq, bil and bip.")
    library = "spectral library" in entries.get("file type", "").lower()
    if library:
        # Stored as an image of one band: a line a spectrum, a sample a channel.
        shape, interleave = (shape[2], shape[1], shape[0]), "bip"
        if shape[2] != 1:
            raise FormatError(f"'{header}' is a spectral library of {shape[2]} bands; it needs 1.")
    values = _values(header, data, shape, dtype, interleave, offset, needed)
    if library:
        # Its one name is that of the library, not of a channel.
        entries.pop("band names", None)
    axis, notes = _band_axis(entries, header, shape[0], wavelengths)
    gain, add, unit = _scale(entries, header, shape[0])
    facts: dict[str, Any] = {
        "format": "ENVI spectral library" if library else "ENVI",
        "interleave": interleave,
        **{key: value for key, value in entries.items() if key not in _CONSUMED},
    }
    if library:
        facts["rows are"] = "spectra"
    if "spectra names" in entries:
        facts["spectra names"] = as_list(entries["spectra names"])
    georef = None
    if "map info" in entries:
        georef = parse_map_info(as_list(entries["map info"]), entries.get("coordinate system string"), header)
    return Cube(
        values=values,
        bands=axis,
        nodata=_number(entries, "data ignore value", header),
        georef=georef,
        gain=gain,
        offset=add,
        unit=unit,
        name=data.stem if data.suffix.lower() in DATA_SUFFIXES else data.name,
        source=str(path),
        facts=facts,
        history=(*as_lines(entries.get("history", "")), *notes),
    )


def _values(
    header: Path,
    data: Path,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    interleave: str,
    offset: int,
    needed: int,
) -> ArrayLike:
    try:
        size = data.stat().st_size
        with open(data, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b" and size != needed
            if packed:
                file.seek(-4, os.SEEK_END)
                # The trailer holds the unpacked size modulo 2**32.
                trailer = struct.unpack("<I", file.read(4))[0]
    except OSError as error:
        raise FormatError(f"'{data}' cannot be read ({error.strerror or error}).") from error
    if packed and trailer != needed % 2**32:
        packed = False
    if packed:
        check_claim(data, needed)
    if packed and needed <= UNPACK_LIMIT_BYTES:
        return _unpacked(data, shape, dtype, interleave, offset, needed)
    if not packed and size < needed:
        raise FormatError(
            f"'{header}' needs {needed} bytes ({shape[0]} bands x {shape[1]} lines x {shape[2]} samples of"
            f" {dtype.itemsize} bytes, offset {offset}) but '{data.name}' has {size};"
            f" {_proposal(shape, dtype, offset, size)}."
        )
    if not packed and size > needed:
        fit = _proposal(shape, dtype, offset, size, plain="")
        # Trailing bytes are common and harmless, unless they make up whole bands or a wider number type.
        if fit and size - needed >= shape[1] * shape[2]:
            raise FormatError(f"'{header}' needs {needed} bytes but '{data.name}' has {size}; {fit}.")
    return RawValues(str(data), shape, dtype, INTERLEAVES[interleave], offset, packed)


def _unpacked(
    data: Path, shape: tuple[int, int, int], dtype: np.dtype[Any], interleave: str, offset: int, needed: int
) -> np.ndarray:
    with readable(data, "a gzip stream"), gzip.open(data) as file:
        # No more than the header needs, however much the stream would unpack to.
        raw = file.read(needed)
    order = INTERLEAVES[interleave]
    stored = np.frombuffer(raw, dtype, offset=offset).reshape([shape[axis] for axis in order])
    return np.ascontiguousarray(stored.transpose(np.argsort(order)), dtype.newbyteorder("="))


def _proposal(
    shape: tuple[int, int, int], dtype: np.dtype[Any], offset: int, size: int, plain: str = "fetch the file again"
) -> str:
    """What single change of the header would fit the file, or ``plain``."""
    bands, height, width = shape
    plane = height * width * dtype.itemsize
    for other in (1, 2, 4, 8):
        if other != dtype.itemsize and offset + bands * height * width * other == size:
            codes = [str(code) for code, known in DTYPES.items() if known.itemsize == other]
            return f"numbers of {other} bytes would fit: data type {' or '.join(codes)}"
    for what, count, piece in (
        ("bands", bands, plane),
        ("lines", height, bands * width * dtype.itemsize),
        ("samples", width, bands * height * dtype.itemsize),
    ):
        fits, rest = divmod(size - offset, piece)
        if rest == 0 and 0 < fits != count:
            return f"{what} = {fits} would fit"
    if offset and bands * plane == size:
        return "header offset = 0 would fit"
    if not offset and size > bands * plane:
        return f"header offset = {size - bands * plane} would fit" if plain else ""
    return plain


def _number(entries: Mapping[str, str], key: str, path: Path) -> float | None:
    text = entries.get(key, "").strip()
    return float(numbers([text], key, path)[0]) if text else None


def _band_axis(
    entries: Mapping[str, str], path: Path, count: int, wavelengths: bool
) -> tuple[BandAxis, tuple[str, ...]]:
    """Band axis, and a note for each list that was left out."""
    notes = []
    centres = widths = bad = None
    if wavelengths:
        unit, factor = entries.get("wavelength units"), 1.0
        columns = {}
        for key, what in (
            ("wavelength", "wavelengths"),
            ("fwhm", "band widths"),
            ("bbl", "entries of the bad-band list"),
        ):
            if key in entries and (column := numbers(as_list(entries[key]), key, path)).size:
                if column.size != count:
                    raise FormatError(
                        f"'{path}' says {count} bands but lists {column.size} {what};"
                        " fix the header or open it with --no-wavelengths (wavelengths=False)."
                    )
                columns[key] = column
        if "wavelength" in columns:
            centres, factor = to_nm(columns["wavelength"], unit)
            if centres is None:
                notes.append("wavelengths of the header left out: they are no lengths")
        if "fwhm" in columns:
            known = centres is not None and "wavelength" in columns
            if not known:
                factor = nm_per_unit(unit) or (1.0 if columns["fwhm"].max() >= 1 else 1e3)
            widths = np.round(columns["fwhm"] * factor, 6)
        if "bbl" in columns:
            # ENVI marks good bands with 1; some programs use other positive numbers for grades of good.
            bad = columns["bbl"] <= 0
    else:
        notes.append("opened without the file's wavelengths")
    names = as_names(entries["band names"], count) if "band names" in entries else None
    if names is not None and len(names) != count:
        if len(names) > 1 or count == 1:
            notes.append(f"band names left out: {len(names)} for {count} bands")
        names = None
    if centres is None and names is not None and wavelengths:
        centres = from_names(names)
    return BandAxis(count, centres, widths, bad, names), tuple(notes)


def _scale(entries: Mapping[str, str], path: Path, count: int) -> tuple[float | np.ndarray, float | np.ndarray, str]:
    """Gain, offset and unit of the physical values."""
    unit = entries.get("data units", "").strip()
    columns: dict[str, float | np.ndarray] = {}
    for key in ("data gain values", "data offset values"):
        if key in entries:
            column = numbers(as_list(entries[key]), key, path)
            if column.size not in (1, count):
                raise FormatError(f"'{path}' says {count} bands but has {column.size} {key}; correct the header.")
            columns[key] = column if column.size > 1 and np.ptp(column) else float(column[0])
    gain, add = columns.get("data gain values", 1.0), columns.get("data offset values", 0.0)
    titles = entries.get("z plot titles", "")
    if "reflectance" in titles.lower():
        unit = unit or "reflectance"
    factor = _number(entries, "reflectance scale factor", path)
    written = re.search(r"\[\s*\*\s*(\d+(?:\.\d+)?)\s*\]", titles)
    if factor is None and not columns and written is not None:
        factor = float(written.group(1))
    if factor is not None and not (np.isfinite(factor) and factor > 0):
        raise FormatError(f"'{path}' has a reflectance scale factor of {factor:g}; it needs a positive number.")
    if factor is not None and "data gain values" not in columns:
        gain, unit = 1.0 / factor, unit or "reflectance"
    return gain, add, unit


def looks_like_envi(path: Path) -> bool:
    """Whether a path is a half of an ENVI pair: the header begins with 'ENVI' and has its data file."""
    header, _ = find_pair(path)
    with open(header, "rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").upper().startswith(b"ENVI")
