"""Every operator: adjoint, decomposition, shapes, boundaries."""

import numpy as np
import pytest
import torch

from hsi_app.errors import OperatorError
from hsi_app.physics.operator import Decomposable, dot_gap, pseudo_inverse
from hsi_app.physics.spatial import (
    Convolution,
    Crop,
    Identity,
    Mask,
    blur,
    blur_downsample,
    enlarge,
    gaussian_profile,
    gaussian_psf,
    motion_psf,
    repeat,
    thin,
)
from hsi_app.physics.spectral import BandMatrix, gaussian_response, tabled_response
from hsi_app.tiling import Window

SHAPE = (3, 12, 8)
DOT_LIMIT = {torch.float32: 1e-6, torch.float64: 1e-13}


def all_operators():
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(SHAPE, generator=generator) > 0.4
    lift = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    response = torch.rand(2, 3, generator=generator, dtype=torch.float64)
    down = blur_downsample(SHAPE, 2)
    return [
        Identity(SHAPE),
        Mask(mask),
        blur(SHAPE, 5, 1.1),
        down,
        blur_downsample(SHAPE, 4),
        Convolution(SHAPE, motion_psf(5, 45)),
        Convolution(SHAPE, gaussian_psf(5, 1.1, 0.5, 30)),
        thin(SHAPE, 2),
        repeat(SHAPE, 2),
        enlarge(SHAPE, 2),
        Crop(SHAPE, Window(2, 1, 7, 5)),
        BandMatrix(lift, 12, 8),
        BandMatrix(response, 12, 8),
        Mask(mask) @ BandMatrix(lift, 12, 8),
        down @ BandMatrix(lift, 12, 8),
        Mask(mask) + Identity(SHAPE),
        down.H,
    ]


def decomposable():
    return [operator for operator in all_operators() if isinstance(operator, Decomposable)]


def random(shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dtype", DOT_LIMIT)
@pytest.mark.parametrize("operator", all_operators(), ids=str)
def test_adjoint_satisfies_the_dot_product(operator, dtype):
    assert dot_gap(operator, dtype, seeds=range(5)) < DOT_LIMIT[dtype]


@pytest.mark.parametrize("operator", all_operators(), ids=str)
def test_adjoint_is_the_gradient_of_the_forward(operator):
    x = random(operator.in_shape).requires_grad_()
    y = random(operator.out_shape, 2)
    (gradient,) = torch.autograd.grad(operator.forward(x), x, y)
    torch.testing.assert_close(operator.adjoint(y), gradient, rtol=1e-10, atol=1e-12)


def test_ten_operators_know_their_decomposition():
    assert len(decomposable()) == 10


@pytest.mark.parametrize("operator", decomposable(), ids=str)
def test_decomposition_rebuilds_the_operator(operator):
    x = random(operator.in_shape)
    singulars = operator.singulars().double()
    coordinates = operator.vt(x)[: len(singulars)] * singulars
    size = int(np.prod(operator.out_shape))
    rebuilt = operator.u(torch.cat([coordinates, coordinates.new_zeros(size - len(singulars))]))
    torch.testing.assert_close(rebuilt, operator.forward(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("operator", decomposable(), ids=str)
def test_both_sides_are_orthogonal(operator):
    x, y = random(operator.in_shape), random(operator.out_shape)
    torch.testing.assert_close(operator.v(operator.vt(x)), x, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(operator.u(operator.ut(y)), y, rtol=1e-8, atol=1e-8)
    assert float(operator.vt(x).norm()) == pytest.approx(float(x.norm()))


@pytest.mark.parametrize("operator", decomposable(), ids=str)
def test_pseudo_inverse_reproduces_what_can_be_seen(operator):
    y = operator.forward(random(operator.in_shape))
    found = pseudo_inverse(operator, y)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(operator.forward(found), y, rtol=1e-3, atol=1e-3)


def test_prox_of_a_mask_is_the_minimiser():
    mask = torch.rand(SHAPE, generator=torch.Generator().manual_seed(3)) > 0.5
    operator, centre, weight = Mask(mask), random(SHAPE, 4), 0.7
    observed = operator.forward(random(SHAPE, 5))
    x = operator.prox(observed, centre, weight).requires_grad_()
    cost = (operator.forward(x) - observed).square().sum() + weight * (x - centre).square().sum()
    (gradient,) = torch.autograd.grad(cost, x)
    assert gradient.abs().max() < 1e-12


def test_norm_of_a_band_matrix_is_its_largest_singular_value():
    matrix = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert BandMatrix(matrix, 4, 5).norm(torch.Generator().manual_seed(0)) == pytest.approx(3.0, rel=1e-4)


def test_shapes_that_do_not_fit_are_refused_with_both_shapes():
    with pytest.raises(OperatorError, match=r"cannot compose.*\(3, 6, 4\).*\(3, 12, 8\)"):
        _ = Identity(SHAPE) @ blur_downsample(SHAPE, 2)
    with pytest.raises(OperatorError, match=r"\(1, 2, 3\)"):
        Identity(SHAPE).forward(torch.zeros(1, 2, 3))
    for make in (blur_downsample, thin):
        with pytest.raises(OperatorError, match="cannot be cut"):
            make((1, 9, 8), 2)
    with pytest.raises(OperatorError, match="ratio"):
        gaussian_psf(5, 1.1, 0.0, 30)


def test_coarse_pixels_are_block_centred():
    # A fine ramp, averaged over blocks of 4, reads at the blocks' centres away from the edges.
    ramp = torch.arange(32, dtype=torch.float64).expand(1, 32, 32)
    coarse = blur_downsample((1, 32, 32), 4).forward(ramp)
    expected = torch.arange(8, dtype=torch.float64) * 4 + 1.5
    torch.testing.assert_close(coarse[0, 4, 2:6], expected[2:6])


def test_blurs_keep_a_constant():
    for operator in (
        blur(SHAPE, 7, 1.4),
        blur_downsample(SHAPE, 4),
        thin(SHAPE, 4),
        repeat(SHAPE, 2),
        enlarge(SHAPE, 2),
        Convolution(SHAPE, motion_psf(5, 30)),
        Convolution(SHAPE, gaussian_psf(5, 1.1, 0.5, 30)),
    ):
        found = operator.forward(torch.full(SHAPE, 2.5, dtype=torch.float64))
        torch.testing.assert_close(found, torch.full_like(found, 2.5))


def test_default_psf_has_the_width_of_a_coarse_pixel():
    profile = gaussian_profile(31, 4 / 2.3548)
    half = (profile > profile.max() / 2).sum()
    assert 3 <= int(half) <= 5


def test_responses_add_to_one_and_sit_where_they_should():
    at = np.linspace(400, 1000, 61)
    response = gaussian_response(np.array([550.0, 850.0]), np.array([60.0, 100.0]), at)
    np.testing.assert_allclose(response.sum(axis=1), 1)
    np.testing.assert_allclose(response @ at, [550, 850], atol=2)
    table = tabled_response(at, response.T, at)
    np.testing.assert_allclose(table, response / response.sum(1, keepdims=True), atol=1e-12)


def test_a_response_outside_the_cube_is_refused():
    with pytest.raises(OperatorError, match="2200 nm"):
        gaussian_response(np.array([2200.0]), np.array([50.0]), np.linspace(400, 1000, 61))
