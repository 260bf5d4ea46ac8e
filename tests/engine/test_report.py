"""The report: one page that loads nothing, the same numbers as JSON, both or neither."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from hsi_app.cube import Cube
from hsi_app.errors import OutputError
from hsi_app.metrics import score
from hsi_app.recipe import Recipe, Step, run_recipe
from hsi_app.report import write_report
from hsi_app.runner import Result, Settings, restore

CubeFactory = Callable[..., Cube]


@pytest.fixture(scope="module")
def result(make_cube: CubeFactory) -> Result:
    cube = make_cube(12, 32, 28, sigma=0.05, name="a <b> & 'c'")
    cube = replace(cube, bands=cube.axis.marked([4]))
    return restore(cube, "lowrank", {"strength": 1.25}, Settings(seed=41))


class _Loads(HTMLParser):
    """Collects whatever a browser would fetch, and checks that tags are closed."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input", "source", "path", "circle", "rect", "line"})

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "srcset", "data", "poster")]
        if tag in ("link", "script", "iframe", "object"):
            self.addresses.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_loads_nothing_from_elsewhere_and_closes_its_tags(result: Result, tmp_path: Path) -> None:
    page, _ = write_report(result, tmp_path / "report.html")
    text = page.read_text(encoding="utf-8")
    loads = _Loads()
    loads.feed(text)
    assert loads.open == []
    assert loads.addresses  # there are pictures
    assert all(address.startswith("data:image/") for address in loads.addresses)
    assert not re.search(r"@import|url\(\s*['\"]?(?!data:|#)", text)


def test_page_and_json_tell_what_was_done(result: Result, tmp_path: Path) -> None:
    page, data = write_report(result, tmp_path / "report.html")
    text, facts = page.read_text(encoding="utf-8"), json.loads(data.read_text(encoding="utf-8"))
    assert facts["record"]["options"]["strength"] == 1.25
    assert facts["record"]["seed"] == 41
    for word in ("1.25", "41", "lowrank", result.record["versions"]["torch"], result.record["limits"][0]):
        assert word in text
    for reference in result.record["references"]:
        assert reference["identifier"].removeprefix("doi:") in text


def test_names_are_shown_as_text_never_as_markup(result: Result, tmp_path: Path) -> None:
    text = write_report(result, tmp_path / "report.html")[0].read_text(encoding="utf-8")
    assert "<b>" not in text.split("</title>")[0]
    assert "a &lt;b&gt; &amp;" in text


def test_scores_against_a_reference_are_those_of_the_metrics(
    result: Result, make_cube: CubeFactory, tmp_path: Path
) -> None:
    clean = replace(make_cube(12, 32, 28), bands=result.observed.axis)
    page, _ = write_report(result, tmp_path / "report.html", reference=clean)
    text = page.read_text(encoding="utf-8")
    assert f"{score(result.cube, clean)['psnr']:.4g}" in text
    assert f"{score(result.observed, clean)['psnr']:.4g}" in text


@pytest.mark.parametrize("taken", ["report.html", "report.json"])
def test_existing_file_is_kept_and_nothing_is_written_beside_it(result: Result, tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(OutputError, match="overwrite"):
        write_report(result, tmp_path / "report.html")
    assert [p.name for p in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "mine"


def test_report_of_the_same_result_is_the_same_page(result: Result, tmp_path: Path) -> None:
    first, _ = write_report(result, tmp_path / "first.html")
    second, _ = write_report(result, tmp_path / "second.html")
    assert first.read_bytes() == second.read_bytes()


def test_several_steps_are_each_told(make_cube: CubeFactory, tmp_path: Path) -> None:
    values = make_cube(8, 24, 24, sigma=0.02).values.copy()
    values[:, 3:6, 3:6] = np.nan
    recipe = Recipe((Step("lowrank", "denoise", {"strength": 1.5}), Step("lowrank", "inpaint", {"strength": 0.75})))
    done = run_recipe(make_cube(8, 24, 24, values=values), recipe)
    text = write_report(done, tmp_path / "report.html")[0].read_text(encoding="utf-8")
    assert "1.5" in text
    assert "0.75" in text


def test_cube_without_wavelengths_map_or_unit_is_reported_too(make_cube: CubeFactory, tmp_path: Path) -> None:
    bare = Cube(make_cube(6, 16, 9, sigma=0.05).values)
    page, _ = write_report(restore(bare, "lowrank"), tmp_path / "report.html")
    assert page.stat().st_size > 10_000
