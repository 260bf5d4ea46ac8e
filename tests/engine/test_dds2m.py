"""DDS2M on small cubes: its generator, its schedule, what is held out, when it stops, and what it makes of gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from hsi_app import checkpoint as checkpoints
from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import ParameterError
from hsi_app.jobs import Job, Progress
from hsi_app.methods.dds2m.fit import LOOK_EVERY, Fitted, noise_levels
from hsi_app.methods.dds2m.generator import Generator
from hsi_app.methods.dds2m.held_out import GAP_FACTOR, LEAST_COPIED, Judge, _some_whole, choose_entries, copied_gaps
from hsi_app.methods.dds2m.prepare import _rebuild_lost, prepare
from hsi_app.methods.dds2m.run import _Setting
from hsi_app.methods.dds2m.spec import Dds2mParameters
from hsi_app.methods.dds2m.start import Lesson, estimate
from hsi_app.methods.lowrank.observation import whiten
from hsi_app.optics import optics_of
from hsi_app.physics.spatial import blur_downsample
from hsi_app.problem import Problem
from hsi_app.runner import Result, Settings, restore
from hsi_app.scene import Scene
from hsi_app.tiling import Window
from tests.conftest import mixed_scene
from tests.engine.reference_cube import photo_cube

TOO_SMALL = "too small to learn from"
Watch = Callable[[int, torch.Tensor, str], None]


def run(values: np.ndarray, task: str = "denoise", /, *, seed: int = 0, job: Job | None = None, **given: Any) -> Result:
    """Restored on one thread; the settings ``scale``, ``tile`` and ``keep_observed`` aside, ``given`` are options."""
    centres = given.pop("centres_nm", None)
    folder = given.pop("checkpoint", None)
    chosen = {name: given.pop(name) for name in ("scale", "tile", "keep_observed") if name in given}
    settings = Settings(task=task, device="cpu", seed=seed, **chosen)
    method = given.pop("method", "dds2m")
    return restore(Cube(values, BandAxis(len(values), centres)), method, given, settings, job=job, checkpoint=folder)


def problem_of(values: np.ndarray, task: str = "denoise", *, scale: int | None = None, **given: Any) -> Problem:
    """The whole scene as one tile, prepared."""
    scene = Scene(Cube(values, BandAxis(len(values))), np.arange(len(values)), torch.device("cpu"))
    observed, valid = scene.tensors()
    shape = (observed.shape[0], observed.shape[1], observed.shape[2])
    operator = optics_of(task, scale, None).operator(shape)
    shared = prepare(scene, Dds2mParameters.parse(given), task, Job())
    return Problem(observed, valid, task, None, Window(0, 0, *shape[1:]), operator, shared)


def setting_of(problem: Problem, seed: int = 0, **given: Any) -> _Setting:
    with torch.no_grad():
        return _Setting(problem, Dds2mParameters.parse(given), whiten(problem), Job(seed=seed))


def fitted(setting: _Setting, watch: Watch = lambda update, guess, text: None) -> Fitted:
    with torch.no_grad():
        return setting.run(0, Job(), watch)[0]


def noisy_of(clean: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    return (clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)).astype(np.float32)


def psnr(values: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean(-10 * np.log10(np.square(np.clip(values, 0, 1) - truth).mean((1, 2)))))


def smooth(bands: int = 12, height: int = 24, width: int = 32) -> np.ndarray:
    return mixed_scene(bands, height, width)[0]


def small(sigma: float = 0.03) -> np.ndarray:
    """A cube on which an update takes milliseconds."""
    return noisy_of(smooth(), sigma)


def with_dead_columns(values: np.ndarray, columns: tuple[int, ...]) -> np.ndarray:
    gappy = values.copy()
    gappy[:, :, list(columns)] = np.nan
    return gappy


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


def gappy_small() -> np.ndarray:
    return with_dead_columns(small(), (5, 6, 20))


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


# The judge


def judge_of_entries(seed: int = 0) -> tuple[Judge, torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    start, found = torch.randn(2, 4, 10, 12, generator=draws)
    entries = torch.rand(4, 10, 12, generator=draws) < 0.3
    truth = (0.4 * start + 0.6 * found)[entries] + 0.3 * torch.randn(int(entries.sum()), generator=draws)
    return Judge(truth, entries, None, None, 20), start, found


def test_the_share_of_the_fit_is_the_one_that_predicts_best() -> None:
    judge, start, found = judge_of_entries()
    shares = np.linspace(0, 1, 1001)
    errors = [float((judge.seen_of(start + s * (found - start)) - judge.truth).square().mean()) for s in shares]
    assert judge.share_of(start, found) == pytest.approx(shares[int(np.argmin(errors))], abs=1e-3)


def test_the_share_of_the_fit_stays_between_nothing_and_all() -> None:
    judge, start, found = judge_of_entries()
    assert judge.share_of(start, start - 5 * (found - start)) == 0
    assert judge.share_of(start, start + 0.1 * (found - start)) == 1
    assert judge.share_of(start, start) == 1


def test_a_judge_of_bands_sees_them_as_the_observation_does() -> None:
    cube = torch.randn(6, 8, 12, generator=torch.Generator().manual_seed(0))
    held = torch.tensor([True, False, False, True, False, False])
    operator = blur_downsample((6, 8, 12), 2)
    judge = Judge(torch.zeros(0), None, operator, held, 20)
    torch.testing.assert_close(judge.seen_of(cube), operator.forward(cube)[held].reshape(-1))


def slack_judge(slack: float) -> tuple[Judge, torch.Tensor, torch.Tensor]:
    """A judge of 200 whole pixels, what they truly are, and noise to be wrong by."""
    entries = torch.zeros(3, 20, 20, dtype=torch.bool)
    entries[:, :10] = True
    truth, noise = torch.randn(2, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    return Judge(truth[entries], entries, None, None, 20, slack), truth, noise


def test_a_better_cube_is_kept_and_a_worse_one_is_not() -> None:
    judge, truth, noise = slack_judge(0.0)
    looks = [judge.look(update, truth + wrong * noise) for update, wrong in ((0, 0.3), (10, 0.2), (20, 0.21))]
    assert looks == [True, True, False]
    assert judge.kept == 10


@pytest.mark.parametrize(("wrong", "is_kept"), [(0.21, True), (0.4, False)])
def test_with_slack_a_later_cube_is_kept_unless_it_is_surely_worse(wrong: float, is_kept: bool) -> None:
    judge, truth, noise = slack_judge(1.0)
    judge.look(0, truth + 0.2 * noise)
    # Wrong elsewhere: of 200 pixels no one could tell whether 5 % more error is more.
    assert judge.look(10, truth + wrong * noise.flip(1, 2)) == is_kept
    assert judge.kept == (10 if is_kept else 0)


def scripted(monkeypatch: pytest.MonkeyPatch, errors: Callable[[int], float]) -> None:
    """Let every judge find these errors, whatever it sees."""

    def look(self: Judge, update: int, cube: torch.Tensor) -> bool:
        is_best = not self.curve or errors(update) < min(value for _, value in self.curve)
        self.curve.append((update, errors(update)))
        self.kept = update if is_best else self.kept
        return is_best

    monkeypatch.setattr(Judge, "look", look)


def test_the_state_that_was_judged_best_is_kept_and_the_run_stops_when_patience_is_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"updates": 200, "patience": 20}
    setting = setting_of(problem_of(small()), **options)
    scripted(monkeypatch, lambda update: abs(update - 30) + 1)
    guesses: dict[int, torch.Tensor] = {}
    found = fitted(setting, lambda update, guess, text: guesses.update({update: guess.clone()}))
    assert found.updates == 50
    assert found.reason == "held-out samples were predicted no better for 20 updates"
    assert torch.equal(found.cube, guesses[30])
    assert not torch.equal(found.cube, guesses[50])


def test_a_run_that_is_judged_ever_better_goes_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = setting_of(problem_of(small()), updates=45, patience=20)
    scripted(monkeypatch, lambda update: 100 - update)
    guesses: list[torch.Tensor] = []
    found = fitted(setting, lambda update, guess, text: guesses.append(guess.clone()))
    assert found.updates == len(guesses) == 45
    assert found.reason == "the end of the schedule was reached"
    # The last state is judged too, though it is no multiple of the usual distance.
    assert torch.equal(found.cube, guesses[-1])


def test_a_run_that_never_stops_returns_its_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = setting_of(problem_of(small()), updates=40, patience=10, stop="never")
    scripted(monkeypatch, lambda update: update + 1.0)
    guesses: list[torch.Tensor] = []
    found = fitted(setting, lambda update, guess, text: guesses.append(guess.clone()))
    assert found.updates == 40
    assert torch.equal(found.cube, guesses[-1])


def test_a_fit_that_is_judged_worse_than_the_estimate_leaves_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"updates": 30, "patience": 10}
    setting = setting_of(problem_of(small()), **options)
    scripted(monkeypatch, lambda update: update + 1.0)
    assert torch.equal(fitted(setting).cube, setting.start)


def test_the_record_tells_how_a_run_went() -> None:
    trace = run(small(), updates=30, stop="never").record["trace"]
    assert trace["updates"] == trace["kept_update"] == 30
    assert [row[0] for row in trace["curve"]] == [0, 10, 20, 30]
    assert 0 <= trace["share_of_fit"] <= 1


# Averages


def test_without_average_the_guess_is_the_last_output() -> None:
    setting = setting_of(problem_of(small()), updates=3, average=0.0, stop="never")
    found = fitted(setting)
    torch.testing.assert_close(found.spread, torch.zeros_like(found.spread))


def test_the_average_begins_at_the_first_output_not_at_nothing() -> None:
    bare, averaged = (
        setting_of(problem_of(small()), updates=1, average=average, stop="never", start="cold")
        for average in (0.0, 0.98)
    )
    torch.testing.assert_close(fitted(averaged).cube, fitted(bare).cube)


# Gaps


def sampled(clean: np.ndarray, kept: float, seed: int = 3) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(clean.shape) < kept, clean, np.nan).astype(np.float32)


def test_samples_without_noise_come_back_nearly_where_they_need_not_be_kept() -> None:
    clean = photo_cube(40, 48, 20)
    gappy = sampled(clean, 0.3)
    values = run(gappy, "inpaint", keep_observed=False, updates=15).cube.read()
    wrong = np.square(values - clean)[np.isfinite(gappy)].mean()
    assert -10 * np.log10(wrong) > 60


def test_samples_come_back_exactly_where_they_are_kept() -> None:
    gappy = sampled(noisy_of(smooth(), 0.02), 0.5)
    values, seen = run(gappy, "inpaint", updates=12).cube.read(), np.isfinite(gappy)
    np.testing.assert_array_equal(values[seen], gappy[seen])
    assert np.isfinite(values).all()


def test_dead_columns_and_lost_samples_are_filled_no_worse_than_by_lowrank() -> None:
    clean = photo_cube(32, 40, 20)
    gappy = with_dead_columns(sampled(noisy_of(clean, 0.02), 0.2), (10, 11, 25, 32))
    found, rival = (
        psnr(run(gappy, "inpaint", method=method, keep_observed=False, **options).cube.read(), clean)
        for method, options in (("dds2m", {"updates": 40}), ("lowrank", {}))
    )
    # Held-out pixels decide, and they are few: they may err by a few hundredths of a decibel.
    assert found >= rival - 0.05


def test_pixels_beyond_reach_stay_missing() -> None:
    gappy = small()
    gappy = np.concatenate([gappy, np.full((12, 24, 60), np.nan, np.float32)], 2)
    values = run(gappy, "inpaint", updates=5).cube.read()
    assert np.isfinite(values[:, :, : 32 + 20]).all()
    assert np.isnan(values[:, :, -20:]).all()


LOST = [5, 6, 15]


def with_lost_bands() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    clean, centres = mixed_scene(24, 24, 32)
    values = noisy_of(clean, 0.01)
    values[LOST] = np.nan
    return values, clean, centres


def test_lost_bands_are_rebuilt_nearer_the_truth_than_their_mean() -> None:
    values, clean, centres = with_lost_bands()
    found = run(values, "inpaint", updates=12, centres_nm=centres)
    wrong = np.sqrt(np.square(found.cube.read() - clean).mean((1, 2)))
    flat = clean.std((1, 2))
    assert (wrong[LOST] < 0.5 * flat[LOST]).all()


def test_lost_bands_are_told_of() -> None:
    values, _, centres = with_lost_bands()
    notes = run(values, "inpaint", updates=5, centres_nm=centres).record["notes"]
    assert any(note.startswith("3 of 24 bands have no sample") for note in notes)


def test_lost_bands_are_interpolated_by_wavelength_not_by_number() -> None:
    rng = np.random.default_rng(0)
    places = np.array([400.0, 500.0, 530.0, 900.0, 950.0])
    lost = np.array([False, False, True, False, True])
    shared = {"mean": rng.random(5), "noise_std": rng.random(5) + 0.1, "basis": rng.normal(size=(5, 2))}
    before = {name: value.copy() for name, value in shared.items()}
    _rebuild_lost(shared, lost, places)
    loadings, were = (of["noise_std"][:, None] * of["basis"] for of in (shared, before))
    near = (530 - 500) / (900 - 500)
    np.testing.assert_allclose(loadings[2], (1 - near) * were[1] + near * were[3])
    np.testing.assert_allclose(shared["mean"][2], (1 - near) * before["mean"][1] + near * before["mean"][3])
    # Beyond the last one it goes on unchanged.
    np.testing.assert_allclose(loadings[4], were[3])
    for name in shared:
        np.testing.assert_array_equal(shared[name][~lost], before[name][~lost])


# Finer grids


def test_on_a_finer_grid_texture_is_sharper_than_interpolation_of_lowrank() -> None:
    clean = photo_cube(40, 48, 16)
    coarse = blur_downsample(clean.shape, 2).forward(torch.from_numpy(clean)).numpy()
    coarse = noisy_of(coarse, 0.005)
    found, rival = (
        psnr(run(coarse, "sr", method=method, scale=2, **options).cube.read(), clean)
        for method, options in (("dds2m", {"updates": 120}), ("lowrank", {}))
    )
    assert found > rival + 0.3


# Random numbers


@pytest.mark.parametrize(
    ("values", "task", "options"),
    [(small(), "denoise", {}), (gappy_small(), "inpaint", {}), (small(), "denoise", {"start": "cold"})],
    ids=["denoise", "inpaint", "cold"],
)
def test_the_seed_decides_the_bytes(values: np.ndarray, task: str, options: dict[str, Any]) -> None:
    options = {**options, "updates": 12, "stop": "never", "keep_observed": False if task == "inpaint" else None}
    first, again, other = (run(values, task, seed=seed, **options).cube.read().tobytes() for seed in (4, 4, 5))
    assert first == again
    assert first != other


def test_the_random_numbers_of_torch_are_left_alone() -> None:
    before = torch.get_rng_state()
    run(small(), updates=5)
    assert torch.equal(torch.get_rng_state(), before)


def test_two_runs_are_averaged_and_their_spread_is_that_of_two() -> None:
    values, options = small(), {"updates": 12, "stop": "never", "start": "cold"}
    one = run(values, **options).cube.read()
    two = run(values, samples=2, **options)
    apart = 2 * np.abs(one - two.cube.read())  # the second run lies as far on the other side of the mean
    assert apart.max() > 1e-3
    np.testing.assert_allclose(two.extras["spread"], apart / np.sqrt(2), atol=2e-5)


# Options


def test_other_units_give_the_same_result_in_those_units() -> None:
    options = {"updates": 8, "stop": "never"}
    plain = run(small(), **options).cube.read()
    # A power of two, so that rounding is the same too.
    np.testing.assert_array_equal(run(small() * 4096, **options).cube.read(), plain * 4096)


@pytest.mark.parametrize(
    ("text", "expected"), [("0.07", np.full(12, 0.07)), (",".join(f"{0.01 * (b + 1)}" for b in range(12)), None)]
)
def test_noise_that_is_known_is_used(text: str, expected: np.ndarray | None) -> None:
    expected = 0.01 * np.arange(1, 13) if expected is None else expected
    scene = Scene(Cube(small(), BandAxis(12)), np.arange(12), torch.device("cpu"))
    found = prepare(scene, Dds2mParameters(sigma=text), "denoise", Job())["noise_std"]
    np.testing.assert_allclose(found * scene.scaling.span, expected, rtol=1e-6)


@pytest.mark.parametrize("missing", [0.05, 0.6], ids=["few gaps", "many gaps"])
def test_noise_that_is_known_is_used_where_samples_are_missing(missing: float) -> None:
    scene = Scene(Cube(sampled(small(), 1 - missing), BandAxis(12)), np.arange(12), torch.device("cpu"))
    found = prepare(scene, Dds2mParameters(sigma="0.07"), "inpaint", Job())["noise_std"]
    np.testing.assert_allclose(found * scene.scaling.span, 0.07, rtol=1e-6)


@pytest.mark.parametrize("text", ["0.1,0.2", "-0.1", "0", "nan", "loud"])
def test_noise_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="sigma"):
        run(small(), sigma=text, updates=1)


def test_noise_of_each_band_counts_over_all_bands_of_the_cube() -> None:
    marked = Cube(small(), BandAxis(12).marked([3]))
    text = ",".join(f"{0.01 * (band + 1)}" for band in range(12))
    good = marked.axis.good
    scene = Scene(marked, good, torch.device("cpu"))
    found = prepare(scene, Dds2mParameters(sigma=text), "denoise", Job())["noise_std"]
    np.testing.assert_allclose(found * scene.scaling.span, 0.01 * (good + 1), rtol=1e-6)


@pytest.mark.parametrize("shape", [(7, 30), (3, 3), (30, 7)], ids=str)
def test_a_scene_too_small_to_learn_from_comes_back_as_the_estimate_from_all_samples(shape: tuple[int, int]) -> None:
    values = noisy_of(smooth(12, *shape), 0.03)
    result = run(values, updates=20)
    assert result.record["trace"] == {"stopped": TOO_SMALL}
    problem = problem_of(values)
    with torch.no_grad():
        data = whiten(problem)
        maps = estimate(problem, data, data.ok, 0, lambda fraction: None)
        whole = (data.basis @ maps.flatten(1)).reshape(problem.observed.shape) * data.std + data.mean
    scaling = Scene(Cube(values, BandAxis(12)), np.arange(12), torch.device("cpu")).scaling
    np.testing.assert_allclose(result.cube.read(), scaling.undo(whole.numpy()), atol=1e-5)


@pytest.mark.parametrize("rank", [1, 5])
def test_a_rank_that_is_given_is_that_of_the_result(rank: int) -> None:
    values = run(small(), rank=rank, updates=10, stop="never").cube.read()
    centred = values - values.mean((1, 2), keepdims=True)
    strength = np.linalg.svd(centred.reshape(12, -1).astype(np.float64), compute_uv=False)
    assert strength[rank] < 1e-4 * strength[0]


@pytest.mark.parametrize("inner", [1, 3])
def test_each_state_is_fitted_by_as_many_updates_as_asked(inner: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    plain = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: (steps.append(1), plain(self))[1])
    fitted(setting_of(problem_of(small()), updates=4, inner=inner))
    assert len(steps) == 4 * inner


# Interruptions


class PowerCut(Exception):
    """Nothing foresees this."""


def cut_at(update: int, run_number: int, samples: int) -> Callable[[Progress], None]:
    name = f"run {run_number} of {samples}, " if samples > 1 else ""

    def watch(progress: Progress) -> None:
        if progress.message.startswith(f"{name}update {update} of"):
            raise PowerCut

    return watch


@pytest.mark.parametrize(
    ("task", "options", "run_number"),
    [
        ("denoise", {}, 1),
        ("denoise", {"start": "cold", "spectra": "untrained", "eta": 0.9}, 1),
        ("inpaint", {}, 1),
        ("denoise", {"samples": 2}, 1),
        ("denoise", {"samples": 2}, 2),
    ],
    ids=["estimate", "cold", "gaps", "first of two", "second of two"],
)
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    task: str, options: dict[str, Any], run_number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = gappy_small() if task == "inpaint" else small()
    options = {**options, "updates": 14, "stop": "never"}
    whole = run(values, task, **options)
    monkeypatch.setattr(checkpoints, "INTERVAL_S", 0.0)
    broken = Job(seed=0, on_progress=cut_at(12, run_number, options.get("samples", 1)))
    with pytest.raises(PowerCut):
        run(values, task, job=broken, checkpoint=tmp_path / "state", **options)
    updates: list[str] = []
    job = Job(seed=0, on_progress=lambda progress: updates.append(progress.message))
    again = run(values, task, job=job, checkpoint=tmp_path / "state", **options)
    assert again.cube.read().tobytes() == whole.cube.read().tobytes()
    assert again.extras["spread"].tobytes() == whole.extras["spread"].tobytes()
    assert again.record["trace"] == whole.record["trace"]
    # What was done before is not done again.
    name = f"run {run_number} of 2, " if "samples" in options else ""
    done = [f"{name}update 11 of", *(["run 1 of 2"] if run_number == 2 else [])]
    assert any(message.startswith(f"{name}update 12 of") for message in updates)
    assert not any(message.startswith(tuple(done)) for message in updates)


@pytest.mark.parametrize("samples", [1, 2])
def test_keeping_states_changes_nothing(samples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"updates": 12, "samples": samples}
    plain = run(small(), **options).cube.read()
    monkeypatch.setattr(checkpoints, "INTERVAL_S", 0.0)
    kept = run(small(), checkpoint=tmp_path / "state", **options).cube.read()
    assert kept.tobytes() == plain.tobytes()


# Progress


@pytest.mark.parametrize(("task", "scale"), [("denoise", 1), ("sr", 2)])
def test_the_forming_cube_is_shown_in_three_bands_and_its_place(task: str, scale: int) -> None:
    steps: list[Progress] = []
    settings: dict[str, Any] = {"scale": 2} if task == "sr" else {}
    run(small(), task, job=Job(on_progress=steps.append), updates=20, **settings)
    shown = [step for step in steps if step.preview is not None]
    assert [step.message.split(",")[0] for step in shown] == ["update 10 of 20", "update 20 of 20"]
    for step in shown:
        assert step.preview is not None
        assert step.preview.shape == (3, 24 * scale, 32 * scale)
        assert step.place == Window(0, 0, 24, 32)


def test_progress_never_goes_back_and_ends_at_one() -> None:
    steps: list[Progress] = []
    run(small(), job=Job(on_progress=steps.append), updates=10, samples=2)
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_the_cube_that_is_shown_has_the_units_of_the_scene() -> None:
    values = small()
    steps: list[Progress] = []
    result = run(values, job=Job(on_progress=steps.append), updates=10, stop="never")
    shown = next(step.preview for step in steps if step.preview is not None)
    scaling = Scene(Cube(values, BandAxis(12)), np.arange(12), torch.device("cpu")).scaling
    bands = list(BandAxis(12).composite())
    # Shown is the fit, the result is what it adds to an estimate from all samples: 2 % more of them.
    assert np.abs(scaling.undo(shown) - result.cube.read()[bands]).mean() < 0.01
