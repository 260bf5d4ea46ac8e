"""DDS2M on small cubes: when it stops, what it makes of gaps, and how it goes on after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hsi_app import checkpoint as checkpoints
from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import ParameterError
from hsi_app.jobs import Job, Progress
from hsi_app.methods.dds2m.held_out import Judge
from hsi_app.methods.dds2m.prepare import _rebuild_lost, prepare
from hsi_app.methods.dds2m.spec import Dds2mParameters
from hsi_app.methods.dds2m.start import estimate
from hsi_app.methods.lowrank.observation import whiten
from hsi_app.physics.spatial import blur_downsample
from hsi_app.scene import Scene
from hsi_app.tiling import Window
from tests.conftest import mixed_scene
from tests.engine.fitted_scenes import (
    fitted,
    gappy_small,
    noisy_of,
    problem_of,
    run,
    setting_of,
    small,
    smooth,
    with_dead_columns,
)
from tests.engine.reference_cube import photo_cube, psnr

TOO_SMALL = "too small to learn from"

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
