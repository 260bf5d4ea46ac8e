"""Spectral libraries: bands, names, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.errors import CubeError, FormatError, OutputError, ParameterError
from hsi_app.io.spectral_library import read_library, write_library
from hsi_app.library import SpectralLibrary


@pytest.fixture
def library() -> SpectralLibrary:
    """Two smooth spectra at 201 wavelengths, 400 to 2400 nm, the second with a hole."""
    x = np.linspace(400, 2400, 201)
    spectra = np.stack([0.2 + 1e-4 * x, 0.5 + 0.3 * np.sin(x / 300)], axis=1)
    spectra[150:160, 1] = -1.23e34
    return SpectralLibrary(spectra, ("Quartz, fine", "Alunite GDS83"), x, np.full(201, 10.0), "reflectance")


def same(a: SpectralLibrary, b: SpectralLibrary) -> None:
    np.testing.assert_allclose(a.spectra, b.spectra, rtol=1e-8)
    np.testing.assert_allclose(a.centres_nm, b.centres_nm)


def test_fill_values_are_missing(library: SpectralLibrary) -> None:
    assert np.isnan(library.spectra[150:160, 1]).all()
    assert np.isfinite(library.spectra[:, 0]).all()


@pytest.mark.parametrize("ending", ["csv", "sli"])
def test_a_written_library_reads_back(library: SpectralLibrary, tmp_path: Path, ending: str) -> None:
    found = read_library(write_library(library, tmp_path / f"known.{ending}"))
    same(found, library)
    np.testing.assert_allclose(found.fwhm_nm, library.fwhm_nm)
    # ENVI parts names by commas, so one inside a name is written as a semicolon.
    assert found.names[1] == "Alunite GDS83"
    assert found.names[0].replace(";", ",") == "Quartz, fine"


def test_either_file_of_a_pair_opens_it(library: SpectralLibrary, tmp_path: Path) -> None:
    write_library(library, tmp_path / "known.sli")
    same(read_library(tmp_path / "known.hdr"), library)


def test_an_existing_file_is_kept(library: SpectralLibrary, tmp_path: Path) -> None:
    path = write_library(library, tmp_path / "known.csv")
    with pytest.raises(OutputError, match="exists"):
        write_library(library.renamed(("a", "b")), path)
    assert read_library(path).names[1] == "Alunite GDS83"
    assert read_library(write_library(library.renamed(("a", "b")), path, overwrite=True)).names == ("a", "b")


def test_big_endian_scaled_micrometres(tmp_path: Path) -> None:
    values = (np.arange(12).reshape(3, 4) * 100).astype(">i2")
    (tmp_path / "old.sli").write_bytes(values.tobytes())
    (tmp_path / "old.hdr").write_text(
        "ENVI\nsamples = 4\nlines = 3\nbands = 1\nfile type = ENVI Spectral Library\ndata type = 2\nbyte order = 1\n"
        "reflectance scale factor = 1000\nwavelength units = Micrometers\nwavelength = {0.5, 0.6, 0.7, 0.8}\n"
        "spectra names = {a, b, c}\n"
    )
    found = read_library(tmp_path / "old.sli")
    np.testing.assert_allclose(found.spectra, values.T / 1000)
    np.testing.assert_allclose(found.centres_nm, [500, 600, 700, 800])
    assert found.names == ("a", "b", "c")


@pytest.mark.parametrize(
    "text",
    [
        "wavelength_nm,a,b\n500,1,4\n600,2,5\n700,3,6\n",
        "# measured\nWavelength (um);a;b\n0.5;1;4\n0.6;2;5\n0.7;3;6\n",
        "name,500,600,700\na,1,2,3\nb,4,5,6\n",
        "um 0.5 0.6 0.7\na 1 2 3\nb 4 5 6\n",
    ],
)
def test_tables_of_either_direction(tmp_path: Path, text: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    found = read_library(tmp_path / "table.csv")
    np.testing.assert_allclose(found.spectra, [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_allclose(found.centres_nm, [500, 600, 700])
    assert found.names == ("a", "b")


def test_a_table_of_bands_has_no_wavelengths(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("band,a\n1,0.5\n2,\n3,0.7\n")
    found = read_library(tmp_path / "table.csv")
    assert found.centres_nm is None
    np.testing.assert_array_equal(np.isnan(found.spectra[:, 0]), [False, True, False])


def test_the_library_of_the_geological_survey(real_data: Path) -> None:
    found = read_library(real_data / "speclib" / "usgs_1995_aviris224.npz")
    assert (found.bands, found.count) == (224, 498)
    assert found.centres_nm is not None
    assert found.centres_nm[0] == pytest.approx(383.15)
    assert found.select(["alunite AL706"]).count == 1


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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.csv", None),
        ("empty.csv", b""),
        ("ragged.csv", b"nm,a,b\n500,1,2\n600,1\n"),
        ("words.csv", b"nm,a\n500,green\n600,red\n"),
        ("alone.csv", b"nm\n500\n600\n"),
        ("picture.png", b"\x89PNG"),
        ("short.sli", b"1234"),
        ("broken.npz", b"PK\x03\x04 nothing"),
    ],
)
def test_a_bad_file_gives_one_line(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    (tmp_path / "short.hdr").write_text(
        "ENVI\nsamples = 4\nlines = 3\nbands = 1\nfile type = ENVI Spectral Library\ndata type = 4\n"
    )
    with pytest.raises(FormatError) as caught:
        read_library(path)
    assert "\n" not in str(caught.value)
    assert name.split(".")[0] in str(caught.value)


def test_a_cube_is_no_library(tmp_path: Path) -> None:
    np.zeros(12, "<f4").tofile(tmp_path / "scene.img")
    (tmp_path / "scene.hdr").write_text("ENVI\nsamples = 2\nlines = 2\nbands = 3\ndata type = 4\ninterleave = bsq\n")
    with pytest.raises(FormatError, match="no spectral library"):
        read_library(tmp_path / "scene.hdr")
