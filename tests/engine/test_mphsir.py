"""MP-HSIR on cubes of known truth: what it gains with the weights that ship, and what must not change the result."""

from __future__ import annotations

import itertools
import runpy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hsi_models.mphsir import MPHSIR
from hsi_models.store import save_weights
from mphsir import shuffled_weights

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import ParameterError, WeightsError
from hsi_app.methods.mphsir import official
from hsi_app.methods.mphsir import run as method_run
from hsi_app.methods.mphsir.prepare import prepare
from hsi_app.methods.mphsir.spec import MpHsirParameters
from hsi_app.physics.degrade import degrade
from hsi_app.physics.spatial import psf_blur
from hsi_app.runner import Result, Settings, restore
from tests.engine.reference_cube import photo_cube, psnr

SIZE = (72, 80)
RECIPE = Path(__file__).parents[2] / "models" / "recipes" / "prompted"


def run(values: np.ndarray | Cube, task: str = "denoise", /, **options: Any) -> Result:
    cube = values if isinstance(values, Cube) else Cube(values, BandAxis(len(values)))
    optics = {"scale": options.pop("scale", None), "psf_fwhm": options.pop("psf_fwhm", None)}
    keep, tile = options.pop("keep", None), options.pop("tile", None)
    settings = Settings(task=task, device="cpu", keep_observed=keep, tile=tile, **optics)
    return restore(cube, "mphsir", options, settings)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return photo_cube(*SIZE, bands=40)


@pytest.fixture(scope="module")
def noisy(truth: np.ndarray) -> np.ndarray:
    return (truth + np.random.default_rng(0).normal(0, 30 / 255, truth.shape)).astype(np.float32)


def cube_of(values: np.ndarray) -> Cube:
    return Cube(values, BandAxis(len(values)))


def made_scene() -> Cube:
    """Land of fractal patches with smooth spectra, as the recipe of the weights makes it."""
    made: Cube = runpy.run_path(str(RECIPE / "clean_scenes.py"))["made_scene"](np.random.default_rng(0))
    return made


@pytest.fixture(scope="module")
def shuffled() -> Iterator[str]:
    """The numbers of the shipped weights, tensor by tensor, in random order."""
    with shuffled_weights() as folder:
        yield folder


# What it gains


@pytest.mark.parametrize("case", ["gauss-30", "mixed-4", "haze-0.75"])
def test_the_network_adds_to_the_classical_start_and_shuffled_weights_do_not(
    truth: np.ndarray, shuffled: str, case: str
) -> None:
    task = "dehaze" if case.startswith("haze") else "denoise"
    # The shading of the photographs passes for haze.
    clean = made_scene() if task == "dehaze" else cube_of(truth)
    observed = degrade(clean, case).observed
    start, ours, theirs = (
        psnr(run(observed, task, weights=weights).cube.read(), clean.read())
        for weights in ("none", "prompted", shuffled)
    )
    assert ours > start
    if task != "dehaze":  # a thickness is corrected by little, whatever the weights
        assert theirs < start


@pytest.mark.parametrize("case", ["blur-11", "sr-x2", "inpaint-0.7"])
def test_undoing_an_optic_or_gaps_beats_the_input_by_far(truth: np.ndarray, case: str) -> None:
    degraded = degrade(cube_of(truth), case)
    task, options, least = {
        "blur-11": ("deblur", {"psf_fwhm": 4.7}, 3.0),
        "sr-x2": ("sr", {"scale": 2}, 1.0),
        "inpaint-0.7": ("inpaint", {}, 15.0),
    }[case]
    result = run(degraded.observed, task, **options)
    shown = result.observed.read()
    guess = np.where(np.isfinite(shown), shown, np.nanmean(shown, (1, 2), keepdims=True))
    assert psnr(result.cube.read(), truth) > psnr(guess, truth) + least


def test_a_clean_scene_comes_back_as_it_is() -> None:
    # 45 dB: what a good cube may lose, whatever is thought to be wrong with it.
    clean = made_scene()
    assert psnr(run(clean, degradations="auto").cube.read(), clean.read()) > 45


def test_a_blur_that_nobody_told_of_is_found_and_undone(truth: np.ndarray) -> None:
    # The contract asks the width of a blur of whoever chooses 'deblur'; 'auto' measures it.
    blurred = psf_blur(truth.shape, 4.7).forward(torch.from_numpy(truth)).numpy()
    result = run(blurred, degradations="auto")
    assert "blur" in result.record["trace"]["prompts"]
    assert psnr(result.cube.read(), truth) > psnr(blurred, truth) + 2


# Shapes, bands and units


@pytest.mark.parametrize("shape", [(31, 64, 64), (8, 33, 47), (103, 60, 97), (5, 17, 150)])
def test_any_shape_comes_back_in_its_own(shape: tuple[int, int, int]) -> None:
    values = photo_cube(shape[1], shape[2], bands=shape[0])
    observed = values + np.random.default_rng(1).normal(0, 0.05, shape).astype(np.float32)
    kept = observed.copy()
    result = run(observed)
    found = result.cube.read()
    assert found.shape == shape
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(observed, kept)


@pytest.mark.parametrize("task", ["denoise", "dehaze"])
@pytest.mark.parametrize("bands", [4, 9, 189, 400])
def test_any_number_of_bands_is_taken(bands: int, task: str) -> None:
    values = photo_cube(48, 48, bands=bands)
    observed = values + np.random.default_rng(2).normal(0, 0.1, values.shape).astype(np.float32)
    found = run(observed, task).cube.read()
    assert np.isfinite(found).all()
    if task == "denoise":
        # Four bands have little to say of each other.
        assert psnr(found, values) > psnr(observed, values) + (3 if bands == 4 else 5)


def test_more_bands_of_the_same_scene_do_not_do_worse() -> None:
    found = []
    for bands in (32, 64, 128):
        values = photo_cube(64, 64, bands=bands)
        noise = np.random.default_rng(3).normal(0, 50 / 255, values.shape).astype(np.float32)
        found.append(psnr(run(values + noise).cube.read(), values))
    assert all(more > fewer - 0.3 for fewer, more in itertools.pairwise(found))


def test_the_order_of_bands_does_not_matter_in_the_subspace(noisy: np.ndarray) -> None:
    order = np.random.default_rng(4).permutation(len(noisy))
    found, permuted = run(noisy).cube.read(), run(np.ascontiguousarray(noisy[order])).cube.read()
    np.testing.assert_allclose(permuted, found[order], atol=2e-3)


def test_lost_bands_are_filled_smoothly_across_the_edges_of_groups() -> None:
    # 100 bands make five groups of 32; every 7th band is lost.
    values = photo_cube(32, 32, bands=100)
    lost = np.zeros(100, bool)
    lost[3::7] = True
    observed = np.where(lost[:, None, None], np.nan, values).astype(np.float32)
    found = run(observed, "inpaint").cube.read()
    np.testing.assert_array_equal(found[~lost], values[~lost])
    assert psnr(found[lost], values[lost]) > 40
    bend = np.abs(np.diff(found, 2, axis=0)).mean((1, 2)) / np.abs(np.diff(values, 2, axis=0)).mean((1, 2))
    edges = [16, 32, 48, 64, 68, 80]
    assert bend[[e - 1 for e in edges]].mean() < 1.5 * np.delete(bend, [e - 1 for e in edges]).mean()


# Tiles


def test_a_constant_scene_stays_constant() -> None:
    values = np.full((12, 130, 70), 0.4, np.float32)
    assert np.ptp(run(values, tile=48).cube.read()) < 1e-5


@pytest.mark.parametrize("task", ["denoise", "dehaze"])
def test_tiles_give_what_the_whole_scene_gives(task: str) -> None:
    values = photo_cube(300, 260, bands=12)
    observed = degrade(cube_of(values), "haze-0.5" if task == "dehaze" else "gauss-30").observed
    whole, tiled = run(observed, task), run(observed, task, tile=96)
    assert tiled.record["tiles"] > whole.record["tiles"]
    difference = np.abs(tiled.cube.read() - whole.cube.read())
    # Where the estimates of neighbouring tiles differ in their last digits, patches pass it on.
    assert np.quantile(difference, 0.999) < 2e-3
    assert psnr(tiled.cube.read(), values) > psnr(whole.cube.read(), values) - 0.15


# Masks and prompts


def test_what_lies_under_a_mask_has_no_influence(truth: np.ndarray) -> None:
    mask = np.random.default_rng(5).random(truth.shape) > 0.4
    found = []
    for under in (0.0, 1.0, np.nan, 1e30):
        cube = replace(cube_of(np.where(mask, truth, np.float32(under))), valid=mask)
        found.append(run(cube, "inpaint").cube.read())
        np.testing.assert_array_equal(found[-1][mask], truth[mask])
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_detail_falls_with_strength(noisy: np.ndarray) -> None:
    def detail(strength: float) -> float:
        return float(np.square(np.diff(run(noisy, strength=strength).cube.read(), axis=2)).mean())

    energies = [detail(strength) for strength in (0.0, 0.5, 1.0)]
    assert energies[0] > energies[1] > energies[2]


def test_strength_zero_changes_nothing(noisy: np.ndarray) -> None:
    np.testing.assert_allclose(run(noisy, strength=0.0).cube.read(), noisy, atol=1e-5)


def test_words_do_what_names_do(noisy: np.ndarray) -> None:
    by_words, by_name = run(noisy, prompt="remove the noise please"), run(noisy, degradations="gauss")
    np.testing.assert_array_equal(by_words.cube.read(), by_name.cube.read())
    assert any(note.startswith("understood") for note in by_words.record["notes"])


def test_a_prompt_that_is_not_understood_asks(noisy: np.ndarray) -> None:
    with pytest.raises(ParameterError, match=r"\?"):
        run(noisy, prompt="make it pretty")


def test_several_views_show_their_spread(noisy: np.ndarray) -> None:
    result = run(noisy, views=3)
    assert result.extras["spread"].shape == noisy.shape
    assert float(np.median(result.extras["spread"])) > 0
    assert result.record["trace"]["views"] == 3


def test_a_half_blurred_prompt_lies_between_or_above_the_single_ones(truth: np.ndarray) -> None:
    observed = degrade(cube_of(truth), "blur-9+gauss-20").observed

    def found(names: str) -> float:
        return psnr(run(observed, "deblur", psf_fwhm=4.0, degradations=names).cube.read(), truth)

    assert found("blur+gauss") > min(found("blur"), found("gauss")) - 0.05


# Weights


def test_weights_that_take_no_prompts_are_refused(noisy: np.ndarray) -> None:
    with pytest.raises(WeightsError, match="no prompted network"):
        run(noisy, weights="triple-prior")


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], str]:
    """Weights of the published layout with random numbers, and a table of text vectors."""
    from hsi_models.clip_text import save_table

    def make(tasks: int) -> str:
        torch.manual_seed(0)
        hyper = {"bands": 31 if tasks == 6 else 100, "width": 16, "tasks": tasks, "blocks": [1, 1, 1], "refinement": 1}
        network = MPHSIR(**hyper)
        facts = {"id": f"published-{tasks}", "title": "random", "network": "hsi_models.mphsir:MPHSIR", "hyper": hyper,
                 "bands": hyper["bands"], "prompts": official.TASKS[tasks], "size_multiple": 32,
                 "licence": "none", "data": ["none"], "recipe": "random numbers"}  # fmt: skip
        card = save_weights(tmp_path / f"published-{tasks}", network.state_dict(), facts)
        save_table(card, torch.randn(tasks, 512, generator=torch.Generator().manual_seed(1)))
        return str(card.folder)

    return make


@pytest.mark.parametrize("tasks", [6, 7])
def test_published_weights_leave_bands_outside_their_wavelengths_alone(
    published: Callable[[int], str], noisy: np.ndarray, tasks: int
) -> None:
    centres = np.linspace(450, 2400, len(noisy))
    result = run(Cube(noisy, BandAxis(len(noisy), centres)), weights=published(tasks))
    changed = np.abs(result.cube.read() - noisy).max((1, 2)) > 1e-4
    last = {6: 700, 7: 1000}[tasks]
    assert changed[centres < last - 60].all()
    assert not changed[centres > last + 60].any()
    assert any("outside the wavelengths" in note for note in result.record["notes"])


def test_published_weights_without_text_vectors_say_so(published: Callable[[int], str], noisy: np.ndarray) -> None:
    folder = Path(published(6))
    for name in ("clip.safetensors", "clip.json"):
        (folder / name).unlink()
    with pytest.raises(WeightsError, match="text"):
        run(noisy, weights=str(folder))


def test_resampling_there_and_back_keeps_smooth_spectra() -> None:
    centres = np.linspace(420, 980, 60)
    forward, back = official.resampling(centres, 60, 100)
    smooth = np.sin(centres / 90)
    np.testing.assert_allclose(back @ (forward @ smooth), smooth, atol=0.01)


def test_preparation_is_plain_numbers(noisy: np.ndarray) -> None:
    from hsi_app.jobs import Job
    from hsi_app.scene import Scene

    scene = Scene(cube_of(noisy), np.arange(len(noisy)), torch.device("cpu"))
    shared = prepare(scene, MpHsirParameters(), "dehaze", Job())
    assert all(isinstance(part, np.ndarray) for part in shared.values())
    assert shared["weights"].sum() == pytest.approx(1)
    assert method_run.OF_COMPONENTS[0] == "gauss"
