"""What the Unmix dock makes of a result: layers, their group, the list of materials. No run of the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hsi_napari.material_layers import map_layers, material_layer, materials_of
from hsi_napari.placing import placed
from napari.components import ViewerModel
from napari.layers import Layer

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.library import SpectralLibrary
from hsi_app.report.abundance_pictures import COLOURS
from hsi_app.unmixing.result import Channels, Unmixing

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("toolkit")]


def made_result(cube: Cube, count: int) -> Unmixing:
    """A result of random fractions; the last material is the largest."""
    rng = np.random.default_rng(3)
    shares = rng.random((count, *cube.shape[1:])) * 1.5 ** np.arange(count)[:, None, None]
    shares = (shares / shares.sum(axis=0)).astype(np.float32)
    names = tuple(f"material {k}" for k in range(1, count + 1))
    prevails = np.bincount(shares.argmax(axis=0).ravel(), minlength=count)
    facts = [
        {"name": name, "mean_abundance": float(share.mean()), "largest_abundance": 1.0, "prevails_in_pixels": int(n)}
        for name, share, n in zip(names, shares, prevails, strict=True)
    ]
    yes = np.ones(cube.shape[0], bool)
    return Unmixing(
        Cube(shares, BandAxis(count, names=names), georef=cube.georef),
        SpectralLibrary(rng.random((int(cube.axis.good.size), count)), names, cube.axis.centres_nm[cube.axis.good]),
        Cube(rng.random((2, *cube.shape[1:])).astype(np.float32)),
        {"guidance": Cube(rng.random((1, *cube.shape[1:])).astype(np.float32))},
        Channels(yes, yes, yes.astype(float), yes.astype(float)),
        cube,
        {"method": "fcls", "task": "unmix", "notes": ["a note"], "trace": {"materials": facts, "relative_error": 0.1}},
    )  # fmt: skip


# ---- layers --------------------------------------------------------------------------------------------------------


def test_of_many_materials_the_twelve_largest_are_shown_and_the_dock_says_so(
    viewer: ViewerModel, layer: Layer, unmix_dock: Any, full_cube: Cube
) -> None:
    list(unmix_dock._take_in(made_result(full_cube, 15), layer))
    shown = [found.name for found in reversed(viewer.layers) if found.blending == "additive"]
    assert shown == [f"scene: material {k}" for k in range(15, 3, -1)]
    assert unmix_dock.results.table.rowCount() == len(unmix_dock.results.plot.lines()) == 12
    told = "Added the 12 largest of 15 materials; saving the result keeps all. Hidden: error, guidance."
    assert unmix_dock.run_panel.message.text() == told


def test_there_are_as_many_different_colours_as_materials_may_be_shown() -> None:
    from hsi_app.report.abundance_pictures import MOST_SHOWN

    assert len(set(COLOURS)) == len(COLOURS) == MOST_SHOWN


def test_maps_are_hidden_and_stretched_to_most_of_their_values(full_cube: Cube) -> None:
    result = made_result(full_cube, 2)
    made = [Layer.create(*data) for data in map_layers(result, None, "scene: ")]
    assert [found.name for found in made] == ["scene: error", "scene: guidance"]
    assert not any(found.visible for found in made)
    assert np.array_equal(made[0].data, result.error.read()[1])
    assert made[0].contrast_limits[1] == pytest.approx(float(np.percentile(made[0].data, 99)))


def test_missing_pixels_are_transparent(full_cube: Cube) -> None:
    result = made_result(full_cube, 2)
    shares = result.abundances.read().copy()
    shares[:, 0, 0] = np.nan
    result = replace(result, abundances=result.abundances.replace(shares, "gap"))
    found = Layer.create(*material_layer(result, materials_of(result)[0], None, "scene: "))
    assert found.colormap.map(found.data[0, :1])[0, 3] == 0
    assert found.contrast_limits == [0, 1]


def test_a_flipped_source_keeps_scale_and_place_exactly() -> None:
    source = Layer.create(np.zeros((2, 3, 4)), {"rgb": False, "scale": (1, -0.1, 0.1), "translate": (0, 4e5, 0.3)})
    _, options, _ = placed((np.zeros((3, 4)), {}, "image"), source, (1, 2))
    assert options["scale"] == (-0.1, 0.1)
    assert options["translate"] == pytest.approx((4e5 - 0.1, 0.5), abs=1e-12)


# ---- the group -----------------------------------------------------------------------------------------------------


def test_scene_and_materials_change_places(viewer: ViewerModel, layer: Layer, unmix_dock: Any, full_cube: Cube) -> None:
    list(unmix_dock._take_in(made_result(full_cube, 2), layer))
    own = [viewer.layers["scene: material 1"], viewer.layers["scene: material 2"]]
    assert not layer.visible
    unmix_dock.results.scene.click()
    assert layer.visible
    assert not any(found.visible for found in own)
    unmix_dock.results.scene.click()
    assert not layer.visible
    assert all(found.visible for found in own)
    assert not viewer.layers["scene: error"].visible


def test_a_second_run_puts_the_first_away_and_covers_the_scene_again(
    viewer: ViewerModel, layer: Layer, unmix_dock: Any, full_cube: Cube
) -> None:
    list(unmix_dock._take_in(made_result(full_cube, 2), layer))
    first = [found for found in viewer.layers if found.blending == "additive"]
    list(unmix_dock._take_in(made_result(full_cube, 3), layer))
    assert not any(found.visible for found in [*first, layer])
    unmix_dock.results.scene.click()
    assert layer.visible
    assert not any(found.visible for found in first)


def test_removing_a_run_shows_the_scene_again(
    viewer: ViewerModel, layer: Layer, unmix_dock: Any, full_cube: Cube
) -> None:
    list(unmix_dock._take_in(made_result(full_cube, 2), layer))
    unmix_dock.results.remove.click()
    assert list(viewer.layers) == [layer]
    assert layer.visible
    assert unmix_dock.results.isHidden()


def test_the_boxes_of_the_list_and_the_eyes_of_the_layers_agree(
    viewer: ViewerModel, layer: Layer, unmix_dock: Any, full_cube: Cube
) -> None:
    from qtpy.QtCore import Qt

    list(unmix_dock._take_in(made_result(full_cube, 2), layer))
    item, found = unmix_dock.results.table.item(0, 0), viewer.layers["scene: material 1"]
    item.setCheckState(Qt.CheckState.Unchecked)
    assert not found.visible
    found.visible = True
    assert item.checkState() == Qt.CheckState.Checked
    viewer.layers.remove(found)
    assert item.checkState() == Qt.CheckState.Unchecked
    assert not item.flags() & Qt.ItemFlag.ItemIsUserCheckable


def test_an_empty_name_is_taken_back(viewer: ViewerModel, layer: Layer, unmix_dock: Any, full_cube: Cube) -> None:
    list(unmix_dock._take_in(made_result(full_cube, 2), layer))
    unmix_dock.results.table.item(0, 0).setText("  ")
    assert unmix_dock.results.table.item(0, 0).text() == "material 1"
    assert "scene: material 1" in viewer.layers


def test_materials_stay_under_what_is_painted_and_are_not_compared_as_cubes(
    viewer: ViewerModel, layer: Layer, unmix_dock: Any, spectra: Any, full_cube: Cube
) -> None:
    labels = viewer.add_labels(np.zeros((12, 10), int))
    spectra.pin(5, 6)
    viewer.layers.selection.active = layer
    list(unmix_dock._take_in(made_result(full_cube, 2), layer))
    assert [found.name for found in viewer.layers][-2:] == [labels.name, "pinned spectra"]
    assert spectra.second_choice.layer() is None


def test_the_number_that_was_found_is_ready_to_be_changed(unmix_dock: Any, layer: Layer, full_cube: Cube) -> None:
    unmix_dock.form.choose("unmix", "fcls")
    list(unmix_dock._take_in(made_result(full_cube, 5), layer))
    form = unmix_dock.form.options()[0]
    assert "endmembers" not in form.values()
    form.auto("endmembers").setChecked(False)
    assert form.values()["endmembers"] == 5
