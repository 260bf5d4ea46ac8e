"""Sample data for napari's File menu: the bundled river valley, and Indian Pines where it is installed."""

from __future__ import annotations

from hsi_app.cube import Cube
from hsi_app.errors import CapabilityError
from hsi_napari import readout
from hsi_napari.layers import composite_layer, cube_to_layer
from hsi_napari.placing import LayerData

TITLES = {
    "scene_noisy": "river valley, noisy",
    "scene_clean": "river valley, clean",
    "scene_msi": "river valley, sharp",
    "scene_abundances": "river valley, materials",
}


def noisy_scene() -> list[LayerData]:
    """The scene with noise, stripes, dead lines, impulses and a missing corner."""
    return [_bundled("scene_noisy")]


def clean_scene() -> list[LayerData]:
    """The same scene without noise, under its colour picture."""
    layer = _bundled("scene_clean")
    return [layer, composite_layer(_open("scene_clean"), name=f"{TITLES['scene_clean']} · colour")]


def sharp_scene() -> list[LayerData]:
    """The same ground in four bands on a grid four times finer."""
    data, options, kind = _bundled("scene_msi")
    # Block-centred grids: fine pixel centres begin 3/8 of a coarse pixel before the first coarse centre.
    return [(data, {**options, "scale": (1, 0.25, 0.25), "translate": (0, -0.375, -0.375)}, kind)]


def materials() -> list[LayerData]:
    """Area fraction of each material; the band slider goes through the materials."""
    data, options, kind = _bundled("scene_abundances")
    return [(data, {**options, "colormap": "viridis"}, kind)]


def indian_pines() -> list[LayerData]:
    """The AVIRIS scene Indian Pines, 200 bands.

    Raises
    ------
    CapabilityError
        If the optional package that brings it is not installed.
    """
    from hsi_sample_data import indian_pines as load

    try:
        values, wavelengths_nm = load()
    except ImportError as missing:
        raise CapabilityError(str(missing)) from None
    assert wavelengths_nm is None
    readout.attach_to_current()
    cube = Cube(values, name="Indian Pines", unit="counts", facts={"sensor type": "AVIRIS"})
    return [cube_to_layer(cube)]


def _open(name: str) -> Cube:
    from hsi_sample_data import path

    from hsi_app.io import open_cube

    readout.attach_to_current()
    return open_cube(path(name))


def _bundled(name: str) -> LayerData:
    return cube_to_layer(_open(name), TITLES[name])
