"""Writing: every fact comes back, nothing half-written appears, and what cannot work is said first."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import OutputError, PlanError
from hsi_app.georef import GeoRef
from hsi_app.io import can_read, create_cube, open_cube, save_cube
from hsi_app.io.raw_writing import RawSamples
from hsi_app.io.writing import fit_to_dtype
from hsi_app.tiling import Window

FULL = [".hdr", ".bil", ".bip", ".dat", ".tif", ".cog.tif", ".zarr", ".h5"]
ALL = [*FULL, ".npy"]


@pytest.fixture
def rich() -> Cube:
    """A cube that has every fact."""
    values = np.random.default_rng(0).normal(2000, 500, (5, 7, 9)).astype("f4")
    return Cube(
        values=values,
        bands=BandAxis(
            5,
            np.array([400.123, 410.5, 999.9, 1500, 2400]),
            np.array([9.1, 9.2, 9.3, 9.4, 9.5]),
            np.array([0, 1, 0, 0, 1], bool),
            ("a", "b", "c d", "e", "f"),
        ),
        nodata=-9999,
        georef=GeoRef((30.0, 0.0, 380_010.5, 0.0, -30.0, 5_820_000.25), "EPSG:32633"),
        gain=1e-4,
        unit="reflectance",
        name="rich",
        facts={"sensor type": "HyMap", "acquisition time": "2009-08-20T10:00:00Z", "description": "over Berlin"},
        history=("first, with a comma", "second = sign"),
    )


@pytest.mark.parametrize("suffix", ALL)
def test_values_come_back_exactly(tmp_path: Path, rich: Cube, suffix: str) -> None:
    assert np.array_equal(open_cube(save_cube(rich, tmp_path / f"out{suffix}")).read(), rich.read())


@pytest.mark.parametrize("suffix", FULL)
@pytest.mark.parametrize("field", ["bands", "nodata", "georef", "gain", "offset", "unit", "history"])
def test_each_fact_comes_back(tmp_path: Path, rich: Cube, suffix: str, field: str) -> None:
    again = open_cube(save_cube(rich, tmp_path / f"out{suffix}"))
    assert getattr(again, field) == getattr(rich, field)


@pytest.mark.parametrize("suffix", FULL)
def test_further_facts_come_back(tmp_path: Path, rich: Cube, suffix: str) -> None:
    again = open_cube(save_cube(rich, tmp_path / f"out{suffix}"))
    assert rich.facts.items() <= again.facts.items()


@pytest.mark.parametrize("suffix", FULL)
def test_gain_and_offset_of_each_band_come_back(tmp_path: Path, rich: Cube, suffix: str) -> None:
    uneven = dataclasses.replace(rich, gain=np.arange(1, 6) / 7, offset=np.arange(5) / 3, unit="radiance")
    again = open_cube(save_cube(uneven, tmp_path / f"out{suffix}"))
    assert np.array_equal(again.gain, uneven.gain)
    assert np.array_equal(again.offset, uneven.offset)


@pytest.mark.parametrize("suffix", FULL)
def test_a_cube_without_facts_gains_none(tmp_path: Path, suffix: str) -> None:
    bare = Cube(np.ones((2, 3, 4), "f4"))
    again = open_cube(save_cube(bare, tmp_path / f"out{suffix}"))
    assert again.bands == bare.bands
    assert (again.georef, again.nodata, again.gain, again.unit, again.history) == (None, None, 1.0, "", ())


@pytest.mark.parametrize("suffix", [".hdr", ".tif", ".zarr"])
def test_a_second_copy_is_like_the_first(tmp_path: Path, rich: Cube, suffix: str) -> None:
    first = open_cube(save_cube(rich, tmp_path / f"out{suffix}"))
    second = open_cube(save_cube(first, tmp_path / f"two{suffix}"))
    assert second.facts == first.facts
    assert second.bands == first.bands


@pytest.mark.parametrize("suffix", [".hdr", ".tif", ".zarr"])
def test_a_turned_frame_comes_back(tmp_path: Path, rich: Cube, suffix: str) -> None:
    turn = np.deg2rad(20.0)
    a, b = 30 * np.cos(turn), 30 * np.sin(turn)
    turned = dataclasses.replace(rich, georef=GeoRef((a, b, 3e5, b, -a, 5e6), "EPSG:32633"))
    again = open_cube(save_cube(turned, tmp_path / f"out{suffix}")).georef
    assert again is not None
    assert again.transform == pytest.approx(turned.georef.transform)  # type: ignore[union-attr]
    assert again.crs == "EPSG:32633"


def test_a_sheared_frame_is_refused_by_envi_only(tmp_path: Path, rich: Cube) -> None:
    sheared = dataclasses.replace(rich, georef=GeoRef((30.0, 5.0, 3e5, 0.0, -30.0, 5e6), "EPSG:32633"))
    with pytest.raises(OutputError, match="sheared"):
        save_cube(sheared, tmp_path / "out.hdr")
    assert open_cube(save_cube(sheared, tmp_path / "out.tif")).georef == sheared.georef


@pytest.mark.parametrize("suffix", [".hdr", ".tif"])
def test_gdal_sees_frame_missing_value_and_samples(tmp_path: Path, rich: Cube, suffix: str) -> None:
    import rasterio

    save_cube(rich, tmp_path / f"out{suffix}")
    with rasterio.open(tmp_path / ("out.bsq" if suffix == ".hdr" else "out.tif")) as dataset:
        assert np.array_equal(dataset.read(), rich.read())
        assert dataset.crs.to_epsg() == 32633
        assert tuple(dataset.transform)[:6] == rich.georef.transform  # type: ignore[union-attr]
        assert dataset.nodata == -9999


def test_a_cloud_optimised_name_gives_tiles_overviews_and_the_layout(tmp_path: Path) -> None:
    import rasterio

    values = np.random.default_rng(3).normal(size=(3, 600, 520)).astype("f4")
    cube = Cube(values, georef=GeoRef((1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "EPSG:32633"))
    with rasterio.open(save_cube(cube, tmp_path / "out.cog.tif")) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.overviews(1) == [2, 4]
        assert dataset.block_shapes[0] == (256, 256)
        assert np.array_equal(dataset.read(), values)
    assert [path.name for path in tmp_path.iterdir()] == ["out.cog.tif"]


def test_qgis_finds_wavelengths_in_the_imagery_domain(tmp_path: Path, rich: Cube) -> None:
    import rasterio

    with rasterio.open(save_cube(rich, tmp_path / "out.tif")) as dataset:
        assert float(dataset.tags(1, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"]) == pytest.approx(0.400123)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "f2", "?"])
@pytest.mark.parametrize("suffix", ALL)
def test_every_number_type_keeps_its_values(tmp_path: Path, suffix: str, dtype: str) -> None:
    values = np.array([0, 1, 1, 0, 1, 1], dtype).reshape(1, 2, 3)
    again = open_cube(save_cube(Cube(values), tmp_path / f"out{suffix}")).read()
    assert np.array_equal(again, values)
    assert again.dtype.itemsize >= values.dtype.itemsize


@pytest.mark.parametrize("suffix", ALL)
def test_windows_may_come_in_any_order(tmp_path: Path, rich: Cube, suffix: str) -> None:
    windows = [Window(4, 5, 3, 4), Window(0, 0, 4, 5), Window(4, 0, 3, 5), Window(0, 5, 4, 4)]
    with create_cube(tmp_path / f"out{suffix}", rich) as writer:
        for window in windows:
            writer.write(window, rich.read(window))
    assert np.array_equal(open_cube(tmp_path / f"out{suffix}").read(), rich.read())


def _interrupted(path: Path, like: Cube) -> None:
    with create_cube(path, like, overwrite=True) as writer:
        writer.write(Window(0, 0, 3, 9), np.zeros((5, 3, 9), "f4"))
        raise KeyboardInterrupt


def test_zarr_windows_across_chunks_meet(tmp_path: Path) -> None:
    # Chunks are (16, 256, 256); windows of 150 cross them in every direction.
    values = np.arange(17 * 300 * 300, dtype="f4").reshape(17, 300, 300)
    with create_cube(tmp_path / "out.zarr", Cube(values)) as writer:
        for row in (0, 150):
            for col in (0, 150):
                window = Window(row, col, 150, 150)
                writer.write(window, values[:, window.slices[0], window.slices[1]])
    assert np.array_equal(open_cube(tmp_path / "out.zarr").read(), values)


@pytest.mark.parametrize("suffix", ALL)
def test_an_error_while_writing_leaves_nothing(tmp_path: Path, rich: Cube, suffix: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path / f"out{suffix}", rich)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", ALL)
def test_an_error_while_overwriting_keeps_the_old_file(tmp_path: Path, rich: Cube, suffix: str) -> None:
    path = save_cube(rich, tmp_path / f"out{suffix}")
    with pytest.raises(KeyboardInterrupt):
        _interrupted(path, rich)
    assert np.array_equal(open_cube(path).read(), rich.read())


@pytest.mark.parametrize("suffix", ALL)
def test_a_lazy_cube_may_replace_its_own_file(tmp_path: Path, rich: Cube, suffix: str) -> None:
    path = save_cube(rich, tmp_path / f"out{suffix}")
    save_cube(open_cube(path), path, overwrite=True)
    assert np.array_equal(open_cube(path).read(), rich.read())
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".partial")]


@pytest.mark.parametrize("suffix", ALL)
def test_an_existing_target_is_kept_unless_told(tmp_path: Path, rich: Cube, suffix: str) -> None:
    path = save_cube(rich, tmp_path / f"out{suffix}")
    with pytest.raises(OutputError, match="exists already"):
        save_cube(rich, path)


def test_rows_left_unwritten_are_an_error(tmp_path: Path, rich: Cube) -> None:
    with pytest.raises(OutputError, match="4 rows"), create_cube(tmp_path / "out.hdr", rich) as writer:
        writer.write(Window(0, 0, 3, 9), rich.read(Window(0, 0, 3, 9)))
    assert os.listdir(tmp_path) == []


def test_a_file_that_does_not_read_back_is_not_published(
    tmp_path: Path, rich: Cube, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_the_end(self: RawSamples) -> None:
        self._file.truncate(10)
        self._file.close()

    monkeypatch.setattr(RawSamples, "close", lose_the_end)
    with pytest.raises(OutputError, match="does not read back"):
        save_cube(rich, tmp_path / "out.hdr")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".hdr", ".bip", ".npy", ".h5"])
def test_a_full_disk_is_one_clear_line(
    tmp_path: Path, rich: Cube, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hsi_app.io.raw_writing.RawSamples._write_at", full)
    with pytest.raises(OutputError, match="no space left"):
        save_cube(rich, tmp_path / f"out{suffix}")
    assert os.listdir(tmp_path) == []


def test_what_cannot_fit_is_told_before_it_starts(tmp_path: Path, rich: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two free bytes, where 5 x 7 x 9 float32 samples need 1260.
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 8, 2))  # type: ignore[attr-defined]
    with pytest.raises(PlanError, match="needs"):
        save_cube(rich, tmp_path / "out.hdr")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.mat", "missing/out.hdr"])
def test_a_target_that_cannot_be_is_refused(tmp_path: Path, rich: Cube, name: str) -> None:
    with pytest.raises(OutputError):
        save_cube(rich, tmp_path / name)


def test_an_unwritable_folder_is_refused(tmp_path: Path, rich: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    # Asked of the system, not tried: whoever runs the tests may be allowed everything.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="may not be written"):
        save_cube(rich, tmp_path / "out.hdr")


@pytest.mark.parametrize("window", [Window(0, 0, 8, 9), Window(-1, 0, 2, 9), Window(0, 5, 1, 5)], ids=str)
def test_a_window_outside_is_refused(tmp_path: Path, rich: Cube, window: Window) -> None:
    with pytest.raises(OutputError, match="outside"), create_cube(tmp_path / "out.hdr", rich) as writer:
        writer.write(window, np.zeros((5, window.height, window.width), "f4"))


def test_a_block_of_another_shape_is_refused(tmp_path: Path, rich: Cube) -> None:
    with pytest.raises(OutputError, match="shape"), create_cube(tmp_path / "out.hdr", rich) as writer:
        writer.write(Window(0, 0, 2, 2), np.zeros((4, 2, 2), "f4"))


@pytest.mark.parametrize("suffix", FULL)
def test_one_writing_thread_beside_a_reading_one_is_safe(tmp_path: Path, rich: Cube, suffix: str) -> None:
    source = open_cube(save_cube(rich, tmp_path / f"in{suffix}"))
    failures: list[BaseException] = []

    def copy(write: Callable[[Window, np.ndarray], None]) -> None:
        try:
            for row in range(7):
                write(Window(row, 0, 1, 9), source.read(Window(row, 0, 1, 9)))
        except OutputError as error:
            failures.append(error)

    with create_cube(tmp_path / f"out{suffix}", source) as writer:
        thread = threading.Thread(target=copy, args=(writer.write,))
        thread.start()
        for row in range(7):
            source.read(Window(row, 0, 1, 9))
        thread.join()
    assert failures == []
    assert np.array_equal(open_cube(tmp_path / f"out{suffix}").read(), rich.read())


def test_a_finer_image_refines_the_map_frame(tmp_path: Path, rich: Cube) -> None:
    with create_cube(tmp_path / "out.hdr", rich, shape=(5, 14, 18)) as writer:
        writer.write(Window(0, 0, 14, 18), np.zeros((5, 14, 18), "f4"))
    again = open_cube(tmp_path / "out.hdr")
    assert again.georef == rich.georef.upsampled(2)  # type: ignore[union-attr]
    assert again.bands == rich.bands


def test_other_bands_drop_wavelengths_and_scale(tmp_path: Path, rich: Cube) -> None:
    with create_cube(tmp_path / "out.tif", rich, shape=(2, 7, 9)) as writer:
        writer.write(Window(0, 0, 7, 9), np.zeros((2, 7, 9), "f4"))
    again = open_cube(tmp_path / "out.tif")
    assert again.axis.centres_nm is None
    assert (again.gain, again.unit) == (1.0, "")
    assert again.georef == rich.georef


@pytest.mark.parametrize("dtype", ["f4", "i2", "u2"])
@pytest.mark.parametrize("each_band", [False, True])
def test_masked_samples_are_missing_in_the_file(tmp_path: Path, dtype: str, each_band: bool) -> None:
    valid = np.ones((2, 3, 4) if each_band else (3, 4), bool)
    valid[..., 1, 2] = False
    cube = Cube(np.full((2, 3, 4), 100, dtype), valid=valid)
    again = open_cube(save_cube(cube, tmp_path / "out.hdr"))
    assert np.array_equal(again.block()[1], np.broadcast_to(valid, (2, 3, 4)))


def test_floats_are_rounded_clipped_and_missing_in_integers() -> None:
    given = np.array([1.5, 2.4, -1e9, 1e9, np.inf, np.nan], "f4")
    assert fit_to_dtype(given, np.dtype("i2"), -1).tolist() == [2, 2, -32768, 32767, 32767, -1]


def test_integers_are_clipped_not_wrapped() -> None:
    assert fit_to_dtype(np.array([-5, 300], "i2"), np.dtype("u1"), None).tolist() == [0, 255]


def test_what_was_written_can_be_claimed(tmp_path: Path, rich: Cube) -> None:
    for suffix in ALL:
        assert can_read(save_cube(rich, tmp_path / f"out{suffix}", overwrite=True)), suffix


def test_a_history_with_braces_cannot_break_the_header(tmp_path: Path, rich: Cube) -> None:
    odd = dataclasses.replace(rich, history=("a { b", "c }\nd = 3"), facts={"key = x": 1, "note": "{,}"})
    again = open_cube(save_cube(odd, tmp_path / "out.hdr"))
    assert again.history == ("a ( b", "c ) d = 3")
    assert again.bands == rich.bands
