"""The report of a fusion shows what was made, how sure it is, and how the images belong together."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import hsi_sample_data
import pytest

from hsi_app.errors import OutputError
from hsi_app.fusion.result import Fusion
from hsi_app.fusion.runner import FusionSettings, fuse
from hsi_app.io import open_cube
from hsi_app.report.fusion import write_fusion_report
from hsi_app.tiling import Window


@cache
def fused(method: str, registration: str) -> Fusion:
    hsi, msi = (open_cube(hsi_sample_data.path(name)) for name in ("scene_noisy", "scene_msi"))
    options: dict[str, Any] = {"steps": 500} if method == "joint" else {}
    coarse, sharp = hsi.crop(Window(0, 0, 24, 20)), msi.crop(Window(0, 0, 96, 80))
    return fuse(coarse, sharp, method, options, FusionSettings(registration=registration))  # type: ignore[arg-type]


def page(tmp_path: Path, result: Fusion) -> str:
    return write_fusion_report(result, tmp_path / "report.html")[0].read_text(encoding="utf-8")


def test_page_and_figures_lie_beside_each_other(tmp_path: Path) -> None:
    html, data = write_fusion_report(fused("ridge", "map"), tmp_path / "report.html")
    assert json.loads(data.read_text())["record"]["method"] == "ridge"
    assert html.stat().st_size < 2_000_000
    with pytest.raises(OutputError, match="exists"):
        write_fusion_report(fused("ridge", "map"), html)
    write_fusion_report(fused("ridge", "map"), html, overwrite=True)


def test_a_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    text = page(tmp_path, fused("ridge", "map"))
    assert "http" not in text.replace("http://www.w3.org", "")
    assert text.count("<img") >= 8


@pytest.mark.parametrize(
    "words",
    ["Fused", "Doubt", "in doubt", "A bright pixel", "Spectral response", "by the map frames", "To cite", "strength"],
)
def test_it_tells_what_a_reader_looks_for(tmp_path: Path, words: str) -> None:
    assert words in page(tmp_path, fused("ridge", "map"))


def test_components_are_not_called_materials(tmp_path: Path) -> None:
    text = page(tmp_path, fused("joint", "none"))
    assert "The components are a code of the spectra, not materials." in text
    assert "Loss of the fit" in text


def test_without_a_registration_nothing_is_said_of_one(tmp_path: Path) -> None:
    text = page(tmp_path, fused("joint", "none"))
    assert "none, as asked" in text
    assert "multispectral on hyperspectral grid" not in text


def test_the_record_is_plain(tmp_path: Path) -> None:
    for result in (fused("ridge", "map"), fused("joint", "none")):
        json.dumps(dict(result.record), allow_nan=False)
