"""Ridge regression by its normal equations and by brute force; the cleaning of spectra onto their signal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsi_app.fusion.regression import OUTLYING, STRENGTHS, Regression, fit_ridge, outlier_weights
from hsi_app.fusion.signal import Signal, find_signal


def problem(
    pixels: int = 200, features: int = 4, bands: int = 6, noise: float = 0.05, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features of very different size, targets that follow from them, and the map between."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((features, pixels)) * np.geomspace(0.1, 100, features)[:, None] + 3
    true = generator.standard_normal((bands, features)) / np.geomspace(0.1, 100, features)
    y = true @ x + 0.5 + noise * generator.standard_normal((bands, pixels))
    return torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(true)


def solved(x: np.ndarray, y: np.ndarray, weights: np.ndarray, penalty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and intercept that minimise sum w |y - C x - c|^2 + sum C^2 penalty, by the normal equations."""
    design = np.vstack([x, np.ones(x.shape[1])])
    gram = (design * weights) @ design.T + np.diag(np.append(penalty, 0.0))
    found = np.linalg.solve(gram, (design * weights) @ y.T).T
    return found[:, :-1], found[:, -1]


def penalty_of(x: np.ndarray, weights: np.ndarray, strength: float) -> np.ndarray:
    """In units of each feature's variance, over the sum of the weights."""
    mean = x @ weights / weights.sum()
    return strength * ((x - mean[:, None]) ** 2 @ weights)


def weights_for(pixels: int, kind: str) -> torch.Tensor:
    if kind == "even":
        return torch.ones(pixels, dtype=torch.float64)
    return torch.rand(pixels, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + 0.1


@pytest.mark.parametrize("strength", [1e-8, 1e-3, 0.3, 10.0])
@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_it_solves_the_normal_equations(strength: float, kind: str) -> None:
    x, y, _ = problem()
    weights = weights_for(200, kind)
    found = fit_ridge(x, y, weights=weights, strength=strength)
    given = x.numpy(), y.numpy(), weights.numpy()
    coefficients, intercept = solved(*given, penalty_of(given[0], given[2], strength))
    np.testing.assert_allclose(found.matrix.numpy(), coefficients, rtol=1e-6, atol=1e-9)
    new = torch.randn(4, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = coefficients @ new.numpy() + intercept[:, None]
    np.testing.assert_allclose(found.predict(new).numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("strength", [1e-6, 0.1, 3.0])
@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_leave_one_out_errors_are_those_of_refits(strength: float, kind: str) -> None:
    x, y, _ = problem(pixels=25, noise=0.3)
    weights = weights_for(25, kind)
    found = fit_ridge(x, y, weights=weights, strength=strength)
    values, targets, share = x.numpy(), y.numpy(), weights.numpy()
    penalty = penalty_of(values, share, strength)
    total = 0.0
    for pixel in range(25):
        kept = np.arange(25) != pixel
        coefficients, intercept = solved(values[:, kept], targets[:, kept], share[kept], penalty)
        left = targets[:, pixel] - coefficients @ values[:, pixel] - intercept
        total += share[pixel] * float(left @ left)
    assert found.error == pytest.approx(total / share.sum(), rel=1e-6)
    spread = targets - (targets @ share / share.sum())[:, None]
    assert found.explained == pytest.approx(1 - total / float(share @ np.square(spread).sum(0)), rel=1e-6)


def test_the_strength_whose_refits_err_least_is_chosen() -> None:
    x, y, _ = problem(pixels=30, noise=1.0)
    chosen = fit_ridge(x, y)
    errors = {strength: fit_ridge(x, y, strength=strength).error for strength in STRENGTHS}
    assert chosen.strength == min(errors, key=errors.__getitem__)
    assert chosen.error == pytest.approx(min(errors.values()))


def test_the_chosen_strength_grows_with_the_noise() -> None:
    chosen = []
    for noise in (0.0, 1.0, 30.0):
        # The mean over draws: of one draw the best is anywhere on a flat bottom.
        chosen.append(np.mean([np.log10(fit_ridge(*problem(60, noise=noise, seed=k)[:2]).strength) for k in range(8)]))
    assert chosen[0] == np.log10(STRENGTHS[0])
    assert chosen[0] < chosen[1] - 1
    assert chosen[1] < chosen[2] - 0.5


def test_noise_explains_nothing() -> None:
    x, y, _ = problem()
    assert fit_ridge(x, torch.randn(y.shape, generator=torch.Generator().manual_seed(0))).explained < 0.05
    assert fit_ridge(x, problem(noise=0.0)[1]).explained > 1 - 1e-9


def test_a_fiftieth_of_foreign_pixels_is_ignored() -> None:
    x, y, true = problem(pixels=1000, noise=0.02)
    spoilt = y.clone()
    # Clouds: much brighter, in pixels that are bright in the features too.
    foreign = torch.arange(0, 1000, 50)
    spoilt[:, foreign] = 20 + x[0, foreign] * 30
    scale = torch.from_numpy(np.geomspace(0.1, 100, 4))
    clean, plain, robust = (
        float(((fit_ridge(x, target, robust=is_robust).matrix - true) * scale).norm())
        for target, is_robust in ((y, False), (spoilt, False), (spoilt, True))
    )
    assert robust < 2 * clean
    assert plain > 20 * robust


def test_robust_or_not_is_the_same_where_all_is_well() -> None:
    x, y, _ = problem(noise=0.0)
    np.testing.assert_allclose(fit_ridge(x, y, robust=True).matrix, fit_ridge(x, y).matrix, rtol=1e-6)


def test_weights_fall_with_the_square_of_what_is_too_much() -> None:
    misfits = torch.tensor([1.0, 1.0, 1.0, 2.9, 2 * OUTLYING, 4 * OUTLYING, 1.0, 1.0])
    torch.testing.assert_close(outlier_weights(misfits), torch.tensor([1, 1, 1, 1, 1 / 4, 1 / 16, 1, 1]))
    torch.testing.assert_close(outlier_weights(torch.tensor([1.0, 4.0]), limit=2.0), torch.tensor([1.0, 0.25]))


def test_where_most_pixels_fit_exactly_all_count_alike() -> None:
    assert torch.equal(outlier_weights(torch.tensor([0.0, 0.0, 0.0, 5.0])), torch.ones(4))


def test_a_pixel_of_no_weight_is_not_there() -> None:
    x, y, _ = problem()
    weights = torch.ones(200, dtype=torch.float64)
    weights[150:] = 0
    y[:, 150:] = 1e3
    found, expected = fit_ridge(x, y, weights=weights, strength=0.1), fit_ridge(x[:, :150], y[:, :150], strength=0.1)
    torch.testing.assert_close(found.matrix, expected.matrix)
    assert found.error == pytest.approx(expected.error)


# Leverage


@pytest.mark.parametrize("strength", [None, 1e-6])
@pytest.mark.parametrize("level", [0.0, 1.0, 1e6])
def test_a_constant_feature_changes_nothing(strength: float | None, level: float) -> None:
    x, y, _ = problem()
    more = torch.cat([x, torch.full((1, 200), level, dtype=torch.float64)])
    found, expected = fit_ridge(more, y, strength=strength), fit_ridge(x, y, strength=strength)
    torch.testing.assert_close(found.matrix[:, :4], expected.matrix)
    # Nor does it where it changes later on.
    more[4] += 1
    torch.testing.assert_close(found.predict(more), expected.predict(x))


def test_a_feature_given_twice_is_used_once() -> None:
    x, y, _ = problem()
    found, expected = fit_ridge(torch.cat([x, x[:1]]), y), fit_ridge(x, y)
    torch.testing.assert_close(found.predict(torch.cat([x, x[:1]])), expected.predict(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("robust", [False, True])
def test_only_constants_leave_the_mean(robust: bool) -> None:
    _, y, _ = problem()
    found = fit_ridge(torch.full((3, 200), 0.7), y, robust=robust, weights=torch.ones(200))
    assert torch.isfinite(found.matrix).all()
    if not robust:
        torch.testing.assert_close(found.predict(torch.full((3, 1), 0.7, dtype=torch.float64))[:, 0], y.mean(1))


def test_constant_targets_are_explained() -> None:
    x, _, _ = problem()
    found = fit_ridge(x, torch.full((6, 200), 0.4), robust=True)
    assert found.explained == pytest.approx(1.0)
    torch.testing.assert_close(found.predict(x), torch.full((6, 200), 0.4, dtype=torch.float64))


def test_the_work_is_done_in_double_precision() -> None:
    x, y, _ = problem(noise=0.0)
    found = fit_ridge(x.float(), y.float(), strength=1e-8)
    assert found.matrix.dtype == found.centre.dtype == torch.float64
    assert found.predict(x.float()).dtype == torch.float32


def test_plain_arrays_bring_it_back() -> None:
    x, y, _ = problem()
    found = fit_ridge(x, y)
    shared = found.to_shared("ridge")
    assert all(isinstance(value, np.ndarray) and key.startswith("ridge.") for key, value in shared.items())
    again = Regression.from_shared(shared, "ridge", torch.device("cpu"))
    assert torch.equal(again.predict(x), found.predict(x))
    assert (again.strength, again.explained, again.error) == (found.strength, found.explained, found.error)


# Signal


def noisy_spectra(sigma: np.ndarray | float, bands: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, N) spectra of rank three without and with noise."""
    generator = np.random.default_rng(seed)
    pure = np.cumsum(generator.standard_normal((bands, 3)), 0) / 10
    clean = pure @ generator.standard_normal((3, 3000)) + 2
    level = np.broadcast_to(np.reshape(sigma, (-1, 1)), (bands, 1))
    noisy = clean + level * generator.standard_normal(clean.shape)
    return torch.from_numpy(clean), torch.from_numpy(noisy)


@pytest.mark.parametrize("sigma", [0.02, np.geomspace(0.01, 0.3, 40)], ids=["even", "uneven"])
def test_noise_outside_the_signal_is_removed(sigma: np.ndarray | float) -> None:
    clean, noisy = noisy_spectra(sigma)
    cleaned = find_signal(noisy.float()).clean(noisy)
    before, after = (noisy - clean).square().mean(), (cleaned - clean).square().mean()
    # Three of forty directions keep their noise: 3 / 40 of its power, and as much again for what is not known.
    assert float(after / before) < 2 * 3 / 40


@pytest.mark.parametrize("sigma", [0.0, 1e-3])
def test_the_signal_is_kept(sigma: float) -> None:
    clean, noisy = noisy_spectra(sigma)
    kept = find_signal(noisy.float()).clean(clean)
    spread = (clean - clean.mean(1, keepdim=True)).square().mean().sqrt()
    assert float((kept - clean).square().mean().sqrt()) < max(sigma, 2e-4 * float(spread))


def test_cleaning_twice_is_cleaning_once() -> None:
    _, noisy = noisy_spectra(0.05)
    signal = find_signal(noisy.float())
    once = signal.clean(noisy)
    torch.testing.assert_close(signal.clean(once), once, atol=1e-4, rtol=1e-4)


def test_images_keep_their_shape_and_kind_of_number() -> None:
    _, noisy = noisy_spectra(0.05)
    signal = find_signal(noisy.float())
    image = noisy.float().reshape(40, 50, 60)
    cleaned = signal.clean(image)
    assert cleaned.shape == image.shape
    assert cleaned.dtype == torch.float32
    torch.testing.assert_close(cleaned.reshape(40, -1), signal.clean(noisy.float()))


def test_plain_arrays_bring_the_signal_back() -> None:
    _, noisy = noisy_spectra(0.05)
    signal = find_signal(noisy.float())
    again = Signal.from_shared({**signal.to_shared(), "other": np.zeros(3)})
    assert torch.equal(again.clean(noisy), signal.clean(noisy))
