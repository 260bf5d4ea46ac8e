"""Spectra, pins and their export, without any window."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hsi_napari.spectrum_model import RegionLine, Source, SpectrumModel, spans_of
from hsi_napari.spectrum_reading import Spectra
from hsi_napari.spectrum_views import TITLES, View

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.jobs import Job
from hsi_app.spectra import continuum_removed, derivative
from hsi_app.spectral_regions import Region, RegionSpectrum, region_spectrum
from hsi_app.tiling import Window

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


def test_bands_side_by_side_are_one_stretch() -> None:
    x = np.array([10.0, 20.0, 30.0, 50.0, 60.0])
    assert spans_of([0, 1, 4], x) == [(5.0, 25.0), (55.0, 65.0)]
    assert spans_of([], x) == []
    # Detectors may be listed in any order.
    assert spans_of([0, 4], x[::-1]) == [(5.0, 15.0), (55.0, 65.0)]


def test_stretches_of_one_band_and_of_all_bands_end_half_way_to_the_neighbours() -> None:
    assert spans_of([0], np.array([500.0])) == [(499.5, 500.5)]
    assert spans_of([0, 1, 2], np.array([1.0, 2.0, 3.0])) == [(0.5, 3.5)]


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


# ---- views ---------------------------------------------------------------------------------------------------------


def test_a_view_changes_what_is_shown_and_not_what_is_measured(model: SpectrumModel) -> None:
    model.pin(5, 6)
    (values,) = model.curves()
    model.view = View("continuum")
    (shown,), (measured,) = model.curves(), model.measured()
    assert np.array_equal(measured.y, values.y, equal_nan=True)
    assert np.allclose(shown.y, continuum_removed(values.x, values.y), equal_nan=True)


@pytest.mark.parametrize(("kind", "order"), [("first", 1), ("second", 2)])
def test_derivatives_are_taken_along_the_wavelength_and_not_at_bad_bands(
    model: SpectrumModel, kind: Any, order: int
) -> None:
    model.view = View(kind, 5)
    (curve,) = model.at(5, 6, "", "")
    (measured,) = model.measured_at(5, 6, "", "")
    assert np.allclose(curve.y, derivative(measured.x, measured.y, order, 5), equal_nan=True)
    assert np.isnan(curve.y[4])
    assert np.isfinite(curve.y[:4]).all()


@pytest.mark.parametrize(
    ("kind", "unit", "centres", "title"),
    [
        ("values", "reflectance", True, "Reflectance"),
        ("continuum", "reflectance", True, "Continuum removed"),
        ("first", "reflectance", True, "d reflectance / d nm"),
        ("second", "", True, "d² value / d nm²"),
        ("first", "W m-2 sr-1 um-1", False, "d W m-2 sr-1 um-1 / d band"),
    ],
)
def test_the_upright_axis_names_what_is_shown_with_its_unit(
    full_cube: Cube, kind: Any, unit: str, centres: bool, title: str
) -> None:
    bands = full_cube.bands if centres else BandAxis(6)
    model = SpectrumModel(COLOURS, Source("scene", replace(full_cube, unit=unit, bands=bands)), view=View(kind))
    assert model.shown_title() == title


def test_the_spread_of_a_region_is_shown_with_its_values_only(model: SpectrumModel, full_cube: Cube) -> None:
    model.regions = [region_of(full_cube)]
    for kind in TITLES:
        model.view = View(kind)
        (curve,) = model.curves()
        assert (curve.low is not None) is (kind == "values")


# ---- regions -------------------------------------------------------------------------------------------------------


def region_of(cube: Cube, name: str = "ROI 1", second: Cube | None = None) -> RegionLine:
    """Rows 4-7, columns 2-6 as a region."""
    region = Region(Window(4, 2, 4, 5), np.ones((4, 5), bool))
    after = None if second is None else region_spectrum(second, region)
    return RegionLine(name, "#000009", region_spectrum(cube, region), after)


def test_a_region_is_a_line_between_the_edges_of_its_spread(model: SpectrumModel, full_cube: Cube) -> None:
    model.regions = [region_of(full_cube)]
    (curve,) = model.curves()
    inside = np.asarray(full_cube.values)[:, 4:8, 2:7].reshape(6, -1) * 1e-4 + 0.5
    good = ~full_cube.axis.is_bad
    assert curve.label == "ROI 1 (20 px)"
    assert np.allclose(curve.y[good], inside.mean(axis=1)[good])
    assert np.allclose((curve.high - curve.low)[good], 2 * inside.std(axis=1, ddof=1)[good])  # type: ignore[operator]
    assert np.isnan(curve.y[4])


def test_regions_have_a_line_before_and_one_after(model: SpectrumModel, full_cube: Cube) -> None:
    better = full_cube.replace(np.asarray(full_cube.values) // 2, "halved")
    model.second = Source("better", better)
    model.regions = [region_of(full_cube, second=better), region_of(full_cube, "ROI 2")]
    assert [(curve.label, curve.is_after) for curve in model.curves()] == [
        ("ROI 1 before (20 px)", False),
        ("ROI 1 after (20 px)", True),
        ("ROI 2 before (20 px)", False),
    ]


def test_mean_deviation_and_number_of_a_region_are_exported(model: SpectrumModel, full_cube: Cube) -> None:
    model.view = View("continuum")  # a table holds what was measured
    model.pin(5, 6)
    model.regions = [region_of(full_cube, "label 3")]
    notes, rows = table_of(model.to_csv())
    assert "# label 3: 20 px" in notes
    assert list(rows[0])[3:] == ["pin 1 scene", "label 3 mean scene", "label 3 std scene", "label 3 n scene"]
    spectrum = model.regions[0].first
    assert spectrum is not None
    assert np.allclose([float(row["label 3 mean scene"]) for row in rows], spectrum.mean)
    assert np.allclose([float(row["label 3 std scene"]) for row in rows], spectrum.std)
    assert {row["label 3 n scene"] for row in rows} == {"20"}


def test_regions_alone_can_be_exported(model: SpectrumModel, full_cube: Cube) -> None:
    model.regions = [region_of(full_cube)]
    _, rows = table_of(model.to_csv())
    assert len(rows) == 6


def test_of_a_large_region_the_note_says_how_much_was_read() -> None:
    part = RegionSpectrum(1_280_000, 9_000, np.zeros(2), np.zeros(2), np.zeros(2, int))
    assert RegionLine("ROI 1", "", part).size == "≈ 1,280,000 px, 9,000 read"


# ---- spectra that must be read first -------------------------------------------------------------------------------


def test_spectra_in_memory_are_never_waited_for(model: SpectrumModel) -> None:
    model.pin(5, 6)
    assert model.unread_pins() == []


def test_a_spectrum_on_disk_has_no_line_until_it_was_read(full_cube: Cube, on_disk: Any) -> None:
    values = on_disk(np.asarray(full_cube.values))
    model = SpectrumModel(COLOURS, Source("scene", replace(full_cube, values=values)))
    model.pin(5, 6)
    assert model.curves() == []
    assert values.samples == 0
    ((spectra, row, col, box),) = model.unread_pins()
    spectra.read(row, col, box)
    (curve,) = model.curves()
    assert np.allclose(np.delete(curve.y, 4), np.delete(full_cube.spectrum(5, 6), 4))
    assert model.unread_pins() == []
    read = values.samples
    model.curves()
    assert values.samples == read


def test_the_box_counts_where_spectra_are_read(full_cube: Cube, on_disk: Any) -> None:
    model = SpectrumModel(COLOURS, Source("scene", replace(full_cube, values=on_disk(np.asarray(full_cube.values)))))
    model.pin(5, 6)
    (ask,) = model.unread_pins()
    ask[0].read(*ask[1:])
    model.box = 3
    (ask,) = model.unread_pins()
    assert ask[1:] == (5, 6, 3)


def test_a_preview_serves_the_mouse_and_not_a_pin(full_cube: Cube, on_disk: Any) -> None:
    full_cube = replace(full_cube, valid=None)
    spectra = Spectra(replace(full_cube, values=on_disk(np.asarray(full_cube.values))))
    spectra.build(Job())
    model = SpectrumModel(COLOURS, Source("scene", spectra.cube, spectra=spectra))
    assert model.unread([(5, 6)], needs_true=False) == []
    assert len(model.unread([(5, 6)], needs_true=True)) == 1
    (curve,) = model.at(5, 6, "1", "")
    assert curve.is_preview
    assert curve.label == "1 preview"
    assert np.allclose(np.delete(curve.y, 4), np.delete(full_cube.spectrum(5, 6), 4), atol=1e-4)
    spectra.read(5, 6, 1)
    (curve,) = model.at(5, 6, "1", "")
    assert not curve.is_preview


def test_what_is_kept_of_a_cube_is_bounded(full_cube: Cube, on_disk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi_napari.spectrum_reading.KEPT", 3)
    spectra = Spectra(replace(full_cube, values=on_disk(np.asarray(full_cube.values))))
    for col in range(5):
        spectra.read(5, col, 1)
    assert [spectra.known(5, col, 1) is not None for col in range(5)] == [False, False, True, True, True]


def test_the_copy_for_a_thread_asks_no_layer(full_cube: Cube) -> None:
    asked: list[float] = []

    def to_pixel(y: float, x: float) -> tuple[float, float]:
        asked.append(y)
        return 2 * y + 0.5, 2 * x - 1

    model = SpectrumModel(COLOURS, Source("scene", full_cube, to_pixel))
    model.pin(2, 3)
    copy = model.fixed()
    asked.clear()
    assert copy.first is not None
    assert copy.first.pixel(2, 3) == (5, 5)
    copy.pins.clear()
    assert len(model.pins) == 1
    assert asked == []
