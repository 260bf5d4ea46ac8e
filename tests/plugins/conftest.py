"""The plugin's tests: most need no display, some a toolkit, the journey a window that can be drawn."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.georef import GeoRef
from hsi_app.jobs import Job

_HAS_DISPLAY = sys.platform in ("win32", "darwin") or any(os.environ.get(k) for k in ("DISPLAY", "WAYLAND_DISPLAY"))
if not _HAS_DISPLAY:
    # Widgets without a canvas need no screen, but Qt aborts the process when it looks for one in vain.
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that show a window, and keep them in one process: on one screen they would take each other's focus."""
    for item in items:
        if "window" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.window)
            item.add_marker(pytest.mark.xdist_group("window"))


def _missing(reason: str) -> None:
    if os.environ.get("HSI_REQUIRE_GUI") == "1":
        pytest.fail(f"HSI_REQUIRE_GUI=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture
def toolkit(request: pytest.FixtureRequest) -> Any:
    """A Qt toolkit with the test's own ``qtbot``; skips where none is installed."""
    bindings = ("PySide6", "PyQt6")
    if not any(importlib.util.find_spec(name) for name in bindings):
        _missing(f"no Qt binding ({' or '.join(bindings)}) is installed")
    return request.getfixturevalue("qtbot")


@pytest.fixture
def window(toolkit: Any, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """napari's ``make_napari_viewer`` where a canvas can be drawn."""
    if not _HAS_DISPLAY or os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        _missing("no display: run under xvfb-run with QT_QPA_PLATFORM=xcb")
    factory: Callable[..., Any] = request.getfixturevalue("make_napari_viewer")
    return factory


@pytest.fixture(autouse=True)
def _no_settings_of_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the Preferences of whoever runs the tests out of them."""
    monkeypatch.setattr("hsi_napari.settings._page", lambda: None)


@pytest.fixture
def pictures() -> Path:
    """Folder for pictures of the window: HSI_SCREENSHOTS, or test-screenshots beside the project's files."""
    folder = Path(os.environ.get("HSI_SCREENSHOTS", Path(__file__).resolve().parents[2] / "test-screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def viewer() -> Any:
    """napari's viewer without a window."""
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def layer(viewer: Any, full_cube: Cube) -> Any:
    """``full_cube`` as a layer of the viewer."""
    from hsi_napari.layers import cube_to_layer
    from napari.layers import Layer

    return viewer.add_layer(Layer.create(*cube_to_layer(full_cube)))


@pytest.fixture
def dock(viewer: Any, layer: Any, toolkit: Any) -> Any:
    """The restore dock beside the layer; files about another dock have their own."""
    from hsi_napari.restore_dock import RestoreDock

    dock = RestoreDock(viewer)
    toolkit.addWidget(dock)
    return dock


@pytest.fixture
def spectra(viewer: Any, layer: Any, toolkit: Any) -> Any:
    """The spectrum dock beside the layer."""
    from hsi_napari.spectrum_dock import SpectrumDock

    dock = SpectrumDock(viewer)
    toolkit.addWidget(dock)
    return dock


@pytest.fixture
def unmix_dock(viewer: Any, layer: Any, toolkit: Any) -> Any:
    """The unmix dock beside the layer."""
    from hsi_napari.unmix_dock import UnmixDock

    dock = UnmixDock(viewer)
    toolkit.addWidget(dock)
    return dock


@pytest.fixture
def full_cube() -> Cube:
    """Every fact a cube can carry; 6 bands, 12 x 10 px, one bad band, a missing corner, unequal wavelengths."""
    rng = np.random.default_rng(5)
    values = rng.integers(100, 4000, (6, 12, 10)).astype(np.int16)
    values[:, :2, :3] = -9999
    valid = np.ones((12, 10), bool)
    valid[-1, -1] = False
    return Cube(
        values,
        bands=BandAxis(
            6, [450, 550, 650, 860, 1380, 2200], [10, 10, 12, 12, 20, 20], [0, 0, 0, 0, 1, 0], tuple("abcdef")
        ),
        valid=valid,
        nodata=-9999.0,
        georef=GeoRef((8.0, 0.0, 400_000.0, 0.0, -8.0, 5_800_000.0), "EPSG:32633"),
        gain=np.full(6, 1e-4),
        offset=0.5,
        unit="reflectance",
        name="scene",
        source="scene.hdr",
        facts={"sensor type": "test"},
        history=("made for a test",),
    )  # fmt: skip


@pytest.fixture
def three_materials() -> Cube:
    """Smooth spectra mixed linearly between three corners where one is alone; 30 bands, one bad, 18 x 16 px."""
    bands, rows, cols = 30, 18, 16
    x = np.linspace(0, 1, bands)
    spectra = np.stack([0.1 + 0.5 * x, 0.5 - 0.4 * x, 0.15 + 0.5 * np.exp(-((x - 0.5) ** 2) / 0.02)])
    down, right = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, cols), indexing="ij")
    shares = np.stack([1 - down, down * right, down * (1 - right)])
    shares[:, 0] = np.stack([1 - right[0], right[0], 0 * right[0]])
    noise = np.random.default_rng(2).normal(0, 1e-3, (bands, rows, cols))
    values = (np.tensordot(spectra, shares, axes=(0, 0)) + noise).astype(np.float32)
    return Cube(
        values, BandAxis(bands, np.linspace(450, 900, bands), bad=np.arange(bands) == 12), unit="reflectance",
        name="field", georef=GeoRef((5.0, 0.0, 400_000.0, 0.0, -5.0, 5_800_000.0), "EPSG:32633"),
    )  # fmt: skip


class CountingArray:
    """An array that stays 'on disk' and counts the samples that were asked for."""

    def __init__(self, values: np.ndarray) -> None:
        self._values, self.samples = values, 0
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, key: Any) -> np.ndarray:
        block = self._values[key]
        self.samples += block.size
        return block


@pytest.fixture(scope="session")
def on_disk() -> type[CountingArray]:
    """``on_disk(values).samples`` says how many samples were read."""
    return CountingArray


@pytest.fixture
def halving(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replaces the engine by one that gives half of every value at once; lists the calls it was given."""
    from hsi_app.runner import Result

    calls: list[Any] = []

    def restore(cube: Cube, method: str, options: Any, settings: Any, *, mask: np.ndarray | None, job: Job) -> Result:
        calls.append((cube, method, options, settings, mask))
        job.step(0.5, "halving")
        values, valid = cube.block()
        half = np.where(valid, values / 2, -9999).astype(np.float32)
        extras = {"spread": np.ones(cube.shape[1:], np.float32)}
        job.step(1.0, "done")
        record = {
            "method": method,
            "task": settings.task,
            "options": dict(options),
            "seconds": 0.1,
            "notes": ["a note"],
        }
        return Result(cube.replace(half, "halved"), cube, extras, record)

    monkeypatch.setattr("hsi_app.runner.restore", restore)
    return calls
