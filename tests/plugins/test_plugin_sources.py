"""Where the Unmix dock takes endmembers from: pins, painted regions, files. No run of the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hsi_napari.region_files import RegionFiles, region_layers
from napari.components import ViewerModel
from napari.layers import Layer

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.io import open_cube

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("toolkit")]


def test_pins_fill_the_option(layer: Layer, unmix_dock: Any, spectra: Any) -> None:
    layer.translate = (0, 2, 3)
    for place in ((5, 6), (9, 8), (5.2, 6.1)):
        spectra.pin(*place)
    unmix_dock.sources.use_pins()
    values = unmix_dock.form.options()[0].values()
    assert (values["pixels"], values["endmembers_from"]) == ("3,3 7,5", "pixels")
    assert "endmembers" not in values
    assert unmix_dock.run_panel.message.text() == "2 pinned pixels are the endmembers."


def test_without_pins_the_dock_says_how_to_pin(unmix_dock: Any) -> None:
    unmix_dock.sources.use_pins()
    assert unmix_dock.run_panel.message.is_error
    assert "Spectrum dock" in unmix_dock.run_panel.message.text()
    assert unmix_dock.form.options()[0].values()["endmembers_from"] == "edaa"


@pytest.mark.parametrize("shape", [(12, 10), (6, 12, 10)])
def test_regions_are_read_as_they_are_painted_at_the_run(
    viewer: ViewerModel, unmix_dock: Any, full_cube: Cube, shape: tuple[int, ...]
) -> None:
    labels = viewer.add_labels(np.zeros(shape, int), name="my regions")
    unmix_dock.sources.use_labels(labels)
    values = unmix_dock.form.options()[0].values()
    assert values["endmembers_from"] == "rois"
    labels.data[..., 4:6, 4:6] = 3
    unmix_dock.sources.refresh(full_cube)
    image = open_cube(values["rois"]).read()
    assert image.shape == (1, 12, 10)
    assert (image[0, 4:6, 4:6] == 3).all()
    assert np.count_nonzero(image) == 4
    unmix_dock.links.cut()
    assert not Path(values["rois"]).exists()


def test_labels_of_another_size_are_refused_and_not_offered(viewer: ViewerModel, layer: Layer, full_cube: Cube) -> None:
    small, fitting = viewer.add_labels(np.zeros((4, 4), int)), viewer.add_labels(np.zeros((12, 10), int))
    assert region_layers(viewer, layer) == [fitting]
    with pytest.raises(CubeError, match="size"):
        RegionFiles().write(small, full_cube)


def test_the_menu_lists_the_layers_that_fit(viewer: ViewerModel, unmix_dock: Any) -> None:
    from qtpy.QtWidgets import QMenu

    menu = unmix_dock.form.options()[0].findChild(QMenu)
    menu.aboutToShow.emit()
    assert [(action.text(), action.isEnabled()) for action in menu.actions()] == [
        ("no Labels layer of the cube's size", False)
    ]
    viewer.add_labels(np.ones((12, 10), int), name="fields")
    menu.aboutToShow.emit()
    (action,) = menu.actions()
    assert action.text() == "fields"
    action.trigger()
    assert unmix_dock.form.options()[0].values()["rois"].endswith("fields_1.hdr")


@pytest.mark.parametrize("name", ["library", "rois"])
def test_a_browsed_file_lands_in_its_field(unmix_dock: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from qtpy.QtWidgets import QFileDialog, QPushButton

    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/data/chosen.sli", ""))
    form = unmix_dock.form.options()[0]
    form.put({"endmembers_from": name})
    field = form.editor(name).widget.parentWidget()
    (button,) = (found for found in field.findChildren(QPushButton) if found.text() == "…")
    button.click()
    assert form.values()[name] == "/data/chosen.sli"


@pytest.mark.parametrize(
    ("source", "shown"),
    [("edaa", {"endmembers"}), ("vca", {"endmembers"}), ("pixels", {"pixels"}), ("rois", {"rois"}),
     ("library", {"library", "materials"})],
)  # fmt: skip
def test_only_what_goes_with_the_source_is_asked_for(unmix_dock: Any, source: str, shown: set[str]) -> None:
    form = unmix_dock.form.options()[0]
    form.put({"endmembers": 4, "pixels": "1,2", "rois": "r", "library": "l", "materials": "m"})
    form.put({"endmembers_from": source})
    assert {"endmembers", "pixels", "rois", "library", "materials"} & set(form.values()) == shown


def test_the_recommended_method_comes_first_and_has_no_preview(unmix_dock: Any) -> None:
    choice = unmix_dock.form.method_choice
    listed = [choice.itemData(k) for k in range(choice.count())]
    assert listed == ["rrlbs", "fcls", "nmf", "l12-nmf", "sunsal"]
    assert unmix_dock.run_panel.preview.isHidden()
    assert unmix_dock.run_panel.region.isHidden()
    assert not unmix_dock.form.settings.has("keep_observed")


def test_a_missing_library_is_asked_for_in_one_line(unmix_dock: Any) -> None:
    unmix_dock.form.choose("unmix", "sunsal")
    unmix_dock.run()
    assert not unmix_dock.run_panel.is_running
    assert "library" in unmix_dock.run_panel.message.text()
