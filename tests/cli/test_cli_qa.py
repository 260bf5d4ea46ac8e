"""``hsi-app qa``: verdicts on stdout, a page and its figures, targets, and one line for every mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hsi_app.cli.main import cli
from hsi_app.cube import Cube
from hsi_app.io import save_cube, write_library
from hsi_app.library import SpectralLibrary
from tests.page_reader import PageReader

CubeFactory = Callable[..., Cube]
BANDS, ROWS, COLS = 16, 48, 40


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in ("qa", *arguments)])


def run(*arguments: object) -> Result:
    """Outcome of a command that must succeed."""
    outcome = call(*arguments)
    assert outcome.exit_code == 0, outcome.output
    return outcome


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, make_cube: CubeFactory) -> Path:
    folder = tmp_path_factory.mktemp("qa")
    return save_cube(make_cube(BANDS, ROWS, COLS, sigma=0.05, name="before"), folder / "before.hdr")


@pytest.fixture(scope="module")
def after(before: Path, make_cube: CubeFactory) -> Path:
    return save_cube(make_cube(BANDS, ROWS, COLS, name="after"), before.with_name("after.hdr"))


def test_a_pair_is_judged_on_stdout(before: Path, after: Path) -> None:
    lines = run(before, after).stdout.splitlines()
    assert lines[0] == f"Removed: grain in {BANDS} of {BANDS} bands; no scene structure."
    assert lines[1].startswith("Signal to noise")


def test_json_holds_every_band(before: Path, after: Path) -> None:
    facts = json.loads(run(before, after, "--json").stdout)
    assert facts["removed"]["is_sound"] is True
    assert facts["removed"]["verdicts"] == ["grain"] * BANDS
    assert sorted(row["band"] for row in facts["noise"]) == list(range(1, BANDS + 1))
    assert all(row["snr_after"] > row["snr_before"] for row in facts["noise"])
    assert facts["before"]["name"] == "before"
    assert facts["changed_share"] > 0.99


def test_one_cube_is_diagnosed(before: Path) -> None:
    outcome = run(before)
    assert "What would help: denoise" in outcome.stdout
    facts = json.loads(run(before, "--json").stdout)
    assert facts["after"] is None
    assert "removed" not in facts
    assert facts["would_help"].startswith("denoise")
    assert facts["median_snr_db"] == pytest.approx(20, abs=4)  # reflectance of about 0.5 over 0.05


@pytest.mark.parametrize("pair", [True, False], ids=["pair", "one"])
def test_the_page_is_whole_and_needs_nothing_else(before: Path, after: Path, tmp_path: Path, pair: bool) -> None:
    path = tmp_path / "qa.html"
    outcome = run(before, *([after] if pair else []), "--html", path, "--target", "4,5 20,20")
    assert outcome.stdout.splitlines()[-1] == str(path)
    text = path.read_text(encoding="utf-8")
    page = PageReader(text)
    assert not page.open
    assert all(address.startswith("data:") for address in page.fetched)
    assert len(page.fetched) >= (12 if pair else 4)
    for line in outcome.stdout.splitlines()[:-1]:
        assert line.replace("'", "&#x27;") in text
    assert "Manolakis and Shaw" in text
    assert json.loads(path.with_suffix(".json").read_text())["format"] == "hsi-app qa 1"


def test_a_blurred_cube_is_found_out(before: Path, tmp_path: Path, make_cube: CubeFactory) -> None:
    from scipy.ndimage import uniform_filter

    rng = np.random.default_rng(0)
    sharp = rng.uniform(0.2, 0.8, (1, ROWS // 4, COLS // 4)).repeat(4, 1).repeat(4, 2) * np.ones((BANDS, 1, 1))
    values = (sharp + rng.normal(0, 0.01, (BANDS, ROWS, COLS))).astype(np.float32)
    first = save_cube(make_cube(BANDS, ROWS, COLS, values=values), tmp_path / "sharp.hdr")
    blurred = uniform_filter(values, (0, 3, 3))
    second = save_cube(make_cube(BANDS, ROWS, COLS, values=blurred), tmp_path / "blurred.hdr")
    outcome = run(first, second, "--html", tmp_path / "qa.html")
    assert f"Scene structure was removed in {BANDS} of {BANDS} bands" in outcome.stdout
    assert "bands that lost scene" in (tmp_path / "qa.html").read_text(encoding="utf-8")


def test_a_target_of_a_library_is_looked_for(before: Path, after: Path, tmp_path: Path) -> None:
    spectra = np.stack([np.linspace(0.2, 0.9, BANDS), np.full(BANDS, 0.4)], 1)
    library = write_library(
        SpectralLibrary(spectra, ("rising", "flat"), np.linspace(420, 2380, BANDS)), tmp_path / "l.csv"
    )
    facts = json.loads(run(before, after, "--json", "--target", f"{library}::rising", "--detector", "ace").stdout)
    assert (facts["target"]["name"], facts["target"]["detector"]) == ("rising", "ace")
    assert facts["target"]["pixels_are_known"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{before}", "{before}x"], 4, "does not exist"),
        (["{before}", "--html", "page.txt"], 2, "--html"),
        (["{before}", "--target", "900,1"], 1, "outside the image"),
        (["{before}", "--target", "nothing.csv"], 4, "nothing.csv"),
        (["{before}", "--detector", "best"], 2, "best"),
        ([], 2, "BEFORE"),
    ],
    ids=["absent", "page", "pixel", "library", "detector", "nothing"],
)
def test_mistakes_are_one_line_and_a_code(
    before: Path, arguments: list[str], code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(before.parent)
    outcome = call(*(a.format(before=before) for a in arguments))
    assert outcome.exit_code == code
    assert words in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1


def test_an_existing_page_is_kept_unless_it_may_be_replaced(before: Path, tmp_path: Path) -> None:
    page = tmp_path / "qa.html"
    page.write_text("mine")
    outcome = call(before, "--html", page)
    assert outcome.exit_code == 1
    assert "--overwrite" in outcome.stderr
    assert page.read_text() == "mine"
    run(before, "--html", page, "--overwrite")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_cubes_of_other_sizes_are_refused(before: Path, tmp_path: Path, make_cube: CubeFactory) -> None:
    other = save_cube(make_cube(BANDS, 20, 20), tmp_path / "other.hdr")
    outcome = call(before, other)
    assert outcome.exit_code == 1
    assert "one grid" in outcome.stderr
