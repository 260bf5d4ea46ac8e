"""The report of a run: one page that needs nothing else, and the same figures as JSON, both or neither."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError, OutputError
from hsi_app.metrics import score
from hsi_app.recipe import parse_recipe, run_recipe
from hsi_app.report import write_report
from hsi_app.report.findings import examine
from hsi_app.report.pictures import gallery
from hsi_app.report.sampling import CENTRE_PX, THUMBNAIL_PX, sample_spectra, spread_windows, thumbnail
from hsi_app.runner import Result, restore
from tests.page_reader import PageReader

MakeCube = Callable[..., Cube]
Written = tuple[str, dict[str, Any]]
SIGMA = 0.05


@pytest.fixture(scope="module")
def noisy(make_cube: MakeCube) -> Cube:
    return make_cube(12, 40, 36, sigma=SIGMA, name="valley <north>", gain=2.0)


@pytest.fixture(scope="module")
def clean(make_cube: MakeCube) -> Cube:
    return make_cube(12, 40, 36)


@pytest.fixture(scope="module")
def run(noisy: Cube) -> Result:
    return restore(noisy, "lowrank", {"rank": 4, "denoiser": "none"})


@pytest.fixture(scope="module")
def written(run: Result, clean: Cube, tmp_path_factory: pytest.TempPathFactory) -> Written:
    page, facts = write_report(run, tmp_path_factory.mktemp("report") / "run.html", reference=clean)
    return page.read_text(encoding="utf-8"), json.loads(facts.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pretend(run: Result) -> Callable[[Cube, Any], Result]:
    """A result of known values: before, after, and the record of a real run."""
    return lambda before, after: Result(before.replace(after, "restored"), before, {}, run.record)


def test_page_loads_nothing_from_outside(written: Written) -> None:
    fetched = PageReader(written[0]).fetched
    assert fetched
    assert all(address.startswith("data:image/png;base64,") for address in fetched)
    assert "@import" not in written[0]
    assert "url(" not in written[0]


def test_every_tag_of_the_page_is_closed(written: Written) -> None:
    assert PageReader(written[0]).open == []


def test_names_are_shown_as_text_never_as_markup(written: Written) -> None:
    assert "valley &lt;north&gt;" in written[0]
    assert "<north>" not in written[0]


def test_every_option_is_listed_and_marked_as_default_or_set(written: Written) -> None:
    rows = dict(re.findall(r'<td class="key">([\w-]+)</td><td class="value">(.*?)</td>', written[0]))
    assert "4 components" in rows["rank"]
    assert ">set<" in rows["rank"]
    assert ">set<" in rows["denoiser"]
    assert ">default<" in rows["strength"]


def test_page_cites_what_was_used(written: Written, run: Result) -> None:
    assert run.record["references"]
    for reference in run.record["references"]:
        assert reference["identifier"] in written[0]


def test_page_names_limits_and_versions(written: Written, run: Result) -> None:
    assert escape(run.record["limits"][0]) in written[0]
    assert f"torch {run.record['versions']['torch']}" in written[0]


def test_scores_of_the_page_are_those_of_the_json(written: Written) -> None:
    text, facts = written
    for side in ("score_before", "score_after"):
        assert f"{facts['findings'][side]['psnr']:.4g}" in text


def test_scores_are_those_of_the_metrics(written: Written, run: Result, clean: Cube) -> None:
    assert written[1]["findings"]["score_after"] == pytest.approx(score(run.cube, clean))


def test_bands_marked_bad_in_the_input_are_not_scored(
    noisy: Cube, clean: Cube, pretend: Callable[[Cube, Any], Result]
) -> None:
    values = np.array(clean.values)
    values[5] = 100.0
    found = examine(pretend(replace(noisy, bands=noisy.axis.marked([5])), values), clean)
    assert found.score_after["rmse"] == 0


def test_recipe_of_the_page_repeats_the_run(written: Written, noisy: Cube, run: Result) -> None:
    recipe = re.search(r"<pre>(.*?)</pre>", written[0], re.DOTALL)
    assert recipe is not None
    again = run_recipe(noisy, parse_recipe(unescape(recipe[1])))
    assert np.array_equal(again.cube.read(), run.cube.read())


def test_json_says_null_where_nothing_could_be_measured(noisy: Cube, pretend: Callable[[Cube, Any], Result]) -> None:
    # An unchanged cube has no removed part whose structure could be measured.
    facts = examine(pretend(noisy, np.array(noisy.values))).plain()
    assert facts["bands"]["structure"] == [None] * 12
    json.dumps(facts, allow_nan=False)


def test_page_without_reference_has_no_score(run: Result, tmp_path: Path) -> None:
    page, _ = write_report(run, tmp_path / "run.html")
    assert "Against the reference" not in page.read_text(encoding="utf-8")


def test_same_run_gives_the_same_page(run: Result, clean: Cube, written: Written, tmp_path: Path) -> None:
    page, _ = write_report(run, tmp_path / "again.html", reference=clean)
    assert page.read_text(encoding="utf-8") == written[0]


@pytest.mark.parametrize("taken", ["run.html", "run.json"])
def test_existing_report_is_kept_and_nothing_is_written_beside_it(run: Result, tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        write_report(run, tmp_path / "run.html")
    assert [p.name for p in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "mine"


def test_reference_of_another_shape_is_refused_and_nothing_written(
    run: Result, make_cube: MakeCube, tmp_path: Path
) -> None:
    with pytest.raises(CubeError):
        write_report(run, tmp_path / "run.html", reference=make_cube(12, 40, 35))
    assert list(tmp_path.iterdir()) == []


def test_steps_of_a_recipe_are_all_told(make_cube: MakeCube, tmp_path: Path) -> None:
    recipe = parse_recipe(
        '[[steps]]\nmethod = "lowrank"\ntask = "destripe"\n[[steps]]\nmethod = "lowrank"\nparams.denoiser = "none"\n'
    )
    page, _ = write_report(run_recipe(make_cube(6, 20, 20, sigma=SIGMA), recipe), tmp_path / "run.html")
    text = page.read_text(encoding="utf-8")
    assert "Step 1: Low-rank restoration (lowrank), task destripe" in text
    assert "Step 2: Low-rank restoration (lowrank), task denoise" in text


@pytest.mark.parametrize("shape", [(1, 9, 9), (5, 1, 1), (4, 2, 30)])
def test_odd_cube_without_wavelengths_map_or_unit_gets_a_page(
    shape: tuple[int, int, int], pretend: Callable[[Cube, Any], Result], tmp_path: Path
) -> None:
    values = np.random.default_rng(0).random(shape, np.float32)
    page, _ = write_report(pretend(Cube(values), values * np.float32(0.9)), tmp_path / "odd.html")
    assert PageReader(page.read_text(encoding="utf-8")).open == []


def test_scene_with_an_empty_band_and_bad_bands_gets_a_page(
    make_cube: MakeCube, pretend: Callable[[Cube, Any], Result], tmp_path: Path
) -> None:
    observed = make_cube(6, 20, 20, sigma=SIGMA)
    values = np.array(observed.values)
    values[2] = np.nan
    observed = replace(observed, values=values, bands=observed.axis.marked([4]))
    page, _ = write_report(pretend(observed, values * np.float32(0.9)), tmp_path / "gaps.html")
    assert PageReader(page.read_text(encoding="utf-8")).open == []


def test_removed_noise_is_measured_as_it_was_added_in_physical_units(
    noisy: Cube, clean: Cube, pretend: Callable[[Cube, Any], Result]
) -> None:
    found = examine(pretend(noisy, np.asarray(clean.values)))
    # The gain is 2. 1440 samples a band: known to 1 / sqrt(2 * 1440) = 1.9 %; four of these.
    assert found.removed_std == pytest.approx(np.full(12, 2 * SIGMA), rel=0.076)


def test_removed_grain_has_no_structure(noisy: Cube, clean: Cube, pretend: Callable[[Cube, Any], Result]) -> None:
    found = examine(pretend(noisy, np.asarray(clean.values)))
    # About 2800 pairs of neighbours: standard deviation 1 / sqrt(2800) = 0.019; four of these.
    assert np.abs(found.structure).max() < 0.076


def test_removed_picture_has_structure(clean: Cube, pretend: Callable[[Cube, Any], Result]) -> None:
    found = examine(pretend(clean, np.asarray(clean.values) * np.float32(0.8)))
    assert found.structure.min() > 0.9


def test_nothing_removed_is_nothing_changed(noisy: Cube, pretend: Callable[[Cube, Any], Result]) -> None:
    assert examine(pretend(noisy, np.array(noisy.values))).changed_share == 0


def test_filled_share_counts_what_was_missing(noisy: Cube, clean: Cube, pretend: Callable[[Cube, Any], Result]) -> None:
    values = np.array(noisy.values)
    values[:, :10] = np.nan
    found = examine(pretend(replace(noisy, values=values), np.asarray(clean.values)))
    assert found.filled_share == pytest.approx(10 / 40)  # rows


def test_most_changed_band_is_one_that_was_worked_on(
    noisy: Cube, clean: Cube, pretend: Callable[[Cube, Any], Result]
) -> None:
    restored = np.array(clean.values)
    restored[3] *= 0.2
    assert examine(pretend(noisy, restored)).most_changed_band == 3
    observed = replace(noisy, bands=BandAxis(12, bad=np.arange(12) == 3))
    assert examine(pretend(observed, restored)).most_changed_band != 3


class _Counting:
    """A lazy array that counts the samples read of it."""

    ndim, dtype = 3, np.dtype(np.float32)

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape, self.read = shape, 0

    def __getitem__(self, key: Any) -> np.ndarray:
        bands, rows, cols = (np.atleast_1d(np.arange(n)[k]) for n, k in zip(self.shape, key, strict=True))
        block = (bands[:, None, None] + (rows % 7)[:, None] + cols % 5).astype(np.float32)
        self.read += block.size
        return block[0] if isinstance(key[0], int) else block


def test_large_scene_is_sampled_and_never_read_whole(pretend: Callable[[Cube, Any], Result]) -> None:
    shape = (40, 3000, 2500)
    values = _Counting(shape)
    result = pretend(Cube(values), _Counting(shape))
    gallery(result, examine(result).most_changed_band)
    # Four bands at every fifth row (1/50 of the cube), windows of 2 x 20 000 spectra, one band of the middle.
    assert values.read < np.prod(shape) / 30


def test_thumbnail_fits_the_screen_and_keeps_the_grid() -> None:
    values = np.arange(2 * 1500 * 10, dtype=np.float32).reshape(2, 1500, 10)
    small = thumbnail(Cube(values), [1])
    assert max(small.values.shape) <= THUMBNAIL_PX
    assert np.array_equal(small.values[0], values[1, :: small.step, :: small.step])


def test_scene_larger_than_the_screen_is_shown_at_full_resolution_too(
    pretend: Callable[[Cube, Any], Result],
) -> None:
    values = np.random.default_rng(0).random((3, 800, 300), np.float32)
    picture = gallery(pretend(Cube(values), values * np.float32(0.5)), 1)[-1].pictures[0]
    assert (picture.height, picture.width) == (CENTRE_PX, CENTRE_PX)


def test_windows_reach_the_corners_of_a_large_scene() -> None:
    windows = spread_windows(1000, 700)
    assert (windows[0].row, windows[0].col) == (0, 0)
    assert (windows[-1].row + windows[-1].height, windows[-1].col + windows[-1].width) == (1000, 700)


def test_sampled_spectra_know_their_pixels(noisy: Cube, clean: Cube) -> None:
    spectra = sample_spectra(noisy, clean)
    assert np.array_equal(spectra.before[5], np.asarray(noisy.values)[5, spectra.rows, spectra.cols])


def test_a_finer_result_is_shown_against_the_interpolated_input(make_cube: MakeCube, tmp_path: Path) -> None:
    from hsi_app.physics.degrade import degrade
    from hsi_app.runner import Settings

    truth = make_cube(8, 40, 36)
    coarse = degrade(truth, "sr-x2+gauss-5").observed
    result = restore(coarse, "lowrank", settings=Settings(task="sr", scale=2))
    page, facts = write_report(result, tmp_path / "run.html", reference=truth)
    text, found = page.read_text(encoding="utf-8"), json.loads(facts.read_text(encoding="utf-8"))
    assert "interpolated to the 2 times finer grid" in text
    assert "2 times finer, blur of 2 px (FWHM)" in text
    assert "20 × 18 pixels" in text  # the true input
    assert "scale = 2" in text
    assert found["findings"]["score_after"]["psnr"] > found["findings"]["score_before"]["psnr"]
