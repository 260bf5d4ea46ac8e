"""Corrections by the data: the exact minimisers, found again by brute force."""

from __future__ import annotations

import pytest
import torch

from hsi_app.diffusion.data_term import DataTerm, GappyTerm, PointwiseTerm, SeparableTerm, data_term
from hsi_app.diffusion.variation import edge_weights, variation_gradient
from hsi_app.physics.spatial import Separable, blur, blur_downsample

BANDS, RANK, HEIGHT, WIDTH = 7, 3, 8, 6


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def a_term(kind: str) -> DataTerm:
    lift = draw(BANDS, RANK, seed=1)
    if kind in ("complete", "gaps"):
        observed = draw(BANDS, HEIGHT, WIDTH, seed=2)
        seen = torch.ones(observed.shape, dtype=torch.bool) if kind == "complete" else draw(*observed.shape, seed=3) > 0
        return data_term(lift, torch.where(seen, observed, 0.0), seen, None)
    shape = (BANDS, HEIGHT, WIDTH)
    operator = blur(shape, 3, 0.8) if kind == "blur" else blur_downsample(shape, 2)
    observed = draw(*operator.out_shape, seed=2)
    seen = torch.ones(observed.shape, dtype=torch.bool)
    if kind == "coarse with gaps":
        seen = draw(*observed.shape, seed=3) > -0.5
    return data_term(lift, torch.where(seen, observed, 0.0), seen, operator)


KINDS = ["complete", "gaps", "blur", "coarse", "coarse with gaps"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variance", [0.01, 1.0, 30.0])
def test_the_correction_is_where_the_gradient_vanishes(kind: str, variance: float) -> None:
    term, guess = a_term(kind), draw(RANK, HEIGHT, WIDTH, seed=4)
    found = term.correct(guess, variance)
    slope = term.pull_back(term.residual(found)) + (found - guess) / variance
    scale = term.pull_back(term.residual(guess)).norm()
    # Conjugate gradients stop at a relative residual of 1e-3, the others are exact.
    assert float(slope.norm() / scale) < (5e-3 if kind == "coarse with gaps" else 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_pull_back_is_the_adjoint_of_the_residual(kind: str) -> None:
    term = a_term(kind)
    u, v = draw(RANK, HEIGHT, WIDTH, seed=5), draw(RANK, HEIGHT, WIDTH, seed=6)
    change = term.residual(u + v) - term.residual(u)
    left = (change * change).sum()
    assert float(left) == pytest.approx(float((v * term.pull_back(change)).sum()), rel=1e-6)


def test_a_further_term_moves_the_minimum() -> None:
    term, guess = a_term("coarse"), draw(RANK, HEIGHT, WIDTH, seed=4)
    extra = draw(RANK, HEIGHT, WIDTH, seed=8)
    found = term.correct(guess, 0.5, extra)
    slope = term.pull_back(term.residual(found)) + (found - guess) / 0.5 - extra
    assert float(slope.norm()) < 1e-5


def test_the_term_follows_from_what_was_observed() -> None:
    assert isinstance(a_term("gaps"), PointwiseTerm)
    assert isinstance(a_term("blur"), SeparableTerm)
    assert isinstance(a_term("coarse with gaps"), GappyTerm)
    assert isinstance(blur_downsample((BANDS, HEIGHT, WIDTH), 2), Separable)


def test_the_gradient_of_the_variation_is_that_of_autograd() -> None:
    cube = draw(4, 6, 5, seed=9)
    weights = edge_weights(cube)
    with torch.enable_grad():
        free = cube.clone().requires_grad_()
        total = (weights[0] * (free.diff(dim=1).square() + 1).sqrt()).sum()
        total = total + (weights[1] * (free.diff(dim=2).square() + 1).sqrt()).sum()
        total = total + (free.diff(dim=0).square() + 1).sqrt().sum()
        (expected,) = torch.autograd.grad(total, free)
    torch.testing.assert_close(variation_gradient(cube, weights), expected)


def test_edges_of_opposite_sign_in_two_bands_do_not_cancel() -> None:
    cube = torch.zeros(2, 6, 8)
    cube[0, :, 4:], cube[1, :, 4:] = 5.0, -5.0
    cube += 0.01 * draw(2, 6, 8, seed=1).float()
    across = edge_weights(cube)[1]
    assert float(across[:, 3].max()) < 0.1
    assert float(across[:, :3].median()) > 0.3


def test_level_ground_has_no_gradient() -> None:
    cube = torch.full((3, 4, 5), 2.0)
    assert float(variation_gradient(cube, edge_weights(cube)).abs().max()) == 0
