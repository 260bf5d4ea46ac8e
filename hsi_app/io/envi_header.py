"""ENVI headers as text: parsing and writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hsi_app.errors import FormatError
from hsi_app.io.damage import BoundedFile

HEADER_LIMIT_BYTES = 64 * 2**20

DTYPES: dict[int, np.dtype] = {
    1: np.dtype("u1"), 2: np.dtype("i2"), 3: np.dtype("i4"), 4: np.dtype("f4"), 5: np.dtype("f8"),
    12: np.dtype("u2"), 13: np.dtype("u4"), 14: np.dtype("i8"), 15: np.dtype("u8"),
}  # fmt: skip
COMPLEX_CODES = (6, 9)
CODES = {dtype: code for code, dtype in DTYPES.items()}


def read_header(path: Path) -> dict[str, str]:
    """Entries of a header: keys in lower case with single spaces, values as text without the outer braces.

    Tolerates capitals, blank lines, comment lines (';'), a byte-order mark, any line ends and text before
    the first entry; of a key given twice the last counts.

    Raises
    ------
    FormatError
        If the file is empty, is not an ENVI header, or has a brace that is never closed.
    """
    try:
        with BoundedFile(path) as file:
            raw = file.read(HEADER_LIMIT_BYTES + 1)
    except OSError as error:
        raise FormatError(f"'{path}' cannot be read ({error.strerror or error}).") from error
    if not raw.strip():
        raise FormatError(f"'{path}' is empty; fetch it again.")
    if len(raw) > HEADER_LIMIT_BYTES:
        raise FormatError(f"'{path}' is larger than any header; is it the data file?")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Older software writes degree and umlaut signs in the Western code page; every byte has a meaning there.
        text = raw.decode("latin-1")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[0].lstrip().upper().startswith("ENVI"):
        raise FormatError(f"'{path}' does not begin with the word ENVI, so it is not an ENVI header.")
    return _entries(lines[1:], path)


def _entries(lines: Sequence[str], path: Path) -> dict[str, str]:
    entries: dict[str, str] = {}
    k = 0
    while k < len(lines):
        line = lines[k]
        k += 1
        if line.lstrip().startswith(";") or "=" not in line:
            continue
        key, _, value = line.partition("=")
        value = value.strip()
        if value.startswith("{"):
            parts = [value]
            depth = value.count("{") - value.count("}")
            while depth > 0:
                if k >= len(lines):
                    raise FormatError(f"'{path}' opens a brace after '{key.strip()}' and never closes it.")
                parts.append(lines[k])
                depth += lines[k].count("{") - lines[k].count("}")
                k += 1
            value = "\n".join(parts).strip()[1:].rsplit("}", 1)[0].strip()
        entries[" ".join(key.lower().split())] = value
    return entries


def as_list(value: str) -> list[str]:
    """The parts of a list entry. A value without commas may be parted by line ends or spaces."""
    if "," in value:
        parts = [part.strip() for part in value.replace("\n", " ").split(",")]
        return parts[:-1] if parts and not parts[-1] else parts
    return value.split()


def as_names(value: str, count: int) -> tuple[str, ...]:
    """The parts of a list of names; a single name may hold spaces."""
    return (" ".join(value.split()),) if count == 1 and "," not in value else tuple(as_list(value))


def as_lines(value: str) -> list[str]:
    """The lines of an entry of free text, without empty ones."""
    return [line.strip() for line in value.split("\n") if line.strip()]


def whole(entries: Mapping[str, str], key: str, path: Path, default: int | None = None) -> int:
    """A whole number. Raises FormatError where it is missing (and has no default) or is something else."""
    text = entries.get(key)
    if text is None:
        assert default is not None
        return default
    try:
        value = float(text)
        if value != int(value):
            raise ValueError
        return int(value)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"'{path}' has '{text[:40]}' for '{key}'; it needs a whole number.") from error


def clean(text: str) -> str:
    """Free text that cannot break the header: braces become parentheses."""
    return text.replace("{", "(").replace("}", ")").strip()


def format_entry(key: str, value: str | int | float | Sequence[str] | np.ndarray) -> str:
    """One header entry as text; lists in braces, several to a line; free text in braces where it has line ends."""
    if isinstance(value, str):
        return f"{key} = {value}"
    if isinstance(value, int | float | np.integer | np.floating):
        return f"{key} = {value!r}" if isinstance(value, int | float) else f"{key} = {value.item()!r}"
    if isinstance(value, np.ndarray):
        texts = [repr(float(v)) if value.dtype.kind == "f" else str(v) for v in value]
    else:
        # A comma would part a name in two.
        texts = [clean(v).replace(",", ";").replace("\n", " ") for v in value]
    rows = [", ".join(texts[k : k + 8]) for k in range(0, len(texts), 8)]
    return f"{key} = {{\n " + ",\n ".join(rows) + "}"
