"""Zarr stores: our own (format 3, all facts as attributes) and plain arrays of format 2 or 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import numpy as np

from hsi_app.cube import Cube
from hsi_app.io.arrays import ArrayInfo, band_axis, choose, is_vector, vector_lengths
from hsi_app.io.cube_facts import AXES, cube_from_facts, facts_of
from hsi_app.io.damage import check_room, readable
from hsi_app.io.lazy import LazyValues, Span
from hsi_app.io.writing import BlockWriter, Plan

# Chunks that suit both a map of few bands and the spectra of a small window: 4 MiB of float32.
CHUNK = (16, 256, 256)
SMALL = 2**16


@dataclass(frozen=True)
class ZarrValues(LazyValues):
    """An array of a Zarr store, chunks decoded as they are asked for.

    Parameters
    ----------
    path, name : store and array within it ('' where the store is the array)
    shape : (B, H, W)
    dtype : number type
    axes : which axes of the array are band, row and column
    """

    path: str
    name: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    axes: tuple[int, ...] = (0, 1, 2)

    def read_block(self, bands: Sequence[int], rows: Span, cols: Span) -> np.ndarray:
        """See LazyValues."""
        import zarr

        with readable(self.path, "Zarr"):
            array: Any = zarr.open(self.path, mode="r", path=self.name or None)
            low, high = min(bands), max(bands) + 1
            if list(bands) == list(range(low, high)):
                return self._cut(array, slice(low, high), rows, cols)
            return np.concatenate([self._cut(array, slice(b, b + 1), rows, cols) for b in bands])

    def _cut(self, array: Any, bands: slice, rows: Span, cols: Span) -> np.ndarray:
        key: list[Any] = [slice(None)] * 3
        for axis, part in zip(self.axes, (bands, slice(*rows), slice(*cols)), strict=True):
            key[axis] = part
        return np.asarray(array[tuple(key)]).transpose(self.axes)


def _infos(store: Any) -> list[ArrayInfo]:
    import zarr

    if isinstance(store, zarr.Array):
        return [ArrayInfo("", tuple(store.shape), np.dtype(store.dtype))]
    found = (item for _, item in store.members(max_depth=None) if isinstance(item, zarr.Array))
    # By name: folders are listed in any order, and the choice among equals must not depend on it.
    return [
        ArrayInfo(i.path, tuple(i.shape), np.dtype(i.dtype)) for i in sorted(found, key=lambda item: str(item.path))
    ]


def open_zarr(path: Path, array: str | None, wavelengths: bool) -> Cube:
    """Open a Zarr array, or the cube of a group; reads attributes and small arrays only.

    Arrays written by others take the last axis as bands unless a wavelength vector fits another.
    Raises FormatError where no array is clearly the cube.
    """
    import zarr

    with readable(path, "Zarr"):
        store: Any = zarr.open(str(path), mode="r")
        infos = _infos(store)
        single = isinstance(store, zarr.Array)
        item: Any = store
        attributes: dict[str, Any] = dict(store.attrs)
        if single and attributes.get("axes") == AXES and len(store.shape) == 3:
            bands, height, width = store.shape
            values = ZarrValues(str(path), "", (bands, height, width), np.dtype(store.dtype))
            return cube_from_facts(values, attributes, path, "Zarr", wavelengths)
        vectors = {i.name: np.asarray(store[i.name][...]) for i in infos if not single and _is_small(i)}
        written = {key: np.asarray(v) for key, v in attributes.items() if isinstance(v, list) and "wave" in key.lower()}
        lengths = {**vector_lengths(infos), **{key: v.size for key, v in written.items()}}
        choice = choose(infos, None if single else array, lengths, {}, path, squares=False)
        if not single:
            item = store[choice.info.name]
        if len(choice.info.shape) != 3 or len(choice.order) != 3:
            check_room(path, choice.info.nbytes)
            cube_values: Any = choice.arrange(np.asarray(item[...]))
        else:
            sizes = tuple(choice.info.shape[axis] for axis in choice.order)
            cube_values = ZarrValues(str(path), choice.info.name, sizes, choice.info.dtype, choice.order)  # type: ignore[arg-type]
        attributes |= dict(item.attrs)
        unit = attributes.get("wavelength_units")
        candidates = {**vectors, **written}
        axis, notes = band_axis(int(cube_values.shape[0]), candidates, dict.fromkeys(candidates, unit), wavelengths)
    facts = {"format": "Zarr", **({"array": choice.info.name} if choice.info.name else {})}
    return Cube(
        values=cube_values, bands=axis, name=path.stem, source=str(path), facts=facts,
        history=(*choice.notes, *notes), nodata=attributes.get("nodata"), unit=str(attributes.get("unit", "")),
    )  # fmt: skip


def _is_small(info: ArrayInfo) -> bool:
    return info.is_real and is_vector(info.shape) and max(info.shape) <= SMALL


def arrays(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and number type of each array; a store that is one array is called after its folder."""
    import zarr

    with readable(path, "Zarr"):
        return [(i.name or path.stem, i.shape, str(i.dtype)) for i in _infos(zarr.open(str(path), mode="r"))]


def looks_like_zarr(path: Path) -> bool:
    """Whether the folder holds an array of three axes."""
    import zarr

    with readable(path, "Zarr"):
        return any(i.is_real and len(i.squeezed) == 3 for i in _infos(zarr.open(str(path), mode="r")))


def _cuts(span: slice, chunk: int) -> list[tuple[int, int]]:
    """Pieces of a span that each lie in one chunk."""
    edges = [span.start, *range((span.start // chunk + 1) * chunk, span.stop, chunk), span.stop]
    return list(pairwise(edges))


@final
class ZarrWriter(BlockWriter):
    """Writes one array of Zarr format 3 with all facts as attributes."""

    def __init__(self, path: Path, plan: Plan) -> None:
        import zarr

        chunks = tuple(min(piece, size) for piece, size in zip(CHUNK, plan.shape, strict=True))
        self._array: Any = zarr.create_array(
            store=str(path), shape=plan.shape, dtype=plan.dtype, chunks=chunks, zarr_format=3,
            attributes=facts_of(plan), dimension_names=AXES, fill_value=0,
        )  # fmt: skip

    def put(self, rows: slice, cols: slice, block: np.ndarray) -> None:
        """See BlockWriter."""
        # A chunk at a time. Zarr stores many at once and reports the first that fails while the others still run:
        # on a full disk those would put files back into the folder that is being removed.
        deep, high, wide = self._array.chunks
        for k in range(0, block.shape[0], deep):
            for top, bottom in _cuts(rows, high):
                for left, right in _cuts(cols, wide):
                    piece = block[k : k + deep, top - rows.start : bottom - rows.start]
                    self._array[k : k + deep, top:bottom, left:right] = piece[
                        ..., left - cols.start : right - cols.start
                    ]

    def finish(self) -> None:
        """See BlockWriter."""

    def abandon(self) -> None:
        """See BlockWriter."""
