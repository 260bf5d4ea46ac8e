"""The chain that is tied to an observation: the closed form of each step, its beginning, its end, and its schedule."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hsi_app.diffusion.ddrm import LEAST_SINGULAR, Mixing, Tied, move
from hsi_app.diffusion.schedule import below, linear_bars, linear_scheduler, sigma_of
from hsi_app.errors import OperatorError
from hsi_app.physics.operator import LinearOperator, pseudo_inverse
from hsi_app.physics.spatial import Convolution, Identity, Mask, blur_downsample, motion_psf, psf_blur

# Draws behind a mean or a spread: a standard deviation is then known to 1/sqrt(2 * 4000) = 1.1 %.
DRAWS = 4000
SIGMA_0, SIGMA = 0.1, 0.8
# arXiv 2303.06682, official settings for denoising.
PUBLISHED_STEPS, PUBLISHED_BETAS = 2000, (1e-4, 5e-3)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved(
    singular: float, sigma: float, mixing: Mixing, noise_std: float = SIGMA_0, seen: float = 0.9
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Many draws of one coordinate, guess .3, observed ``seen``; with the noise that was left and the fresh one."""
    noise, fresh = normal(DRAWS, seed=1), normal(DRAWS, seed=2)
    full = torch.ones(DRAWS, dtype=torch.float64)
    found = move(0.3 * full, noise, seen * full, singular * full, sigma, noise_std, fresh, mixing)
    return found, noise, fresh


def lossy_mask(shape: tuple[int, int, int]) -> Mask:
    return Mask(torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.3)


def lost_bands(shape: tuple[int, int, int]) -> Mask:
    seen = torch.rand(shape, generator=torch.Generator().manual_seed(4)) < 0.8
    seen[1::2] = False
    return Mask(seen)


SQUARE, OBLONG = (2, 16, 16), (3, 8, 20)
OPERATORS: list[LinearOperator] = [
    make(shape)
    for shape in (SQUARE, OBLONG)
    for make in (
        Identity,
        lossy_mask,
        lost_bands,
        lambda shape: blur_downsample(shape, 2),
        lambda shape: blur_downsample(shape, 4),
        lambda shape: psf_blur(shape, 2.0),
    )
]


def told(operator: LinearOperator) -> str:
    kind = f" {int(operator.mask.any(2).any(1).sum())} bands" if isinstance(operator, Mask) else ""
    return f"{operator}{kind}"


def every_operator(function):  # type: ignore[no-untyped-def]
    return pytest.mark.parametrize("operator", OPERATORS, ids=told)(function)


def coordinates_seen(operator: LinearOperator, observed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Singular values of all input coordinates, those too small for a say as 0, and what the observation says."""
    few = operator.singulars().double()  # type: ignore[attr-defined]
    few = torch.where(few > LEAST_SINGULAR * few.max(), few, 0.0)
    singulars = torch.zeros(math.prod(operator.in_shape), dtype=torch.float64)
    singulars[: few.numel()] = few
    seen = torch.zeros_like(singulars)
    read = operator.ut(observed)[: few.numel()]  # type: ignore[attr-defined]
    seen[: few.numel()] = torch.where(few > 0, read / few.clamp_min(1e-12), 0.0)
    return singulars, seen


# One coordinate


def test_where_the_observation_is_finer_the_state_is_normal_around_it() -> None:
    found, _, _ = moved(0.5, SIGMA, Mixing(eta=0.7, eta_b=1.0))
    assert float(found.mean()) == pytest.approx(0.9, abs=0.05)
    assert float(found.std()) == pytest.approx(math.sqrt(SIGMA**2 - (SIGMA_0 / 0.5) ** 2), rel=0.05)


def test_where_the_observation_is_coarser_and_nothing_is_kept_the_state_is_normal_around_the_guess() -> None:
    found, _, _ = moved(0.5, 0.15, Mixing(eta=1.0))
    assert float(found.mean()) == pytest.approx(0.3, abs=0.01)
    assert float(found.std()) == pytest.approx(0.15, rel=0.05)


def test_where_nothing_was_seen_the_state_keeps_a_share_of_its_noise() -> None:
    found, noise, fresh = moved(0.0, SIGMA, Mixing(eta=0.6))
    torch.testing.assert_close(found, 0.3 + SIGMA * (0.8 * noise + 0.6 * fresh))


def test_where_nothing_was_seen_the_noise_has_the_level_that_was_asked_for() -> None:
    found, _, _ = moved(0.0, SIGMA, Mixing(eta=0.6))
    assert float(found.mean()) == pytest.approx(0.3, abs=0.05)
    assert float(found.std()) == pytest.approx(SIGMA, rel=0.05)


def test_where_the_observation_is_coarser_its_own_error_is_the_noise_that_is_kept() -> None:
    found, _, fresh = moved(0.5, 0.15, Mixing(eta=0.6))
    error = (0.5 * 0.9 - 0.5 * 0.3) / SIGMA_0  # (U^T y - s x0) / sigma_0
    torch.testing.assert_close(found, 0.3 + 0.15 * (0.8 * error + 0.6 * fresh))


def test_trust_in_the_observation_weighs_it_against_the_guess() -> None:
    found, _, fresh = moved(0.5, SIGMA, Mixing(eta=0.7, eta_b=0.4))
    spare = math.sqrt(SIGMA**2 - (0.4 * SIGMA_0 / 0.5) ** 2)
    torch.testing.assert_close(found, 0.6 * 0.3 + 0.4 * 0.9 + spare * fresh)


@pytest.mark.parametrize("singular", [0.0, 0.5, 1.0])
def test_the_last_step_returns_the_guess_where_data_are_noisy(singular: float) -> None:
    found, _, _ = moved(singular, 0.0, Mixing())
    torch.testing.assert_close(found, torch.full_like(found, 0.3), atol=0, rtol=0)


def test_the_last_step_returns_the_observation_where_it_has_no_noise() -> None:
    found, _, _ = moved(0.5, 0.0, Mixing(), noise_std=0.0)
    torch.testing.assert_close(found, torch.full_like(found, 0.9), atol=0, rtol=0)


def test_the_last_step_of_data_without_noise_returns_the_guess_where_nothing_was_seen() -> None:
    found, _, _ = moved(0.0, 0.0, Mixing(), noise_std=0.0)
    torch.testing.assert_close(found, torch.full_like(found, 0.3), atol=0, rtol=0)


# Images


@every_operator
def test_a_chain_begins_around_the_observation_and_elsewhere_around_the_guess(operator: LinearOperator) -> None:
    observed, guess = normal(*operator.out_shape, seed=5), normal(*operator.in_shape, seed=6)
    tied = Tied(operator, observed, SIGMA_0, Mixing(eta=0.5))
    singulars, seen = coordinates_seen(operator, observed)
    finer = singulars * SIGMA >= SIGMA_0
    centre = torch.where(finer, seen, operator.vt(guess))  # type: ignore[attr-defined]
    begun = operator.vt(tied.begin(guess, SIGMA, torch.zeros_like(guess)))  # type: ignore[attr-defined]
    torch.testing.assert_close(begun, centre, atol=1e-6, rtol=1e-6)


@every_operator
def test_a_chain_begins_with_the_noise_that_the_observation_lacks(operator: LinearOperator) -> None:
    observed, guess = normal(*operator.out_shape, seed=5), normal(*operator.in_shape, seed=6)
    tied = Tied(operator, observed, SIGMA_0, Mixing(eta=0.5))
    singulars, _ = coordinates_seen(operator, observed)
    finer = singulars * SIGMA >= SIGMA_0
    variance = torch.where(finer, SIGMA**2 - (SIGMA_0 / singulars.clamp_min(1e-12)).square(), SIGMA**2)
    total, square = torch.zeros_like(variance), torch.zeros_like(variance)
    for draw in range(400):
        begun = operator.vt(tied.begin(guess, SIGMA, normal(*operator.in_shape, seed=100 + draw)))  # type: ignore[attr-defined]
        total, square = total + begun, square + begun.square()
    share = (square / 400 - (total / 400).square()) / variance
    # A variance of 400 draws is known to 7 %, and of hundreds of coordinates one strays by 3 to 4 times that.
    assert float(share.mean()) == pytest.approx(1, abs=0.02)
    assert float((share - 1).abs().max()) < 0.4


@pytest.mark.parametrize("operator", [Identity(SQUARE), Identity(OBLONG)], ids=str)
def test_a_chain_for_denoising_jumps_to_where_that_from_pure_noise_would_be(operator: LinearOperator) -> None:
    observed = normal(*operator.out_shape, seed=5)
    fresh = normal(*operator.in_shape, seed=8)
    begun = Tied(operator, observed, SIGMA_0, Mixing()).begin(torch.zeros_like(observed), SIGMA, fresh)
    torch.testing.assert_close(begun, observed + math.sqrt(SIGMA**2 - SIGMA_0**2) * fresh)


@every_operator
def test_the_end_of_a_chain_is_the_guess_where_data_are_noisy(operator: LinearOperator) -> None:
    observed, guess, state = (normal(*operator.out_shape), normal(*operator.in_shape), normal(*operator.in_shape))
    tied = Tied(operator, observed, SIGMA_0, Mixing())
    torch.testing.assert_close(tied.follow(state, guess, 0.05, 0.0, state), guess, atol=1e-9, rtol=0)


@every_operator
def test_the_end_of_a_chain_reproduces_data_without_noise(operator: LinearOperator) -> None:
    observed = operator.forward(normal(*operator.in_shape, seed=7))
    guess = normal(*operator.in_shape, seed=8)
    end = Tied(operator, observed, 0.0, Mixing()).follow(guess + 0.1, guess, 0.1, 0.0, guess)
    singulars, seen = coordinates_seen(operator, observed)
    found = operator.vt(end)  # type: ignore[attr-defined]
    expected = torch.where(singulars > 0, seen, operator.vt(guess))  # type: ignore[attr-defined]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    if bool((singulars[: operator.singulars().numel()] > 0).all()) or isinstance(operator, Mask):  # type: ignore[attr-defined]
        torch.testing.assert_close(operator.forward(end), observed, atol=1e-5, rtol=1e-5)


@every_operator
def test_where_all_noise_is_drawn_anew_the_last_state_is_forgotten(operator: LinearOperator) -> None:
    observed, guess, fresh = (normal(*operator.out_shape), normal(*operator.in_shape), normal(*operator.in_shape))
    states = normal(*operator.in_shape, seed=20), normal(*operator.in_shape, seed=21)
    tied, keeping = (Tied(operator, observed, SIGMA_0, Mixing(eta)) for eta in (1.0, 0.6))
    assert torch.equal(*(tied.follow(state, guess, 0.6, 0.5, fresh) for state in states))
    # The observation alone decides where all of it is finer than the state.
    lossless = bool((coordinates_seen(operator, observed)[0] * 0.5 >= SIGMA_0).all())
    assert torch.equal(*(keeping.follow(state, guess, 0.6, 0.5, fresh) for state in states)) == lossless


@pytest.mark.parametrize("noise_std", [0.0, SIGMA_0])
@pytest.mark.parametrize("after", [0.0, 1.5])
def test_what_an_operator_loses_gives_neither_infinity_nor_nan(noise_std: float, after: float) -> None:
    # Singular values of this blur fall to 1e-7 and less.
    operator = psf_blur((2, 24, 30), 6.0)
    assert float(operator.singulars().min()) < 1e-6
    observed, guess = normal(2, 24, 30), normal(2, 24, 30, seed=1)
    tied = Tied(operator, observed, noise_std, Mixing(eta=0.9))
    begun = tied.begin(guess, 1.5, guess)
    # No coordinate of the observation was magnified by more than the least singular value allows.
    assert float(begun.norm()) < float(observed.norm()) / LEAST_SINGULAR + 3 * float(guess.norm())
    assert tied.follow(begun, guess, 1.5, after, guess).isfinite().all()


def test_what_a_mask_hides_may_be_anything() -> None:
    operator = lossy_mask(OBLONG)
    observed, guess = normal(*OBLONG), normal(*OBLONG, seed=1)
    plain = Tied(operator, torch.where(operator.mask, observed, 0.0), SIGMA_0, Mixing(eta=0.9))
    wild = Tied(operator, torch.where(operator.mask, observed, torch.nan), SIGMA_0, Mixing(eta=0.9))
    assert torch.equal(*(tied.follow(tied.begin(guess, 1.0, guess), guess, 1.0, 0.5, guess) for tied in (plain, wild)))


def test_an_operator_without_decomposition_is_refused() -> None:
    with pytest.raises(OperatorError, match="no known decomposition"):
        Tied(Convolution(OBLONG, motion_psf(5, 45)), normal(*OBLONG), SIGMA_0, Mixing())


# What chains need of operators, on square and oblong images


@every_operator
def test_singular_vectors_rebuild_what_an_operator_does(operator: LinearOperator) -> None:
    x = normal(*operator.in_shape)
    singulars = operator.singulars().double()  # type: ignore[attr-defined]
    image = torch.zeros(math.prod(operator.out_shape), dtype=torch.float64)
    image[: len(singulars)] = singulars * operator.vt(x)[: len(singulars)]  # type: ignore[attr-defined]
    torch.testing.assert_close(operator.u(image), operator.forward(x), atol=1e-5, rtol=1e-5)  # type: ignore[attr-defined]


@every_operator
def test_singular_vectors_are_orthonormal(operator: LinearOperator) -> None:
    x, y = normal(*operator.in_shape), normal(*operator.out_shape, seed=1)
    torch.testing.assert_close(operator.v(operator.vt(x)), x, atol=1e-9, rtol=0)  # type: ignore[attr-defined]
    torch.testing.assert_close(operator.u(operator.ut(y)), y, atol=1e-9, rtol=0)  # type: ignore[attr-defined]
    assert float(operator.vt(x).norm()) == pytest.approx(float(x.norm()))  # type: ignore[attr-defined]
    assert float(operator.ut(y).norm()) == pytest.approx(float(y.norm()))  # type: ignore[attr-defined]


@every_operator
def test_what_comes_from_an_operator_comes_again_from_its_pseudo_inverse(operator: LinearOperator) -> None:
    y = operator.forward(normal(*operator.in_shape))
    torch.testing.assert_close(operator.forward(pseudo_inverse(operator, y)), y, atol=1e-3, rtol=1e-3)


# The schedule


def test_the_linear_schedule_has_the_published_noise_levels() -> None:
    bars = linear_bars(PUBLISHED_STEPS, PUBLISHED_BETAS)
    assert bars[-1] == pytest.approx(0.0060, abs=5e-5)
    # The state at index i has i + 1 steps behind it.
    assert bars[1001] == pytest.approx(0.265, abs=5e-4)
    assert sigma_of(bars[1001]) == pytest.approx(1.665, abs=2e-3)
    assert sigma_of(bars[1 + 142]) < 0.2 < sigma_of(bars[1 + 143])


def test_the_linear_schedule_is_that_of_diffusers() -> None:
    theirs = linear_scheduler(PUBLISHED_STEPS, PUBLISHED_BETAS).alphas_cumprod.double().numpy()
    # Theirs is a product of 2000 factors in single precision.
    np.testing.assert_allclose(linear_bars(PUBLISHED_STEPS, PUBLISHED_BETAS)[1:], theirs, rtol=1e-4)


@pytest.mark.parametrize("steps", [1, 7, 500])
@pytest.mark.parametrize("start", [0.05, 0.2, 1.665])
def test_the_part_below_a_noise_level_begins_there_and_ends_without_noise(start: float, steps: int) -> None:
    shares = below(linear_bars(1000, PUBLISHED_BETAS), start, steps)
    assert len(shares) == steps + 1
    assert sigma_of(shares[0]) == pytest.approx(start, rel=2e-3)
    assert shares[-1] == 1
    assert (np.diff(shares) > 0).all()


def test_the_part_below_more_noise_than_there_is_begins_at_the_noisy_end() -> None:
    bars = linear_bars(100, PUBLISHED_BETAS)
    assert below(bars, 1e3, 10)[0] == bars[-1]
