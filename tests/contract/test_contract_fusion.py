"""What every fusion method must do: on the sharp grid, in the numbers of the coarse cube, repeatable, honest."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CapabilityError, CubeError, HsiError, OutputError, ParameterError
from hsi_app.fusion.placement import Placement
from hsi_app.fusion.result import Fusion
from hsi_app.fusion.runner import FusionSettings, fuse
from hsi_app.georef import GeoRef
from hsi_app.io import open_cube, save_cube
from hsi_app.jobs import Job, Progress
from hsi_app.methods.registry import MethodSpec, methods
from hsi_app.physics.spectral import gaussian_response

BANDS, ROWS, COLS, RATIO = 20, 12, 10, 4
AT = np.linspace(420.0, 2380.0, BANDS)
CENTRES, WIDTHS = np.array([500.0, 700.0, 1100.0, 1900.0]), np.array([120.0, 150.0, 300.0, 400.0])
GAIN, OFFSET, NODATA = np.linspace(1e-4, 2e-4, BANDS), 0.01, -9999.0
# Options of methods whose full length no test needs: what is promised holds for short runs too.
SHORT: dict[str, dict[str, Any]] = {"u2mdn": {"steps": 60}, "joint": {"steps": 60}}
# Where tiles meet, sums of float32 come out in another order.
SEAM = 1e-5
Run = Callable[..., Fusion]
CheckStops = Callable[[Callable[[Job], object], float], None]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fuser" in metafunc.fixturenames:
        known = list(methods("fuse").values())
        metafunc.parametrize("fuser", known, ids=[spec.id for spec in known])


def fused(
    hsi: Cube, msi: Cube, spec: MethodSpec, *, job: Job | None = None, mask: np.ndarray | None = None,
    out: Path | None = None, doubt: Path | None = None, **settings: Any,
) -> Fusion:  # fmt: skip
    """Run ``spec`` briefly, the images lying corner to corner."""
    chosen = FusionSettings(**{"device": "cpu", "memory": 2**33, "registration": "frame", **settings})
    return fuse(hsi, msi, spec, SHORT.get(spec.id), chosen, mask=mask, out=out, doubt=doubt, job=job)


def ground(height: int, width: int, field: int = 5) -> np.ndarray:
    """(B, h, w) reflectance: four materials, and fields of some pixels, which a coarse pixel does not tell apart."""
    rng = np.random.default_rng(5)
    at, wide = rng.uniform(500, 2300, (4, 3)), rng.uniform(180, 500, (4, 3))
    bumps = np.exp(-0.5 * ((AT[:, None, None] - at) / wide) ** 2)
    spectra = (0.5 + (bumps * rng.uniform(-0.5, 0.5, (4, 3))).sum(2)).clip(0.05, 0.95)
    rows, cols = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = rng.uniform(-2.5, 2.5, (2, 4, 1, 1))
    shares = 1.2 + np.sin(2 * np.pi * (waves[0] * rows + waves[1] * cols) + np.arange(4.0)[:, None, None])
    light = np.kron(rng.uniform(0.6, 1.0, (-(-height // field), -(-width // field))), np.ones((field, field)))[
        :height, :width
    ]
    values: np.ndarray = np.tensordot(spectra, shares / shares.sum(0), 1) * light
    return values


def coarse_cube(values: np.ndarray, pixel: float = 20.0) -> Cube:
    """Reflectance (B, h, w) in stored numbers, a gain to each band."""
    stored = ((values - OFFSET) / GAIN[:, None, None]).astype(np.float32)
    return Cube(
        stored, BandAxis(BANDS, AT), gain=GAIN, offset=OFFSET, unit="reflectance",
        nodata=NODATA, georef=GeoRef((pixel, 0, 5e5, 0, -pixel, 5e6), "EPSG:32633"), name="coarse",
    )  # fmt: skip


def sharp_cube(values: np.ndarray, pixel: float = 20.0 / RATIO, bands: int = 4) -> Cube:
    """What a camera of so many bands sees of reflectance (B, H, W)."""
    centres, widths = CENTRES[:bands], WIDTHS[:bands]
    matrix = gaussian_response(centres, widths, AT)
    return Cube(
        np.tensordot(matrix, values, 1).astype(np.float32), BandAxis(bands, centres, widths), unit="reflectance",
        nodata=NODATA, georef=GeoRef((pixel, 0, 5e5, 0, -pixel, 5e6), "EPSG:32633"), name="sharp",
    )  # fmt: skip


def averaged(truth: np.ndarray, ratio: int) -> np.ndarray:
    bands, height, width = truth.shape
    return truth.reshape(bands, height // ratio, ratio, width // ratio, ratio).mean((2, 4))


@cache
def pair(height: int = ROWS, width: int = COLS, ratio: int = RATIO, bands: int = 4) -> tuple[Cube, Cube, np.ndarray]:
    """Coarse and sharp cube of one ground, and its reflectance (B, H, W)."""
    truth = ground(height * ratio, width * ratio)
    return coarse_cube(averaged(truth, ratio)), sharp_cube(truth, 20.0 / ratio, bands), truth


def stored(cube: Cube) -> np.ndarray:
    """Values as they are stored, NaN where missing."""
    values = np.asarray(cube.read(), np.float32)
    return values if cube.nodata is None else np.where(values == np.float32(cube.nodata), np.float32(np.nan), values)


def reflectance(result: Fusion) -> np.ndarray:
    """(B, H, W) of what was found, NaN where missing."""
    return stored(result.cube) * GAIN[:, None, None] + OFFSET


def psnr(found: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.nanmean((found - truth) ** 2) / truth.max() ** 2))


def interpolated(hsi: Cube, shape: tuple[int, int]) -> np.ndarray:
    """Reflectance of the coarse cube, linear between its pixels."""
    values = np.asarray(hsi.read(), float) * GAIN[:, None, None] + OFFSET
    rows, cols = ((np.arange(many) + 0.5) * few / many - 0.5 for many, few in zip(shape, values.shape[1:], strict=True))
    rows, cols = rows.clip(0, values.shape[1] - 1), cols.clip(0, values.shape[2] - 1)
    top, left = np.floor(rows).astype(int), np.floor(cols).astype(int)
    below, right = np.minimum(top + 1, values.shape[1] - 1), np.minimum(left + 1, values.shape[2] - 1)
    down, across = (rows - top)[:, None], (cols - left)[None]
    upper = values[:, top][:, :, left] * (1 - across) + values[:, top][:, :, right] * across
    lower = values[:, below][:, :, left] * (1 - across) + values[:, below][:, :, right] * across
    result: np.ndarray = upper * (1 - down) + lower * down
    return result


# The result


def test_same_seed_same_bits(fuser: MethodSpec) -> None:
    first, second = (fused(*pair()[:2], fuser, seed=3) for _ in range(2))
    np.testing.assert_array_equal(stored(first.cube), stored(second.cube))
    assert first.doubt is not None
    assert second.doubt is not None
    np.testing.assert_array_equal(np.asarray(first.doubt.read()), np.asarray(second.doubt.read()))


def test_the_grid_is_that_of_the_sharp_image_and_the_numbers_those_of_the_coarse(fuser: MethodSpec) -> None:
    hsi, msi, _ = pair()
    cube = fused(hsi, msi, fuser).cube
    assert cube.shape == (BANDS, *msi.shape[1:])
    assert cube.dtype == np.float32
    assert cube.georef == msi.georef
    assert (cube.unit, cube.offset, cube.nodata) == (hsi.unit, hsi.offset, hsi.nodata)
    np.testing.assert_array_equal(cube.gain, GAIN)
    np.testing.assert_array_equal(cube.axis.centres_nm, hsi.axis.centres_nm)
    assert msi.name in cube.history[-1]


def test_it_is_nearer_the_truth_than_the_interpolated_coarse_cube(fuser: MethodSpec) -> None:
    hsi, msi, truth = pair()
    found = reflectance(fused(hsi, msi, fuser))
    assert np.isfinite(found).all()
    # A gain of each band that was forgotten would be off by half.
    assert psnr(found, truth) > psnr(interpolated(hsi, truth.shape[1:]), truth) + 3


def test_there_is_a_map_of_doubt(fuser: MethodSpec) -> None:
    hsi, msi, _ = pair()
    doubt = fused(hsi, msi, fuser).doubt
    assert doubt is not None
    assert doubt.shape == (1, *msi.shape[1:])
    assert doubt.georef == msi.georef
    assert float(np.asarray(doubt.read()).min()) >= 0


def test_the_record_can_be_stored(fuser: MethodSpec) -> None:
    record = json.loads(json.dumps(dict(fused(*pair()[:2], fuser).record), allow_nan=False))
    assert record["method"] == fuser.id
    assert record["pair"]["response"]["origin"] == "widths in the header of the MSI"
    assert 0 <= record["trace"]["doubted_share"] < 0.2


def test_tiles_agree_with_the_whole(fuser: MethodSpec) -> None:
    whole, tiled = fused(*pair()[:2], fuser), fused(*pair()[:2], fuser, tile=16)
    assert tiled.record["tiles"] > 1
    expected = stored(whole.cube)
    np.testing.assert_allclose(stored(tiled.cube), expected, atol=SEAM * float(np.ptp(expected)), rtol=0)
    assert whole.doubt is not None
    assert tiled.doubt is not None
    np.testing.assert_allclose(np.asarray(tiled.doubt.read()), np.asarray(whole.doubt.read()), rtol=1e-4, atol=1e-5)


def test_a_file_holds_what_memory_would(fuser: MethodSpec, tmp_path: Path) -> None:
    kept, written = (
        fused(*pair()[:2], fuser, tile=16, **places)
        for places in ({}, {"out": tmp_path / "sharp.hdr", "doubt": tmp_path / "doubt.hdr"})
    )
    cube = open_cube(tmp_path / "sharp.hdr")
    np.testing.assert_array_equal(np.asarray(cube.read()), np.asarray(kept.cube.read()))
    assert kept.doubt is not None
    np.testing.assert_array_equal(np.asarray(open_cube(tmp_path / "doubt.hdr").read()), np.asarray(kept.doubt.read()))
    assert cube.georef is not None
    assert pair()[1].georef is not None
    np.testing.assert_allclose(cube.georef.transform, pair()[1].georef.transform)
    np.testing.assert_allclose(cube.gain, GAIN)
    assert written.cube.shape == cube.shape


# What is missing, and what is bad


def test_a_missing_sharp_pixel_has_no_result_and_the_rest_does(fuser: MethodSpec) -> None:
    hsi, msi, _ = pair()
    values = np.array(msi.read())
    values[2, 9, 13] = NODATA
    values[:, 30:34, 20:23] = np.nan
    found = fused(hsi, replace(msi, values=values), fuser)
    blank = np.zeros(msi.shape[1:], bool)
    blank[9, 13] = blank[30:34, 20:23] = True
    np.testing.assert_array_equal(np.asarray(found.cube.read())[:, blank], np.float32(NODATA))
    assert np.isfinite(stored(found.cube)[:, ~blank]).all()
    assert found.doubt is not None
    np.testing.assert_array_equal(np.isnan(np.asarray(found.doubt.read())[0]), blank)
    assert any("13 pixels have no result" in note for note in found.record["notes"])


def test_without_nodata_what_is_missing_is_nan(fuser: MethodSpec) -> None:
    hsi, msi, _ = pair()
    values = np.array(msi.read())
    values[2, 9, 13] = np.nan
    found = fused(replace(hsi, nodata=None), replace(msi, values=values), fuser).cube.read()
    assert np.isnan(found[:, 9, 13]).all()


def test_gaps_of_the_coarse_cube_are_closed_by_the_sharp_image(fuser: MethodSpec) -> None:
    hsi, msi, truth = pair()
    values = np.array(hsi.read())
    values[5:9, 3, 4] = NODATA
    mask = np.ones((ROWS, COLS), bool)
    mask[8, 7] = False
    found = reflectance(fused(replace(hsi, values=values), msi, fuser, mask=mask))
    if not fuser.needs_registration:
        assert np.isfinite(found).all()
    assert psnr(found, truth) > psnr(interpolated(hsi, truth.shape[1:]), truth)


def spoilt(bad: int) -> tuple[Cube, Cube, np.ndarray]:
    """The pair, one coarse band marked bad and full of noise."""
    hsi, msi, truth = pair()
    values = np.array(hsi.read())
    values[bad] = np.random.default_rng(0).normal(0, 1e6, values[bad].shape)
    return replace(hsi, values=values, bands=hsi.axis.marked([bad])), msi, truth


def test_a_bad_band_spoils_no_other_and_is_only_interpolated(fuser: MethodSpec) -> None:
    hsi, msi, truth = spoilt(7)
    found = fused(hsi, msi, fuser)
    good = np.arange(BANDS) != 7
    coarse = interpolated(pair()[0], truth.shape[1:])
    assert psnr(reflectance(found)[good], truth[good]) > psnr(coarse[good], truth[good]) + 3
    assert np.abs(stored(found.cube)[7]).max() > 1e5
    assert found.cube.axis.is_bad[7]


def test_a_bad_band_is_sharpened_on_request(fuser: MethodSpec) -> None:
    hsi, msi, truth = pair()
    marked = replace(hsi, bands=hsi.axis.marked([7]))
    sharp, kept = (reflectance(fused(marked, msi, fuser, bad_bands=what))[7:8] for what in ("restore", "keep"))
    assert psnr(sharp, truth[7:8]) > psnr(kept, truth[7:8]) + 3


def test_a_bad_band_is_missing_where_it_is_not_known_what_lies_where(fuser: MethodSpec) -> None:
    if fuser.needs_registration:
        pytest.skip("needs registration")
    hsi, msi, _ = spoilt(7)
    found = fused(hsi, msi, fuser, registration="none")
    assert np.isnan(stored(found.cube)[7]).all()
    assert np.isfinite(stored(found.cube)[np.arange(BANDS) != 7]).all()


# While it runs


def test_progress_rises_to_one_and_says_what_is_done(fuser: MethodSpec) -> None:
    seen: list[Progress] = []
    fused(*pair()[:2], fuser, tile=16, job=Job(on_progress=seen.append))
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert all(progress.message for progress in seen)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_cancelled_run_takes_no_further_step_and_leaves_nothing(
    fuser: MethodSpec, tmp_path: Path, check_stops: CheckStops, share: float
) -> None:
    count = 0

    def start(job: Job) -> None:
        nonlocal count
        count += 1
        folder = tmp_path / str(count)
        folder.mkdir()
        fused(*pair()[:2], fuser, job=job, out=folder / "sharp.hdr", doubt=folder / "doubt.hdr")

    check_stops(start, share)
    assert {path.name for path in (tmp_path / "1").iterdir()} >= {"sharp.hdr", "doubt.hdr"}
    assert list((tmp_path / "2").iterdir()) == []


def test_neither_inputs_nor_global_generators_and_settings_are_touched(fuser: MethodSpec) -> None:
    def state() -> tuple:
        return (
            torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate(),  # noqa: NPY002
            torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), np.geterr(),
        )  # fmt: skip

    hsi, msi, _ = pair()
    mask = np.ones((ROWS, COLS), bool)
    before = state(), np.array(hsi.read()), np.array(msi.read())
    fused(hsi, msi, fuser, mask=mask)
    assert state() == before[0]
    np.testing.assert_array_equal(np.asarray(hsi.read()), before[1])
    np.testing.assert_array_equal(np.asarray(msi.read()), before[2])
    assert mask.all()


@pytest.mark.parametrize("which", ["hsi", "msi"])
@pytest.mark.parametrize("role", ["out", "doubt"])
def test_an_input_is_never_written_over(fuser: MethodSpec, tmp_path: Path, which: str, role: str) -> None:
    paths = {
        name: save_cube(cube, tmp_path / f"{name}.hdr") for name, cube in zip(("hsi", "msi"), pair(), strict=False)
    }
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OutputError, match="is the input itself"):
        fused(open_cube(paths["hsi"]), open_cube(paths["msi"]), fuser, **{role: paths[which]})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


# Where the images lie


def test_registration_that_is_needed_is_asked_for(fuser: MethodSpec) -> None:
    if not fuser.needs_registration:
        assert np.isfinite(reflectance(fused(*pair()[:2], fuser, registration="none"))).all()
        return
    with pytest.raises(CapabilityError, match=r"--registration estimate"):
        fused(*pair()[:2], fuser, registration="none")


def test_beyond_the_coarse_image_only_unregistered_methods_go_on(fuser: MethodSpec) -> None:
    # The coarse image shows the upper left of the ground: 10 x 8 of 12 x 10 pixels.
    hsi, msi, truth = pair()
    part = replace(hsi, values=np.array(hsi.read())[:, :10, :8])
    found = reflectance(fused(part, msi, fuser, registration="map"))
    inside, outside = found[:, :40, :32], np.concatenate([found[:, 44:].ravel(), found[:, :, 36:].ravel()])
    assert np.isfinite(inside).all()
    assert psnr(inside, truth[:, :40, :32]) > 20
    assert np.isnan(outside).all() if fuser.needs_registration else np.isfinite(outside).all()


def test_a_tile_that_shows_none_of_the_coarse_ground(fuser: MethodSpec) -> None:
    hsi, msi, _ = pair()
    part = replace(hsi, values=np.array(hsi.read())[:, :7, :5])
    whole, tiled = (stored(fused(part, msi, fuser, registration="map", tile=tile).cube) for tile in (None, 8))
    np.testing.assert_array_equal(np.isnan(tiled), np.isnan(whole))
    np.testing.assert_allclose(tiled, whole, atol=SEAM * float(np.nanmax(whole) - np.nanmin(whole)), rtol=0)


@cache
def turned() -> tuple[Cube, Cube, np.ndarray]:
    """The sharp image lies on the coarse one turned by 5 degrees, which no file says."""
    truth = ground(160, 160, 14)
    angle = np.radians(5.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([79.5, 79.5])
    seen = np.stack([affine_transform(band, turn, middle - turn @ middle, order=1, mode="nearest") for band in truth])
    whole, sharp = averaged(truth, 4), seen[:, 20:140, 20:140]
    return replace(coarse_cube(whole[:, 5:35, 5:35]), georef=None), replace(sharp_cube(sharp), georef=None), sharp


def test_a_turned_image_is_registered(fuser: MethodSpec) -> None:
    hsi, msi, truth = turned()
    found = fused(hsi, msi, fuser, registration="estimate")
    said = found.record["pair"]["registration"]
    assert said["how"] == "estimated from the images"
    assert abs(Placement(said["matrix"]).angle_deg) == pytest.approx(5, abs=0.3)
    assert psnr(reflectance(found), truth) > 24


# Odd images


@pytest.mark.parametrize("bands", [1, 2])
def test_a_tiny_coarse_image_and_few_sharp_bands(fuser: MethodSpec, bands: int) -> None:
    hsi, msi, _ = pair(4, 4, 4, bands)
    found = reflectance(fused(hsi, msi, fuser))
    assert found.shape == (BANDS, 16, 16)
    assert np.isfinite(found).all()
    assert 0 < found.mean() < 1


def test_ratio_one(fuser: MethodSpec) -> None:
    hsi, msi, truth = pair(24, 20, 1)
    assert psnr(reflectance(fused(hsi, msi, fuser)), truth) > 25


def test_a_ratio_that_is_no_integer(fuser: MethodSpec) -> None:
    # 2.5 sharp pixels to a coarse one: both are averages of a ground that is finer still.
    fine = ground(120, 100)
    hsi, msi = coarse_cube(averaged(fine, 5)), sharp_cube(averaged(fine, 2), 8.0)
    truth = averaged(fine, 2)
    found = reflectance(fused(hsi, msi, fuser, registration="map"))
    assert psnr(found, truth) > psnr(interpolated(hsi, truth.shape[1:]), truth)


def test_swapped_images_are_told(fuser: MethodSpec) -> None:
    hsi, msi, _ = pair()
    with pytest.raises(CubeError, match=r"'coarse' has 20 bands and 'sharp' 4; give the hyperspectral image first"):
        fused(msi, hsi, fuser)


def test_an_unknown_response_needs_images_that_line_up(fuser: MethodSpec) -> None:
    hsi, msi, _ = pair()
    with pytest.raises(ParameterError, match=r"name a sensor or a table with --srf"):
        fused(hsi, replace(msi, bands=BandAxis(4)), fuser, registration="none")


def test_an_unknown_response_is_estimated_where_they_do(fuser: MethodSpec) -> None:
    hsi, msi, truth = pair()
    found = fused(hsi, replace(msi, bands=BandAxis(4)), fuser)
    assert found.response.origin == "estimated from the pair"
    assert psnr(reflectance(found), truth) > psnr(interpolated(hsi, truth.shape[1:]), truth)


def test_images_without_wavelengths(fuser: MethodSpec) -> None:
    hsi, msi, truth = pair()
    found = fused(replace(hsi, bands=BandAxis(BANDS)), replace(msi, bands=BandAxis(4)), fuser)
    assert psnr(reflectance(found), truth) > psnr(interpolated(hsi, truth.shape[1:]), truth)


def empty_like(cube: Cube, fill: float) -> Cube:
    return replace(cube, values=np.full(cube.shape, fill, np.float32))


@pytest.mark.parametrize("which", ["hsi", "msi"])
@pytest.mark.parametrize("how", ["auto", "frame", "none"])
def test_an_image_without_a_pixel_is_refused_in_one_line(fuser: MethodSpec, which: str, how: str) -> None:
    hsi, msi, _ = pair()
    images = (empty_like(hsi, NODATA), msi) if which == "hsi" else (hsi, empty_like(msi, np.nan))
    with pytest.raises(HsiError) as caught:
        fused(*images, fuser, registration=how)
    assert "\n" not in str(caught.value)


def numbers_or_one_line(*images: Cube, spec: MethodSpec, how: str = "frame") -> np.ndarray | None:
    """What was found, or None where the images were refused in one line."""
    try:
        return stored(fused(images[0], images[1], spec, registration=how).cube)
    except HsiError as error:
        if "\n" in str(error):
            raise
        return None


@pytest.mark.parametrize("which", ["hsi", "msi", "both"])
def test_images_of_one_value_give_numbers_or_one_line(fuser: MethodSpec, which: str) -> None:
    hsi, msi, _ = pair()
    hsi = empty_like(hsi, 2000.0) if which in ("hsi", "both") else hsi
    msi = empty_like(msi, 0.3) if which in ("msi", "both") else msi
    found = numbers_or_one_line(hsi, msi, spec=fuser)
    assert found is None or np.isfinite(found).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (2, 1)])
def test_an_image_of_a_line_or_a_pixel_gives_numbers_or_one_line(fuser: MethodSpec, shape: tuple[int, int]) -> None:
    hsi, msi, _ = pair(*shape)
    for how in ("frame", "auto"):
        found = numbers_or_one_line(hsi, msi, spec=fuser, how=how)
        assert found is None or (found.shape == (BANDS, *msi.shape[1:]) and np.isfinite(found).all())


def test_images_of_different_ground_are_told_apart_by_their_frames(fuser: MethodSpec) -> None:
    hsi, msi, _ = pair()
    far = replace(msi, georef=GeoRef((5, 0, 9e5, 0, -5, 5e6), "EPSG:32633"))
    found = numbers_or_one_line(hsi, far, spec=fuser, how="map")
    assert found is None or (not fuser.needs_registration and np.isfinite(found).all())
