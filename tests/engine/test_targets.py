"""Targets: found where they are, kept or lost as they were, whatever scale, gaps and chunks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, CubeError, FormatError, ParameterError
from hsi_app.io import save_cube, write_library
from hsi_app.jobs import Job
from hsi_app.library import SpectralLibrary
from hsi_app.trust import targets
from hsi_app.trust.choosing import read_target
from hsi_app.trust.targets import Target, TargetCheck, check_target

BANDS, SIDE, SIGMA = 30, 60, 0.01
CENTRES = np.linspace(450, 2300, BANDS)
GAS = 0.3 - 0.25 * np.exp(-(((CENTRES - 1500) / 60) ** 2))
PLACES = np.array([(10, 12), (10, 13), (25, 40), (33, 8), (48, 50), (5, 55)])
MakeCube = Callable[..., Cube]


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """Two smooth materials mixed; the six places hold 40 % of a third with an absorption at 1500 nm."""
    down, right = np.meshgrid(np.linspace(0, 1, SIDE), np.linspace(0, 1, SIDE), indexing="ij")
    share = 0.5 + 0.3 * np.sin(5 * down) * np.cos(7 * right)
    x = np.linspace(0, 1, BANDS)
    first, second = 0.2 + 0.3 * x, 0.5 - 0.2 * x**2
    values = first[:, None, None] * share + second[:, None, None] * (1 - share)
    rows, cols = PLACES.T
    values[:, rows, cols] = 0.6 * values[:, rows, cols] + 0.4 * GAS[:, None]
    return values


@pytest.fixture(scope="module")
def observed(clean: np.ndarray) -> Cube:
    noise = np.random.default_rng(0).normal(0, SIGMA, clean.shape)
    return Cube((clean + noise).astype(np.float32), BandAxis(BANDS, CENTRES), unit="reflectance", name="plume")


def emptied(observed: Cube, clean: np.ndarray) -> Cube:
    """The scene restored by a method that knows two materials only: the targets are gone."""
    flat = clean.reshape(BANDS, -1)
    keep = np.ones(SIDE * SIDE, bool)
    keep[np.ravel_multi_index(PLACES.T, (SIDE, SIDE))] = False
    mean = flat[:, keep].mean(axis=1, keepdims=True)
    # Between two materials lies a line.
    line = np.linalg.svd(flat[:, keep] - mean, full_matrices=False)[0][:, :1]
    values = (mean + line @ (line.T @ (flat - mean))).reshape(clean.shape)
    return observed.replace(values.astype(np.float32), "two materials")


@pytest.fixture(scope="module")
def by_spectrum(observed: Cube) -> TargetCheck:
    return check_target(observed, None, Target("gas", GAS))


@pytest.mark.parametrize("detector", ["mf", "ace"])
@pytest.mark.parametrize("known", [True, False], ids=["pixels", "spectrum"])
def test_a_target_is_found_where_it_is(observed: Cube, detector: targets.Detector, known: bool) -> None:
    target = Target("gas", pixels=PLACES) if known else Target("gas", GAS)
    found = check_target(observed, None, target, detector=detector)
    rows, cols = PLACES.T
    assert found.before.found[rows, cols].all()
    # 3600 pixels at one in 10 000.
    assert found.before.found.sum() - len(PLACES) <= 3
    assert found.number("before") >= len(PLACES)


def test_a_good_restoration_keeps_the_target_and_raises_its_contrast(observed: Cube, clean: np.ndarray) -> None:
    noise = np.random.default_rng(1).normal(0, SIGMA / 4, clean.shape)
    after = observed.replace((clean + noise).astype(np.float32), "restored")
    found = check_target(observed, after, Target("gas", pixels=PLACES))
    assert found.is_kept
    assert found.after is not None
    assert found.after.contrast > 1.5 * found.before.contrast
    assert "6 of 6 target pixels are found after" in found.words()
    assert len(found.lost_pixels()) == 0


@pytest.mark.parametrize("known", [True, False], ids=["pixels", "spectrum"])
def test_a_restoration_that_projects_the_target_away_is_found_out(
    observed: Cube, clean: np.ndarray, known: bool
) -> None:
    target = Target("gas", pixels=PLACES) if known else Target("gas", GAS)
    found = check_target(observed, emptied(observed, clean), target, detector="ace")
    assert not found.is_kept
    assert found.number("lost") == found.number("before") >= len(PLACES)
    assert {tuple(p) for p in PLACES} <= {tuple(p) for p in found.lost_pixels()}
    assert "is lost" in found.words()


def test_an_untouched_cube_gives_the_same_figures_twice(observed: Cube) -> None:
    found = check_target(observed, observed, Target("pixel", pixels=PLACES[:1]))
    assert found.after is not None
    np.testing.assert_array_equal(found.before.scores, found.after.scores)
    assert found.before.contrast == found.after.contrast


def test_a_pixels_own_noise_does_not_make_it_a_target(make_cube: MakeCube) -> None:
    # Any pixel of a plain scene, taken as the target: before correction its noise alone would score sqrt(30) = 5.5.
    cube = make_cube(BANDS, SIDE, SIDE, sigma=0.02)
    contrasts = [
        check_target(cube, None, Target("nothing", pixels=np.array([[row, 30]]))).before.contrast
        for row in range(2, SIDE, 6)
    ]
    assert np.median(contrasts) < 2.5


def test_scores_count_standard_deviations_of_the_background(by_spectrum: TargetCheck) -> None:
    background = np.ones((SIDE, SIDE), bool)
    background[tuple(PLACES.T)] = False
    scores = by_spectrum.before.scores[background]
    assert np.median(scores) == pytest.approx(0, abs=0.01)
    assert scores.std() == pytest.approx(1, abs=0.1)


def test_strips_and_chunks_change_nothing(
    observed: Cube, by_spectrum: TargetCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "STRIP_VALUES", BANDS * SIDE * 7)
    monkeypatch.setattr(targets, "CHUNK_PX", 100)
    again = check_target(observed, None, Target("gas", GAS))
    np.testing.assert_allclose(again.before.scores, by_spectrum.before.scores, atol=2e-3)


def test_gaps_get_no_score_and_bad_bands_are_left_out(observed: Cube) -> None:
    values = observed.read().copy()
    values[4, 20:22] = np.nan
    values[9] = 1e6
    cube = Cube(values, observed.axis.marked([9]), name="gaps")
    found = check_target(cube, None, Target("gas", GAS))
    assert np.isnan(found.before.scores[20:22]).all()
    assert np.isfinite(found.before.scores[:20]).all()
    assert found.bands == BANDS - 1
    assert found.before.found[tuple(PLACES.T)].all()


def test_stored_counts_are_compared_with_physical_spectra(observed: Cube, by_spectrum: TargetCheck) -> None:
    counts = Cube(np.round((observed.read() + 0.05) / 1e-4).astype(np.uint16), observed.axis, gain=1e-4, offset=-0.05)
    found = check_target(counts, None, Target("gas", GAS))
    np.testing.assert_allclose(found.before.scores, by_spectrum.before.scores, atol=0.1)
    assert found.notes == ()


def test_a_spectrum_in_other_units_is_scaled_and_said_so(observed: Cube) -> None:
    found = check_target(observed, None, Target("gas", GAS * 1e4))
    assert "other units" in found.notes[0]


def test_unknown_bands_of_a_spectrum_are_left_out(observed: Cube) -> None:
    spectrum = GAS.copy()
    spectrum[:5] = np.nan
    found = check_target(observed, None, Target("gas", spectrum))
    assert found.bands == BANDS - 5
    assert found.before.found[tuple(PLACES.T)].all()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target("far", pixels=np.array([[99, 0]])), "outside"),
        (Target("none"), "neither a spectrum nor pixels"),
        (Target("short", np.ones(4)), "4 bands"),
        (Target("empty", np.full(BANDS, np.nan)), "0 usable bands"),
    ],
    ids=lambda value: value.name if isinstance(value, Target) else "",
)
def test_targets_that_do_not_fit_are_refused(observed: Cube, target: Target, words: str) -> None:
    with pytest.raises(CubeError, match=words):
        check_target(observed, None, target)


def test_too_few_complete_pixels_are_refused(make_cube: MakeCube) -> None:
    with pytest.raises(CubeError, match="a background needs"):
        check_target(make_cube(24, 5, 5, sigma=0.1), None, Target("x", pixels=np.array([[0, 0]])))


def test_a_search_can_be_stopped(observed: Cube) -> None:
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        check_target(observed, None, Target("gas", GAS), job=job)


# ---- what must not change the answer --------------------------------------------------------------------------------


@pytest.mark.parametrize("detector", ["mf", "ace"])
def test_gains_of_the_bands_change_no_score(observed: Cube, detector: targets.Detector) -> None:
    # Whitening takes any gain and offset out, as long as the target goes through them too.
    gain = np.random.default_rng(3).uniform(0.5, 2.0, BANDS)
    other = observed.replace((observed.read() * gain[:, None, None] + 0.1).astype(np.float32), "other gains")
    plain = check_target(observed, None, Target("gas", GAS), detector=detector)
    scaled = check_target(other, None, Target("gas", GAS * gain + 0.1), detector=detector)
    np.testing.assert_allclose(scaled.before.scores, plain.before.scores, atol=5e-3)


def test_the_order_of_bands_and_pixels_changes_no_score(observed: Cube) -> None:
    order = np.random.default_rng(4).permutation(BANDS)
    plain = check_target(observed, None, Target("gas", pixels=PLACES))
    mixed = check_target(observed.select(order), None, Target("gas", pixels=PLACES[::-1]))
    np.testing.assert_allclose(mixed.before.scores, plain.before.scores, atol=5e-3)
    assert mixed.before.contrast == pytest.approx(plain.before.contrast, abs=5e-3)


def test_a_mirrored_scene_gives_mirrored_scores(observed: Cube) -> None:
    mirrored = observed.replace(np.ascontiguousarray(observed.read()[:, :, ::-1]), "mirrored")
    plain = check_target(observed, None, Target("gas", GAS))
    other = check_target(mirrored, None, Target("gas", GAS))
    np.testing.assert_allclose(other.before.scores[:, ::-1], plain.before.scores, atol=5e-3)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_contrast_grows_with_the_share_of_the_target(clean: np.ndarray, share: float) -> None:
    rows, cols = PLACES.T
    values = clean.copy()
    # What lies beneath the gas was mixed at 40 %.
    beneath = (values[:, rows, cols] - 0.4 * GAS[:, None]) / 0.6
    values[:, rows, cols] = (1 - share) * beneath + share * GAS[:, None]
    noise = np.random.default_rng(5).normal(0, SIGMA, values.shape)
    cube = Cube((values + noise).astype(np.float32), BandAxis(BANDS, CENTRES))
    contrast = check_target(cube, None, Target("gas", GAS)).before.contrast
    known = check_target(cube, None, Target("gas", GAS, PLACES)).before.contrast
    # An absorption of 0.25 and about five bands wide over noise of 0.01: some 50 standard deviations of pure gas.
    assert 0.5 * 50 * share < known < 2 * 50 * share
    assert contrast > 3 or share < 0.2


def test_known_targets_do_not_spoil_their_own_background(observed: Cube, clean: np.ndarray) -> None:
    # A fifth of the scene is target: in the statistics it would hide itself.
    values = observed.read().copy()
    values[:, 48:] = (0.6 * values[:, 48:] + 0.4 * GAS[:, None, None]).astype(np.float32)
    cube = observed.replace(values, "flooded")
    flooded = np.argwhere(np.arange(SIDE)[:, None] * np.ones((1, SIDE)) >= 48)
    aware = check_target(cube, None, Target("gas", GAS, flooded)).before.contrast
    unaware = check_target(cube, None, Target("gas", GAS)).before.scores[48:]
    assert aware > 2 * np.median(unaware)


def test_ace_demands_the_shape_that_the_matched_filter_does_not(observed: Cube) -> None:
    values = observed.read().copy()
    row, col = 20, 30
    # Twice the gas of a target, and ten times the noise of something else in every band.
    odd = np.random.default_rng(6).normal(0, 10 * SIGMA, BANDS)
    values[:, row, col] = (0.2 * values[:, row, col] + 0.8 * GAS + odd).astype(np.float32)
    cube = observed.replace(values, "odd pixel")
    both = Target("gas", GAS, np.array([(row, col), *PLACES]))
    matched, coherent = (check_target(cube, None, both, detector=name).before.scores for name in targets.DETECTORS)
    assert matched[row, col] > matched[tuple(PLACES[0])]
    assert coherent[row, col] < coherent[tuple(PLACES[0])]


def test_progress_of_a_search_rises_to_one(observed: Cube) -> None:
    seen: list[float] = []
    job = Job(on_progress=lambda progress: seen.append(progress.fraction))
    check_target(observed, observed, Target("gas", GAS), job=job)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_target_in_gaps_only_is_refused(observed: Cube) -> None:
    values = observed.read().copy()
    values[3, 10, 12] = np.nan
    with pytest.raises(CubeError, match="no pixel of target"):
        check_target(observed.replace(values, "gap"), None, Target("gas", pixels=PLACES[:1]))


def test_mostly_missing_bands_are_left_out(observed: Cube) -> None:
    values = observed.read().copy()
    values[7, :40] = np.nan
    found = check_target(observed.replace(values, "gap"), None, Target("gas", GAS))
    assert found.bands == BANDS - 1
    assert np.isfinite(found.before.scores).all()


def test_values_in_a_file_give_the_scores_of_values_in_memory(
    observed: Cube, by_spectrum: TargetCheck, tmp_path: Path
) -> None:
    from hsi_app.io import open_cube

    for ending in ("bip.hdr", "bsq.hdr"):
        path = save_cube(observed, tmp_path / ending)
        found = check_target(open_cube(path), None, Target("gas", GAS))
        np.testing.assert_array_equal(found.before.scores, by_spectrum.before.scores)


# ---- naming a target ------------------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path: Path) -> Path:
    spectra = SpectralLibrary(np.stack([GAS, GAS * 0 + 0.5], 1), ("gas", "grey"), CENTRES)
    return write_library(spectra, tmp_path / "library.csv")


def test_a_target_is_named_by_pixels_spectrum_or_region(observed: Cube, library: Path, tmp_path: Path) -> None:
    pixels = read_target("10,12 10,13", observed)
    assert pixels.pixels is not None
    assert pixels.pixels.tolist() == [[10, 12], [10, 13]]
    spectrum = read_target(f"{library}::gas", observed)
    assert spectrum.spectrum is not None
    np.testing.assert_allclose(spectrum.spectrum, GAS, atol=1e-6)
    mask = np.zeros((1, SIDE, SIDE), np.uint8)
    mask[0][tuple(PLACES.T)] = 1
    region = read_target(str(save_cube(Cube(mask), tmp_path / "places.hdr")), observed)
    assert region.pixels is not None
    assert sorted(map(tuple, region.pixels.tolist())) == sorted(map(tuple, PLACES.tolist()))


def test_a_name_that_is_not_clear_is_refused_in_one_line(observed: Cube, library: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="holds 2 spectra"):
        read_target(str(library), observed)
    with pytest.raises(ParameterError, match="no spectrum 'soil'"):
        read_target(f"{library}::soil", observed)
    with pytest.raises(FormatError):
        read_target("nowhere.csv", observed)
    small = save_cube(Cube(np.ones((1, 3, 3), np.uint8)), tmp_path / "small.hdr")
    with pytest.raises(ParameterError, match="3 x 3"):
        read_target(str(small), observed)
    empty = save_cube(Cube(np.zeros((1, SIDE, SIDE), np.uint8)), tmp_path / "empty.hdr")
    with pytest.raises(ParameterError, match="marks no pixel"):
        read_target(str(empty), observed)


@pytest.mark.parametrize("text", ["10,12", " 10 , 12 ", "10,12  11,13 0,0"])
def test_pixels_may_be_parted_by_any_spaces(observed: Cube, text: str) -> None:
    target = read_target(text, observed)
    assert target.pixels is not None
    assert target.pixels[0].tolist() == [10, 12]
    assert target.name in ("pixel 10,12", "3 pixels")


def test_a_library_of_one_spectrum_needs_no_name(observed: Cube, tmp_path: Path) -> None:
    path = write_library(SpectralLibrary(GAS[:, None], ("gas",), CENTRES), tmp_path / "one.csv")
    target = read_target(str(path), observed)
    assert target.name == "gas"
    assert target.pixels is None


def test_a_finer_library_is_brought_to_the_cubes_bands(observed: Cube, tmp_path: Path) -> None:
    fine = np.linspace(400, 2400, 2001)
    spectrum = 0.3 - 0.25 * np.exp(-(((fine - 1500) / 60) ** 2))
    path = write_library(SpectralLibrary(spectrum[:, None], ("gas",), fine), tmp_path / "fine.csv")
    target = read_target(str(path), observed)
    assert target.spectrum is not None
    np.testing.assert_allclose(target.spectrum, GAS, atol=2e-3)
    assert check_target(observed, None, target).before.found[tuple(PLACES.T)].all()


def test_a_library_of_other_wavelengths_is_refused(observed: Cube, tmp_path: Path) -> None:
    path = write_library(
        SpectralLibrary(GAS[:, None], ("thermal",), np.linspace(8000, 12000, BANDS)), tmp_path / "thermal.csv"
    )
    with pytest.raises(CubeError, match="covers"):
        read_target(str(path), observed)


def test_a_region_marked_in_any_band_counts(observed: Cube, tmp_path: Path) -> None:
    mask = np.zeros((3, SIDE, SIDE), np.uint8)
    mask[0, 1, 2], mask[2, 5, 6] = 1, 7
    target = read_target(str(save_cube(Cube(mask), tmp_path / "marks.hdr")), observed)
    assert target.pixels is not None
    assert target.pixels.tolist() == [[1, 2], [5, 6]]
    assert target.name == "marks"
