"""Bands that take long to read: who is given what while they are read, and what is read at all."""

from __future__ import annotations

import copy
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hsi_napari import reader, readout
from hsi_napari.cube_pointer import pointer_text
from hsi_napari.layers import cube_of, cube_to_layer, sample
from hsi_napari.planes import displayed, is_coming, removed, stored
from hsi_napari.viewer_parts import text_overlay
from hsi_napari.writer import write_cube
from napari.components import ViewerModel
from napari.layers import Layer

from hsi_app.cube import Cube
from hsi_app.io import open_cube

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

BANDS, ROWS, COLS, HIGH = 40, 12, 10, 4
# Bands that are read together: so many at most.
AHEAD = 16
LONG_MS = 20_000
# Twice what is needed here; the pass over the whole file takes five times as long.
SECOND_S = 2.0


class Slow:
    """Values in chunks of all bands. Reads beside the main thread wait for a door; all are noted."""

    def __init__(self, dtype: Any = np.int16) -> None:
        self.values = np.arange(BANDS * ROWS * COLS).reshape(BANDS, ROWS, COLS).astype(dtype)
        self.shape, self.dtype, self.ndim = self.values.shape, self.values.dtype, 3
        self.chunksize = BANDS, HIGH, COLS
        self.door, self.begun = threading.Event(), threading.Event()
        self.here: list[Any] = []
        self.beside: list[tuple[int, int]] = []
        self.error: Exception | None = None

    def __getitem__(self, key: Any) -> np.ndarray:
        if threading.current_thread() is threading.main_thread():
            self.here.append(key)
            return self.values[key].copy()
        bands, rows, _ = key
        self.beside.append((bands.start, rows.start))
        self.begun.set()
        assert self.door.wait(60), "the test forgot the door"
        if self.error is not None:
            raise self.error
        return self.values[key].copy()


@pytest.fixture(autouse=True)
def _small_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi_napari.planes.SLOW_BYTES", 0)
    monkeypatch.setattr("hsi_app.spectral_reading.PIECE_BYTES", 1)
    monkeypatch.setattr("hsi_napari.layers.SMALL_BYTES", 0)


@pytest.fixture
def source(toolkit: Any) -> Iterator[Slow]:
    """A slow source under a running toolkit; nothing reads on after the test."""
    from hsi_napari import late_planes
    from qtpy.QtCore import QThreadPool

    source = Slow()
    yield source
    source.door.set()
    toolkit.waitUntil(lambda: not late_planes._readers, timeout=LONG_MS)
    assert QThreadPool.globalInstance().waitForDone(LONG_MS)


@pytest.fixture
def layer(viewer: ViewerModel, source: Slow) -> Iterator[Layer]:
    """The slow cube in the viewer; the slider stands at band 19."""
    data = cube_to_layer(Cube(source, name="slow"))
    source.here.clear()
    yield viewer.add_layer(Layer.create(*data))
    viewer.layers.clear()


def drawn(layer: Layer) -> np.ndarray:
    return np.asarray(layer._slice.image.raw)


def is_blank(layer: Layer) -> bool:
    return bool(np.isnan(drawn(layer)).all())


def step(viewer: ViewerModel, band: int) -> None:
    viewer.dims.set_current_step(0, band)


# ---- what is drawn -------------------------------------------------------------------------------------------------


def test_adding_reads_nothing_and_draws_nothing_without_a_warning(layer: Layer, source: Slow) -> None:
    assert source.here == source.beside == []
    assert is_blank(layer)
    assert drawn(layer).shape == (ROWS, COLS)
    layer.reset_contrast_limits()
    assert np.isfinite(layer.contrast_limits).all()


def test_the_band_is_drawn_when_it_was_read_and_its_neighbours_at_once(
    viewer: ViewerModel, layer: Layer, source: Slow, toolkit: Any
) -> None:
    source.door.set()
    toolkit.waitUntil(lambda: not is_blank(layer), timeout=LONG_MS)
    assert np.array_equal(drawn(layer), source.values[19])
    # Every chunk was read once, in the order of the file.
    assert source.beside == [(AHEAD, top) for top in range(0, ROWS, HIGH)]
    for band in (AHEAD, 2 * AHEAD - 1, 20):
        step(viewer, band)
        assert np.array_equal(drawn(layer), source.values[band])
    assert len(source.beside) == 3
    assert source.here == []


def test_a_band_is_said_to_be_read_until_it_is_drawn(
    viewer: ViewerModel, layer: Layer, source: Slow, toolkit: Any
) -> None:
    readout.attach(viewer)
    assert text_overlay(viewer).text == "band 20 of 40 · reading…"
    viewer.mouse_over_canvas, viewer.cursor.position = True, (19, 5, 6)
    assert pointer_text(layer, viewer) == "slow · row 5, col 6 · reading…"
    source.door.set()
    toolkit.waitUntil(lambda: not is_blank(layer), timeout=LONG_MS)
    assert text_overlay(viewer).text == "band 20 of 40"
    assert pointer_text(layer, viewer) == f"slow · row 5, col 6 · {source.values[19, 5, 6]}"
    source.door.clear()
    step(viewer, 3)
    assert text_overlay(viewer).text == "band 4 of 40 · reading…"
    step(viewer, 19)
    assert text_overlay(viewer).text == "band 20 of 40"


def test_missing_samples_stay_transparent(viewer: ViewerModel, source: Slow, toolkit: Any) -> None:
    number = float(source.values[19, 3, 4])
    layer = viewer.add_layer(Layer.create(*cube_to_layer(Cube(source, nodata=number))))
    source.door.set()
    toolkit.waitUntil(lambda: not is_blank(layer), timeout=LONG_MS)
    assert np.argwhere(np.isnan(drawn(layer))).tolist() == [[3, 4]]
    viewer.layers.clear()


def test_two_layers_of_one_source_are_drawn_by_one_read(
    viewer: ViewerModel, layer: Layer, source: Slow, toolkit: Any
) -> None:
    twin = viewer.add_layer(Layer.create(copy.deepcopy(layer.data), {"contrast_limits": (0, 1)}, "image"))
    assert twin.data is layer.data
    source.door.set()
    toolkit.waitUntil(lambda: not is_blank(layer) and not is_blank(twin), timeout=LONG_MS)
    assert len(source.beside) == ROWS // HIGH


def test_two_layers_that_show_different_bands_get_both(
    viewer: ViewerModel, layer: Layer, source: Slow, toolkit: Any
) -> None:
    twin = Layer.create(layer.data, {"contrast_limits": (0, 1), "translate": (-15, 0, 0)}, "image")
    viewer.add_layer(twin)
    step(viewer, 15)
    source.door.set()
    for each in (layer, twin):
        toolkit.waitUntil(lambda each=each: not is_blank(each), timeout=LONG_MS)
        band = round(float(each.world_to_data(viewer.dims.point)[0]))
        assert np.array_equal(drawn(each), source.values[band])


def test_what_a_restoration_of_a_slow_file_removed_comes_late_too(
    viewer: ViewerModel, source: Slow, toolkit: Any
) -> None:
    observed = Cube(source)
    planes = removed(observed, Cube(source.values - 5))
    layer = viewer.add_layer(Layer.create(planes, {"contrast_limits": (0, 9)}, "image"))
    assert is_blank(layer)
    source.door.set()
    toolkit.waitUntil(lambda: not is_blank(layer), timeout=LONG_MS)
    assert (drawn(layer) == 5).all()
    viewer.layers.clear()


# ---- what everybody else is given ----------------------------------------------------------------------------------


def test_nobody_but_the_drawing_is_given_a_stand_in(layer: Layer, source: Slow, tmp_path: Path) -> None:
    planes, values = layer.data, source.values
    assert is_blank(layer)
    assert np.array_equal(planes[19], values[19])
    assert np.array_equal(planes[5, 2:4], values[5, 2:4])
    assert np.array_equal(np.asarray(planes), values)
    source.door.set()
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(planes[39]))
    thread.start()
    thread.join()
    assert np.array_equal(found[0], values[39])
    assert cube_of(layer).values is stored(planes) is source
    (written,) = write_cube(str(tmp_path / "out.hdr"), *layer.as_layer_data_tuple()[:2])
    again = open_cube(written)
    assert again.dtype == np.int16
    assert np.array_equal(again.read(), values)


def test_a_band_that_a_script_read_is_drawn_at_once(viewer: ViewerModel, layer: Layer, source: Slow) -> None:
    assert np.array_equal(layer.data[3], source.values[3])
    step(viewer, 3)
    assert np.array_equal(drawn(layer), source.values[3])


def test_slicing_in_a_thread_is_given_the_values(viewer: ViewerModel, layer: Layer, source: Slow) -> None:
    source.door.set()
    step(viewer, 3)
    thread = threading.Thread(target=layer.set_view_slice)
    thread.start()
    thread.join()
    assert np.array_equal(drawn(layer), source.values[3])


def test_without_a_toolkit_everything_is_read_at_once(
    viewer: ViewerModel, layer: Layer, source: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtWidgets import QApplication

    monkeypatch.setattr(QApplication, "instance", lambda: None)
    step(viewer, 3)
    assert np.array_equal(drawn(layer), source.values[3])


def test_an_unknown_way_of_slicing_is_given_the_values(source: Slow) -> None:
    planes = displayed(Cube(source))
    asking: dict[str, Any] = {"__name__": "napari.layers.another"}
    exec("def ask(planes): return planes[4]", asking)
    assert np.array_equal(asking["ask"](planes), source.values[4])


@pytest.mark.parametrize(
    ("stored_as", "shown_as"),
    [("u1", "f4"), ("i2", "f4"), ("u2", "f4"), ("i4", "f8"), ("f4", "f4"), ("f8", "f8")],
)
def test_slow_values_are_shown_as_floats_that_hold_them_exactly(stored_as: str, shown_as: str) -> None:
    source = Slow(stored_as)
    source.values[-1, -1, -1] = np.iinfo(stored_as).max if source.dtype.kind in "iu" else 1 / 3
    planes = displayed(Cube(source))
    assert planes.dtype == planes[39].dtype == np.dtype(shown_as)
    assert planes[39][-1, -1] == source.values[-1, -1, -1]


# ---- what is read --------------------------------------------------------------------------------------------------


def test_of_bands_passed_quickly_only_the_last_is_read(
    viewer: ViewerModel, layer: Layer, source: Slow, toolkit: Any
) -> None:
    source.door.set()
    for band in (18, 3, 20, 39):
        step(viewer, band)
    toolkit.waitUntil(lambda: not is_blank(layer), timeout=LONG_MS)
    assert np.array_equal(drawn(layer), source.values[39])
    assert {first for first, _ in source.beside} == {32}


def test_another_band_stops_the_reading_of_the_one_before(
    viewer: ViewerModel, layer: Layer, source: Slow, toolkit: Any
) -> None:
    toolkit.waitUntil(source.begun.is_set, timeout=LONG_MS)
    step(viewer, 20)  # of the same group: goes on
    assert is_coming(layer, 20)
    step(viewer, 39)
    assert is_coming(layer, 39)
    assert not is_coming(layer, 20)
    source.door.set()
    toolkit.waitUntil(lambda: not is_blank(layer), timeout=LONG_MS)
    assert np.array_equal(drawn(layer), source.values[39])
    assert source.beside == [(AHEAD, 0), (32, 0), (32, 4), (32, 8)]


def test_removing_the_layer_stops_the_reading_and_nothing_is_left_of_it(
    viewer: ViewerModel, source: Slow, toolkit: Any
) -> None:
    from hsi_napari import late_planes

    layer = viewer.add_layer(Layer.create(*cube_to_layer(Cube(source))))
    toolkit.waitUntil(source.begun.is_set, timeout=LONG_MS)
    viewer.layers.remove(layer)
    toolkit.waitUntil(lambda: not late_planes._readers, timeout=LONG_MS)
    assert not is_coming(layer, 19)
    held = weakref.ref(layer), weakref.ref(layer.data)
    del layer
    viewer.add_points()  # napari keeps the layer that was chosen last until another one is
    source.door.set()
    toolkit.waitUntil(lambda: gc.collect() >= 0 and not any(ref() for ref in held), timeout=LONG_MS)
    assert source.beside == [(AHEAD, 0)]


def test_a_layer_that_never_came_into_a_viewer_is_not_read_for_once_it_is_gone(source: Slow, toolkit: Any) -> None:
    from hsi_napari import late_planes

    layer: Layer | None = Layer.create(*cube_to_layer(Cube(source)))
    toolkit.waitUntil(source.begun.is_set, timeout=LONG_MS)
    layer = None
    toolkit.waitUntil(lambda: gc.collect() >= 0 and not late_planes._readers, timeout=LONG_MS)
    assert layer is None


def test_other_data_in_the_layer_end_the_reading_of_the_old(
    viewer: ViewerModel, layer: Layer, source: Slow, toolkit: Any
) -> None:
    from hsi_napari import late_planes

    toolkit.waitUntil(source.begun.is_set, timeout=LONG_MS)
    layer.data = np.zeros(source.shape, np.float32)
    toolkit.waitUntil(lambda: not late_planes._readers, timeout=LONG_MS)
    source.door.set()
    assert (drawn(layer) == 0).all()


def test_a_hidden_layer_is_drawn_when_it_is_shown_again(
    viewer: ViewerModel, layer: Layer, source: Slow, toolkit: Any
) -> None:
    toolkit.waitUntil(source.begun.is_set, timeout=LONG_MS)
    layer.visible = False
    source.door.set()
    toolkit.waitUntil(lambda: not is_coming(layer, 19), timeout=LONG_MS)
    layer.visible = True
    assert np.array_equal(drawn(layer), source.values[19])


def test_a_file_that_cannot_be_read_is_told_once_and_read_again_when_looked_at_again(
    viewer: ViewerModel, layer: Layer, source: Slow, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("hsi_napari.late_planes.show_error", told.append)
    readout.attach(viewer)
    source.error = OSError("the disk is gone")
    source.door.set()
    toolkit.waitUntil(lambda: bool(told), timeout=LONG_MS)
    assert told == ["unexpected OSError: the disk is gone"]
    assert is_blank(layer)
    assert text_overlay(viewer).text == "band 20 of 40"
    source.error = None
    step(viewer, 20)
    toolkit.waitUntil(lambda: not is_blank(layer), timeout=LONG_MS)
    assert np.array_equal(drawn(layer), source.values[20])
    assert len(told) == 1


def test_a_sample_of_a_file_by_pixel_is_a_few_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from hsi_app.io.lazy import RawValues

    path, (bands, _, cols) = pixel_file(tmp_path, (200, 300, 600))
    taken: list[int] = []
    samples = RawValues._samples
    monkeypatch.setattr(
        RawValues, "_samples", lambda self, file, at, count: taken.append(count) or samples(self, file, at, count)
    )
    cube_to_layer(open_cube(path))
    assert len(taken) == 8
    assert sum(taken) <= 8 * bands * cols


def test_a_sample_of_chunks_decodes_few_of_them_from_all_over() -> None:
    class Tiles:
        shape, dtype, ndim, chunksize = (64, 800, 900), np.dtype(np.int16), 3, (16, 100, 100)

        def __init__(self) -> None:
            self.chunks: list[tuple[int, int, int]] = []
            self.samples = 0

        def __getitem__(self, key: Any) -> np.ndarray:
            self.chunks += [
                (b, r, c)
                for b in range(key[0].start // 16, (key[0].stop - 1) // 16 + 1)
                for r in range(key[1].start // 100, (key[1].stop - 1) // 100 + 1)
                for c in range(key[2].start // 100, (key[2].stop - 1) // 100 + 1)
            ]
            return np.ones([k.stop - k.start for k in key], np.int16)

    values = Tiles()
    found = sample(Cube(values))
    assert len(values.chunks) == len(set(values.chunks)) == 8 * 64 // 16
    assert {row for _, row, _ in values.chunks} == set(range(8))
    assert {0, 8} <= {col for _, _, col in values.chunks}
    assert [piece.size for piece in found] == [8 * 5 * 100] * 12


# ---- a large file in a window --------------------------------------------------------------------------------------


def pixel_file(folder: Path, shape: tuple[int, int, int]) -> tuple[Path, tuple[int, int, int]]:
    """A sparse ENVI file by pixel."""
    bands, rows, cols = shape
    with (folder / "big.bip").open("wb") as data:
        data.truncate(2 * bands * rows * cols)
    (folder / "big.hdr").write_text(
        f"ENVI\nsamples = {cols}\nlines = {rows}\nbands = {bands}\nheader offset = 0\ndata type = 2\n"
        "interleave = bip\nbyte order = 0\n"
    )
    return folder / "big.hdr", shape


def test_a_window_stays_alive_while_four_gigabytes_are_passed_and_closing_it_stops_that(
    window: Callable[..., Any], toolkit: Any, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsi_napari import late_planes
    from qtpy.QtCore import QThreadPool
    from watchdog import Watchdog

    from hsi_app.io.lazy import RawValues

    monkeypatch.undo()  # the real limits
    slowly = threading.Event()  # a disk that is slow
    path, shape = pixel_file(tmp_path, (200, 3200, 3200))
    viewer = window(show=True)
    viewer.window.resize(1500, 940)
    viewer.add_image(np.zeros((3, 8, 8)), name="warm")  # the first layer pays for napari's controls
    viewer.layers.clear()
    readout.attach(viewer)
    toolkit.wait(100)
    blocks: list[Any] = []
    read_block = RawValues.read_block
    monkeypatch.setattr(
        RawValues,
        "read_block",
        lambda self, *place: blocks.append(place) or slowly.wait(0.01) or read_block(self, *place),
    )
    started = time.perf_counter()
    (data,) = reader.read(str(path))
    layer = viewer.add_layer(Layer.create(*data))
    assert time.perf_counter() - started < SECOND_S
    assert layer.data.shape == shape
    with Watchdog() as dog:
        blocks.clear()
        toolkit.waitUntil(lambda: len(blocks) > 20, timeout=LONG_MS)
        viewer.dims.set_current_step(0, 150)
        assert text_overlay(viewer).text == "band 151 of 200 · reading…"
        toolkit.waitUntil(lambda: blocks[-1][0][0] > 140, timeout=LONG_MS)
    assert dog.blocked == []
    viewer.screenshot(str(pictures / "reading-late.png"), canvas_only=False, flash=False)
    viewer.close()
    toolkit.waitUntil(lambda: not late_planes._readers, timeout=LONG_MS)
    assert QThreadPool.globalInstance().waitForDone(LONG_MS)
    # A pass takes 246 pieces.
    assert sum(bands[0] > 140 for bands, *_ in blocks) < 200
