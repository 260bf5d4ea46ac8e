"""Pairs that fusion once failed on: strips, images of other ground, other number types."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsi_app.errors import CubeError
from hsi_app.georef import GeoRef
from hsi_app.methods.registry import method
from tests.contract.test_contract_fusion import fused, pair, psnr, reflectance


def test_a_long_strip_of_one_line_is_fused() -> None:
    # More than 512 pixels long, and so averaged before it is registered; by no more than its one line.
    hsi, msi, _ = pair()
    line = replace(msi, values=np.tile(np.array(msi.read())[:, 7:8], (1, 1, 30)), georef=None)
    found = fused(replace(hsi, georef=None), line, method("ridge"), registration="auto")
    assert np.isfinite(reflectance(found)).all()


@pytest.mark.parametrize("how", ["map", "auto", "estimate"])
def test_images_whose_frames_lie_apart_are_not_searched_for(how: str) -> None:
    hsi, msi, _ = pair()
    far = replace(msi, georef=GeoRef((5, 0, 9e5, 0, -5, 5e6), "EPSG:32633"))
    found = fused(hsi, far, method("ridge"), registration=how)
    assert found.record["pair"]["registration"]["how"] == "apart by the map frames"
    assert any("different ground" in note for note in found.record["notes"])


def test_a_coarse_cube_that_does_not_vary_is_refused() -> None:
    hsi, msi, _ = pair()
    with pytest.raises(CubeError, match="all pixels of 'coarse' are alike"):
        fused(replace(hsi, values=np.full(hsi.shape, 2000.0, np.float32)), msi, method("ridge"))


@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.uint16])
def test_any_number_type_is_read(dtype: type) -> None:
    hsi, msi, truth = pair()
    numbers = np.array(msi.read()) * 1e4
    found = fused(
        replace(hsi, values=np.array(hsi.read()).astype(dtype)),
        replace(msi, values=numbers.astype(dtype), gain=1e-4, nodata=None), method("ridge"),
    )  # fmt: skip
    # Whole numbers are cut off by a ten-thousandth at most.
    assert psnr(reflectance(found), truth) > 70


def test_a_sharp_image_of_a_part_is_enough() -> None:
    hsi, msi, truth = pair()
    assert msi.georef is not None
    part = replace(msi, values=np.array(msi.read())[:, 12:36, 8:32], georef=msi.georef.cropped(12, 8))
    found = fused(hsi, part, method("joint"), registration="map")
    assert psnr(reflectance(found), truth[:, 12:36, 8:32]) > 30
