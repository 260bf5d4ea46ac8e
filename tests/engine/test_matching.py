"""Scores of unmixing: who is who, angles, errors."""

from __future__ import annotations

import numpy as np
import pytest

from hsi_app.errors import CubeError
from hsi_app.unmixing.matching import match, spectral_angles

RNG = np.random.default_rng(0)
SPECTRA = RNG.uniform(0.1, 1, (30, 4))
SHARES = RNG.dirichlet(np.ones(4), (6, 7)).transpose(2, 0, 1)


def test_identical_spectra_have_no_angle_at_all() -> None:
    assert (np.diag(spectral_angles(SPECTRA, SPECTRA)) == 0).all()
    # An arc cosine of the normalised product would give 2e-8 here, or NaN.
    assert np.diag(spectral_angles(SPECTRA * 3.7, SPECTRA)).max() < 1e-15


def test_angles_of_known_size() -> None:
    one = np.array([[1.0], [0.0]])
    for angle in (1e-9, 0.3, np.pi / 2, 3.0):
        other = np.array([[np.cos(angle)], [np.sin(angle)]])
        assert spectral_angles(other, one)[0, 0] == pytest.approx(angle, rel=1e-6)


def test_order_and_scale_change_nothing() -> None:
    found = SPECTRA + RNG.normal(0, 0.02, SPECTRA.shape)
    shares = SHARES + RNG.normal(0, 0.03, SHARES.shape)
    plain = match(found, SPECTRA, shares, SHARES)
    order = [2, 0, 3, 1]
    turned = match(found[:, order] * [0.1, 7, 2, 30], SPECTRA, shares[order], SHARES)
    np.testing.assert_allclose(turned.angles, plain.angles, atol=1e-9)
    assert turned.rmse == pytest.approx(plain.rmse, abs=1e-12)
    np.testing.assert_array_equal(np.array(order)[turned.found], plain.found)


def test_pairs_are_chosen_together_not_one_by_one() -> None:
    # The nearest to both known spectra is the first found one; only one of them can have it.
    known = np.array([[1.0, 1.0], [0.0, 0.2]])
    found = np.array([[1.0, 1.0], [0.1, 1.0]])
    np.testing.assert_array_equal(match(found, known).found, [0, 1])


def test_radians_and_degrees_agree_and_errors_are_named() -> None:
    plain = match(SPECTRA[:, ::-1] + 0.05, SPECTRA, SHARES[::-1] + 0.02, SHARES).plain()
    assert plain["sad_deg"] == pytest.approx(np.degrees(plain["sad_rad"]))
    assert plain["rmse"] == pytest.approx(0.02)
    assert plain["mean_material_rmse"] == pytest.approx(np.mean([m["rmse"] for m in plain["materials"]]))
    assert [m["found"] for m in plain["materials"]] == [3, 2, 1, 0]


def test_what_is_missing_is_left_out() -> None:
    shares, spectra = SHARES.copy(), SPECTRA.copy()
    shares[:, 2, 3] = np.nan
    spectra[5] = np.nan
    found = match(spectra, SPECTRA, shares, SHARES)
    assert found.rmse == 0
    assert found.angles.max() < 1e-15


def test_more_found_than_known_leaves_some_over() -> None:
    assert match(SPECTRA, SPECTRA[:, [3, 1]]).found.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("found", "known", "words"),
    [
        (SPECTRA[:20], SPECTRA, "20 bands found, 30 known"),
        (SPECTRA[:, :2], SPECTRA, "2 materials found for 4"),
        (np.full((30, 4), np.nan), SPECTRA, "no band in common"),
    ],
)
def test_what_does_not_fit_is_refused(found: np.ndarray, known: np.ndarray, words: str) -> None:
    with pytest.raises(CubeError, match=words):
        match(found, known)


def test_abundances_of_another_size_are_refused() -> None:
    with pytest.raises(CubeError, match=r"\(5, 7\) pixels against \(6, 7\)"):
        match(SPECTRA, SPECTRA, SHARES[:, :5], SHARES)
