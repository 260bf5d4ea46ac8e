"""Unmixing of real scenes with known materials: what the table of the README promises."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from materials import KNOWN, KnownScene, spoilt

from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_app.methods.unmixing.factors import objective_of
from hsi_app.methods.unmixing.spec import NmfParameters, RrlbsParameters
from hsi_app.runner import Settings
from hsi_app.unmixing.abundances import solve_abundances
from hsi_app.unmixing.factorise import factorise
from hsi_app.unmixing.matching import match
from hsi_app.unmixing.runner import unmix
from hsi_app.unmixing.vertices import vca

SEEDS = range(5)
Figures = tuple[float, float]


@pytest.fixture(scope="module", autouse=True)
def _scenes(real_data: Path) -> None:
    """Skip where the scenes are not at hand."""


def scored(
    scene: KnownScene, method: str, source: str, *, cube: Cube | None = None, good: np.ndarray | None = None,
    normalise: str | None = None, seed: int = 0, **options: object,
) -> Figures:  # fmt: skip
    """Mean spectral angle (rad) over the good channels, and abundance error."""
    given = {
        "endmembers": scene.count, "endmembers_from": source, "normalise": normalise or scene.normalise, **options,
    }  # fmt: skip
    result = unmix(cube or scene.cube, method, given, Settings(seed=seed, device="cpu"))
    rows = np.arange(scene.cube.shape[0]) if good is None else good
    found = match(
        result.endmembers.spectra[rows], scene.endmembers[rows], np.asarray(result.abundances.read()), scene.abundances
    )
    return float(found.angles.mean()), found.rmse


@cache
def mean_over_seeds(name: str, method: str, source: str, count: int = len(SEEDS)) -> Figures:
    angle, rmse = np.mean([scored(KNOWN[name](), method, source, seed=seed) for seed in range(count)], axis=0)
    return float(angle), float(rmse)


@pytest.mark.slow
def test_samson_from_archetypes() -> None:
    angle, rmse = mean_over_seeds("Samson", "rrlbs", "edaa")
    assert angle <= 0.030
    assert rmse <= 0.039


@pytest.mark.slow
def test_jasper_from_archetypes() -> None:
    _, rmse = mean_over_seeds("Jasper198", "rrlbs", "edaa")
    assert rmse <= 0.150
    angle, rmse = mean_over_seeds("Jasper198", "fcls", "edaa")
    assert angle <= 0.11
    assert rmse <= 0.165


@pytest.mark.slow
def test_archetypes_alone_and_what_the_factorisation_adds() -> None:
    angle, rmse = scored(KNOWN["Samson"](), "fcls", "edaa", starts=8)
    assert angle <= 0.032
    assert rmse <= 0.045
    assert mean_over_seeds("Samson", "rrlbs", "edaa")[1] <= mean_over_seeds("Samson", "fcls", "edaa")[1] + 0.003


@pytest.mark.slow
def test_from_the_same_pure_pixels_the_robust_factorisation_is_ahead() -> None:
    # Ten seeds: VCA alone differs by 0.08 rad from seed to seed.
    vca_alone, nmf, rrlbs = (mean_over_seeds("Samson", method, "vca", 10) for method in ("fcls", "nmf", "rrlbs"))
    assert rrlbs[0] < min(vca_alone[0], nmf[0])
    assert rrlbs[1] < min(vca_alone[1], nmf[1])


@pytest.mark.slow
def test_from_the_best_of_four_pure_pixel_starts() -> None:
    # One start in four misses a material; its error of reconstruction is larger, which needs no truth to see.
    scene = KNOWN["Samson"]()
    options = {"endmembers": scene.count, "endmembers_from": "vca", "normalise": "l2"}
    errors = [
        unmix(scene.cube, "fcls", options, Settings(seed=seed, device="cpu")).record["trace"]["relative_error"]
        for seed in range(4)
    ]
    best = int(np.argmin(errors))
    assert max(errors) > 1.5 * errors[best]
    vca_alone, nmf, rrlbs = (scored(scene, method, "vca", seed=best) for method in ("fcls", "nmf", "rrlbs"))
    assert rrlbs[0] <= 0.050
    assert rrlbs[1] <= 0.068
    assert rrlbs[0] < min(vca_alone[0], nmf[0])
    assert rrlbs[1] < min(vca_alone[1], nmf[1])


def test_the_largest_simplex_of_raw_jasper() -> None:
    scene = KNOWN["Jasper198"]()
    angle, rmse = scored(scene, "fcls", "nfindr", normalise="none")
    assert angle <= 0.17
    assert rmse <= 0.17


def test_the_same_seed_gives_the_same_figures() -> None:
    scene = KNOWN["Samson"]()
    first, second = (scored(scene, "rrlbs", "edaa", starts=2, seed=3) for _ in range(2))
    assert first == second


class Spoilt:
    """Samson divided by its norms, then some channels replaced, and the best of five clean VCA starts."""

    def __init__(self) -> None:
        self.scene = KNOWN["Samson"]()
        clean = torch.from_numpy(self.scene.cube.read().reshape(156, -1)).double()
        self.clean = clean / clean.norm(dim=0)
        # Half as much again as the brightest sample: enough to turn a squared loss, as the last line of the test shows.
        self.top = 1.5 * float(self.clean.max()) / float(self.scene.cube.read().max())
        starts = [vca(self.clean, 3, torch.Generator().manual_seed(s))[1].clamp(min=0) for s in range(5)]
        fits = [solve_abundances(self.clean, start) for start in starts]
        best = min(range(5), key=lambda k: float((self.clean - starts[k] @ fits[k]).abs().mean()))
        self.endmembers, self.abundances = starts[best], fits[best]

    def factorised(self, channels: int, params: NmfParameters | RrlbsParameters) -> Figures:
        cube, bad = spoilt(self.scene.cube, channels, 0)
        good = np.setdiff1d(np.arange(156), bad)
        noisy = self.clean.clone()
        noisy[bad] = torch.from_numpy(cube.read().reshape(156, -1)[bad]).double() * self.top
        # The penalties of the clean channels: the loss must cope with the others.
        objective = objective_of(params, self.clean[good])
        found = factorise(noisy, self.endmembers, self.abundances, objective, Job())
        shares = (found.abundances / found.abundances.sum(0)).numpy().reshape(self.scene.abundances.shape)
        scores = match(found.endmembers.numpy()[good], self.scene.endmembers[good], shares, self.scene.abundances)
        return float(scores.angles.mean()), scores.rmse


@pytest.mark.slow
def test_bad_channels_hardly_move_the_robust_loss() -> None:
    samson = Spoilt()
    angle, rmse = samson.factorised(0, RrlbsParameters())
    for channels in (5, 20, 40):
        turned, worse = samson.factorised(channels, RrlbsParameters())
        assert turned - angle <= 0.003
        assert worse - rmse <= 0.005
    # If plain NMF did not suffer, the channels were not bad enough to show anything.
    assert samson.factorised(20, NmfParameters())[1] >= 1.4 * samson.factorised(0, NmfParameters())[1]


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "least"), [(5, 0.065), (20, 0.065), (40, 0.080)])
def test_the_whole_run_stands_bad_channels(channels: int, least: float) -> None:
    scene = KNOWN["Samson"]()
    for seed in range(2):
        cube, bad = spoilt(scene.cube, channels, seed)
        good = np.setdiff1d(np.arange(156), bad)
        assert scored(scene, "rrlbs", "edaa", cube=cube, good=good, seed=seed)[1] <= least


@pytest.mark.slow
def test_without_screening_it_does_not() -> None:
    scene = KNOWN["Samson"]()
    cube, bad = spoilt(scene.cube, 20, 0)
    good = np.setdiff1d(np.arange(156), bad)
    assert scored(scene, "rrlbs", "vca", cube=cube, good=good, screen=False)[1] > 0.28


def test_a_second_look_at_the_truth_is_not_possible() -> None:
    # The run is given a cube and nothing else; facts of the cube that name the truth change nothing.
    scene = KNOWN["Samson"]()
    cube = replace(scene.cube, facts={"truth": "samson.npz"}, source=None)
    assert scored(scene, "fcls", "nfindr") == scored(scene, "fcls", "nfindr", cube=cube)
