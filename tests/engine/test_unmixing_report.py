"""The page and the figures of an unmixing."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import OutputError
from hsi_app.report.abundance_pictures import COLOURS, MOST_SHOWN, largest, mixture_picture
from hsi_app.report.unmixing import write_unmixing_report
from hsi_app.unmixing.result import Unmixing
from hsi_app.unmixing.runner import unmix


def unmixed(count: int = 3, **options: object) -> Unmixing:
    """A scene of ``count`` materials whose first row is pure."""
    rng = np.random.default_rng(1)
    x = np.linspace(0, 1, 40)
    endmembers = np.stack([0.4 + 0.3 * np.sin((k + 1) * 2 * x + k) for k in range(count)], axis=1)
    shares = rng.dirichlet(np.full(count, 0.3), (20, 24)).transpose(2, 0, 1)
    shares[:, 0, :count] = np.eye(count)
    values = np.tensordot(endmembers, shares, axes=1) + rng.normal(0, 0.001, (40, 20, 24))
    cube = Cube(values.astype(np.float32), BandAxis(40, np.linspace(400, 2400, 40)), name="<quarry> & sons")
    given = {"endmembers": count, "endmembers_from": "nfindr", "normalise": "none", **options}
    return unmix(cube, "rrlbs", given)


@pytest.fixture(scope="module")
def result() -> Unmixing:
    return unmixed()


def image_of(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def test_the_page_holds_everything_and_loads_nothing(result: Unmixing, tmp_path: Path) -> None:
    page, beside = write_unmixing_report(result, tmp_path / "report.html")
    text = page.read_text()
    assert "&lt;quarry&gt; &amp; sons" in text
    assert "<quarry>" not in text
    for name in result.names:
        assert name in text
    assert not re.search(r'(src|srcset|href)="(?!data:|#)', text)
    # Scene, mixture, three abundances, error, guidance; charts of spectra, shapes, channels, count and progress.
    assert text.count("<figure") == 7 + 5
    facts = json.loads(beside.read_text())
    assert facts["format"] == "hsi-app unmixing 1"
    assert facts["record"]["trace"]["materials"][0]["name"] == "material 1"


def test_an_existing_report_is_kept(result: Unmixing, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        write_unmixing_report(result, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
    write_unmixing_report(result, tmp_path / "report.html", overwrite=True)


def test_a_pure_pixel_of_the_mixture_has_the_colour_of_its_material(result: Unmixing) -> None:
    shares = np.zeros((3, 1, 4), np.float32)
    shares[0, 0, 0] = shares[1, 0, 1] = 1
    shares[:, 0, 3] = np.nan
    drawn = image_of(mixture_picture(replace(result, abundances=Cube(shares)), [0, 1, 2]).uri)
    assert [f"#{r:02x}{g:02x}{b:02x}" for r, g, b, _ in drawn[0, :2]] == list(COLOURS[:2])
    assert (drawn[0, 2, :3] == 0).all()
    assert drawn[0, 3, 3] == 0


def test_of_many_materials_the_largest_are_shown(tmp_path: Path) -> None:
    many = unmixed(15, iterations=5)
    shown = largest(many)
    means = [material["mean_abundance"] for material in many.record["trace"]["materials"]]
    assert len(shown) == MOST_SHOWN
    assert min(means[k] for k in shown) >= max(means[k] for k in range(15) if k not in shown)
    page, _ = write_unmixing_report(many, tmp_path / "report.html")
    assert "The 12 largest of 15 are shown." in page.read_text()


def test_blank_pixels_are_told_and_see_through(tmp_path: Path) -> None:
    result = unmixed()
    values = np.array(result.observed.read())
    values[:, 4:8, 4:8] = 0
    again = unmix(replace(result.observed, values=values), "fcls", {"endmembers": 3, "endmembers_from": "vca"})
    page, _ = write_unmixing_report(again, tmp_path / "report.html")
    assert ">16</b>" in page.read_text()
    assert (image_of(mixture_picture(again, [0, 1, 2]).uri)[4:8, 4:8, 3] == 0).all()
