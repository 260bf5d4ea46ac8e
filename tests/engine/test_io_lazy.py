"""Laziness: opening and reading cost what is asked for, not what the file holds."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hsi_app.cube import ArrayLike, Cube
from hsi_app.io import open_cube, save_cube
from hsi_app.io.lazy import BLOCK_BYTES, LazyValues, RawValues
from hsi_app.tiling import Window

# 224 bands of 4000 x 4000 in int16: 7.2 GB, and 14.3 GB in float32.
BIG = (224, 4000, 4000)


@pytest.fixture(params=["bsq", "bil", "bip"])
def big(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A sparse file of 14 GB that takes no disk."""
    with open(tmp_path / "big.img", "wb") as file:
        file.truncate(int(np.prod(BIG, dtype=np.int64)) * 4)
    header = tmp_path / "big.hdr"
    header.write_text(
        f"ENVI\nsamples = {BIG[2]}\nlines = {BIG[1]}\nbands = {BIG[0]}\ndata type = 4\ninterleave = {request.param}\n"
    )
    return header


class Counted:
    """Counts the samples that are read, and the most that are held at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.total = self.most = 0
        real = RawValues._samples

        def counting(values: RawValues, file: object, start: int, count: int) -> np.ndarray:
            self.total += count
            self.most = max(self.most, count)
            return real(values, file, start, count)  # type: ignore[arg-type]

        monkeypatch.setattr(RawValues, "_samples", counting)


def test_a_spectrum_of_14_gb_reads_a_few_lines_at_most(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    cube = open_cube(big)
    assert counted.total == 0
    assert cube.read(Window(3999, 2000, 1, 1)).shape == (224, 1, 1)
    # At worst a whole line of each band, where lines are short against a seek.
    assert counted.total <= BIG[0] * BIG[2]


def test_a_window_of_one_band_of_14_gb_reads_little(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    open_cube(big).read(Window(100, 100, 8, 8), bands=slice(7, 8))
    # At worst eight whole lines of all bands.
    assert counted.total <= 8 * BIG[0] * BIG[2]
    assert counted.most * 4 <= BLOCK_BYTES


def test_a_thumbnail_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi_app.io.lazy.BLOCK_BYTES", 4 * 50 * 8)
    values = np.arange(4 * 40 * 50, dtype="f4").reshape(4, 40, 50)
    lazy = open_cube(save_cube(Cube(values), tmp_path / "a.bip")).values
    counted = Counted(monkeypatch)
    assert np.array_equal(lazy[:, ::8, ::8], values[:, ::8, ::8])
    # Only the lines that are shown.
    assert counted.total == 5 * 50 * 4 - 5 * 4


def test_opening_keeps_no_file_open(tmp_path: Path) -> None:
    lazy = open_cube(save_cube(Cube(np.ones((2, 3, 4), "f4")), tmp_path / "a.hdr"))
    (tmp_path / "a.bsq").rename(tmp_path / "b.bsq")
    (tmp_path / "a.hdr").rename(tmp_path / "b.hdr")
    with pytest.raises(OSError, match=r"a\.bsq"):
        lazy.read()


@pytest.mark.parametrize("suffix", [".hdr", ".bip", ".tif", ".zarr", ".h5", ".npy"])
def test_lazy_values_pickle_and_read_alike(tmp_path: Path, suffix: str) -> None:
    values = np.random.default_rng(1).normal(size=(5, 6, 7)).astype("f4")
    lazy = open_cube(save_cube(Cube(values), tmp_path / f"a{suffix}")).values
    assert isinstance(lazy, LazyValues)
    assert isinstance(lazy, ArrayLike)
    again = pickle.loads(pickle.dumps(lazy))
    for key in (np.s_[2], np.s_[:, 1:3, 2:5], np.s_[[4, 0, 3], ::2, 1], np.s_[::-1, 0]):
        assert np.array_equal(
            again[key], values[key] if key != np.s_[[4, 0, 3], ::2, 1] else values[[4, 0, 3]][:, ::2, 1]
        )
    assert np.array_equal(np.asarray(again), values)


def test_not_lazy_means_an_array(tmp_path: Path) -> None:
    path = save_cube(Cube(np.ones((2, 3, 4), "f4")), tmp_path / "a.hdr")
    assert isinstance(open_cube(path, lazy=False).values, np.ndarray)


def test_dask_takes_lazy_values(tmp_path: Path) -> None:
    import dask.array

    values = np.random.default_rng(1).normal(size=(5, 6, 7)).astype("f4")
    lazy = open_cube(save_cube(Cube(values), tmp_path / "a.hdr")).values
    total = dask.array.from_array(lazy, chunks=(2, 3, 4)).sum().compute(scheduler="synchronous")
    assert total == pytest.approx(values.sum(), rel=1e-5)


def test_importing_io_loads_no_heavy_package() -> None:
    heavy = ["torch", "rasterio", "h5py", "zarr", "scipy", "dask", "spectral", "matplotlib"]
    code = f"import sys, hsi_app.io; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PEAK = """
import resource, sys
import rasterio, zarr
from hsi_app.io import open_cube, save_cube
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
save_cube(open_cube(sys.argv[1]), sys.argv[2])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is told in other units elsewhere")
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_converting_a_scene_holds_strips_not_the_scene(tmp_path: Path, suffix: str) -> None:
    # 256 MiB; a strip is 32 MiB, in two copies, and GDAL may keep 64 MiB.
    shape = (64, 1024, 1024)
    with open(tmp_path / "a.img", "wb") as file:
        file.truncate(int(np.prod(shape)) * 4)
    (tmp_path / "a.hdr").write_text(
        "ENVI\nsamples = 1024\nlines = 1024\nbands = 64\ndata type = 4\ninterleave = bip\n", encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "a.hdr"), str(tmp_path / f"out{suffix}")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 176 * 2**20
