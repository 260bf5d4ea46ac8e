"""The page and the figures of a fusion."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import hsi_sample_data
import numpy as np
import pytest
from PIL import Image

import hsi_app
from hsi_app.cube import Cube
from hsi_app.errors import OutputError
from hsi_app.fusion.result import Fusion
from hsi_app.fusion.runner import FusionSettings
from hsi_app.report.fusion import NO_MATERIALS, write_fusion_report
from hsi_app.report.fusion_charts import DOUBT_COLOURS, doubt_picture, matching, placement_of, scene_pictures, spots
from hsi_app.tiling import Window


def fused(method: str, settings: FusionSettings | None = None, gain: float = 1.0, **options: object) -> Fusion:
    hsi, msi = (hsi_app.open_cube(hsi_sample_data.path(name)) for name in ("scene_clean", "scene_msi"))
    # A corner of the scene: the page is the same, the fusion quick.
    hsi, msi = hsi.crop(Window(0, 0, 48, 40)), msi.crop(Window(0, 0, 192, 160))
    msi = replace(msi, name="<sharp> & clear", gain=np.asarray(msi.gain) * gain)
    return hsi_app.fuse(hsi, msi, method, options or None, settings)


@pytest.fixture(scope="module")
def ridge() -> Fusion:
    return fused("ridge")


@pytest.fixture(scope="module")
def joint() -> Fusion:
    return fused("joint", steps=60)


@pytest.fixture(scope="module")
def unplaced() -> Fusion:
    return fused("ridge", FusionSettings(registration="none"))


def image_of(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def test_the_page_holds_everything_and_loads_nothing(ridge: Fusion, tmp_path: Path) -> None:
    page, beside = write_fusion_report(ridge, tmp_path / "report.html")
    text = page.read_text()
    assert "&lt;sharp&gt; &amp; clear" in text
    assert "<sharp>" not in text
    assert not re.search(r'(src|srcset|href)="(?!data:|#)', text)
    # Coarse, multispectral, result, doubt; charts of four spectra and the response.
    assert text.count("<figure") == 4 + 5
    assert "192 × 160 pixels" in text
    assert "4 : 1" in text
    assert ridge.record["pair"]["response"]["origin"] in text
    assert ridge.record["pair"]["registration"]["how"] in text
    for limit in ridge.record["limits"]:
        assert limit in text
    facts = json.loads(beside.read_text())
    assert facts["format"] == "hsi-app fusion 1"
    assert facts["record"]["pair"]["ratio"] == pytest.approx(4)


def test_components_are_not_called_materials(joint: Fusion, ridge: Fusion, tmp_path: Path) -> None:
    text = write_fusion_report(joint, tmp_path / "joint.html")[0].read_text()
    assert NO_MATERIALS == "The components are a code of the spectra, not materials."
    assert NO_MATERIALS in text
    assert joint.record["trace"]["stop"] in text
    assert text.count("<figure") == 4 + 5  # too few steps for a curve
    assert NO_MATERIALS not in write_fusion_report(ridge, tmp_path / "ridge.html")[0].read_text()


def test_an_existing_report_is_kept(ridge: Fusion, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        write_fusion_report(ridge, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
    write_fusion_report(ridge, tmp_path / "report.html", overwrite=True)


def test_reasons_of_an_automatic_choice_are_told(ridge: Fusion, tmp_path: Path) -> None:
    chosen = replace(ridge, record={**ridge.record, "reasons": ["Few bands < many."]})
    assert "Few bands &lt; many." in write_fusion_report(chosen, tmp_path / "auto.html")[0].read_text()
    assert "was chosen" not in write_fusion_report(ridge, tmp_path / "named.html")[0].read_text()


def test_pictures_share_a_grid_and_a_stretch(ridge: Fusion) -> None:
    pictures, is_common = scene_pictures(ridge)
    assert is_common
    assert {(p.width, p.height) for p in pictures} == {(160, 192)}
    coarse, guide, sharp = (image_of(p.uri)[..., :3].mean() for p in pictures)
    assert coarse == pytest.approx(sharp, rel=0.05)
    assert guide == pytest.approx(sharp, rel=0.1)


def test_without_registration_the_coarse_image_stays_as_it_is(unplaced: Fusion) -> None:
    assert [(p.width, p.height) for p in scene_pictures(unplaced)[0]] == [(40, 48), (160, 192), (160, 192)]


def test_numbers_of_another_unit_are_brought_to_those_of_the_hyperspectral_image() -> None:
    other = fused("ridge", gain=3.0)
    assert other.record["pair"]["radiometry"] != "the same numbers"
    bands, gain, offset = matching(other)
    said = other.msi.spectrum(50, 70)[bands] * gain + offset
    seen = other.response.matrix @ other.cube.spectrum(50, 70)
    assert said == pytest.approx(seen, abs=0.02)
    assert scene_pictures(other)[1]


def test_gaps_of_the_coarse_image_stay_gaps(ridge: Fusion) -> None:
    values = np.array(ridge.hsi.read(), np.float32)
    values[:, 20, 20] = np.nan
    drawn = image_of(scene_pictures(replace(ridge, hsi=replace(ridge.hsi, values=values)))[0][0].uri)
    assert not drawn[81:83, 81:83, 3].any()
    assert drawn[..., 3].mean() > 250


def test_doubt_changes_colour_at_one() -> None:
    drawn = image_of(doubt_picture(Cube(np.array([[[0, 1, 1.0001, 500, np.nan]]], np.float32))).uri)
    assert [f"#{r:02x}{g:02x}{b:02x}" for r, g, b, _ in drawn[0, :4]] == list(DOUBT_COLOURS)
    assert drawn[0, 4, 3] == 0


def test_a_map_of_doubt_that_was_not_kept_is_told(ridge: Fusion, tmp_path: Path) -> None:
    page, _ = write_fusion_report(replace(ridge, doubt=None), tmp_path / "report.html")
    assert "The map was not kept" in page.read_text()


def test_spectra_are_spread_over_brightness(ridge: Fusion) -> None:
    chosen = spots(ridge)
    bands = list(ridge.cube.axis.composite())
    levels = [ridge.cube.spectrum(spot.row, spot.col)[bands].mean() for spot in chosen]
    assert len(chosen) == 4
    assert levels == sorted(levels)


def test_the_coarse_pixel_is_found_as_the_images_were_placed(ridge: Fusion) -> None:
    placement = placement_of(ridge)
    assert placement is not None
    assert placement.describe() == ridge.record["pair"]["registration"]["placement"]


def test_without_registration_spectra_stand_alone(unplaced: Fusion, tmp_path: Path) -> None:
    text = write_fusion_report(unplaced, tmp_path / "report.html")[0].read_text()
    assert "so these stand alone" in text
    assert " : 1<" not in text


def test_a_fit_of_many_steps_shows_its_loss(joint: Fusion, tmp_path: Path) -> None:
    trace = {**joint.record["trace"], "losses": [[250, 2.0], [500, 1.0]]}
    long = replace(joint, record={**joint.record, "trace": trace})
    assert write_fusion_report(long, tmp_path / "report.html")[0].read_text().count("<figure") == 4 + 6


def test_bad_bands_are_drawn_in_no_spectrum(ridge: Fusion, tmp_path: Path) -> None:
    bad = np.arange(90) == 40
    axis = replace(ridge.hsi.axis, bad=bad)
    hsi, cube = replace(ridge.hsi, bands=axis), replace(ridge.cube, bands=axis)
    response = replace(ridge.response, matrix=ridge.response.matrix[:, ~bad])
    marked = replace(ridge, hsi=hsi, cube=cube, response=response)
    assert "interpolated only" in write_fusion_report(marked, tmp_path / "report.html")[0].read_text()


def test_a_fit_without_a_critic_says_nothing_of_information(joint: Fusion, tmp_path: Path) -> None:
    trace = {**joint.record["trace"], "information": float("nan")}
    told = replace(joint, record={**joint.record, "trace": trace})
    assert "Mutual information" not in write_fusion_report(told, tmp_path / "report.html")[0].read_text()
