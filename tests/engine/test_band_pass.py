"""What reading one band of a source takes, told from how the source is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hsi_app.cube import Cube
from hsi_app.io import open_cube, save_cube
from hsi_app.io.hdf5 import Hdf5Values
from hsi_app.io.lazy import INTERLEAVES, RawValues
from hsi_app.spectral_reading import PIECE_BYTES, BandPass, band_pass

SHAPE = BANDS, ROWS, COLS = 200, 3000, 1000


def raw(interleave: str, *, gzipped: bool = False) -> RawValues:
    return RawValues("nowhere", SHAPE, np.dtype(np.int16), INTERLEAVES[interleave], gzipped=gzipped)


@pytest.mark.parametrize("interleave", ["bsq", "bil"])
def test_single_bands_of_a_file_by_band_or_line_are_sought_and_found(interleave: str) -> None:
    found = band_pass(raw(interleave))
    assert (found.beside, found.nbytes) == (1, 2 * ROWS * COLS)


def test_for_a_band_of_a_file_by_pixel_all_are_passed_some_rows_at_a_time() -> None:
    found = band_pass(raw("bip"))
    assert (found.beside, found.nbytes) == (BANDS, 2 * BANDS * ROWS * COLS)
    assert 1 <= found.rows < ROWS
    assert 0.5 * PIECE_BYTES < found.rows * 2 * BANDS * COLS <= PIECE_BYTES


def test_a_gzip_stream_is_read_in_one_go() -> None:
    assert band_pass(raw("bip", gzipped=True)).rows == 0


class Chunked:
    """An array that says how it is stored, as dask's do."""

    def __init__(self, chunksize: tuple[int, int, int]) -> None:
        self.shape, self.dtype, self.ndim, self.chunksize = SHAPE, np.dtype(np.int16), 3, chunksize


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ((1, ROWS, COLS), BandPass(1, 2 * ROWS * COLS, ROWS, COLS)),
        ((16, 64, 64), BandPass(16, 16 * 2 * ROWS * COLS, 512, 64)),
        ((BANDS, 100, 100), BandPass(BANDS, BANDS * 2 * ROWS * COLS, 100, 100)),
        ((9999, 9999, 9999), BandPass(BANDS, BANDS * 2 * ROWS * COLS, ROWS, COLS)),
    ],
)
def test_chunks_are_read_whole_and_never_cut(chunks: tuple[int, int, int], expected: BandPass) -> None:
    assert band_pass(Chunked(chunks)) == expected


def test_values_by_pixel_without_chunks_may_be_cut_anywhere(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "pixels.h5", "w") as file:
        file["cube"] = np.zeros((60, 50, 20), np.int16)
    values = Hdf5Values(str(tmp_path / "pixels.h5"), "cube", (20, 60, 50), np.dtype(np.int16), (2, 0, 1))
    assert band_pass(values) == BandPass(20, 20 * 60 * 50 * 2, 60, 50)


def test_of_a_source_that_says_nothing_bands_are_taken_to_lie_apart() -> None:
    class Silent:
        shape, dtype, ndim = SHAPE, np.dtype(np.int16), 3

    assert band_pass(Silent()).beside == band_pass(np.zeros((3, 4, 5)).transpose(2, 0, 1)).beside == 1


@pytest.mark.parametrize("ending", [".h5", ".zarr", ".tif"])
def test_files_in_chunks_say_themselves_how_many_bands_lie_together(tmp_path: Path, ending: str) -> None:
    cube = Cube(np.arange(20 * 12 * 10, dtype=np.int16).reshape(20, 12, 10))
    found = band_pass(open_cube(save_cube(cube, tmp_path / f"chunks{ending}")).values)
    assert 1 <= found.beside <= 20
    assert found.nbytes == found.beside * 12 * 10 * 2
    assert found.rows == 12
