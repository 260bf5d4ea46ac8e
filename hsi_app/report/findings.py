"""What a report measures: noise, stripes, change and structure per band, from samples of the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_app.noise import MAD_TO_STD, NoiseReport, measure_noise, robust_std
from hsi_app.report.sampling import Spectra, sample_spectra

if TYPE_CHECKING:
    from hsi_app.runner import Result

# A band counts as striped from here on; 1 is what pixel noise alone gives (metrics.stripe_strength).
STRIPED_FROM = 1.5


@dataclass(frozen=True)
class Place:
    """A pixel worth showing: what it is, and where (row and column from 0)."""

    label: str
    row: int
    col: int


@dataclass(frozen=True, eq=False)
class Findings:
    """Figures of a restoration; per band (B,) float64 in physical units, NaN where nothing could be measured.

    noise : standard deviation that the other bands cannot explain, before
    grain_before, grain_after : standard deviation of the finest detail (second differences along rows); holds the
        scene's own texture as well as noise
    removed_std : standard deviation of what was removed
    change : typical magnitude of what was removed over that of the band, [0, inf)
    structure : correlation of what was removed between neighbouring pixels, [-1, 1]; 0 for pure grain, 1 for a
        picture or a stripe
    stripes_before, stripes_after : stripe strength, the stronger of rows and columns; 1 = none
    worked : (B,) bool, bands the method worked on
    changed_share : share of observed samples that changed, [0, 1]
    filled_share : share of samples that were missing before and are not after, [0, 1]
    before : noise report of the input (stored units)
    spectra : the sample behind it
    places : pixels whose spectra are shown
    score_before, score_after : figures against a reference, empty without one
    """

    noise: np.ndarray
    grain_before: np.ndarray
    grain_after: np.ndarray
    removed_std: np.ndarray
    change: np.ndarray
    structure: np.ndarray
    stripes_before: np.ndarray
    stripes_after: np.ndarray
    worked: np.ndarray
    changed_share: float
    filled_share: float
    before: NoiseReport
    spectra: Spectra
    places: tuple[Place, ...]
    score_before: Mapping[str, Any] = field(default_factory=dict)
    score_after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def most_changed_band(self) -> int:
        """Index of the worked-on band whose removed part is largest beside its signal."""
        change = np.where(self.worked & np.isfinite(self.change), self.change, -1.0)
        return int(np.argmax(change))

    @property
    def most_striped(self) -> list[int]:
        """Up to eight worked-on bands with stripes before, worst first."""
        strength = np.where(self.worked, np.nan_to_num(self.stripes_before, nan=0.0), 0.0)
        order = np.argsort(-strength, kind="stable")
        return [int(b) for b in order[:8] if strength[b] >= STRIPED_FROM]

    def plain(self) -> dict[str, Any]:
        """As plain values for JSON; numbers that could not be measured are None."""
        columns = (
            "noise", "grain_before", "grain_after", "removed_std", "change", "structure",
            "stripes_before", "stripes_after",
        )  # fmt: skip
        return {
            "bands": {name: _rounded(getattr(self, name)) for name in columns},
            "snr_db_before": _rounded(self.before.snr_db),
            "median_snr_db_before": _rounded(np.array([_median(self.before.snr_db[self.worked])]))[0],
            "median_structure": _rounded(np.array([_median(self.structure[self.worked])]))[0],
            "most_changed_band": self.most_changed_band + 1,
            "striped_bands": [band + 1 for band in self.most_striped],
            "changed_share": round(self.changed_share, 6),
            "filled_share": round(self.filled_share, 6),
            "places": [{"label": p.label, "row": p.row, "col": p.col} for p in self.places],
            "score_before": dict(self.score_before),
            "score_after": dict(self.score_after),
        }


def _rounded(column: np.ndarray) -> list[float | None]:
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in column]


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def examine(result: Result, reference: Cube | None = None) -> Findings:
    """Measure a restoration on samples of the scene.

    Parameters
    ----------
    result : of ``runner.restore``
    reference : the true scene, if it is known; used for scores and for nothing else

    Raises
    ------
    CubeError
        If the reference has another shape.
    """
    observed, restored = result.observed, result.cube
    settings = result.record.get("settings", {})
    worked = ~observed.axis.is_bad if settings.get("bad_bands", "keep") == "keep" else None
    scores: list[Mapping[str, Any]] = [{}, {}]
    if reference is not None:
        from hsi_app.metrics import score

        # Bands that the input marks bad were passed through: scoring them would say nothing of the method.
        judged = replace(reference, bands=observed.axis) if reference.shape == observed.shape else reference
        scores = [score(cube, judged) for cube in (observed, restored)]
    return replace(examine_pair(observed, restored, worked), score_before=scores[0], score_after=scores[1])


def examine_pair(observed: Cube, restored: Cube, worked: np.ndarray | None = None, job: Job | None = None) -> Findings:
    """Measure what lies between two cubes of one shape and scale, on samples of the scene.

    Parameters
    ----------
    observed, restored : before and after; nothing need be known of what was done
    worked : (B,) bool, bands that were worked on; None for all
    job : to watch and cancel

    Returns
    -------
    Findings without scores

    Raises
    ------
    Cancelled
        If the job was asked to stop.
    """
    job = job or Job()
    spectra = sample_spectra(observed, restored, job.part(0.0, 0.5))
    before = measure_noise(observed, job=job.part(0.5, 0.2))
    after = measure_noise(restored, job=job.part(0.7, 0.2))
    job.step(0.9, "comparing before and after")
    scale = np.abs(np.asarray(observed.gain, np.float64)) * np.ones(observed.shape[0])
    removed = spectra.removed
    seen, kept = np.isfinite(spectra.before), np.isfinite(spectra.after)
    both = seen & kept
    magnitude = np.sqrt(_row_means(spectra.before.astype(np.float64) ** 2, seen))
    spread = _row_stds(removed, both)
    # About zero, not about the mean: a band that was dimmed as a whole has changed too.
    typical = np.array([_typical(row[ok]) for row, ok in zip(removed, both, strict=True)])
    grain = [_grain(values, spectra) for values in (spectra.before, spectra.after)]
    worked = np.ones(len(both), bool) if worked is None else worked
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.maximum(typical, 0.2 * spread) / magnitude
    return Findings(
        noise=before.std * scale,
        grain_before=grain[0] * scale,
        grain_after=grain[1] * scale,
        removed_std=spread * scale,
        change=np.where(np.isfinite(change), change, np.nan),
        structure=_neighbour_correlation(removed, spectra),
        stripes_before=np.fmax(before.stripe_rows, before.stripe_cols),
        stripes_after=np.fmax(after.stripe_rows, after.stripe_cols),
        worked=worked,
        changed_share=float((removed[both] != 0).mean()) if both.any() else 0.0,
        filled_share=float((kept & ~seen)[worked].mean()) if worked.any() else 0.0,
        before=before,
        spectra=spectra,
        places=_places(spectra, worked, spread),
    )


def _row_means(values: np.ndarray, ok: np.ndarray) -> np.ndarray:
    count = ok.sum(axis=1)
    total = np.where(ok, values, 0).sum(axis=1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _row_stds(values: np.ndarray, ok: np.ndarray) -> np.ndarray:
    mean = _row_means(values, ok)
    return np.sqrt(_row_means((values.astype(np.float64) - mean[:, None]) ** 2, ok))


def _typical(values: np.ndarray) -> float:
    """Root mean square as the median magnitude of normal values tells it; blind to a few outliers."""
    return MAD_TO_STD * float(np.median(np.abs(values))) if values.size else float("nan")


def _robust(values: np.ndarray) -> float:
    return float(robust_std(values)) if values.size else float("nan")


def _grain(values: np.ndarray, spectra: Spectra) -> np.ndarray:
    """(B,) robust standard deviation of second differences along rows, as white noise would make them."""
    steps: list[np.ndarray] = []
    for window, piece in spectra.pieces:
        image = values[:, piece].reshape(-1, window.height, window.width)
        if window.width >= 3:
            steps.append((image[:, :, 2:] - 2 * image[:, :, 1:-1] + image[:, :, :-2]).reshape(len(values), -1))
    if not steps:
        return np.full(len(values), np.nan)
    joined = np.concatenate(steps, axis=1)
    # The weights 1, -2, 1 turn white noise of variance 1 into variance 6.
    return np.array([_robust(row[np.isfinite(row)]) for row in joined]) / np.sqrt(6)


def _neighbour_correlation(values: np.ndarray, spectra: Spectra) -> np.ndarray:
    """(B,) correlation of horizontal and vertical neighbours about each window's mean; NaN where nothing varies."""
    product, power, pairs, count = (np.zeros(len(values)) for _ in range(4))
    for window, piece in spectra.pieces:
        image = values[:, piece].reshape(-1, window.height, window.width).astype(np.float64)
        ok = np.isfinite(image)
        flat_ok = ok.reshape(len(values), -1)
        mean = _row_means(image.reshape(len(values), -1), flat_ok)
        image = np.where(ok, image - np.nan_to_num(mean)[:, None, None], 0.0)
        power += (image**2).sum(axis=(1, 2))
        count += flat_ok.sum(axis=1)
        for first, second in (((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
                              ((slice(1, None), slice(None)), (slice(None, -1), slice(None)))):  # fmt: skip
            a, b = (slice(None), *first), (slice(None), *second)
            product += (image[a] * image[b]).sum(axis=(1, 2))
            pairs += (ok[a] & ok[b]).sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = (product / pairs) / (power / count)
    return np.where(power > 0, np.clip(correlation, -1, 1), np.nan)


def _places(spectra: Spectra, worked: np.ndarray, spread: np.ndarray) -> tuple[Place, ...]:
    """A bright, a dark, a typical and the most changed pixel among those with enough samples."""
    bands = worked if worked.any() else np.ones_like(worked)
    before, removed = spectra.before[bands], spectra.removed[bands]
    enough = np.isfinite(before).mean(axis=0) > 0.5
    candidates = np.flatnonzero(enough)
    if not candidates.size:
        return ()
    brightness = np.nanmean(before[:, candidates], axis=0)
    order = candidates[np.argsort(brightness, kind="stable")]
    last = order.size - 1
    # Not the extremes themselves: the brightest and darkest pixel are most often faults.
    picks = [("bright", order[round(0.98 * last)]), ("dark", order[round(0.02 * last)]),
             ("typical", order[round(0.5 * last)])]  # fmt: skip
    unit = np.where(spread[bands] > 0, spread[bands], np.nan)[:, None]
    relative = np.nan_to_num(removed[:, candidates] / unit) ** 2
    changed = relative.mean(axis=0)
    if changed.max() > 0:
        picks.append(("most changed", candidates[int(np.argmax(changed))]))
    places: list[Place] = []
    for label, pick in picks:
        row, col = int(spectra.rows[pick]), int(spectra.cols[pick])
        if all((row, col) != (p.row, p.col) for p in places):
            places.append(Place(label, row, col))
    return tuple(places)
