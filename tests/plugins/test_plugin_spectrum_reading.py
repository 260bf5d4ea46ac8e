"""Hovering over cubes that are slow to read: the window never waits, a preview stands in, a click shows the truth."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

from hsi_napari.spectrum_reading import SLOW_S, Spectra

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import FormatError
from hsi_app.io.lazy import RawValues
from hsi_app.jobs import Job

# Best of several: the machine may be busy with other tests.
HOVER_S = 0.02
SHAPE = (24, 4000, 3000)


class SlowArray:
    """A cube of rank 2 that takes a second for each read of all bands, or as long as it is held; counts the samples.

    Reads of rows are quick once ``is_quick`` is set, so that a preview can be built within a test.
    """

    def __init__(self, shape: tuple[int, int, int] = SHAPE, wait_s: float = 1.0) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(np.float32), 3
        self.samples = self.samples_in_window = self.reads = 0
        self.wait_s, self.is_held, self.let_go = wait_s, True, threading.Event()

    def __getitem__(self, key: Any) -> np.ndarray:
        bands, rows, cols = (np.arange(n, dtype=np.float32)[k] for n, k in zip(self.shape, key, strict=True))
        block = np.multiply.outer(bands, rows)[..., None] + 2 * cols
        if threading.current_thread() is threading.main_thread():
            self.samples_in_window += block.size
        else:
            self.reads += 1
            if self.is_held:
                self.let_go.wait(self.wait_s)
        self.samples += block.size
        return np.asarray(block, np.float32)

    def spectrum(self, row: int, col: int) -> np.ndarray:
        """The truth."""
        return np.arange(self.shape[0]) * float(row) + 2.0 * col


def layer_of(viewer: Any, values: Any, **facts: Any) -> Any:
    """The values as a layer; none is read for the contrast."""
    from hsi_napari.facts import FACTS, facts_of
    from hsi_napari.planes import shown
    from napari.layers import Image

    cube = Cube(values, name="slow", **facts)
    options = {"name": "slow", "contrast_limits": (0, 1), "metadata": {FACTS: facts_of(cube)}, "rgb": False}
    return viewer.add_layer(Image(shown(values), multiscale=False, **options))


@pytest.fixture
def slow() -> Iterator[SlowArray]:
    values = SlowArray()
    yield values
    values.let_go.set()


@pytest.fixture
def dock(viewer: Any, slow: SlowArray, toolkit: Any) -> Iterator[Any]:
    """The spectrum dock over the slow cube, whose first read was found to take long."""
    from hsi_napari.spectrum_dock import SpectrumDock
    from qtpy.QtCore import QThreadPool

    layer_of(viewer, slow)
    slow.samples_in_window = 0  # the band that is shown was read
    dock = SpectrumDock(viewer)
    toolkit.addWidget(dock)
    yield dock
    dock.links.cut()
    slow.let_go.set()
    assert QThreadPool.globalInstance().waitForDone(20_000)


def settle(dock: Any, toolkit: Any) -> None:
    """Wait until nothing is read any more."""
    toolkit.waitUntil(lambda: not (dock.reader.is_reading or dock.reader.is_building), timeout=20_000)


def seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def with_preview(dock: Any, slow: SlowArray, toolkit: Any) -> Spectra:
    """Hover until the preview is there."""
    spectra: Spectra = dock.model.first.spectra
    dock.hover(100, 200)
    toolkit.waitUntil(lambda: spectra.wants_preview or spectra.preview is not None, timeout=20_000)
    slow.is_held = False
    slow.let_go.set()
    dock.hover(100, 201)
    toolkit.waitUntil(lambda: spectra.preview is not None and not dock.reader.is_reading, timeout=20_000)
    return spectra


# ---- the window never waits ----------------------------------------------------------------------------------------


def test_opening_and_hovering_reads_nothing_in_the_windows_thread(dock: Any, slow: SlowArray, toolkit: Any) -> None:
    for col in range(10):
        dock.hover(5, col)
        dock._draw_hover()
    dock.pin(7, 8)
    assert slow.samples_in_window == 0
    slow.let_go.set()


def test_hovering_over_a_slow_cube_takes_no_time(dock: Any, slow: SlowArray) -> None:
    costs = []
    for col in range(8):
        dock._place = (5, col)
        costs.append(seconds(dock._draw_hover))
    assert min(costs) < HOVER_S
    assert slow.samples_in_window == 0


def test_hovering_over_a_file_of_four_gigabytes_takes_no_time(viewer: Any, toolkit: Any, tmp_path: Path) -> None:
    from hsi_napari.spectrum_dock import SpectrumDock
    from qtpy.QtCore import QThreadPool

    shape = 200, 3300, 3300
    path = tmp_path / "sparse.bsq"
    with path.open("wb") as file:
        file.truncate(2 * int(np.prod(shape, dtype=np.int64)))
    layer_of(viewer, RawValues(str(path), shape, np.dtype(np.int16)))
    dock = SpectrumDock(viewer)
    toolkit.addWidget(dock)
    costs = []
    for col in range(0, 3000, 200):
        dock._place = (col, col)
        costs.append(seconds(dock._draw_hover))
    assert min(costs) < HOVER_S
    pixel = 3000, 2900
    dock._place = pixel
    dock._draw_hover()
    toolkit.waitUntil(lambda: dock.model.first.spectra.known(*pixel, 1) is not None, timeout=20_000)
    # A preview of four gigabytes takes a minute; closing the dock stops it at once.
    dock.model.first.spectra.cost_s = 1.0
    dock._draw_hover()
    assert dock.reader.is_building
    dock.links.cut()
    start = time.monotonic()
    assert QThreadPool.globalInstance().waitForDone(20_000)
    assert time.monotonic() - start < 2


# ---- reading beside the window -------------------------------------------------------------------------------------


def test_the_spectrum_under_a_resting_mouse_arrives(dock: Any, slow: SlowArray, toolkit: Any) -> None:
    slow.wait_s = 0.01
    dock.hover(12, 34)
    toolkit.waitUntil(lambda: bool(dock.plot._hover), timeout=20_000)
    assert np.allclose(dock.plot._hover[0].getOriginalDataset()[1], slow.spectrum(12, 34))
    assert dock.plot.hint == ""
    settle(dock, toolkit)


def test_of_the_places_hovered_meanwhile_only_the_last_is_read(dock: Any, slow: SlowArray, toolkit: Any) -> None:
    spectra = dock.model.first.spectra
    for col in (1, 2, 3, 4):
        dock._place = (5, col)
        dock._draw_hover()
    assert "reading…" in dock.where.text()
    spectra.has_failed = True  # no preview here
    slow.let_go.set()
    settle(dock, toolkit)
    assert [spectra.known(5, col, 1) is not None for col in (1, 2, 3, 4)] == [True, False, False, True]
    assert slow.reads == 2
    assert "reading…" not in dock.where.text()


def test_a_click_comes_before_the_mouse(dock: Any, slow: SlowArray, toolkit: Any) -> None:
    dock.model.first.spectra.has_failed = True
    for col in (1, 2):
        dock._place = (5, col)
        dock._draw_hover()
    dock.pin(9, 9)
    slow.let_go.set()
    toolkit.waitUntil(lambda: len(dock.plot.lines()) == 1, timeout=20_000)
    assert np.allclose(dock.plot.lines()[0][1], slow.spectrum(9, 9))
    settle(dock, toolkit)


def test_a_cube_that_reads_quickly_gets_no_preview(viewer: Any, toolkit: Any, full_cube: Cube, on_disk: Any) -> None:
    spectra = Spectra(replace(full_cube, values=on_disk(np.asarray(full_cube.values))))
    spectra.read(5, 6, 1)
    assert spectra.cost_s is not None
    spectra.cost_s = min(spectra.cost_s, SLOW_S)
    assert not spectra.wants_preview


def test_a_file_that_cannot_be_read_is_told_once_and_hovering_goes_on(
    dock: Any, slow: SlowArray, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, key: Any) -> np.ndarray:
        raise FormatError("'slow.bsq' ends early; fetch it again.")

    monkeypatch.setattr(SlowArray, "__getitem__", broken)
    dock.hover(5, 6)
    toolkit.waitUntil(lambda: dock.message.is_error, timeout=20_000)
    assert dock.message.text() == "'slow.bsq' ends early; fetch it again."
    settle(dock, toolkit)
    dock.hover(5, 7)
    settle(dock, toolkit)


# ---- the preview ---------------------------------------------------------------------------------------------------


def test_a_slow_cube_gets_a_preview_and_the_plot_says_so(dock: Any, slow: SlowArray, toolkit: Any) -> None:
    spectra = with_preview(dock, slow, toolkit)
    assert spectra.preview is not None
    assert spectra.preview.coefficients.nbytes <= 128 * 2**20
    read = slow.samples
    dock._place = (1000, 2000)
    dock._draw_hover()
    assert dock.plot.hint == "low-rank preview"
    ((_, shown),) = [line.getOriginalDataset() for line in dock.plot._hover]
    step = spectra.preview.step
    middle = [min(p // step * step + step // 2, n - 1) for p, n in zip((1000, 2000), SHAPE[1:], strict=True)]
    assert np.allclose(shown, slow.spectrum(*middle), rtol=1e-3)
    assert not dock.reader.is_reading
    assert slow.samples == read


def test_hovering_over_a_preview_takes_microseconds(dock: Any, slow: SlowArray, toolkit: Any) -> None:
    spectra = with_preview(dock, slow, toolkit)
    assert min(seconds(lambda: spectra.get(5, 6, 1)) for _ in range(5)) < 0.002
    dock._place = (50, 60)
    assert min(seconds(dock._draw_hover) for _ in range(8)) < HOVER_S


def test_a_click_shows_the_true_spectrum(dock: Any, slow: SlowArray, toolkit: Any) -> None:
    with_preview(dock, slow, toolkit)
    dock.pin(1001, 2001)
    dock._place = (1001, 2001)
    toolkit.waitUntil(lambda: not dock.model.unread_pins(), timeout=20_000)
    settle(dock, toolkit)
    ((_, values),) = dock.plot.lines()
    assert np.allclose(values, slow.spectrum(1001, 2001), rtol=1e-6)
    dock._draw_hover()
    assert dock.plot.hint == ""  # the true one is at hand


def test_a_preview_is_built_once_for_a_cube(viewer: Any, dock: Any, slow: SlowArray, toolkit: Any) -> None:
    spectra = with_preview(dock, slow, toolkit)
    other = layer_of(viewer, np.zeros((5, 8, 8), np.float32))
    dock.first_choice.choose(other)
    assert dock.model.first.spectra is not spectra
    dock.first_choice.choose(viewer.layers["slow"])
    assert dock.model.first.spectra is spectra
    read = slow.samples
    dock._place = (3, 3)
    dock._draw_hover()
    assert dock.plot.hint == "low-rank preview"
    assert slow.samples == read


def test_nothing_is_built_before_somebody_hovers(dock: Any, slow: SlowArray, toolkit: Any) -> None:
    slow.wait_s = 2 * SLOW_S
    dock.pin(4, 4)
    toolkit.waitUntil(lambda: not dock.model.unread_pins(), timeout=20_000)
    assert dock.model.first.spectra.wants_preview
    assert not dock.reader.is_building


# ---- going away in the middle --------------------------------------------------------------------------------------


def hover_until_building(dock: Any, slow: SlowArray, toolkit: Any) -> None:
    slow.wait_s = 2 * SLOW_S
    dock.hover(5, 6)
    toolkit.waitUntil(lambda: dock.reader.is_building, timeout=20_000)


@pytest.mark.parametrize("what", ["layer", "dock", "follow", "other cube"])
def test_building_stops_when_nobody_looks_any_more(
    viewer: Any, dock: Any, slow: SlowArray, toolkit: Any, what: str
) -> None:
    hover_until_building(dock, slow, toolkit)
    spectra = dock.model.first.spectra
    if what == "layer":
        viewer.layers.remove("slow")
    elif what == "dock":
        dock.links.cut()
    elif what == "follow":
        dock.follow_mouse.setChecked(False)
    else:
        dock.first_choice.choose(layer_of(viewer, np.zeros((5, 8, 8), np.float32)))
    settle(dock, toolkit)
    read = slow.samples
    assert spectra.preview is None
    assert not dock.message.is_error
    assert slow.samples == read < np.prod(SHAPE) // 4
    assert not spectra.has_failed  # it may be built later


def test_a_closed_dock_begins_no_read(dock: Any, slow: SlowArray, toolkit: Any) -> None:
    dock.hover(5, 6)
    dock.links.cut()
    assert not dock._timer.isActive()
    dock._draw_hover()
    dock._draw_pins()
    assert not dock.reader.is_reading
    assert slow.reads == 0


def test_a_layer_removed_while_a_pin_is_read_leaves_no_line(
    viewer: Any, dock: Any, slow: SlowArray, toolkit: Any
) -> None:
    dock.pin(4, 4)
    assert dock.reader.is_reading
    viewer.layers.remove("slow")
    slow.let_go.set()
    settle(dock, toolkit)
    assert dock.plot.lines() == []
    assert not dock.message.is_error


def test_what_was_read_goes_with_its_layer(viewer: Any, dock: Any, slow: SlowArray, toolkit: Any) -> None:
    import gc
    import weakref

    with_preview(dock, slow, toolkit)
    settle(dock, toolkit)
    held = weakref.ref(dock.model.first.spectra)
    viewer.layers.remove("slow")
    toolkit.waitUntil(lambda: gc.collect() >= 0 and held() is None, timeout=20_000)


# ---- export --------------------------------------------------------------------------------------------------------


def test_a_table_waits_for_spectra_that_are_still_to_be_read(
    dock: Any, slow: SlowArray, toolkit: Any, tmp_path: Path
) -> None:
    dock.pin(4, 4)
    dock.pin(6, 7)
    start = time.perf_counter()
    dock.export_to(tmp_path / "pins.csv")
    assert time.perf_counter() - start < 0.5
    assert not (tmp_path / "pins.csv").exists()
    slow.let_go.set()
    toolkit.waitUntil(lambda: dock.message.text().startswith("Saved"), timeout=20_000)
    rows = (tmp_path / "pins.csv").read_text(encoding="utf-8").splitlines()
    assert float(rows[-1].split(",")[-1]) == pytest.approx(slow.spectrum(6, 7)[-1])


def test_small_files_and_interleaved_ones_are_read_at_once(tmp_path: Path) -> None:
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    values.tofile(tmp_path / "c.bsq")
    small = RawValues(str(tmp_path / "c.bsq"), (4, 5, 6), np.dtype(np.int16))
    spectra = Spectra(Cube(small))
    assert spectra.is_quick
    assert np.array_equal(spectra.get(2, 3, 1).values, values[:, 2, 3])  # type: ignore[union-attr]
    large = 200, 5000, 5000
    assert not Spectra(Cube(RawValues("big.bsq", large, np.dtype(np.int16)))).is_quick
    assert Spectra(Cube(RawValues("big.bip", large, np.dtype(np.int16), (1, 2, 0)))).is_quick
    assert not Spectra(Cube(RawValues("big.bip.gz", large, np.dtype(np.int16), (1, 2, 0), gzipped=True))).is_quick


def test_physical_units_are_those_of_the_cube_for_previews_too() -> None:
    rng = np.random.default_rng(3)
    values = np.tensordot(rng.random((8, 2)), rng.random((2, 20, 20)), axes=1).astype(np.float32)
    bands = BandAxis(8, np.linspace(400, 900, 8))
    cube = Cube(values, bands, gain=np.linspace(1, 2, 8), offset=0.25)
    spectra = Spectra(cube)
    spectra.build(Job())
    assert spectra.preview is not None
    found = spectra.preview.spectrum(spectra._window(3, 4, 1)) * np.asarray(cube.gain) + 0.25
    assert np.allclose(found, cube.spectrum(3, 4), atol=1e-5)
