"""Files that come out of a run of the plugin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hsi_napari.exports import save_recipe, save_report, save_result, with_extension
from hsi_napari.layers import result_layers
from hsi_napari.writer import write_cube

from hsi_app.cube import Cube
from hsi_app.errors import OutputError
from hsi_app.io import open_cube
from hsi_app.runner import Result, Settings, restore


@pytest.fixture(scope="module")
def run(make_cube: Callable[..., Cube]) -> Result:
    cube = make_cube(12, 24, 20, sigma=0.02)
    return restore(cube, "lowrank", {"rank": 3, "denoiser": "none"}, Settings(task="denoise", seed=5))


def test_a_saved_recipe_repeats_the_run_to_the_bit(run: Result, tmp_path: Path) -> None:
    from hsi_app.recipe import read_recipe, run_recipe

    recipe = read_recipe(save_recipe(run, tmp_path / "run.toml"))
    again = run_recipe(run.observed, recipe)
    assert np.array_equal(again.cube.read(), run.cube.read())


def test_the_report_lies_where_it_was_asked_for_with_its_numbers_beside_it(run: Result, tmp_path: Path) -> None:
    page = save_report(run, tmp_path / "report.html")
    assert page == tmp_path / "report.html"
    assert "lowrank" in page.read_text(encoding="utf-8")
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))


def test_a_result_replaces_the_file_that_the_dialog_asked_about(run: Result, tmp_path: Path) -> None:
    for _ in range(2):
        path = save_result(run, tmp_path / "cube.hdr")
    assert np.array_equal(open_cube(path).read(), run.cube.read())


def test_a_folder_that_is_not_there_is_told_in_one_line(run: Result, tmp_path: Path) -> None:
    with pytest.raises(OutputError) as failure:
        save_result(run, tmp_path / "absent" / "cube.hdr")
    assert "\n" not in str(failure.value)


def test_the_removed_signal_is_saved_like_any_cube(run: Result, tmp_path: Path) -> None:
    data, options, _ = next(layer for layer in result_layers(run) if layer[1]["name"].endswith("removed"))
    (path,) = write_cube(str(tmp_path / "removed.hdr"), data, options)
    expected = run.observed.read() - run.cube.read()
    assert np.allclose(open_cube(path).read(), expected, atol=1e-6)
    assert open_cube(path).axis == run.cube.axis


@pytest.mark.parametrize(
    ("typed", "kind", "path"),
    [
        ("a/cube", "ENVI (*.hdr)", "a/cube.hdr"),
        ("a/cube.tif", "ENVI (*.hdr)", "a/cube.tif"),
        ("cube", "Zarr (*.zarr)", "cube.zarr"),
        ("cube", "", "cube"),
    ],
)
def test_a_name_without_ending_gets_that_of_the_chosen_kind(typed: str, kind: str, path: str) -> None:
    assert with_extension(typed, kind) == Path(path)
