"""Bands ranked by their noise, before and after, and what to do about the worst."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.noise import NoiseReport
from hsi_app.report.findings import Findings
from hsi_app.unmixing.screening import agreement, judge

# Noise of a tenth of the signal shows in every picture of the band; of a third, little of the scene is left.
NOISY_DB, HOPELESS_DB = 20.0, 10.0
# A change of the finest detail below this is not worth a word.
WORSE_DB = -0.5
# Larger gains say that hardly any detail is left, not how much noise went.
MOST_GAIN_DB = 40.0
_MOST_NAMED = 3
# A band with more missing samples than this shows too little of the scene.
MOST_MISSING = 0.5


@dataclass(frozen=True, eq=False)
class NoiseRanking:
    """Noise of each band: (B,) float64, NaN where it could not be measured.

    noise : standard deviation that the other bands do not explain, before, physical units
    snr_before : 20 log10(signal / noise), dB
    gain : by how much the finest detail shrank, dB; NaN without a second cube. The scene's own texture is in it before
        and after, so noise shrank by at least that much where no texture was lost.
    stripes_before, stripes_after : stripe strength, 1 = none
    judged : (B,) bool, bands that are ranked
    """

    noise: np.ndarray
    snr_before: np.ndarray
    gain: np.ndarray
    stripes_before: np.ndarray
    stripes_after: np.ndarray
    judged: np.ndarray

    @property
    def snr_after(self) -> np.ndarray:
        """(B,) SNR before and the gain, dB; at least that much."""
        return np.asarray(self.snr_before + self.gain)

    @property
    def is_pair(self) -> bool:
        """True where there is a second cube."""
        return bool(np.isfinite(self.gain).any())

    @property
    def snr(self) -> np.ndarray:
        """(B,) SNR now: after where there is a second cube, else before, dB."""
        return self.snr_after if self.is_pair else self.snr_before

    def order(self) -> list[int]:
        """Judged bands that could be measured, noisiest before first."""
        known = np.flatnonzero(self.judged & np.isfinite(self.snr_before))
        return [int(b) for b in known[np.argsort(self.snr_before[known], kind="stable")]]

    def order_after(self) -> list[int]:
        """Judged bands that could be measured, noisiest now first."""
        known = np.flatnonzero(self.judged & np.isfinite(self.snr))
        return [int(b) for b in known[np.argsort(self.snr[known], kind="stable")]]

    def still_noisy(self) -> list[int]:
        """Bands whose SNR now is below NOISY_DB, worst first."""
        return [b for b in self.order_after() if self.snr[b] < NOISY_DB]

    def worse(self) -> list[int]:
        """Bands with more fine detail than before, ascending.

        Stripes say nothing of that: their strength is told in units of the noise, which a restoration lowers.
        """
        with np.errstate(invalid="ignore"):
            return [int(b) for b in np.flatnonzero(self.judged & (self.gain < WORSE_DB))]

    def words(self) -> str:
        """One line for people."""
        order = self.order()
        if not order:
            return "The noise of no band could be measured."
        noisy, worse, judged = self.still_noisy(), self.worse(), int(self.judged.sum())
        median = float(np.median(self.snr_before[order]))
        if not self.is_pair:
            tail = f"; {len(noisy)} of {judged} bands are below {NOISY_DB:.0f} dB" if noisy else ""
            return f"Signal to noise {median:.0f} dB in the median band{tail}."
        gain = float(np.nanmedian(self.gain[order]))
        parts = [f"Signal to noise {median:.0f} dB before, {median + gain:.0f} dB after in the median band"]
        parts += [f"{len(noisy)} of {judged} bands are still noisy"] if noisy else []
        if worse:
            named = _listed(worse) if len(worse) <= _MOST_NAMED else f"{len(worse)} of {judged} bands"
            parts.append(f"{named} became worse")
        return "; ".join(parts) + "."

    def rows(self) -> list[dict[str, float | int | str]]:
        """A plain row a band, noisiest before first; marks are 'noisy', 'worse' or both."""
        noisy, worse = set(self.still_noisy()), set(self.worse())
        columns = ("snr_before", "snr_after", "gain", "stripes_before", "stripes_after", "noise")
        return [
            {"band": b + 1, **{name: float(getattr(self, name)[b]) for name in columns},
             "mark": ", ".join(word for word, found in (("noisy", noisy), ("worse", worse)) if b in found)}
            for b in self.order()
        ]  # fmt: skip


def rank_noise(report: NoiseReport, axis: BandAxis, scale: np.ndarray, pair: Findings | None = None) -> NoiseRanking:
    """Rank the bands that are not marked bad.

    Parameters
    ----------
    report : noise of the cube, or of the first one of a pair, in stored units
    scale : (B,) physical units over stored ones, >= 0
    pair : what was measured of both, or None

    Source: noise by regression on the other bands, Roger and Arnold 1996; the gain by second differences along rows.
    Regression cannot be asked after a restoration: where spectra were drawn to a subspace the other bands explain a
    band fully, whatever noise is left.
    """
    count = axis.count
    gain, stripes = np.full(count, np.nan), np.full(count, np.nan)
    if pair is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = 20 * np.log10(pair.grain_before / pair.grain_after)
        gain = np.where(pair.grain_before == pair.grain_after, 0.0, gain)
        gain = np.clip(gain, -MOST_GAIN_DB, MOST_GAIN_DB)
        stripes = pair.stripes_after
    before = np.fmax(report.stripe_rows, report.stripe_cols)
    return NoiseRanking(report.std * scale, report.snr_db, gain, before, stripes, ~axis.is_bad)


@dataclass(frozen=True)
class BandAdvice:
    """Which flags of the bad-band list to look at.

    mark : (band, why) of good bands that had better be marked bad
    unmark : (band, why) of bands marked bad that look sound
    """

    mark: tuple[tuple[int, str], ...]
    unmark: tuple[tuple[int, str], ...]

    def words(self) -> str:
        """One line for people; '' where there is nothing to say."""
        parts = [f"mark {_listed([b for b, _ in self.mark])} as bad"] if self.mark else []
        parts += [f"look at {_listed([b for b, _ in self.unmark])}, marked bad but sound"] if self.unmark else []
        return f"Bad bands: {'; '.join(parts)}." if parts else ""


def advise(axis: BandAxis, snr_db: np.ndarray, spectra: np.ndarray) -> BandAdvice:
    """Say which bands to mark bad, and which marks to look at again.

    Parameters
    ----------
    snr_db : (B,) signal to noise, dB; NaN where it could not be measured
    spectra : (B, P) sample of the cube, NaN where missing
    """
    missing = 1 - np.isfinite(spectra).mean(axis=1)
    known = np.flatnonzero(missing < MOST_MISSING)
    values = spectra[known].astype(np.float64)
    complete = np.isfinite(values).all(axis=0)
    agreed = np.full(axis.count, np.nan)
    goes_along = np.ones(axis.count, bool)
    if known.size > 1 and complete.sum() > 8:
        agreed[known] = agreement(np.cov(values[:, complete]))
        good = known[~axis.is_bad[known]]
        goes_along[good] = judge(agreed[good])[0]
    mark, unmark = [], []
    for b in range(axis.count):
        snr = snr_db[b]
        if axis.is_bad[b]:
            if snr > NOISY_DB and agreed[b] > 0.9 and missing[b] < 0.01:
                unmark.append((b, f"signal to noise {snr:.0f} dB, goes with its neighbours"))
        elif missing[b] >= MOST_MISSING:
            mark.append((b, f"{missing[b]:.0%} of it is missing"))
        elif snr < HOPELESS_DB:
            mark.append((b, f"signal to noise {snr:.0f} dB"))
        elif not goes_along[b]:
            mark.append((b, "does not go with its neighbours"))
    return BandAdvice(tuple(mark), tuple(unmark))


def _listed(bands: list[int]) -> str:
    """'bands 3-5, 9' counting from 1."""
    numbers = np.asarray(bands) + 1
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    text = ", ".join(f"{run[0]}" if run.size == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"band{'s' if numbers.size > 1 else ''} {text}"
