"""The low-rank stand-in of a slow cube: what it reproduces, in which order it reads, what it costs."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, CubeError
from hsi_app.io import open_cube, save_cube
from hsi_app.io.lazy import INTERLEAVES, RawValues
from hsi_app.jobs import Job
from hsi_app.preview import Preview, build_preview
from hsi_app.spectral_reading import is_quick, spectrum_of, stored_piece, stream
from hsi_app.tiling import Window

MB = 2**20


class Tape:
    """An array that writes down what was asked of it, and lies in memory as an order of axes says."""

    def __init__(self, values: np.ndarray, chunks: tuple[int, int, int]) -> None:
        self._values, self.chunksize = values, chunks
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim
        self.asked: list[tuple[slice, slice, slice]] = []

    def __getitem__(self, key: Any) -> np.ndarray:
        spans = tuple(slice(*k.indices(n)) for k, n in zip(key, self.shape, strict=True))
        self.asked.append(spans)  # type: ignore[arg-type]
        return self._values[key]

    def samples(self) -> int:
        return sum(int(np.prod([s.stop - s.start for s in spans])) for spans in self.asked)


def planted(rank: int, shape: tuple[int, int, int] = (40, 50, 60), seed: int = 4) -> np.ndarray:
    """Smooth materials mixed at random: float32 of that rank around the mean."""
    rng = np.random.default_rng(seed)
    bands, height, width = shape
    spectra = rng.uniform(0.1, 0.9, (bands, rank))
    shares = rng.uniform(0, 1, (rank, height, width))
    return np.tensordot(spectra, shares, axes=(1, 0)).astype(np.float32)


def worst(preview: Preview, cube: Cube) -> float:
    """Largest error over all pixels, as a share of the cube's range."""
    values = np.asarray(cube.values, np.float64)
    _, height, width = cube.shape
    found = [[preview.spectrum(Window(r, c, 1, 1)) for c in range(width)] for r in range(height)]
    error = np.abs(np.transpose(found, (2, 0, 1)) - values)
    return float(np.nanmax(error) / np.ptp(values))


# ---- what it holds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 3, 12])
def test_a_low_rank_cube_is_reproduced(rank: int) -> None:
    cube = Cube(planted(rank))
    preview = build_preview(cube)
    assert preview.rank == rank
    assert preview.step == 1
    assert worst(preview, cube) < 1e-5
    assert preview.explained == pytest.approx(1)


@pytest.mark.parametrize("chunks", [(1, 50, 60), (40, 1, 60), (8, 16, 16), (40, 64, 60)])
def test_the_way_a_file_lies_changes_nothing(chunks: tuple[int, int, int]) -> None:
    values = planted(4)
    plain = build_preview(Cube(values))
    found = build_preview(Cube(Tape(values, chunks)))
    window = Window(20, 30, 3, 3)
    assert np.allclose(found.spectrum(window), plain.spectrum(window), atol=1e-5)


def test_a_scene_of_many_materials_keeps_what_fits_and_says_how_much() -> None:
    values = planted(30)
    preview = build_preview(Cube(values))
    assert preview.rank == 16
    assert 0.5 < preview.explained < 1


def test_bad_bands_and_unseen_places_are_gaps() -> None:
    values = planted(3)
    values[7] = 1e6 * np.random.default_rng(0).random((50, 60))
    values[:, :10, :10] = np.nan
    cube = Cube(values, bands=BandAxis(40, bad=np.arange(40) == 7))
    preview = build_preview(cube)
    assert np.isnan(preview.spectrum(Window(3, 3, 1, 1))).all()
    spectrum = preview.spectrum(Window(30, 30, 1, 1))
    assert np.flatnonzero(np.isnan(spectrum)).tolist() == [7]
    assert np.allclose(np.delete(spectrum, 7), np.delete(values[:, 30, 30], 7), atol=1e-5)


def test_a_window_is_the_mean_of_its_pixels_and_leaves_out_unseen_ones() -> None:
    values = planted(3)
    values[:, 20, 20] = np.nan
    preview = build_preview(Cube(values))
    expected = np.nanmean(values[:, 19:22, 19:22].astype(np.float64), axis=(1, 2))
    assert np.allclose(preview.spectrum(Window(19, 19, 3, 3)), expected, atol=1e-5)


def test_the_grid_grows_coarser_until_it_fits_and_answers_for_every_pixel() -> None:
    cube = Cube(planted(8))
    most = 8 * 4 * 300
    preview = build_preview(cube, most_bytes=most)
    assert preview.coefficients.nbytes <= most
    assert preview.step == 4
    for row, col in ((0, 0), (49, 59), (25, 31)):
        middle = min(row // 4 * 4 + 2, 49), min(col // 4 * 4 + 2, 59)
        found = preview.spectrum(Window(row, col, 1, 1))
        assert np.allclose(found, np.asarray(cube.values)[:, middle[0], middle[1]], atol=1e-5)


def test_a_cube_without_any_sample_has_no_preview() -> None:
    with pytest.raises(CubeError, match="nothing was observed"):
        build_preview(Cube(np.full((4, 5, 6), np.nan)))


def test_a_constant_cube_has_one() -> None:
    preview = build_preview(Cube(np.full((4, 5, 6), 3.0)))
    assert np.allclose(preview.spectrum(Window(2, 2, 1, 1)), 3)


# ---- how it reads --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece_bytes", [4_000, 50_000, 2**24])
def test_band_after_band_is_read_so(monkeypatch: pytest.MonkeyPatch, piece_bytes: int) -> None:
    monkeypatch.setattr("hsi_app.spectral_reading.PIECE_BYTES", piece_bytes)
    monkeypatch.setattr("hsi_app.spectral_reading.GROUP_BYTES", 100_000)
    tape = Tape(planted(3), (1, 50, 60))
    for _ in stream(Cube(tape), np.arange(40), np.arange(50), np.arange(60), Job(), ""):
        pass
    starts = [(spans[0].start, spans[1].start) for spans in tape.asked]
    assert starts == sorted(starts)
    assert tape.samples() == 40 * 50 * 60


@pytest.mark.parametrize("chunks", [(40, 1, 60), (8, 16, 16)])
def test_rows_are_read_from_top_to_bottom_and_each_sample_once(chunks: tuple[int, int, int]) -> None:
    tape = Tape(planted(3), chunks)
    for _ in stream(Cube(tape), np.arange(40), np.arange(50), np.arange(60), Job(), ""):
        pass
    tops = [spans[1].start for spans in tape.asked]
    assert tops == sorted(tops)
    assert tape.samples() == 40 * 50 * 60
    assert all(spans[1].start % chunks[1] == 0 and spans[2].start % chunks[2] == 0 for spans in tape.asked)


def test_the_whole_cube_is_read_once_beside_the_sample() -> None:
    tape = Tape(planted(3, (40, 300, 200)), (40, 1, 200))
    build_preview(Cube(tape))
    whole = 40 * 300 * 200
    assert whole <= tape.samples() <= 1.3 * whole
    chunked = Tape(planted(3, (8, 2048, 64)), (8, 32, 32))
    build_preview(Cube(chunked))
    assert chunked.samples() < 1.3 * 8 * 2048 * 64


def raw(values: np.ndarray, path: Path, interleave: str) -> Cube:
    """The values as a plain file in one of the three interleaves."""
    order = INTERLEAVES[interleave]
    values.transpose(order).tofile(path)
    return Cube(RawValues(str(path), values.shape, values.dtype, order))  # type: ignore[arg-type]


@pytest.mark.parametrize(("interleave", "piece"), [("bsq", (1, 50, 60)), ("bil", (40, 1, 60)), ("bip", (40, 1, 60))])
def test_plain_files_say_how_they_lie(tmp_path: Path, interleave: str, piece: tuple[int, int, int]) -> None:
    values = planted(3)
    cube = raw(values, tmp_path / "cube.raw", interleave)
    assert stored_piece(cube.values) == piece
    assert is_quick(cube.values) is (interleave == "bip")
    assert worst(build_preview(cube), Cube(values)) < 1e-5


@pytest.mark.parametrize("suffix", [".tif", ".h5", ".zarr"])
def test_other_containers_work_too(tmp_path: Path, suffix: str) -> None:
    values = planted(3)
    save_cube(Cube(values), tmp_path / f"cube{suffix}")
    cube = open_cube(tmp_path / f"cube{suffix}")
    assert all(1 <= piece <= limit for piece, limit in zip(stored_piece(cube.values), cube.shape, strict=True))
    assert worst(build_preview(cube), Cube(values)) < 1e-5


def test_arrays_in_memory_are_quick_and_mapped_planes_are_not(tmp_path: Path) -> None:
    values = planted(2)
    np.save(tmp_path / "planes.npy", values)
    mapped = np.load(tmp_path / "planes.npy", mmap_mode="r")
    assert is_quick(values)
    assert not is_quick(mapped)
    assert not is_quick(np.asarray(mapped[3:]))
    assert is_quick(mapped.reshape(60, 50, 40).transpose(2, 1, 0))
    assert stored_piece(mapped) == (1, 50, 60)
    assert stored_piece(np.moveaxis(np.zeros((50, 60, 40)), 2, 0)) == (40, 1, 60)


def test_far_rows_of_a_plain_file_are_read_without_what_lies_between(tmp_path: Path) -> None:
    cube = raw(planted(2, (3, 90, 60)), tmp_path / "cube.raw", "bsq")
    windows: list[Window] = []

    class Watched(Cube):
        def block(self, window: Any = None, bands: Any = None) -> Any:
            windows.append(window)
            return super().block(window, bands)

    watched = Watched(cube.values)
    rows = np.arange(5, 90, 10)
    pieces = list(stream(watched, np.arange(3), rows, np.arange(0, 60, 2), Job(), ""))
    assert {window.height for window in windows} == {1}
    found = np.concatenate([piece.values for piece in pieces])
    assert np.array_equal(found, cube.read()[:, 5::10, ::2])


# ---- what it costs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [(1, 1500, 1000), (24, 1, 1000), (8, 128, 128)])
def test_memory_stays_within_what_was_allowed(chunks: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(0, 4000, (24, 1500, 1000)).astype(np.int16)  # 72 MB, as on disk
    cube = Cube(Tape(values, chunks))
    tracemalloc.start()
    preview = build_preview(cube, most_bytes=16 * MB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert preview.coefficients.nbytes <= 16 * MB
    assert peak < 16 * MB + 128 * MB


@pytest.mark.parametrize("chunks", [(1, 50, 60), (40, 1, 60)])
@pytest.mark.parametrize("after", [0, 3])
def test_it_can_be_stopped_before_any_read(
    monkeypatch: pytest.MonkeyPatch, chunks: tuple[int, int, int], after: int
) -> None:
    monkeypatch.setattr("hsi_app.spectral_reading.PIECE_BYTES", 40_000)
    tape = Tape(planted(3), chunks)
    job = Job(on_progress=lambda progress: job.cancel() if len(tape.asked) >= after else None)
    with pytest.raises(Cancelled):
        build_preview(Cube(tape), job)
    assert len(tape.asked) <= after + 1


def test_progress_rises_to_the_end() -> None:
    told: list[float] = []
    build_preview(Cube(planted(3)), Job(on_progress=lambda progress: told.append(progress.fraction)))
    assert told == sorted(told)
    assert told[-1] == 1


# ---- one spectrum --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [(1, 12, 10), (6, 1, 10)])
def test_a_spectrum_read_in_parts_is_the_spectrum(full_cube: Cube, chunks: tuple[int, int, int]) -> None:
    cube = replace(full_cube, values=Tape(np.asarray(full_cube.values), chunks))
    for row, col, box in ((5, 6, 1), (5, 6, 3), (0, 0, 1), (1, 1, 3)):
        found = spectrum_of(cube, Window(row, col, 1, 1).grown(box // 2, (12, 10)), Job())
        assert np.allclose(found, full_cube.spectrum(row, col, box=box), equal_nan=True)


def test_reading_a_spectrum_can_be_stopped_between_bands() -> None:
    tape = Tape(planted(2, (200, 8, 8)), (1, 8, 8))
    job = Job(on_progress=lambda progress: job.cancel() if len(tape.asked) == 2 else None)
    with pytest.raises(Cancelled):
        spectrum_of(Cube(tape), Window(3, 3, 1, 1), job)
    assert tape.samples() == 96


@pytest.fixture
def full_cube() -> Cube:
    """Six bands with gain and offset, one of them bad, and a missing corner."""
    values = np.random.default_rng(5).integers(100, 4000, (6, 12, 10)).astype(np.int16)
    values[:, :2, :3] = -9999
    return Cube(values, bands=BandAxis(6, bad=[0, 0, 0, 0, 1, 0]), nodata=-9999, gain=np.full(6, 1e-4), offset=0.5)
