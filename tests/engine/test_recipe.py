"""Recipes: strict to read, exact to write, and replayed to the same array."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, CapabilityError, FormatError, OutputError, ParameterError
from hsi_app.io import open_cube
from hsi_app.jobs import Job
from hsi_app.recipe import Recipe, Step, _toml, parse_recipe, read_recipe, run_recipe, write_recipe
from hsi_app.runner import Settings, restore

CubeFactory = Callable[..., Cube]
FULL = Recipe(
    steps=(
        Step("lowrank", "destripe", {"rank": 4, "strength": 0.5}),
        Step("lowrank", "inpaint", {"denoiser": "dct"}),
    ),
    seed=11,
    bad_bands="restore",
    keep_observed=False,
    tile=64,
)
FINER = Recipe((Step("lowrank", "destripe"), Step("lowrank", "sr")), scale=3, psf_fwhm=2.5)


@pytest.mark.parametrize("recipe", [FULL, FINER], ids=["full", "finer"])
def test_recipe_comes_back_from_its_text(recipe: Recipe) -> None:
    assert parse_recipe(recipe.to_toml()) == recipe


def test_scale_and_psf_are_keys_of_the_recipe_and_whole_widths_are_widths() -> None:
    assert "\nscale = 3\npsf-fwhm = 2.5\n" in FINER.to_toml()
    text = 'scale = 4\npsf-fwhm = 3\n[[steps]]\nmethod = "lowrank"\ntask = "sr"\n'
    assert parse_recipe(text) == Recipe((Step("lowrank", "sr"),), scale=4, psf_fwhm=3.0)


def test_recipe_comes_back_from_its_file(tmp_path: Path) -> None:
    assert read_recipe(write_recipe(FULL, tmp_path / "run.toml")) == FULL


def test_shortest_recipe_names_a_method_only() -> None:
    assert parse_recipe('[[steps]]\nmethod = "lowrank"\n') == Recipe((Step("lowrank"),))


@settings(deadline=None)
@given(st.one_of(st.text(), st.integers(), st.booleans(), st.floats(allow_nan=False)))
def test_any_flat_value_survives_toml(value: object) -> None:
    found = tomllib.loads(f"value = {_toml(value)}")["value"]
    assert found == value
    assert type(found) is type(value)


def test_undecodable_text_is_refused() -> None:
    with pytest.raises(ParameterError, match="undecodable"):
        _toml("scene\udcff.hdr")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["no steps", "[[steps]]"]),
        ("seed = 1", ["no steps"]),
        ("steps = 3", ["[[steps]]"]),
        ("[[steps]\nmethod", ["not TOML"]),
        ("seed = " + "9" * 5000, ["not TOML", "digits"]),
        ("seed = " + "[" * 5000, ["not TOML", "recursion"]),
        ('bad-bands = "\\u001b[2J\\n"', [r"\x1b[2J\n", "keep"]),
        ("[[steps]]\n", ["names no method"]),
        ('[[steps]]\nmethod = "lowrnk"', ["lowrnk", "lowrank"]),
        ("[[steps]]\nmethod = 3", ["method", "3"]),
        ('[[steps]]\nmethod = "lowrank"\ncolour = "red"', ["colour"]),
        ('[[steps]]\nmethod = "lowrank"\n[steps.params]\nrang = 3', ["rang"]),
        ('[[steps]]\nmethod = "lowrank"\n[steps.params]\nrank = 0', ["rank", "0"]),
        ('seed = -1\n[[steps]]\nmethod = "lowrank"', ["seed", "-1"]),
        ('seed = true\n[[steps]]\nmethod = "lowrank"', ["seed", "True"]),
        ('seed = 1.5\n[[steps]]\nmethod = "lowrank"', ["seed", "1.5"]),
        ('bad-bands = "drop"\n[[steps]]\nmethod = "lowrank"', ["drop", "keep"]),
        ('tile = 0\n[[steps]]\nmethod = "lowrank"', ["tile"]),
        ('scale = 2\n[[steps]]\nmethod = "lowrank"', ["scale 2", "denoise"]),
        ('psf-fwhm = 2.0\n[[steps]]\nmethod = "lowrank"', ["psf-fwhm 2", "denoise"]),
        ('scale = 40\n[[steps]]\nmethod = "lowrank"\ntask = "sr"', ["scale is 40", "16"]),
        ('scale = 2.0\n[[steps]]\nmethod = "lowrank"\ntask = "sr"', ["scale", "2.0", "int"]),
        ('psf-fwhm = true\n[[steps]]\nmethod = "lowrank"\ntask = "sr"', ["psf_fwhm", "True"]),
        ('psf-fwhm = 0\n[[steps]]\nmethod = "lowrank"\ntask = "sr"', ["psf-fwhm is 0"]),
    ],
)
def test_recipe_that_cannot_work_is_refused_in_one_line(text: str, words: list[str]) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_recipe(text)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_task_the_method_lacks_is_refused() -> None:
    with pytest.raises(CapabilityError, match="dehaze"):
        parse_recipe('[[steps]]\nmethod = "lowrank"\ntask = "dehaze"')


def test_absent_and_binary_files_are_no_recipes(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("absent.toml", "binary.toml"):
        with pytest.raises(FormatError, match=name):
            read_recipe(tmp_path / name)


def test_existing_recipe_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("mine")
    with pytest.raises(OutputError, match=r"run\.toml"):
        write_recipe(FULL, tmp_path / "run.toml")
    assert [p.name for p in tmp_path.iterdir()] == ["run.toml"]
    assert (tmp_path / "run.toml").read_text() == "mine"


def test_recipe_of_a_run_replays_to_the_same_array(make_cube: CubeFactory) -> None:
    cube = make_cube(10, 24, 24, sigma=0.05)
    first = restore(cube, "lowrank", {"strength": 1.3}, Settings(task="denoise", seed=5))
    recipe = parse_recipe(Recipe.from_record(first.record).to_toml())
    np.testing.assert_array_equal(run_recipe(cube, recipe).cube.read(), first.cube.read())


def test_a_finer_result_replays_to_the_same_array(make_cube: CubeFactory) -> None:
    cube = make_cube(10, 12, 17, sigma=0.05)
    first = restore(cube, "lowrank", settings=Settings(task="sr", scale=3, psf_fwhm=2.0))
    recipe = parse_recipe(Recipe.from_record(first.record).to_toml())
    assert (recipe.scale, recipe.psf_fwhm) == (3, 2.0)
    np.testing.assert_array_equal(run_recipe(cube, recipe).cube.read(), first.cube.read())


def test_scale_and_psf_reach_only_the_step_they_belong_to(make_cube: CubeFactory) -> None:
    cube = make_cube(10, 12, 17, sigma=0.05)
    result = run_recipe(cube, FINER)
    first, second = (step["settings"] for step in result.record["steps"])
    assert (first["scale"], first["psf_fwhm"]) == (1, None)
    assert (second["scale"], second["psf_fwhm"]) == (3, 2.5)
    assert Recipe.from_record(result.record).scale == 3
    # Steps after it work on the finer grid; the input is shown on the grid of the result.
    longer = run_recipe(cube, Recipe((*FINER.steps, Step("lowrank", "denoise")), scale=3))
    for found in (result, longer):
        assert found.scale == 3
        assert found.cube.shape == found.observed.shape == (10, 36, 51)
        assert found.removed().shape == (10, 36, 51)
        assert found.record["input"]["shape"]["rows"] == 12


@pytest.fixture
def gappy(make_cube: CubeFactory) -> Cube:
    values = make_cube(10, 24, 24, sigma=0.02).values.copy()
    values[:, 6:9, 10:14] = np.nan
    return make_cube(10, 24, 24, values=values)


def test_steps_work_on_what_the_step_before_left(gappy: Cube) -> None:
    recipe = Recipe((Step("lowrank", "denoise"), Step("lowrank", "inpaint")))
    by_hand = restore(gappy, "lowrank", settings=Settings(task="denoise"))
    by_hand = restore(by_hand.cube, "lowrank", settings=Settings(task="inpaint"))
    result = run_recipe(gappy, recipe)
    np.testing.assert_array_equal(result.cube.read(), by_hand.cube.read())
    assert np.isfinite(result.cube.read()).all()


def test_result_of_several_steps_goes_from_the_input_and_tells_of_each(gappy: Cube) -> None:
    recipe = Recipe((Step("lowrank", "denoise"), Step("lowrank", "inpaint")), seed=4)
    result = run_recipe(gappy, recipe)
    assert result.observed is gappy
    assert [step["task"] for step in result.record["steps"]] == ["denoise", "inpaint"]
    assert result.record["seed"] == 4
    replay = Recipe.from_record(result.record)
    np.testing.assert_array_equal(run_recipe(gappy, replay).cube.read(), result.cube.read())


def test_steps_that_rest_in_files_give_the_same_and_leave_only_the_result(
    gappy: Cube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe((Step("lowrank", "denoise"), Step("lowrank", "inpaint")))
    in_memory = run_recipe(gappy, recipe).cube.read()
    monkeypatch.setattr("hsi_app.recipe._streams", lambda cube, recipe, memory: True)
    streamed = run_recipe(gappy, recipe, out=tmp_path / "out.hdr")
    np.testing.assert_array_equal(open_cube(tmp_path / "out.hdr").read(), in_memory)
    np.testing.assert_array_equal(streamed.cube.read(), in_memory)
    assert {p.stem for p in tmp_path.iterdir()} == {"out"}


def test_progress_of_several_steps_rises_to_one_without_falling(gappy: Cube) -> None:
    seen: list[float] = []
    recipe = Recipe((Step("lowrank", "denoise"), Step("lowrank", "inpaint")))
    run_recipe(gappy, recipe, job=Job(on_progress=lambda p: seen.append(p.fraction)))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_cancelled_recipe_leaves_nothing(gappy: Cube, tmp_path: Path) -> None:
    job = Job(on_progress=lambda p: job.cancel() if p.fraction > 0.6 else None)
    recipe = Recipe((Step("lowrank", "denoise"), Step("lowrank", "inpaint")))
    with pytest.raises(Cancelled):
        run_recipe(gappy, recipe, out=tmp_path / "out.hdr", job=job)
    assert list(tmp_path.iterdir()) == []
