"""What people and programs are told of an assessment: lines, rows, JSON, and the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import OutputError
from hsi_app.files import to_json
from hsi_app.report.qa import MOST_ROWS, qa_page, write_qa_report
from hsi_app.report.qa_charts import check_chart, snr_chart, stripe_chart
from hsi_app.trust.assessment import Assessment, assess
from hsi_app.trust.ranking import MOST_GAIN_DB, NOISY_DB, BandAdvice, NoiseRanking
from hsi_app.trust.structure import RemovedCheck, Verdict
from hsi_app.trust.targets import Detection, Target, TargetCheck

MakeCube = Callable[..., Cube]
BANDS = 26


@pytest.fixture(scope="module")
def noisy(make_cube: MakeCube) -> Cube:
    return make_cube(BANDS, 40, 36, sigma=0.05, name="valley <north>")


@pytest.fixture(scope="module")
def pair(noisy: Cube, make_cube: MakeCube) -> Assessment:
    return assess(noisy, make_cube(BANDS, 40, 36, name="restored"), Target("pixel 3,4", pixels=np.array([[3, 4]])))


@pytest.fixture(scope="module")
def single(noisy: Cube) -> Assessment:
    return assess(noisy)


# ---- what was removed -----------------------------------------------------------------------------------------------


def removed_check(words: list[Verdict], judged: list[bool] | None = None, lost: float = 0.1) -> RemovedCheck:
    """A check with these verdicts; band k lost k times ``lost``."""
    count = len(words)
    flat = np.zeros(count)
    return RemovedCheck(
        flat, flat, flat, lost * np.arange(count), flat, flat, flat,
        np.array([True] * count if judged is None else judged), tuple(words),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "line", "is_sound"),
    [
        (["nothing", "nothing"], "Nothing was removed.", True),
        (["grain", "grain"], "Removed: grain in 2 of 2 bands; no scene structure.", True),
        (["stripes", "grain", "grain"], "Removed: stripes in 1 and grain in 2 of 3 bands; no scene structure.", True),
        (["stripes", "nothing"], "Removed: stripes in 1 of 2 bands; no scene structure.", True),
        (
            ["grain", "scene structure", "scene structure"],
            "Scene structure was removed in 2 of 3 bands, most in band 3: at least 20.0 % of its contrast"
            " (grain in 1).",
            False,
        ),
        (
            ["scene structure"],
            "Scene structure was removed in 1 of 1 bands, most in band 1: at least 0.0 % of its contrast.",
            False,
        ),
    ],
    ids=["nothing", "grain", "both", "stripes", "scene", "one"],
)
def test_the_verdicts_of_all_bands_make_one_line(words: list[Verdict], line: str, is_sound: bool) -> None:
    check = removed_check(words)
    assert check.words() == line
    assert check.is_sound() is is_sound


def test_bands_that_were_not_judged_do_not_speak() -> None:
    check = removed_check(["scene structure", "grain", "grain"], [False, True, True])
    assert check.bands("scene structure") == []
    assert check.worst is None
    assert check.words() == "Removed: grain in 2 of 2 bands; no scene structure."
    assert removed_check(["grain"], [False]).words() == "No band could be judged."


@pytest.mark.parametrize(("lost", "is_sound"), [(0, True), (4, True), (5, False), (50, False)])
def test_a_result_is_sound_while_less_than_a_twentieth_of_the_bands_lost_scene(lost: int, is_sound: bool) -> None:
    words: list[Verdict] = [*(["scene structure"] * lost), *(["grain"] * (100 - lost))]  # type: ignore[list-item]
    assert removed_check(words).is_sound() is is_sound


# ---- noise ----------------------------------------------------------------------------------------------------------


def ranking(before: list[float], gain: list[float] | None = None, judged: list[bool] | None = None) -> NoiseRanking:
    count = len(before)
    return NoiseRanking(
        np.ones(count), np.array(before), np.full(count, np.nan) if gain is None else np.array(gain),
        np.ones(count), np.full(count, np.nan) if gain is None else np.ones(count),
        np.ones(count, bool) if judged is None else np.array(judged),
    )  # fmt: skip


def test_bands_are_ordered_before_and_after() -> None:
    found = ranking([30.0, 5.0, 18.0, np.nan], [0.0, 30.0, 1.0, 3.0])
    assert found.order() == [1, 2, 0]
    assert found.order_after() == [2, 0, 1]
    assert found.still_noisy() == [2]
    np.testing.assert_array_equal(found.snr_after[:3], [30.0, 35.0, 19.0])


def test_bad_bands_are_not_ranked() -> None:
    found = ranking([1.0, 30.0], [-9.0, 0.0], [False, True])
    assert found.order() == [1]
    assert found.still_noisy() == found.worse() == []


@pytest.mark.parametrize(
    ("before", "gain", "line"),
    [
        ([30.0, 40.0, 50.0], None, "Signal to noise 40 dB in the median band."),
        ([10.0, 12.0, 50.0], None, "Signal to noise 12 dB in the median band; 2 of 3 bands are below 20 dB."),
        ([30.0, 30.0], [5.0, 5.0], "Signal to noise 30 dB before, 35 dB after in the median band."),
        (
            [30.0, 10.0, 30.0],
            [5.0, 5.0, -3.0],
            "Signal to noise 30 dB before, 35 dB after in the median band; 1 of 3 bands are still noisy;"
            " band 3 became worse.",
        ),
        (
            [30.0] * 6,
            [-2.0] * 5 + [0.0],
            "Signal to noise 30 dB before, 28 dB after in the median band; 5 of 6 bands became worse.",
        ),
        ([np.nan, np.nan], None, "The noise of no band could be measured."),
    ],
    ids=["clean", "noisy", "pair", "worse", "many worse", "unknown"],
)
def test_the_ranking_makes_one_line(before: list[float], gain: list[float] | None, line: str) -> None:
    assert ranking(before, gain).words() == line


def test_rows_carry_what_is_wrong_with_a_band() -> None:
    rows = ranking([30.0, 10.0, 10.0], [-3.0, -3.0, 40.0]).rows()
    assert [(row["band"], row["mark"]) for row in rows] == [(2, "noisy, worse"), (3, ""), (1, "worse")]


def test_a_band_that_lost_all_detail_has_a_gain_that_can_be_shown(make_cube: MakeCube) -> None:
    before = make_cube(6, 30, 30, sigma=0.05)
    values = before.read().copy()
    values[2] = 0.5
    gain = assess(before, before.replace(values, "flat")).ranking.gain
    assert gain[2] == MOST_GAIN_DB
    assert gain[0] == 0.0


@pytest.mark.parametrize(
    ("mark", "unmark", "line"),
    [
        ([0, 1, 2, 7], [], "Bad bands: mark bands 1-3, 8 as bad."),
        ([4], [], "Bad bands: mark band 5 as bad."),
        ([], [8], "Bad bands: look at band 9, marked bad but sound."),
        ([0], [1, 2], "Bad bands: mark band 1 as bad; look at bands 2-3, marked bad but sound."),
        ([], [], ""),
    ],
    ids=["runs", "one", "again", "both", "none"],
)
def test_advice_is_one_line_with_runs_of_bands(mark: list[int], unmark: list[int], line: str) -> None:
    assert BandAdvice(tuple((b, "why") for b in mark), tuple((b, "why") for b in unmark)).words() == line


# ---- targets --------------------------------------------------------------------------------------------------------


def target_check(
    before: list[bool], after: list[bool] | None, contrasts: tuple[float, float], known: bool
) -> TargetCheck:
    pixels = np.array([[0, n] for n in range(len(before))]).reshape(-1, 2)

    def answer(found: list[bool], contrast: float) -> Detection:
        return Detection(np.zeros((1, len(before))), contrast, np.array([found], bool).reshape(1, -1))

    return TargetCheck(
        "gas", "mf", 3.7, 9, pixels, known, answer(before, contrasts[0]),
        None if after is None else answer(after, contrasts[1]), (),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "contrasts", "known", "line"),
    [
        ([True] * 3, [True] * 3, (8.1, 9.4), True,
         "Target 'gas' is kept: 3 of 3 target pixels are found after, 3 before; contrast 8.1 → 9.4."),
        ([True, False, False], [True] * 3, (5.0, 9.0), True,
         "Target 'gas' is found better: 3 of 3 target pixels are found after, 1 before; contrast 5.0 → 9.0."),
        ([True] * 3, [True, False, False], (8.0, 7.9), True,
         "Target 'gas' is weakened: 1 of 3 target pixels are found after, 3 before; contrast 8.0 → 7.9."),
        ([True] * 3, [True] * 3, (10.0, 7.9), True,
         "Target 'gas' is weakened: 3 of 3 target pixels are found after, 3 before; contrast 10.0 → 7.9."),
        ([True, True], [False, False], (9.0, 0.3), True,
         "Target 'gas' is lost: 0 of 2 target pixels are found after, 2 before; contrast 9.0 → 0.3."),
        ([False, False], [False, False], (1.0, 2.0), True,
         "Target 'gas' was found neither before nor after; contrast 1.0 → 2.0."),
        ([True, True, False], [True, False, True], (6.0, 6.0), False,
         "Target 'gas' is weakened: of 2 pixels found before 1 are still found, 1 lost, 1 new; contrast 6.0 → 6.0."),
        ([], [], (np.nan, np.nan), False, "'gas' was found neither before nor after."),
        ([True, False], None, (4.0, 0.0), True, "'gas': 1 of 2 target pixels are found; contrast 4.0."),
        ([True, True], None, (4.0, 0.0), False, "'gas' was found in 2 pixels; contrast 4.0."),
        ([], None, (np.nan, 0.0), False, "'gas' was not found in any pixel."),
    ],
    ids=["kept", "better", "weaker", "fainter", "lost", "neither", "unknown places", "nowhere", "one", "one unknown",
         "one nowhere"],
)  # fmt: skip
def test_a_target_makes_one_line(
    before: list[bool], after: list[bool] | None, contrasts: tuple[float, float], known: bool, line: str
) -> None:
    assert target_check(before, after, contrasts, known).words() == line


def test_kept_lost_and_gained_add_up() -> None:
    check = target_check([True, True, False, False], [True, False, True, False], (5.0, 5.0), False)
    assert [check.number(word) for word in ("before", "after", "kept", "lost", "gained")] == [2, 2, 1, 1, 1]
    assert check.lost_pixels().tolist() == [[0, 1]]


# ---- the whole ------------------------------------------------------------------------------------------------------


def test_every_verdict_says_whether_it_is_good(pair: Assessment, single: Assessment) -> None:
    assert next(good for _, good in pair.verdicts()) is True
    assert pair.lines() == [words for words, _ in pair.verdicts()]
    # Of reflectances about 0.5, noise of 0.05 is 20 dB: some bands are below.
    assert single.verdicts()[0][1] is False
    assert all("\n" not in line for line in [*pair.lines(), *single.lines()])


def test_a_gain_that_is_lost_scene_is_not_called_good(make_cube: MakeCube) -> None:
    rng = np.random.default_rng(1)
    sharp = rng.uniform(0.2, 0.8, (1, 12, 12)).repeat(4, 1).repeat(4, 2) * np.ones((BANDS, 1, 1))
    before = make_cube(BANDS, 48, 48, values=(sharp + rng.normal(0, 0.005, (BANDS, 48, 48))).astype(np.float32))
    values = before.read()
    blurred = (values + np.roll(values, 1, 1) + np.roll(values, 1, 2) + np.roll(values, -1, 1)) / 4
    found = dict(assess(before, before.replace(blurred, "blurred")).verdicts())
    (line,) = [words for words in found if words.startswith("Signal to noise")]
    assert "Part of that gain is lost scene." in line
    assert found[line] is not True


def test_facts_are_plain_and_hold_no_nan(pair: Assessment, single: Assessment) -> None:
    for found in (pair, single):
        facts = json.loads(to_json(found.plain()))
        assert facts["verdicts"] == found.lines()
        assert len(facts["noise"]) == BANDS
        assert "NaN" not in to_json(found.plain())
    facts = json.loads(to_json(pair.plain()))
    assert facts["target"]["pixels"] == 1
    assert set(facts["removed"]["bands"]) == {"stripes", "structure", "scene", "lost"}


# ---- the page -------------------------------------------------------------------------------------------------------


def headings(page: str) -> list[str]:
    return [unescape(title) for title in re.findall(r"<h2[^>]*>(.*?)</h2>", page)]


@pytest.fixture(scope="module")
def page(pair: Assessment) -> str:
    """Of the pair, with a target and a note."""
    assert pair.target is not None
    return qa_page(replace(pair, target=replace(pair.target, name="a <b>", notes=("5 < 6",))))


def test_the_page_of_a_pair_has_all_parts_and_that_of_one_cube_its_own(page: str, single: Assessment) -> None:
    assert headings(page) == [
        "Before and after", "What was removed", "Target", "Noise by band", "Bad bands", "Spectra",
        "How it was measured", "To cite",
    ]  # fmt: skip
    assert headings(qa_page(single)) == ["The scene", "Noise by band", "Bad bands", "How it was measured", "To cite"]


def test_names_and_notes_are_escaped(page: str) -> None:
    assert "valley &lt;north&gt;" in page
    assert "<north>" not in page
    assert "a &lt;b&gt;" in page
    assert "5 &lt; 6" in page


def test_long_tables_are_cut_and_say_so(pair: Assessment, page: str) -> None:
    assert f"The first {MOST_ROWS} of {BANDS}" in page
    worst = pair.ranking.order()
    assert f"<td>{pair.before.axis.label(worst[0])}</td>" in page
    assert f"<td>{pair.before.axis.label(worst[-1])}</td>" not in page


def test_the_page_and_its_figures_are_written_together_or_not_at_all(single: Assessment, tmp_path: Path) -> None:
    page, facts = write_qa_report(single, tmp_path / "qa.html")
    assert json.loads(facts.read_text(encoding="utf-8"))["format"] == "hsi-app qa 1"
    before = page.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        write_qa_report(single, tmp_path / "qa.html")
    assert page.read_bytes() == before
    with pytest.raises(OutputError):
        write_qa_report(single, tmp_path / "absent" / "qa.html")


def test_charts_of_cubes_without_wavelengths_count_bands(pair: Assessment) -> None:
    assert pair.removed is not None
    for axis in (pair.before.axis, BandAxis(BANDS)):
        charts = [check_chart(pair.removed, axis), snr_chart(pair.ranking, axis), stripe_chart(pair.ranking, axis)]
        assert all(chart.light.startswith("data:image/png") and chart.light != chart.dark for chart in charts)
    assert f"{NOISY_DB:.0f} dB" in charts[1].caption
