"""The signal subspace of spectra that are mostly missing: maximum-likelihood factor analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from hsi_app.subspace import Rank, Subspace, fix_signs

# Every so many observed samples one is kept aside to judge the rank by.
HOLD_EVERY = 20
# Rounds after each widening of the model, and at the end; factors added at a time, and at most.
ROUNDS, LAST_ROUNDS, STEP, MOST_FACTORS = 12, 30, 2, 24
# A wider model must explain the samples kept aside better by this much, dB.
WORTHWHILE_DB = 0.05
# No band is believed to be cleaner than the typical one by more than this factor: it would rule a factor alone.
CLEANEST = 0.05
# Spectra that the rank is looked for with, and that the last rounds take.
SEARCH_PX, FIT_PX = 4096, 16384
# Spectra handled at a time: 4096 x 24 x 24 doubles = 19 MB.
_CHUNK_PX = 4096


def fit_factors(
    values: torch.Tensor,
    valid: torch.Tensor,
    start: Subspace,
    rank: Rank,
    on_step: Callable[[float], None] = lambda fraction: None,
    *,
    fit_noise: bool = True,
) -> Subspace:
    """Fit mean, noise of each band and subspace to what was observed, gaps integrated out.

    Spectra are mean + loadings z + noise with z ~ N(0, I) and independent noise in each band. Where the rank is not
    given, factors are added as long as samples kept aside are predicted better.

    Parameters
    ----------
    values : (B, P) float tensor of spectra, 0 where missing; each has at least one sample
    valid : (B, P) bool
    start : a first guess, see ``fit_subspace``
    rank : number of components, None to find it, or what to make of the number found
    on_step : told the fraction done; may raise to stop
    fit_noise : False where the noise of ``start`` is known

    Returns
    -------
    Subspace whose eigenvalues are those of the model, 1 beyond its rank

    Source: Rubin and Thayer 1982 (EM for factor analysis), each spectrum with its own set of observed bands as in
    Ghahramani and Jordan 1994.
    """
    bands = len(values)
    values, valid = _thinned(values, valid, FIT_PX)
    if isinstance(rank, int):
        model = _Model.of(start, values, fit_noise).resized(min(rank, bands), values, valid)
        return model.fitted(values, valid, ROUNDS + LAST_ROUNDS, on_step).subspace
    most = max(min(MOST_FACTORS, bands - 1, int(valid.sum(0).double().mean())), 1)
    few, known = _thinned(values, valid, SEARCH_PX)
    places = torch.nonzero(known.reshape(-1)).reshape(-1)[::HOLD_EVERY]
    seen = known.reshape(-1).index_fill(0, places, False).reshape(known.shape)
    aside = known & ~seen
    model = _Model.of(start, few, fit_noise).resized(min(start.rank, most), few, seen)
    best, least = model, np.inf
    while True:
        on_step(0.7 * model.rank / most)
        model = model.fitted(few, seen, ROUNDS)
        error = model.error_db(few, seen, aside)
        if error < least - WORTHWHILE_DB:
            best, least = model, error
        else:
            break
        if model.rank >= most:
            break
        model = model.resized(min(model.rank + STEP, most), few, seen)
    found = min(best.rank if rank is None else rank(best.rank), bands)
    best = best.resized(found, values, valid)
    return best.fitted(values, valid, LAST_ROUNDS, lambda fraction: on_step(0.7 + 0.3 * fraction)).subspace


def _thinned(values: torch.Tensor, valid: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """At most so many spectra, evenly spread."""
    step = -(-values.shape[1] // most)
    return values[:, ::step], valid[:, ::step]


@dataclass(frozen=True, eq=False)
class _Model:
    """A factor model in double precision: mean (B,), loadings (B, r), noise variance (B,), its least value."""

    mean: torch.Tensor
    loadings: torch.Tensor
    noise: torch.Tensor
    floor: float
    fits_noise: bool

    @classmethod
    def of(cls, subspace: Subspace, like: torch.Tensor, fits_noise: bool) -> _Model:
        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(array, dtype=torch.float64, device=like.device)

        std = subspace.noise_std
        spread = np.sqrt(np.maximum(subspace.eigenvalues[: subspace.rank] - 1, 0.1))
        floor = float(np.square(1e-4 * np.median(std)))
        return cls(
            tensor(subspace.mean), tensor(std[:, None] * subspace.basis * spread), tensor(std**2), floor, fits_noise
        )

    @property
    def rank(self) -> int:
        return int(self.loadings.shape[1])

    @property
    def subspace(self) -> Subspace:
        """In whitened units."""
        std = self.noise.sqrt()
        vectors, values, _ = torch.linalg.svd(self.loadings / std[:, None], full_matrices=False)
        eigenvalues = np.ones(len(std))
        eigenvalues[: len(values)] += values.square().cpu().numpy()
        return Subspace(
            self.mean.cpu().numpy(), std.cpu().numpy(), fix_signs(vectors[:, : self.rank].cpu().numpy()), eigenvalues
        )

    def fitted(
        self, values: torch.Tensor, seen: torch.Tensor, rounds: int, on_step: Callable[[float], None] = lambda f: None
    ) -> _Model:
        """After so many rounds of expectation and maximisation."""
        model = self
        for index in range(rounds):
            on_step(index / rounds)
            model = model._round(values, seen)
        return model

    def _round(self, values: torch.Tensor, seen: torch.Tensor) -> _Model:
        bands, rank = self.loadings.shape
        squares = values.new_zeros(bands, (rank + 1) ** 2, dtype=torch.float64)
        products, power = squares.new_zeros(bands, rank + 1), squares.new_zeros(bands)
        for part, known, factors, spread in self._expected(values, seen):
            # A last factor of one carries the mean.
            whole = torch.cat([factors, factors.new_ones(len(factors), 1)], dim=1)
            second = whole[:, :, None] * whole[:, None, :]
            second[:, :rank, :rank] += spread
            squares += known @ second.flatten(1)
            products += part @ whole
            power += part.square().sum(1)
        count = seen.sum(1).double()
        system = squares.reshape(bands, rank + 1, rank + 1)
        system = system + 1e-9 * count.clamp_min(1)[:, None, None] * torch.eye(rank + 1).to(system)
        solved = torch.linalg.solve(system, products)
        noise = (power - (solved * products).sum(1)) / count.clamp_min(1)
        some = count > 0
        noise = noise.clamp_min(max(CLEANEST**2 * float(noise[some].median()), self.floor))
        # A band without any sample says nothing: it keeps its mean, has no part in any factor, is as noisy as others.
        return replace(
            self,
            mean=torch.where(some, solved[:, rank], self.mean),
            loadings=torch.where(some[:, None], solved[:, :rank], 0.0),
            noise=torch.where(some, noise, noise[some].median()) if self.fits_noise else self.noise,
        )

    def _expected(self, values: torch.Tensor, seen: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """For pieces of the spectra: samples, what is known (B, p), factors (p, r), their covariance (p, r, r)."""
        bands, rank = self.loadings.shape
        weighted = self.loadings / self.noise[:, None]
        pairs = (weighted[:, :, None] * self.loadings[:, None, :]).reshape(bands, rank * rank)
        one = torch.eye(rank).to(pairs)
        for begin in range(0, values.shape[1], _CHUNK_PX):
            known = seen[:, begin : begin + _CHUNK_PX].double()
            part = known * values[:, begin : begin + _CHUNK_PX]
            normal = (known.T @ pairs).reshape(-1, rank, rank) + one
            spread = torch.cholesky_inverse(torch.linalg.cholesky(normal))
            right = (part - known * self.mean[:, None]).T @ weighted
            yield part, known, torch.einsum("pij,pj->pi", spread, right), spread

    def error_db(self, values: torch.Tensor, seen: torch.Tensor, aside: torch.Tensor) -> float:
        """Mean over the bands of the squared error of samples kept aside, predicted from those seen."""
        total, begin = values.new_zeros(len(values), dtype=torch.float64), 0
        for part, _, factors, _ in self._expected(values, seen):
            here = slice(begin, begin + part.shape[1])
            wrong = self.mean[:, None] + self.loadings @ factors.T - values[:, here]
            total += (wrong.square() * aside[:, here]).sum(1)
            begin += part.shape[1]
        count = aside.sum(1)
        return float(10 * torch.log10(total / count.clamp_min(1) + self.floor)[count > 0].mean())

    def resized(self, rank: int, values: torch.Tensor, seen: torch.Tensor) -> _Model:
        """With fewer factors, or with more: the strongest directions of what it leaves unexplained."""
        subspace = self.subspace
        std = self.noise.sqrt()[:, None]
        spread = np.sqrt(np.maximum(subspace.eigenvalues[: self.rank] - 1, 0.0))
        loadings = std * torch.as_tensor(subspace.basis * spread).to(std)
        if rank <= self.rank:
            return replace(self, loadings=loadings[:, :rank])
        bands = len(std)
        products, counts = std.new_zeros(bands, bands), std.new_zeros(bands, bands)
        for part, known, factors, _ in self._expected(values, seen):
            left = known * (part - self.mean[:, None] - self.loadings @ factors.T) / std
            products += left @ left.T
            counts += known @ known.T
        _, vectors = torch.linalg.eigh(products / counts.clamp_min(1))
        return replace(self, loadings=torch.cat([loadings, std * vectors.flip(1)[:, : rank - self.rank]], dim=1))
