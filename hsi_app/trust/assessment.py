"""One look at a cube, or at a cube before and after: what is wrong, what was removed, what is still found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hsi_app.cube import Cube
from hsi_app.diagnose import Diagnosis, diagnose
from hsi_app.errors import CubeError
from hsi_app.jobs import Job
from hsi_app.noise import NoiseReport, measure_noise
from hsi_app.record import describe_cube
from hsi_app.report.findings import Findings, examine_pair
from hsi_app.report.sampling import sample_spectra
from hsi_app.tiling import Window
from hsi_app.trust.ranking import BandAdvice, NoiseRanking, advise, rank_noise
from hsi_app.trust.structure import RemovedCheck, check_removed
from hsi_app.trust.targets import Detector, Target, TargetCheck, check_target
from hsi_app.versions import versions


@dataclass(frozen=True, eq=False)
class Assessment:
    """What was found; ``after``, ``removed``, ``pair`` and ``target`` are None where there was nothing to look at.

    before, after : the cubes; after in the scale of before
    diagnosis : what is wrong with the first cube, and what would help
    ranking : noise band by band
    advice : on the bad-band list of the second cube, or of the only one
    removed : whether there is structure in what was removed
    pair : figures of both, and the sample behind them
    target : whether a target is still found
    started : when, ISO 8601
    """

    before: Cube
    after: Cube | None
    diagnosis: Diagnosis
    ranking: NoiseRanking
    advice: BandAdvice
    removed: RemovedCheck | None
    pair: Findings | None
    target: TargetCheck | None
    started: str

    def verdicts(self) -> list[tuple[str, bool | None]]:
        """What was found, most important first: a line for people, and whether it is good; None for mere facts."""
        found: list[tuple[str, bool | None]] = []
        if self.removed is not None:
            found.append((self.removed.words(), self.removed.is_sound()))
        if self.target is not None:
            found.append((self.target.words(), None if self.target.after is None else self.target.is_kept))
        is_clean = not (self.ranking.still_noisy() or self.ranking.worse())
        if self.removed is None or self.removed.is_sound():
            found.append((self.ranking.words(), is_clean))
        else:
            # Detail that shrank with the scene is no gain.
            found.append((f"{self.ranking.words()} Part of that gain is lost scene.", None if is_clean else False))
        if self.after is None:
            reasons = [reason for reason in self.diagnosis.reasons if "signal-to-noise" not in reason]
            found += [(f"{reason[:1].upper()}{reason[1:]}.", False) for reason in reasons]
            if self.diagnosis.finds_fault:
                found.append((f"What would help: {self.diagnosis.choice()}.", None))
        if self.advice.words():
            found.append((self.advice.words(), None))
        return found

    def lines(self) -> list[str]:
        """The words of the verdicts."""
        return [words for words, _ in self.verdicts()]

    def notes(self) -> list[str]:
        """What to know before the figures are believed."""
        return [] if self.target is None else list(self.target.notes)

    def plain(self) -> dict[str, Any]:
        """As plain values for JSON; bands count from 1, rows and columns from 0."""
        facts: dict[str, Any] = {
            "format": "hsi-app qa 1",
            "before": describe_cube(self.before),
            "after": None if self.after is None else describe_cube(self.after),
            "verdicts": self.lines(),
            "notes": self.notes(),
            "noise": self.ranking.rows(),
            "still_noisy_bands": [b + 1 for b in self.ranking.still_noisy()],
            "bands_to_mark_bad": [{"band": b + 1, "why": why} for b, why in self.advice.mark],
            "bad_bands_that_look_sound": [{"band": b + 1, "why": why} for b, why in self.advice.unmark],
            "started": self.started,
            "versions": versions(),
        }
        if self.after is None:
            return {**facts, **self._plain_diagnosis()}
        facts["worse_bands"] = [b + 1 for b in self.ranking.worse()]
        if self.removed is not None:
            facts["removed"] = _plain_removed(self.removed)
        if self.pair is not None:
            facts["changed_share"], facts["filled_share"] = self.pair.changed_share, self.pair.filled_share
        return {**facts, **self._plain_target()}

    def _plain_diagnosis(self) -> dict[str, Any]:
        found = self.diagnosis
        return {
            "median_snr_db": found.snr_db,
            "striped_bands": [b + 1 for b in found.striped_bands],
            "stuck_bands": [b + 1 for b in found.stuck_bands],
            "gap_share": found.gap_share,
            "would_help": found.choice() if found.finds_fault else None,
            **self._plain_target(),
        }

    def _plain_target(self) -> dict[str, Any]:
        check = self.target
        if check is None:
            return {}
        facts: dict[str, Any] = {
            "name": check.name, "detector": check.detector, "threshold": check.threshold, "bands": check.bands,
            "pixels": len(check.pixels), "pixels_are_known": check.are_known, "found_before": check.number("before"),
            "contrast_before": check.before.contrast,
        }  # fmt: skip
        if check.after is not None:
            facts |= {
                "found_after": check.number("after"), "contrast_after": check.after.contrast,
                **{word: check.number(word) for word in ("kept", "lost", "gained")}, "is_kept": check.is_kept,
                "lost_pixels": check.lost_pixels().tolist(),
            }  # fmt: skip
        return {"target": facts}


def assess(
    before: Cube,
    after: Cube | None = None,
    target: Target | None = None,
    *,
    detector: Detector = "mf",
    job: Job | None = None,
) -> Assessment:
    """Judge a cube, or what was done to it, without a reference.

    Noise, stripes and what was removed are measured on samples (up to nine windows spread over the scene, and a central
    one), so scenes of any size take about the same time; a target is looked for in every pixel, strip by strip.

    Parameters
    ----------
    before, after : cubes on the same grid; ``after`` may be None
    target : what must still be found
    detector : see ``check_target``
    job : to watch and cancel

    Raises
    ------
    CubeError
        If the cubes have different shapes, or the target does not fit.
    Cancelled
        If the job was asked to stop.
    """
    job = job or Job()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    if after is not None:
        after = _in_scale_of(before, after)
    share = 1.0 if target is None else 0.5
    diagnosis = diagnose(before, job=job.part(0.0, 0.2 * share))
    scale = np.abs(np.asarray(before.gain, np.float64)) * np.ones(before.shape[0])
    pair: Findings | None = None
    removed: RemovedCheck | None = None
    report: NoiseReport
    if after is None:
        report = measure_noise(before, job=job.part(0.2 * share, 0.1 * share))
        sample = sample_spectra(before, before, job.part(0.3 * share, 0.6 * share))
    else:
        pair = examine_pair(before, after, ~before.axis.is_bad, job.part(0.2 * share, 0.5 * share))
        report, sample = pair.before, pair.spectra
        removed = check_removed(sample, ~before.axis.is_bad, job.part(0.7 * share, 0.3 * share))
    ranking = rank_noise(report, before.axis, scale, pair)
    # Of a pair the cube that will be used counts: after.
    advice = advise(before.axis, ranking.snr, sample.after)
    check = None
    if target is not None:
        check = check_target(before, after, target, detector=detector, job=job.part(0.5, 0.5))
    job.step(1.0, "done")
    return Assessment(before, after, diagnosis, ranking, advice, removed, pair, check, started)


def _in_scale_of(before: Cube, after: Cube) -> Cube:
    """The second cube in the stored units of the first one, read as needed."""
    if after.shape != before.shape:
        raise CubeError(
            f"'{before.name}' has shape {before.shape}, '{after.name}' {after.shape}; before and after must lie on one"
            " grid: compare a sharpened cube with one that was interpolated to its grid."
        )
    count = before.shape[0]
    columns = [np.broadcast_to(np.asarray(c, np.float64), count)
               for c in (before.gain, before.offset, after.gain, after.offset)]  # fmt: skip
    gain, offset, own_gain, own_offset = columns
    if np.array_equal(gain, own_gain) and np.array_equal(offset, own_offset):
        return after
    if (gain == 0).any():
        raise CubeError(f"'{before.name}' has a scale of 0 in some bands; correct its header.")
    values = _Rescaled(after, own_gain / gain, (own_offset - offset) / gain)
    return replace(after, values=values, gain=before.gain, offset=before.offset, nodata=None, valid=None)


class _Rescaled:
    """Values times a factor and plus a shift of each band, NaN where missing; read when asked for."""

    def __init__(self, cube: Cube, factor: np.ndarray, shift: np.ndarray) -> None:
        self.shape: tuple[int, ...] = cube.shape
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self.ndim = 3
        self._cube, self._factor, self._shift = cube, factor, shift

    def __getitem__(self, key: Any) -> np.ndarray:
        bands, rows, cols = key
        top, bottom, _ = rows.indices(self.shape[1])
        left, right, _ = cols.indices(self.shape[2])
        index = np.atleast_1d(np.arange(self.shape[0])[bands])
        values, valid = self._cube.block(Window(top, left, bottom - top, right - left), index.tolist())
        scaled = values * self._factor[index, None, None] + self._shift[index, None, None]
        found = np.where(valid, scaled, np.nan).astype(np.float32)
        return found if isinstance(bands, slice) else found[0]


def _plain_removed(check: RemovedCheck) -> Mapping[str, Any]:
    return {
        "is_sound": check.is_sound(),
        "bands": {name: getattr(check, name).tolist() for name in ("stripes", "structure", "scene", "lost")},
        "verdicts": list(check.verdicts),
        "bands_with_lost_scene": [b + 1 for b in check.bands("scene structure")],
        "bands_with_stripes": [b + 1 for b in check.bands("stripes")],
    }
