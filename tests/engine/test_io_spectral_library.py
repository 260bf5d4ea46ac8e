"""Spectral libraries on file: what is written reads back, files in the wild are understood, bad ones are one line."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from hsi_app.errors import FormatError, OutputError
from hsi_app.io import read_library, write_library
from hsi_app.io.envi_header import DTYPES
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


@pytest.mark.parametrize("ending", ["csv", "sli"])
def test_a_written_library_reads_back(library: SpectralLibrary, tmp_path: Path, ending: str) -> None:
    found = read_library(write_library(library, tmp_path / f"known.{ending}"))
    same(found, library)
    np.testing.assert_allclose(found.fwhm_nm, library.fwhm_nm)
    # ENVI parts names by commas, so one inside a name is written as a semicolon.
    assert found.names[1] == "Alunite GDS83"
    assert found.names[0].replace(";", ",") == "Quartz, fine"


@pytest.mark.parametrize("ending", ["csv", "sli"])
@pytest.mark.parametrize("names", [("Quartz; fine", "b"), ("1", "2"), ("a\tb\nc", "d"), ("sand", "")], ids=str)
def test_no_name_breaks_a_file(library: SpectralLibrary, tmp_path: Path, names: tuple[str, str], ending: str) -> None:
    found = read_library(write_library(library.renamed(names), tmp_path / f"known.{ending}"))
    same(found, library)
    assert found.names[0] == " ".join(names[0].split())


def test_widths_are_kept_without_wavelengths(tmp_path: Path) -> None:
    library = SpectralLibrary(np.ones((3, 1)), ("a, b",), None, np.array([5.0, 6.0, 7.0]))
    found = read_library(write_library(library, tmp_path / "known.sli"))
    assert found.centres_nm is None
    np.testing.assert_array_equal(found.fwhm_nm, [5, 6, 7])


def test_a_pair_that_cannot_be_written_leaves_the_old_one(
    library: SpectralLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_library(library, tmp_path / "known.sli")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hsi_app.io.spectral_library.write_text", full)
    with pytest.raises(OutputError, match="no space left"):
        write_library(library.select([0]), path, overwrite=True)
    same(read_library(path), library)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["known.hdr", "known.sli"]


def test_either_file_of_a_pair_opens_it(library: SpectralLibrary, tmp_path: Path) -> None:
    write_library(library, tmp_path / "known.sli")
    same(read_library(tmp_path / "known.hdr"), library)


def test_an_existing_file_is_kept(library: SpectralLibrary, tmp_path: Path) -> None:
    path = write_library(library, tmp_path / "known.csv")
    with pytest.raises(OutputError, match="exists"):
        write_library(library.renamed(("a", "b")), path)
    assert read_library(path).names[1] == "Alunite GDS83"
    assert read_library(write_library(library.renamed(("a", "b")), path, overwrite=True)).names == ("a", "b")


def envi(
    folder: Path, extra: str = "", stored: np.ndarray | None = None, *, code: int = 4, byte_order: int = 0
) -> Path:
    """A library of three spectra of four bands, and further header lines."""
    values = np.arange(12.0).reshape(3, 4) if stored is None else stored
    (folder / "old.sli").write_bytes(values.astype(DTYPES[code].newbyteorder("<>"[byte_order])).tobytes())
    (folder / "old.hdr").write_text(
        "ENVI\nsamples = 4\nlines = 3\nbands = 1\nfile type = ENVI Spectral Library\n"
        f"data type = {code}\nbyte order = {byte_order}\n{extra}\n"
    )
    return folder / "old.sli"


def test_big_endian_scaled_micrometres(tmp_path: Path) -> None:
    extra = (
        "reflectance scale factor = 1000\nwavelength units = Micrometers\nwavelength = {0.5, 0.6, 0.7, 0.8}\n"
        "fwhm = {.01, .01, .02, .02}\nspectra names = {a, b, c}"
    )
    values = np.arange(12).reshape(3, 4) * 100
    found = read_library(envi(tmp_path, extra, values, byte_order=1, code=2))
    np.testing.assert_allclose(found.spectra, values.T / 1000)
    np.testing.assert_allclose(found.centres_nm, [500, 600, 700, 800])
    np.testing.assert_allclose(found.fwhm_nm, [10, 10, 20, 20])
    assert (found.names, found.unit) == (("a", "b", "c"), "reflectance")


def test_fill_and_ignored_values_are_missing_before_any_scaling(tmp_path: Path) -> None:
    values = np.arange(12.0).reshape(3, 4)
    values[1, 2] = -1.23e34
    found = read_library(envi(tmp_path, "reflectance scale factor = 1000000\ndata ignore value = 3", values))
    assert np.argwhere(np.isnan(found.spectra)).tolist() == [[2, 1], [3, 0]]


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        ("spectra names = {a, b}", "3 spectra but lists 2 names"),
        ("reflectance scale factor = 0", "scale factor of 0"),
        ("wavelength = {1, 2, 3}", "4 bands but lists 3 wavelengths"),
        ("wavelength = {-1, 2, 3, 4}", "no lengths"),
        ("bands = 2", "of 2 bands; it needs 1"),
        ("data type = 6", "complex"),
        ("samples = 40", "needs 480 bytes"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, extra: str, line: str) -> None:
    with pytest.raises(FormatError, match=line):
        read_library(envi(tmp_path, extra))


@pytest.mark.parametrize(
    "text",
    [
        "wavelength_nm,a,b\n500,1,4\n600,2,5\n700,3,6\n",
        "# measured\nWavelength (um);a;b\n0.5;1;4\n0.6;2;5\n0.7;3;6\n",
        "name,500,600,700\na,1,2,3\nb,4,5,6\n",
        "um 0.5 0.6 0.7\na 1 2 3\nb 4 5 6\n",
        "Band centre (nm)\ta\tb\n500\t1\t4\n600\t2\t5\n700\t3\t6\n",
        "band,a,b,\n500,1,4,\n600,2,5,\n700,3,6,\n",
    ],
)
def test_tables_of_either_direction(tmp_path: Path, text: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    found = read_library(tmp_path / "table.csv")
    np.testing.assert_allclose(found.spectra, [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_allclose(found.centres_nm, [500, 600, 700])
    assert found.names == ("a", "b")


def test_spectra_named_by_numbers_are_told_by_the_title(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("name,500,600,700\n1,1,2,3\n2,4,5,6\n")
    found = read_library(tmp_path / "table.csv")
    assert found.names == ("1", "2")
    np.testing.assert_allclose(found.centres_nm, [500, 600, 700])


def test_wavenumbers_become_wavelengths(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("wavenumber (cm-1),a\n10000,1\n20000,2\n")
    np.testing.assert_allclose(read_library(tmp_path / "table.csv").centres_nm, [1000, 500])


def test_a_table_of_bands_has_no_wavelengths(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("band,a\n1,0.5\n2,\n3,0.7\n")
    found = read_library(tmp_path / "table.csv")
    assert found.centres_nm is None
    np.testing.assert_array_equal(np.isnan(found.spectra[:, 0]), [False, True, False])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.csv", None),
        ("empty.csv", b""),
        ("ragged.csv", b"nm,a,b\n500,1,2\n600,1\n"),
        ("words.csv", b"nm,a\n500,green\n600,red\n"),
        ("alone.csv", b"nm\n500\n600\n"),
        ("negative.csv", b"nm,a\n-500,1\n600,2\n"),
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


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        ({"spectra": np.ones((5, 2)), "wavelengths_nm": np.arange(500.0, 507)}, "7 wavelengths"),
        ({"spectra": np.ones((5, 2)), "names": np.array(["a", "b", "c"])}, "3 names"),
        ({"spectra": np.ones((5, 2)) * 1j}, "real numbers"),
        ({"spectra": np.ones((5, 2, 2))}, "needs a matrix"),
        ({"other": np.ones((5, 2))}, "holds other; a library needs a matrix"),
    ],
)
def test_an_archive_that_contradicts_itself_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], line: str
) -> None:
    np.savez(tmp_path / "known.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match=line):
        read_library(tmp_path / "known.npz")


def test_every_damage_of_an_archive_is_one_line(tmp_path: Path) -> None:
    path, rng = tmp_path / "known.npz", np.random.default_rng(0)
    np.savez_compressed(path, spectra=rng.normal(size=(40, 3)), names=np.array(["a", "b", "c"]))
    whole = path.read_bytes()
    for _ in range(200):
        raw = bytearray(whole[: rng.integers(1, len(whole) + 1)] if rng.random() < 0.2 else whole)
        for at in rng.integers(0, len(raw), 8):
            raw[at] = rng.integers(256)
        path.write_bytes(raw)
        line = complaint(path)
        assert "\n" not in line
        assert not line or "known.npz" in line


def complaint(path: Path) -> str:
    try:
        read_library(path)
    except FormatError as error:
        return str(error)
    return ""
