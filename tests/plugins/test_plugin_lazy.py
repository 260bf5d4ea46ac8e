"""Cubes larger than memory: what is read when they are opened, scrolled, coloured and pointed at."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hsi_napari import reader, readout
from hsi_napari.cube_pointer import MapFrames, degrees, map_text, pointer_text
from hsi_napari.facts import FACTS
from hsi_napari.layers import composite_layer, contrast_limits, cube_of, cube_to_layer, result_layers
from hsi_napari.planes import PlaneArray, displayed, is_coming, stored
from hsi_napari.writer import write_cube
from napari.components import ViewerModel
from napari.layers import Layer

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.georef import GeoRef
from hsi_app.io import open_cube, save_cube
from hsi_app.io.lazy import RawValues
from hsi_app.runner import Result

BANDS, ROWS, COLS = 200, 3200, 3200  # 4.1 GB of int16
PLANE = ROWS * COLS
# Twice what is needed here; a cube of this size takes far longer to read whole.
SECOND_S = 2.0


def add(viewer: ViewerModel, cube: Cube) -> Layer:
    return viewer.add_layer(Layer.create(*cube_to_layer(cube)))


class Blocks:
    """Four gigabytes of nothing that count what is asked for, and refuse to be read whole."""

    def __init__(self, shape: tuple[int, int, int] = (BANDS, ROWS, COLS)) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(np.int16), 3
        self.samples, self.largest = 0, 0

    def __getitem__(self, key: Any) -> np.ndarray:
        spans = [range(n)[k] if isinstance(k, slice) else None for k, n in zip(key, self.shape, strict=True)]
        shape = tuple(len(span) for span in spans if span is not None)
        size = int(np.prod(shape))
        assert size <= PLANE, "no more than a band is held"
        self.samples, self.largest = self.samples + size, max(self.largest, size)
        row = np.arange(shape[-1], dtype=np.int16)
        return np.broadcast_to(row, shape).copy()


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    """A sparse ENVI file of 4 GB in one interleave."""

    def make(interleave: str) -> Path:
        with (tmp_path / f"big.{interleave}").open("wb") as data:
            data.truncate(2 * BANDS * PLANE)
        (tmp_path / "big.hdr").write_text(
            f"ENVI\nsamples = {COLS}\nlines = {ROWS}\nbands = {BANDS}\nheader offset = 0\ndata type = 2\n"
            f"interleave = {interleave}\nbyte order = 0\ndata ignore value = -9999\n"
        )
        return tmp_path / "big.hdr"

    return make


# ---- opening and scrolling -----------------------------------------------------------------------------------------


def test_a_cube_of_four_gigabytes_is_added_with_a_sample_and_the_bands_shown(viewer: ViewerModel) -> None:
    values = Blocks()
    data = cube_to_layer(Cube(values))
    sampled = values.samples
    assert sampled <= 12 * 8 * 512
    viewer.add_layer(Layer.create(*data))
    # napari shows the first band when a layer is made, then the middle one when it joins the viewer.
    assert values.samples - sampled <= 2 * PLANE


def test_every_step_of_the_slider_reads_one_band_and_going_back_none(viewer: ViewerModel) -> None:
    values = Blocks((40, 500, 600))
    add(viewer, Cube(values, nodata=-9999.0))
    viewer.dims.set_current_step(0, 5)
    for band in (6, 7, 8):
        before = values.samples
        viewer.dims.set_current_step(0, band)
        assert values.samples - before == 500 * 600
    before = values.samples
    for band in (7, 6, 5):
        viewer.dims.set_current_step(0, band)
    assert values.samples == before


@pytest.mark.parametrize("interleave", ["bsq", "bil"])
def test_a_file_of_four_gigabytes_opens_and_scrolls_within_a_second(
    viewer: ViewerModel, file: Callable[[str], Path], interleave: str
) -> None:
    path = str(file(interleave))
    started = time.perf_counter()
    (data,) = reader.read(path)
    layer = viewer.add_layer(Layer.create(*data))
    assert time.perf_counter() - started < SECOND_S
    assert layer.data.shape == (BANDS, ROWS, COLS)
    started = time.perf_counter()
    viewer.dims.set_current_step(0, 7)
    assert time.perf_counter() - started < SECOND_S


@pytest.mark.parametrize("nodata", [None, -9999.0])
def test_a_file_by_pixel_is_passed_once_for_several_bands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nodata: float | None
) -> None:
    values = np.arange(20 * 6 * 5, dtype=np.int16).reshape(20, 6, 5)
    (tmp_path / "pixels.bip").write_bytes(np.ascontiguousarray(values.transpose(1, 2, 0)).tobytes())
    ignored = "" if nodata is None else f"data ignore value = {nodata:g}\n"
    (tmp_path / "pixels.hdr").write_text(
        f"ENVI\nsamples = 5\nlines = 6\nbands = 20\ndata type = 2\ninterleave = bip\nbyte order = 0\n{ignored}"
    )
    passes: list[int] = []
    read_block = RawValues.read_block
    monkeypatch.setattr(
        RawValues, "read_block", lambda self, *place: passes.append(len(place[0])) or read_block(self, *place)
    )
    planes = displayed(open_cube(tmp_path / "pixels.hdr"))
    assert np.array_equal(planes[7], values[7])
    asked = len(passes)
    for band in (0, 15, 3):
        assert np.array_equal(planes[band], values[band])
    assert len(passes) == asked
    assert np.array_equal(planes[19], values[19])
    assert len(passes) > asked


def test_a_file_by_pixel_of_four_gigabytes_opens_and_scrolls_within_a_second_too(
    viewer: ViewerModel, toolkit: Any, file: Callable[[str], Path]
) -> None:
    from qtpy.QtCore import QThreadPool

    path = str(file("bip"))
    started = time.perf_counter()
    (data,) = reader.read(path)
    layer = viewer.add_layer(Layer.create(*data))
    viewer.dims.set_current_step(0, 7)
    assert time.perf_counter() - started < SECOND_S
    assert is_coming(layer, 7)
    # Not waited for: a pass over the whole file takes ten seconds.
    viewer.layers.remove(layer)
    toolkit.waitUntil(lambda: not is_coming(layer, 7))
    assert QThreadPool.globalInstance().waitForDone(5_000)


def test_a_colour_picture_of_a_large_cube_reads_every_nth_row(viewer: ViewerModel) -> None:
    values = Blocks()
    picture, options, _ = composite_layer(Cube(values))
    step = round(options["scale"][0])
    assert step == 2
    assert values.samples == 3 * (ROWS // step) * COLS
    assert values.largest <= COLS
    assert picture.shape[:2] == (ROWS // step, COLS // step)


# ---- missing samples -----------------------------------------------------------------------------------------------


def test_missing_samples_are_shown_as_nan_and_stored_as_they_were(full_cube: Cube) -> None:
    shown = np.asarray(displayed(full_cube))
    values, valid = full_cube.block()
    assert np.isnan(shown[~valid]).all()
    assert np.array_equal(shown[valid], values[valid])
    assert stored(displayed(full_cube)) is full_cube.values


@pytest.mark.parametrize(
    ("dtype", "nodata"), [(np.int16, None), (np.float32, np.nan), (np.float64, None)], ids=["whole", "nan", "none"]
)
def test_a_cube_without_a_number_for_missing_is_shown_as_it_is(dtype: Any, nodata: float | None) -> None:
    values = np.ones((3, 4, 5), dtype)
    assert displayed(Cube(values, nodata=nodata)) is values


def test_missing_samples_are_transparent_on_the_canvas_and_in_the_thumbnail(
    viewer: ViewerModel, full_cube: Cube
) -> None:
    layer = add(viewer, full_cube)
    plane = layer._slice.image.view
    assert np.isnan(plane[:2, :3]).all()
    assert np.isfinite(plane[2:-1, 3:]).all()
    assert layer.colormap.map(plane[0, 0])[0, 3] == 0


def test_a_plane_on_disk_is_kept_and_one_in_memory_is_not(full_cube: Cube, on_disk: Any) -> None:
    values = on_disk(np.asarray(full_cube.values))
    lazy, held = displayed(full_cube.replace(values, "left on disk")), displayed(full_cube)
    for _ in range(3):
        lazy[2], held[2]
    assert values.samples == 12 * 10
    assert len(held._planes) == 0


def test_edits_of_an_array_in_memory_are_seen(full_cube: Cube) -> None:
    values = np.asarray(full_cube.values).copy()
    shown = displayed(full_cube.replace(values, "a copy"))
    before = float(shown[1][6, 6])
    values[1, 6, 6] = before + 7
    assert shown[1][6, 6] == before + 7


def test_contrast_does_not_see_missing_samples(full_cube: Cube) -> None:
    bright = np.asarray(full_cube.values).copy()
    bright[:, :2, :3] = 32_000
    low, high = contrast_limits(full_cube.replace(bright, "outliers where nothing is", nodata=32_000.0))
    assert 0 < low < high < 5000


@pytest.mark.parametrize("ending", [".hdr", ".tif"])
def test_saving_the_layer_writes_the_bits_and_type_of_the_file(
    viewer: ViewerModel, full_cube: Cube, tmp_path: Path, ending: str
) -> None:
    source = save_cube(full_cube.replace(full_cube.values, "as a file", valid=None), tmp_path / f"in{ending}")
    layer = add(viewer, open_cube(source))
    viewer.dims.set_current_step(0, 3)
    data, options, _ = layer.as_layer_data_tuple()
    (written,) = write_cube(str(tmp_path / f"out{ending}"), data, options)
    before, after = open_cube(source), open_cube(written)
    assert after.dtype == before.dtype == np.int16
    assert np.array_equal(after.read(), before.read())
    assert after.nodata == before.nodata


def test_what_is_shown_of_a_result_is_what_it_is_made_of(full_cube: Cube) -> None:
    values, valid = full_cube.block()
    result = Result(full_cube.replace(np.where(valid, values, -9999).astype(np.float32), "same"), full_cube)
    layer = Layer.create(*result_layers(result)[-1])
    assert cube_of(layer).values is result.cube.values


# ---- the place under the pointer -----------------------------------------------------------------------------------


@pytest.fixture
def frames(full_cube: Cube) -> MapFrames:
    """Map frames that have been looked up."""
    frames = MapFrames()
    assert full_cube.georef is not None
    ends = time.monotonic() + 20
    while frames.of(full_cube.georef, (12, 10)) is None:
        assert time.monotonic() < ends, "the frame was not looked up"
        time.sleep(0.005)
    return frames


def point(viewer: ViewerModel, band: float, row: float, col: float) -> None:
    viewer.mouse_over_canvas = True
    viewer.dims.set_point(0, band)
    viewer.cursor.position = (band, row, col)


def test_the_place_is_told_in_pixels_map_degrees_and_units(
    viewer: ViewerModel, full_cube: Cube, frames: MapFrames
) -> None:
    layer = add(viewer, full_cube)
    point(viewer, 2, 5.3, 6.4)
    number = int(np.asarray(full_cube.values)[2, 5, 6])
    assert pointer_text(layer, viewer, frames) == (
        f"scene · row 5, col 6 · x 400052.0, y 5799956.0 (EPSG:32633) · 13.53290° E, 52.34079° N"
        f" · {number * 1e-4 + 0.5:.4g} reflectance (stored {number})"
    )


def test_missing_samples_are_called_so_and_beside_the_image_there_is_nothing(
    viewer: ViewerModel, full_cube: Cube, frames: MapFrames
) -> None:
    layer = add(viewer, full_cube)
    point(viewer, 1, 0, 0)
    assert pointer_text(layer, viewer, frames).endswith("· missing")
    point(viewer, 1, -3, 0)
    assert pointer_text(layer, viewer, frames) == ""
    point(viewer, 1, 4, 4)
    viewer.dims.ndisplay = 3
    assert pointer_text(layer, viewer, frames) == ""


def test_pointing_reads_nothing(viewer: ViewerModel) -> None:
    values = Blocks((30, 400, 500))
    layer = add(viewer, Cube(values))
    viewer.dims.set_point(0, 15)
    before = values.samples
    for col in range(0, 500, 50):
        point(viewer, 15, 7, col)
        assert pointer_text(layer, viewer).endswith(str(col))
    assert values.samples == before


def test_the_status_line_speaks_of_the_chosen_cube_and_leaves_other_layers_theirs(
    viewer: ViewerModel, full_cube: Cube
) -> None:
    readout.attach(viewer)
    layer = add(viewer, full_cube)
    labels = viewer.add_labels(np.zeros((12, 10), int), name="paint")
    viewer.layers.selection.active = layer
    point(viewer, 2, 5, 6)
    assert str(viewer.status).startswith("scene · row 5, col 6")
    viewer.layers.selection.active = labels
    point(viewer, 2, 5, 7)
    assert "row" not in str(viewer.status)


def test_a_cube_without_a_map_frame_is_told_in_pixels(viewer: ViewerModel) -> None:
    layer = add(viewer, Cube(np.full((3, 4, 5), 2.5, np.float32), BandAxis(3), name="lab", unit="counts"))
    point(viewer, 1, 2, 3)
    assert pointer_text(layer, viewer) == "lab · row 2, col 3 · 2.5 counts"


def test_coordinates_that_are_degrees_are_written_as_degrees() -> None:
    georef, frames = GeoRef((0.001, 0, -70.0, 0, -0.001, -33.0), "EPSG:4326"), MapFrames()
    frames._look_up(georef, (10, 10))
    assert map_text(georef, 0, 0, frames.of(georef, (10, 10))) == "69.99950° W, 33.00050° S (EPSG:4326)"
    assert degrees(-1.5, 2.25) == "1.50000° W, 2.25000° N"


def test_a_local_grid_has_a_name_and_no_degrees() -> None:
    georef, frames = GeoRef((0.05, 0, 10, 0, -0.05, 20), None), MapFrames()
    assert map_text(georef, 0, 0, None) == "x 10.025, y 19.975"
    frames._look_up(georef, (10, 10))
    assert map_text(georef, 0, 0, frames.of(georef, (10, 10))) == "x 10.025, y 19.975 (unknown CRS)"


def test_a_number_for_missing_in_an_array_that_was_put_in_is_missing(viewer: ViewerModel, full_cube: Cube) -> None:
    layer = add(viewer, full_cube)
    layer.data = np.asarray(full_cube.values).copy()
    assert layer.metadata[FACTS]["nodata"] == -9999
    point(viewer, 1, 0, 0)
    assert pointer_text(layer, viewer).endswith("· missing")


def test_planes_say_what_they_are(full_cube: Cube) -> None:
    planes = displayed(full_cube)
    assert isinstance(planes, PlaneArray)
    assert planes.dtype == planes[0].dtype == np.asarray(planes).dtype == np.float32
    assert planes.shape == full_cube.shape
