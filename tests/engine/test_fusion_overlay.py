"""The picture of a registration: grey where images lie on each other, fringes where they do not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, ParameterError
from hsi_app.fusion.overlay import overlay
from hsi_app.fusion.runner import FusionSettings
from hsi_app.jobs import Job

BANDS, RATIO = 12, 4


@cache
def pair(moved: tuple[float, float] = (0.0, 0.0)) -> tuple[Cube, Cube]:
    """A coarse cube, and a sharp image of three bands that lies ``moved`` pixels off."""
    rng = np.random.default_rng(3)
    ground = gaussian_filter(rng.normal(size=(160, 128)), 3) * 8 + 2
    spectrum = np.linspace(0.5, 1.0, BANDS)
    coarse = ground.reshape(40, RATIO, 32, RATIO).mean((1, 3)) * spectrum[:, None, None]
    sharp = shift(ground, moved, mode="nearest") * np.array([0.6, 0.75, 0.9])[:, None, None]
    centres = np.linspace(450, 900, BANDS)
    return (
        Cube(coarse.astype(np.float32), BandAxis(BANDS, centres)),
        Cube(sharp.astype(np.float32), BandAxis(3, [480, 560, 660], [60, 60, 60])),
    )


def fringes(picture: np.ndarray) -> float:
    """Mean difference of red and cyan where both images are, grey levels."""
    there = picture[..., 3] > 0
    return float(np.abs(picture[..., 0].astype(float) - picture[..., 1])[there].mean())


def test_images_in_place_are_grey_and_moved_ones_have_fringes() -> None:
    frame = FusionSettings(registration="frame")
    still, moved = overlay(*pair(), frame), overlay(*pair((6.0, -4.0)), frame)
    assert fringes(still.picture) < 6
    assert fringes(moved.picture) > 4 * fringes(still.picture)
    assert still.correlation > 0.99 > moved.correlation


def test_a_move_that_the_images_tell_of_leaves_no_fringes() -> None:
    found = overlay(*pair((6.0, -4.0)), FusionSettings(registration="estimate"))
    assert fringes(found.picture) < 8
    assert any("shift" in line for line in found.lines)


def test_the_picture_lies_where_the_sharp_image_is_placed() -> None:
    found = overlay(*pair(), FusionSettings(registration="frame"))
    assert found.picture.shape == (160, 128, 4)
    corners = np.array([[0, 0], [159, 127]], float)
    assert np.allclose(found.placement.points(corners), [[-0.375, -0.375], [39.375, 31.375]])


def test_ground_that_one_image_misses_is_clear() -> None:
    hsi, msi = pair()
    values = hsi.read().copy()
    values[:, :10] = np.nan
    picture = overlay(Cube(values, hsi.axis), msi, FusionSettings(registration="frame")).picture
    assert not picture[:36, :, 3].any()
    assert picture[48:, :, 3].all()


@pytest.mark.parametrize(("how", "words"), [("none", "registration is 'none'"), ("map", "no map frame in common")])
def test_without_a_registration_there_is_nothing_to_show(how: str, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        overlay(*pair(), FusionSettings(registration=how))  # type: ignore[arg-type]


def test_it_stops_when_asked() -> None:
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        overlay(*pair(), job=job)
