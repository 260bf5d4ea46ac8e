"""Cubes as layers, on napari's model without a window."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hsi_napari.facts import FACTS, RUN, cube_from, facts_of
from hsi_napari.layers import composite_layer, contrast_limits, cube_of, cube_to_layer, is_cube, result_layers
from hsi_napari.placing import placed
from hsi_napari.planes import PlaneArray, removed, shown
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.physics.resample import interpolated
from hsi_app.runner import Result
from hsi_app.tiling import Window


def layer_of(cube: Cube, **options: Any) -> Image:
    data, given_options, kind = cube_to_layer(cube)
    return Layer.create(data, {**given_options, **options}, kind)


def edges(layer: Layer) -> np.ndarray:
    """Outer edges of a layer's pixels in the world: [[top, left], [bottom, right]]."""
    scale = np.asarray(layer.scale[-2:])
    shape = np.asarray(layer.data.shape[:2] if getattr(layer, "rgb", False) else layer.data.shape[-2:])
    first = np.asarray(layer.translate[-2:]) - scale / 2
    return np.stack([first, first + scale * shape])


# ---- the cube and its facts ----------------------------------------------------------------------------------------


def test_a_layer_gives_back_every_fact_of_its_cube(full_cube: Cube) -> None:
    back = cube_of(layer_of(full_cube))
    assert back.axis == full_cube.axis
    assert back.georef == full_cube.georef
    assert np.array_equal(back.valid, full_cube.valid)
    for name in ("nodata", "offset", "unit", "name", "source", "facts", "history"):
        assert getattr(back, name) == getattr(full_cube, name), name
    assert np.array_equal(back.gain, full_cube.gain)
    assert back.values is full_cube.values


def test_facts_but_for_the_mask_are_plain_values(full_cube: Cube) -> None:
    facts = facts_of(full_cube)
    assert isinstance(facts.pop("valid"), np.ndarray)
    assert json.loads(json.dumps(facts)) == facts


def test_unequal_wavelengths_and_map_metres_do_not_become_a_spacing(full_cube: Cube) -> None:
    # napari reads coordinates of an xarray as scale and unifies units; the plain array keeps pixels pixels.
    layer = layer_of(full_cube)
    assert tuple(layer.scale) == (1, 1, 1)
    assert tuple(layer.translate) == (0, 0, 0)
    assert {str(unit) for unit in layer.units} == {"pixel"}
    assert layer.axis_labels == ("band", "y", "x")


def test_a_plain_image_of_three_axes_counts_as_cube_without_facts() -> None:
    layer = Image(np.zeros((4, 5, 7), np.float32), name="plain", rgb=False)
    assert cube_of(layer).shape == (4, 5, 7)
    assert cube_of(layer).axis.centres_nm is None


@pytest.mark.parametrize(
    "layer",
    [
        Image(np.zeros((6, 7, 3), np.uint8), rgb=True, name="odd"),
        Labels(np.zeros((3, 6, 7), int), name="odd"),
        Image(np.zeros((6, 7)), name="odd"),
    ],
    ids=["rgb", "labels", "flat"],
)
def test_what_is_no_cube_is_refused_by_name(layer: Layer) -> None:
    assert not is_cube(layer)
    with pytest.raises(CubeError, match="'odd'"):
        cube_of(layer)


def test_facts_of_more_bands_than_the_data_are_refused(full_cube: Cube) -> None:
    with pytest.raises(CubeError, match="bands"):
        cube_from(full_cube.values[:3], {FACTS: facts_of(full_cube)}, "cut")


# ---- laziness ------------------------------------------------------------------------------------------------------


def test_adding_a_cube_on_disk_reads_the_bands_shown_and_a_hundredth_of_the_rest(on_disk: Any) -> None:
    values = on_disk(np.zeros((60, 200, 300), np.int16))
    data, options, kind = cube_to_layer(Cube(values, name="disk"))
    assert values.samples <= 0.015 * data.size
    before = values.samples
    ViewerModel().add_layer(Layer.create(data, options, kind))
    # napari shows the first band when a layer is made, then the middle one when it joins the viewer.
    assert values.samples - before <= 2 * 200 * 300


def test_a_layer_of_a_cube_on_disk_gives_back_the_values_on_disk(on_disk: Any) -> None:
    values = on_disk(np.zeros((5, 6, 7), np.int16))
    assert cube_of(layer_of(Cube(values))).values is values


def test_a_band_that_was_shown_is_not_read_again(on_disk: Any) -> None:
    values = on_disk(np.arange(4 * 6 * 7).reshape(4, 6, 7))
    planes = shown(values)
    for band in (2, 3, 2):
        planes[band]
    assert values.samples == 2 * 6 * 7


def keys(length: int) -> st.SearchStrategy[Any]:
    numbers = st.one_of(st.none(), st.integers(-length - 1, length + 1))
    steps = st.sampled_from([None, 1, 2, -1, -3])
    return st.one_of(st.integers(-length, length - 1), st.builds(slice, numbers, numbers, steps))


@given(st.tuples(keys(4), keys(5), keys(6)), st.integers(1, 3))
def test_planes_are_indexed_like_an_array(key: tuple[Any, ...], count: int) -> None:
    values = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    planes = PlaneArray((4, 5, 6), values.dtype, lambda b, r, c: values[b, r, c].copy())
    assert np.array_equal(planes[key[:count]], values[key[:count]])


def test_planes_turn_into_the_whole_array(on_disk: Any) -> None:
    values = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    assert np.array_equal(np.asarray(shown(on_disk(values))), values)


# ---- contrast ------------------------------------------------------------------------------------------------------


def test_contrast_looks_neither_at_bad_bands_nor_at_missing_samples(full_cube: Cube) -> None:
    values = np.asarray(full_cube.values).copy()
    values[4] = 30_000
    low, high = contrast_limits(full_cube.replace(values, "bad band made bright"))
    assert 100 <= low < high < 4000


def test_contrast_of_bright_bands_leaves_them_grades() -> None:
    # Half of the bands ten times brighter, as vegetation is beyond 700 nm: at most a tenth of them may saturate.
    ramp = np.linspace(0.0, 1.0, 64 * 64, dtype=np.float32).reshape(64, 64)
    values = np.stack([ramp * (10 if band >= 8 else 1) for band in range(16)])
    _, high = contrast_limits(Cube(values))
    assert (values[8:] > high).mean() <= 0.1


@pytest.mark.parametrize("fill", [np.nan, 7.0, 0.0], ids=["all missing", "constant", "zero"])
def test_contrast_always_increases(fill: float) -> None:
    low, high = contrast_limits(Cube(np.full((3, 4, 5), fill, np.float32)))
    assert low < high


# ---- colour --------------------------------------------------------------------------------------------------------


def test_colour_picture_takes_the_bands_nearest_to_red_green_and_blue(full_cube: Cube) -> None:
    values = np.zeros((6, 12, 10), np.float32)
    for band, column in ((2, 0), (1, 1), (0, 2)):  # 650, 550, 450 nm
        values[band, :, column] = 1.0
    picture, options, _ = composite_layer(Cube(values, bands=full_cube.axis))
    assert options["metadata"]["bands"] == [3, 2, 1]
    assert np.array_equal(picture[0, :3, :3], 255 * np.eye(3, dtype=np.uint8))


def test_colour_picture_is_transparent_where_samples_are_missing(full_cube: Cube) -> None:
    picture, _, _ = composite_layer(full_cube)
    assert picture.dtype == np.uint8
    assert not picture[:2, :3, 3].any()
    assert (picture[2:-1, 3:, 3] == 255).all()


def test_a_thinned_colour_picture_covers_the_same_ground(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi_napari.layers.COMPOSITE_PIXELS", 64)
    cube = Cube(np.random.default_rng(0).random((3, 32, 32)).astype(np.float32))
    source = layer_of(cube, translate=(0, 10, 20))
    picture = Layer.create(*placed(composite_layer(cube), source))
    assert picture.data.shape == (8, 8, 4)
    assert np.allclose(edges(picture), edges(source))


# ---- results -------------------------------------------------------------------------------------------------------


@pytest.fixture
def halved(full_cube: Cube) -> Result:
    values, valid = full_cube.block()
    half = full_cube.replace(np.where(valid, values / 2, -9999).astype(np.float32), "halved")
    extras = {"spread": np.ones(full_cube.shape[1:], np.float32), "stripes": np.ones(full_cube.shape, np.float32)}
    return Result(half, full_cube, extras, {"method": "half", "options": {"strength": 1.0}})


def test_the_restored_layer_comes_on_top_with_the_contrast_of_its_source(full_cube: Cube, halved: Result) -> None:
    source = layer_of(full_cube, contrast_limits=(5, 77), colormap="viridis")
    restored = Layer.create(*result_layers(halved, source)[-1])
    assert restored.name == "scene · restored"
    assert restored.contrast_limits == [5, 77]
    assert restored.colormap.name == "viridis"


def test_extras_and_the_removed_signal_are_hidden_and_named_after_the_cube(halved: Result) -> None:
    below = result_layers(halved)[:-1]
    assert [options["name"] for _, options, _ in below] == ["scene · spread", "scene · stripes", "scene · removed"]
    assert not any(options["visible"] for _, options, _ in below)


def test_removed_is_observed_less_restored_and_nan_where_either_is_missing(full_cube: Cube, halved: Result) -> None:
    away = np.asarray(removed(halved.observed, halved.cube))
    values, valid = full_cube.block()
    assert np.allclose(away[valid], values[valid] / 2)
    assert np.isnan(away[~valid]).all()


def test_the_removed_signal_has_limits_symmetric_around_zero(full_cube: Cube) -> None:
    noise = np.random.default_rng(1).normal(0, 3, full_cube.shape).astype(np.float32)
    observed = Cube(noise + 10, name="n")
    result = Result(observed.replace(np.full_like(noise, 10.0), "flat"), observed)
    low, high = result_layers(result)[0][1]["contrast_limits"]
    assert low == -high < 0


def test_every_layer_of_a_run_carries_a_record_of_its_own(halved: Result) -> None:
    layers = result_layers(halved)
    assert all(options["metadata"][RUN]["method"] == "half" for _, options, _ in layers)
    layers[0][1]["metadata"][RUN]["options"]["strength"] = 9
    assert halved.record["options"]["strength"] == 1.0


def test_a_restored_region_lies_over_its_place(full_cube: Cube, halved: Result) -> None:
    source = layer_of(full_cube, scale=(1, 2, 2), translate=(0, 100, 200))
    layer = Layer.create(*result_layers(halved, source, (3, 4))[-1])
    assert np.allclose(layer.data_to_world((0, 0, 0))[-2:], source.data_to_world((0, 3, 4))[-2:])


def test_a_result_on_a_finer_grid_covers_the_same_ground(full_cube: Cube) -> None:
    fine = np.repeat(np.repeat(np.asarray(full_cube.values), 2, 1), 2, 2)
    extras = {"spread": np.ones((24, 20), np.float32)}
    result = Result(full_cube.upsampled(fine, 2, "sharpened"), interpolated(full_cube, 2), extras, scale=2)
    source = layer_of(full_cube, scale=(1, 3, 3), translate=(0, 7, 8))
    layers = [Layer.create(*data) for data in result_layers(result, source)]
    assert [layer.name for layer in layers] == ["scene · spread", "scene · removed", "scene · restored"]
    for layer in layers:
        assert layer.data.shape[-2:] == (24, 20)
        assert np.allclose(edges(layer), edges(source))
    # The first fine centre lies a quarter of a coarse pixel before the first coarse one.
    assert np.allclose(layers[-1].translate, (0, 7 - 0.75, 8 - 0.75))


def test_the_removed_signal_of_a_finer_grid_is_the_interpolated_cube_less_the_result(full_cube: Cube) -> None:
    shown = interpolated(full_cube, 2)
    values, valid = shown.block()
    result = Result(full_cube.upsampled(values - 1, 2, "darker"), shown, scale=2)
    away = Layer.create(*result_layers(result)[0])
    np.testing.assert_allclose(np.asarray(away.data)[valid], 1, atol=1e-4)


def test_a_finer_region_lies_over_its_place(full_cube: Cube) -> None:
    part = full_cube.crop(Window(3, 4, 5, 4))
    shown = interpolated(part, 4)
    source = layer_of(full_cube, scale=(1, 2, 2))
    layer = Layer.create(*result_layers(Result(shown, shown, scale=4), source, (3, 4))[-1])
    # Pixel areas reach half a pixel around their centres, on both grids.
    assert np.allclose(layer.data_to_world((0, -0.5, -0.5))[-2:], source.data_to_world((0, 2.5, 3.5))[-2:])


def test_every_result_layer_is_a_cube_again_or_an_image(halved: Result) -> None:
    viewer = ViewerModel()
    for data in result_layers(halved):
        viewer.add_layer(Layer.create(*data))
    cubes = [cube_of(layer) for layer in viewer.layers if is_cube(layer)]
    assert [cube.shape for cube in cubes] == [halved.cube.shape] * 3
    assert all(cube.axis == BandAxis.select(halved.cube.axis, range(6)) for cube in cubes)
