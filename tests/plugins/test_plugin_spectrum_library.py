"""Library spectra beside picked ones, and the plot as a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

from hsi_napari.spectrum_matches import Fitted, drawn, fitted, matches
from hsi_napari.spectrum_model import Curve

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.io.spectral_library import write_library
from hsi_app.library import SpectralLibrary

FINE_NM = np.linspace(400, 2500, 421)
NAMES = ("grass", "soil", "roof", "water", "asphalt", "sand", "tree")


def smooth(k: int, nm: np.ndarray) -> np.ndarray:
    """A material's reflectance at some wavelengths."""
    return np.asarray(0.3 + 0.2 * np.sin(nm / (150 + 60 * k) + k))


@pytest.fixture
def library() -> SpectralLibrary:
    return SpectralLibrary(np.stack([smooth(k, FINE_NM) for k in range(7)], axis=1), NAMES, FINE_NM, unit="reflectance")


@pytest.fixture
def path(library: SpectralLibrary, tmp_path: Path) -> Path:
    """The library times 10,000 as an ENVI file."""
    target = tmp_path / "materials.sli"
    write_library(replace(library, spectra=library.spectra * 10_000), target)
    return target


@pytest.fixture
def scene(viewer: Any, full_cube: Cube) -> Any:
    """A cube of which column k shows material k, half as bright in the lower half."""
    from hsi_napari.layers import cube_to_layer
    from napari.layers import Layer

    axis = BandAxis(40, np.linspace(450, 2400, 40), bad=np.arange(40) == 20)
    columns = np.stack([smooth(k, axis.centres_nm) for k in range(7)], axis=1)  # type: ignore[arg-type]
    values = np.repeat(columns[:, None, :], 8, axis=1).astype(np.float32)
    values[:, 4:] /= 2
    cube = Cube(values, bands=axis, unit="reflectance", name="field")
    return viewer.add_layer(Layer.create(*cube_to_layer(cube)))


@pytest.fixture
def dock(viewer: Any, scene: Any, toolkit: Any) -> Any:
    from hsi_napari.spectrum_dock import SpectrumDock

    dock = SpectrumDock(viewer)
    toolkit.addWidget(dock)
    dock.tools.library.setChecked(True)
    yield dock
    dock.links.cut()


@pytest.fixture
def wait(toolkit: Any, dock: Any) -> Any:
    """Waits until the panel has compared, and gives the rows of its list."""

    def rows() -> list[tuple[str, str]]:
        panel = dock.library
        toolkit.waitUntil(lambda: not (panel._fitting.is_busy or panel._comparing.is_busy), timeout=10_000)
        texts = [tuple(panel.table.item(row, column).text() for column in range(2)) for row in range(5)]
        return [row for row in texts if row[0]]  # type: ignore[misc]

    return rows


# ---- without a window ----------------------------------------------------------------------------------------------


def test_the_library_is_brought_to_the_cubes_bands(library: SpectralLibrary) -> None:
    axis = BandAxis(30, np.linspace(500, 2000, 30), np.full(30, 20.0))
    there = fitted(library, axis, "materials")
    assert there.spectra.shape == (30, 7)
    assert np.allclose(there.spectra[:, 2], smooth(2, axis.centres_nm), atol=2e-3)  # type: ignore[arg-type]
    assert "averaged over the cube's 30" in there.note


def test_a_library_that_does_not_reach_the_bands_is_refused(library: SpectralLibrary) -> None:
    with pytest.raises(CubeError, match="choose another library"):
        fitted(library, BandAxis(5, np.linspace(8000, 12000, 5)), "materials")


def on_fine_bands(library: SpectralLibrary, bad: np.ndarray | None = None) -> Fitted:
    return fitted(library, BandAxis(421, FINE_NM, bad=bad), "materials")


def test_matches_tell_name_and_angle_in_degrees_best_first(library: SpectralLibrary) -> None:
    found = matches(on_fine_bands(library), 0.1 * smooth(3, FINE_NM))
    assert len(found) == 5
    assert found[0].name == "water"
    assert found[0].angle_deg == pytest.approx(0, abs=1e-6)
    assert [match.angle_deg for match in found] == sorted(match.angle_deg for match in found)
    a, b = smooth(3, FINE_NM), library.spectra[:, found[1].index]
    assert found[1].angle_deg == pytest.approx(np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))))


def test_a_library_spectrum_is_drawn_as_it_is_or_scaled_to_the_picked_one(library: SpectralLibrary) -> None:
    bad = np.arange(421) == 7
    there = on_fine_bands(library, bad)
    picked = Curve("1", "", FINE_NM, np.where(bad, np.nan, 0.25 * smooth(4, FINE_NM)))
    plain = drawn(there, 4, picked, "#fff", is_scaled=False)
    scaled = drawn(there, 4, picked, "#fff", is_scaled=True)
    assert (plain.label, scaled.label) == ("asphalt", "asphalt × 0.25")
    assert np.allclose(scaled.y, picked.y, equal_nan=True)
    assert np.flatnonzero(np.isnan(plain.y)).tolist() == [7]


# ---- the panel -----------------------------------------------------------------------------------------------------


def test_the_newest_pin_is_compared_by_itself(dock: Any, path: Path, wait: Any) -> None:
    dock.library.open(path)
    assert wait() == []
    dock.pin(2, 3)
    assert wait()[0] == ("water", "0.00°") or float(wait()[0][1].rstrip("°")) < 0.2
    dock.pin(6, 0)
    assert wait()[0][0] == "grass"
    assert "materials: 7 spectra" in dock.library.note.text()


def test_any_line_of_the_plot_can_be_compared(dock: Any, path: Path, wait: Any) -> None:
    dock.pin(2, 3)
    dock.pin(2, 1)
    dock.library.open(path)
    assert wait()[0][0] == "soil"
    dock.library.picked.setCurrentText("1")
    assert wait()[0][0] == "water"
    dock.pin(2, 5)
    assert wait()[0][0] == "water"  # what a person chose stays


def test_the_mouse_is_compared_while_there_is_no_pick(dock: Any, path: Path, wait: Any) -> None:
    dock.library.open(path)
    wait()
    dock._place = (5, 6)
    dock._draw_hover()
    assert wait()[0][0] == "tree"
    dock.pin(2, 0)
    assert wait()[0][0] == "grass"
    dock.library.picked.setCurrentText("mouse")
    assert wait()[0][0] == "tree"


def test_a_chosen_spectrum_is_drawn_scaled_to_the_pick_where_asked(dock: Any, path: Path, wait: Any) -> None:
    dock.pin(6, 3)
    dock.library.open(path)
    wait()
    assert dock.plot.library_lines() == []
    dock.library.choose([0])
    ((_, scaled),) = dock.plot.library_lines()
    (picked,) = dock.model.measured()
    assert np.allclose(scaled, picked.y, atol=2e-3, equal_nan=True)
    assert [label.text for _, label in dock.plot.legend.items][1].startswith("water × ")
    dock.library.is_scaled.setChecked(False)
    ((_, plain),) = dock.plot.library_lines()
    assert np.nanmax(plain) > 1000
    dock.library.choose([0, 2])
    assert len(dock.plot.library_lines()) == 2
    dock.library.choose([])
    assert dock.plot.library_lines() == []


def test_library_lines_follow_the_view_and_the_button(dock: Any, path: Path, wait: Any) -> None:
    dock.pin(6, 3)
    dock.library.open(path)
    wait()
    dock.library.choose([0])
    dock.tools.view.setCurrentIndex(1)
    wait()
    ((_, shown),) = dock.plot.library_lines()
    assert np.nanmax(shown) == 1
    dock.tools.library.setChecked(False)
    assert dock.plot.library_lines() == []
    dock.tools.library.setChecked(True)
    assert len(dock.plot.library_lines()) == 1


def test_another_cube_brings_the_library_to_its_own_bands(
    viewer: Any, dock: Any, path: Path, wait: Any, full_cube: Cube
) -> None:
    from hsi_napari.layers import cube_to_layer
    from napari.layers import Layer

    dock.library.open(path)
    wait()
    other = viewer.add_layer(Layer.create(*cube_to_layer(full_cube)))
    dock.first_choice.choose(other)
    wait()
    assert dock.library.library.axis.count == 6
    dock.pin(6, 3)
    assert len(wait()) == 5


def test_a_library_that_cannot_be_read_is_told_in_one_line(dock: Any, tmp_path: Path, wait: Any) -> None:
    (tmp_path / "no.sli").write_bytes(b"nothing")
    dock.library.open(tmp_path / "no.sli")
    wait()
    assert dock.message.is_error
    assert "\n" not in dock.message.text()
    assert dock.library.library is None
    assert not dock.library.close_button.isEnabled()


def test_closing_the_library_clears_list_and_lines(dock: Any, path: Path, wait: Any) -> None:
    dock.pin(6, 3)
    dock.library.open(path)
    wait()
    dock.library.choose([0])
    dock.library.put_away()
    assert wait() == []
    assert dock.plot.library_lines() == []


def test_removing_the_cube_while_the_library_is_read_leaves_nothing(
    viewer: Any, scene: Any, dock: Any, path: Path, wait: Any
) -> None:
    dock.pin(6, 3)
    dock.library.open(path)
    viewer.layers.remove(scene)
    assert wait() == []
    assert dock.library.library is None
    assert not dock.message.is_error


@pytest.mark.parametrize("width", [360, 1200])
def test_the_panel_stands_beside_a_wide_plot_and_below_a_narrow_one(dock: Any, width: int) -> None:
    from qtpy.QtWidgets import QApplication

    dock.resize(width, 700)
    dock.show()
    QApplication.processEvents()
    QApplication.processEvents()
    is_beside = dock.library.x() > dock.plot.geometry().right()
    assert is_beside is (width == 1200)
    assert dock.library.geometry().right() <= dock.width()
    for part in (dock.library.open_button, dock.library.picked, dock.library.is_scaled, *dock.tools.children()):
        if hasattr(part, "minimumSizeHint") and part.isVisible():
            assert part.width() >= min(part.minimumSizeHint().width(), 60)
            assert part.geometry().right() <= part.parentWidget().width()


# ---- pictures ------------------------------------------------------------------------------------------------------


def test_the_plot_is_saved_as_a_picture_twice_its_size(dock: Any, tmp_path: Path) -> None:
    from qtpy.QtGui import QImage

    dock.resize(700, 400)
    dock.show()
    dock.pin(2, 3)
    dock.export_to(tmp_path / "plot.png")
    assert dock.message.text() == f"Saved {tmp_path / 'plot.png'}"
    image = QImage(str(tmp_path / "plot.png"))
    assert image.width() == pytest.approx(2 * dock.plot.view.width(), abs=8)
    colours = {image.pixelColor(x, y).name() for x in range(0, image.width(), 2) for y in range(0, image.height(), 2)}
    assert dock.model.pins[0].colour in colours


def test_the_plot_is_saved_as_a_drawing(dock: Any, tmp_path: Path) -> None:
    dock.resize(700, 400)
    dock.show()
    dock.pin(2, 3)
    dock.export_to(tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert "<svg" in text
    assert "Wavelength (nm)" in text
    assert dock.model.pins[0].colour in text.lower()


@pytest.mark.parametrize("name", ["plot.png", "plot.svg"])
def test_a_picture_that_cannot_be_written_is_told(dock: Any, tmp_path: Path, name: str) -> None:
    dock.pin(2, 3)
    dock.export_to(tmp_path / "nowhere" / name)
    assert dock.message.is_error
    assert "could not be written" in dock.message.text()
