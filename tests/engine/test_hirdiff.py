"""HIR-Diff on a cube of known truth: what the prior and each part bring, and what must not change the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.diffusion import frame, load
from hsi_app.diffusion.one_pass import one_pass
from hsi_app.diffusion.prior import Prior, no_prior
from hsi_app.jobs import Job
from hsi_app.methods.hirdiff.chain import _Settling
from hsi_app.methods.lowrank.prepare import survey
from hsi_app.metrics import score
from hsi_app.runner import Result, Settings, restore
from hsi_app.scene import Scene
from hsi_app.tiling import Window
from tests.engine.reference_cube import filled, photo_cube, psnr, svd

SIGMA = 50 / 255


def run(values: np.ndarray, task: str = "denoise", /, *, seed: int = 0, **options: Any) -> Result:
    settings = Settings(task=task, device="cpu", seed=seed, keep_observed=False if task == "inpaint" else None)
    return restore(Cube(values, BandAxis(len(values))), "hirdiff", options, settings)


def noisy_of(truth: np.ndarray, sigma: float = SIGMA, seed: int = 0) -> np.ndarray:
    return (truth + np.random.default_rng(seed).normal(0, sigma, truth.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return photo_cube()


@pytest.fixture(scope="module")
def noisy(truth: np.ndarray) -> np.ndarray:
    return noisy_of(truth)


@pytest.fixture(scope="module")
def gappy(truth: np.ndarray) -> np.ndarray:
    """Four of five samples missing, noise of 10/255 in the others."""
    values = noisy_of(truth, 10 / 255)
    return np.where(np.random.default_rng(1).random(values.shape) < 0.2, values, np.nan).astype(np.float32)


@pytest.fixture(scope="module")
def inpainted(gappy: np.ndarray) -> Result:
    return run(gappy, "inpaint")


def test_noise_is_removed_better_than_by_subspace_and_variation(truth: np.ndarray, noisy: np.ndarray) -> None:
    values = run(noisy).cube.read()
    found = psnr(values, truth)
    assert found >= psnr(noisy, truth) + 13
    assert found >= psnr(svd(noisy, 3), truth) + 4.5
    assert score(Cube(values), Cube(truth))["sam"] <= 4


def test_as_denoiser_of_lowrank_the_prior_beats_the_classical_one(truth: np.ndarray, noisy: np.ndarray) -> None:
    def found(**options: Any) -> float:
        cube = Cube(noisy, BandAxis(len(noisy)))
        return psnr(restore(cube, "lowrank", options, Settings(task="denoise", device="cpu")).cube.read(), truth)

    classical = found()
    assert found(denoiser="prior") > classical + 0.1
    assert found(denoiser="prior", prior="none") < classical - 1


@pytest.mark.parametrize("images", ["bands", "components"])
@pytest.mark.parametrize("kappa", [0.3, 1.0, 1.5])
def test_without_prior_the_gradient_chain_ends_at_the_projection(
    truth: np.ndarray, noisy: np.ndarray, images: str, kappa: float
) -> None:
    options = {"mode": "chain", "prior": "none", "guidance": "gradient", "rank": 3, "renewal": 0.0}
    values = run(noisy, **options, kappa=kappa, images=images).cube.read()
    assert psnr(values, truth) == pytest.approx(psnr(svd(noisy, 3), truth), abs=0.3)


def test_without_prior_the_proximal_chain_comes_near_the_projection(truth: np.ndarray, noisy: np.ndarray) -> None:
    values = run(noisy, mode="chain", prior="none", rank=3, renewal=0.0, kappa=0.3).cube.read()
    assert psnr(values, truth) == pytest.approx(psnr(svd(noisy, 3), truth), abs=0.3)


def test_the_gain_does_not_depend_on_the_size(truth: np.ndarray, noisy: np.ndarray) -> None:
    def mosaic(cube: np.ndarray) -> np.ndarray:
        wide = np.concatenate([cube, cube[:, :, ::-1]], 2)
        return np.concatenate([wide, wide[:, ::-1]], 1)

    cuts: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "whole": lambda cube: cube,
        "quarter": lambda cube: cube[:, 32:96, 32:96],
        "half": lambda cube: cube[:, :, 32:96],
        "every second band": lambda cube: cube[::2],
        "four times": mosaic,
    }
    gains = {}
    for name, cut in cuts.items():
        clean = np.ascontiguousarray(cut(truth))
        observed = noisy_of(clean, seed=3)
        values = run(observed, samples=1, faint=0).cube.read()
        gains[name] = psnr(values, clean) - psnr(svd(observed, 3), clean)
    assert min(gains.values()) > 3
    # Fewer pixels fix the subspace less well, fewer bands leave more noise in it.
    assert max(gains.values()) - min(gains.values()) <= 2.0, gains


def test_a_scene_given_twice_the_size_or_in_other_units_comes_out_as_well(truth: np.ndarray, noisy: np.ndarray) -> None:
    small, options = np.ascontiguousarray(noisy[:, :64, :64]), {"mode": "chain"}
    clean = truth[:, :64, :64]
    plain = psnr(run(small, **options).cube.read(), clean)
    assert psnr(run(small * 10_000, **options).cube.read() / 10_000, clean) == pytest.approx(plain, abs=0.1)
    twice = np.concatenate([small, small[:, :, ::-1]], 2)
    both = run(twice, **options).cube.read()
    assert psnr(both[:, :, :64], clean) == pytest.approx(plain, abs=0.1)


def test_picked_bands_serve_the_prior_better_than_evenly_spaced_ones(
    truth: np.ndarray, noisy: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"mode": "chain", "images": "bands"}
    picked = psnr(run(noisy, **options).cube.read(), truth)
    monkeypatch.setattr(
        frame, "pick_base_bands", lambda basis: np.linspace(0, len(basis) - 1, basis.shape[1]).round().astype(int)
    )
    assert picked >= psnr(run(noisy, **options).cube.read(), truth) + 0.5


def test_the_subspace_comes_from_completed_data_not_from_zeros(truth: np.ndarray, gappy: np.ndarray) -> None:
    def angle(basis: np.ndarray) -> float:
        centred = (truth - truth.mean((1, 2), keepdims=True)).reshape(len(truth), -1)
        clean = np.linalg.svd(centred, full_matrices=False)[0][:, :3]
        inside = np.linalg.svd(clean.T @ np.linalg.qr(basis)[0], compute_uv=False)
        return float(np.degrees(np.arccos(np.clip(inside.min(), -1, 1))))

    scene = Scene(Cube(gappy), np.arange(len(gappy)), torch.device("cpu"))
    shared = survey(scene, "inpaint", Job(), rank=6, outliers="auto")
    assert angle(shared["basis"] * shared["noise_std"][:, None]) < 5
    zeros = np.nan_to_num(gappy).reshape(len(gappy), -1)
    assert angle(np.linalg.svd(zeros - zeros.mean(1, keepdims=True), full_matrices=False)[0][:, :3]) > 45


def test_gaps_are_filled_better_than_by_iterated_low_rank(
    truth: np.ndarray, gappy: np.ndarray, inpainted: Result
) -> None:
    values = inpainted.cube.read()
    assert psnr(values, truth) >= psnr(filled(gappy), truth) + 3
    seen = np.isfinite(gappy)
    assert np.sqrt(np.square(values - gappy)[seen].mean()) <= 2 * 10 / 255


def test_the_prior_brings_what_no_prior_and_a_blur_do_not(
    truth: np.ndarray, gappy: np.ndarray, inpainted: Result
) -> None:
    found = psnr(inpainted.cube.read(), truth)
    assert found >= psnr(run(gappy, "inpaint", prior="blur").cube.read(), truth) + 1.5
    assert found >= psnr(run(gappy, "inpaint", prior="none").cube.read(), truth) + 2.5


def test_an_absurd_prior_does_harm_and_every_step_asks_it_once(
    truth: np.ndarray, gappy: np.ndarray, inpainted: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def absurd(images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        # Believes every image to be half of what it looks like.
        asked.append(float(level[0]))
        return images / (2 * (1 - level[0] ** 2).sqrt())

    monkeypatch.setitem(load._PLAIN, "none", lambda: Prior(absurd, level="sqrt", name="absurd"))
    values = run(gappy, "inpaint", prior="none", steps=12).cube.read()
    assert psnr(values, truth) < psnr(inpainted.cube.read(), truth) - 2
    assert len(set(asked)) == 12
    assert asked == sorted(asked)


def test_samples_show_their_spread_and_steps_their_wavering(
    truth: np.ndarray, gappy: np.ndarray, inpainted: Result
) -> None:
    part = np.ascontiguousarray(gappy[:, :64, :64])
    result = run(part, "inpaint", samples=3, steps=10)
    spread, wavering = (np.asarray(result.extras[name]) for name in ("spread", "hallucination"))
    assert spread.shape == part.shape
    assert wavering.shape[-2:] == part.shape[1:]
    assert np.isfinite(spread).all()
    assert np.isfinite(wavering).all()
    # Where spectra were seen less the samples differ more.
    seen = np.isfinite(part).mean(0)
    few, many = seen < np.quantile(seen, 0.2), seen > np.quantile(seen, 0.8)
    assert spread[:, few].mean() > spread[:, many].mean()
    assert "spread" not in inpainted.extras
    assert "hallucination" in inpainted.extras


def test_the_seed_decides_the_sample(gappy: np.ndarray) -> None:
    part, options = np.ascontiguousarray(gappy[:, :40, :40]), {"steps": 5, "prior": "blur"}
    first = run(part, "inpaint", **options).cube.read()
    np.testing.assert_array_equal(first, run(part, "inpaint", **options).cube.read())
    assert np.abs(first - run(part, "inpaint", seed=1, **options).cube.read()).max() > 1e-3


@pytest.mark.parametrize("shape", [(3, 33, 50), (1, 20, 20), (40, 9, 70)])
def test_few_bands_and_odd_sides_are_no_trouble(shape: tuple[int, int, int]) -> None:
    clean = photo_cube(shape[1], shape[2], 60)[:: 60 // shape[0]][: shape[0]]
    for task, values in (("denoise", noisy_of(clean, 0.05)), ("inpaint", clean.copy())):
        values[:, 3:5, 4:7] = np.nan
        restored = run(values, task, steps=4).cube.read()
        assert np.isfinite(restored if task == "inpaint" else restored[np.isfinite(values)]).all()


def test_the_wavering_is_the_variance_of_the_later_guesses() -> None:
    settling = _Settling(6)
    guesses = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    for step, guess in enumerate(guesses, start=1):
        settling.add(step, guess)
    torch.testing.assert_close(settling.variance, guesses[3:].var(0))


def test_a_single_look_of_no_prior_changes_nothing_and_every_view_is_one() -> None:
    images = torch.randn(5, 16, 24, generator=torch.Generator().manual_seed(0))
    told: list[float] = []
    looks = one_pass(images, np.array([90.0, 30, 9, 4, 2]), no_prior(), Window(0, 0, 16, 24), 0, 3, told.append)
    torch.testing.assert_close(looks, images.expand(3, -1, -1, -1), atol=1e-5, rtol=1e-5)
    assert told == pytest.approx([(k + 1) / 6 for k in range(6)])
