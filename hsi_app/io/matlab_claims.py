"""What the elements of a MATLAB 5 file claim to be, compared with the bytes they have.

SciPy makes room for whatever an element claims, follows structures within structures without end, and crashes on
numbers of an unknown kind, as the next array is where one has no numbers; a damaged file must be refused before SciPy
is asked to read it.

Format: "MAT-File Format", MathWorks, version 5.
"""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from pathlib import Path

from hsi_app.errors import FormatError
from hsi_app.io.damage import BEST_RATIO

_MATRIX, _COMPRESSED = 14, 15
# Whole numbers and floats of 8 to 64 bits, and texts.
_KNOWN_NUMBERS = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18)
# MATLAB's classes of arrays. Later ones are functions and the like.
_NESTS, _TEXT, _SPARSE, _LAST_NUMERIC = (1, 2, 3), 4, 5, 15
_NUMBERS = (_TEXT, *range(6, _LAST_NUMERIC + 1))
_COMPLEX_FLAG = 0x0800
_HEADER_BYTES = 128
# Flags, sizes and name of any array that could be a cube.
_START_BYTES = 4096
# Entries that may have no bytes: a structure array without fields.
_FREE_ENTRIES = 2**16

Buffer = mmap.mmap | bytes


def check_claims(path: Path) -> None:
    """Raise FormatError where an element of a MATLAB 5 file claims more than the file can hold.

    Reads tags only, and unpacks only structures and cells.
    """
    with open(path, "rb") as file:
        start = file.read(_HEADER_BYTES)
        # Version 4 has no such header, but a number with a zero byte at its start.
        if len(start) < _HEADER_BYTES or 0 in start[:4]:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            order = ">" if start[126:] == b"MI" else "<"
            if not _file_fits(whole, order):
                raise FormatError(f"'{path}' claims more than it can hold, or no known kind of numbers; it is damaged.")


def _tag(buffer: Buffer, at: int, order: str) -> tuple[int, int, int, int]:
    """Kind and size of an element, where its data begin and where the next element does."""
    kind, size = struct.unpack_from(f"{order}II", buffer, at)
    if kind >> 16:
        # A small element has its size, and its data, within the tag.
        return kind & 0xFFFF, min(kind >> 16, 4), at + 4, at + 8
    return kind, size, at + 8, at + 8 + size + -size % 8


def _file_fits(buffer: Buffer, order: str) -> bool:
    """Whether all elements of a file lie within it, and their parts within them."""
    at = _HEADER_BYTES
    while at + 8 <= len(buffer):
        kind, size, body, after = _tag(buffer, at, order)
        if body + size > len(buffer):
            return False
        if kind == _COMPRESSED:
            # The one kind that is not filled up to whole words.
            after = body + size
            if not _packed_fits(buffer[body:after], order):
                return False
        elif kind == _MATRIX and not _matrix_fits(buffer, body, body + size, body + size, order):
            return False
        at = after
    return True


def _packed_fits(packed: bytes, order: str) -> bool:
    unpacking = zlib.decompressobj()
    first = unpacking.decompress(packed, _START_BYTES)
    if len(first) < 8:
        return False
    kind, size, body, _ = _tag(first, 0, order)
    if kind != _MATRIX or size > len(packed) * BEST_RATIO:
        return False
    if len(first) >= body + 16 and (_group(first, body, order) in _NESTS or _is_complex(first, body, order)):
        first += unpacking.decompress(unpacking.unconsumed_tail, body + size)
    return _matrix_fits(first, body, min(len(first), body + size), body + size, order)


def _group(buffer: Buffer, at: int, order: str) -> int:
    """MATLAB's class of the matrix whose data begin at ``at``."""
    return int(struct.unpack_from(f"{order}I", buffer, at + 8)[0]) & 0xFF


def _is_complex(buffer: Buffer, at: int, order: str) -> bool:
    return bool(struct.unpack_from(f"{order}I", buffer, at + 8)[0] & _COMPLEX_FLAG)


def _matrix_fits(buffer: Buffer, start: int, known: int, stop: int, order: str) -> bool:
    """Whether a matrix has room for as many entries as its sizes say; only the bytes up to ``known`` are at hand."""
    if start == stop:
        # An empty field of a structure.
        return True
    if known - start < 32:
        return False
    group = _group(buffer, start, order)
    _, size, body, after = _tag(buffer, start + 16, order)
    if body + size > known:
        return False
    sizes = struct.unpack_from(f"{order}{size // 4}i", buffer, body)
    if min(sizes, default=0) < 0:
        return False
    # However packed, a number takes a byte, and a cell more.
    if group <= _LAST_NUMERIC and group != _SPARSE and math.prod(sizes) > stop - start + _FREE_ENTRIES:
        return False
    kinds = (*_KNOWN_NUMBERS, _MATRIX) if group in _NESTS or group > _LAST_NUMERIC else _KNOWN_NUMBERS
    parts = 0
    while after + 8 <= known:
        parts += 1
        kind, size, body, after = _tag(buffer, after, order)
        if kind not in kinds or body + size > stop:
            return False
        if kind == _MATRIX and not _matrix_fits(buffer, body, body + size, body + size, order):
            return False
    # A name and numbers, once or twice; structures have parts that are looked for where they are missing.
    return known < stop or group not in _NUMBERS or parts >= 2 + _is_complex(buffer, start, order)
