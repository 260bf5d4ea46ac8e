"""How well coefficient images explain what was observed, and the exact step towards it.

The model of all of these: y = H E u + n with unit noise, where u are r images on the prior's scale, E (B, r) lifts
them to whitened bands and H acts on every band's image alike (gaps, blur, coarser grid). A guess c of the prior with
error variance t is corrected to the minimiser of ||y - H E u||^2 + ||u - c||^2 / t.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from hsi_app.physics.spatial import Separable

# Normal matrices held at a time while they are decomposed: 2^24 float32 entries = 64 MB.
_CHUNK_ENTRIES = 2**24
_SOLVER_STEPS, _SOLVER_GAP = 25, 1e-3


class DataTerm(ABC):
    """A data term; see the module.

    Parameters
    ----------
    lift : (B, r) matrix E
    """

    def __init__(self, lift: torch.Tensor) -> None:
        self.lift = lift

    @property
    def step_limit(self) -> float:
        """Largest curvature of ||y - H E u||^2 / 2; gradient steps below 2 over it are stable."""
        return float(torch.linalg.matrix_norm(self.lift, 2) ** 2)

    @abstractmethod
    def residual(self, images: torch.Tensor) -> torch.Tensor:
        """H E u - y, 0 where nothing was observed: shaped like the observation."""

    @abstractmethod
    def pull_back(self, residual: torch.Tensor) -> torch.Tensor:
        """E^T H^T of something shaped like the observation: (r, H, W)."""

    @abstractmethod
    def correct(self, guess: torch.Tensor, variance: float, extra: torch.Tensor | None = None) -> torch.Tensor:
        """The minimiser for a guess (r, H, W) of error variance ``variance``.

        extra : (r, H, W) added to the right hand side, for a further term whose gradient is minus this, or None
        """


class PointwiseTerm(DataTerm):
    """Every sample observed by itself, or not at all (H keeps samples): solved pixel by pixel.

    observed : (B, H, W), 0 where not ``seen``; seen : (B, H, W) bool
    """

    def __init__(self, lift: torch.Tensor, observed: torch.Tensor, seen: torch.Tensor) -> None:
        super().__init__(lift)
        self._observed, self._seen = observed, seen
        self._target = self.pull_back(observed)
        self._complete = bool(seen.all())
        if self._complete:
            values, vectors = torch.linalg.eigh((lift.T @ lift).double())
            self._values, self._vectors = values.to(lift)[:, None], vectors.to(lift)
        else:
            self._values, self._vectors = self._decomposed(seen.flatten(1))

    def _decomposed(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Eigenvalues (P, r) and eigenvectors (P, r, r) of each pixel's normal matrix."""
        bands, rank = self.lift.shape
        pairs = (self.lift[:, :, None] * self.lift[:, None, :]).reshape(bands, rank * rank)
        values = self.lift.new_empty(seen.shape[1], rank)
        vectors = self.lift.new_empty(seen.shape[1], rank, rank)
        chunk = max(1, _CHUNK_ENTRIES // rank**2)
        for begin in range(0, seen.shape[1], chunk):
            part = slice(begin, begin + chunk)
            normal = (seen[:, part].to(pairs).T @ pairs).reshape(-1, rank, rank)
            values[part], vectors[part] = torch.linalg.eigh(normal)
        return values.clamp_min_(0), vectors

    def residual(self, images: torch.Tensor) -> torch.Tensor:
        """E u - y where seen, else 0."""
        predicted = (self.lift @ images.flatten(1)).reshape(self._observed.shape)
        return torch.where(self._seen, predicted - self._observed, 0.0)

    def pull_back(self, residual: torch.Tensor) -> torch.Tensor:
        """E^T of a cube."""
        return (self.lift.T @ residual.flatten(1)).reshape(-1, *residual.shape[1:])

    def correct(self, guess: torch.Tensor, variance: float, extra: torch.Tensor | None = None) -> torch.Tensor:
        """Exact, one small system a pixel."""
        right = self._target + guess / variance
        right = (right if extra is None else right + extra).flatten(1)
        if self._complete:
            solved = self._vectors @ ((self._vectors.T @ right) / (self._values + 1 / variance))
        else:
            turned = torch.einsum("pij,ip->pj", self._vectors, right) / (self._values + 1 / variance)
            solved = torch.einsum("pij,pj->ip", self._vectors, turned)
        return solved.reshape(guess.shape)


class SeparableTerm(DataTerm):
    """A blur or a coarser grid seen through matrices on rows and columns, all of it observed.

    operator : ``Separable`` that takes the fine grid; observed : (B, H', W')
    """

    def __init__(self, lift: torch.Tensor, observed: torch.Tensor, operator: Separable) -> None:
        super().__init__(lift)
        self._observed = observed
        self._rows, self._cols = operator.rows.to(lift), operator.cols.to(lift)
        self._target = self.pull_back(observed)
        (down, self._turn_rows), (across, self._turn_cols) = (
            torch.linalg.eigh(matrix.T @ matrix) for matrix in (operator.rows.double(), operator.cols.double())
        )
        self._turn_rows, self._turn_cols = self._turn_rows.to(lift), self._turn_cols.to(lift)
        spectral, vectors = torch.linalg.eigh((lift.T @ lift).double())
        self._vectors = vectors.to(lift)
        gains = spectral[:, None, None] * torch.outer(down.clamp_min(0), across.clamp_min(0)).to(spectral)
        self._gains = gains.to(lift)
        self._limit = float(gains.max())

    @property
    def step_limit(self) -> float:
        """Largest curvature, of spectrum and grid together."""
        return self._limit

    def residual(self, images: torch.Tensor) -> torch.Tensor:
        """H E u - y."""
        seen = self._rows @ images @ self._cols.T
        return (self.lift @ seen.flatten(1)).reshape(self._observed.shape) - self._observed

    def pull_back(self, residual: torch.Tensor) -> torch.Tensor:
        """E^T H^T."""
        coarse = (self.lift.T @ residual.flatten(1)).reshape(-1, *residual.shape[1:])
        return self._rows.T @ coarse @ self._cols

    def correct(self, guess: torch.Tensor, variance: float, extra: torch.Tensor | None = None) -> torch.Tensor:
        """Exact: in the eigenvectors of rows, columns and spectrum every entry stands alone."""
        right = self._target + guess / variance
        right = right if extra is None else right + extra
        turned = self._turn_rows.T @ _mixed(self._vectors.T, right) @ self._turn_cols
        turned = turned / (self._gains + 1 / variance)
        return _mixed(self._vectors, self._turn_rows @ turned @ self._turn_cols.T)


class GappyTerm(DataTerm):
    """A blur or a coarser grid of which samples are missing: solved by conjugate gradients (Hestenes, Stiefel 1952).

    seen : (B, H', W') bool, the others as in ``SeparableTerm``
    """

    def __init__(self, lift: torch.Tensor, observed: torch.Tensor, operator: Separable, seen: torch.Tensor) -> None:
        super().__init__(lift)
        self._seen = seen
        self._whole = SeparableTerm(lift, torch.where(seen, observed, 0.0), operator)
        self._target = self._whole.pull_back(torch.where(seen, observed, 0.0))

    @property
    def step_limit(self) -> float:
        """Largest curvature of the complete observation, which bounds this one's."""
        return self._whole.step_limit

    def residual(self, images: torch.Tensor) -> torch.Tensor:
        """H E u - y where seen, else 0."""
        return torch.where(self._seen, self._whole.residual(images), 0.0)

    def pull_back(self, residual: torch.Tensor) -> torch.Tensor:
        """E^T H^T."""
        return self._whole.pull_back(residual)

    def correct(self, guess: torch.Tensor, variance: float, extra: torch.Tensor | None = None) -> torch.Tensor:
        """To a thousandth of the residual that the guess leaves."""
        right = self._target + guess / variance
        right = right if extra is None else right + extra

        def normal(images: torch.Tensor) -> torch.Tensor:
            # residual(u) + y = H E u where seen, by linearity.
            seen = self.pull_back(self.residual(images)) + self._target
            return seen + images / variance

        found = guess.clone()
        rest = right - normal(found)
        direction, power = rest, rest.square().sum()
        enough = _SOLVER_GAP**2 * power
        for _ in range(_SOLVER_STEPS):
            if power <= enough:
                break
            image = normal(direction)
            length = power / (direction * image).sum()
            found = found + length * direction
            rest = rest - length * image
            power, before = rest.square().sum(), power
            direction = rest + power / before * direction
        return found


def data_term(lift: torch.Tensor, observed: torch.Tensor, seen: torch.Tensor, operator: Separable | None) -> DataTerm:
    """The term that fits: pointwise without an operator, exact with one that is fully observed, else iterative."""
    if operator is None:
        return PointwiseTerm(lift, observed, seen)
    if bool(seen.all()):
        return SeparableTerm(lift, observed, operator)
    return GappyTerm(lift, observed, operator, seen)


def _mixed(matrix: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return (matrix @ images.flatten(1)).reshape(images.shape)
