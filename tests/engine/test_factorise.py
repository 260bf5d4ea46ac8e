"""Factorisations: descent, what cancels, what the special cases are, what sparsity does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from materials import KNOWN
from scipy.stats import spearmanr

from hsi_app.errors import Cancelled
from hsi_app.jobs import Job
from hsi_app.unmixing.abundances import solve_abundances
from hsi_app.unmixing.factorise import (
    FLOOR,
    TAU,
    Factors,
    Objective,
    factorise,
    guidance_map,
    half_sparsity,
    refine_abundances,
)
from hsi_app.unmixing.vertices import nfindr


class Start:
    """A thinned Samson, divided by its norms, with N-FINDR's endmembers."""

    def __init__(self, real_data: Path, name: str = "Samson", step: int = 13) -> None:
        scene = KNOWN[name]()
        spectra = torch.from_numpy(scene.cube.read().reshape(scene.cube.shape[0], -1)[:, ::step]).double()
        self.y = spectra / spectra.norm(dim=0)
        self.truth = scene.abundances.reshape(scene.count, -1)[:, ::step]
        self.m = self.y[:, nfindr(self.y, scene.count, torch.arange(scene.count))]
        self.a = solve_abundances(self.y, self.m)
        self.rms = float(self.y.square().mean().sqrt())

    def run(self, objective: Objective, iterations: int = 200, **more: object) -> Factors:
        options = {"tolerance": 0.0, "freeze": 0, **more}
        return factorise(self.y, self.m, self.a, objective, Job(), iterations=iterations, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def start(real_data: Path) -> Start:
    return Start(real_data)


@pytest.mark.parametrize("loss", ["l21", "frobenius"])
@pytest.mark.parametrize("exponent", [1.0, 0.7, 0.5, None])
@pytest.mark.parametrize("firm", [0.0, 1.0])
@pytest.mark.parametrize("sparsity", [0.0, 0.003])
def test_the_objective_never_rises(
    start: Start, loss: str, exponent: float | None, firm: float, sparsity: float
) -> None:
    scaled = sparsity * len(start.y) * start.rms**2
    values = np.array(start.run(Objective(loss, scaled, exponent, 0.3, firm)).values)  # type: ignore[arg-type]
    assert len(values) == 200
    assert np.diff(values).max() <= 1e-9 * values[0]
    assert values[-1] < values[0]


def test_the_value_is_the_objective_written_out(start: Start) -> None:
    objective = Objective("l21", 0.01, 0.7, sum_weight=0.5)
    found = start.run(objective, 5)
    residual = start.y - found.endmembers @ found.abundances
    a = found.abundances
    smoothing = 1e-12 * float(start.y.square().sum(1).mean())
    # Below 1e-4 the power is continued by its tangent.
    held = a.clamp(min=1e-4)
    power = held**0.7 + 0.7 * held ** (-0.3) * (a - held)
    expected = (
        (residual.square().sum(1) + smoothing).sqrt().sum()
        + 0.5**2 / 2 * (1 - a.sum(0)).square().sum()
        + 0.01 * power.sum()
    )
    assert found.values[-1] == pytest.approx(float(expected), rel=1e-7)


def test_channel_weights_cancel_in_the_endmembers(start: Start) -> None:
    # M <- M (U Y A^T) / (U M A A^T) for any U: the engine leaves U out.
    u = torch.rand((len(start.y), 1), generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.01
    m, a, y = start.m, start.a.clamp(min=FLOOR), start.y
    with_u = m * (u * (y @ a.T)) / (u * (m @ (a @ a.T)))
    without = m * (y @ a.T) / (m @ (a @ a.T))
    torch.testing.assert_close(with_u, without, rtol=1e-12, atol=0)


def test_the_loss_reaches_the_endmembers_through_the_abundances_only(start: Start) -> None:
    # An overwhelming sum-to-one weight holds the abundances, so that U could act on the endmembers alone.
    robust, plain = (start.run(Objective(loss, sum_weight=1e8), 20) for loss in ("l21", "frobenius"))  # type: ignore[arg-type]
    torch.testing.assert_close(robust.abundances, start.a, atol=1e-7, rtol=0)
    # The weights differ eightfold here.
    assert float(robust.weights.max()) > 5 * float(robust.weights.min())
    assert float((robust.endmembers - start.m).abs().max()) > 0.01
    torch.testing.assert_close(robust.endmembers, plain.endmembers, rtol=1e-12, atol=0)


def test_without_penalties_it_is_the_factorisation_of_lee_and_seung(start: Start) -> None:
    m, a = start.m.clamp(min=FLOOR), start.a.clamp(min=FLOOR)
    for _ in range(30):
        a = a * (m.T @ start.y) / (m.T @ m @ a)
        m = m * (start.y @ a.T) / (m @ a @ a.T)
    found = start.run(Objective("frobenius"), 30)
    torch.testing.assert_close(found.abundances, a, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.endmembers, m, atol=1e-9, rtol=0)


def test_an_exponent_of_one_half_is_l12_nmf(start: Start) -> None:
    lam = 0.02
    m, a = start.m.clamp(min=FLOOR), start.a.clamp(min=FLOOR)
    for _ in range(30):
        # Below 1e-4 the slope of the square root is that at 1e-4.
        a = (a * (m.T @ start.y) / (m.T @ m @ a + lam / 2 * a.clamp(min=TAU) ** -0.5)).clamp(min=FLOOR)
        m = m * (start.y @ a.T) / (m @ a @ a.T)
    found = start.run(Objective("frobenius", lam, 0.5), 30)
    torch.testing.assert_close(found.abundances, a, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.endmembers, m, atol=1e-9, rtol=0)


def test_a_channel_of_noise_loses_its_weight(start: Start) -> None:
    noisy = start.y.clone()
    noisy[40] = torch.rand(noisy.shape[1], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = factorise(noisy, start.m, start.a, Objective("l21", renormalise=True), Job(), iterations=50)
    others = torch.cat([found.weights[:40], found.weights[41:]])
    assert float(found.weights[40]) < 0.1 * float(others.min())
    assert float(found.weights.mean()) == pytest.approx(1)
    plain = factorise(noisy, start.m, start.a, Objective("frobenius"), Job(), iterations=50)
    assert (plain.weights == 1).all()


def test_more_sparsity_leaves_fewer_materials_in_a_pixel(start: Start) -> None:
    entropies = []
    for strength in (0.0, 0.003, 0.03):
        lam = strength * len(start.y) * start.rms**2
        objective = Objective("l21", lam, None, 0.3, 15 * start.rms, renormalise=True)
        a = start.run(objective, 150, freeze=None).abundances
        a = (a / a.sum(0)).clamp(min=1e-12)
        entropies.append(float(-(a * a.log()).sum(0).mean()))
    assert entropies[0] > entropies[1] > entropies[2]


@pytest.mark.parametrize(("name", "least"), [("Samson", 0.80), ("Jasper198", 0.72)])
def test_the_guidance_map_follows_the_true_purity(real_data: Path, name: str, least: float) -> None:
    here = Start(real_data, name, 7)
    # From endmembers that are right, as the map can only be as good as they are.
    scene = KNOWN[name]()
    known = torch.from_numpy(scene.endmembers)
    known = known / known.norm(dim=0)
    lam = 0.003 * len(here.y) * here.rms**2
    objective = Objective("l21", lam, None, 0.3, 15 * here.rms, renormalise=True)
    found = factorise(here.y, known, solve_abundances(here.y, known), objective, Job(), iterations=100)
    h = found.guidance.numpy()
    assert h.min() >= 0
    assert h.max() <= 0.7 + 1e-12
    root = np.sqrt(len(here.truth))
    purity = (root - here.truth.sum(axis=0) / np.linalg.norm(here.truth, axis=0)) / (root - 1)
    assert spearmanr(h, purity).statistic >= least


def test_the_guidance_map_of_known_mixtures() -> None:
    a = torch.tensor([[1.0, 0.25, 0.5], [0.0, 0.25, 0.5], [0.0, 0.25, 0.0], [0.0, 0.25, 0.0]], dtype=torch.float64)
    expected = torch.tensor([1.0, 0.0, (2 - 2**0.5) / 1], dtype=torch.float64)
    torch.testing.assert_close(guidance_map(a, 1e-9), expected)
    assert float(guidance_map(a, 0.3).max()) == pytest.approx(0.7)
    assert (guidance_map(a[:1], 0.3) == 0).all()


def test_the_weight_of_l12_nmf_is_the_sparseness_of_the_channels() -> None:
    pure = torch.zeros((4, 9), dtype=torch.float64)
    pure[:, 2] = 1
    assert half_sparsity(pure) == pytest.approx(4 * (3 - 1) / 8**0.5 / 2)
    assert half_sparsity(torch.ones((4, 9), dtype=torch.float64)) == pytest.approx(0)
    assert half_sparsity(torch.ones((4, 1), dtype=torch.float64)) == 0


@pytest.mark.parametrize("objective", [Objective("frobenius", sum_weight=1.0), Objective("l21", 0.004, None, 0.3, 1.0)])
def test_tiles_end_where_the_factorisation_did(start: Start, objective: Objective) -> None:
    found = start.run(objective, 3000, freeze=500, tolerance=1e-12)
    joint = found.abundances / found.abundances.sum(0)
    first = solve_abundances(start.y, found.endmembers)
    a, _ = refine_abundances(start.y, found.endmembers, found.weights, first, objective, Job(), iterations=3000)
    assert float((a - joint).abs().mean()) < 0.01
    part, _ = refine_abundances(
        start.y[:, 30:50], found.endmembers, found.weights, first[:, 30:50], objective, Job(), iterations=3000
    )
    torch.testing.assert_close(part, a[:, 30:50], atol=1e-10, rtol=0)


def test_gaps_are_bands_left_out(start: Start) -> None:
    valid = torch.ones_like(start.y, dtype=torch.bool)
    valid[20:50, :7] = False
    objective = Objective("frobenius", sum_weight=1.0)
    ones = torch.ones(len(start.y), dtype=torch.float64)
    spoilt = torch.where(valid, start.y, 7.0)
    gappy, _ = refine_abundances(spoilt, start.m, ones, start.a, objective, Job(), valid=valid)
    rows = valid[:, 0]
    cut, _ = refine_abundances(start.y[rows], start.m[rows], ones[rows], start.a, objective, Job())
    torch.testing.assert_close(gappy[:, :7], cut[:, :7], atol=1e-12, rtol=0)


def test_it_settles_and_says_so(start: Start) -> None:
    found = start.run(Objective("frobenius"), 5000, tolerance=1e-3)
    assert found.iterations < 5000
    assert "settled" in found.stop
    assert start.run(Objective("frobenius"), 7).stop == "7 iterations"


def test_it_stops_when_asked(start: Start) -> None:
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        factorise(start.y, start.m, start.a, Objective(), job)
