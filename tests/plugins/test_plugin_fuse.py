"""The Fuse dock: which layers make a pair, and runs of the real engine on a small one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hsi_napari import lineage
from hsi_napari.facts import RUN
from hsi_napari.layers import cube_of, cube_to_layer
from hsi_napari.pairs import lay_over, lie_apart, most_bands, sharpest
from napari.components import ViewerModel
from napari.layers import Layer

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.georef import GeoRef
from hsi_app.jobs import Job

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("toolkit")]

RATIO, BANDS, BAD = 4, 24, 12
COARSE = (16, 14)
FINE = (COARSE[0] * RATIO, COARSE[1] * RATIO)
LIMIT_MS = 60_000
TURNED = np.array([[1, 0, 0, 0], [0, 0.6, -0.8, 3], [0, 0.8, 0.6, -2], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """(B, H, W) mixtures of four smooth spectra in patches, on the fine grid."""
    x = np.linspace(0, 1, BANDS)
    spectra = np.stack(
        [0.1 + 0.5 * x, 0.5 - 0.4 * x, 0.15 + 0.5 * np.exp(-((x - 0.5) ** 2) / 0.05), 0.3 + 0.1 * np.cos(6 * x)]
    )
    raw = np.random.default_rng(4).random((4, FINE[0] // 2, FINE[1] // 2)) ** 4
    shares = np.repeat(np.repeat(raw / raw.sum(0), 2, 1), 2, 2)
    return np.tensordot(spectra, shares, axes=(0, 0)).astype(np.float32)


@pytest.fixture(scope="module")
def pair(truth: np.ndarray) -> tuple[Cube, Cube]:
    """The mean of each 4 x 4 block in 24 bands, one of them bad, and every pixel in 6 bands of 4 times the width."""
    blocks = truth.reshape(BANDS, COARSE[0], RATIO, COARSE[1], RATIO).mean((2, 4))
    noise = np.random.default_rng(2).normal(0, 1e-4, blocks.shape)
    centres = np.linspace(450, 900, BANDS)
    hsi = Cube(
        (blocks + noise).astype(np.float32),
        BandAxis(BANDS, centres, np.full(BANDS, 20.0), bad=np.arange(BANDS) == BAD),
        unit="reflectance", name="field", georef=GeoRef((8.0, 0.0, 400_000.0, 0.0, -8.0, 5_800_000.0), "EPSG:32633"),
    )  # fmt: skip
    broad = BandAxis(6, centres.reshape(6, 4).mean(1), np.full(6, 80.0))
    fine = truth.reshape(6, 4, *FINE).mean(1)
    georef = GeoRef((2.0, 0.0, 400_000.0, 0.0, -2.0, 5_800_000.0), "EPSG:32633")
    return hsi, Cube(fine, broad, unit="reflectance", name="photo", georef=georef)


def show(viewer: ViewerModel, cube: Cube, **placing: Any) -> Layer:
    data, options, kind = cube_to_layer(cube)
    return viewer.add_layer(Layer.create(data, {**options, **placing}, kind))


@pytest.fixture
def coarse(viewer: ViewerModel, pair: tuple[Cube, Cube]) -> Layer:
    return show(viewer, pair[0])


@pytest.fixture
def fine(viewer: ViewerModel, coarse: Layer, pair: tuple[Cube, Cube]) -> Layer:
    return show(viewer, pair[1], scale=(1, 0.25, 0.25), translate=(0, -0.375, -0.375))


@pytest.fixture
def dock(viewer: ViewerModel, coarse: Layer, fine: Layer, toolkit: Any) -> Any:
    from hsi_napari.fuse_dock import FuseDock

    dock = FuseDock(viewer)
    toolkit.addWidget(dock)
    dock.form.choose("fuse", "ridge")
    return dock


@pytest.fixture
def run(toolkit: Any) -> Callable[[Any], str]:
    """Run a dock to its end and give back what it says."""

    def wait(dock: Any) -> str:
        dock.run()
        toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=LIMIT_MS)
        return str(dock.run_panel.message.text())

    return wait


# ---- which layers, and where ---------------------------------------------------------------------------------------


def test_the_cube_of_most_bands_is_the_hyperspectral_one_in_whatever_order_they_came(
    viewer: ViewerModel, pair: tuple[Cube, Cube], toolkit: Any
) -> None:
    from hsi_napari.fuse_dock import FuseDock

    dock = FuseDock(viewer)
    toolkit.addWidget(dock)
    assert not dock.run_panel.run.isEnabled()
    fine = show(viewer, pair[1])
    assert dock.cube_choice.layer() is fine
    assert "sharper image" in dock.sharp.facts.text()
    assert not dock.run_panel.run.isEnabled()
    coarse = show(viewer, pair[0])
    assert (dock.cube_choice.layer(), dock.sharp.choice.layer()) == (coarse, fine)
    assert "6 bands" in dock.sharp.facts.text()
    assert dock.run_panel.run.isEnabled()


def test_clicking_a_layer_or_adding_a_wider_one_leaves_the_pair_that_a_person_chose(
    viewer: ViewerModel, coarse: Layer, fine: Layer, dock: Any, pair: tuple[Cube, Cube]
) -> None:
    viewer.layers.selection.active = fine
    assert dock.cube_choice.layer() is coarse
    dock.cube_choice.choose(coarse)
    wider = show(viewer, Cube(np.zeros((BANDS + 1, 5, 5), np.float32), name="wider"))
    assert dock.cube_choice.layer() is coarse
    viewer.layers.remove(coarse)
    assert dock.cube_choice.layer() is wider


def test_of_many_cubes_the_smallest_with_most_bands_goes_with_the_largest_with_fewer(viewer: ViewerModel) -> None:
    shapes = {"sharp": (9, 8, 8), "cube": (9, 4, 4), "rgb": (3, 16, 16), "small": (4, 8, 8)}
    layers = [show(viewer, Cube(np.zeros(shape, np.float32), name=name)) for name, shape in shapes.items()]
    assert most_bands(layers).name == "cube"  # type: ignore[union-attr]
    assert sharpest([layers[3], layers[2]]).name == "rgb"  # type: ignore[union-attr]
    assert most_bands([]) is sharpest([]) is None


@pytest.mark.parametrize("is_mapped", [True, False], ids=["map frames", "corner on corner"])
@pytest.mark.parametrize("affine", [np.eye(4), TURNED], ids=["level", "turned"])
def test_a_sharp_layer_is_laid_over_the_same_ground(
    viewer: ViewerModel, pair: tuple[Cube, Cube], is_mapped: bool, affine: np.ndarray
) -> None:
    hsi, msi = pair if is_mapped else (replace(cube, georef=None) for cube in pair)
    coarse = show(viewer, hsi, scale=(1, 2, 2), translate=(0, 5, 7), affine=affine)
    fine = show(viewer, msi, translate=(0, 30, 0), rotate=20)
    assert lie_apart(coarse, fine)
    lay_over(coarse, fine)
    assert not lie_apart(coarse, fine)
    for row, col in ((0, 0), (3, 9), (15, 13)):
        centre = (RATIO * row + 1.5, RATIO * col + 1.5)
        np.testing.assert_allclose(fine.data_to_world((0, *centre)), coarse.data_to_world((0, row, col)), atol=1e-9)


def test_the_button_shows_only_where_the_layers_lie_apart(coarse: Layer, fine: Layer, dock: Any) -> None:
    assert dock.sharp.over.isHidden()
    fine.scale, fine.translate = (1, 1, 1), (0, 0, 0)
    dock.sharp.refresh()
    assert not dock.sharp.over.isHidden()
    dock.sharp.over.click()
    assert dock.sharp.over.isHidden()
    assert tuple(fine.translate) == (0, -0.375, -0.375)
    assert dock.run_panel.message.text() == "'photo' lies over 'field'."


# ---- what the form says --------------------------------------------------------------------------------------------


def test_automatic_stands_first_and_every_method_after_it(dock: Any) -> None:
    from hsi_app.methods.registry import methods

    choice = dock.form.method_choice
    assert [choice.itemData(i) for i in range(choice.count())] == ["auto", *methods("fuse")]
    dock.form.choose("fuse", "auto")
    assert dock.form.chosen()[:2] == ("auto", {})
    dock.form.choose("fuse", "ridge")
    assert {option.name for option in dock.form.options()[0].options} == {"degree", "strength", "robust"}


def test_what_is_said_of_the_pair_reaches_the_engine_and_the_header_is_silence(dock: Any, tmp_path: Path) -> None:
    assert dock.pair.known() == {"registration": "auto", "radiometry": "auto"}
    field = dock.pair.form.editor("srf").widget
    listed = [field.itemText(i) for i in range(field.count())]
    assert listed[:2] == ["from the header", "estimate"]
    assert "sentinel-2" in listed
    dock.pair.form.put({"srf": "sentinel-2:B2,B3", "registration": "frame", "radiometry": "match", "psf_fwhm": 1.5})
    told = {"srf": "sentinel-2:B2,B3", "registration": "frame", "radiometry": "match", "psf_fwhm": 1.5}
    assert dock.pair.known() == told


def test_a_table_of_responses_may_be_chosen_as_a_file(
    dock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsi_napari.browse_button import BrowseButton

    named = str(tmp_path / "srf.csv")
    monkeypatch.setattr("qtpy.QtWidgets.QFileDialog.getOpenFileName", lambda *given: (named, ""))
    dock.pair.findChild(BrowseButton).click()
    assert dock.pair.known()["srf"] == named


# ---- what a run leaves ---------------------------------------------------------------------------------------------


def test_a_run_adds_the_sharp_cube_and_a_hidden_map_of_doubt(
    viewer: ViewerModel, coarse: Layer, fine: Layer, dock: Any, run: Any
) -> None:
    viewer.dims.set_current_step(0, 9)
    assert run(dock) == "Added 'field · fused'. Hidden: 'field · doubt'."
    assert [layer.name for layer in viewer.layers] == ["field", "photo", "field · fused", "field · doubt"]
    sharp, doubt = viewer.layers["field · fused"], viewer.layers["field · doubt"]
    assert (sharp.visible, doubt.visible) == (True, False)
    assert sharp.contrast_limits == coarse.contrast_limits
    assert (doubt.colormap.name, doubt.contrast_limits, doubt.data.shape) == ("magma", [0, 3], FINE)
    assert sharp.metadata[RUN]["method"] == "ridge"
    for layer in (sharp, doubt):
        assert lineage.source_of(layer) is coarse
        assert np.array_equal(layer.scale[-2:], fine.scale[-2:])
        assert np.array_equal(layer.translate[-2:], fine.translate[-2:])
    assert viewer.dims.current_step[0] == 9
    assert viewer.layers.selection.active is coarse
    assert (dock.cube_choice.layer(), dock.sharp.choice.layer()) == (coarse, fine)


def test_the_sharp_cube_is_the_true_one_on_the_slider_of_the_coarse_one(
    viewer: ViewerModel, coarse: Layer, fine: Layer, dock: Any, run: Any, truth: np.ndarray
) -> None:
    run(dock)
    cube = cube_of(viewer.layers["field · fused"])
    good = cube.axis.good
    assert cube.axis == cube_of(coarse).axis
    assert cube.georef == cube_of(fine).georef
    values = cube.read()
    assert np.isfinite(values[BAD]).all(), "a bad band is interpolated, so that one slider serves both"
    assert np.sqrt(np.mean((values[good] - truth[good]) ** 2)) < 0.02
    assert np.array_equal(np.asarray(viewer.layers["field · fused"].data[9]), values[9])


def test_the_registration_is_shown_where_a_run_would_place_the_sharp_image(
    viewer: ViewerModel, coarse: Layer, fine: Layer, dock: Any, toolkit: Any
) -> None:
    coarse.scale, coarse.translate = (1, 2, 2), (0, 10, -5)
    for _ in range(2):
        dock.pair.overlay.click()
        toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=LIMIT_MS)
        assert not dock.run_panel.message.is_error, dock.run_panel.message.text()
    (shown,) = [layer for layer in viewer.layers if layer.name == "field · registration"]
    assert shown.rgb
    assert shown.data.shape == (*FINE, 4)
    # The first fine centre lies 3/8 of a coarse pixel before the first coarse one.
    assert np.allclose(shown.data_to_world((0, 0)), (10 - 0.75, -5 - 0.75))
    assert "correlation" in dock.run_panel.message.text()
    assert viewer.layers.selection.active is coarse


def test_without_a_registration_the_overlay_says_so(dock: Any, toolkit: Any) -> None:
    dock.pair.form.put({"registration": "none"})
    dock.pair.overlay.click()
    toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=LIMIT_MS)
    assert "registration is 'none'" in dock.run_panel.message.text()


def test_results_of_a_turned_sharp_layer_are_turned_with_it(
    viewer: ViewerModel, fine: Layer, dock: Any, run: Any
) -> None:
    fine.affine = TURNED
    run(dock)
    for place in ((0, 0), (0, FINE[1] - 1), (FINE[0] - 1, 0)):
        where = fine.data_to_world((0, *place))[-2:]
        assert np.allclose(viewer.layers["field · fused"].data_to_world((0, *place))[-2:], where)
        assert np.allclose(viewer.layers["field · doubt"].data_to_world(place), where)


def test_results_stay_in_place_when_the_sharp_layer_was_removed_meanwhile(
    viewer: ViewerModel, fine: Layer, dock: Any, toolkit: Any
) -> None:
    dock.run()
    viewer.layers.remove(fine)
    toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=LIMIT_MS)
    assert tuple(viewer.layers["field · fused"].translate) == (0, -0.375, -0.375)


def test_images_without_map_frames_are_taken_corner_on_corner(
    viewer: ViewerModel, pair: tuple[Cube, Cube], toolkit: Any, run: Any
) -> None:
    from hsi_napari.fuse_dock import FuseDock

    for cube in pair:
        show(viewer, replace(cube, georef=None))
    dock = FuseDock(viewer)
    toolkit.addWidget(dock)
    dock.form.choose("fuse", "gsa")
    run(dock)
    assert not dock.run_panel.message.is_error, dock.run_panel.message.text()
    assert viewer.layers["field · fused"].metadata[RUN]["pair"]["registration"]["how"].startswith("corner to corner")


def test_pins_compare_the_coarse_with_the_sharp_spectrum(
    viewer: ViewerModel, coarse: Layer, dock: Any, spectra_dock: Any, run: Any, truth: np.ndarray
) -> None:
    spectra_dock.first_choice.choose(coarse)
    run(dock)
    assert spectra_dock.second_choice.layer() is viewer.layers["field · fused"]
    spectra_dock.pin(5.0, 6.0)
    before, after = spectra_dock.model.curves()
    np.testing.assert_allclose(before.y[:BAD], cube_of(coarse).values[:BAD, 5, 6], atol=1e-6)
    # The middle of a coarse pixel is the corner of four fine ones.
    row, col = (RATIO * at + 2 for at in (5, 6))
    np.testing.assert_allclose(after.y[:BAD], truth[:BAD, row, col], atol=0.1)
    assert np.isnan(after.y[BAD])


@pytest.fixture
def spectra_dock(viewer: ViewerModel, dock: Any, toolkit: Any) -> Any:
    from hsi_napari.spectrum_dock import SpectrumDock

    spectra = SpectrumDock(viewer)
    toolkit.addWidget(spectra)
    return spectra


def test_the_panel_says_why_and_how_and_shows_before_and_doubt(viewer: ViewerModel, dock: Any, run: Any) -> None:
    dock.form.choose("fuse", "auto")
    run(dock)
    record, notes = dock.results.result.record, dock.results.notes.text()
    assert record["reasons"]
    assert all(reason in notes for reason in record["reasons"])
    assert "spectral response: widths in the header" in notes
    assert "of the pixels in doubt" in dock.results.summary.text()
    dock.results.compare.click()
    assert not viewer.layers["field · fused"].visible
    dock.results.doubt.click()
    assert viewer.layers["field · doubt"].visible
    for button in (dock.results.compare, dock.results.doubt):
        button.click()
    assert viewer.layers["field · fused"].visible
    assert not viewer.layers["field · doubt"].visible


def test_save_and_report_write_their_files(
    dock: Any, run: Any, toolkit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsi_app.io import open_cube

    run(dock)
    with toolkit.waitSignal(dock.results.told, timeout=LIMIT_MS):
        dock.results.save_to(tmp_path / "sharp.tif")
    assert open_cube(tmp_path / "sharp.tif").shape == (BANDS, *FINE)

    def write(result: Any, path: Path) -> Path:
        path.write_text(result.cube.name)
        return path

    monkeypatch.setattr("hsi_napari.exports.save_fusion_report", write)
    with toolkit.waitSignal(dock.results.told, timeout=LIMIT_MS):
        dock.results.report_to(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == "field fused"


def test_the_report_is_a_page(dock: Any, run: Any, toolkit: Any, tmp_path: Path) -> None:
    pytest.importorskip("hsi_app.report.fusion")
    run(dock)
    with toolkit.waitSignal(dock.results.told, timeout=LIMIT_MS):
        dock.results.report_to(tmp_path / "page.html")
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")


# ---- what can go wrong ---------------------------------------------------------------------------------------------


def test_a_cancelled_run_leaves_nothing(
    viewer: ViewerModel, coarse: Layer, fine: Layer, dock: Any, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def fuse(*given: Any, job: Job, **more: Any) -> None:
        while True:
            job.step(0.25, "waiting")
            begun.set()

    monkeypatch.setattr("hsi_app.fusion.runner.fuse", fuse)
    dock.run()
    toolkit.waitUntil(begun.is_set, timeout=LIMIT_MS)
    dock.cancel()
    toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=LIMIT_MS)
    assert list(viewer.layers) == [coarse, fine]
    assert dock.results.isHidden()
    assert dock.run_panel.message.text() == "Cancelled; nothing was changed."


def test_what_the_engine_refuses_is_one_line(
    viewer: ViewerModel, coarse: Layer, fine: Layer, dock: Any, run: Any
) -> None:
    dock.pair.form.put({"srf": "sentinel-99"})
    told = run(dock)
    assert dock.run_panel.message.is_error
    assert "sentinel-99" in told
    assert "\n" not in told
    assert "unexpected" not in told
    assert list(viewer.layers) == [coarse, fine]


def test_without_a_sharp_image_nothing_starts(viewer: ViewerModel, fine: Layer, dock: Any) -> None:
    viewer.layers.remove(fine)
    assert not dock.run_panel.run.isEnabled()
    dock.run()
    assert not dock.run_panel.is_running
    assert dock.run_panel.message.text() == "no multispectral image is chosen; open one of the same ground."


def test_a_layer_that_is_no_cube_is_not_laid_over(viewer: ViewerModel, coarse: Layer) -> None:
    with pytest.raises(CubeError):
        lay_over(coarse, viewer.add_image(np.zeros((4, 4))))


def test_the_dock_opens_from_the_menu_and_runs_on_the_sample_pair_in_a_window(
    window: Callable[..., Any], run: Any, toolkit: Any, pictures: Path
) -> None:
    viewer = window(show=True)
    viewer.window.resize(1500, 950)
    viewer.open_sample("hsi-app", "clean")
    viewer.open_sample("hsi-app", "sharp")
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Fuse")
    dock.form.choose("fuse", "ridge")
    assert dock.sharp.over.isHidden()
    dock.pair.overlay.click()
    toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=LIMIT_MS)
    viewer.reset_view()
    viewer.screenshot(str(pictures / "registration.png"), canvas_only=False, flash=False)
    viewer.layers["river valley, clean · registration"].visible = False
    run(dock)
    assert not dock.run_panel.message.is_error, dock.run_panel.message.text()
    assert viewer.layers["river valley, clean · fused"].data.shape == (90, 384, 320)
    viewer.screenshot(str(pictures / "fuse.png"), canvas_only=False, flash=False)
    assert all((pictures / name).stat().st_size > 0 for name in ("registration.png", "fuse.png"))
