"""ENVI: every layout reads the same, headers in the wild are understood, damaged ones are one clear line."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsi_app.errors import FormatError, HsiError
from hsi_app.io import can_read, open_cube, read_mask
from hsi_app.io.envi_header import DTYPES

SHAPE = (3, 4, 5)
ORDERS = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}


def numbered(dtype: str = "i2") -> np.ndarray:
    """Every sample different, so that any mix-up of axes shows."""
    return np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(dtype)


def write(
    folder: Path, values: np.ndarray, extra: str = "", *, code: int = 2, interleave: str = "bsq", byte_order: int = 0,
    offset: int = 0, name: str = "scene", suffix: str = ".img",
) -> Path:  # fmt: skip
    stored = values.transpose(ORDERS[interleave.lower()]).astype(values.dtype.newbyteorder("<>"[byte_order]))
    (folder / f"{name}{suffix}").write_bytes(b"\0" * offset + stored.tobytes())
    bands, lines, samples = values.shape
    header = folder / f"{name}.hdr"
    header.write_text(
        f"ENVI\nsamples = {samples}\nlines = {lines}\nbands = {bands}\nheader offset = {offset}\n"
        f"data type = {code}\ninterleave = {interleave}\nbyte order = {byte_order}\n{extra}\n"
    )
    return header


@pytest.mark.parametrize("byte_order", [0, 1])
@pytest.mark.parametrize("interleave", ["bsq", "BIL", "Bip"])
@pytest.mark.parametrize("code", sorted(DTYPES))
def test_every_layout_gives_the_same_native_values(tmp_path: Path, code: int, interleave: str, byte_order: int) -> None:
    values = numbered(DTYPES[code].str[1:])
    header = write(tmp_path, values, code=code, interleave=interleave, byte_order=byte_order, offset=7)
    cube = open_cube(header)
    read = cube.read()
    assert np.array_equal(read, values)
    assert read.dtype == values.dtype
    assert read.dtype.isnative


@pytest.mark.parametrize("interleave", ORDERS)
@pytest.mark.parametrize(
    "key",
    [
        np.s_[1],
        np.s_[-1, 2, 3],
        np.s_[:, 1:3, 2:4],
        np.s_[::2, ::-1, ::3],
        np.s_[[2, 0]],
        np.s_[..., 2],
        np.s_[np.array([True, False, True]), 0],
        np.s_[1:1],
    ],
    ids=str,
)
def test_lazy_values_index_as_the_array_does(tmp_path: Path, interleave: str, key: object) -> None:
    values = numbered()
    lazy = open_cube(write(tmp_path, values, interleave=interleave)).values
    assert np.array_equal(lazy[key], values[key])


def test_lists_pick_from_their_axes_independently(tmp_path: Path) -> None:
    lazy = open_cube(write(tmp_path, numbered())).values
    assert np.array_equal(lazy[[2, 0], 1:, [4, 1]], numbered()[np.ix_([2, 0], [1, 2, 3], [4, 1])])


@pytest.mark.parametrize("key", [3, np.s_[0, 0, 0, 0], np.s_[:, 4], np.s_[[0, 7]]], ids=str)
def test_indices_outside_are_refused(tmp_path: Path, key: object) -> None:
    with pytest.raises(IndexError):
        open_cube(write(tmp_path, numbered())).values[key]


@pytest.mark.parametrize("suffix", ["", ".img", ".DAT", ".bsq", ".Raw"])
def test_either_file_of_the_pair_opens_it(tmp_path: Path, suffix: str) -> None:
    header = write(tmp_path, numbered(), suffix=suffix)
    data = tmp_path / f"scene{suffix}"
    assert np.array_equal(open_cube(header).read(), numbered())
    assert np.array_equal(open_cube(data).read(), numbered())
    assert can_read(header)
    assert can_read(data)


def test_header_named_after_the_whole_data_file_is_found(tmp_path: Path) -> None:
    write(tmp_path, numbered(), suffix=".dat").rename(tmp_path / "scene.dat.hdr")
    assert open_cube(tmp_path / "scene.dat").shape == SHAPE
    assert open_cube(tmp_path / "scene.dat.hdr").shape == SHAPE


def test_of_two_data_files_the_one_of_the_right_size_is_read(tmp_path: Path) -> None:
    header = write(tmp_path, numbered(), suffix=".img")
    (tmp_path / "scene.bsq").write_bytes(b"short")
    assert np.array_equal(open_cube(header).read(), numbered())


def test_a_packed_data_file_is_unpacked(tmp_path: Path) -> None:
    header = write(tmp_path, numbered(), interleave="bil", extra="file compression = 1")
    data = tmp_path / "scene.img"
    data.write_bytes(gzip.compress(data.read_bytes()))
    assert np.array_equal(open_cube(header).read(), numbered())


def test_a_large_packed_file_is_read_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi_app.io.envi.UNPACK_LIMIT_BYTES", 0)
    test_a_packed_data_file_is_unpacked(tmp_path)


def test_keys_in_any_case_and_spacing_are_read(tmp_path: Path) -> None:
    header = write(tmp_path, numbered())
    header.write_text(header.read_text().upper().replace(" = ", "=").replace("DATA TYPE", "Data   Type"))
    assert np.array_equal(open_cube(header).read(), numbered())


@pytest.mark.parametrize(
    ("unit", "written"),
    [("Nanometers", "450, 550, 650"), ("nm", "450, 550, 650"), ("Micrometers", ".45, .55, 0.65"), ("um", ".45,.55,.65"),
     ("Unknown", "0.45, 0.55, 0.65"), (None, "450, 550, 650"), (None, "0.45, 0.55, 6.5e-1"),
     ("Angstrom", "4500,5500,6500")],
)  # fmt: skip
def test_wavelengths_come_in_nanometres(tmp_path: Path, unit: str | None, written: str) -> None:
    units = f"wavelength units = {unit}\n" if unit else ""
    cube = open_cube(write(tmp_path, numbered(), f"{units}wavelength = {{{written}}}"))
    assert cube.axis.centres_nm is not None
    np.testing.assert_allclose(cube.axis.centres_nm, [450, 550, 650])


def test_widths_follow_the_unit_of_the_wavelengths(tmp_path: Path) -> None:
    extra = "wavelength units = Micrometers\nwavelength = {.45,.55,.65}\nfwhm = {.01,.011,.012}"
    cube = open_cube(write(tmp_path, numbered(), extra))
    assert cube.axis.fwhm_nm is not None
    np.testing.assert_allclose(cube.axis.fwhm_nm, [10, 11, 12])


def test_the_bad_band_list_marks_zeros(tmp_path: Path) -> None:
    assert open_cube(write(tmp_path, numbered(), "bbl = {1, 0, 1}")).axis.is_bad.tolist() == [False, True, False]


def test_wavelengths_hide_in_band_names(tmp_path: Path) -> None:
    cube = open_cube(write(tmp_path, numbered(), "band names = {a (0.45 Micrometers), b (550 nm), c (650 nm)}"))
    assert cube.axis.centres_nm is not None
    assert cube.axis.centres_nm.tolist() == [450, 550, 650]


def test_the_reflectance_scale_factor_divides(tmp_path: Path) -> None:
    cube = open_cube(write(tmp_path, numbered(), "reflectance scale factor = 10000"))
    assert cube.gain == 1e-4
    assert cube.unit == "reflectance"


def test_gains_and_offsets_for_each_band_are_kept(tmp_path: Path) -> None:
    extra = "data gain values = {1, 2, 3}\ndata offset values = {0, 0, -1}"
    cube = open_cube(write(tmp_path, numbered(), extra))
    assert np.asarray(cube.gain).tolist() == [1, 2, 3]
    assert np.asarray(cube.offset).tolist() == [0, 0, -1]


def test_the_ignore_value_is_missing(tmp_path: Path) -> None:
    cube = open_cube(write(tmp_path, numbered(), "data ignore value = 17"))
    assert int((~cube.block()[1]).sum()) == 1


@pytest.mark.parametrize(
    ("info", "crs", "origin"),
    [
        ("UTM, 1, 1, 300000, 5000000, 30, 30, 33, North, WGS-84, units=Meters", "EPSG:32633", (300000, 5000000)),
        # The reference pixel (1.5, 1.5) is the centre of the first pixel.
        ("UTM, 1.5, 1.5, 300015, 4999985, 30, 30, 33, South, WGS-84", "EPSG:32733", (300000, 5000000)),
        ("UTM, 3, 2, 300060, 4999970, 30, 30, 17, North, North America 1983", "EPSG:26917", (300000, 5000000)),
        ("Geographic Lat/Lon, 1, 1, 13.0, 52.5, 0.001, 0.001, WGS-84, units=Degrees", "EPSG:4326", (13.0, 52.5)),
        ("Arbitrary, 1, 1, 5, 7, 2, 2", None, (5, 7)),
    ],
)
def test_map_info_gives_frame_and_crs(tmp_path: Path, info: str, crs: str | None, origin: tuple[float, float]) -> None:
    georef = open_cube(write(tmp_path, numbered(), f"map info = {{{info}}}")).georef
    assert georef is not None
    assert georef.crs == crs
    assert (georef.transform[2], georef.transform[5]) == pytest.approx(origin)


def test_a_turned_map_frame_lies_where_gdal_puts_it(tmp_path: Path) -> None:
    import rasterio

    extra = "map info = {UTM, 1, 1, 716737.4, 4322229.1, 14.9, 14.9, 10, North, WGS-84, rotation=71}"
    header = write(tmp_path, numbered(), extra)
    georef = open_cube(header).georef
    assert georef is not None
    with rasterio.open(tmp_path / "scene.img") as dataset:
        assert georef.transform == pytest.approx(tuple(dataset.transform)[:6])


def test_a_turned_frame_turns_about_its_reference_pixel(tmp_path: Path) -> None:
    extra = "map info = {UTM, 3, 2, 1000, 2000, 10, 10, 33, North, WGS-84, rotation=30}"
    georef = open_cube(write(tmp_path, numbered(), extra)).georef
    assert georef is not None
    # Its outer corner: half a pixel before the centre of the pixel in line 1, sample 2 (from 0).
    assert georef.xy(0.5, 1.5) == pytest.approx((1000, 2000))


def test_a_spectral_library_is_a_cube_of_one_column(tmp_path: Path) -> None:
    spectra = np.arange(12, dtype="f4").reshape(1, 4, 3)
    extra = "file type = ENVI Spectral Library\nspectra names = {a, b, c, d}\nwavelength = {450, 550, 650}"
    cube = open_cube(write(tmp_path, spectra, extra, code=4, suffix=".sli"))
    assert cube.shape == (3, 4, 1)
    assert cube.spectrum(1, 0).tolist() == [3, 4, 5]
    assert cube.facts["spectra names"] == ["a", "b", "c", "d"]


def test_a_mask_is_true_where_not_zero(tmp_path: Path) -> None:
    mask = np.zeros((1, 4, 5), "u1")
    mask[0, 1, 2] = 1
    assert np.argwhere(read_mask(write(tmp_path, mask, code=1))).tolist() == [[1, 2]]


DAMAGES = {
    "no samples": ("samples = 5\n", "", "'samples'"),
    "letters for a number": ("lines = 4", "lines = four", "four"),
    "complex": ("data type = 2", "data type = 6", "complex"),
    "unknown type": ("data type = 2", "data type = 7", "data type 7"),
    "unknown interleave": ("interleave = bsq", "interleave = xyz", "xyz"),
    "negative": ("bands = 3", "bands = -3", "-3"),
    "byte order": ("byte order = 0", "byte order = 5", "5"),
    "short file": ("bands = 3", "bands = 4", "bands = 3 would fit"),
    "wider type": ("data type = 2", "data type = 4", "data type 2 or 12"),
    "narrower type": ("data type = 2", "data type = 1", "data type 2 or 12"),
    "fewer bands": ("bands = 3", "bands = 2", "bands = 3 would fit"),
    "offset": ("header offset = 0", "header offset = 8", "header offset = 0 would fit"),
    "insane": ("bands = 3", "bands = 99999999999999999999", "but 'scene.img' has 120"),
    "open brace": ("byte order = 0", "byte order = 0\nwavelength = {1, 2", "never closes"),
    "no ENVI": ("ENVI", "INVE", "ENVI"),
    "few wavelengths": ("byte order = 0", "wavelength = {450, 550}", "--no-wavelengths"),
    "no wavelength": ("byte order = 0", "wavelength = {450, green, 650}", "green"),
    "bad bbl": ("byte order = 0", "bbl = {1, 0}", "--no-wavelengths"),
    "map info": ("byte order = 0", "map info = {UTM, 1, 1, here}", "map info"),
    "zero scale": ("byte order = 0", "reflectance scale factor = 0", "positive"),
    "gains": ("byte order = 0", "data gain values = {1, 2}", "2 data gain values"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_header_is_told_in_one_line(tmp_path: Path, damage: str) -> None:
    before, after, told = DAMAGES[damage]
    header = write(tmp_path, numbered())
    text = header.read_text()
    assert before in text
    header.write_text(text.replace(before, after, 1))
    with pytest.raises(FormatError) as caught:
        open_cube(header)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_way_out_that_the_message_names_works(tmp_path: Path) -> None:
    cube = open_cube(write(tmp_path, numbered(), "wavelength = {450, 550}"), wavelengths=False)
    assert cube.axis.centres_nm is None
    assert "without" in cube.history[-1]


def test_a_missing_half_is_named(tmp_path: Path) -> None:
    header = write(tmp_path, numbered())
    (tmp_path / "scene.img").unlink()
    with pytest.raises(FormatError, match="no data file"):
        open_cube(header)
    (tmp_path / "other.img").write_bytes(b"1")
    with pytest.raises(FormatError, match="no header"):
        open_cube(tmp_path / "other.img")


def test_an_empty_header_is_told(tmp_path: Path) -> None:
    header = write(tmp_path, numbered())
    header.write_bytes(b"")
    with pytest.raises(FormatError, match="empty"):
        open_cube(header)


def test_a_file_that_shrinks_after_opening_is_told(tmp_path: Path) -> None:
    cube = open_cube(write(tmp_path, numbered()))
    (tmp_path / "scene.img").write_bytes(b"\0" * 50)
    with pytest.raises(FormatError, match="ends at byte"):
        cube.read()


KEYS = st.sampled_from(
    ["samples", "lines", "bands", "data type", "interleave", "byte order", "header offset", "wavelength", "fwhm", "bbl",
     "wavelength units", "map info", "data ignore value", "reflectance scale factor", "data gain values", "band names",
     "coordinate system string", "file type", "z plot titles", "history"]
)  # fmt: skip
TEXTS = st.text(st.sampled_from("0123456789.-+eE,{}= \nabnifUTMWGS/;°"), max_size=40)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(KEYS, TEXTS), min_size=1, max_size=3))
def test_any_header_opens_or_gives_our_error(tmp_path: Path, changes: list[tuple[str, str]]) -> None:
    header = write(tmp_path, numbered())
    header.write_text(header.read_text() + "\n".join(f"{key} = {text}" for key, text in changes), encoding="utf-8")
    with contextlib.suppress(HsiError):
        open_cube(header).read()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200))
def test_any_bytes_as_header_give_our_error(tmp_path: Path, raw: bytes) -> None:
    header = write(tmp_path, numbered())
    header.write_bytes(b"ENVI\n" + raw)
    with pytest.raises(HsiError):
        open_cube(header)
