"""What was removed is told apart: grain, stripes, scene; bands are ranked; advice; scales; and the real scenes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, CubeError
from hsi_app.jobs import Job, Progress
from hsi_app.report.findings import examine, examine_pair
from hsi_app.report.sampling import sample_spectra
from hsi_app.runner import Result
from hsi_app.trust.assessment import assess
from hsi_app.trust.ranking import advise
from hsi_app.trust.structure import RemovedCheck, check_removed

BANDS, SIDE = 24, 96
MakeCube = Callable[..., Cube]


@pytest.fixture(scope="module")
def field() -> Cube:
    """A scene with edges: patches of four materials with a texture of their own; 24 bands, 96 x 96 px, no noise."""
    rng = np.random.default_rng(3)
    kinds = rng.integers(0, 4, (SIDE // 8, SIDE // 8)).repeat(8, 0).repeat(8, 1)
    x = np.linspace(0, 1, BANDS)
    spectra = np.stack([0.2 + 0.4 * x, 0.6 - 0.3 * x, 0.3 + 0.3 * np.sin(3 * x), 0.15 + 0.1 * x])
    texture = 1 + 0.05 * rng.normal(size=(SIDE, SIDE))
    values = (np.moveaxis(spectra[kinds], -1, 0) * texture).astype(np.float32)
    return Cube(values, BandAxis(BANDS, np.linspace(450, 2300, BANDS)), unit="reflectance", name="field")


def noisy(cube: Cube, noise: np.ndarray) -> Cube:
    return cube.replace((np.asarray(cube.values) + noise).astype(np.float32), "noise added")


def verdict(before: Cube, after: Cube) -> RemovedCheck:
    return check_removed(sample_spectra(before, after), ~before.axis.is_bad)


def box3(values: np.ndarray) -> np.ndarray:
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(values, (0, 3, 3)))


# ---- white noise is never taken for more ----------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1e-3, 0.02, 0.3])
def test_white_noise_removed_is_grain_at_any_level(field: Cube, level: float) -> None:
    found = verdict(noisy(field, np.random.default_rng(1).normal(0, level, field.shape)), field)
    assert set(found.verdicts) == {"grain"}
    assert found.is_sound()


@pytest.mark.parametrize(
    ("bands", "height", "width"), [(6, 12, 10), (3, 7, 7), (40, 24, 30), (2, 5, 60)], ids=lambda n: str(n)
)
def test_small_cubes_raise_no_more_false_alarms_than_one_in_a_hundred(
    make_cube: MakeCube, bands: int, height: int, width: int
) -> None:
    clean = make_cube(bands, height, width)
    alarms = 0
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(0, 0.05, clean.shape)
        alarms += set(verdict(noisy(clean, noise), clean).verdicts) != {"grain"}
    # 60 cubes at 1 %: more than three alarms have a probability of 0.3 %.
    assert alarms <= 3


def test_noise_that_grows_with_the_signal_is_grain(field: Cube) -> None:
    noise = np.random.default_rng(2).normal(0, 0.2, field.shape) * np.asarray(field.values)
    assert set(verdict(noisy(field, noise), field).verdicts) == {"grain"}


def test_impulses_and_heavy_tails_are_grain(field: Cube) -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 0.01, field.shape) + (rng.random(field.shape) < 0.02) * rng.normal(0, 1, field.shape)
    assert set(verdict(noisy(field, noise), field).verdicts) == {"grain"}


def test_dead_columns_that_were_rebuilt_are_no_lost_scene(field: Cube) -> None:
    values = np.asarray(field.values) + np.random.default_rng(5).normal(0, 0.02, field.shape)
    values[3, :, [10, 40, 41, 77]] = 0.0
    found = verdict(field.replace(values.astype(np.float32), "dead"), field)
    assert found.verdicts[3] != "scene structure"
    assert not found.bands("scene structure")


# ---- stripes and scene are found ------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [1, 2], ids=["rows", "columns"])
def test_stripes_removed_are_stripes(field: Cube, axis: int) -> None:
    rng = np.random.default_rng(6)
    shape = [BANDS, SIDE, SIDE]
    shape[3 - axis] = 1
    stripes = rng.normal(0, 0.03, shape) + rng.normal(0, 0.03, field.shape)
    found = verdict(noisy(field, stripes), field)
    assert set(found.verdicts) == {"stripes"}
    # Half of the removed power is stripes.
    assert np.median(found.stripes) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("level", [0.0, 0.03])
def test_an_over_smoothed_scene_is_scene_structure(field: Cube, level: float) -> None:
    before = noisy(field, np.random.default_rng(7).normal(0, level, field.shape)) if level else field
    after = before.replace(box3(np.asarray(before.values)), "blurred")
    found = verdict(before, after)
    assert len(found.bands("scene structure")) == BANDS
    assert not found.is_sound()
    assert "Scene structure was removed in 24 of 24 bands" in found.words()


def test_a_patch_taken_away_is_scene_structure_in_its_bands_only(field: Cube) -> None:
    values = np.asarray(field.values).copy()
    values[8:12, 20:44, 20:44] = values[8:12].mean(axis=(1, 2), keepdims=True)
    noise = np.random.default_rng(8).normal(0, 0.01, field.shape)
    found = verdict(noisy(field, noise), field.replace(values, "patched"))
    assert found.bands("scene structure") == [8, 9, 10, 11]


def test_structure_too_faint_to_see_does_not_count(field: Cube) -> None:
    values = np.asarray(field.values).astype(np.float64)
    after = field.replace((values - 1e-3 * (values - box3(values))).astype(np.float32), "hardly blurred")
    assert not verdict(field, after).bands("scene structure")


def test_lost_is_a_lower_bound_of_the_share_of_the_contrast(field: Cube) -> None:
    values = np.asarray(field.values).astype(np.float64)
    removed = values - box3(values)
    found = verdict(field, field.replace(box3(values).astype(np.float32), "blurred"))
    for band in (0, 12, 23):
        true = removed[band].std() / box3(values)[band].std()
        assert 0.25 * true < found.lost[band] < true


def test_an_untouched_cube_lost_nothing(field: Cube) -> None:
    found = verdict(field, field)
    assert set(found.verdicts) == {"nothing"}
    assert np.isnan(found.structure).all()
    assert found.words() == "Nothing was removed."


def test_bad_bands_are_not_judged(field: Cube) -> None:
    marked = replace(field, bands=field.axis.marked([0, 1, 2]))
    after = marked.replace(box3(np.asarray(field.values)), "blurred")
    found = verdict(marked, after)
    assert min(found.bands("scene structure")) == 3
    assert int(found.judged.sum()) == BANDS - 3


def test_gaps_do_not_look_like_structure(field: Cube) -> None:
    before = noisy(field, np.random.default_rng(9).normal(0, 0.03, field.shape))
    values = np.asarray(before.values).copy()
    values[:, 30:60, 10:50] = np.nan
    values[5, :, 70:] = np.nan
    assert set(verdict(before.replace(values, "gaps"), field).verdicts) == {"grain"}


@pytest.mark.filterwarnings("error")
def test_constant_and_empty_bands_are_looked_at_in_silence(field: Cube) -> None:
    values = np.asarray(field.values).copy()
    values[0], values[1] = 0.5, np.nan
    before = field.replace(values, "constant")
    found = assess(before, before.replace(box3(values), "blurred"))
    assert found.removed is not None
    assert found.removed.verdicts[0] == found.removed.verdicts[1] == "nothing"


# ---- noise ranking --------------------------------------------------------------------------------------------------


def test_bands_are_ranked_by_their_noise(field: Cube) -> None:
    levels = np.full(BANDS, 0.002)
    levels[[4, 9, 15]] = 0.2, 0.1, 0.05
    before = noisy(field, np.random.default_rng(10).normal(size=field.shape) * levels[:, None, None])
    ranking = assess(before, field).ranking
    assert ranking.order()[:3] == [4, 9, 15]
    np.testing.assert_allclose(ranking.noise[[4, 9, 15]], levels[[4, 9, 15]], rtol=0.1)
    # At least: the texture of the scene is in the detail of both.
    assert 10 < ranking.gain[4] < 20 * np.log10(0.2 / 0.002)
    assert ranking.gain[20] == pytest.approx(0, abs=1)


def test_a_band_made_worse_is_flagged(field: Cube) -> None:
    rng = np.random.default_rng(11)
    before = noisy(field, rng.normal(0, 0.02, field.shape))
    values = np.asarray(field.values).copy()
    values[7] += rng.normal(0, 0.1, (SIDE, SIDE))
    ranking = assess(before, field.replace(values, "worse")).ranking
    assert ranking.worse() == [7]
    assert 7 in ranking.still_noisy()
    assert "band 8 became worse" in ranking.words()


def test_one_cube_is_ranked_by_what_it_is(field: Cube) -> None:
    found = assess(noisy(field, np.random.default_rng(12).normal(0, 0.1, field.shape)))
    assert found.after is None
    assert not found.ranking.is_pair
    assert len(found.ranking.still_noisy()) == BANDS
    assert any("What would help: denoise" in line for line in found.lines())


def test_advice_names_bands_to_mark_and_to_look_at_again(field: Cube) -> None:
    rng = np.random.default_rng(13)
    values = noisy(field, rng.normal(0, 0.003, field.shape)).read().copy()
    values[5] = rng.normal(0, 0.01, (SIDE, SIDE))
    values[6, : SIDE - 10] = np.nan
    cube = replace(field.replace(values, "faults"), bands=field.axis.marked([12]))
    found = assess(cube).advice
    assert [b for b, _ in found.mark] == [5, 6]
    assert "missing" in dict(found.mark)[6]
    assert [b for b, _ in found.unmark] == [12]


def test_a_sound_cube_gets_no_advice(field: Cube) -> None:
    sample = np.asarray(field.values).reshape(BANDS, -1)
    assert advise(field.axis, np.full(BANDS, 45.0), sample).words() == ""


# ---- the assessment -------------------------------------------------------------------------------------------------


def test_cubes_in_other_stored_units_are_compared_in_physical_ones(field: Cube) -> None:
    before = noisy(field, np.random.default_rng(14).normal(0, 0.03, field.shape))
    counts = Cube(
        np.round((before.read() - 0.1) / 1e-4).astype(np.int32), field.axis, gain=1e-4, offset=0.1, nodata=-99999.0,
        unit="reflectance",
    )  # fmt: skip
    mixed, plain = assess(counts, field), assess(before, field)
    assert mixed.pair is not None
    assert plain.pair is not None
    np.testing.assert_allclose(mixed.pair.removed_std, plain.pair.removed_std, rtol=1e-3)
    np.testing.assert_allclose(mixed.ranking.gain, plain.ranking.gain, atol=0.05)
    assert mixed.removed is not None
    assert set(mixed.removed.verdicts) == {"grain"}


def test_cubes_on_other_grids_are_refused_in_one_line(field: Cube, make_cube: MakeCube) -> None:
    with pytest.raises(CubeError, match="one grid") as failure:
        assess(field, make_cube(BANDS, 10, 10))
    assert "\n" not in str(failure.value)


def test_an_assessment_can_be_stopped(field: Cube) -> None:
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        assess(field, field, job=job)


def test_progress_rises_to_one(field: Cube) -> None:
    seen: list[float] = []
    assess(field, field, job=Job(on_progress=lambda progress: seen.append(progress.fraction)))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_pair_is_examined_as_a_result_is(field: Cube) -> None:
    before = noisy(field, np.random.default_rng(15).normal(0, 0.03, field.shape))
    pair, result = examine_pair(before, field, ~field.axis.is_bad), examine(Result(field, before))
    assert pair.plain() == result.plain()


def test_a_large_scene_is_read_in_samples_only() -> None:
    class Counting:
        """Noise made on demand; counts the samples asked for."""

        shape, dtype, ndim = (80, 1500, 1500), np.dtype(np.float32), 3
        read = 0

        def __getitem__(self, key: tuple[slice, slice, slice]) -> np.ndarray:
            size = [len(range(n)[k]) if isinstance(k, slice) else 1 for k, n in zip(key, self.shape, strict=True)]
            Counting.read += int(np.prod(size))
            block = np.random.default_rng(0).normal(1, 0.1, size).astype(np.float32)
            return block if isinstance(key[0], slice) else block[0]

    cube = Cube(Counting(), name="large")
    assess(cube, Cube(Counting(), name="after"))
    assert Counting.read < 0.2 * 2 * np.prod(Counting.shape)


# ---- real scenes ----------------------------------------------------------------------------------------------------


@pytest.mark.slow  # a restoration each
@pytest.mark.parametrize("scene", ["sandiego_airport_b", "berlin_hymap_9m", "muufl_100"])
def test_real_scenes_restored_are_sound_and_blurred_are_not(real_data: Path, scene: str) -> None:
    from hsi_app.physics.degrade import degrade
    from hsi_app.runner import restore

    stored = np.load(real_data / "hsi" / f"{scene}.npz")["cube"]
    clean = Cube(np.ascontiguousarray(np.moveaxis(stored, -1, 0)).astype(np.float32), name=scene)
    observed = degrade(clean, "gauss-30", seed=0).observed
    restored = verdict(observed, restore(observed, "lowrank").cube)
    assert restored.is_sound()
    assert not verdict(observed, clean).bands("scene structure")
    blurred = verdict(observed, observed.replace(box3(observed.read()), "blurred"))
    # Noise of a tenth of the range hides the loss in the smoothest bands.
    assert len(blurred.bands("scene structure")) > 0.4 * clean.shape[0]
    sharp = verdict(clean, clean.replace(box3(clean.read()), "blurred"))
    assert len(sharp.bands("scene structure")) > 0.95 * clean.shape[0]


# ---- cubes at the edge of what can be judged ------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(1, 40, 40), (2, 30, 30), (3, 2, 2), (5, 1, 50), (5, 50, 1), (4, 3, 3), (1, 1, 1)])
@pytest.mark.parametrize("kind", ["noise", "same", "gap", "empty", "counts"])
def test_any_shape_is_judged_without_an_error_or_a_false_alarm(shape: tuple[int, int, int], kind: str) -> None:
    rng = np.random.default_rng(0)
    values, other = (rng.normal(1, 0.1, shape).astype(np.float32) for _ in range(2))
    if kind == "gap":
        values[:, : shape[1] // 2] = np.nan
    elif kind == "empty":
        values[:] = np.nan
    elif kind == "counts":
        values, other = (np.round(100 * v).astype(np.int16) for v in (values, other))
    before = Cube(values)
    for after in (before if kind == "same" else Cube(other), None):
        found = assess(before, after)
        assert found.lines()
        assert found.removed is None or not found.removed.bands("scene structure")


def test_limits_are_higher_for_small_cubes(make_cube: MakeCube) -> None:
    small, large = (verdict(make_cube(20, side, side, sigma=0.05), make_cube(20, side, side)) for side in (9, 120))
    assert (small.structure_limits > large.structure_limits).all()
    assert (small.stripe_limits > large.stripe_limits).all()


def test_noise_that_all_bands_share_is_a_stated_limit(field: Cube) -> None:
    # The page says so: what resampling spread over neighbouring bands looks like scene.
    shared = np.random.default_rng(16).normal(0, 0.05, (1, SIDE, SIDE)) * np.ones((BANDS, 1, 1))
    assert verdict(noisy(field, shared), field).bands("scene structure")


def test_added_detail_is_not_called_lost(field: Cube) -> None:
    values = np.asarray(field.values).astype(np.float64)
    blurred = field.replace(box3(values).astype(np.float32), "blurred")
    noisy_blur = noisy(blurred, np.random.default_rng(17).normal(0, 0.02, field.shape))
    found = verdict(noisy_blur, field)
    assert not found.bands("scene structure")
    assert np.nanmax(found.scene) == 0.0


def test_a_small_object_taken_away_is_told_by_its_pixels_only(field: Cube) -> None:
    # One pixel in 9216 is no structure of a band; that is what a target is for.
    values = np.asarray(field.values).copy()
    values[:, 40, 40] = 0.9
    noise = np.random.default_rng(18).normal(0, 0.01, field.shape)
    assert not verdict(noisy(field.replace(values, "object"), noise), field).bands("scene structure")


# ---- reading --------------------------------------------------------------------------------------------------------


def test_a_cube_given_twice_is_read_once(field: Cube) -> None:
    alone = sample_spectra(field, field)
    assert alone.after is alone.before
    assert not np.nan_to_num(alone.removed).any()


def test_a_rescaled_cube_reads_as_its_parts(field: Cube) -> None:
    from hsi_app.tiling import Window
    from hsi_app.trust.assessment import _in_scale_of

    values = np.asarray(field.values).copy()
    values[2, 3, 4] = np.nan
    gain = np.linspace(1, 2, BANDS)
    counts = replace(field.replace(field.read(), "counts"), gain=gain, offset=0.5)
    after = _in_scale_of(counts, field.replace(values, "after"))
    whole, seen = after.block()
    physical = whole * gain[:, None, None] + 0.5
    assert not seen[2, 3, 4]
    np.testing.assert_allclose(physical[seen], values[seen], atol=1e-6)
    window, bands = Window(2, 3, 5, 6), [7, 2, 20]
    part, part_seen = after.block(window, bands)
    np.testing.assert_array_equal(part, whole[bands, 2:7, 3:9])
    np.testing.assert_array_equal(part_seen, seen[bands, 2:7, 3:9])
    assert _in_scale_of(field, field) is field


def test_a_scale_of_zero_is_refused(field: Cube) -> None:
    with pytest.raises(CubeError, match="scale of 0"):
        assess(replace(field, gain=0.0), field)


@pytest.mark.parametrize("moment", [0.05, 0.3, 0.6])
def test_an_assessment_stops_wherever_it_is(field: Cube, moment: float) -> None:
    seen: list[float] = []

    def stop(progress: Progress) -> None:
        seen.append(progress.fraction)
        if progress.fraction >= moment:
            job.cancel()

    job = Job(on_progress=stop)
    with pytest.raises(Cancelled):
        assess(field, field, job=job)
    assert moment <= seen[-1] < min(moment + 0.2, 1.0)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_turned_scene_gets_the_same_verdicts(field: Cube, turn: int) -> None:
    before = noisy(field, np.random.default_rng(19).normal(0, 0.02, field.shape))
    after = box3(before.read())
    plain = verdict(before, before.replace(after, "blurred"))
    turned = [field.replace(np.ascontiguousarray(np.rot90(v, turn, (1, 2))), "turned") for v in (before.read(), after)]
    other = verdict(*turned)
    assert other.verdicts == plain.verdicts
    np.testing.assert_allclose(other.structure, plain.structure, atol=0.02)
    np.testing.assert_allclose(other.scene, plain.scene, atol=0.02)


def test_a_change_of_units_changes_no_verdict(field: Cube) -> None:
    before = noisy(field, np.random.default_rng(20).normal(0, 0.02, field.shape))
    after = box3(before.read())
    plain = verdict(before, before.replace(after, "blurred"))
    counts = [field.replace((1e4 * v + 500).astype(np.float32), "counts") for v in (before.read(), after)]
    other = verdict(*counts)
    assert other.verdicts == plain.verdicts
    np.testing.assert_allclose(other.lost, plain.lost, rtol=0.01)
