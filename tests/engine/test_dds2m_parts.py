"""Parts of DDS2M on small cubes: its generator, its schedule, and what is held out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from hsi_app.methods.dds2m.fit import LOOK_EVERY, Fitted, noise_levels
from hsi_app.methods.dds2m.generator import Generator
from hsi_app.methods.dds2m.held_out import GAP_FACTOR, LEAST_COPIED, _some_whole, choose_entries, copied_gaps
from hsi_app.methods.dds2m.run import _Setting
from hsi_app.methods.dds2m.spec import Dds2mParameters
from hsi_app.methods.dds2m.start import Lesson
from hsi_app.tiling import Window
from tests.engine.fitted_scenes import (
    fitted,
    gappy_small,
    noisy_of,
    problem_of,
    setting_of,
    small,
)
from tests.engine.reference_cube import photo_cube

# The generator

GENERATORS = [
    {"generator": generator, "spectra": spectra, "start": start}
    for generator in ("lite", "full")
    for spectra in ("subspace", "fitted", "untrained")
    for start in ("estimate", "cold")
]
SIMPLEX = {"simplex": True, "start": "cold", "spectra": "untrained"}


def kind(options: dict[str, Any]) -> str:
    return " ".join(str(value) for value in options.values())


class Drawn:
    """A generator of rank 3 in 12 bands, and what it is shown."""

    bands, rank, height, width = 12, 3, 20, 28

    def __init__(self, options: dict[str, Any], seed: int = 0) -> None:
        draws = torch.Generator().manual_seed(seed)
        self.params = Dds2mParameters.parse(options)
        self.basis = torch.linalg.qr(torch.randn(self.bands, self.rank, generator=draws)).Q
        self.size = torch.tensor([2.0, 1.0, 0.3])
        self.floor = -torch.rand(self.bands, generator=draws) - 1
        self.generator = Generator(self.params, self.basis, self.size, self.floor, draws)
        maps = torch.randn(self.rank, self.height, self.width, generator=draws) * self.size[:, None, None]
        if self.params.start == "estimate":
            self.base: torch.Tensor | None = maps
            self.shown = torch.cat([maps / self.size[:, None, None], torch.zeros_like(maps[:1])])
        else:
            self.base, self.shown = None, self.generator.noise_images(self.height, self.width, draws)

    def cube(self) -> torch.Tensor:
        return self.generator(self.shown, self.base)


@pytest.mark.parametrize("options", [*GENERATORS, SIMPLEX], ids=kind)
def test_a_drawn_cube_has_no_higher_rank_than_there_are_maps(options: dict[str, Any]) -> None:
    drawn = Drawn(options)
    with torch.no_grad():
        cube = drawn.cube()
    assert cube.shape == (drawn.bands, drawn.height, drawn.width)
    strength = torch.linalg.svdvals(cube.flatten(1).double())
    # float32: what is beyond the rank is rounding.
    assert float(strength[drawn.rank]) < 1e-5 * float(strength[0])


@pytest.mark.parametrize("options", [*GENERATORS, SIMPLEX], ids=kind)
def test_every_parameter_of_the_generator_gets_a_finite_gradient(options: dict[str, Any]) -> None:
    drawn = Drawn(options)
    drawn.cube().square().sum().backward()
    assert list(drawn.generator.parameters())
    for name, parameter in drawn.generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("generator", ["lite", "full"])
def test_fitted_spectra_begin_at_the_subspace(generator: str) -> None:
    held, fitted_ = (
        Drawn({"generator": generator, "start": "cold", "spectra": spectra}) for spectra in ("subspace", "fitted")
    )
    with torch.no_grad():
        # Added and taken away again: the last bits may differ.
        torch.testing.assert_close(fitted_.cube(), held.cube(), atol=1e-5, rtol=1e-5)


def test_with_an_estimate_the_network_begins_near_it() -> None:
    drawn = Drawn({})
    assert drawn.base is not None
    with torch.no_grad():
        change = drawn.cube() - (drawn.basis @ drawn.base.flatten(1)).reshape(drawn.bands, drawn.height, drawn.width)
    assert 0 < float(change.std()) < 0.01 * float(drawn.size.norm())


def test_the_network_changes_nothing_where_it_is_told_what_is_known() -> None:
    drawn = Drawn({})
    assert drawn.base is not None
    drawn.shown[-1, :, 10:] = 1
    with torch.no_grad():
        cube = drawn.cube()
    estimate_ = (drawn.basis @ drawn.base.flatten(1)).reshape(cube.shape)
    assert torch.equal(cube[:, :, 10:], estimate_[:, :, 10:])
    assert not torch.equal(cube[:, :, :10], estimate_[:, :, :10])


@pytest.mark.parametrize("start", ["cold", "estimate"])
def test_maps_of_a_simplex_are_shares_that_add_to_one(start: str) -> None:
    drawn = Drawn({**SIMPLEX, "start": start})
    with torch.no_grad():
        cube, spectra = drawn.cube().double(), drawn.generator._spectra().double()
    # Spectra of an untrained network lie near each other: more unknowns than rounding could bear without "add to one".
    ones = torch.ones(1, drawn.rank, dtype=torch.float64)
    system = torch.cat([spectra, ones])
    wanted = torch.cat([cube.flatten(1), torch.ones(1, cube[0].numel(), dtype=torch.float64)])
    maps = torch.linalg.lstsq(system, wanted).solution
    torch.testing.assert_close(system @ maps, wanted, atol=1e-5, rtol=0)
    assert float(maps.min()) > -1e-3


def test_spectra_of_a_simplex_stay_above_zero_reflectance() -> None:
    drawn = Drawn(SIMPLEX)
    with torch.no_grad():
        for weight in drawn.generator.spectra.parameters():  # type: ignore[union-attr]
            weight.mul_(30)  # far from where they began
        assert (drawn.generator._spectra() >= drawn.floor[:, None]).all()


def test_untrained_spectra_owe_nothing_to_the_subspace() -> None:
    options = {"start": "cold", "spectra": "untrained"}
    drawn, other = Drawn(options), Drawn(options)
    other.generator.basis.mul_(-3)
    with torch.no_grad():
        assert torch.equal(drawn.cube(), other.cube())


# The schedule


def test_a_cold_start_begins_in_the_middle_of_the_published_schedule() -> None:
    levels = noise_levels(Dds2mParameters(start="cold", steps=2000, updates=1000), 0.1)
    # arXiv 2303.06682 with 2000 steps: alpha_bar .265, sigma 1.665
    assert levels[0] == pytest.approx(1.665, rel=5e-3)
    assert len(levels) == 1001
    assert levels[-1] == 0
    assert (np.diff(levels) < 0).all()


def test_as_many_updates_as_steps_below_the_start_follow_the_published_schedule_step_by_step() -> None:
    levels = noise_levels(Dds2mParameters(start="cold", steps=200, updates=100), 0.1)
    bars = np.cumprod(1 - np.linspace(1e-4, 5e-3, 200))[:100][::-1]
    np.testing.assert_allclose(levels[:-1], np.sqrt((1 - bars) / bars), rtol=1e-9)


@pytest.mark.parametrize(("noise_std", "expected"), [(0.3, 0.6), (0.001, 0.05)])
def test_a_start_from_the_estimate_begins_with_twice_the_noise_of_the_data(noise_std: float, expected: float) -> None:
    assert noise_levels(Dds2mParameters(), noise_std)[0] == pytest.approx(expected, rel=0.01)


def test_a_level_that_is_given_is_begun_with() -> None:
    assert noise_levels(Dds2mParameters(level=0.4), 0.01)[0] == pytest.approx(0.4, rel=0.01)


@pytest.fixture(scope="module")
def cold() -> tuple[_Setting, Fitted, np.ndarray]:
    """A cold start on a textured cube, and the noise levels of its states."""
    values = noisy_of(photo_cube(40, 48, 20), 0.1)
    options = {"start": "cold", "stop": "never", "updates": 80}
    setting = setting_of(problem_of(values, **options), **options)
    return setting, fitted(setting), noise_levels(setting.params, 1 / setting.half)


def settled(cold: tuple[_Setting, Fitted, np.ndarray]) -> Iterator[list[float]]:
    """Rows of the curve once the network has fitted the spectra, and before the noise of the data is all that is left.

    There the network begins to fit that noise, which is the same in all states.
    """
    setting, found, levels = cold
    rows = [row for row in found.curve if row[0] >= 30 and levels[int(row[0]) - 1] > 2 / setting.half]
    assert len(rows) >= 2
    yield from rows


def test_the_loss_of_a_cold_start_tends_to_what_noise_leaves(cold: tuple[_Setting, Fitted, np.ndarray]) -> None:
    # One state of 38,400 samples fixes its mean square to 0.7 %.
    assert all(0.95 < row[2] < 1.05 for row in settled(cold))


def test_what_a_cold_start_leaves_is_white(cold: tuple[_Setting, Fitted, np.ndarray]) -> None:
    assert all(abs(row[3]) < 0.02 and abs(row[4] - 1) < 0.05 for row in settled(cold))


def test_a_cold_start_learns_what_is_held_out(cold: tuple[_Setting, Fitted, np.ndarray]) -> None:
    errors = [row[1] for row in cold[1].curve]
    assert [row[0] for row in cold[1].curve] == list(range(LOOK_EVERY, 81, LOOK_EVERY))
    assert errors == sorted(errors, reverse=True)


# What is held out


@pytest.mark.parametrize(
    ("values", "task", "options"),
    [
        (small(), "denoise", {}),
        (small(), "denoise", {"start": "cold", "spectra": "untrained"}),
        (gappy_small(), "inpaint", {"eta": 0.9}),
    ],
    ids=["samples", "samples, cold", "whole pixels"],
)
def test_what_is_held_out_does_not_reach_the_fit(values: np.ndarray, task: str, options: dict[str, Any]) -> None:
    options = {**options, "updates": 6, "stop": "never"}
    problem = problem_of(values, task, **options)
    plain = setting_of(problem, **options)
    assert plain.entries is not None
    assert bool(plain.entries.any())
    wild = setting_of(replace(problem, observed=torch.where(plain.entries, 50.0, problem.observed)), **options)
    assert torch.equal(wild.entries, plain.entries)
    assert torch.equal(fitted(wild).cube, fitted(plain).cube)
    # They are given back to the estimate that the result begins from.
    assert not torch.equal(wild.whole, plain.whole)


def test_bands_that_are_held_out_on_a_finer_grid_do_not_reach_a_cold_fit() -> None:
    options = {"updates": 4, "stop": "never", "start": "cold", "hold_out": 0.2, "spectra": "untrained", "rank": 3}
    problem = problem_of(small(), "sr", scale=2, **options)
    plain = setting_of(problem, **options)
    held = torch.ones(len(problem.observed), dtype=torch.bool)
    held[plain.kept] = False
    assert 0 < int(held.sum()) <= 3
    wild = setting_of(replace(problem, observed=torch.where(held[:, None, None], 50.0, problem.observed)), **options)
    assert torch.equal(fitted(wild).cube, fitted(plain).cube)


def choice(
    ok: torch.Tensor, share: float = 0.02, seed: int = 0, row: int = 0, col: int = 0, task: str = "inpaint"
) -> torch.Tensor:
    problem = SimpleNamespace(place=Window(row, col, *ok.shape[1:]), task=task)
    return choose_entries(problem, SimpleNamespace(ok=ok), share, seed)  # type: ignore[arg-type]


def test_of_a_scene_without_gaps_the_asked_share_is_held_out() -> None:
    ok = torch.ones(20, 64, 64, dtype=torch.bool)
    # 81,920 draws: 0.02 +- 0.0005
    assert float(choice(ok).float().mean()) == pytest.approx(0.02, abs=0.002)


def test_only_observed_samples_are_held_out() -> None:
    ok = torch.rand(20, 40, 48, generator=torch.Generator().manual_seed(0)) < 0.3
    assert not bool((choice(ok, 0.1) & ~ok).any())


def test_samples_are_held_out_by_their_place_in_the_scene() -> None:
    whole = choice(torch.ones(5, 96, 100, dtype=torch.bool), 0.1)
    part = choice(torch.ones(5, 40, 50, dtype=torch.bool), 0.1, row=48, col=24)
    assert torch.equal(part, whole[:, 48:88, 24:74])


def test_other_seeds_hold_other_samples_out() -> None:
    ok = torch.ones(5, 32, 32, dtype=torch.bool)
    assert not torch.equal(choice(ok), choice(ok, seed=1))


def gaps_of(kind: str) -> torch.Tensor:
    gaps = torch.zeros(48, 60, dtype=torch.bool)
    if kind == "columns":
        gaps[:, [9, 10, 33, 51]] = True
    elif kind == "holes":
        for row, col, side in ((4, 6, 5), (30, 12, 3), (20, 44, 7)):
            gaps[row : row + side, col : col + side] = True
    else:
        gaps[:] = torch.rand(48, 60, generator=torch.Generator().manual_seed(1)) < 0.1
    return gaps


GAPS = ["columns", "holes", "pixels"]


@pytest.mark.parametrize("kind", GAPS)
def test_copies_of_gaps_lie_on_observed_pixels(kind: str) -> None:
    gaps, draws = gaps_of(kind), torch.Generator().manual_seed(0)
    for _ in range(20):
        copied = copied_gaps(gaps, ~gaps, draws)
        assert 0 < int(copied.sum()) <= int(gaps.sum())
        assert not bool((copied & gaps).any())


@pytest.mark.parametrize("kind", ["columns", "holes"])
def test_what_of_a_copy_would_make_gaps_wider_is_left_out_where_enough_remains(kind: str) -> None:
    gaps, draws = gaps_of(kind), torch.Generator().manual_seed(0)
    wider = torch.from_numpy(ndimage.binary_dilation(gaps.numpy(), np.ones((3, 3))))
    parts = []
    for way in product(range(0, 48, 5), range(60)):
        moved = torch.roll(gaps, way, (0, 1))
        parts.append(float((moved & ~wider).sum()) / float(gaps.sum()))
        if parts[-1] > LEAST_COPIED:
            assert torch.equal(copied_gaps(gaps, ~gaps, draws, first=way), moved & ~wider)
    assert any(LEAST_COPIED < part < 1 for part in parts)


def test_a_copy_that_is_tried_first_is_the_pattern_moved_that_way() -> None:
    gaps = torch.zeros(20, 30, dtype=torch.bool)
    gaps[3:6, 4:9] = True
    copied = copied_gaps(gaps, ~gaps, torch.Generator().manual_seed(0), first=(8, 11))
    assert torch.equal(copied, torch.roll(gaps, (8, 11), (0, 1)))


@pytest.mark.parametrize("kind", GAPS)
@pytest.mark.parametrize("pixels", [1, 40, 150])
def test_gaps_are_taken_whole_and_no_more_than_asked(kind: str, pixels: int) -> None:
    gaps = gaps_of(kind)
    pieces, count = ndimage.label(gaps.numpy(), np.ones((3, 3)))
    sizes = np.bincount(pieces.reshape(-1))[1:]
    taken = _some_whole(gaps, pixels, 0).numpy()
    whole = [bool(taken[pieces == piece].all()) for piece in range(1, count + 1)]
    assert taken.sum() == sizes[whole].sum() > 0
    # One there must be, though it may be too large: then it is the smallest.
    assert taken.sum() <= max(pixels, sizes.min())


@pytest.mark.parametrize("kind", GAPS)
def test_where_whole_pixels_are_missing_whole_pixels_are_held_out(kind: str) -> None:
    gaps = gaps_of(kind)
    ok = ~gaps.expand(6, -1, -1)
    entries = choice(ok, 0.05)
    held = entries.any(0)
    assert torch.equal(entries, held.expand(6, -1, -1))
    assert not bool((held & gaps).any())
    smallest = 2 * 48 if kind == "columns" else 49
    assert 0 < int(held.sum()) <= max(GAP_FACTOR * 0.05 * int((~gaps).sum()), smallest)


def test_where_gaps_stay_single_samples_are_held_out() -> None:
    ok = ~gaps_of("columns").expand(6, -1, -1)
    entries = choice(ok, 0.05, task="denoise")
    assert not bool((entries & ~ok).any())
    assert not torch.equal(entries, entries.any(0).expand(6, -1, -1))
    assert float(entries[ok].float().mean()) == pytest.approx(0.05, abs=0.01)


def test_a_lesson_hides_seen_pixels_only_and_shows_what_is_known() -> None:
    gaps = gaps_of("holes")
    maps = torch.randn(2, 48, 60, generator=torch.Generator().manual_seed(0))
    lesson = Lesson(maps, torch.ones(2, 1, 1), ~gaps)
    hidden = lesson.hide(torch.Generator().manual_seed(1))
    assert hidden is not None
    shown, base = lesson.shown(hidden)
    known = ~gaps & ~hidden
    assert torch.equal(shown[-1], known.float())
    assert torch.equal(base[:, known], maps[:, known])
    # In hidden pixels the network is shown what their neighbours say, not what they hold.
    other = Lesson(torch.where(hidden, 9.0, maps), torch.ones(2, 1, 1), ~gaps).shown(hidden)
    assert torch.equal(other[0], shown)


def test_without_gaps_there_is_nothing_to_hide() -> None:
    maps = torch.randn(2, 12, 12, generator=torch.Generator().manual_seed(0))
    lesson = Lesson(maps, torch.ones(2, 1, 1), torch.ones(12, 12, dtype=torch.bool))
    assert lesson.hide(torch.Generator()) is None
    assert torch.equal(lesson.shown(None)[0][-1], torch.zeros(12, 12))
