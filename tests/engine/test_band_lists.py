"""Lists of bands as people write them, and their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_app.band_lists import (
    format_bands,
    noisy_bands,
    parse_bands,
    read_band_list,
    water_vapour_bands,
    write_band_list,
)
from hsi_app.bands import BandAxis
from hsi_app.errors import FormatError, OutputError, ParameterError
from hsi_app.noise import NoiseReport

COUNT = 60
AXIS = BandAxis(COUNT, np.linspace(400, 2170, COUNT))  # 30 nm apart
BLIND = BandAxis(COUNT)


@given(st.sets(st.integers(0, COUNT - 1)))
def test_a_written_list_is_read_as_the_same_bands(bands: set[int]) -> None:
    assert parse_bands(format_bands(bands), AXIS).tolist() == sorted(bands)


@pytest.mark.parametrize(
    ("text", "bands"),
    [
        ("", []),
        ("1-3, 7", [0, 1, 2, 6]),
        ("7; 1 - 3,\n2", [0, 1, 2, 6]),
        ("400-460 nm", [0, 1, 2]),
        ("0.40 to 0.46 um", [0, 1, 2]),
        ("431 nm", [1]),
        ("401-429nm", []),
        ("60, 2170 NM", [59]),
        ("2–3", [1, 2]),
    ],
)
def test_numbers_are_bands_and_units_make_wavelengths(text: str, bands: list[int]) -> None:
    assert parse_bands(text, AXIS).tolist() == bands


@pytest.mark.parametrize("text", ["0", "61", "5-2", "1.5", "a", "-3", "500-400 nm", "1-2-3", "4 m"])
def test_what_is_no_list_is_refused_with_the_part_that_is_wrong(text: str) -> None:
    with pytest.raises(ParameterError, match=f"'{text}'"):
        parse_bands(f"1, {text}", AXIS)


def test_wavelengths_are_refused_where_none_are_known() -> None:
    with pytest.raises(ParameterError, match="band numbers"):
        parse_bands("400-500 nm", BLIND)
    with pytest.raises(ParameterError):
        water_vapour_bands(BLIND)


def test_water_vapour_is_two_stretches() -> None:
    assert AXIS.centres_nm is not None
    inside = AXIS.centres_nm[water_vapour_bands(AXIS)]
    outside = np.setdiff1d(AXIS.centres_nm, inside)
    assert ((inside >= 1350) & (inside <= 1450) | (inside >= 1800) & (inside <= 1950)).all()
    assert not ((outside >= 1350) & (outside <= 1450) | (outside >= 1800) & (outside <= 1950)).any()


def test_bands_of_unknown_noise_count_as_noisy() -> None:
    ones = np.ones(4)
    report = NoiseReport(ones, np.array([10.0, 20.0, np.nan, 30.0]), ones, ones, ones, ones)
    assert noisy_bands(report, 20.0).tolist() == [0, 2]


# ---- files ---------------------------------------------------------------------------------------------------------


@given(bands=st.sets(st.integers(0, COUNT - 1)))
@pytest.mark.parametrize("axis", [AXIS, BLIND], ids=["wavelengths", "blind"])
@pytest.mark.parametrize("ending", [".csv", ".txt"])
def test_a_saved_list_is_the_same_again(
    axis: BandAxis, ending: str, bands: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lists") / f"bad{ending}"
    write_band_list(path, axis.marked(sorted(bands)))
    assert read_band_list(path, axis).tolist() == sorted(bands)


def test_a_list_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = write_band_list(tmp_path / "bad.csv", AXIS)
    with pytest.raises(OutputError):
        write_band_list(path, AXIS)
    write_band_list(path, AXIS.marked([3]), overwrite=True)
    assert read_band_list(path, AXIS).tolist() == [3]


@pytest.mark.parametrize(
    "text",
    [
        "bbl = {1, 0, 1,\n 0}",
        "ENVI\nbands = 4\nbbl = {1,0,1,0}\nwavelength = {1,2,3,4}\n",
        "1 0 1 0",
        "1\n0\n1\n0\n",
        "2, 4",
        "# from the field\n2\n4\n",
        "Band,IS_BAD\n1,0\n2,yes\n3,good\n4,1\n",
    ],
)
def test_lists_of_other_programs_are_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(text)
    assert read_band_list(tmp_path / "list.txt", BandAxis(4)).tolist() == [1, 3]


@pytest.mark.parametrize(
    "text", ["ENVI\nbands = 4\n", "bbl = {1, 0}", "9", "band,is_bad\n1,perhaps\n", "number,is_bad\n1,1\n", "bad apples"]
)
def test_a_file_that_says_nothing_of_these_bands_is_refused_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(FormatError, match=r"list\.txt"):
        read_band_list(tmp_path / "list.txt", BandAxis(4))


def test_what_is_no_text_or_too_large_or_absent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cube.bsq").write_bytes(b"\xff\xfe\x00" * 50)
    (tmp_path / "big.txt").write_bytes(b"1" * (2**20 + 1))
    for name in ("cube.bsq", "big.txt", "absent.txt"):
        with pytest.raises(FormatError):
            read_band_list(tmp_path / name, AXIS)
