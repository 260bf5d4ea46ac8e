"""What MP-HSIR is told of a scene: from names, words, the task, and from what is measured."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import ParameterError
from hsi_app.jobs import Job
from hsi_app.methods.lowrank.prepare import survey
from hsi_app.methods.mphsir import blind, veil
from hsi_app.methods.mphsir.blind import find, width_of_blur
from hsi_app.methods.mphsir.measure import NOISY
from hsi_app.methods.mphsir.names import DEGRADATIONS, OF_TASK, parse_degradations
from hsi_app.methods.mphsir.plan import Asked, Plan, asked_for, settle
from hsi_app.methods.mphsir.spec import MpHsirParameters
from hsi_app.physics.degrade import blur_std, degrade
from hsi_app.physics.spatial import FWHM_TO_STD
from hsi_app.scene import Scene
from tests.engine.reference_cube import photo_cube

RECIPE = Path(__file__).parents[2] / "models" / "recipes" / "prompted"
made_scene: Callable[..., Cube] = runpy.run_path(str(RECIPE / "clean_scenes.py"))["made_scene"]

BANDS, SIDE = 48, 96


# ---- names with weights


def test_names_without_weights_count_alike() -> None:
    assert parse_degradations("complex+haze") == {"complex": 0.5, "haze": 0.5}


def test_weights_add_up_to_one() -> None:
    assert parse_degradations("complex + Haze:0.5") == pytest.approx({"complex": 2 / 3, "haze": 1 / 3})


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_degradation_can_be_named(name: str) -> None:
    assert parse_degradations(f"{name}:3") == {name: 1.0}


@pytest.mark.parametrize(
    ("written", "nearest"), [("hase", "haze"), ("gaus", "gauss"), ("blurr", "blur"), ("bandlos", "bandloss")]
)
def test_a_name_that_is_wrong_is_answered_with_the_nearest(written: str, nearest: str) -> None:
    with pytest.raises(ParameterError, match=f"no degradation '{written}'.*Did you mean '{nearest}'"):
        parse_degradations(f"complex+{written}")


@pytest.mark.parametrize("text", ["", "+", "haze+", "haze;blur"])
def test_what_is_no_list_of_names_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="no degradation"):
        parse_degradations(text)


@pytest.mark.parametrize("weight", ["0", "-1", "inf", "nan", "much", "0,5", "1:2"])
def test_a_weight_is_a_number_above_zero(weight: str) -> None:
    with pytest.raises(ParameterError, match="number above 0"):
        parse_degradations(f"haze:{weight}")


# ---- what was asked for


def test_by_default_nothing_is_asked_for_beside_the_task() -> None:
    assert asked_for(MpHsirParameters(), "denoise") == Asked()


def test_auto_leaves_it_to_the_measurement() -> None:
    asked = asked_for(MpHsirParameters(degradations="auto"), "denoise")
    assert asked.is_auto
    assert not asked.weights


def test_a_prompt_that_is_understood_is_acted_on_and_told() -> None:
    asked = asked_for(MpHsirParameters(prompt="remove the stripes and half of the haze"), "denoise")
    assert set(asked.weights) == {"complex", "haze"}
    assert sum(asked.weights.values()) == pytest.approx(1)
    assert any("understood" in note and "haze" in note for note in asked.notes)


def test_a_prompt_for_whatever_is_wrong_leaves_it_to_the_measurement() -> None:
    asked = asked_for(MpHsirParameters(prompt="fix whatever is wrong"), "denoise")
    assert asked.is_auto
    assert not asked.weights


def test_a_prompt_overrules_the_list() -> None:
    asked = asked_for(MpHsirParameters(prompt="remove the haze", degradations="blur"), "denoise")
    assert dict(asked.weights) == {"haze": 1.0}


def test_a_gentle_prompt_takes_less_away_and_none_takes_more_than_all() -> None:
    gentle, strong = (
        asked_for(MpHsirParameters(prompt=text), "denoise").strength
        for text in ("denoise gently", "denoise aggressively")
    )
    assert gentle < 0.9
    assert strong == 1


@pytest.mark.parametrize("prompt", ["make it nice", "remove the clouds", "xyzzy"])
def test_a_prompt_that_is_not_understood_is_answered_with_a_question(prompt: str) -> None:
    with pytest.raises(ParameterError, match=r"^prompt '.*\?$"):
        asked_for(MpHsirParameters(prompt=prompt), "denoise")


OTHER_TASKS = {"sr": ("denoise", "deblur", "inpaint"), "inpaint": ("denoise", "sr", "dehaze")}


@pytest.mark.parametrize("options", [{"degradations": "{}"}, {"prompt": "{}"}], ids=["names", "words"])
@pytest.mark.parametrize(("name", "task"), [(name, task) for name, tasks in OTHER_TASKS.items() for task in tasks])
def test_what_has_a_task_of_its_own_cannot_be_had_in_another(options: Mapping[str, str], name: str, task: str) -> None:
    words = {"sr": "super-resolution", "inpaint": "inpaint the holes"}
    given = {key: text.format(words[name] if key == "prompt" else name) for key, text in options.items()}
    with pytest.raises(ParameterError, match=f"choose the task '{name}'"):
        asked_for(MpHsirParameters.model_validate(given), task)


@pytest.mark.parametrize("name", OTHER_TASKS)
def test_what_has_a_task_of_its_own_can_be_had_there(name: str) -> None:
    assert dict(asked_for(MpHsirParameters(degradations=name), name).weights) == {name: 1.0}


# ---- what is told


def surveyed(
    *, noise: float = 0.0, damaged: bool = False, gaps: float = 0.0, lost: int = 0, bands: int = 10
) -> dict[str, np.ndarray]:
    """What ``settle`` reads of a survey: ``gaps`` of the samples missing, and ``lost`` bands."""
    gone = np.arange(bands) < lost
    return {
        "noise_std": np.full(bands, noise),
        "reject": np.array(damaged),
        "outlier_share": np.full(bands, 0.03 * damaged),
        "lost": gone,
        "missing_share": np.array(gaps + gone.mean()),
    }


def told(task: str, asked: Asked | None = None, measured: Mapping[str, float] | None = None, /, **facts: float) -> Plan:
    shared = surveyed(**facts)  # type: ignore[arg-type]
    return settle(asked or Asked(), measured or {}, task, shared)


@pytest.mark.parametrize("task", sorted(set(OF_TASK) - {"inpaint"}))
def test_without_words_a_clean_scene_is_told_what_the_task_says(task: str) -> None:
    assert told(task).weights == {OF_TASK[task]: 1.0}


@pytest.mark.parametrize("task", ["deblur", "sr", "dehaze"])
def test_noise_is_told_beside_the_task_where_there_is_some(task: str) -> None:
    assert told(task, noise=2 * NOISY).weights == {OF_TASK[task]: 0.5, "gauss": 0.5}


@pytest.mark.parametrize("task", ["deblur", "sr", "dehaze"])
def test_noise_of_a_damaged_scene_is_called_damage(task: str) -> None:
    assert told(task, noise=2 * NOISY, damaged=True).weights == {OF_TASK[task]: 0.5, "complex": 0.5}


@pytest.mark.parametrize("noise", [0.0, 2 * NOISY])
def test_denoising_a_damaged_scene_is_mending_damage(noise: float) -> None:
    assert told("denoise", damaged=True, noise=noise).weights == {"complex": 1.0}


def test_destriping_counts_as_denoising() -> None:
    assert told("destripe", noise=2 * NOISY).weights == {"complex": 1.0}


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        ({"gaps": 0.3}, {"inpaint"}),
        ({"lost": 2}, {"bandloss"}),
        ({"gaps": 0.3, "lost": 2}, {"inpaint", "bandloss"}),
        ({"gaps": 0.3, "noise": 2 * NOISY}, {"inpaint", "gauss"}),
        ({"gaps": 0.3, "noise": 2 * NOISY, "damaged": True}, {"inpaint", "complex"}),
        ({}, set()),
    ],
)
def test_filling_is_told_what_is_missing(facts: Mapping[str, float], names: set[str]) -> None:
    plan = told("inpaint", **facts)
    assert set(plan.weights) == names
    assert sum(plan.weights.values()) == pytest.approx(1.0 if names else 0.0)


def test_filling_goes_by_what_is_missing_and_not_by_what_was_asked_for() -> None:
    plan = told("inpaint", Asked({"inpaint": 0.5, "haze": 0.5}), lost=3)
    assert set(plan.weights) == {"haze", "bandloss"}


def test_what_was_asked_for_is_told_beside_the_task() -> None:
    assert told("deblur", Asked({"haze": 1.0})).weights == {"haze": 0.5, "blur": 0.5}


@pytest.mark.parametrize("task", ["denoise", "destripe"])
def test_what_was_asked_for_takes_the_place_of_noise(task: str) -> None:
    assert told(task, Asked({"haze": 0.75, "poisson": 0.25})).weights == {"haze": 0.75, "poisson": 0.25}


def test_no_noise_is_added_to_what_was_asked_for() -> None:
    assert told("dehaze", Asked({"haze": 1.0}), noise=2 * NOISY, damaged=True).weights == {"haze": 1.0}


def test_auto_tells_what_was_measured() -> None:
    plan = told("denoise", Asked(is_auto=True), {"blur": 1.0, "complex": 1.0})
    assert plan.weights == {"blur": 0.5, "complex": 0.5}
    assert any(note.startswith("measured: blur, stripes") for note in plan.notes)


@pytest.mark.parametrize(("task", "weights"), [("dehaze", {"haze": 1.0}), ("denoise", {"gauss": 1.0})])
def test_haze_that_was_measured_is_taken_away_where_it_is_the_task(task: str, weights: dict[str, float]) -> None:
    plan = told(task, Asked(is_auto=True), {"haze": 1.0})
    assert plan.weights == weights
    assert any(note == "measured: haze" for note in plan.notes)


def test_auto_says_so_where_nothing_is_wrong() -> None:
    assert any("nothing that is wrong" in note for note in told("denoise", Asked(is_auto=True)).notes)


def test_auto_does_not_tell_of_gaps_where_they_are_not_filled() -> None:
    assert told("denoise", Asked(is_auto=True), {"gauss": 1.0, "inpaint": 1.0}, gaps=0.1).weights == {"gauss": 1.0}


@pytest.mark.parametrize("task", OF_TASK)
@pytest.mark.parametrize("asked", [Asked(), Asked({"haze": 1.0}), Asked(is_auto=True)], ids=["task", "named", "auto"])
def test_weights_add_up_to_one_whatever_the_scene(task: str, asked: Asked) -> None:
    measured = {"complex": 1.0, "inpaint": 1.0} if asked.is_auto else {}
    plan = told(task, asked, measured, noise=2 * NOISY, damaged=True, gaps=0.2, lost=1)
    assert float(plan.vector().sum()) == pytest.approx(1)
    assert plan.vector().shape == (len(DEGRADATIONS),)


def test_weights_are_in_the_order_of_the_network() -> None:
    vector = Plan({"haze": 0.25, "gauss": 0.75}).vector()
    assert vector[list(DEGRADATIONS).index("haze")] == 0.25
    assert vector[list(DEGRADATIONS).index("gauss")] == 0.75


# ---- what is measured


def photographs() -> Cube:
    """With a thousandth of noise, as the best sensors have."""
    clean = photo_cube(SIDE, SIDE, BANDS)
    noise = np.random.default_rng(0).normal(0, 1e-3, clean.shape)
    return Cube((clean + noise).astype(np.float32), BandAxis(BANDS, np.linspace(420.0, 2400.0, BANDS)))


def land() -> Cube:
    return made_scene(np.random.default_rng(1), BANDS, SIDE)


def measured(cube: Cube, rank: int | None = None) -> tuple[Scene, dict[str, np.ndarray]]:
    scene = Scene(cube, np.arange(cube.shape[0]), torch.device("cpu"))
    return scene, dict(survey(scene, "denoise", Job(), rank=rank, outliers="auto"))


def found(cube: Cube) -> dict[str, float]:
    return find(*measured(cube), Job())[0]


@pytest.mark.parametrize(
    ("name", "degradation"),
    [
        ("gauss-30", "gauss"),
        ("mixed-4", "complex"),
        ("blur-15", "blur"),
        ("inpaint-0.8", "inpaint"),
        ("bandloss-0.2", "bandloss"),
    ],
)
@pytest.mark.parametrize("clean", [photographs, land])
def test_the_degradation_is_found_and_no_other(clean: Callable[[], Cube], name: str, degradation: str) -> None:
    assert found(degrade(clean(), name).observed) == {degradation: 1.0}


# The made scenes only: the photographs' shading looks like haze.
@pytest.mark.parametrize("seed", range(3))
def test_haze_is_found_and_its_thickness_with_it(seed: int) -> None:
    hazy = degrade(made_scene(np.random.default_rng(seed), BANDS, SIDE), "haze-0.75", seed=seed).observed
    weights, seen = find(*measured(hazy), Job())
    assert weights == {"haze": 1.0}
    assert seen is not None
    assert seen["thickness"].shape == (SIDE, SIDE)


@pytest.mark.parametrize("seed", range(3))
def test_haze_is_found_in_spectra_whose_subspace_leaves_some_ground_out(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = made_scene(np.random.default_rng(seed), 160, SIDE)
    hazy = degrade(clean, "haze-0.75", seed=seed).observed
    assert find(*measured(hazy, rank=4), Job())[0] == {"haze": 1.0}
    monkeypatch.setattr(veil, "filled", lambda values, valid, shared: veil.projected(values, shared))
    # Four components hold next to no haze: in them it varies by 0.003 to 0.010 instead of 0.24.
    assert find(*measured(hazy, rank=4), Job())[0] == {}


@pytest.mark.parametrize(("error", "weights"), [(0.05, {"haze": 1.0}), (0.2, {})])
def test_haze_counts_where_it_stands_out_from_what_the_ground_does_to_it(
    error: float, weights: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 0.2^2 is 0.8 or 0.2 times the error; the limit lies at 0.41.
    monkeypatch.setattr(blind, "veil", lambda scene, shared, job: ({"thickness_error": np.array(error)}, 0.2))
    assert found(land()) == weights


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_scene_is_found_clean(seed: int) -> None:
    assert found(made_scene(np.random.default_rng(seed), BANDS, SIDE)) == {}


@pytest.mark.parametrize(
    ("name", "degradations"),
    [("bandloss-0.2+gauss-30", {"bandloss", "gauss"}), ("inpaint-0.5+gauss-30", {"inpaint", "gauss"})],
)
def test_noise_is_told_from_what_is_missing(name: str, degradations: set[str]) -> None:
    assert set(found(degrade(land(), name).observed)) == degradations


@pytest.mark.parametrize("side", [9, 15])
def test_the_width_of_a_blur_is_measured(side: int) -> None:
    fwhm = width_of_blur(*measured(degrade(photographs(), f"blur-{side}").observed))
    # The photographs' own half pixel adds to it.
    assert fwhm == pytest.approx(blur_std(side) / FWHM_TO_STD, rel=0.15)


def test_a_sharp_scene_has_no_width_of_blur() -> None:
    assert width_of_blur(*measured(photographs())) == 0.0


def test_haze_is_taken_away_before_the_grid_is_made_finer() -> None:
    with pytest.raises(ParameterError, match="use the task 'dehaze' first"):
        asked_for(MpHsirParameters(degradations="haze"), "sr")
