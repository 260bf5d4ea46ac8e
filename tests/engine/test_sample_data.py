"""The bundled samples: they can be found, opened, remade, and are what their README says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hsi_sample_data
import numpy as np
import pytest
from hsi_sample_data import canvas, make_library, make_samples, sensor

IMAGES = ("scene_clean", "scene_noisy", "scene_msi", "scene_abundances")
TEST_DATA = Path(os.environ.get("HSI_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
FAULTS = sensor.Faults()


def load(name: str) -> tuple[np.ndarray, dict]:
    """Physical values (B, H, W) and header of a bundled image, nodata as NaN."""
    from spectral.io import envi

    header = envi.read_envi_header(str(hsi_sample_data.path(name)))
    shape = tuple(int(header[key]) for key in ("bands", "lines", "samples"))
    stored = np.fromfile(hsi_sample_data.path(name).with_suffix(".bsq"), {"2": "<i2", "12": "<u2"}[header["data type"]])
    values = stored.reshape(shape) / float(header["reflectance scale factor"])
    if "data ignore value" in header:
        values[stored.reshape(shape) == int(header["data ignore value"])] = np.nan
    return values, header


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return load("scene_clean")[0]


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    return load("scene_noisy")[0]


@pytest.fixture(scope="module")
def spectra() -> tuple[np.ndarray, np.ndarray]:
    return make_samples.read_library(hsi_sample_data.path("library"))


def quiet_bands() -> np.ndarray:
    """Indices of bands that have noise but neither faults nor clipped values."""
    spoiled = np.zeros(90, bool)
    for first, end, _ in (*FAULTS.striped, (*FAULTS.impulse_bands, 0)):
        spoiled[first:end] = True
    for _, first, end in (*FAULTS.dead_columns, *FAULTS.dead_rows):
        spoiled[first:end] = True
    return np.flatnonzero(~spoiled & ~sensor.is_blind(sensor.SPECTROMETER))


# Finding and opening


@pytest.mark.parametrize("name", hsi_sample_data.names())
def test_every_named_sample_is_there(name):
    assert hsi_sample_data.path(name).is_file()


def test_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(KeyError, match=r"'scene_dirty'.*scene_clean, scene_noisy, scene_msi"):
        hsi_sample_data.path("scene_dirty")


def test_importing_the_package_needs_neither_the_engine_nor_numpy():
    code = "import sys, hsi_sample_data; print(sorted({'hsi_app', 'numpy', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", IMAGES)
def test_image_file_is_as_long_as_its_header_says(name):
    values, _ = load(name)
    assert hsi_sample_data.path(name).with_suffix(".bsq").stat().st_size == 2 * values.size


def test_axes_have_different_lengths(clean):
    # Equal lengths would hide an exchange of axes from every test that uses the scene.
    assert len(set(clean.shape)) == 3


def test_samples_stay_small():
    folder = hsi_sample_data.path("library").parent
    sizes = [file.stat().st_size for file in folder.iterdir() if file.suffix in {".bsq", ".hdr", ".csv"}]
    assert max(sizes) < 3e6  # a limit for one file in the repository
    assert sum(sizes) < 4.1e6


@pytest.mark.parametrize(("name", "pixel"), [("scene_clean", 8.0), ("scene_noisy", 8.0), ("scene_msi", 2.0)])
def test_gdal_finds_the_map_frame(name, pixel):
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(hsi_sample_data.path(name).with_suffix(".bsq")) as image:
        assert tuple(image.transform)[:6] == (pixel, 0, 400_000, 0, -pixel, 5_800_000)
        assert image.crs.to_epsg() == 32633


def test_spectrometer_and_camera_cover_the_same_ground():
    footprints = set()
    for name in IMAGES:
        values, header = load(name)
        footprints.add((values.shape[1] * float(header["map info"][5]), values.shape[2] * float(header["map info"][6])))
    assert footprints == {(768.0, 640.0)}


# Remaking


def test_remaking_the_images_gives_the_same_bytes(tmp_path):
    make_samples.write(make_samples.make_scene(hsi_sample_data.path("library")), tmp_path)
    made = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert sorted(made) == sorted(f"{name}{suffix}" for name in IMAGES for suffix in (".bsq", ".hdr"))
    assert [n for n, data in made.items() if hsi_sample_data.path("library").with_name(n).read_bytes() != data] == []


def test_remaking_the_library_gives_the_same_bytes(tmp_path):
    folder = TEST_DATA / "speclib"
    absent = [name for name in make_library.TABLES.values() if not (folder / name).is_file()]
    if absent:
        pytest.skip(f"source tables absent from HSI_TEST_DATA: {', '.join(absent)}")
    make_library.write(make_library.build(folder), tmp_path / "library.csv")
    assert (tmp_path / "library.csv").read_bytes() == hsi_sample_data.path("library").read_bytes()


def test_library_of_other_materials_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("wavelength_nm,granite\n400,0.1\n")
    with pytest.raises(ValueError, match=r"other\.csv holds granite; needed are green_grass"):
        make_samples.read_library(tmp_path / "other.csv")


# The truth


def test_abundances_add_up_to_one():
    total = load("scene_abundances")[0].sum(axis=0)
    assert np.abs(total - 1).max() <= 14 * 0.5e-4  # each of 14 is rounded to 1e-4


@pytest.mark.parametrize("material", make_library.ORDER)
def test_every_material_has_a_place_in_the_scene(material):
    values, header = load("scene_abundances")
    assert values[header["band names"].index(material)].max() > 0.25


def test_library_is_reflectance(spectra):
    assert spectra[1].min() >= 0
    assert spectra[1].max() <= 1


def test_clean_scene_lies_in_the_span_of_the_spectra_and_their_tilts(clean, spectra):
    wavelengths, table = spectra
    modes = np.concatenate([table, table * (wavelengths - 1200) / 1200]) @ sensor.SPECTROMETER.response(wavelengths).T
    pixels = clean.reshape(90, -1)
    left = pixels - modes.T @ np.linalg.lstsq(modes.T, pixels, rcond=None)[0]
    assert np.abs(left).max() < 1e-4  # stored in steps of 1e-4, so rounding leaves up to half of that and its leverage


def test_abundances_explain_the_clean_scene_but_for_light_and_tilt(clean, spectra):
    abundances = load("scene_abundances")[0]
    wavelengths, table = spectra
    mixed = np.tensordot(table @ sensor.SPECTROMETER.response(wavelengths).T, abundances, axes=(0, 0))
    cosine = (mixed * clean).sum(axis=0) / np.sqrt((mixed**2).sum(axis=0) * (clean**2).sum(axis=0))
    # Light leaves the spectral angle alone, the tilt turns a spectrum by about its 0.06; a wrong pixel or material
    # order gives more than 20 degrees.
    assert np.degrees(np.median(np.arccos(np.clip(cosine, -1, 1)))) < 1.5


# The noise


def test_noise_is_as_strong_as_the_detector_says(clean, noisy):
    seen = ~FAULTS.missing((96, 80))
    sigma = sensor.Detector().noise(clean, sensor.SPECTROMETER, make_samples.SUN.zenith_deg)
    ratio = np.array([np.std(((noisy - clean) / sigma)[band][seen]) for band in quiet_bands()])
    assert ratio.size > 30
    # 7635 samples give a standard deviation to 0.8 %; five times that.
    assert np.abs(ratio - 1).max() < 0.04


def test_noise_is_worst_where_the_air_is_opaque(clean, noisy):
    seen = ~FAULTS.missing((96, 80))
    error = np.sqrt(np.mean((noisy - clean)[:, seen] ** 2, axis=1))
    blind = sensor.is_blind(sensor.SPECTROMETER)
    assert np.median(error[blind]) > 5 * np.median(error[~blind])


def test_input_psnr_is_that_of_a_poor_real_cube(clean, noisy):
    seen = ~FAULTS.missing((96, 80))
    psnr = 20 * np.log10(clean.max() / np.sqrt(np.mean((noisy - clean)[:, seen] ** 2, axis=1)))
    good = psnr[~sensor.is_blind(sensor.SPECTROMETER)]
    assert good.mean() == pytest.approx(27.4, abs=0.1)  # the figures of the README
    assert psnr.mean() == pytest.approx(25.9, abs=0.1)


def test_bad_band_list_marks_the_water_vapour_bands():
    _, header = load("scene_noisy")
    centres = np.array(header["wavelength"], float)[np.array(header["bbl"], int) == 0]
    assert centres.tolist() == [1363, 1392, 1827, 1856, 1885, 1914, 1943]


# The faults


@pytest.mark.parametrize(("first", "end", "strength"), FAULTS.striped)
def test_stripes_are_as_strong_as_stated(clean, noisy, first, end, strength):
    offset = np.nanmean((noisy - clean)[first:end], axis=1)
    # 80 columns give a standard deviation to 8 %, and the columns of a group share most of it; the noise of a
    # column's mean adds less than a hundredth of reflectance.
    assert np.std(offset, axis=1).mean() == pytest.approx(strength, rel=0.3)


def test_dead_elements_read_zero(noisy):
    for column, first, end in FAULTS.dead_columns:
        assert not np.nan_to_num(noisy[first:end, :, column]).any()


def test_lost_row_reads_zero(noisy):
    for row, first, end in FAULTS.dead_rows:
        assert not np.nan_to_num(noisy[first:end, row]).any()


def test_missing_corner_is_missing_in_every_band_and_nothing_else_is(noisy):
    assert np.array_equal(np.isnan(noisy), np.broadcast_to(FAULTS.missing((96, 80)), noisy.shape))
    assert FAULTS.missing((96, 80)).sum() == 45


def test_clean_scene_has_no_faults(clean):
    assert np.isfinite(clean).all()
    assert clean.min() > 0


# The camera


def test_camera_fits_the_spectrometer_once_its_misplacement_is_undone(clean):
    from scipy.ndimage import affine_transform

    infrared = load("scene_msi")[0][3]
    turn, offset = make_samples.camera_to_ground(infrared.shape, 1.0)
    back = affine_transform(infrared, np.linalg.inv(turn), -np.linalg.inv(turn) @ offset, order=1, mode="nearest")
    fine = np.linspace(700, 980, 281)
    weight = (
        sensor.CAMERA.response(fine)[3]
        @ np.array([np.interp(fine, sensor.SPECTROMETER.centres_nm, row) for row in np.eye(90)]).T
    )
    reference = np.tensordot(weight, clean, axes=1)

    def gap(picture: np.ndarray) -> float:
        coarse = sensor.point_spread(96, 4, 0) @ picture @ sensor.point_spread(80, 4, 0).T
        return float(np.sqrt(np.mean((coarse - reference)[2:-2, 2:-2] ** 2)))

    # 0.003 against 0.031; without the turn, or with a sign exchanged, it is above 0.018.
    assert gap(back) < 0.2 * gap(infrared)


# The physics


def test_sunlight_adds_up_to_the_solar_constant():
    wavelengths = np.arange(150.0, 30_000.0)
    total = np.trapezoid(sensor.sunlight(wavelengths), wavelengths)
    assert total == pytest.approx(1361, rel=0.01)  # W m-2; the disc's 6.8e-5 sr is known to half a per cent


def test_two_atmospheres_transmit_the_square_of_one():
    wavelengths = np.arange(400.0, 2500.0, 10)
    np.testing.assert_allclose(
        sensor.transmission(wavelengths, 2.0), sensor.transmission(wavelengths, 1.0) ** 2, rtol=1e-12
    )


def test_band_of_a_flat_spectrum_reads_its_level(spectra):
    flat = np.full(spectra[0].size, 0.3)
    np.testing.assert_allclose(sensor.SPECTROMETER.response(spectra[0]) @ flat, 0.3, rtol=1e-12)


def test_point_spread_is_centred_on_its_block():
    weight = sensor.point_spread(5, 8, 32)
    centre = weight @ np.arange(weight.shape[1])
    np.testing.assert_allclose(centre, 32 + 8 * np.arange(5) + 3.5, rtol=1e-9)


def test_mixture_of_one_mineral_is_that_mineral():
    spectrum = np.linspace(0.05, 0.9, 20)
    np.testing.assert_allclose(make_library.mix_intimately({"a": spectrum}, {"a": 1.0}), spectrum, rtol=1e-9)


def test_dark_grains_darken_a_powder_more_than_their_share():
    spectra = {"white": np.array([0.9]), "black": np.array([0.05])}
    mixed = make_library.mix_intimately(spectra, {"white": 0.9, "black": 0.1})
    assert mixed[0] < 0.5 * (0.9 * 0.9 + 0.1 * 0.05)


def test_resampling_orders_overlapping_channels():
    wavelengths = np.array([380.0, 1200.0, 2500.0, 1190.0])
    slope = make_library.on_grid(wavelengths, wavelengths / 2500)
    assert (np.diff(slope) > -1e-3).all()


def test_shadows_fall_away_from_the_sun():
    sun = canvas.Sun(zenith_deg=45.0, azimuth_deg=180.0)  # noon: the sun stands in the south, at +y
    assert sun.shadow == pytest.approx((0.0, -1.0), abs=1e-12)


def test_slope_towards_the_sun_is_brighter_than_flat_ground():
    sun = canvas.Sun(zenith_deg=45.0, azimuth_deg=90.0)
    east = np.arange(8.0)
    flat, facing = sun.lit(np.zeros((8, 8))), sun.lit(np.broadcast_to(-0.2 * east, (8, 8)))
    np.testing.assert_allclose(flat, 1.0)
    assert (facing > 1).all()


def test_paint_keeps_fractions_adding_up_to_one():
    board = canvas.Canvas((20, 20), ("a", "b", "c"), canvas.Sun())
    board.paint(np.ones((20, 20)), {"a": 1.0})
    board.paint_house(canvas.House(9.3, 8.1, 8.0, 5.0, 6.0, 0.4, "b"))
    board.paint_tree(canvas.Tree(1.0, 19.0, 4.0, {"a": 0.5, "c": 0.5}, 0.8))
    np.testing.assert_allclose(board.fractions.sum(axis=0), 1.0, rtol=1e-12)
    assert (board.fractions[1] == 1).any()


# Indian Pines


def test_indian_pines_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorly.datasets", None)
    with pytest.raises(ImportError, match=r"'tensorly', which is not installed; run: pip install 'hsi-app\[samples\]'"):
        hsi_sample_data.indian_pines()


def test_indian_pines_comes_band_first():
    pytest.importorskip("tensorly")
    values, wavelengths = hsi_sample_data.indian_pines()
    assert values.shape == (200, 145, 145)
    assert values.dtype == np.uint16
    assert wavelengths is None
