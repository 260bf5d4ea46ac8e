"""Spectra, pins and their export, without any window."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from hsi_napari.spectrum_model import Source, SpectrumModel

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError

COLOURS = ("#000001", "#000002", "#000003")


@pytest.fixture
def model(full_cube: Cube) -> SpectrumModel:
    return SpectrumModel(COLOURS, first=Source("scene", full_cube))


def table_of(text: str) -> tuple[list[str], list[dict[str, str]]]:
    """Comment lines and rows of an exported table."""
    lines = text.splitlines()
    notes = [line for line in lines if line.startswith("#")]
    return notes, list(csv.DictReader(line for line in lines if not line.startswith("#")))


def test_a_curve_shows_physical_values_over_wavelength(model: SpectrumModel, full_cube: Cube) -> None:
    (curve,) = model.at(5, 6, "mouse", "#ffffff")
    assert np.array_equal(curve.x, full_cube.axis.centres_nm)
    good = ~full_cube.axis.is_bad
    expected = np.asarray(full_cube.values)[:, 5, 6] * 1e-4 + 0.5
    assert np.allclose(curve.y[good], expected[good])


def test_missing_samples_and_bad_bands_are_gaps(model: SpectrumModel) -> None:
    (missing,) = model.at(0, 0, "", "")
    assert np.isnan(missing.y).all()
    (present,) = model.at(5, 6, "", "")
    assert np.flatnonzero(np.isnan(present.y)).tolist() == [4]


def test_the_box_averages_around_the_place(model: SpectrumModel, full_cube: Cube) -> None:
    model.box = 3
    (curve,) = model.at(5, 6, "", "")
    mean = np.asarray(full_cube.values)[:, 4:7, 5:8].mean(axis=(1, 2)) * 1e-4 + 0.5
    assert np.allclose(curve.y[:4], mean[:4])


def test_without_wavelengths_bands_are_counted_from_one(full_cube: Cube) -> None:
    cube = replace(full_cube, bands=BandAxis(6))
    model = SpectrumModel(COLOURS, first=Source("scene", cube))
    (curve,) = model.at(5, 6, "", "")
    assert curve.x.tolist() == [1, 2, 3, 4, 5, 6]
    assert model.axis_title() == "Band"


@pytest.mark.parametrize("place", [(-0.6, 3), (3, 9.6), (11.6, 0)], ids=["above", "right", "below"])
def test_outside_the_image_nothing_is_pinned(model: SpectrumModel, place: tuple[float, float]) -> None:
    assert model.pin(*place) is None
    assert model.pins == []


def test_a_pixel_reaches_half_a_pixel_around_its_centre(model: SpectrumModel) -> None:
    assert model.first is not None
    assert model.first.pixel(2.49, 3.51) == (2, 4)


def test_numbers_and_colours_stay_with_their_pins_when_others_go(model: SpectrumModel) -> None:
    for _ in range(4):
        model.pin(5, 5)
    model.keep([2, 4])
    new = model.pin(6, 6)
    assert [(pin.number, pin.colour) for pin in model.pins] == [(2, COLOURS[1]), (4, COLOURS[0]), (5, COLOURS[1])]
    assert new is not None
    assert new.number == 5


def test_after_clearing_pins_count_from_one_again(model: SpectrumModel) -> None:
    model.pin(5, 5)
    model.clear()
    pin = model.pin(5, 5)
    assert pin is not None
    assert (pin.number, pin.colour) == (1, COLOURS[0])


def test_a_moved_pin_keeps_number_and_colour_and_shows_the_new_place(model: SpectrumModel) -> None:
    model.pin(5, 5)
    model.move(1, 7, 8)
    (curve,) = model.curves()
    assert (curve.number, curve.colour) == (1, COLOURS[0])
    assert np.allclose(curve.y, model.at(7, 8, "", "")[0].y, equal_nan=True)


def test_before_and_after_come_from_the_same_ground_on_unlike_grids(model: SpectrumModel, full_cube: Cube) -> None:
    fine = np.repeat(np.repeat(np.asarray(full_cube.values), 2, 1), 2, 2)
    finer = replace(full_cube.upsampled(fine, 2, "finer"), valid=None)
    model.second = Source("finer", finer, lambda y, x: (2 * y + 0.5, 2 * x + 0.5))
    before, after = model.at(5, 6, "1", "")
    assert (before.is_after, after.is_after) == (False, True)
    assert np.allclose(before.y, after.y, equal_nan=True)


@pytest.mark.parametrize(
    ("bad", "spans"),
    [
        ([0, 1, 1, 0, 0], [(405, 435)]),  # neighbours join; edges lie half-way to the next band
        ([1, 0, 0, 0, 1], [(395, 405), (450, 470)]),
        ([0, 0, 0, 0, 0], []),
    ],
)
def test_bad_bands_are_shaded_to_half_way_to_their_neighbours(bad: list[int], spans: list[tuple[float, float]]) -> None:
    cube = Cube(np.zeros((5, 2, 2)), bands=BandAxis(5, [400, 410, 430, 440, 460], bad=bad))
    found = SpectrumModel(COLOURS, first=Source("s", cube)).bad_spans()
    assert np.allclose(np.reshape(found, (-1, 2)), np.reshape(spans, (-1, 2)))
    assert len(found) == len(spans)


def test_a_bad_band_alone_in_its_cube_is_shaded_one_band_wide() -> None:
    cube = Cube(np.zeros((1, 2, 2)), bands=BandAxis(1, bad=[True]))
    assert SpectrumModel(COLOURS, first=Source("s", cube)).bad_spans() == [(0.5, 1.5)]


def test_exported_table_holds_the_spectra_the_places_and_the_flags(model: SpectrumModel, full_cube: Cube) -> None:
    model.pin(5, 6)
    model.pin(0, 0)
    notes, rows = table_of(model.to_csv())
    assert "row 5, col 6 · x 400052, y 5799956" in notes[0]
    assert [float(row["wavelength_nm"]) for row in rows] == full_cube.axis.centres_nm.tolist()  # type: ignore[union-attr]
    assert [row["bad"] for row in rows] == ["0", "0", "0", "0", "1", "0"]
    assert np.allclose([float(row["pin 1 scene"]) for row in rows], full_cube.spectrum(5, 6), rtol=1e-8)
    assert {row["pin 2 scene"] for row in rows} == {""}


def test_before_and_after_are_columns_of_their_own(model: SpectrumModel, full_cube: Cube) -> None:
    model.second = Source("better", full_cube.replace(np.asarray(full_cube.values) * 2, "twice"))
    model.pin(5, 6)
    _, rows = table_of(model.to_csv())
    assert list(rows[0])[3:] == ["pin 1 scene", "pin 1 better"]
    assert float(rows[0]["pin 1 better"]) == pytest.approx(2 * (float(rows[0]["pin 1 scene"]) - 0.5) + 0.5)


def test_there_is_nothing_to_export_without_pins(model: SpectrumModel) -> None:
    with pytest.raises(CubeError, match="click on the image"):
        model.to_csv()
