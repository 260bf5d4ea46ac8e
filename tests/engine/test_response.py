"""What --srf means: header, sensor, table or matrix, laid on the hyperspectral bands, and every way it can fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.errors import FormatError, HsiError, OperatorError, ParameterError
from hsi_app.fusion.response import Response, response_of
from hsi_app.fusion.sensors import SENSORS, sensor_bands, sensor_names
from hsi_app.io.spectral_library import write_library
from hsi_app.library import SpectralLibrary
from hsi_app.physics.spectral import gaussian_response, tabled_response

# 10 nm apart over all that the sensors see.
AT = np.arange(380.0, 2501.0, 10.0)
HSI = BandAxis(len(AT), AT)
BLIND = BandAxis(len(AT))
# A table of three overlapping triangles, 1 nm apart.
TABLE_NM = np.arange(420.0, 700.0)
TABLE = np.clip(1 - np.abs(TABLE_NM[:, None] - [480.0, 560.0, 650.0]) / [40.0, 50.0, 30.0], 0, None)
NAMES = ("Blue", "Green", "Red")


def centres_of(response: Response | None, at: np.ndarray = AT) -> np.ndarray:
    assert response is not None
    np.testing.assert_allclose(response.matrix.sum(1), 1)
    assert (response.matrix >= 0).all()
    return response.matrix @ at


def table_file(folder: Path, name: str) -> Path:
    """The table in a file of that kind."""
    library, path = SpectralLibrary(TABLE, NAMES, TABLE_NM), folder / name
    whole = np.column_stack([TABLE_NM, TABLE])
    match path.suffix:
        case ".csv" | ".sli":
            write_library(library, path)
        case ".npy":
            np.save(path, whole)
        case ".npz":
            np.savez(path, srf=whole, about="a table")
        case ".mat":
            from scipy.io import savemat

            savemat(str(path), {"srf": whole, "empty": np.zeros((0, 0)), "name": "a table"})
    return path


# The header of the multispectral image


@pytest.mark.parametrize("text", [None, "auto"])
def test_widths_in_the_header_make_gaussians(text: str | None) -> None:
    msi = BandAxis(2, [550.0, 830.0], [60.0, 140.0])
    response = response_of(text, HSI, msi)
    np.testing.assert_allclose(centres_of(response), [550, 830], atol=0.5)
    assert response is not None
    spread = np.sqrt(response.matrix @ AT**2 - (response.matrix @ AT) ** 2)
    np.testing.assert_allclose(spread, np.array([60, 140]) * 0.42466, rtol=0.02)
    assert response.names == ("1 (550.0 nm)", "2 (830.0 nm)")
    assert "header" in response.origin


@pytest.mark.parametrize(
    ("hsi", "msi"),
    [(HSI, BandAxis(2, [550.0, 830.0])), (HSI, BandAxis(2)), (BLIND, BandAxis(2, [550.0, 830.0], [60.0, 140.0]))],
)
def test_where_the_header_says_too_little_it_is_to_be_estimated(hsi: BandAxis, msi: BandAxis) -> None:
    assert response_of(None, hsi, msi) is None


def test_an_estimate_can_be_asked_for() -> None:
    assert response_of("estimate", HSI, BandAxis(2, [550.0, 830.0], [60.0, 140.0])) is None


# Sensors


@pytest.mark.parametrize("name", sensor_names())
def test_every_sensor_lies_on_its_own_bands(name: str) -> None:
    response = response_of(name, HSI, BandAxis(len(SENSORS[name])))
    assert response is not None
    assert response.names == tuple(SENSORS[name])
    # 10 nm bands: what is narrower is seen to within half of one.
    np.testing.assert_allclose(centres_of(response), [centre for centre, _ in SENSORS[name].values()], atol=5)


@pytest.mark.parametrize("written", ["Sentinel 2", "sentinel2", "SENTINEL_2", "sentinel-2"])
def test_a_sensor_is_known_however_its_name_is_written(written: str) -> None:
    found = sensor_bands(written)
    assert found is not None
    assert found[0] == "sentinel-2"


def test_bands_are_recognised_by_their_wavelengths_in_the_order_of_the_image() -> None:
    response = response_of("sentinel-2", HSI, BandAxis(3, [842.0, 665.0, 490.0]))
    assert response is not None
    assert response.names == ("B8", "B4", "B2")


def test_nominal_centres_within_a_band_are_recognised() -> None:
    # A picture with its blue first: in the sensor's own order red would be laid on blue.
    response = response_of("rgb", HSI, BandAxis(3, [450.0, 550.0, 650.0]))
    assert response is not None
    assert response.names == ("blue", "green", "red")


def test_bands_are_recognised_by_their_names() -> None:
    response = response_of("landsat-8", HSI, BandAxis(2, names=("b5", " B3 ")))
    assert response is not None
    assert response.names == ("B5", "B3")


def test_as_many_bands_as_the_sensor_has_are_all_of_them() -> None:
    response = response_of("ikonos", HSI, BandAxis(4))
    assert response is not None
    assert response.names == ("blue", "green", "red", "nir")


@pytest.mark.parametrize("chosen", ["B2,B3,B4,B8", "b2, b3,b4 ,b8", "2,3,4,8"])
def test_bands_are_chosen_by_name_or_number(chosen: str) -> None:
    response = response_of(f"sentinel-2:{chosen}", HSI, BandAxis(4))
    assert response is not None
    assert response.names == ("B2", "B3", "B4", "B8")


def test_what_is_chosen_stands_above_the_wavelengths() -> None:
    response = response_of("sentinel-2:B8A,B4", HSI, BandAxis(2, [842.0, 490.0]))
    assert response is not None
    assert response.names == ("B8A", "B4")


# Tables


@pytest.mark.parametrize("name", ["t.csv", "t.sli", "t.npy", "t.npz", "t.mat"])
def test_a_table_of_any_kind_is_laid_on_the_bands(tmp_path: Path, name: str) -> None:
    response = response_of(str(table_file(tmp_path, name)), HSI, BandAxis(3))
    assert response is not None
    np.testing.assert_allclose(response.matrix, tabled_response(TABLE_NM, TABLE, AT))
    np.testing.assert_allclose(centres_of(response), [480, 560, 650], atol=1)
    assert response.names == (NAMES if name in ("t.csv", "t.sli") else ("1", "2", "3"))


@pytest.mark.parametrize("name", ["um.csv", "um.npy"])
def test_micrometres_are_told_from_nanometres(tmp_path: Path, name: str) -> None:
    whole = np.column_stack([TABLE_NM / 1000, TABLE])
    path = tmp_path / name
    if name.endswith("csv"):
        rows = "\n".join(",".join(f"{value:.6g}" for value in row) for row in whole)
        path.write_text(f"wavelength_um,a,b,c\n{rows}\n")
    else:
        np.save(path, whole)
    np.testing.assert_allclose(centres_of(response_of(str(path), HSI, BandAxis(3))), [480, 560, 650], atol=1)


def test_a_table_without_a_header_line_numbers_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "plain.txt"
    np.savetxt(path, np.column_stack([TABLE_NM, TABLE]))
    np.testing.assert_allclose(centres_of(response_of(f"{path}:3,1", HSI, BandAxis(2))), [650, 480], atol=1)


@pytest.mark.parametrize(
    ("name", "chosen"), [("t.csv", "red,Blue"), ("t.csv", "3,1"), ("t.sli", "Red,1"), ("t.mat", "3,1")]
)
def test_columns_are_chosen_by_name_or_number(tmp_path: Path, name: str, chosen: str) -> None:
    response = response_of(f"{table_file(tmp_path, name)}:{chosen}", HSI, BandAxis(2))
    np.testing.assert_allclose(centres_of(response), [650, 480], atol=1)


def test_columns_of_one_name_are_told_apart_by_number(tmp_path: Path) -> None:
    path = write_library(SpectralLibrary(TABLE, ("a", "a", "b"), TABLE_NM), tmp_path / "twice.csv")
    response = response_of(f"{path}:1,2", HSI, BandAxis(2))
    assert response is not None
    np.testing.assert_allclose(response.matrix, tabled_response(TABLE_NM, TABLE[:, :2], AT))
    with pytest.raises(ParameterError, match=r"2 bands 'a'; choose by number: 1, 2"):
        response_of(f"{path}:a,b", HSI, BandAxis(2))


@pytest.mark.parametrize("scale", [1.0, 1000.0], ids=["nm", "um"])
def test_a_table_on_the_very_bands_of_the_image_may_be_chosen_from(tmp_path: Path, scale: float) -> None:
    # In micrometres its numbers are as small as a response's, and it has a row for each band as a matrix has.
    np.save(tmp_path / "t.npy", np.column_stack([TABLE_NM / scale, TABLE]))
    response = response_of(f"{tmp_path / 't.npy'}:1,3", BandAxis(len(TABLE_NM), TABLE_NM), BandAxis(2))
    assert response is not None
    np.testing.assert_allclose(response.matrix, tabled_response(TABLE_NM, TABLE[:, [0, 2]], TABLE_NM), atol=1e-12)


def test_wavelengths_may_fall(tmp_path: Path) -> None:
    write_library(SpectralLibrary(TABLE[::-1], NAMES, TABLE_NM[::-1]), tmp_path / "t.csv")
    response = response_of(str(tmp_path / "t.csv"), HSI, BandAxis(3))
    np.testing.assert_allclose(centres_of(response), [480, 560, 650], atol=1)


def test_cells_that_were_not_measured_count_as_zero(tmp_path: Path) -> None:
    holed = np.where(TABLE > 0, TABLE, np.nan)
    write_library(SpectralLibrary(holed, NAMES, TABLE_NM), tmp_path / "t.csv")
    np.save(tmp_path / "t.npy", np.column_stack([TABLE_NM, holed]))
    for name in ("t.csv", "t.npy"):
        response = response_of(str(tmp_path / name), HSI, BandAxis(3))
        assert response is not None
        np.testing.assert_allclose(response.matrix, tabled_response(TABLE_NM, TABLE, AT))


# Matrices

MATRIX = np.random.default_rng(0).uniform(0, 1, (3, len(AT)))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", ["npy", "npz", "mat"])
def test_a_matrix_is_taken_both_ways_round(tmp_path: Path, kind: str, turned: bool) -> None:
    path, matrix = tmp_path / f"R.{kind}", MATRIX.T if turned else MATRIX
    if kind == "npy":
        np.save(path, matrix)
    elif kind == "npz":
        np.savez(path, R=matrix, other=np.zeros((5, 5)), vector=np.zeros(4))
    else:
        from scipy.io import savemat

        savemat(str(path), {"R": matrix, "other": np.zeros((5, 5)), "none": np.zeros((0, 3))})
    # A matrix needs no wavelengths.
    response = response_of(str(path), BLIND, BandAxis(3))
    assert response is not None
    np.testing.assert_allclose(response.matrix, MATRIX / MATRIX.sum(1, keepdims=True))
    assert response.names == ("R 1", "R 2", "R 3")


def test_one_of_several_matrices_is_picked_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", first=MATRIX, second=MATRIX[::-1])
    response = response_of(f"{tmp_path / 'two.npz'}::second", HSI, BandAxis(3))
    assert response is not None
    np.testing.assert_allclose(response.matrix, MATRIX[::-1] / MATRIX[::-1].sum(1, keepdims=True))


def test_rows_of_a_matrix_are_chosen_by_number(tmp_path: Path) -> None:
    np.save(tmp_path / "R.npy", MATRIX.T)
    for text in (f"{tmp_path / 'R.npy'}:3,1", f"{tmp_path / 'R.npy'}::R:3,1"):
        response = response_of(text, HSI, BandAxis(2))
        assert response is not None
        np.testing.assert_allclose(response.matrix, MATRIX[[2, 0]] / MATRIX[[2, 0]].sum(1, keepdims=True))


def test_a_matrix_whose_first_column_happens_to_rise_is_no_table(tmp_path: Path) -> None:
    rising = MATRIX.copy()
    rising[:, 0] = 0.3, 0.5, 0.9
    np.save(tmp_path / "R.npy", rising)
    response = response_of(str(tmp_path / "R.npy"), HSI, BandAxis(3))
    assert response is not None
    np.testing.assert_allclose(response.matrix, rising / rising.sum(1, keepdims=True))


def test_a_table_on_the_very_bands_of_the_image_is_no_matrix(tmp_path: Path) -> None:
    # Wavelengths and three responses beside an image of four bands: they are not the response of a first band.
    np.save(tmp_path / "t.npy", np.column_stack([AT, MATRIX.T]))
    with pytest.raises(ParameterError, match="has 3 responses"):
        response_of(str(tmp_path / "t.npy"), HSI, BandAxis(4))


# Tables of the field


def test_the_table_of_ikonos_is_read_and_its_pan_band_left_out(real_data: Path) -> None:
    path = real_data / "srf" / "ikonos_spec_resp.mat"
    response = response_of(f"{path}:2,3,4,5", HSI, BandAxis(4))
    # The published bands; tails of the measured ones move their means by up to 15 nm.
    np.testing.assert_allclose(centres_of(response), [480, 550, 665, 805], atol=20)
    with pytest.raises(ParameterError, match=r"has 5 responses .*name those"):
        response_of(str(path), HSI, BandAxis(4))


def test_the_table_of_landsat_is_read_band_by_band(real_data: Path) -> None:
    path = real_data / "srf" / "Landsat.mat"
    response = response_of(f"{path}:2,3,4,6,7", HSI, BandAxis(5))
    expected = [SENSORS["landsat-8"][band][0] for band in ("B3", "B4", "B5", "B6", "B7")]
    np.testing.assert_allclose(centres_of(response), expected, atol=10)


def test_the_matrix_for_rosis_is_read(real_data: Path) -> None:
    at = np.linspace(430, 860, 103)
    response = response_of(str(real_data / "srf" / "R.mat"), BandAxis(103, at), BandAxis(4))
    assert response is not None
    assert response.matrix.shape == (4, 103)
    assert response.names == ("R 1", "R 2", "R 3", "R 4")
    # For another image it is of no use, and says so.
    with pytest.raises(ParameterError, match="R 4 x 103"):
        response_of(str(real_data / "srf" / "R.mat"), HSI, BandAxis(4))


# What cannot be


def said(text: str, msi: BandAxis, hsi: BandAxis = HSI) -> str:
    """The one line that a person is told."""
    with pytest.raises(HsiError) as caught:
        response_of(text, hsi, msi)
    assert isinstance(caught.value, (ParameterError, FormatError))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_sensor_is_told_which_there_are() -> None:
    told = said("ikonoss:blue", BandAxis(1))
    assert "'ikonoss:blue'" in told
    assert all(name in told for name in sensor_names())


def test_too_many_bands_of_a_sensor_are_told_how_to_choose() -> None:
    assert "--srf sentinel-2:B1,B2,B3,B4" in said("sentinel-2", BandAxis(4))


def test_a_band_that_the_sensor_lacks_is_told_which_there_are() -> None:
    for wanted in ("purple", "0", "5", "²"):
        assert "there are: blue, green, red, nir" in said(f"ikonos:blue,{wanted}", BandAxis(2))


def test_wavelengths_of_another_sensor_are_not_taken_for_this_ones() -> None:
    told = said("ikonos", BandAxis(4, [1200.0, 1600.0, 1700.0, 2200.0]))
    assert "1200, 1600, 1700, 2200 nm are not those of ikonos" in told
    assert "--srf ikonos:blue,green,red,nir" in told


@pytest.mark.parametrize("text", ["ikonos", "TABLE"])
def test_without_hyperspectral_wavelengths_it_says_to_attach_them(tmp_path: Path, text: str) -> None:
    text = str(table_file(tmp_path, "t.csv")) if text == "TABLE" else text
    assert "attach them" in said(text, BandAxis(3 if "csv" in text else 4), BLIND)


@pytest.mark.parametrize("text", ["sentinel-2:B2,B12", None])
def test_a_band_outside_the_hyperspectral_range_is_named(text: str | None) -> None:
    near = BandAxis(61, np.linspace(400, 1000, 61))
    told = said(text or "auto", BandAxis(2, [492.4, 2202.4], [66.0, 175.0]), near)
    assert "2202.4 nm lies outside" in told
    assert "Leave the band out" in told


def test_a_band_in_a_gap_of_the_hyperspectral_bands_is_named() -> None:
    kept = AT[(AT < 1300) | (AT > 1450)]
    assert "1373.5 nm lies in a gap" in said("sentinel-2:B4,B10", BandAxis(2), BandAxis(len(kept), kept))


def test_a_width_of_nothing_is_named() -> None:
    assert "width of 0 nm" in said("auto", BandAxis(2, [500.0, 600.0], [60.0, 0.0]))


def test_too_many_columns_of_a_table_are_told_how_to_choose(tmp_path: Path) -> None:
    told = said(str(table_file(tmp_path, "t.csv")), BandAxis(2))
    assert "3 responses (Blue, Green, Red)" in told
    assert "--srf t.csv:NAME,NAME" in told


def test_a_column_that_is_not_there_is_told_which_there_are(tmp_path: Path) -> None:
    assert "there are: Blue, Green, Red" in said(f"{table_file(tmp_path, 't.csv')}:Nir", BandAxis(1))


def test_a_table_beside_the_hyperspectral_range_is_named(tmp_path: Path) -> None:
    far = BandAxis(50, np.linspace(1000, 2500, 50))
    told = said(str(table_file(tmp_path, "t.csv")), BandAxis(3), far)
    assert "'t.csv'" in told
    assert "do not overlap" in told


def test_a_table_that_only_counts_its_rows_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("band,a,b\n" + "".join(f"{k},0.5,{k}\n" for k in range(1, 9)))
    assert "no wavelengths" in said(str(path), BandAxis(2))


def test_arrays_that_do_not_fit_are_listed_with_what_is_needed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", wrong=np.zeros((4, 7)), line=np.zeros(9), cube=np.zeros((2, 2, 2)))
    told = said(str(tmp_path / "a.npz"), BandAxis(3))
    assert "wrong 4 x 7" in told
    assert f"3 x {len(AT)}" in told


def test_two_arrays_that_fit_are_told_how_to_pick(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=MATRIX, two=MATRIX)
    assert "'a.npz::NAME' picks one" in said(str(tmp_path / "a.npz"), BandAxis(3))


def test_an_array_that_is_not_there_is_told_which_there_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=MATRIX)
    assert "there are: one" in said(f"{tmp_path / 'a.npz'}::three", BandAxis(3))


def test_rows_that_are_not_as_many_as_the_bands_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "R.npy", MATRIX)
    assert "2 rows of 'R.npy'" in said(f"{tmp_path / 'R.npy'}:1,2", BandAxis(3))


@pytest.mark.parametrize("name", ["broken.mat", "broken.npy", "broken.npz", "broken.csv", "broken.sli", "broken.tif"])
def test_a_broken_file_is_a_format_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00\x01 nothing of the kind \xff" * 20)
    with pytest.raises(FormatError, match=r"broken"):
        response_of(str(tmp_path / name), HSI, BandAxis(3))


@pytest.mark.parametrize(("value", "words"), [(np.nan, "no numbers"), (-1.0, "sees none"), (0.0, "sees none")])
def test_a_band_without_a_response_is_named(value: float, words: str) -> None:
    matrix = np.ones((3, 5))
    matrix[1] = value
    with pytest.raises(ParameterError, match=rf"^band 2 .*{words}"):
        Response(matrix, NAMES, "test")


def test_negative_responses_count_as_none() -> None:
    np.testing.assert_allclose(Response(np.array([[-0.2, 1.0, 3.0]]), ("a",), "test").matrix, [[0, 0.25, 0.75]])


# Uneven bands

# Water vapour: 1340 to 1430 nm left out.
GAPPED = AT[(AT < 1340) | (AT > 1430)]


@pytest.mark.parametrize("kind", ["gaussian", "table"])
def test_a_band_beside_a_gap_does_not_stand_for_the_gap(kind: str) -> None:
    if kind == "gaussian":
        weights = gaussian_response(np.array([1310.0]), np.array([1e5]), GAPPED)[0]
    else:
        weights = tabled_response(np.array([300.0, 2600.0]), np.ones((2, 1)), GAPPED)[0]
    # A flat response: all count alike but those beside the gap, by half as much again at most.
    beside = np.isin(GAPPED, (1330, 1440))
    np.testing.assert_allclose(weights[~beside], weights[0], rtol=1e-3)
    assert (weights[beside] <= 1.501 * weights[0]).all()


def test_denser_bands_count_less_each() -> None:
    # 5 nm apart below 1000 nm, 10 nm above: a flat band from 900 to 1100 nm is centred all the same.
    at = np.concatenate([np.arange(400.0, 1000.0, 5.0), np.arange(1000.0, 1600.0, 10.0)])
    table_nm = np.array([899.0, 900.0, 1100.0, 1101.0])
    response = tabled_response(table_nm, np.array([[0.0], [1.0], [1.0], [0.0]]), at)
    assert float((response @ at)[0]) == pytest.approx(1000.0, abs=3.0)


def test_the_order_of_the_bands_is_of_no_account() -> None:
    # Spectrometers that overlap list their bands one after the other.
    order = np.random.default_rng(0).permutation(len(GAPPED))
    centres, widths = np.array([660.0, 1325.0]), np.array([60.0, 80.0])
    whole = gaussian_response(centres, widths, GAPPED)
    np.testing.assert_allclose(gaussian_response(centres, widths, GAPPED[order]), whole[:, order])


def test_two_bands_at_one_place_share_its_weight() -> None:
    at = np.array([400.0, 410.0, 420.0, 420.0, 430.0, 440.0])
    weights = gaussian_response(np.array([420.0]), np.array([1e5]), at)[0]
    assert weights[2] + weights[3] == pytest.approx(weights[1], rel=0.01)


def test_a_narrow_band_between_sparse_ones_is_seen_by_its_neighbours() -> None:
    sparse = np.arange(400.0, 1000.0, 60.0)
    response = gaussian_response(np.array([550.0]), np.array([10.0]), sparse)
    assert float((response @ sparse)[0]) == pytest.approx(550, abs=1)
    with pytest.raises(OperatorError, match="gap"):
        gaussian_response(np.array([550.0]), np.array([10.0]), sparse[np.abs(sparse - 550) > 100])
